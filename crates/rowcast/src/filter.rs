//! A WHERE expression over one row: parse, check, evaluate, push down as SQL with bound parameters.
//!
//! Pure. Follows the comparison rules of the database that it is bound for: the answer for a row is the one that
//! the database gives for the pushed SQL. `docs/filters.md` says what may be written.

mod bind;
mod condition;
mod decimal;
mod document;
mod error;
mod expr;
mod grammar;
mod like;
mod mysql;
mod names;
mod path;
mod postgres;
mod sql;
mod sqlite;
mod suggest;
mod term;
mod token;

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::event::{Row, Table, Value};
use bind::Binder;
use condition::Condition;
use expr::Expr;
use names::Names;

pub use error::FilterError;
pub use term::{Found, Probe, Term, Wanted};

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
    /// Types that each have their own comparison, and conversions only where PostgreSQL makes them.
    Postgres,
    /// MySQL and MariaDB: numbers exactly, text by its bytes whatever the column's collation.
    Mysql,
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
    dialect: Dialect,
}

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
        let root = Binder { names: Names::new(table, claims), dialect }.condition(&self.root)?;
        let columns = root.columns();
        Ok(Predicate { root, columns, dialect })
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

    /// Whether a WHERE clause could keep the row if its unchanged columns held the right values: false only where the
    /// row surely does not match.
    pub fn may_match(&self, row: &Row) -> bool {
        self.root.possible(row).yes
    }

    /// Appends the expression as SQL of the dialect, with placeholders for the values, which go to `params`.
    ///
    /// The placeholders are `?1`, `?2`… for SQLite, `?` for MySQL and `$1::text…`, `$2::text…` for PostgreSQL, where every parameter is
    /// bound as text ([`Value::Text`]). They are numbered after what `params` holds already. What is appended stands in
    /// its own parentheses.
    pub fn push_sql(&self, sql: &mut String, params: &mut Vec<Value>) {
        let truths = match self.dialect {
            Dialect::Sqlite => ["1", "0", "NULL"],
            Dialect::Postgres => ["TRUE", "FALSE", "NULL::boolean"],
            Dialect::Mysql => ["TRUE", "FALSE", "NULL"],
        };
        sql::Sink { sql, params, truths }.condition(&self.root);
    }

    /// Ways for an index to find the rows that match: of each way, at least one term may hold for every such row. None
    /// where all rows have to be tried.
    pub fn ways(&self) -> Vec<Vec<Term>> {
        self.root.ways()
    }

    /// The columns that the expression reads, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }
}
