//! A record's names and values, exact: numbers stay the digits that were written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::RecordError;

/// Names and values in the order they came. A name may come twice: `coerce` refuses that.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields(pub Vec<(Box<str>, Field)>);

/// One value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// JSON's null; an empty CSV field without quotes.
    Null,
    /// A truth value.
    Bool(bool),
    /// A JSON number, in its own digits.
    Number(Box<str>),
    /// A JSON string, unescaped; a CSV field.
    Text(Box<str>),
    /// A JSON object or array, as it was written.
    Json(Box<str>),
}

impl Fields {
    /// Reads one JSON object.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        let text = text.trim_matches(JSON_SPACE);
        if text.starts_with('{') {
            return serde_json::from_str(text).map_err(|error| not_json(&error));
        }
        match serde_json::from_str::<&RawValue>(text) {
            Ok(value) => Err(RecordError::NotAnObject(kind(value))),
            Err(error) => Err(not_json(&error)),
        }
    }
}

impl Fields {
    /// The value of a name; the first where it came twice.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|(other, _)| **other == *name).map(|(_, field)| field)
    }

    /// One JSON object.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (name, field) in &self.0 {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&quoted(name));
            json.push(':');
            match field {
                Field::Null => json.push_str("null"),
                Field::Bool(b) => json.push_str(if *b { "true" } else { "false" }),
                Field::Number(text) | Field::Json(text) => json.push_str(text),
                Field::Text(text) => json.push_str(&quoted(text)),
            }
        }
        json.push('}');
        json
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

const JSON_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The reader's message without its line, which is one of the record and not of the body.
fn not_json(error: &serde_json::Error) -> RecordError {
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    RecordError::NotJson(format!("{what} at column {}", error.column()))
}

fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::with_capacity(8);
        while let Some(name) = map.next_key::<Box<str>>()? {
            let value = map.next_value::<&RawValue>()?;
            fields.push((name, Field::from_raw(value).map_err(serde::de::Error::custom)?));
        }
        Ok(Fields(fields))
    }
}

impl Field {
    fn from_raw(value: &RawValue) -> Result<Self, serde_json::Error> {
        let text = value.get();
        Ok(match text.as_bytes().first() {
            Some(b'"') => Field::Text(serde_json::from_str(text)?),
            Some(b'{' | b'[') => Field::Json(text.into()),
            Some(b't') => Field::Bool(true),
            Some(b'f') => Field::Bool(false),
            Some(b'n') => Field::Null,
            _ => Field::Number(text.into()),
        })
    }
}
