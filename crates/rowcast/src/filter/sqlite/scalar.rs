//! Values as comparison sees them: borrowed from a row, or kept as a constant.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use crate::event::Value;

/// A value of one of SQLite's storage classes. Text is bytes: JSON can hold halves of surrogate pairs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    Int(i64),
    /// Never NaN.
    Real(f64),
    Text(Cow<'a, [u8]>),
    Blob(&'a [u8]),
}

impl<'a> Scalar<'a> {
    /// `None` for a column that was not sent.
    #[inline]
    pub(super) fn of(value: &'a Value) -> Option<Self> {
        Some(match value {
            Value::Unchanged => return None,
            Value::Null => Scalar::Null,
            Value::Bool(b) => Scalar::Int(i64::from(*b)),
            Value::Int(n) => Scalar::Int(*n),
            Value::Real(x) => Scalar::real(*x),
            Value::Number(digits) => Scalar::real(digits.parse().unwrap_or(f64::NAN)),
            Value::Text(text) | Value::Json(text) => Scalar::Text(Cow::Borrowed(text.as_bytes())),
            Value::Bytes(bytes) => Scalar::Blob(bytes),
        })
    }

    /// NaN is NULL, as SQLite has it.
    fn real(x: f64) -> Self {
        if x.is_nan() { Scalar::Null } else { Scalar::Real(x) }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Scalar::Null)
    }

    /// NULL, then numbers by value, then text and then bytes, both byte by byte.
    #[inline]
    pub(super) fn order(&self, other: &Scalar<'_>) -> Ordering {
        match (self, other) {
            (Scalar::Int(a), Scalar::Int(b)) => a.cmp(b),
            (Scalar::Real(a), Scalar::Real(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Scalar::Int(a), Scalar::Real(b)) => order_exactly(*a, *b),
            (Scalar::Real(a), Scalar::Int(b)) => order_exactly(*b, *a).reverse(),
            (Scalar::Text(a), Scalar::Text(b)) => a.as_ref().cmp(b.as_ref()),
            (Scalar::Blob(a), Scalar::Blob(b)) => a.cmp(b),
            _ => self.class().cmp(&other.class()),
        }
    }

    fn class(&self) -> u8 {
        match self {
            Scalar::Null => 0,
            Scalar::Int(_) | Scalar::Real(_) => 1,
            Scalar::Text(_) => 2,
            Scalar::Blob(_) => 3,
        }
    }
}

/// Compares the numbers themselves: a double does not hold every integer, nor an integer every double.
fn order_exactly(a: i64, b: f64) -> Ordering {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if b >= BEYOND {
        return Ordering::Less;
    }
    if b < -BEYOND {
        return Ordering::Greater;
    }
    let whole = b.trunc();
    a.cmp(&(whole as i64)).then_with(|| whole.partial_cmp(&b).unwrap_or(Ordering::Equal))
}

/// A value that a filter or the claims say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) enum Constant {
    Null,
    Int(i64),
    Real(Real),
    Text(Arc<str>),
    Blob(Arc<[u8]>),
}

/// A double that can be hashed: never NaN, and 0 has no sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Real(u64);

impl Real {
    pub(super) fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl Constant {
    pub(super) fn real(x: f64) -> Self {
        if x.is_nan() { Constant::Null } else { Constant::Real(Real((x + 0.0).to_bits())) }
    }

    #[inline]
    pub(super) fn scalar(&self) -> Scalar<'_> {
        match self {
            Constant::Null => Scalar::Null,
            Constant::Int(n) => Scalar::Int(*n),
            Constant::Real(x) => Scalar::Real(x.get()),
            Constant::Text(text) => Scalar::Text(Cow::Borrowed(text.as_bytes())),
            Constant::Blob(bytes) => Scalar::Blob(bytes),
        }
    }

    /// How a row's value stands to this one; `None` if either is NULL or was not sent.
    ///
    /// The common pairs without a detour over [`Scalar`]: most filters do little else.
    #[inline]
    pub(super) fn order_of(&self, value: &Value) -> Option<Ordering> {
        match (value, self) {
            (Value::Int(a), Constant::Int(b)) => Some(a.cmp(b)),
            (Value::Real(a), Constant::Real(b)) => a.partial_cmp(&b.get()),
            (Value::Text(a), Constant::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Value::Null | Value::Unchanged, _) | (_, Constant::Null) => None,
            _ => self.order_of_other(value),
        }
    }

    #[inline(never)]
    fn order_of_other(&self, value: &Value) -> Option<Ordering> {
        let value = Scalar::of(value).filter(|value| !value.is_null())?;
        Some(value.order(&self.scalar()))
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Constant::Null => Value::Null,
            Constant::Int(n) => Value::Int(*n),
            Constant::Real(x) => Value::Real(x.get()),
            Constant::Text(text) => Value::Text(text.clone()),
            Constant::Blob(bytes) => Value::Bytes(bytes.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_doubles_compare_as_the_numbers_they_are() {
        let order = |a, b| Scalar::Int(a).order(&Scalar::Real(b));
        assert_eq!(order(9_007_199_254_740_993, 9_007_199_254_740_992.0), Ordering::Greater);
        assert_eq!(order(i64::MAX, 9_223_372_036_854_775_807.0), Ordering::Less);
        assert_eq!(order(i64::MIN, -9_223_372_036_854_775_808.0), Ordering::Equal);
        assert_eq!(order(-1, -1.5), Ordering::Greater);
        assert_eq!(order(0, -0.0), Ordering::Equal);
        assert_eq!(order(5, f64::INFINITY), Ordering::Less);
    }
}
