//! A WHERE expression over one row: parse, check, evaluate, push down as SQL with bound parameters.
//!
//! Pure. Follows the comparison rules of the database that it is bound for: the answer for a row is the one that
//! the database gives for the pushed SQL. `docs/filters.md` says what may be written.

mod affinity;
mod bind;
mod condition;
mod error;
mod expr;
mod grammar;
mod json;
mod like;
mod number;
mod operand;
mod scalar;
mod sql;
mod suggest;
mod token;

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::event::{Row, Table, Value};
use bind::Binder;
use condition::Condition;
use expr::Expr;
use scalar::Constant;

pub use error::FilterError;

/// Bytes of the longest filter.
const TEXT_BYTES_MAX: usize = 8192;
/// Parentheses inside parentheses.
const DEPTH_MAX: usize = 64;
/// Conditions on conditions: `NOT (a AND (b IS TRUE))` has four levels. SQLite stops at 1,000, its own counted in.
const LEVELS_MAX: usize = 100;
/// Columns, values and operators of one filter, claims' lists included.
const NODES_MAX: usize = 4096;

/// Whose rules of comparison hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Storage classes, column affinity, LIKE ignoring ASCII case.
    Sqlite,
}

/// A parsed expression, not yet tied to a table.
#[derive(Debug, Clone)]
pub struct Filter {
    text: Arc<str>,
    root: Arc<Expr>,
}

/// A filter bound to a table's columns and to a client's claims.
///
/// Two that are equal have the same truth for every row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Predicate {
    root: Condition,
    columns: Box<[usize]>,
}

/// A value as an equality index sees it: two values that `=` calls equal have equal keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Constant);

impl Filter {
    /// Reads SQL's own syntax.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self { root: Arc::new(grammar::parse(text)?), text: text.into() })
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Ties the names to the table's columns, and `claims.x` to the claims.
    pub fn bind(&self, table: &Table, dialect: Dialect, claims: &Map<String, Json>) -> Result<Predicate, FilterError> {
        let Dialect::Sqlite = dialect;
        let root = Binder::new(table, claims).condition(&self.root)?;
        let columns = root.columns();
        Ok(Predicate { root, columns })
    }
}

impl Predicate {
    /// True, false, or `None` for SQL's unknown.
    pub fn truth(&self, row: &Row) -> Option<bool> {
        self.root.truth(row)
    }

    /// Whether a WHERE clause would keep the row: its truth is true.
    pub fn matches(&self, row: &Row) -> bool {
        self.truth(row) == Some(true)
    }

    /// Appends the expression as SQL of the dialect, with `?1`, `?2`… for the values, which go to `params`.
    ///
    /// Numbers the placeholders after what `params` holds already. What is appended stands in its own parentheses.
    pub fn push_sql(&self, sql: &mut String, params: &mut Vec<Value>) {
        sql::Sink { sql, params }.condition(&self.root);
    }

    /// One `column = constant` that every matching row fulfils, for an index; the column's index in the table.
    pub fn equality(&self) -> Option<(usize, Key)> {
        self.root.equality().and_then(|(column, constant)| Some((column, Key(constant.key()?))))
    }

    /// The columns that the expression reads, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }
}

impl Key {
    /// The key of a row's value; `None` where `=` is never true (NULL, unchanged).
    pub fn of(value: &Value) -> Option<Self> {
        Constant::of(value)?.key().map(Self)
    }
}
