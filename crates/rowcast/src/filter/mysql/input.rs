//! Values of the filter's text and of the claims, read for a column's type.
//!
//! MySQL converts whatever it is given, and loses what does not fit; here that is refused, where it can be pointed at.

use std::sync::Arc;

use serde_json::Value as Json;

use super::super::decimal::Decimal;
use super::super::error::{FilterError, Span};
use super::super::expr::Literal;
use super::constant::{Constant, Real};
use super::datum::{By, inet};
use super::moment::{self, Fault, Moment};
use crate::mysql::Kind;

/// A value as it was written, before anything is known of its type.
#[derive(Debug, Clone)]
pub(super) enum Said {
    Null,
    Bool(bool),
    /// Digits, perhaps with a fraction and an exponent.
    Number(Arc<str>),
    /// In quotes.
    Text(Arc<str>),
    /// A text of the claims, where numbers often are texts (`sub`).
    Claim(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// Digits of a DECIMAL in all, and behind its point.
const DECIMAL_DIGITS: (i64, i64) = (65, 30);

impl Said {
    pub(super) fn literal(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Said::Null,
            Literal::Bool(truth) => Said::Bool(*truth),
            Literal::Int(n) => Said::Number(n.to_string().into()),
            Literal::Real { digits, .. } => Said::Number(digits.as_str().into()),
            Literal::Text(text) => Said::Text(text.as_str().into()),
            Literal::Blob(bytes) => Said::Bytes(bytes.as_slice().into()),
        }
    }

    /// A claim's value, which is no list and no object.
    pub(super) fn claim(value: &Json) -> Self {
        match value {
            Json::Bool(truth) => Said::Bool(*truth),
            Json::Number(number) => Said::Number(number.to_string().into()),
            Json::String(text) => Said::Claim(text.as_str().into()),
            Json::Null | Json::Array(_) | Json::Object(_) => Said::Null,
        }
    }

    /// The type that it has by itself, and its name.
    pub(super) fn kind(&self) -> (Kind, &'static str) {
        match self {
            Said::Null | Said::Text(_) | Said::Claim(_) => (Kind::Text, "text"),
            Said::Bool(_) => (Kind::Int { bytes: 1, unsigned: false }, "boolean"),
            Said::Bytes(_) => (Kind::Bytes, "blob"),
            Said::Number(_) => (Kind::Decimal { precision: 65, scale: 30, unsigned: false }, "decimal"),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Said::Text(_) | Said::Claim(_))
    }

    fn name(&self) -> &'static str {
        match self {
            Said::Null => "NULL",
            Said::Bool(_) => "a truth value",
            Said::Number(_) => "a number",
            Said::Text(_) | Said::Claim(_) => "a text",
            Said::Bytes(_) => "bytes",
        }
    }

    /// The constant that it is for a value of this type, and the comparison that the two make. Not for NULL.
    pub(super) fn for_kind(&self, kind: &Kind, name: &str, span: Span) -> Result<(By, Constant), FilterError> {
        let input = Input { kind, name, span };
        match (kind, self) {
            (
                Kind::Int { .. } | Kind::Decimal { .. } | Kind::Bit(_) | Kind::Year,
                Said::Number(digits) | Said::Claim(digits),
            ) => Ok((By::Number, input.number(digits)?)),
            (Kind::Int { .. } | Kind::Bit(_), Said::Bool(truth)) => Ok((By::Number, Constant::Int(i64::from(*truth)))),
            (Kind::Float | Kind::Double, Said::Number(digits) | Said::Claim(digits)) => {
                Ok((By::Double, Constant::Double(input.double(digits)?)))
            }
            (Kind::Text | Kind::Enum(_) | Kind::Set(_), Said::Text(text) | Said::Claim(text)) => {
                Ok((By::Text, Constant::Text(text.clone())))
            }
            (Kind::Date, Said::Text(text) | Said::Claim(text)) => Ok((By::Moment, Constant::Date(input.date(text)?))),
            (Kind::DateTime(_), Said::Text(text) | Said::Claim(text)) => {
                Ok((By::Moment, Constant::DateTime(input.datetime(text)?)))
            }
            (Kind::Timestamp(_), Said::Text(text) | Said::Claim(text)) => {
                Ok((By::Moment, Constant::Timestamp(input.timestamp(text)?)))
            }
            (Kind::Time(_), Said::Text(text) | Said::Claim(text)) => Ok((By::Time, Constant::Time(input.time(text)?))),
            (Kind::Bytes, Said::Bytes(bytes)) => Ok((By::Bytes, Constant::Bytes(bytes.clone()))),
            (Kind::Uuid, Said::Text(text) | Said::Claim(text)) => Ok((By::Uuid, Constant::Uuid(input.uuid(text)?))),
            (Kind::Inet6, Said::Text(text) | Said::Claim(text)) => Ok((By::Inet, input.inet6(text)?)),
            (Kind::Inet4, Said::Text(text) | Said::Claim(text)) => Ok((By::Inet, input.inet4(text)?)),
            (Kind::Json, _) => {
                Err(input.not_compared("ask for a text in it: `payload ->> 'kind' = 'move'`, or IS NULL"))
            }
            (Kind::Other, _) => Err(input.not_compared("only IS NULL and IS NOT NULL can be asked")),
            _ => Err(input.mismatch(self)),
        }
    }
}

/// A value that is read, and where it stands.
struct Input<'i> {
    kind: &'i Kind,
    /// The type's.
    name: &'i str,
    span: Span,
}

impl Input<'_> {
    fn wrong(&self, hint: &str) -> FilterError {
        FilterError::at(self.span, format!("this is no value of type {}", self.name)).hint(hint)
    }

    fn not_compared(&self, hint: &str) -> FilterError {
        FilterError::at(self.span, format!("{} is not compared", self.name)).hint(hint)
    }

    fn out_of_range(&self) -> FilterError {
        FilterError::at(self.span, format!("this is out of the range of type {}", self.name))
    }

    fn mismatch(&self, said: &Said) -> FilterError {
        let message = format!("{} cannot be compared with type {}", said.name(), self.name);
        let hint = match (self.kind, said) {
            (Kind::Text | Kind::Enum(_) | Kind::Set(_), _) => "write it as text, in single quotes",
            (Kind::Bytes, _) => "write bytes as `X'00FF'`",
            (Kind::Uuid | Kind::Inet6 | Kind::Inet4, _) => "write it as text, in single quotes",
            (Kind::Date | Kind::DateTime(_) | Kind::Timestamp(_) | Kind::Time(_), _) => self.example(),
            (_, Said::Text(_)) => "write the number without quotes: `5`, `-0.5`",
            _ => "write a number",
        };
        FilterError::at(self.span, message).hint(hint)
    }

    fn decimal<'t>(&self, digits: &'t str) -> Result<Decimal<'t>, FilterError> {
        Decimal::read(digits).ok_or_else(|| self.wrong("numbers look like 5, -0.5 or 1e6"))
    }

    fn number(&self, digits: &str) -> Result<Constant, FilterError> {
        let number = self.decimal(digits)?;
        if let Some(n) = number.to_int() {
            return Ok(Constant::Int(n));
        }
        let (whole, fraction) = (number.magnitude().max(0), number.scale().max(0));
        if whole + fraction > DECIMAL_DIGITS.0 || fraction > DECIMAL_DIGITS.1 {
            return Err(FilterError::at(self.span, "this number has more digits than the server compares exactly")
                .hint("at most 65 digits, 30 of them behind the point"));
        }
        Ok(Constant::Number(number.to_text().into()))
    }

    /// For a `float` the nearest one: `warm = 0.1` is true of what was stored as 0.1.
    fn double(&self, digits: &str) -> Result<Real, FilterError> {
        self.decimal(digits)?;
        let x: f64 = digits.parse().map_err(|_| self.out_of_range())?;
        let x = if *self.kind == Kind::Float { f64::from(x as f32) } else { x };
        if x.is_finite() { Ok(Real::new(x)) } else { Err(self.out_of_range()) }
    }

    fn moment(&self, text: &str) -> Result<moment::Said, FilterError> {
        moment::read(text).map_err(|fault| self.no_moment(fault))
    }

    fn date(&self, text: &str) -> Result<Moment, FilterError> {
        let said = self.moment(text)?;
        if said.has_time { Err(self.wrong(self.example())) } else { Ok(said.moment) }
    }

    fn datetime(&self, text: &str) -> Result<Moment, FilterError> {
        let said = self.moment(text)?;
        match said.offset {
            None => Ok(said.moment),
            Some(_) => Err(FilterError::at(self.span, format!("type {} has no time zone", self.name))
                .hint("write the time as it is stored, without zone: '2026-11-21T10:00:00'")),
        }
    }

    fn timestamp(&self, text: &str) -> Result<Moment, FilterError> {
        let said = self.moment(text)?;
        match said.offset {
            None | Some(0) => Ok(said.moment),
            Some(_) if said.moment.is_zero() => Err(self.out_of_range().hint(self.example())),
            Some(offset) => said.moment.minus_seconds(offset).ok_or_else(|| self.out_of_range().hint(self.example())),
        }
    }

    fn time(&self, text: &str) -> Result<i64, FilterError> {
        let micros = moment::read_time(text).map_err(|fault| self.no_moment(fault))?;
        if micros.abs() > moment::TIME_MAX { Err(self.out_of_range().hint(self.example())) } else { Ok(micros) }
    }

    fn uuid(&self, text: &str) -> Result<Arc<str>, FilterError> {
        let uuid = uuid::Uuid::try_parse(text).ok().filter(|_| text.len() <= 36);
        let uuid = uuid.ok_or_else(|| self.wrong("write it like '6fa459ea-ee8a-3ca4-894e-db77e160355e'"))?;
        Ok(uuid.hyphenated().to_string().into())
    }

    fn inet6(&self, text: &str) -> Result<Constant, FilterError> {
        let is_address = text.contains(':') && inet(text).is_some();
        if is_address { Ok(Constant::Inet6(text.into())) } else { Err(self.wrong("write it like '2001:db8::1'")) }
    }

    fn inet4(&self, text: &str) -> Result<Constant, FilterError> {
        let is_address = !text.contains(':') && inet(text).is_some();
        if is_address { Ok(Constant::Inet4(text.into())) } else { Err(self.wrong("write it like '192.0.2.1'")) }
    }

    fn example(&self) -> &'static str {
        match self.kind {
            Kind::Date => "write a date like '2026-11-21'",
            Kind::Time(_) => "write a time like '10:00:00', up to 838:59:59",
            Kind::Timestamp(_) => "write it like '2026-11-21T10:00:00Z' or '2026-11-21T12:00:00+02:00'",
            _ => "write it like '2026-11-21T10:00:00' or '2026-11-21 10:00:00.123456'",
        }
    }

    fn no_moment(&self, fault: Fault) -> FilterError {
        match fault {
            Fault::Form => self.wrong(self.example()),
            Fault::Range => self.out_of_range().hint(self.example()),
            Fault::Relative => FilterError::at(self.span, "a filter knows no time of its own").hint(self.example()),
        }
    }
}
