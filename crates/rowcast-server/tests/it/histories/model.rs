//! The tables that histories write, and filters whose truth is computed here, not by the code under test.

use serde_json::{Value, json};

use crate::client::message::JsonRow;

/// A row. Which of the columns there are, and which is the key, says [`Shape`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) a: Option<i64>,
    pub(crate) b: Option<String>,
    /// Another one with each change, so that two changes are never alike.
    pub(crate) v: i64,
    /// Of tables that have been altered.
    pub(crate) c: Option<String>,
    /// SQLite's own, which stands for the key where there is none.
    pub(crate) rowid: i64,
}

/// How a table is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `id INTEGER PRIMARY KEY`.
    Rowid,
    /// WITHOUT ROWID.
    Clustered,
    /// A key of two columns, the first of which is computed from `id`.
    Composite,
    /// No key at all.
    Keyless,
}

/// The row that is written last: every filter keeps it.
pub(crate) const MARKER: i64 = 999_999;

impl Shape {
    /// The columns as SQL.
    pub(crate) fn definition(self) -> &'static str {
        match self {
            Self::Rowid => "(id INTEGER PRIMARY KEY, a INTEGER, b TEXT, v INTEGER NOT NULL)",
            Self::Clustered => "(id INTEGER NOT NULL PRIMARY KEY, a INTEGER, b TEXT, v INTEGER NOT NULL) WITHOUT ROWID",
            Self::Composite => {
                "(g TEXT NOT NULL, id INTEGER NOT NULL, a INTEGER, b TEXT, v INTEGER NOT NULL, PRIMARY KEY (g, id))"
            }
            Self::Keyless => "(id INTEGER, a INTEGER, b TEXT, v INTEGER NOT NULL)",
        }
    }

    /// Names in the order in which clients see them.
    pub(crate) fn columns(self, altered: bool) -> Vec<&'static str> {
        let mut columns = match self {
            Self::Composite => vec!["g", "id", "a", "b", "v"],
            Self::Keyless => vec!["rowid", "id", "a", "b", "v"],
            _ => vec!["id", "a", "b", "v"],
        };
        columns.extend(altered.then_some("c"));
        columns
    }

    pub(crate) fn key(self) -> &'static [&'static str] {
        match self {
            Self::Rowid | Self::Clustered => &["id"],
            Self::Composite => &["g", "id"],
            Self::Keyless => &["rowid"],
        }
    }
}

/// The first column of a composite key.
pub(crate) fn group(id: i64) -> String {
    format!("g{}", id.rem_euclid(3))
}

impl Row {
    pub(crate) fn value(&self, column: &str) -> Value {
        match column {
            "rowid" => json!(self.rowid),
            "g" => json!(group(self.id)),
            "id" => json!(self.id),
            "a" => json!(self.a),
            "b" => json!(self.b),
            "v" => json!(self.v),
            "c" => json!(self.c),
            other => unreachable!("no column `{other}`"),
        }
    }

    pub(crate) fn json(&self, columns: &[&str]) -> JsonRow {
        columns.iter().map(|column| ((*column).to_owned(), self.value(column))).collect()
    }

    /// As `key` of a change.
    pub(crate) fn key(&self, shape: Shape) -> Value {
        shape.key().iter().map(|column| self.value(column)).collect()
    }
}

/// A filter: as clients write it, and its truth in SQL's three-valued logic, NULL being false in the end.
pub(crate) struct Filter {
    pub(crate) sql: Option<&'static str>,
    pub(crate) keeps: fn(&Row) -> bool,
}

/// Every one of them keeps the marker.
pub(crate) const FILTERS: &[Filter] = &[
    Filter { sql: None, keeps: |_| true },
    Filter { sql: Some("a > 5"), keeps: |row| row.a.is_some_and(|a| a > 5) },
    Filter { sql: Some("b = 'x'"), keeps: |row| b_is(row, "x") },
    Filter {
        sql: Some("a between 2 and 7 and b in ('x','y')"),
        keeps: |row| row.a.is_some_and(|a| (2..=7).contains(&a)) && (b_is(row, "x") || b_is(row, "y")),
    },
    Filter { sql: Some("a is null or b like 'x%'"), keeps: |row| row.a.is_none() || b_begins_with_x(row) },
    Filter {
        sql: Some("not (a = 3) and b <> 'y'"),
        keeps: |row| row.a.is_some_and(|a| a != 3) && row.b.as_deref().is_some_and(|b| b != "y"),
    },
    Filter {
        sql: Some("id in (1,2,3,7) or b is not null"),
        keeps: |row| [1, 2, 3, 7].contains(&row.id) || row.b.is_some(),
    },
    Filter { sql: Some("a = 7"), keeps: |row| row.a == Some(7) },
    Filter { sql: Some("b = 'x' and a > 2"), keeps: |row| b_is(row, "x") && row.a.is_some_and(|a| a > 2) },
    Filter { sql: Some("v > 0 and (a = 7 or a = 4)"), keeps: |row| matches!(row.a, Some(7 | 4)) },
];

fn b_is(row: &Row, text: &str) -> bool {
    row.b.as_deref() == Some(text)
}

/// LIKE ignores the case of ASCII letters.
fn b_begins_with_x(row: &Row) -> bool {
    row.b.as_deref().is_some_and(|b| b.starts_with(['x', 'X']))
}

/// The values that `b` has in histories.
pub(crate) const TEXTS: &[Option<&str>] =
    &[None, Some("x"), Some("x"), Some("y"), Some("xy"), Some("Xy"), Some("z"), Some(""), Some("ü \"'\\\n\u{2028}🦀")];

/// An identifier in SQL's quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
