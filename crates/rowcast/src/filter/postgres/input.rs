//! Values of the filter's text and of the claims, read as PostgreSQL reads them for a column's type.
//!
//! What PostgreSQL would refuse while it runs the query is refused here, where it can be pointed at.

use std::sync::Arc;

use serde_json::Value as Json;

use super::super::decimal::Decimal;
use super::super::error::{FilterError, Span};
use super::super::expr::Literal;
use super::constant::{Constant, Real};
use super::datum::{By, Number};
use super::kind::Kind;
use super::moment::{self, Fault};

/// A value as it was written, before anything is known of its type.
#[derive(Debug, Clone)]
pub(super) enum Said {
    Null,
    Bool(bool),
    /// Digits, perhaps with a fraction and an exponent.
    Number(Arc<str>),
    /// In quotes: of whatever type it is compared with.
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// Digits that a numeric has before the point, and behind it.
const NUMERIC_DIGITS: (i64, i64) = (131_072, 16_383);

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
            Json::String(text) => Said::Text(text.as_str().into()),
            Json::Null | Json::Array(_) | Json::Object(_) => Said::Null,
        }
    }

    /// The type that it has by itself.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Said::Null | Said::Text(_) => Kind::Text,
            Said::Bool(_) => Kind::Bool,
            Said::Bytes(_) => Kind::Bytea,
            Said::Number(digits) => match digits.parse::<i64>() {
                Ok(n) if i32::try_from(n).is_ok() => Kind::Int(4),
                Ok(_) => Kind::Int(8),
                Err(_) => Kind::Numeric { fits_double: false },
            },
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Said::Null => "NULL",
            Said::Bool(_) => "a truth value",
            Said::Number(_) => "a number",
            Said::Text(_) => "a text",
            Said::Bytes(_) => "bytes",
        }
    }

    /// The constant that it is for a column of this kind, and the comparison that the two make. Not for NULL.
    pub(super) fn for_kind(&self, kind: &Kind, span: Span) -> Result<(By, Constant), FilterError> {
        let input = Input { kind, span };
        match (kind, self) {
            (Kind::Int(_) | Kind::Numeric { .. }, Said::Number(digits)) => {
                input.number(digits).map(|number| (By::Number, number))
            }
            (Kind::Int(size), Said::Text(text)) => input.integer(text, *size).map(|n| (By::Number, Constant::Int(n))),
            (Kind::Numeric { .. }, Said::Text(text)) => input.numeric(text).map(|number| (By::Number, number)),
            (Kind::Float4 | Kind::Float8, Said::Number(text)) => {
                Ok((By::Double, Constant::Double(input.double(text)?)))
            }
            (Kind::Float8, Said::Text(text)) => Ok((By::Double, Constant::Double(input.double(text)?))),
            (Kind::Float4, Said::Text(text)) => Ok((By::Single, Constant::Single(input.single(text)?))),
            (Kind::Text | Kind::Varchar, Said::Text(text)) => Ok((By::Text, Constant::Text(input.text(text)?))),
            (Kind::Bpchar(_), Said::Text(text)) => {
                Ok((By::Padded, Constant::Padded(input.text(text)?.trim_end_matches(' ').into())))
            }
            (Kind::Bool, Said::Bool(truth)) => Ok((By::Bool, Constant::Bool(*truth))),
            (Kind::Bool, Said::Text(text)) => Ok((By::Bool, Constant::Bool(input.bool(text)?))),
            (Kind::Date | Kind::Timestamp | Kind::TimestampTz, Said::Text(text)) => {
                let moment = moment::read(text, kind).map_err(|fault| input.no_moment(fault))?;
                let constant = match kind {
                    Kind::Date => Constant::Date(moment),
                    Kind::Timestamp => Constant::Timestamp(moment),
                    _ => Constant::TimestampTz(moment),
                };
                Ok((By::Moment, constant))
            }
            (Kind::Time, Said::Text(text)) => {
                let micros = moment::read_time(text).map_err(|fault| input.no_moment(fault))?;
                Ok((By::Time, Constant::Time(micros)))
            }
            (Kind::Uuid, Said::Text(text)) => input.uuid(text).map(|uuid| (By::Uuid, Constant::Uuid(uuid))),
            (Kind::Bytea, Said::Bytes(bytes)) => Ok((By::Bytes, Constant::Bytes(bytes.clone()))),
            (Kind::Bytea, Said::Text(text)) => Ok((By::Bytes, Constant::Bytes(input.bytes(text)?))),
            (Kind::Own(_), Said::Text(text)) => Ok((By::Own, Constant::Own(input.text(text)?))),
            (Kind::Json, _) => Err(input.not_compared("of a document only IS NULL and IS NOT NULL can be asked")),
            (Kind::Jsonb, _) => {
                Err(input.not_compared("ask for a text in it: `payload ->> 'kind' = 'move'`, or IS NULL"))
            }
            (Kind::Closed(_, hint), _) => Err(input.not_compared(hint)),
            _ => Err(input.mismatch(self)),
        }
    }
}

/// A value that is read, and where it stands.
struct Input<'i> {
    kind: &'i Kind,
    span: Span,
}

impl Input<'_> {
    fn wrong(&self, hint: &str) -> FilterError {
        FilterError::at(self.span, format!("this is no value of type {}", self.kind.name())).hint(hint)
    }

    fn not_compared(&self, hint: &str) -> FilterError {
        FilterError::at(self.span, format!("{} is not compared", self.kind.name())).hint(hint)
    }

    fn out_of_range(&self) -> FilterError {
        FilterError::at(self.span, format!("this is out of the range of type {}", self.kind.name()))
    }

    fn mismatch(&self, said: &Said) -> FilterError {
        let message = format!("{} cannot be compared with type {}", said.name(), self.kind.name());
        let hint = match (self.kind, said) {
            (Kind::Bool, _) => "write TRUE or FALSE",
            (Kind::Text | Kind::Varchar | Kind::Bpchar(_) | Kind::Own(_), _) => "write it as text, in single quotes",
            (Kind::Uuid, _) => "write it as text: `'6fa459ea-ee8a-3ca4-894e-db77e160355e'`",
            (kind, _) if kind.is_moment() => "write it as text: `'2026-11-21T10:00:00Z'`",
            (Kind::Time, _) => "write it as text: `'10:00:00'`",
            (Kind::Bytea, _) => "write bytes as `X'00FF'`",
            _ => "write a number",
        };
        FilterError::at(self.span, message).hint(hint)
    }

    fn number(&self, digits: &str) -> Result<Constant, FilterError> {
        let number = Decimal::read(digits).ok_or_else(|| self.wrong("numbers look like 5, -0.5 or 1e6"))?;
        if let Some(n) = number.to_int() {
            return Ok(Constant::Int(n));
        }
        if number.magnitude() > NUMERIC_DIGITS.0 || number.scale() > NUMERIC_DIGITS.1 {
            return Err(self.out_of_range());
        }
        Ok(Constant::Number(number.to_text().into()))
    }

    fn integer(&self, text: &str, size: u8) -> Result<i64, FilterError> {
        let digits = trim(text);
        let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.wrong("write a whole number, like 5 or -5"));
        }
        let n: i64 = digits.parse().map_err(|_| self.out_of_range())?;
        let bits = u32::from(size) * 8 - 1;
        if n >> bits == n >> 63 { Ok(n) } else { Err(self.out_of_range()) }
    }

    fn numeric(&self, text: &str) -> Result<Constant, FilterError> {
        match Number::read(trim(text)) {
            Some(Number::Finite(_)) => self.number(trim(text)),
            Some(Number::NaN) => Ok(Constant::Number("NaN".into())),
            Some(Number::Infinity) => Ok(Constant::Number("Infinity".into())),
            Some(Number::MinusInfinity) => Ok(Constant::Number("-Infinity".into())),
            None => Err(self.wrong("numbers look like 5, -0.5 or 1e6")),
        }
    }

    /// Fails where PostgreSQL does: on what is no number, on what is too great, and on what is too small to differ from 0.
    fn double(&self, text: &str) -> Result<Real, FilterError> {
        let (text, number) = self.real(text)?;
        let x: f64 = text.parse().map_err(|_| self.out_of_range())?;
        let is_lost = number.is_some_and(|number| x.is_infinite() || (x == 0.0) != (number.to_int() == Some(0)));
        if is_lost { Err(self.out_of_range()) } else { Ok(Real::new(x)) }
    }

    fn single(&self, text: &str) -> Result<Real, FilterError> {
        let (text, number) = self.real(text)?;
        let x: f32 = text.parse().map_err(|_| self.out_of_range())?;
        let is_lost = number.is_some_and(|number| x.is_infinite() || (x == 0.0) != (number.to_int() == Some(0)));
        if is_lost { Err(self.out_of_range()) } else { Ok(Real::new(f64::from(x))) }
    }

    /// The trimmed text, and the number if it is finite.
    fn real<'t>(&self, text: &'t str) -> Result<(&'t str, Option<Decimal<'t>>), FilterError> {
        let text = trim(text);
        match Number::read(text) {
            Some(Number::Finite(number)) => Ok((text, Some(number))),
            Some(_) => Ok((text, None)),
            None => Err(self.wrong("numbers look like 5, -0.5 or 1e6")),
        }
    }

    fn text(&self, text: &Arc<str>) -> Result<Arc<str>, FilterError> {
        if text.contains('\0') {
            return Err(FilterError::at(self.span, "PostgreSQL's texts hold no NUL character"));
        }
        Ok(text.clone())
    }

    /// `yes`, `of`, `1`…: a word of these, or as much of its beginning as tells it apart.
    fn bool(&self, text: &str) -> Result<bool, FilterError> {
        let word = trim(text).to_ascii_lowercase();
        let begins = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
        if begins("true", 1) || begins("yes", 1) || word == "on" || word == "1" {
            Ok(true)
        } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
            Ok(false)
        } else {
            Err(self.wrong("write TRUE or FALSE"))
        }
    }

    fn uuid(&self, text: &str) -> Result<Arc<str>, FilterError> {
        let is_urn = text.starts_with("urn:");
        let uuid = uuid::Uuid::try_parse(text).ok().filter(|_| !is_urn);
        let uuid = uuid.ok_or_else(|| self.wrong("write it like '6fa459ea-ee8a-3ca4-894e-db77e160355e'"))?;
        Ok(uuid.hyphenated().to_string().into())
    }

    /// `\x00ff`, or text with `\\` for a backslash and `\377` for a byte.
    fn bytes(&self, text: &str) -> Result<Arc<[u8]>, FilterError> {
        let wrong = || self.wrong("write bytes as `X'00FF'`");
        if let Some(digits) = text.strip_prefix("\\x") {
            let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
            let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
            return digits.chunks(2).map(pair).collect::<Option<Arc<[u8]>>>().ok_or_else(wrong);
        }
        let mut rest = text.as_bytes();
        let mut bytes = Vec::with_capacity(rest.len());
        while let [first, after @ ..] = rest {
            let (byte, after) = match (first, after) {
                (b'\\', [b'\\', after @ ..]) => (b'\\', after),
                (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                    ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), after)
                }
                (b'\\', _) => return Err(wrong()),
                (byte, after) => (*byte, after),
            };
            bytes.push(byte);
            rest = after;
        }
        Ok(bytes.into())
    }

    fn no_moment(&self, fault: Fault) -> FilterError {
        let example = match self.kind {
            Kind::Date => "write a date like '2026-11-21'",
            Kind::Time => "write a time like '10:00:00'",
            Kind::Timestamp => "write it like '2026-11-21T10:00:00'",
            _ => "write it like '2026-11-21T10:00:00Z' or '2026-11-21T12:00:00+02:00'",
        };
        match fault {
            Fault::Form => self.wrong(example),
            Fault::Range => self.out_of_range().hint(example),
            Fault::Relative => FilterError::at(self.span, "a filter knows no time of its own").hint(example),
        }
    }
}

/// Without the white space that PostgreSQL passes over.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c'])
}
