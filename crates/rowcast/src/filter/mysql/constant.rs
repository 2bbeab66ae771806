//! Values that a filter or the claims say, as of the type that they are compared with.

use std::sync::Arc;

use super::super::decimal::Decimal;
use super::datum::{Datum, inet};
use super::moment::Moment;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) enum Constant {
    Int(i64),
    /// An exact number that is no `i64`, in its one spelling.
    Number(Arc<str>),
    Double(Real),
    Text(Arc<str>),
    Date(Moment),
    DateTime(Moment),
    /// In UTC.
    Timestamp(Moment),
    /// Microseconds.
    Time(i64),
    Bytes(Arc<[u8]>),
    /// In its one spelling.
    Uuid(Arc<str>),
    Inet6(Arc<str>),
    Inet4(Arc<str>),
}

/// A double that can be hashed: 0 has no sign, and there is no NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Real(u64);

impl Real {
    pub(super) fn new(x: f64) -> Self {
        Self((x + 0.0).to_bits())
    }

    pub(super) fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl Constant {
    #[inline]
    pub(super) fn datum(&self) -> Datum<'_> {
        match self {
            Constant::Int(n) | Constant::Time(n) => Datum::Int(*n),
            Constant::Number(text) => Decimal::read(text).map_or(Datum::Int(0), Datum::Number),
            Constant::Double(x) => Datum::Double(x.get()),
            Constant::Text(text) | Constant::Uuid(text) => Datum::Bytes(text.as_bytes()),
            Constant::Date(moment) | Constant::DateTime(moment) | Constant::Timestamp(moment) => Datum::Moment(*moment),
            Constant::Bytes(bytes) => Datum::Bytes(bytes),
            Constant::Inet6(text) | Constant::Inet4(text) => Datum::Inet(inet(text).unwrap_or(0)),
        }
    }
}
