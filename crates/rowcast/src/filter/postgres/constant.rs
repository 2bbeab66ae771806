//! Values that a filter or the claims say, as of the type that they are compared with.

use std::sync::Arc;

use super::datum::{Datum, Number};
use super::kind::Kind;
use super::moment::{Moment, time_text};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) enum Constant {
    Int(i64),
    /// A numeric in its one spelling.
    Number(Arc<str>),
    Single(Real),
    Double(Real),
    Text(Arc<str>),
    /// Without the blanks at its end.
    Padded(Arc<str>),
    Bool(bool),
    Date(Moment),
    Timestamp(Moment),
    TimestampTz(Moment),
    /// Microseconds since midnight.
    Time(i64),
    /// In its one spelling.
    Uuid(Arc<str>),
    Bytes(Arc<[u8]>),
    /// The text of a value of a type of the database's own.
    Own(Arc<str>),
}

/// A double that can be hashed: 0 has no sign, and there is one NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Real(u64);

impl Real {
    pub(super) fn new(x: f64) -> Self {
        Self(if x.is_nan() { f64::NAN } else { x + 0.0 }.to_bits())
    }

    fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl Constant {
    #[inline]
    pub(super) fn datum(&self) -> Datum<'_> {
        match self {
            Constant::Int(n) | Constant::Time(n) => Datum::Int(*n),
            Constant::Number(text) => Datum::Number(Number::read(text).unwrap_or(Number::NaN)),
            Constant::Single(x) | Constant::Double(x) => Datum::Double(x.get()),
            Constant::Text(text) | Constant::Padded(text) | Constant::Uuid(text) | Constant::Own(text) => {
                Datum::Bytes(text.as_bytes())
            }
            Constant::Bool(truth) => Datum::Int(i64::from(*truth)),
            Constant::Date(moment) | Constant::Timestamp(moment) | Constant::TimestampTz(moment) => {
                Datum::Moment(*moment)
            }
            Constant::Bytes(bytes) => Datum::Bytes(bytes),
        }
    }

    /// As PostgreSQL reads it from a text parameter.
    pub(super) fn to_text(&self) -> Arc<str> {
        match self {
            Constant::Int(n) => n.to_string().into(),
            Constant::Single(x) | Constant::Double(x) => match x.get() {
                x if x.is_nan() => "NaN".into(),
                x if x.is_infinite() => if x > 0.0 { "Infinity" } else { "-Infinity" }.into(),
                x if matches!(self, Constant::Single(_)) => format!("{:e}", x as f32).into(),
                x => format!("{x:e}").into(),
            },
            Constant::Number(text)
            | Constant::Text(text)
            | Constant::Padded(text)
            | Constant::Uuid(text)
            | Constant::Own(text) => text.clone(),
            Constant::Bool(truth) => truth.to_string().into(),
            Constant::Date(moment) => moment.to_date().into(),
            Constant::Timestamp(moment) => moment.to_timestamp("").into(),
            Constant::TimestampTz(moment) => moment.to_timestamp("+00:00").into(),
            Constant::Time(micros) => time_text(*micros).into(),
            Constant::Bytes(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("\\x{digits}").into()
            }
        }
    }

    /// What the text is cast to, for a comparison with a column of this kind.
    pub(super) fn sql_type(&self, column: &Kind) -> &'static str {
        match self {
            Constant::Int(n) => match column {
                Kind::Int(2) if i16::try_from(*n).is_ok() => "smallint",
                Kind::Int(2 | 4) if i32::try_from(*n).is_ok() => "integer",
                Kind::Int(_) => "bigint",
                _ => "numeric",
            },
            Constant::Number(_) => "numeric",
            Constant::Single(_) => "real",
            Constant::Double(_) => "double precision",
            Constant::Text(_) | Constant::Own(_) => "text",
            Constant::Padded(_) => "bpchar",
            Constant::Bool(_) => "boolean",
            Constant::Date(_) => "date",
            Constant::Timestamp(_) => "timestamp without time zone",
            Constant::TimestampTz(_) => "timestamp with time zone",
            Constant::Time(_) => "time without time zone",
            Constant::Uuid(_) => "uuid",
            Constant::Bytes(_) => "bytea",
        }
    }
}
