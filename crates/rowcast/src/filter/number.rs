//! Decimal digits to doubles and back, digit for digit as SQLite does it.
//!
//! SQLite reads at most about 19 digits and prints at most 17, so neither direction is what Rust's own conversion gives
//! in every case. Both use the powers of ten to 96 bits; the method is Russ Cox's (<https://research.swtch.com/fp>), the
//! cut-offs are SQLite's (`sqlite3AtoF`, `sqlite3FpDecode`, version 3.54).

use std::cmp::Ordering;

/// What the digits at the start of a text say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Numeral {
    pub(super) value: f64,
    /// Whether the text is this number and nothing else but spaces.
    pub(super) is_whole_text: bool,
    /// Whether it has neither a point nor an exponent.
    pub(super) is_integer: bool,
}

/// Reads the number that a text begins with; 0 where it begins with none. A NUL ends the text.
pub(super) fn read(text: &[u8]) -> Numeral {
    let mut reader = Reader { text, at: 0 };
    let none = Numeral { value: 0.0, is_whole_text: false, is_integer: true };
    reader.spaces();
    let negative = reader.peek() == b'-';
    if matches!(reader.peek(), b'-' | b'+') {
        reader.at += 1;
    }
    let mut decimal = Decimal::default();
    let mut seen = reader.whole_digits(&mut decimal);
    let mut is_integer = true;
    if reader.peek() == b'.' {
        reader.at += 1;
        seen |= reader.fraction_digits(&mut decimal);
        is_integer = false;
    }
    if !seen {
        return none;
    }
    if let Some(exponent) = reader.exponent() {
        decimal.exponent += exponent;
        is_integer = false;
    }
    let value = decimal.to_f64();
    reader.spaces();
    Numeral { value: if negative { -value } else { value }, is_whole_text: reader.peek() == 0, is_integer }
}

/// `digits` times ten to the `exponent`.
#[derive(Debug, Clone, Copy, Default)]
struct Decimal {
    digits: u64,
    exponent: i32,
}

/// From here on one more digit might not fit.
const DIGITS_FULL: u64 = (u64::MAX - 9) / 10;

impl Decimal {
    fn push(&mut self, digit: u8) {
        self.digits = self.digits * 10 + u64::from(digit - b'0');
    }

    fn to_f64(self) -> f64 {
        if self.digits == 0 { 0.0 } else { nearest(self.digits, self.exponent) }
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn spaces(&mut self) {
        while is_space(self.peek()) {
            self.at += 1;
        }
    }

    fn whole_digits(&mut self, decimal: &mut Decimal) -> bool {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            if decimal.digits >= DIGITS_FULL {
                decimal.exponent = decimal.exponent.saturating_add(1);
            } else {
                decimal.push(self.peek());
            }
            self.at += 1;
        }
        self.at > start
    }

    fn fraction_digits(&mut self, decimal: &mut Decimal) -> bool {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            if decimal.digits < DIGITS_FULL {
                decimal.push(self.peek());
                decimal.exponent -= 1;
            }
            self.at += 1;
        }
        self.at > start
    }

    /// `e5`, if digits follow the `e`.
    fn exponent(&mut self) -> Option<i32> {
        let start = self.at;
        if !matches!(self.peek(), b'e' | b'E') {
            return None;
        }
        self.at += 1;
        let negative = self.peek() == b'-';
        if matches!(self.peek(), b'-' | b'+') {
            self.at += 1;
        }
        if !self.peek().is_ascii_digit() {
            self.at = start;
            return None;
        }
        let mut exponent = 0;
        while self.peek().is_ascii_digit() {
            exponent = if exponent < 10_000 { exponent * 10 + i32::from(self.peek() - b'0') } else { 10_000 };
            self.at += 1;
        }
        Some(if negative { -exponent } else { exponent })
    }
}

/// The spaces of C.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// A double as text, with at most 17 digits: `5.0`, `0.1`, `1.0e+100`, `Inf`.
pub(super) fn print(x: f64) -> String {
    if x == 0.0 {
        return "0.0".to_owned();
    }
    let sign = if x < 0.0 { "-" } else { "" };
    if x.is_infinite() {
        return format!("{sign}Inf");
    }
    let (digits, point) = significant(x.abs());
    let exponent = point - 1;
    let body = if (-4..=16).contains(&exponent) { plain(&digits, point) } else { scientific(&digits, exponent) };
    format!("{sign}{body}")
}

/// Digits with the point behind the first `point` of them.
fn plain(digits: &str, point: i32) -> String {
    match usize::try_from(point) {
        Err(_) | Ok(0) => format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
        Ok(point) if point >= digits.len() => format!("{digits}{}.0", "0".repeat(point - digits.len())),
        Ok(point) => format!("{}.{}", &digits[..point], &digits[point..]),
    }
}

fn scientific(digits: &str, exponent: i32) -> String {
    let (first, rest) = digits.split_at(1);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}.{}e{sign}{:02}", if rest.is_empty() { "0" } else { rest }, exponent.abs())
}

/// Up to 17 digits of a positive, finite number without zeros at the end, and where the point stands among them.
fn significant(x: f64) -> (String, i32) {
    let (digits, exponent) = eighteen_digits(x);
    let mut digits = digits.to_string().into_bytes();
    let mut point = i32::try_from(digits.len()).expect("a u64 has at most 20 digits") + exponent;
    if digits.len() > 17 {
        let keep = shorter(x, &digits, exponent, point).unwrap_or(17);
        if round(&mut digits, keep) {
            point += 1;
        }
    }
    while digits.len() > 1 && digits.last() == Some(&b'0') {
        digits.pop();
    }
    (digits.into_iter().map(char::from).collect(), point)
}

/// How many digits to keep where fewer than 17 read back as the same double: those before a run of nines or zeros.
fn shorter(x: f64, digits: &[u8], exponent: i32, point: i32) -> Option<usize> {
    let count = i32::try_from(digits.len()).expect("a u64 has at most 20 digits");
    let prefix = |n: usize| digits[..n].iter().fold(0, |v: u64, d| v * 10 + u64::from(d - b'0'));
    let reads_back = |v: u64, n: usize| {
        let dropped = count - i32::try_from(n).expect("fewer than 20 digits");
        (nearest(v, exponent + dropped) == x).then_some(n + 1)
    };
    if digits[14..16] == *b"99" {
        let n = digits[..14].iter().rposition(|d| *d != b'9').map_or(0, |at| at + 1);
        return reads_back(prefix(n) + 1, n);
    }
    if point >= count || digits[13..16] == *b"000" {
        let n = digits[..13].iter().rposition(|d| *d != b'0').map_or(1, |at| at + 1);
        return reads_back(prefix(n), n);
    }
    None
}

/// Keeps the first `keep` digits, rounded half up; whether that made one more digit in front.
fn round(digits: &mut Vec<u8>, keep: usize) -> bool {
    let up = digits[keep] >= b'5';
    digits.truncate(keep);
    if !up {
        return false;
    }
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return false;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
    true
}

const TOP_BIT: u64 = 1 << 63;

/// `d` and `p` with `x` = `d` × 10^`p`, about; `d` has 18 or 19 digits.
fn eighteen_digits(x: f64) -> (u64, i32) {
    let bits = x.to_bits();
    let mantissa = bits & ((1 << 52) - 1);
    let biased = i32::try_from(bits >> 52 & 0x7ff).expect("11 bits");
    let (mantissa, e) = if biased == 0 {
        let zeros = mantissa.leading_zeros();
        (mantissa << zeros, -1074 - zeros.cast_signed())
    } else {
        (mantissa << 11 | TOP_BIT, biased - 1086)
    };
    let p = 17 - log10_of_2_to(e + 63);
    let product = u128::from(mantissa) * u128::from(power_of_ten(p).0);
    let high = (product >> 64) as u64 >> -(e + log2_of_10_to(p) + 2);
    ((high + (high << 1 & 2)) >> 1, -p)
}

/// The double next to `d` × 10^`p`; `d` is not 0.
fn nearest(d: u64, p: i32) -> f64 {
    match p.cmp(&POWERS.0) {
        Ordering::Less => return 0.0,
        _ if p > POWERS.1 => return f64::INFINITY,
        _ => {}
    }
    let zeros = d.leading_zeros().cast_signed();
    let log = log2_of_10_to(p);
    let mut e = 53 - (64 - zeros) - log;
    if e >= 1130 {
        return 0.0;
    }
    e = e.min(1074);
    let shift = -(e - zeros + log + 3);
    let (mut u, carried) = (scaled(d << zeros, p, shift), 1u64 << 55);
    if u >= carried - 2 {
        u = u >> 1 | u & 1;
        e -= 1;
    }
    let m = (u + 1 + (u >> 2 & 1)) >> 2;
    if e <= -972 {
        return f64::INFINITY;
    }
    let hidden = 1 << 52;
    if m & hidden == 0 {
        return f64::from_bits(m);
    }
    f64::from_bits(m & !hidden | u64::try_from(1075 - e).expect("e is at most 1074") << 52)
}

/// The top bits of `x` × 10^`p`, the lowest of them set if anything was cut off.
fn scaled(x: u64, p: i32, shift: i32) -> u64 {
    let (mut power, mut rest) = power_of_ten(p);
    if rest != 0 {
        // From here the power is the next one up, less the rest.
        power += 1;
        rest = !rest;
    }
    let product = u128::from(x) * u128::from(power);
    let mut high = (product >> 64) as u64;
    let mut sticky = true;
    if high & ((1 << shift) - 1) == 0 {
        let middle = (product >> 32) as u32;
        let less = ((u128::from(x) * (u128::from(rest) << 32)) >> 96) as u32;
        sticky = middle.wrapping_sub(less) > 1;
        high -= u64::from(middle < less);
    }
    high >> shift | u64::from(sticky)
}

/// The smallest and the greatest power that matters.
const POWERS: (i32, i32) = (-348, 347);

/// The 64 highest bits of 10^`p`, and the next 32.
fn power_of_ten(p: i32) -> (u64, u32) {
    if let Ok(n @ 0..27) = usize::try_from(p) {
        return (small_power(n), 0);
    }
    let split = |power: u128| ((power >> 32) as u64, power as u32);
    if p == -1 {
        return split(EVERY_27TH[13]);
    }
    let great = EVERY_27TH[usize::try_from(p.div_euclid(27) + 13).expect("the power is in range")];
    let n = usize::try_from(p.rem_euclid(27)).expect("a remainder");
    if n == 0 {
        return split(great);
    }
    let (high, low) = split(great);
    let small = u128::from(small_power(n));
    let product = u128::from(high) * small + ((u128::from(low) * small) >> 32);
    let (x, low) = ((product >> 64) as u64, (product >> 32) as u32);
    if x & TOP_BIT == 0 { (x << 1 | u64::from(low >> 31), low << 1 | 1) } else { (x, low) }
}

/// 10^`n` with its highest bit in the highest place; exact up to 27.
fn small_power(n: usize) -> u64 {
    let power = 10u128.pow(n as u32);
    (power << power.leading_zeros() >> 64) as u64
}

fn log2_of_10_to(p: i32) -> i32 {
    (p * 108_853) >> 15
}

fn log10_of_2_to(e: i32) -> i32 {
    (e * 78_913) >> 18
}

/// 10^(27·(i−13)) to 96 bits, rounded; in the place of 10^0 stands 10^−1, cut off.
#[rustfmt::skip]
const EVERY_27TH: [u128; 26] = [
    0x8049a4ac_0c5811ae_205b896d, // 1e-351
    0xcf42894a_5dce35ea_52064cad, // 1e-324
    0xa76c5823_38ed2621_af2af2b8, // 1e-297
    0x873e4f75_e2224e68_5a7744a7, // 1e-270
    0xda7f5bf5_90966848_af39a475, // 1e-243
    0xb080392c_c4349dec_bd8d794e, // 1e-216
    0x8e938662_882af53e_547eb47b, // 1e-189
    0xe65829b3_046b0afa_0cb4a5a3, // 1e-162
    0xba121a46_50e4ddeb_92f34d62, // 1e-135
    0x964e858c_91ba2655_3a6a07f9, // 1e-108
    0xf2d56790_ab41c2a2_fae27299, // 1e-81
    0xc428d05a_a4751e4c_aa97e14c, // 1e-54
    0x9e74d1b7_91e07e48_775ea265, // 1e-27
    0xcccccccc_cccccccc_cccccccc, // 1e-1
    0xcecb8f27_f4200f3a_00000000, // 1e27
    0xa70c3c40_a64e6c51_999090b6, // 1e54
    0x86f0ac99_b4e8dafd_69a028bb, // 1e81
    0xda01ee64_1a708de9_e80e6f48, // 1e108
    0xb01ae745_b101e9e4_5ec05dd0, // 1e135
    0x8e41ade9_fbebc27d_14588f14, // 1e162
    0xe5d3ef28_2a242e81_8f1668c9, // 1e189
    0xb9a74a06_37ce2ee1_6d953e2c, // 1e216
    0x95f83d0a_1fb69cd9_4abdaf10, // 1e243
    0xf24a01a7_3cf2dccf_bc633b39, // 1e270
    0xc3b83581_09e84f07_0a862f81, // 1e297
    0x9e19db92_b4e31ba9_6c07a2c2, // 1e324
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_text_begins_with() {
        let check = |text: &str, value: f64, whole: bool, integer: bool| {
            assert_eq!(read(text.as_bytes()), Numeral { value, is_whole_text: whole, is_integer: integer }, "{text}");
        };
        check(" 37 ", 37.0, true, true);
        check("37abc", 37.0, false, true);
        check("-1.5e3", -1500.0, true, false);
        check("1e", 1.0, false, true);
        check(".", 0.0, false, true);
        check("5.", 5.0, true, false);
        check("abc", 0.0, false, true);
        check("1e-400", 0.0, true, false);
        check("1e400", f64::INFINITY, true, false);
    }

    #[test]
    fn prints_short_and_with_a_point() {
        for (x, text) in [
            (5.0, "5.0"),
            (-0.1, "-0.1"),
            (49.47, "49.47"),
            (1e100, "1.0e+100"),
            (0.000_01, "1.0e-05"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (f64::NEG_INFINITY, "-Inf"),
            (-0.0, "0.0"),
        ] {
            assert_eq!(print(x), text);
        }
    }
}
