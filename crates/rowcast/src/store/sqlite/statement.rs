//! One row into one table, and what became of it.

use rusqlite::{Connection, params_from_iter};

use super::{StoreError, refused};
use crate::event::Value;
use crate::sqlite::catalog::Described;
use crate::sqlite::name::quote;
use crate::sqlite::value::Bound;
use crate::store::Conflict;
use crate::store::delivery::no_unique_key;

/// How a row went.
pub(super) enum Row {
    Stands,
    /// Its key is there already.
    Repeated,
    Refused(String),
    /// It was refused, and the transaction with it.
    Ended(String),
    /// It was refused, and something of it stands nevertheless.
    HalfDone,
    /// The database cannot be written to.
    Failed(StoreError),
}

/// Inserts a row. With `careful`, nothing of one that is refused is left.
pub(super) fn insert_row(connection: &Connection, sql: &str, row: &[(usize, Value)], careful: bool) -> Row {
    if careful && let Err(error) = connection.execute_batch("SAVEPOINT rowcast_row") {
        return Row::Failed(refused(error));
    }
    let before = connection.total_changes();
    let values = row.iter().map(|(_, value)| value).filter(|value| !is_left_out(value)).map(Bound);
    let inserted = connection.prepare_cached(sql).and_then(|mut insert| insert.execute(params_from_iter(values)));
    let ended = connection.is_autocommit();
    if careful && !ended {
        let undo = if inserted.is_ok() { "" } else { "ROLLBACK TO rowcast_row;" };
        if let Err(error) = connection.execute_batch(&format!("{undo} RELEASE rowcast_row")) {
            return Row::Failed(refused(error));
        }
    }
    match inserted.map_err(refused) {
        // Or a trigger has said RAISE(IGNORE): it does not stand, either.
        Ok(0) => Row::Repeated,
        Ok(_) => Row::Stands,
        Err(StoreError::Refused(message)) if ended => Row::Ended(message),
        Err(StoreError::Refused(_)) if !careful && connection.total_changes() != before => Row::HalfDone,
        Err(StoreError::Refused(message)) => Row::Refused(message),
        Err(error) => Row::Failed(error),
    }
}

pub(super) fn is_left_out(value: &Value) -> bool {
    matches!(value, Value::Unchanged)
}

/// The text of the last statement, which the next row most often needs, too.
pub(super) struct Statement<'a> {
    described: &'a Described,
    target: Option<Target>,
    columns: Vec<usize>,
    sql: String,
}

/// What a row must not share with another one, and what is done if it does.
struct Target {
    columns: Vec<usize>,
    update: bool,
}

impl<'a> Statement<'a> {
    /// Refuses a conflict that no unique key of the table can tell.
    pub(super) fn new(described: &'a Described, conflict: &Conflict) -> Result<Self, StoreError> {
        let target = match conflict {
            Conflict::Refuse => None,
            Conflict::Ignore(columns) => Some(Target { columns: unique(described, columns)?, update: false }),
            Conflict::Update(columns) => Some(Target { columns: unique(described, columns)?, update: true }),
        };
        Ok(Self { described, target, columns: Vec::new(), sql: String::new() })
    }

    /// The statement that sets the columns of this row.
    pub(super) fn of(&mut self, row: &[(usize, Value)]) -> &str {
        let set = || row.iter().filter(|(_, value)| !is_left_out(value)).map(|(column, _)| *column);
        if self.sql.is_empty() || !set().eq(self.columns.iter().copied()) {
            self.columns = set().collect();
            self.sql = self.text();
        }
        &self.sql
    }

    fn text(&self) -> String {
        let table = quote(&self.described.table.name.name);
        if self.columns.is_empty() {
            return format!("INSERT INTO {table} DEFAULT VALUES");
        }
        let names: Vec<String> = self.columns.iter().map(|&n| self.described.column_sql(n)).collect();
        let marks: Vec<String> = (1..=self.columns.len()).map(|n| format!("?{n}")).collect();
        let conflict = self.target.as_ref().map_or_else(String::new, |target| self.conflict(target));
        format!("INSERT INTO {table} ({}) VALUES ({}){conflict}", names.join(","), marks.join(","))
    }

    fn conflict(&self, target: &Target) -> String {
        let key: Vec<String> = target.columns.iter().map(|&n| self.described.column_sql(n)).collect();
        let set: Vec<String> = self
            .columns
            .iter()
            .filter(|&n| target.update && !target.columns.contains(n))
            .map(|&n| {
                let column = self.described.column_sql(n);
                format!("{column} = excluded.{column}")
            })
            .collect();
        let key = key.join(",");
        match &set[..] {
            [] => format!(" ON CONFLICT ({key}) DO NOTHING"),
            set => format!(" ON CONFLICT ({key}) DO UPDATE SET {}", set.join(",")),
        }
    }
}

/// The columns of a unique key; without any, those of the primary key.
fn unique(described: &Described, columns: &[usize]) -> Result<Vec<usize>, StoreError> {
    let same = |key: &[usize]| key.len() == columns.len() && columns.iter().all(|column| key.contains(column));
    let table = &described.table;
    if columns.is_empty() && !table.key.is_empty() {
        return Ok(table.key.clone());
    }
    let full = described.uniques.iter().filter(|unique| unique.filter.is_none());
    let mut keys = full.map(|unique| unique.columns.iter().map(|(column, _)| *column).collect::<Vec<_>>());
    if !columns.is_empty() && (same(&table.key) || keys.any(|key| same(&key))) {
        return Ok(columns.to_vec());
    }
    Err(StoreError::Refused(no_unique_key(table, columns)))
}
