//! A record made to fit its table: each name a column, each value of the column's type, or the reason why not.
//!
//! Nothing is lost on the way: text becomes a number, and a number text, only where every digit stays. NOT NULL, CHECK and
//! uniqueness are the database's to decide.
//!
//! | the column was declared | takes | refuses |
//! |---|---|---|
//! | an integer type (`INT`, `BIGINT`, …) | integers, also as text or as `37.0`; `true` and `false` as 1 and 0 | fractions, beyond 64 bits, other text |
//! | `REAL`, `FLOAT`, `DOUBLE …` | numbers, also as text; `true` and `false` | NaN, the infinities, beyond a double |
//! | `NUMERIC`, `DECIMAL`, `NUMBER`, `MONEY` | numbers, also as text, with all their digits; `true` and `false` | as above |
//! | `BOOL …` | `true`, `false`, integers, also as text | other text, fractions |
//! | `…CHAR…`, `TEXT`, `CLOB`, `STRING` | text; numbers, `true`, `false`, objects and arrays as they were written | – |
//! | `JSON…` | everything, as its JSON; text as it is | – |
//! | `BLOB`, `…BINARY…`, `BYTEA` | text of the form `\x00ff` | everything else |
//! | anything else (none, `DATETIME`, `UUID`, …) | everything: numbers, text, `true` as 1, objects as their JSON | numbers beyond a double |
//!
//! That is SQLite. A column of PostgreSQL is checked against its type's own limits (`postgres`), and what the database is the
//! better judge of is left to it.
//!
//! A column of MySQL or MariaDB (`mysql`) takes only what it keeps exactly, for the database would round or cut off much else:
//!
//! | the column is | takes | refuses |
//! |---|---|---|
//! | `tinyint` … `bigint`, each also unsigned | integers of its size, also as text or as `37.0`; `true` and `false` as 1 and 0 | fractions, beyond its size, other text |
//! | `year`, `bit(n)` | years from 1901 to 2155 and 0; integers of n bits, `true` and `false` | two digits; beyond n bits |
//! | `decimal(10,2)` | numbers, also as text; `true` and `false` | more digits than it has, on either side of the point |
//! | `float`, `double` | numbers, also as text; `true` and `false` | beyond its type |
//! | `char(n)`, `varchar(n)`, `text` … | text; numbers, `true`, `false`, objects and arrays as they were written | more than n characters |
//! | `datetime(n)`, `timestamp(n)` | `2026-11-21T10:00:00.5+01:00`: with a zone it is kept in UTC, without one as it is | more digits of a second than n, numbers |
//! | `date`, `time(n)` | `2026-11-21`; `-838:59:59.5` | a time of day in a date; more digits than n |
//! | `enum`, `set` | names, which the database judges | numbers that are no names: they would be taken for places |
//! | `json`, `binary` … `longblob` | everything, as its JSON; text of the form `\x00ff` | –; everything else |
//! | `uuid`, `inet6`, others | a uuid; what the database takes | other text; – |
//!
//! NULL is taken everywhere. A column that is not named gets its default. A column that is named twice is refused, as is a
//! name that is no column's, unless [`Extra::Ignore`] passes over it.

mod kind;
mod mysql;
mod number;
mod postgres;

use std::sync::Arc;

use super::decode::{Field, Fields};
use crate::event::{Table, Value};
use crate::filter::Dialect;

/// What to do with a name that is no column's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extra {
    /// The row is refused.
    #[default]
    Refuse,
    /// The value is passed over: for sources that send more than the table keeps. A row that names no column at all is
    /// refused all the same.
    Ignore,
}

/// The columns that a row sets, with values that fit them.
pub type Cells = Vec<(usize, Value)>;

/// Why a row does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Misfit {
    /// The column or the name in question.
    pub column: Option<Box<str>>,
    /// What is wrong, beginning with the name where there is one.
    pub reason: String,
}

/// What each column takes.
#[derive(Debug, Clone)]
enum Kinds {
    Sqlite(Box<[kind::Kind]>),
    Postgres(Box<[postgres::Kind]>),
    Mysql(Box<[mysql::Kind]>),
}

impl Kinds {
    fn of(table: &Table, dialect: Dialect) -> Self {
        let declared = table.columns.iter().map(|column| &*column.declared);
        match dialect {
            Dialect::Sqlite => Self::Sqlite(declared.map(kind::Kind::of).collect()),
            Dialect::Postgres => Self::Postgres(declared.map(postgres::Kind::of).collect()),
            Dialect::Mysql => Self::Mysql(declared.map(mysql::Kind::of).collect()),
        }
    }

    fn value(&self, column: usize, field: Field) -> Result<Value, String> {
        match self {
            Self::Sqlite(kinds) => kinds[column].value(field),
            Self::Postgres(kinds) => kinds[column].value(field),
            Self::Mysql(kinds) => kinds[column].value(field),
        }
    }
}

/// Makes rows fit one table.
#[derive(Debug, Clone)]
pub struct Coerce {
    table: Arc<Table>,
    kinds: Kinds,
    extra: Extra,
}

impl Coerce {
    /// For rows of this table of a database with these rules.
    pub fn new(table: Arc<Table>, dialect: Dialect, extra: Extra) -> Self {
        let kinds = Kinds::of(&table, dialect);
        Self { table, kinds, extra }
    }

    /// The table that rows are made to fit.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The columns that the record sets, in the record's order.
    pub fn row(&self, fields: Fields) -> Result<Cells, Misfit> {
        let named = fields.0.len();
        let mut cells = Cells::with_capacity(named.min(self.table.columns.len()));
        for (name, field) in fields.0 {
            let Some(index) = self.table.column(&name) else {
                match self.extra {
                    Extra::Ignore => continue,
                    Extra::Refuse => return Err(self.unknown(name)),
                }
            };
            if cells.iter().any(|(other, _)| *other == index) {
                return Err(misfit(&name, "given twice".into()));
            }
            let value = self.kinds.value(index, field).map_err(|reason| misfit(&name, reason))?;
            cells.push((index, value));
        }
        if cells.is_empty() && (named > 0 || self.extra == Extra::Ignore) {
            let reason = format!("names no column of `{}`", self.table.name);
            return Err(Misfit { column: None, reason });
        }
        Ok(cells)
    }

    fn unknown(&self, name: Box<str>) -> Misfit {
        let columns = self.table.columns.iter().map(|column| &*column.name);
        let hint = nearest(&name, columns).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let reason = format!("`{}` has no column `{}`{hint}", self.table.name, short(&name));
        Misfit { column: Some(short(&name).into()), reason }
    }
}

fn misfit(name: &str, reason: String) -> Misfit {
    Misfit { column: Some(name.into()), reason: format!("{}: {reason}", short(name)) }
}

/// How much of a value or name a reason shows.
const SHOWN_CHARS: usize = 40;

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The name that was probably meant.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing costs the product of the lengths.
    if name.len() > 64 {
        return None;
    }
    let name = name.to_lowercase();
    names
        .map(|other| (strsim::jaro_winkler(&name, &other.to_lowercase()), other))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

/// A value for people: as JSON would write it, at most [`SHOWN_CHARS`] characters of it.
fn shown(field: &Field) -> String {
    match field {
        Field::Null => "null".into(),
        Field::Bool(b) => b.to_string(),
        Field::Number(text) | Field::Json(text) => short(text),
        Field::Text(text) => format!("{:?}", short(text)),
    }
}

fn expected(what: &str, field: &Field) -> String {
    format!("expected {what}, got {}", shown(field))
}

fn written(field: Field) -> Box<str> {
    match field {
        Field::Null => "null".into(),
        Field::Bool(true) => "true".into(),
        Field::Bool(false) => "false".into(),
        Field::Number(text) | Field::Text(text) | Field::Json(text) => text,
    }
}

#[cfg(test)]
mod tests;
