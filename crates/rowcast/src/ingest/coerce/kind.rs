//! What a column of SQLite takes, by the type it was declared with.

use super::number::{self, Integer};
use super::{expected, shown, written};
use crate::event::Value;
use crate::ingest::decode::Field;

/// What kind of value a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Real,
    Numeric,
    Bool,
    Text,
    Json,
    Bytes,
    Any,
}

impl Kind {
    /// Follows SQLite's rules of affinity, and asks less where they would surprise: a `POINT` is no integer, and text in a
    /// `DATETIME` or `UUID` is what everybody writes there.
    pub(super) fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["JSON"]) {
            Kind::Json
        } else if has(&["POINT", "INTERVAL"]) {
            Kind::Any
        } else if has(&["INT", "SERIAL"]) {
            Kind::Integer
        } else if has(&["CHAR", "CLOB", "TEXT", "STRING"]) {
            Kind::Text
        } else if has(&["BLOB", "BINARY", "BYTEA"]) {
            Kind::Bytes
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Kind::Real
        } else if has(&["NUMERIC", "DECIMAL", "NUMBER", "MONEY"]) {
            Kind::Numeric
        } else if has(&["BOOL"]) {
            Kind::Bool
        } else {
            Kind::Any
        }
    }

    /// The value as this kind of column holds it, or what was expected instead.
    pub(super) fn value(self, field: Field) -> Result<Value, String> {
        match (self, field) {
            (_, Field::Null) => Ok(Value::Null),
            (Kind::Text | Kind::Json, field) => Ok(Value::Text(written(field).into())),
            (Kind::Bytes, field) => {
                bytes(&field).ok_or_else(|| expected("bytes as \\x and hexadecimal digits", &field))
            }
            (Kind::Any, Field::Number(digits)) => {
                numeric(&digits).map_err(|wrong| wrong.reason("a number", &Field::Number(digits)))
            }
            (Kind::Any, Field::Text(text) | Field::Json(text)) => Ok(Value::Text(text.into())),
            (_, Field::Bool(b)) => Ok(Value::Int(b.into())),
            (Kind::Bool, Field::Text(text)) if is_truth(&text) => Ok(Value::Int((text.len() == 4).into())),
            (kind, field) => {
                let read = match &field {
                    Field::Number(text) | Field::Text(text) => kind.number(text.trim_ascii()),
                    _ => Err(Wrong::Kind),
                };
                read.map_err(|wrong| wrong.reason(kind.name(), &field))
            }
        }
    }

    fn number(self, text: &str) -> Result<Value, Wrong> {
        match self {
            Kind::Real => number::real(text).map(Value::Real).ok_or_else(|| Wrong::of(text)),
            Kind::Numeric => numeric(text),
            _ => match number::integer(text) {
                Integer::Is(n) => Ok(Value::Int(n)),
                Integer::Beyond => Err(Wrong::Beyond("64 bits")),
                Integer::IsNot => Err(Wrong::Kind),
            },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Integer => "an integer",
            Kind::Bool => "true, false or an integer",
            _ => "a number",
        }
    }
}

enum Wrong {
    Kind,
    Beyond(&'static str),
}

impl Wrong {
    /// Of a text that did not become a double.
    fn of(text: &str) -> Self {
        if number::is_number(text) { Wrong::Beyond("a double") } else { Wrong::Kind }
    }

    fn reason(self, name: &str, field: &Field) -> String {
        match self {
            Wrong::Kind => expected(name, field),
            Wrong::Beyond(what) => format!("{} is beyond {what}", shown(field)),
        }
    }
}

/// The most exact of integer, double and digits that holds the number.
fn numeric(text: &str) -> Result<Value, Wrong> {
    if let Integer::Is(n) = number::integer(text) {
        return Ok(Value::Int(n));
    }
    let real = number::real(text).ok_or_else(|| Wrong::of(text))?;
    let plain = !text.contains(['e', 'E', '+']);
    Ok(if plain && number::significant_digits(text) > 15 { Value::Number(text.into()) } else { Value::Real(real) })
}

fn is_truth(text: &str) -> bool {
    text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
}

pub(super) fn bytes(field: &Field) -> Option<Value> {
    let Field::Text(text) = field else { return None };
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if digits.len() % 2 == 1 {
        return None;
    }
    let bytes = digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    bytes.collect::<Option<Vec<u8>>>().map(|bytes| Value::Bytes(bytes.into()))
}
