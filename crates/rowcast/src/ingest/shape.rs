//! What is made of a record before it is made to fit its table: checked, renamed, and columns computed.
//!
//! In this order: the JSON Schema, which describes the record as it comes; other names; what is asked of columns; columns that are
//! computed, and what is asked of those.

mod column;
mod computed;
mod moment;
mod schema;

use std::time::SystemTime;

use super::coerce::{Extra, Misfit};
use super::decode::{Field, Fields};
pub use column::{Column, Limits, TimeUnit};
pub use computed::Computed;
pub use schema::Schema;

/// A rule that cannot be followed: says what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ShapeError(pub String);

/// What is asked of a source's records, and what is computed from them.
#[derive(Debug, Clone)]
pub struct Shape {
    /// What the record must be like as it comes.
    pub schema: Option<Schema>,
    /// Names of the record, and the columns that they are for.
    pub rename: Vec<(String, String)>,
    /// What is asked of columns.
    pub columns: Vec<(String, Column)>,
    /// Columns that are computed. What the record has for them is replaced.
    pub computed: Vec<(String, Computed)>,
    /// What to do with names that are no column's.
    pub extra: Extra,
}

impl Default for Shape {
    /// Asks nothing, and passes over what is no column's.
    fn default() -> Self {
        Self { schema: None, rename: Vec::new(), columns: Vec::new(), computed: Vec::new(), extra: Extra::Ignore }
    }
}

impl Shape {
    /// The record's fields as they go to the table, or why not.
    pub fn apply(&self, fields: Fields) -> Result<Fields, Misfit> {
        if self.schema.is_none() && self.rename.is_empty() && self.columns.is_empty() && self.computed.is_empty() {
            return Ok(fields);
        }
        self.apply_at(fields, SystemTime::now())
    }

    fn apply_at(&self, mut fields: Fields, now: SystemTime) -> Result<Fields, Misfit> {
        if let Some(schema) = &self.schema {
            schema.check(&fields).map_err(|reason| Misfit { column: None, reason })?;
        }
        for (name, _) in &mut fields.0 {
            if let Some((_, column)) = self.rename.iter().find(|(from, _)| **from == **name) {
                *name = column.as_str().into();
            }
        }
        let is_computed = |name: &str| self.computed.iter().any(|(computed, _)| computed == name);
        self.check(&fields, now, |name| !is_computed(name))?;
        // Of the record as it came: one computed column does not see another.
        let mut made = Vec::with_capacity(self.computed.len());
        for (name, computed) in &self.computed {
            made.push((name, computed.of(&fields, now).map_err(|reason| misfit(name, &reason))?));
        }
        for (name, field) in made {
            fields.0.retain(|(other, _)| **other != **name);
            fields.0.push((name.as_str().into(), field));
        }
        self.check(&fields, now, is_computed)?;
        Ok(fields)
    }

    fn check(&self, fields: &Fields, now: SystemTime, which: impl Fn(&str) -> bool) -> Result<(), Misfit> {
        for (name, column) in self.columns.iter().filter(|(name, _)| which(name)) {
            let field = fields.get(name).unwrap_or(&Field::Null);
            column.check(field, now).map_err(|reason| misfit(name, &reason))?;
        }
        Ok(())
    }
}

fn misfit(name: &str, reason: &str) -> Misfit {
    Misfit { column: Some(name.into()), reason: format!("{name}: {reason}") }
}

/// A value for people, and its kind.
fn shown(field: &Field) -> String {
    let short = |text: &str| match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    match field {
        Field::Null => "null".into(),
        Field::Bool(b) => b.to_string(),
        Field::Number(text) => short(text),
        Field::Text(text) => format!("{:?}", short(text)),
        Field::Json(text) if text.starts_with('[') => "an array".into(),
        Field::Json(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests;
