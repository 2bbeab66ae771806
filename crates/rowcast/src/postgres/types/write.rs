//! Values as the text that PostgreSQL reads: `$1::text::TYPE`.

use serde_json::value::RawValue;

use super::array::leaf;
use super::kind::{Field, Kind};
use crate::event::Value;
use crate::event::json::write_text;

/// A value as text that a cast to its type reads back. `None` for NULL, and for what was not sent.
pub fn to_text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null | Value::Unchanged => return None,
        Value::Bool(truth) => truth.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Real(x) if x.is_infinite() => if *x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        Value::Real(x) => format!("{x:?}"),
        Value::Number(text) | Value::Text(text) | Value::Json(text) => text.to_string(),
        Value::Bytes(bytes) => {
            let mut text = String::with_capacity(2 + 2 * bytes.len());
            text.push_str("\\x");
            for byte in &**bytes {
                text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
                text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            }
            text
        }
    })
}

impl Kind {
    /// A value as text that a cast to this type reads: a JSON array for an array type as `{1,2}`, a JSON object for a
    /// composite type as `(1,2)`, anything for jsonb as a document. What does not fit is left to the database to refuse.
    pub fn to_text(&self, value: &Value) -> Option<String> {
        match (self, value) {
            (Kind::Json, Value::Text(text)) if serde_json::from_str::<&RawValue>(text).is_err() => {
                Some(json_string(text))
            }
            (Kind::Json, Value::Real(x)) if !x.is_finite() => Some(value.to_json()),
            (Kind::Array { element, delimiter }, Value::Json(json)) => array(json, element, *delimiter),
            (Kind::Vector(element), Value::Json(json)) => vector(json, element),
            (Kind::Record(fields), Value::Json(json)) => record(json, fields),
            (Kind::Hstore, Value::Json(json)) => hstore(json),
            _ => None,
        }
        .or_else(|| to_text(value))
    }
}

fn json_string(text: &str) -> String {
    let mut out = Vec::new();
    write_text(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn array(json: &str, element: &Kind, delimiter: u8) -> Option<String> {
    let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    let is_nested = |item: &&RawValue| item.get().starts_with('[');
    let dimension = !matches!(element, Kind::Json | Kind::Array { .. } | Kind::Vector(_));
    let mut out = String::from("{");
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(char::from(delimiter));
        }
        if dimension && is_nested(item) {
            out.push_str(&array(item.get(), element, delimiter)?);
            continue;
        }
        match element.to_text(&element.from_json(item.get())) {
            None => out.push_str("NULL"),
            Some(text) => quote(&text, &mut out),
        }
    }
    out.push('}');
    Some(out)
}

fn vector(json: &str, element: &std::sync::Arc<Kind>) -> Option<String> {
    let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    let items: Option<Vec<String>> = items.iter().map(|item| to_text(&leaf(element).from_json(item.get()))).collect();
    Some(items?.join(" "))
}

fn record(json: &str, fields: &[Field]) -> Option<String> {
    let items: std::collections::HashMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    let mut out = String::from("(");
    for (n, field) in fields.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        let value = items.get(&*field.name).map_or(Value::Null, |item| field.kind.from_json(item.get()));
        if let Some(text) = field.kind.to_text(&value) {
            quote(&text, &mut out);
        }
    }
    out.push(')');
    Some(out)
}

fn hstore(json: &str) -> Option<String> {
    let pairs: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).ok()?;
    let mut out = String::new();
    for (key, value) in &pairs {
        if !out.is_empty() {
            out.push_str(", ");
        }
        quote(key, &mut out);
        out.push_str("=>");
        match value {
            serde_json::Value::Null => out.push_str("NULL"),
            serde_json::Value::String(text) => quote(text, &mut out),
            other => quote(&other.to_string(), &mut out),
        }
    }
    Some(out)
}

/// Arrays, records and hstores all read a quoted text with backslashes before quotes and backslashes.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
}
