//! Values as the server sends and takes them in prepared statements, where every type has all its bits.

use std::fmt::Write as _;

use mysql_async::Value as Raw;

use crate::event::Value;
use crate::mysql::Kind;

/// A column's value, as [`Kind`] says it is told.
pub(super) fn read(kind: &Kind, raw: Raw) -> Value {
    match raw {
        Raw::NULL => Value::Null,
        Raw::Int(n) => Value::Int(n),
        Raw::UInt(n) => unsigned(n),
        Raw::Float(x) => Value::Real(single(x)),
        Raw::Double(x) => Value::Real(x),
        Raw::Date(year, month, day, hour, minute, second, micros) => {
            let mut text = format!("{year:04}-{month:02}-{day:02}");
            if !matches!(kind, Kind::Date) {
                let _ = write!(text, " {hour:02}:{minute:02}:{second:02}{}", fraction(micros, digits(kind)));
            }
            if matches!(kind, Kind::Timestamp(_)) {
                text.push_str("+00");
            }
            Value::Text(text.into())
        }
        Raw::Time(negative, days, hours, minutes, seconds, micros) => {
            let sign = if negative { "-" } else { "" };
            let hours = u64::from(days) * 24 + u64::from(hours);
            let fraction = fraction(micros, digits(kind));
            Value::Text(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}").into())
        }
        Raw::Bytes(bytes) => of_bytes(kind, bytes),
    }
}

fn of_bytes(kind: &Kind, bytes: Vec<u8>) -> Value {
    match kind {
        Kind::Bytes => Value::Bytes(bytes.into()),
        Kind::Bit(_) => unsigned(bytes.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))),
        Kind::Decimal { .. } => Value::Number(text(bytes).into()),
        Kind::Json => Value::Json(text(bytes).into()),
        _ => Value::Text(text(bytes).into()),
    }
}

/// The server converts to UTF-8, and replaces what has no place there.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The double with the same shortest digits: `0.1` stays `0.1`.
pub(super) fn single(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

fn unsigned(n: u64) -> Value {
    i64::try_from(n).map_or_else(|_| Value::Number(n.to_string().into()), Value::Int)
}

/// Digits of the fraction of a second.
fn digits(kind: &Kind) -> u8 {
    match kind {
        Kind::Time(digits) | Kind::DateTime(digits) | Kind::Timestamp(digits) => *digits,
        _ => 0,
    }
}

fn fraction(micros: u32, digits: u8) -> String {
    if digits == 0 {
        return String::new();
    }
    let mut text = format!(".{micros:06}");
    text.truncate(1 + usize::from(digits.min(6)));
    text
}

/// A value as a column of this kind takes it.
pub(super) fn write(kind: &Kind, value: &Value) -> Raw {
    match (kind, value) {
        (_, Value::Null | Value::Unchanged) => Raw::NULL,
        (_, Value::Bool(truth)) => Raw::Int((*truth).into()),
        (_, Value::Int(n)) => Raw::Int(*n),
        (_, Value::Real(x)) => Raw::Double(*x),
        // As text, its digits would be the bits.
        (Kind::Bit(_), Value::Number(digits)) => match digits.parse() {
            Ok(bits) => Raw::UInt(bits),
            Err(_) => Raw::Bytes(digits.as_bytes().into()),
        },
        (Kind::Timestamp(_), Value::Text(text)) => {
            Raw::Bytes(text.strip_suffix("+00").unwrap_or(text).as_bytes().into())
        }
        (_, Value::Number(text) | Value::Text(text) | Value::Json(text)) => Raw::Bytes(text.as_bytes().into()),
        (_, Value::Bytes(bytes)) => Raw::Bytes(bytes.to_vec()),
    }
}

/// Parameters of a filter: the filter has chosen each as its comparison needs it.
pub(super) fn parameters(params: &[Value]) -> Vec<Raw> {
    params.iter().map(|value| write(&Kind::Other, value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(declared: &str, raw: Raw, wanted: Value) {
        assert_eq!(read(&Kind::of(declared), raw), wanted, "{declared}");
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn times_have_the_digits_that_were_declared() {
        let date = |micros| Raw::Date(2026, 11, 21, 5, 13, 56, micros);
        check("datetime", date(0), text("2026-11-21 05:13:56"));
        check("datetime(3)", date(120_000), text("2026-11-21 05:13:56.120"));
        check("timestamp(6)", date(1), text("2026-11-21 05:13:56.000001+00"));
        check("date", Raw::Date(0, 0, 0, 0, 0, 0, 0), text("0000-00-00"));
        check("time(6)", Raw::Time(true, 34, 22, 59, 59, 0), text("-838:59:59.000000"));
        check("time", Raw::Time(false, 0, 1, 2, 3, 0), text("01:02:03"));
    }

    #[test]
    fn numbers_keep_what_they_are() {
        check("bigint unsigned", Raw::UInt(u64::MAX), Value::Number("18446744073709551615".into()));
        check("float", Raw::Float(0.1), Value::Real(0.1));
        check("bit(9)", Raw::Bytes(vec![1, 3]), Value::Int(259));
        check("decimal(5,2)", Raw::Bytes(b"-1.50".to_vec()), Value::Number("-1.50".into()));
    }
}
