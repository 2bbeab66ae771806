//! Dead letters, to look at.

use rusqlite::Connection;
use rusqlite::types::Value as Sql;

use super::delivery::signed;
use super::{StoreError, refused};
use crate::sqlite::delivered;
use crate::store::{DeadLetter, DeadLetters, Progress};

/// How far the database has a source's records.
pub(super) fn progress(connection: &Connection, source: &str) -> Result<Option<Progress>, StoreError> {
    if delivered::are_made(connection).map_err(refused)? {
        super::delivery::progress(connection, source)
    } else {
        Ok(None)
    }
}

/// Those that are asked for, newest first.
pub(super) fn read(connection: &Connection, which: &DeadLetters) -> rusqlite::Result<Vec<DeadLetter>> {
    if !delivered::are_made(connection)? {
        return Ok(Vec::new());
    }
    let mut conditions = vec!["1"];
    let mut params = Vec::new();
    if let Some(source) = &which.source {
        conditions.push(r#""source" = ?"#);
        params.push(Sql::Text(source.clone()));
    }
    if let Some(before) = which.before {
        conditions.push(r#""id" < ?"#);
        params.push(Sql::Integer(signed(before)));
    }
    let ids;
    if !which.ids.is_empty() {
        let list: Vec<String> = which.ids.iter().map(u64::to_string).collect();
        ids = format!(r#""id" IN ({})"#, list.join(","));
        conditions.push(&ids);
    }
    let sql = format!(
        r#"SELECT "id", "source", "table", "time", "line", "column", "reason", "raw" FROM "_rowcast_dead_letters"
           WHERE {} ORDER BY "id" DESC LIMIT {}"#,
        conditions.join(" AND "),
        which.limit()
    );
    let mut statement = connection.prepare(&sql)?;
    let number = |row: &rusqlite::Row<'_>, column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    let letters = statement.query_map(rusqlite::params_from_iter(params), |row| {
        Ok(DeadLetter {
            id: number(row, 0)?,
            source: row.get(1)?,
            table: row.get(2)?,
            time_ms: number(row, 3)?,
            line: number(row, 4)?,
            column: row.get(5)?,
            reason: row.get(6)?,
            raw: row.get(7)?,
        })
    })?;
    letters.collect()
}

/// How many there are of each source.
pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    if !delivered::are_made(connection)? {
        return Ok(Vec::new());
    }
    let sql = r#"SELECT "source", count(*) FROM "_rowcast_dead_letters" GROUP BY "source" ORDER BY "source""#;
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?.collect()
}
