//! What the store remembers of the records that it was brought: how far each source is, their keys, and dead letters.
//!
//! Made when the first of them come, so that a database without ingest stays clean.

use rusqlite::Connection;

use super::outbox;

/// The names of the tables.
pub(crate) const TABLES: [&str; 3] = ["_rowcast_progress", "_rowcast_keys", DEAD_LETTERS];
/// The name of the one that is the user's own.
pub(crate) const DEAD_LETTERS: &str = "_rowcast_dead_letters";

// Keys are numbered in the order of their coming, so that the oldest are found at the beginning.
const MAKE: &str = r#"
CREATE TABLE IF NOT EXISTS "_rowcast_progress"
  ("source" TEXT PRIMARY KEY, "life" TEXT NOT NULL, "upto" INTEGER NOT NULL, "keys" INTEGER NOT NULL, "time" INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS "_rowcast_keys"
  ("id" INTEGER PRIMARY KEY, "source" TEXT NOT NULL, "key" TEXT NOT NULL, "n" INTEGER NOT NULL, "time" INTEGER NOT NULL, UNIQUE ("source", "key"));
CREATE TABLE IF NOT EXISTS "_rowcast_dead_letters"
  ("id" INTEGER PRIMARY KEY AUTOINCREMENT, "source" TEXT NOT NULL, "table" TEXT NOT NULL, "time" INTEGER NOT NULL, "line" INTEGER NOT NULL,
   "column" TEXT, "reason" TEXT NOT NULL, "raw" TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS "_rowcast_dead_letters_of" ON "_rowcast_dead_letters" ("source", "id")"#;

/// Whether the tables are there.
pub(crate) fn are_made(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN (?1, ?2, ?3)";
    let count: i64 = connection.prepare_cached(sql)?.query_row(TABLES, |row| row.get(0))?;
    Ok(count == 3)
}

/// Makes the tables, in the connection's transaction. Capture has nothing to do about it.
pub(crate) fn make(connection: &Connection) -> rusqlite::Result<()> {
    let current = outbox::is_current(connection)?;
    connection.execute_batch(MAKE)?;
    if current { outbox::note_schema(connection) } else { Ok(()) }
}

/// How many dead letters there are.
pub(crate) fn dead_letters(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row(r#"SELECT count(*) FROM "_rowcast_dead_letters""#, [], |row| row.get(0))
}
