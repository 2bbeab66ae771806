//! A table as configuration describes it, in words that every database understands.

use std::collections::HashSet;
use std::fmt;

use crate::event::TableName;

/// A table to be made where it is not there.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSpec {
    /// Its name.
    pub name: TableName,
    /// Its columns, in order.
    pub columns: Vec<ColumnSpec>,
    /// The primary key. Empty: the column of kind [`ColumnKind::Id`], if there is one.
    pub key: Vec<String>,
    /// Further unique keys.
    pub unique: Vec<Vec<String>>,
    /// Indexes.
    pub index: Vec<Vec<String>>,
}

/// A column to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether it may not be NULL.
    pub required: bool,
    /// What it holds where nothing was given.
    pub default: Option<ColumnDefault>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// `id`: a number that the database gives out, the primary key.
    Id,
    /// `text`, `text(255)`: at most so many characters.
    Text(Option<u32>),
    /// `integer`: 64 bits.
    Integer,
    /// `real`: a double.
    Real,
    /// `decimal(10,2)`.
    Decimal(u8, u8),
    /// `boolean`.
    Boolean,
    /// `timestamp`: a moment, in microseconds where the database can; milliseconds in SQLite, as text in UTC.
    Timestamp,
    /// `date`.
    Date,
    /// `json`.
    Json,
    /// `bytes`.
    Bytes,
    /// `uuid`.
    Uuid,
}

/// What a column holds where nothing was given.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnDefault {
    /// The moment of the insert.
    Now,
    /// A text, bound to the column's type by the database.
    Text(String),
    /// A number, as written.
    Number(String),
    /// A truth value.
    Boolean(bool),
}

impl TableSpec {
    /// Whether it can be made in every kind of database. Otherwise a sentence that says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let table = &self.name.name;
        if table.is_empty() {
            return Err("a table needs a name".into());
        }
        if self.columns.is_empty() {
            return Err(format!("table `{table}` needs at least one column"));
        }
        let mut names = HashSet::new();
        for column in &self.columns {
            if column.name.is_empty() {
                return Err(format!("a column of table `{table}` has no name"));
            }
            if !names.insert(column.name.to_lowercase()) {
                return Err(format!("table `{table}` has two columns `{}`", column.name));
            }
            column.check().map_err(|problem| format!("column `{}` of table `{table}`: {problem}", column.name))?;
        }
        let ids: Vec<&str> = self.columns.iter().filter(|c| c.kind == ColumnKind::Id).map(|c| &*c.name).collect();
        match ids[..] {
            [] => {}
            [id] if self.key.is_empty() || self.key == [id] => {}
            [id] => {
                return Err(format!(
                    "table `{table}` has the key ({}), but `{id}` is an `id`, which is the key by itself: leave the key out, \
                     and make the other columns `unique`",
                    self.key.join(", ")
                ));
            }
            [first, second, ..] => {
                return Err(format!("table `{table}` has two ids, `{first}` and `{second}`; only one can be its key"));
            }
        }
        for columns in std::iter::once(&self.key).chain(&self.unique).chain(&self.index).filter(|key| !key.is_empty()) {
            self.check_list(columns)?;
        }
        if self.unique.iter().chain(&self.index).any(Vec::is_empty) {
            return Err(format!("an index of table `{table}` is over no column"));
        }
        Ok(())
    }

    /// The columns of the primary key.
    pub fn primary_key(&self) -> Vec<&str> {
        if !self.key.is_empty() {
            return self.key.iter().map(|name| &**name).collect();
        }
        self.columns.iter().filter(|column| column.kind == ColumnKind::Id).map(|column| &*column.name).collect()
    }

    fn check_list(&self, columns: &[String]) -> Result<(), String> {
        let table = &self.name.name;
        for (n, column) in columns.iter().enumerate() {
            if !self.columns.iter().any(|known| known.name == *column) {
                let columns: Vec<String> = self.columns.iter().map(|column| format!("`{}`", column.name)).collect();
                return Err(format!(
                    "a key or index of table `{table}` names `{column}`, but its columns are {}",
                    columns.join(", ")
                ));
            }
            if columns[..n].contains(column) {
                return Err(format!("a key or index of table `{table}` names `{column}` twice"));
            }
        }
        Ok(())
    }
}

impl ColumnSpec {
    fn check(&self) -> Result<(), String> {
        match self.kind {
            ColumnKind::Text(Some(0)) => return Err("text(0) holds nothing".into()),
            ColumnKind::Decimal(digits, scale) if digits == 0 || digits > 65 || scale > digits || scale > 30 => {
                return Err(format!(
                    "decimal({digits},{scale}) must have 1 to 65 digits, and at most 30 of them behind the point"
                ));
            }
            _ => {}
        }
        let Some(default) = &self.default else { return Ok(()) };
        let fits = match (self.kind, default) {
            (ColumnKind::Id | ColumnKind::Bytes, _) => false,
            (ColumnKind::Timestamp, ColumnDefault::Now) => true,
            (ColumnKind::Boolean, ColumnDefault::Boolean(_)) => true,
            (ColumnKind::Integer, ColumnDefault::Number(number)) => number.parse::<i64>().is_ok(),
            (ColumnKind::Real | ColumnKind::Decimal(..), ColumnDefault::Number(number)) => is_number(number),
            (
                ColumnKind::Text(_) | ColumnKind::Timestamp | ColumnKind::Date | ColumnKind::Json | ColumnKind::Uuid,
                ColumnDefault::Text(_),
            ) => true,
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("its default does not fit a column of type `{}`", self.kind)) }
    }
}

/// Whether columns can be added to a table that has rows already, in every kind of database. Otherwise a sentence that says why not.
pub(super) fn check_added(table: &TableName, columns: &[ColumnSpec]) -> Result<(), String> {
    for column in columns {
        let wrong = |problem: &str| format!("column `{}` cannot be added to table `{table}`: {problem}", column.name);
        column.check().map_err(|problem| wrong(&problem))?;
        match &column.default {
            _ if column.name.is_empty() => return Err(wrong("it has no name")),
            _ if column.kind == ColumnKind::Id => return Err(wrong("an id is made with its table")),
            None if column.required => return Err(wrong("the rows that are there need a default, or NULL")),
            // SQLite has no moment for them.
            Some(ColumnDefault::Now) => return Err(wrong("the rows that are there were not made now")),
            _ => {}
        }
    }
    Ok(())
}

/// That a table which is there already has no such column, and what to do.
pub(super) fn missing_column(table: &TableSpec, column: &str, alteration: &str) -> String {
    format!(
        "table `{}` is there already and has no column `{column}`: add it (`{alteration}`), or take it out of the \
         configuration's [[table]]",
        table.name
    )
}

/// Digits as every database reads them.
fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite) && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
}

impl fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Id => "id",
            Self::Text(Some(length)) => return write!(f, "text({length})"),
            Self::Text(None) => "text",
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Decimal(digits, scale) => return write!(f, "decimal({digits},{scale})"),
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Json => "json",
            Self::Bytes => "bytes",
            Self::Uuid => "uuid",
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(columns: &[(&str, ColumnKind)], key: &[&str]) -> TableSpec {
        let column = |(name, kind): &(&str, ColumnKind)| ColumnSpec {
            name: (*name).into(),
            kind: *kind,
            required: false,
            default: None,
        };
        TableSpec {
            name: TableName::bare("t"),
            columns: columns.iter().map(column).collect(),
            key: key.iter().map(|name| (*name).into()).collect(),
            unique: Vec::new(),
            index: Vec::new(),
        }
    }

    #[track_caller]
    fn check_refused(spec: &TableSpec, part: &str) {
        let problem = spec.check().expect_err(part);
        assert!(problem.contains(part), "{problem}");
    }

    #[test]
    fn a_column_that_old_rows_could_not_have_is_not_added() {
        use ColumnKind::{Boolean, Id, Integer, Timestamp};
        let added = |kind, required, default| {
            check_added(&TableName::bare("t"), &[ColumnSpec { name: "c".into(), kind, required, default }])
        };
        assert_eq!(added(Integer, false, None), Ok(()));
        assert_eq!(added(Boolean, true, Some(ColumnDefault::Boolean(false))), Ok(()));
        for (refused, part) in [
            (added(Id, false, None), "made with its table"),
            (added(Integer, true, None), "need a default"),
            (added(Timestamp, true, Some(ColumnDefault::Now)), "not made now"),
            (added(Integer, true, Some(ColumnDefault::Boolean(true))), "does not fit"),
        ] {
            let problem = refused.expect_err(part);
            assert!(problem.contains(part) && problem.contains("`c`") && problem.contains("`t`"), "{problem}");
        }
    }

    #[test]
    fn what_no_database_could_make_is_refused_with_a_sentence() {
        use ColumnKind::{Decimal, Id, Integer, Text, Timestamp};
        check_refused(&spec(&[], &[]), "at least one column");
        check_refused(&spec(&[("a", Integer), ("A", Integer)], &[]), "two columns `A`");
        check_refused(&spec(&[("a", Id), ("b", Id)], &[]), "two ids, `a` and `b`");
        check_refused(&spec(&[("a", Id), ("b", Integer)], &["b"]), "the key by itself");
        check_refused(&spec(&[("a", Integer)], &["b"]), "its columns are `a`");
        check_refused(&spec(&[("a", Decimal(2, 3))], &[]), "column `a` of table `t`: decimal(2,3)");
        let mut now = spec(&[("a", Text(None))], &[]);
        now.columns[0].default = Some(ColumnDefault::Now);
        check_refused(&now, "does not fit a column of type `text`");
        now.columns[0].kind = Timestamp;
        assert_eq!(now.check(), Ok(()));
        assert_eq!(spec(&[("a", Integer), ("b", Text(Some(9)))], &["b", "a"]).check(), Ok(()));
    }
}
