//! Values as an equality index sees them.

use std::sync::Arc;

use super::decimal::Decimal;
use crate::event::Value;

/// A value as an equality index sees it: two values that `=` calls equal have equal keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Spelling);

/// The one spelling of all values that are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Spelling {
    Int(i64),
    /// The bits of a double that is no `i64`, never NaN.
    Real(u64),
    /// An exact number that is no `i64`.
    Number(Arc<str>),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}

impl Key {
    /// The key of a row's value; `None` where `=` is never true (NULL, unchanged, NaN, which is not indexed).
    pub fn of(value: &Value) -> Option<Self> {
        Some(Self(match value {
            Value::Null | Value::Unchanged => return None,
            Value::Bool(truth) => Spelling::Int(i64::from(*truth)),
            Value::Int(n) => Spelling::Int(*n),
            Value::Real(x) if x.is_nan() => return None,
            Value::Real(x) => integer(*x).map_or(Spelling::Real(x.to_bits()), Spelling::Int),
            Value::Number(digits) => {
                let number = Decimal::read(digits)?;
                number.to_int().map_or_else(|| Spelling::Number(number.to_text().into()), Spelling::Int)
            }
            Value::Text(text) | Value::Json(text) => Spelling::Text(text.clone()),
            Value::Bytes(bytes) => Spelling::Bytes(bytes.clone()),
        }))
    }
}

/// The integer that a double is.
fn integer(x: f64) -> Option<i64> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    ((-BEYOND..BEYOND).contains(&x) && x.trunc() == x).then_some(x as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_keys() {
        let key = |value| Key::of(&value);
        let number = |digits: &str| key(Value::Number(digits.into()));
        assert_eq!(key(Value::Int(1)), key(Value::Real(1.0)));
        assert_eq!(key(Value::Int(0)), key(Value::Real(-0.0)));
        assert_eq!(key(Value::Int(i64::MIN)), key(Value::Real(-9_223_372_036_854_775_808.0)));
        assert_ne!(key(Value::Int(i64::MAX)), key(Value::Real(9_223_372_036_854_775_807.0)));
        assert_ne!(key(Value::Int(1)), key(Value::Text("1".into())));
        assert_eq!(number("1.00"), key(Value::Int(1)));
        assert_eq!(number("-0.50"), number("-0.5"));
        assert_ne!(number("0.5"), number("0.05"));
        for none in [Value::Null, Value::Unchanged, Value::Real(f64::NAN), Value::Number("NaN".into())] {
            assert_eq!(Key::of(&none), None);
        }
    }
}
