//! Values as a comparison sees them.

use std::cmp::Ordering;

use super::super::decimal::Decimal;
use super::constant::Constant;
use super::moment::{self, Moment};
use crate::event::Value;
use crate::mysql::Kind;

/// Which comparison two values make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum By {
    /// Integers and decimals, exact.
    Number,
    /// Both as double precision.
    Double,
    /// Byte by byte, in UTF-8.
    Text,
    /// Dates, datetimes and timestamps, as they are written.
    Moment,
    /// A time of any number of hours.
    Time,
    Bytes,
    /// The text in its one spelling: equal or not.
    Uuid,
    /// 4 or 16 bytes.
    Inet,
}

/// A value that is not NULL.
#[derive(Debug, Clone, Copy)]
pub(super) enum Datum<'v> {
    Int(i64),
    Number(Decimal<'v>),
    Double(f64),
    Bytes(&'v [u8]),
    Moment(Moment),
    Inet(u128),
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
            (By::Number, Value::Int(n)) => Datum::Int(*n),
            (By::Number, Value::Bool(truth)) => Datum::Int(i64::from(*truth)),
            (By::Number, Value::Number(text) | Value::Text(text)) => Datum::Number(Decimal::read(text)?),
            (By::Double, value) => Datum::Double(double(value, kind)?),
            (By::Text | By::Uuid, Value::Text(text)) => Datum::Bytes(text.as_bytes()),
            (By::Moment, Value::Text(text)) => Datum::Moment(moment::stored(text)?),
            (By::Time, Value::Text(text)) => Datum::Int(moment::read_time(text).ok()?),
            (By::Bytes, Value::Bytes(bytes)) => Datum::Bytes(bytes),
            (By::Inet, Value::Text(text)) => Datum::Inet(inet(text)?),
            _ => return None,
        })
    }

    /// Whether it says more than equal or not: the bytes of a UUID are in another order than its text.
    pub(super) fn has_order(self) -> bool {
        self != By::Uuid
    }
}

impl Datum<'_> {
    /// Both sides are of one comparison.
    pub(super) fn order(&self, other: &Datum<'_>) -> Ordering {
        let digits = |n: &i64, order: &dyn Fn(&Decimal<'_>) -> Ordering| {
            let mut buffer = itoa::Buffer::new();
            Decimal::read(buffer.format(*n)).map_or(Ordering::Less, |n| order(&n))
        };
        match (self, other) {
            (Datum::Int(a), Datum::Int(b)) => a.cmp(b),
            (Datum::Double(a), Datum::Double(b)) => a.partial_cmp(b).unwrap_or(Ordering::Less),
            (Datum::Bytes(a), Datum::Bytes(b)) => a.cmp(b),
            (Datum::Moment(a), Datum::Moment(b)) => a.cmp(b),
            (Datum::Inet(a), Datum::Inet(b)) => a.cmp(b),
            (Datum::Number(a), Datum::Number(b)) => a.order(b),
            (Datum::Int(a), Datum::Number(b)) => digits(a, &|a| a.order(b)),
            (Datum::Number(a), Datum::Int(b)) => digits(b, &|b| a.order(b)),
            _ => Ordering::Less,
        }
    }
}

/// As the server widens it: a `float` has the precision of four bytes, however its value was printed.
fn double(value: &Value, kind: &Kind) -> Option<f64> {
    match value {
        Value::Real(x) if *kind == Kind::Float => Some(f64::from(*x as f32)),
        Value::Int(n) => Some(*n as f64),
        Value::Real(x) => Some(*x),
        Value::Number(text) | Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// The bytes of an address as a number: their order is that of the bytes.
pub(super) fn inet(text: &str) -> Option<u128> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let v4 = || text.parse::<Ipv4Addr>().map(|address| u128::from(address.to_bits())).ok();
    text.parse::<Ipv6Addr>().map(Ipv6Addr::to_bits).ok().or_else(v4)
}
