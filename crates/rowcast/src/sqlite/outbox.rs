//! What Rowcast keeps in a user's database, and how far it has been read.
//!
//! The outbox holds every value with the storage class that it had: its value columns have no declared type, so SQLite
//! changes nothing on the way. A row wider than [`WIDTH`] takes several outbox rows.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension};

use super::catalog::schema_version;
use super::name::{PREFIX, quote};
use crate::event::Place;

/// How many values an outbox row holds.
pub(crate) const WIDTH: usize = 16;

/// How many columns of a key are kept to recognise a replaced row.
pub(crate) const KEY_WIDTH: usize = 8;

/// What an outbox row says. The text is what stands in its column `op`.
pub(crate) mod op {
    /// The values of the new row end here.
    pub(crate) const INSERT: &str = "i";
    /// The values of the old row end here; those of the new one follow and end with [`UPDATE`].
    pub(crate) const OLD: &str = "o";
    /// The values of the new row end here; those of the old one came before.
    pub(crate) const UPDATE: &str = "u";
    /// The values of the old row end here.
    pub(crate) const DELETE: &str = "d";
    /// As [`DELETE`], of a row that had to give way to the one that follows.
    pub(crate) const REPLACED: &str = "x";
    /// More values of the same row follow.
    pub(crate) const MORE: &str = "+";
    /// What is known of the table no longer holds; the first value says why.
    pub(crate) const RESET: &str = "r";
}

/// `"v0","v1",…`
pub(crate) fn value_columns(count: usize) -> String {
    numbered('v', count)
}

/// `"k0","k1",…`
pub(crate) fn key_columns(count: usize) -> String {
    numbered('k', count)
}

fn numbered(letter: char, count: usize) -> String {
    let names: Vec<String> = (0..count).map(|n| format!("\"{letter}{n}\"")).collect();
    names.join(",")
}

/// The statements that make Rowcast's own tables, each under the name of what it makes.
pub(crate) fn tables() -> [(&'static str, String); 4] {
    let values = value_columns(WIDTH);
    let keys = key_columns(KEY_WIDTH);
    [
        (
            "_rowcast_meta",
            r#"CREATE TABLE "_rowcast_meta" ("key" TEXT PRIMARY KEY, "value") WITHOUT ROWID"#.to_owned(),
        ),
        (
            "_rowcast_tables",
            r#"CREATE TABLE "_rowcast_tables" ("gen" INTEGER PRIMARY KEY AUTOINCREMENT, "name" TEXT NOT NULL, "columns" TEXT NOT NULL, "key" TEXT NOT NULL, "retired" INTEGER NOT NULL DEFAULT 0)"#
                .to_owned(),
        ),
        (
            "_rowcast_outbox",
            format!(
                r#"CREATE TABLE "_rowcast_outbox" ("seq" INTEGER PRIMARY KEY AUTOINCREMENT, "gen" INTEGER NOT NULL, "op" TEXT NOT NULL, {values})"#
            ),
        ),
        (
            "_rowcast_replaced",
            format!(
                r#"CREATE TABLE "_rowcast_replaced" ("id" INTEGER PRIMARY KEY, "gen" INTEGER NOT NULL, "op" TEXT NOT NULL, {keys}, {values})"#
            ),
        ),
    ]
}

/// The name of the trigger of one generation of a table.
pub(crate) fn trigger(generation: i64, what: &str) -> String {
    quote(&format!("{PREFIX}{generation}_{what}"))
}

/// A fresh outbox id. A later one is greater as text.
pub(crate) fn new_id() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:012x}{:08x}", since.as_millis(), rand::random::<u32>())
}

/// The value that triggers write for a column that its table no longer has. No row holds it by chance.
pub(crate) fn gone_marker(connection: &Connection) -> rusqlite::Result<Vec<u8>> {
    meta(connection, "marker").map(Option::unwrap_or_default)
}

/// The id of the database's outbox; `None` when capture is not installed.
pub(crate) fn id(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_rowcast_meta'";
    if connection.prepare_cached(exists)?.query_row([], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    meta(connection, "id")
}

/// A value of `_rowcast_meta`.
pub(crate) fn meta<T: rusqlite::types::FromSql>(connection: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    connection
        .prepare_cached(r#"SELECT "value" FROM "_rowcast_meta" WHERE "key" = ?1"#)?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Whether the triggers fit the schema as it is now.
pub(crate) fn is_current(connection: &Connection) -> rusqlite::Result<bool> {
    let version = Some(schema_version(connection)?);
    Ok(id(connection)?.is_some() && meta(connection, "schema_version")? == version)
}

/// Writes down that the triggers fit the schema as it is now.
pub(crate) fn note_schema(connection: &Connection) -> rusqlite::Result<()> {
    if !is_current(connection)? {
        let sql = r#"INSERT OR REPLACE INTO "_rowcast_meta"("key", "value") VALUES ('schema_version', ?1)"#;
        connection.execute(sql, [schema_version(connection)?])?;
    }
    Ok(())
}

/// The number of the last outbox row that was ever committed; 0 when there was none.
///
/// A statement that ends half done (`INSERT OR FAIL`) leaves rows beyond what `sqlite_sequence` says.
pub(crate) fn last_seq(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = r#"SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = '_rowcast_outbox'), 0),
                            coalesce((SELECT max("seq") FROM "_rowcast_outbox"), 0))"#;
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).map(i64::unsigned_abs)
}

/// How far the outbox has been read: a [`Place`], taken apart.
///
/// As text `id:seq`, and `id:seq/tx` inside a transaction that began at outbox row `tx`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OutboxPlace {
    /// Which outbox: one that was made later is greater.
    pub(crate) id: String,
    /// The last row that was read.
    pub(crate) seq: u64,
    /// The first row of the transaction that `seq` is in the midst of.
    pub(crate) tx: Option<u64>,
}

impl OutboxPlace {
    /// Between two transactions.
    pub(crate) fn new(id: &str, seq: u64) -> Self {
        Self { id: id.to_owned(), seq, tx: None }
    }

    pub(crate) fn to_place(&self) -> Place {
        let Self { id, seq, tx } = self;
        Place(match tx {
            Some(tx) => format!("{id}:{seq}/{tx}").into(),
            None => format!("{id}:{seq}").into(),
        })
    }

    /// `None` where the place is not one of a SQLite source.
    pub(crate) fn of(place: &Place) -> Option<Self> {
        let (id, rest) = place.0.split_once(':')?;
        let (seq, tx) = match rest.split_once('/') {
            Some((seq, tx)) => (seq, Some(u64::from_str(tx).ok()?)),
            None => (rest, None),
        };
        Some(Self { id: id.to_owned(), seq: seq.parse().ok()?, tx })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in ["0123abc:42", "0123abc:42/40", ":0"] {
            let place = Place(text.into());
            assert_eq!(OutboxPlace::of(&place).expect(text).to_place(), place);
        }
        for text in ["", "42", "a:", "a:b", "a:1/", "a:1/x", "a:-1"] {
            assert_eq!(OutboxPlace::of(&Place(text.into())), None, "{text}");
        }
    }

    #[test]
    fn a_later_outbox_has_a_greater_id() {
        let first = new_id();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(new_id() > first);
    }
}
