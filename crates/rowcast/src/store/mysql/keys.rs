//! The unique keys of a table: what a row must not share with another one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use parking_lot::Mutex;

use super::pool::within;
use super::{Conflict, FRESH, StoreError, quote};
use crate::event::{Table, TableName};

/// One for each unique index. `None`: over an expression, or the beginning of a text.
type Uniques = Arc<[Option<Vec<usize>>]>;

const SQL: &str = "\
SELECT INDEX_NAME, COLUMN_NAME, SUB_PART IS NULL FROM information_schema.STATISTICS \
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME = 'PRIMARY' DESC, INDEX_NAME, SEQ_IN_INDEX";

/// Those that were asked for lately.
#[derive(Debug, Default)]
pub(super) struct Keys(Mutex<HashMap<TableName, (Instant, Uniques)>>);

/// What becomes of a row whose key is there already, as the end of its statement says it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The key's columns.
    pub(super) columns: Vec<usize>,
    /// Whether the others are replaced.
    pub(super) update: bool,
    /// Whether the table has further keys, whose conflicts are no reason to pass a row over.
    alone: bool,
}

impl Keys {
    pub(super) fn forget(&self) {
        self.0.lock().clear();
    }

    async fn of(&self, conn: &mut Conn, table: &Table) -> Result<Uniques, StoreError> {
        if let Some((since, known)) = self.0.lock().get(&table.name)
            && since.elapsed() < FRESH
        {
            return Ok(known.clone());
        }
        let rows: Vec<(String, Option<String>, bool)> = within(conn.exec(SQL, (&*table.name.name,))).await?;
        let uniques = rows.chunk_by(|a, b| a.0 == b.0).map(|index| {
            let column = |(_, name, whole): &(String, Option<String>, bool)| {
                name.as_deref().filter(|_| *whole).and_then(|name| table.column(name))
            };
            index.iter().map(column).collect()
        });
        let uniques: Uniques = uniques.collect();
        self.0.lock().insert(table.name.clone(), (Instant::now(), uniques.clone()));
        Ok(uniques)
    }

    /// What is to be done about conflicts. Refuses what no unique key of the table can tell.
    pub(super) async fn target(
        &self,
        conn: &mut Conn,
        table: &Table,
        conflict: &Conflict,
    ) -> Result<Option<Target>, StoreError> {
        let (asked, update) = match conflict {
            Conflict::Refuse => return Ok(None),
            Conflict::Ignore(columns) => (columns, false),
            Conflict::Update(columns) => (columns, true),
        };
        let columns = if asked.is_empty() { &table.key } else { asked };
        let uniques = self.of(conn, table).await?;
        let is = |key: &Option<Vec<usize>>| {
            key.as_ref().is_some_and(|key| key.len() == columns.len() && columns.iter().all(|n| key.contains(n)))
        };
        if columns.is_empty() || !uniques.iter().any(is) {
            return Err(StoreError::Refused(no_such_key(table, columns)));
        }
        Ok(Some(Target { columns: columns.clone(), update, alone: uniques.len() == 1 }))
    }
}

impl Target {
    /// `ON DUPLICATE KEY UPDATE …` for a statement that sets these columns.
    ///
    /// The server does not say by which key rows conflict. Where that may be another one, a subquery of two rows, which is
    /// evaluated only then, makes it an error of this row.
    pub(super) fn sql(&self, table: &Table, set: &[usize]) -> String {
        let name = |column: &usize| quote(&table.columns[*column].name);
        let first = name(&self.columns[0]);
        let mut terms = Vec::new();
        if self.alone {
            terms.push(format!("{first} = {first}"));
        } else {
            let same: Vec<String> =
                self.columns.iter().map(|column| format!("{0} <=> VALUES({0})", name(column))).collect();
            terms.push(format!("{first} = IF({}, {first}, (SELECT 1 UNION SELECT 2))", same.join(" AND ")));
        }
        if self.update {
            let others = set.iter().filter(|column| !self.columns.contains(column));
            terms.extend(others.map(|column| format!("{0} = VALUES({0})", name(column))));
        }
        format!(" ON DUPLICATE KEY UPDATE {}", terms.join(", "))
    }
}

/// The error that [`Target::sql`] provokes: a subquery of more than one row.
pub(super) const ANOTHER_KEY: u16 = 1242;

/// That rows cannot be told apart by these columns, and what to do.
fn no_such_key(table: &Table, columns: &[usize]) -> String {
    if columns.is_empty() {
        return format!(
            "table `{}` has no primary key to tell repeated rows by; name the columns of a unique key",
            table.name
        );
    }
    let names: Vec<&str> =
        columns.iter().map(|&n| table.columns.get(n).map_or("(none such)", |column| &*column.name)).collect();
    format!(
        "table `{}` has no unique key on ({}); make one, or name the columns of another",
        table.name,
        names.join(", ")
    )
}
