//! Exact decimal numbers of any length, compared where they stand.

use std::cmp::Ordering;
use std::fmt::Write as _;

/// A finite number: digits with a point and an exponent, read in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal<'t> {
    negative: bool,
    /// Digits before the point, without leading zeros.
    whole: &'t [u8],
    /// Digits behind it.
    fraction: &'t [u8],
    exponent: i64,
}

/// The longest exponent that is read.
const EXPONENT_DIGITS_MAX: usize = 9;

impl<'t> Decimal<'t> {
    /// `-12.50`, `.5`, `5.`, `1e6`; `None` for anything else.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let (negative, digits) = signed(text.as_bytes());
        let (digits, exponent) = match digits.iter().position(|b| matches!(b, b'e' | b'E')) {
            Some(at) => (&digits[..at], exponent(&digits[at + 1..])?),
            None => (digits, 0),
        };
        let point = digits.iter().position(|b| *b == b'.');
        let (whole, fraction) = point.map_or((digits, &[][..]), |at| (&digits[..at], &digits[at + 1..]));
        let is_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let zeros = whole.iter().take_while(|b| **b == b'0').count();
        Some(Self { negative, whole: &whole[zeros..], fraction, exponent })
    }

    /// The digits from the first that is not 0.
    fn significant(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).copied().skip_while(|b| *b == b'0')
    }

    fn is_zero(&self) -> bool {
        self.significant().next().is_none()
    }

    /// How many places the first significant digit stands before the point; 0 and less behind it.
    pub(super) fn magnitude(&self) -> i64 {
        let places = match self.whole.len() {
            0 => -self.fraction.iter().take_while(|b| **b == b'0').count().cast_signed(),
            count => count.cast_signed(),
        };
        self.exponent + places as i64
    }

    /// How many places behind the point the last significant digit stands; less than 0 before it.
    pub(super) fn scale(&self) -> i64 {
        self.significant_count() as i64 - self.magnitude()
    }

    /// How many digits are left without zeros at both ends.
    fn significant_count(&self) -> usize {
        self.significant().enumerate().filter(|(_, b)| *b != b'0').last().map_or(0, |(at, _)| at + 1)
    }

    /// The integer that the number is, if `i64` holds it.
    pub(super) fn to_int(self) -> Option<i64> {
        if self.is_zero() {
            return Some(0);
        }
        let (count, places) = (self.significant_count(), usize::try_from(self.magnitude()).ok()?);
        if places > 19 || count > places {
            return None;
        }
        let digits = self.significant().chain(std::iter::repeat(b'0')).take(places);
        let n = digits.fold(0i128, |n, b| n * 10 + i128::from(b - b'0'));
        i64::try_from(if self.negative { -n } else { n }).ok()
    }

    /// The sign, the whole part up to `most`, and the first nine digits behind the point: none where it is cut at `most`.
    pub(super) fn parts(&self, most: u64) -> (bool, u64, u64) {
        let places = self.magnitude();
        if self.is_zero() {
            return (false, 0, 0);
        }
        if places > 19 {
            return (self.negative, most, 0);
        }
        let mut digits = self.significant().chain(std::iter::repeat(b'0')).map(|b| b - b'0');
        let mut take = |count: i64| {
            let digits = digits.by_ref().take(usize::try_from(count).unwrap_or(0));
            digits.fold(0u128, |n, digit| n * 10 + u128::from(digit))
        };
        let whole = take(places);
        let fraction = take(9 - (-places).clamp(0, 9));
        match u64::try_from(whole) {
            Ok(whole) if whole < most => (self.negative, whole, fraction as u64),
            _ => (self.negative, most, 0),
        }
    }

    /// The one spelling of the number: equal numbers have equal ones.
    pub(super) fn to_text(self) -> String {
        let mut text = String::new();
        if self.is_zero() {
            text.push('0');
            return text;
        }
        if self.negative {
            text.push('-');
        }
        let digits: String = self.significant().take(self.significant_count()).map(char::from).collect();
        let (count, places) = (digits.len() as i64, self.magnitude());
        match usize::try_from(places) {
            Ok(places @ 1..=40) if places < digits.len() => {
                let (whole, fraction) = digits.split_at(places);
                let _ = write!(text, "{whole}.{fraction}");
            }
            Ok(places @ 1..=40) => {
                let _ = write!(text, "{digits:0<places$}");
            }
            Ok(0) => {
                let _ = write!(text, "0.{digits}");
            }
            _ => {
                let _ = write!(text, "{digits}e{}", places - count);
            }
        }
        text
    }

    pub(super) fn order(&self, other: &Decimal<'_>) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return if other.negative { Ordering::Greater } else { Ordering::Less },
            (false, true) => return if self.negative { Ordering::Less } else { Ordering::Greater },
            (false, false) => {}
        }
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.order_of_sizes(other),
            (true, true) => other.order_of_sizes(self),
        }
    }

    fn order_of_sizes(&self, other: &Decimal<'_>) -> Ordering {
        self.magnitude().cmp(&other.magnitude()).then_with(|| {
            let (mut a, mut b) = (self.significant(), other.significant());
            loop {
                match (a.next(), b.next()) {
                    (None, None) => return Ordering::Equal,
                    (x, y) => {
                        let order = x.unwrap_or(b'0').cmp(&y.unwrap_or(b'0'));
                        if order.is_ne() {
                            return order;
                        }
                    }
                }
            }
        })
    }
}

fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = signed(text);
    if digits.is_empty() || digits.len() > EXPONENT_DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n = digits.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
    Some(if negative { -n } else { n })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Decimal<'_> {
        Decimal::read(text).expect(text)
    }

    #[test]
    fn numbers_are_in_order_however_they_are_written() {
        let ascending = [
            "-1e3", "-999.5", "-1", "-0.5", "-0.05", "-1e-30", "0", "1e-30", "0.1", "0.10001", "1", "1.5", "9", "10",
            "1e2", "1e300",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(read(a).order(&read(b)), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn equal_numbers_have_one_spelling() {
        for (spellings, one) in [
            (vec!["0", "-0.00", ".0", "0e5"], "0"),
            (vec!["1", "+1", "01.00", "10e-1", "0.001e3"], "1"),
            (vec!["-12.5", "-12.500", "-125e-1"], "-12.5"),
            (vec!["0.05", "5e-2", ".050"], "5e-2"),
            (vec!["1000", "1e3", "1000."], "1000"),
            (vec!["1e50", "10e49"], "1e50"),
        ] {
            for spelling in &spellings {
                assert_eq!(read(spelling).to_text(), one, "{spelling}");
                assert_eq!(read(spelling).order(&read(one)), Ordering::Equal, "{spelling}");
                assert_eq!(read(one).to_text(), one);
            }
        }
    }

    #[test]
    fn integers_are_found_as_far_as_they_fit() {
        for (text, n) in [
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808.000", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1.5", None),
            ("1e18", Some(1_000_000_000_000_000_000)),
            ("1e19", None),
            ("-0.0", Some(0)),
            ("0.5", None),
        ] {
            assert_eq!(read(text).to_int(), n, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        for text in ["", ".", "-", "1e", "e5", "1.2.3", "NaN", "0x10", " 1", "1 ", "1e9999999999", "--1", "1_0"] {
            assert!(Decimal::read(text).is_none(), "{text}");
        }
    }
}
