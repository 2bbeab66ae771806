//! Values as a comparison sees them.

use std::cmp::Ordering;

use super::super::decimal::Decimal;
use super::constant::Constant;
use super::kind::Kind;
use super::moment::{self, Moment};
use crate::event::Value;

/// Which of PostgreSQL's comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum By {
    /// Integers and numerics, exact.
    Number,
    /// Both as single precision.
    Single,
    /// Both as double precision.
    Double,
    /// Byte by byte.
    Text,
    /// Byte by byte, without the blanks at the end.
    Padded,
    Bool,
    /// Dates and timestamps, all as UTC.
    Moment,
    /// Time of day.
    Time,
    /// The text in its one spelling, whose order is that of the bytes.
    Uuid,
    Bytes,
    /// The text of a type of the database's own: equal or not.
    Own,
}

/// A value that is not NULL.
#[derive(Debug, Clone, Copy)]
pub(super) enum Datum<'v> {
    Int(i64),
    Number(Number<'v>),
    Double(f64),
    Bytes(&'v [u8]),
    Moment(Moment),
    /// Of a type of the database's own, and no text: equal to no label.
    Odd,
}

/// A numeric.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number<'v> {
    MinusInfinity,
    Finite(Decimal<'v>),
    Infinity,
    NaN,
}

impl By {
    /// How a row's value stands to a constant; `None` if it is NULL or was not sent.
    ///
    /// The common pairs without a detour over [`Datum`]: most filters do little else.
    #[inline]
    pub(super) fn order(self, value: &Value, kind: &Kind, constant: &Constant) -> Option<Ordering> {
        match (self, value, constant) {
            (By::Number, Value::Int(a), Constant::Int(b)) => Some(a.cmp(b)),
            (By::Text, Value::Text(a), Constant::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            _ => Some(self.datum(value, kind)?.order(&constant.datum())),
        }
    }

    /// `None` for NULL, for what was not sent, and for what is not of the type.
    pub(super) fn datum<'v>(self, value: &'v Value, kind: &Kind) -> Option<Datum<'v>> {
        Some(match (self, value) {
            (_, Value::Null | Value::Unchanged) => return None,
            (By::Number, Value::Int(n)) => Datum::Int(*n),
            (By::Number, Value::Number(text) | Value::Text(text)) => Datum::Number(Number::read(text)?),
            (By::Number, Value::Real(x)) => Datum::Number(Number::special(*x)?),
            (By::Single | By::Double, value) => Datum::Double(double(value, kind)?),
            (By::Text, Value::Text(text)) if matches!(kind, Kind::Bpchar(_)) => Datum::Bytes(unpadded(text)),
            (By::Text | By::Uuid | By::Own, Value::Text(text)) => Datum::Bytes(text.as_bytes()),
            (By::Padded, Value::Text(text)) => Datum::Bytes(unpadded(text)),
            (By::Bool, Value::Bool(truth)) => Datum::Int(i64::from(*truth)),
            (By::Moment, Value::Text(text)) => Datum::Moment(moment::read(text, kind).ok()?),
            (By::Time, Value::Text(text)) => Datum::Int(moment::read_time(text).ok()?),
            (By::Bytes, Value::Bytes(bytes)) => Datum::Bytes(bytes),
            (By::Own, _) => Datum::Odd,
            _ => return None,
        })
    }

    /// Whether it says more than equal or not.
    pub(super) fn has_order(self) -> bool {
        self != By::Own
    }
}

impl Datum<'_> {
    /// Both sides are of one comparison.
    pub(super) fn order(&self, other: &Datum<'_>) -> Ordering {
        match (self, other) {
            (Datum::Int(a), Datum::Int(b)) => a.cmp(b),
            (Datum::Double(a), Datum::Double(b)) => order_of_doubles(*a, *b),
            (Datum::Bytes(a), Datum::Bytes(b)) => a.cmp(b),
            (Datum::Moment(a), Datum::Moment(b)) => a.cmp(b),
            (Datum::Number(a), Datum::Number(b)) => a.order(b),
            (Datum::Int(a), Datum::Number(b)) => b.order_to(*a).reverse(),
            (Datum::Number(a), Datum::Int(b)) => a.order_to(*b),
            _ => Ordering::Less,
        }
    }
}

impl<'v> Number<'v> {
    pub(super) fn read(text: &'v str) -> Option<Self> {
        if let Some(finite) = Decimal::read(text) {
            return Some(Number::Finite(finite));
        }
        let (sign, name) = match text.as_bytes() {
            [b'-', ..] => (-1.0, &text[1..]),
            [b'+', ..] => (1.0, &text[1..]),
            _ => (1.0, text),
        };
        match name.to_ascii_lowercase().as_str() {
            "nan" if name == text => Some(Number::NaN),
            "inf" | "infinity" => Self::special(sign * f64::INFINITY),
            _ => None,
        }
    }

    fn special(x: f64) -> Option<Self> {
        match x {
            x if x.is_nan() => Some(Number::NaN),
            f64::INFINITY => Some(Number::Infinity),
            f64::NEG_INFINITY => Some(Number::MinusInfinity),
            _ => None,
        }
    }

    /// The infinities at the ends, and NaN behind both.
    fn class(&self) -> u8 {
        match self {
            Number::MinusInfinity => 0,
            Number::Finite(_) => 1,
            Number::Infinity => 2,
            Number::NaN => 3,
        }
    }

    fn order(&self, other: &Number<'_>) -> Ordering {
        match (self, other) {
            (Number::Finite(a), Number::Finite(b)) => a.order(b),
            _ => self.class().cmp(&other.class()),
        }
    }

    fn order_to(&self, n: i64) -> Ordering {
        let mut digits = itoa::Buffer::new();
        let n = Decimal::read(digits.format(n)).map_or(Number::NaN, Number::Finite);
        self.order(&n)
    }
}

/// -0 is 0, and NaN is equal to itself and greater than all others.
fn order_of_doubles(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn double(value: &Value, kind: &Kind) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::Real(x) if *kind == Kind::Float4 => Some(f64::from(*x as f32)),
        Value::Real(x) => Some(*x),
        Value::Number(text) | Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn unpadded(text: &str) -> &[u8] {
    text.trim_end_matches(' ').as_bytes()
}
