//! The value of a column, exact whatever database it came from.

use std::sync::Arc;

/// A column's value. SQL's `NULL` is [`Value::Null`]; a column that the source did not repeat is [`Value::Unchanged`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// Not sent by the source because the statement did not touch it. Never shown as null.
    Unchanged,
    /// A truth value, where the database has a type for it.
    Bool(bool),
    /// An integer, exact.
    Int(i64),
    /// A double.
    Real(f64),
    /// An exact number in decimal digits that neither `i64` nor `f64` holds: numeric, unsigned bigint.
    Number(Arc<str>),
    /// Text.
    Text(Arc<str>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A JSON document, as the database wrote it.
    Json(Arc<str>),
}

/// The values of one row, in the order of its table's columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// One for each column of the table that the change names.
    pub values: Box<[Value]>,
}

impl From<Vec<Value>> for Row {
    fn from(values: Vec<Value>) -> Self {
        Self { values: values.into() }
    }
}

impl Value {
    /// Roughly the bytes that the value takes in memory.
    pub fn weight(&self) -> usize {
        let inside = match self {
            Value::Number(text) | Value::Text(text) | Value::Json(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        size_of::<Self>() + inside
    }
}

impl Row {
    /// Roughly the bytes that the row takes in memory.
    pub fn weight(&self) -> usize {
        self.values.iter().map(Value::weight).sum()
    }
}
