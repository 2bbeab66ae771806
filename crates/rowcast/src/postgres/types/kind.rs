//! How a type's text and its JSON are read.

use std::borrow::Cow;
use std::sync::Arc;

use super::{array, hstore, record, scalar};
use crate::event::Value;

/// How the values of a type are read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// boolean.
    Bool,
    /// smallint, integer, bigint.
    Int,
    /// real, double precision.
    Real,
    /// numeric.
    Number,
    /// Whatever `to_jsonb` prints as the string that the type's own output is.
    Text,
    /// character(n): text whose cast to `text` would lose its blanks.
    Padded,
    /// inet: text whose cast to `text` adds a mask.
    Inet,
    /// timestamp without time zone.
    Timestamp,
    /// timestamp with time zone.
    TimestampTz,
    /// bytea.
    Bytes,
    /// json, jsonb.
    Json,
    /// An array of any dimensions.
    Array {
        /// How an element is read.
        element: Arc<Kind>,
        /// What stands between two elements: a comma, except for box.
        delimiter: u8,
    },
    /// int2vector, oidvector: elements with a blank between them.
    Vector(Arc<Kind>),
    /// A composite type, or a table's row.
    Record(Box<[Field]>),
    /// Text keys with texts or nulls.
    Hstore,
}

/// A field of a composite type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Box<str>,
    /// How it is read.
    pub kind: Arc<Kind>,
}

impl Kind {
    /// A value from PostgreSQL's text: what the type's output function prints, or a cast to `text`.
    ///
    /// Text that is none of the type (which no server sends) is kept as text.
    pub fn from_text(&self, text: &str) -> Value {
        let read = match self {
            Kind::Text | Kind::Padded => None,
            Kind::Bool => scalar::boolean(text),
            Kind::Int => text.parse().ok().map(Value::Int),
            Kind::Real => text.parse().ok().map(Value::Real),
            Kind::Number => Some(Value::Number(text.into())),
            Kind::Inet => Some(Value::Text(scalar::without_full_mask(text).into())),
            Kind::Timestamp | Kind::TimestampTz => scalar::timestamp(text).map(Value::Text),
            Kind::Bytes => scalar::bytea(text).map(Value::Bytes),
            Kind::Json => Some(Value::Json(scalar::trim_json(text).into())),
            Kind::Array { .. } | Kind::Vector(_) | Kind::Record(_) | Kind::Hstore => {
                let mut out = Vec::with_capacity(text.len() + 16);
                self.write_text_as_json(text, &mut out).map(|()| document(out))
            }
        };
        read.unwrap_or_else(|| Value::Text(text.into()))
    }

    /// A value from one element of what `row_to_json` or `to_jsonb` printed.
    ///
    /// `null` is SQL's NULL: a column of type jsonb that holds JSON's `null` cannot be told from it.
    pub fn from_json(&self, raw: &str) -> Value {
        let raw = scalar::trim_json(raw);
        if raw == "null" {
            return Value::Null;
        }
        let read = match self {
            Kind::Json => Some(Value::Json(raw.into())),
            Kind::Bool => scalar::boolean(raw),
            Kind::Array { .. } | Kind::Vector(_) | Kind::Record(_) | Kind::Hstore => {
                let mut out = Vec::with_capacity(raw.len());
                self.write_json_again(raw, &mut out).map(|()| document(out))
            }
            Kind::Int | Kind::Real | Kind::Number if !raw.starts_with('"') => return self.from_text(raw),
            Kind::Int | Kind::Real | Kind::Number | Kind::Bytes | Kind::Inet => {
                return scalar::string(raw).map_or_else(|| Value::Json(raw.into()), |text| self.from_text(&text));
            }
            Kind::Text | Kind::Padded | Kind::Timestamp | Kind::TimestampTz => {
                scalar::string(raw).map(|text| Value::Text(text.into()))
            }
        };
        // A type that an extension casts to JSON in its own way.
        read.unwrap_or_else(|| Value::Json(raw.into()))
    }

    /// SQL that reads `column` as text in a way that [`from_text`](Kind::from_text) reads back.
    pub fn select_text(&self, column: &str) -> String {
        match self {
            Kind::Padded => format!("pg_catalog.bpcharout({column})::text"),
            _ => format!("{column}::text"),
        }
    }

    /// Appends a value, given as the type's text, as JSON. `None`: the text is none of this type, and `out` is spoilt.
    pub(super) fn write_text_as_json(&self, text: &str, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Kind::Array { element, delimiter } => return array::write_json(text, *delimiter, element, out),
            Kind::Vector(element) => return array::write_vector(text, element, out),
            Kind::Record(fields) => return record::write_json(text, fields, out),
            Kind::Hstore => return hstore::write_json(text, out),
            Kind::Json => scalar::write_minified(text, out),
            _ => self.from_text(text).write_json(out),
        }
        Some(())
    }

    /// Appends a value, given as the database's JSON, as this program writes it.
    pub(super) fn write_json_again(&self, raw: &str, out: &mut Vec<u8>) -> Option<()> {
        match self {
            _ if raw == "null" => out.extend_from_slice(b"null"),
            Kind::Array { element, .. } | Kind::Vector(element) => return array::write_json_again(raw, element, out),
            Kind::Record(fields) => return record::write_json_again(raw, fields, out),
            Kind::Hstore => return hstore::write_json_again(raw, out),
            Kind::Json => scalar::write_minified(raw, out),
            _ => self.from_json(raw).write_json(out),
        }
        Some(())
    }
}

fn document(json: Vec<u8>) -> Value {
    match String::from_utf8_lossy(&json) {
        Cow::Borrowed(text) => Value::Json(text.into()),
        Cow::Owned(text) => Value::Json(text.into()),
    }
}
