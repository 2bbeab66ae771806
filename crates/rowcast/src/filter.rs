//! A WHERE expression over one row: parse, check, evaluate, push down as SQL with bound parameters.
//!
//! Pure. Follows the comparison rules of the database that it is bound for.

use serde_json::{Map, Value as Json};

use crate::event::{Row, Table, Value};

/// Whose rules of comparison hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Storage classes, column affinity, LIKE ignoring ASCII case.
    Sqlite,
}

/// A parsed expression, not yet tied to a table.
#[derive(Debug, Clone)]
pub struct Filter;

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that is known.
    pub hint: Option<String>,
    /// Where it begins: characters (not bytes) from the start of the text.
    pub offset: usize,
    /// How many characters it spans, at least one.
    pub length: usize,
}

/// A filter bound to a table's columns and to a client's claims.
///
/// Two that are equal have the same truth for every row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Predicate;

/// A value as an equality index sees it: two values that `=` calls equal have equal keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key;

impl Filter {
    /// Reads SQL's own syntax.
    pub fn parse(_text: &str) -> Result<Self, FilterError> {
        unimplemented!()
    }

    /// Ties the names to the table's columns, and `claims.x` to the claims.
    pub fn bind(
        &self,
        _table: &Table,
        _dialect: Dialect,
        _claims: &Map<String, Json>,
    ) -> Result<Predicate, FilterError> {
        unimplemented!()
    }
}

impl Predicate {
    /// True, false, or `None` for SQL's unknown.
    pub fn truth(&self, _row: &Row) -> Option<bool> {
        unimplemented!()
    }

    /// Whether a WHERE clause would keep the row: its truth is true.
    pub fn matches(&self, row: &Row) -> bool {
        self.truth(row) == Some(true)
    }

    /// Appends the expression as SQL of the dialect, with `?1`, `?2`… for the values, which go to `params`.
    pub fn push_sql(&self, _sql: &mut String, _params: &mut Vec<Value>) {
        unimplemented!()
    }

    /// One `column = constant` that every matching row fulfils, for an index; the column's index in the table.
    pub fn equality(&self) -> Option<(usize, Key)> {
        unimplemented!()
    }

    /// The columns that the expression reads, ascending.
    pub fn columns(&self) -> &[usize] {
        unimplemented!()
    }
}

impl Key {
    /// The key of a row's value; `None` where `=` is never true (NULL, unchanged).
    pub fn of(_value: &Value) -> Option<Self> {
        unimplemented!()
    }
}
