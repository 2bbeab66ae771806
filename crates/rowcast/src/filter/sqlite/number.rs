//! Decimal digits to doubles and back, digit for digit as SQLite does it.
//!
//! SQLite reads at most about 19 digits and prints at most 17, so neither direction is what Rust's own conversion gives
//! in every case. Both use the powers of ten to 96 bits; the method is Russ Cox's (<https://research.swtch.com/fp>), the
//! cut-offs are SQLite's (`sqlite3AtoF`, `sqlite3FpDecode`, version 3.54).

mod power;

use power::{eighteen_digits, nearest};

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
        decimal.exponent = decimal.exponent.saturating_add(exponent);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// Doubles of every size, and decimals with every number of digits.
    fn numbers() -> impl Strategy<Value = (f64, String)> {
        let double = prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            any::<i64>().prop_map(|n| n as f64),
            (any::<i32>(), 0..12).prop_map(|(n, places)| f64::from(n) / 10f64.powi(places)),
            (1..1u64 << 52).prop_map(f64::from_bits),
        ];
        let decimal = ("[ +-]?", "[0-9]{0,25}", "[.]?", "[0-9]{0,25}", "(e[+-]?[0-9]{1,3})?", "[ x]?").prop_map(
            |(sign, whole, point, fraction, exponent, tail)| format!("{sign}{whole}{point}{fraction}{exponent}{tail}"),
        );
        (double.prop_filter("a number", |x| !x.is_nan()), decimal)
    }

    #[test]
    fn reads_and_prints_as_sqlite_does() {
        let database = rusqlite::Connection::open_in_memory().expect("a database");
        let sql = "SELECT CAST(?1 AS TEXT), CAST(?2 AS REAL), CAST(?3 AS REAL)";
        let ask = std::cell::RefCell::new(database.prepare(sql).expect("SQL"));
        proptest!(ProptestConfig { cases: 8192, failure_persistence: None, ..Default::default() }, |((x, decimal) in numbers())| {
            let digits = format!("{x:?}");
            let (text, value, same): (String, f64, f64) =
                ask.borrow_mut().query_row((x, &decimal, &digits), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("a row");
            prop_assert_eq!(print(x), text);
            prop_assert_eq!(read(decimal.as_bytes()).value.to_bits(), value.to_bits(), "{}", decimal);
            prop_assert_eq!(read(digits.as_bytes()).value.to_bits(), same.to_bits(), "{}", digits);
        });
    }
}
