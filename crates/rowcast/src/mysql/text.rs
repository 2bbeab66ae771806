//! Values as the outbox's triggers write them: a text for each, which tells it exactly.

use std::sync::Arc;

use super::Kind;
use crate::event::Value;

/// A column's value from what `mysql::install` made a text of; `None` stands for NULL.
///
/// A text that is none of its kind is kept as a text.
pub(crate) fn value(kind: &Kind, text: Option<&str>) -> Value {
    let Some(text) = text else { return Value::Null };
    let exact = match kind {
        Kind::Int { .. } | Kind::Year | Kind::Bit(_) => integer(text),
        Kind::Decimal { .. } => Some(Value::Number(decimal(text).into())),
        Kind::Float => text.parse::<f64>().ok().map(single),
        Kind::Double => text.parse::<f64>().ok().map(Value::Real),
        Kind::Bytes => bytes(text),
        Kind::Json => Some(Value::Json(text.into())),
        Kind::Timestamp(_) => Some(Value::Text(format!("{text}+00").into())),
        _ => None,
    };
    exact.unwrap_or_else(|| Value::Text(text.into()))
}

fn integer(text: &str) -> Option<Value> {
    match text.parse::<i64>() {
        Ok(number) => Some(Value::Int(number)),
        // With ZEROFILL there may be zeros before it.
        Err(_) => text.parse::<u64>().ok().map(|number| Value::Number(number.to_string().into())),
    }
}

/// Without the zeros of ZEROFILL: `007.50` → `7.50`.
fn decimal(text: &str) -> &str {
    let rest = text.trim_start_matches('0');
    if rest.is_empty() || rest.starts_with('.') { &text[text.len() - rest.len() - 1..] } else { rest }
}

/// Of four bytes, told with the fewest digits that mean them: 0.1, not 0.10000000149011612.
#[expect(clippy::cast_possible_truncation, reason = "it was of four bytes before it became a text")]
fn single(number: f64) -> Value {
    let single = number as f32;
    Value::Real(single.to_string().parse().unwrap_or(number))
}

fn bytes(hex: &str) -> Option<Value> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect();
    bytes.map(|bytes| Value::Bytes(Arc::from(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_values() {
        let check = |declared: &str, text: &str, expected: Value| {
            assert_eq!(value(&Kind::of(declared), Some(text)), expected, "{declared} {text}");
        };
        check("int unsigned", "00042", Value::Int(42));
        check("bigint unsigned", "18446744073709551615", Value::Number("18446744073709551615".into()));
        check("bit(64)", "9223372036854775808", Value::Number("9223372036854775808".into()));
        check("year", "0000", Value::Int(0));
        check("decimal(10,2)", "-12.30", Value::Number("-12.30".into()));
        check("decimal(10,2) unsigned", "00000012.30", Value::Number("12.30".into()));
        check("decimal(10,2) unsigned", "00000000.30", Value::Number("0.30".into()));
        check("decimal(10,0)", "0", Value::Number("0".into()));
        check("float", "0.10000000149011612", Value::Real(0.1));
        check("double", "1e300", Value::Real(1e300));
        check("blob", "00FF", Value::Bytes(Arc::from([0, 255])));
        check("timestamp(3)", "2026-01-01 05:00:00.123", Value::Text("2026-01-01 05:00:00.123+00".into()));
        assert_eq!(value(&Kind::Text, None), Value::Null);
    }
}
