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
mod select;
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
pub use select::{Chosen, Select, Selection};
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

impl Dialect {
    /// What the end of a SELECT says so that its rows are changed by nobody else before the transaction ends. SQLite has one
    /// writer at a time.
    pub fn hold(self) -> &'static str {
        match self {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR SHARE",
            // MySQL has FOR SHARE, too; MariaDB does not.
            Dialect::Mysql => " LOCK IN SHARE MODE",
        }
    }
}

/// A parsed expression, not yet tied to a table.
#[derive(Debug, Clone)]
pub struct Filter {
    text: Arc<str>,
    root: Arc<Expr>,
    selects: Arc<[Arc<Select>]>,
}

/// What the names of a filter stand for.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'b> {
    /// Whose columns.
    pub table: &'b Table,
    /// Whose rules of comparison.
    pub dialect: Dialect,
    /// What `claims.x` is.
    pub claims: &'b Map<String, Json>,
    /// The columns that may be named; `None`: all.
    pub readable: Option<&'b [usize]>,
    /// What each of the filter's [selects](Filter::selects) finds.
    pub chosen: &'b [Chosen],
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
        let (root, _) = grammar::parse(text, false)?;
        Ok(Self { root: Arc::new(root), text: text.into(), selects: Arc::new([]) })
    }

    /// Reads the same, where `x IN (SELECT y FROM t WHERE …)` may stand, too.
    pub fn parse_rule(text: &str) -> Result<Self, FilterError> {
        let (root, selects) = grammar::parse(text, true)?;
        Ok(Self { root: Arc::new(root), text: text.into(), selects: selects.into() })
    }

    /// What it reads of other tables.
    pub fn selects(&self) -> &[Arc<Select>] {
        &self.selects
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Ties the names to the table's columns, and `claims.x` to the claims.
    pub fn bind(&self, table: &Table, dialect: Dialect, claims: &Map<String, Json>) -> Result<Predicate, FilterError> {
        self.bind_with(Binding { table, dialect, claims, readable: None, chosen: &[] })
    }

    /// The same with all that a rule needs.
    pub fn bind_with(&self, binding: Binding<'_>) -> Result<Predicate, FilterError> {
        let Binding { table, dialect, claims, readable, chosen } = binding;
        let names = Names::new(table, claims).readable(readable);
        let root = Binder { names, dialect, chosen }.condition(&self.root)?;
        Ok(Predicate::new(root, dialect))
    }
}

impl Predicate {
    fn new(root: Condition, dialect: Dialect) -> Self {
        let columns = root.columns();
        Self { root, columns, dialect }
    }

    /// What decides who may see a row: where a source did not send what it asks for, nobody may.
    #[must_use]
    pub fn as_rule(self) -> Self {
        Self::new(Condition::Rule(Box::new(self.root)), self.dialect)
    }

    /// Both have to be true.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::new(condition::join([self.root, other.root].into_iter(), false), self.dialect)
    }

    /// The truth that it has for every row, if that is one.
    pub fn known(&self) -> Option<Option<bool>> {
        let mut root = &self.root;
        while let Condition::Rule(inner) | Condition::Within { inner, .. } = root {
            root = inner;
        }
        match root {
            Condition::Known(truth) => Some(*truth),
            _ => None,
        }
    }

    /// Whether it is true of no fewer rows when what it reads of other tables becomes more.
    pub fn grows(&self) -> bool {
        self.root.grows()
    }

    /// What it reads of other tables.
    pub fn selections(&self) -> Vec<Arc<Selection>> {
        let mut found = Vec::new();
        self.root.selections(&mut found);
        found
    }

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
        self.push(sql, params, false);
    }

    /// The same, for a transaction that writes: the rows of other tables that it reads stay as they are until that ends.
    pub fn push_holding_sql(&self, sql: &mut String, params: &mut Vec<Value>) {
        self.push(sql, params, true);
    }

    fn push(&self, sql: &mut String, params: &mut Vec<Value>, holds: bool) {
        let truths = match self.dialect {
            Dialect::Sqlite => ["1", "0", "NULL"],
            Dialect::Postgres => ["TRUE", "FALSE", "NULL::boolean"],
            Dialect::Mysql => ["TRUE", "FALSE", "NULL"],
        };
        sql::Sink { sql, params, truths, dialect: self.dialect, holds }.condition(&self.root);
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
