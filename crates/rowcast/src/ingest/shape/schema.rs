//! A JSON Schema that records must satisfy as they come.

use std::fmt;
use std::sync::Arc;

use jsonschema::{Retrieve, Uri, Validator};
use serde_json::Value;

use super::ShapeError;
use crate::ingest::decode::Fields;

/// How much of an error is shown.
const SHOWN_CHARS: usize = 300;

/// A JSON Schema, ready to be asked. Refers to nothing outside itself.
#[derive(Clone)]
pub struct Schema(Arc<Validator>);

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

impl Schema {
    /// Reads a schema's JSON.
    pub fn parse(json: &str) -> Result<Self, ShapeError> {
        let schema: Value =
            serde_json::from_str(json).map_err(|error| ShapeError(format!("the schema is not JSON: {error}")))?;
        let compiled = jsonschema::options().with_retriever(Nowhere).build(&schema);
        let validator = compiled.map_err(|error| {
            let at = error.instance_path().to_string();
            let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
            ShapeError(format!("the schema is not one{at}: {}", short(&error.to_string())))
        })?;
        Ok(Self(Arc::new(validator)))
    }

    pub(super) fn check(&self, fields: &Fields) -> Result<(), String> {
        let record: Value = serde_json::from_str(&fields.to_json())
            .map_err(|error| format!("schema: the record is no JSON: {error}"))?;
        self.0.validate(&record).map_err(|error| {
            let at = error.instance_path().to_string();
            let at = if at.is_empty() { String::new() } else { format!(" {}:", at.trim_start_matches('/')) };
            format!("schema:{at} {}", short(&error.to_string()))
        })
    }
}

fn short(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// Nothing is fetched.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("`{uri}` is outside of the schema; write what it refers to into `$defs`").into())
    }
}
