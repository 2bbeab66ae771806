//! What is written with a delivery's rows, in their transaction: how far its source is, its records' keys, dead letters.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{StoreError, refused};
use crate::sqlite::delivered;
use crate::store::delivery::{KEYS_KEPT, KEYS_KEPT_FOR};
use crate::store::{Delivery, Insert, NewDeadLetter, Progress};

/// Keys looked at in one transaction that forgets old ones.
const PRUNED_AT_ONCE: i64 = 5_000;

/// A number as SQLite keeps it.
pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How far the database has a source's records.
pub(super) fn progress(connection: &Connection, source: &str) -> Result<Option<Progress>, StoreError> {
    read(connection, source).map(|found| found.map(|(progress, _)| progress)).map_err(refused)
}

fn read(connection: &Connection, source: &str) -> rusqlite::Result<Option<(Progress, i64)>> {
    let sql = r#"SELECT "life", "upto", "keys" FROM "_rowcast_progress" WHERE "source" = ?1"#;
    let row = |row: &rusqlite::Row<'_>| {
        let (life, upto): (String, i64) = (row.get(0)?, row.get(1)?);
        Ok((Progress { life: life.into(), upto: upto.unsigned_abs() }, row.get(2)?))
    };
    connection.prepare_cached(sql)?.query_row([source], row).optional()
}

/// Moves the source on. Refuses, before anything is written, what does not continue what is there.
///
/// Returns which of the delivery's rows are to be passed over, because their records' keys are known.
pub(super) fn begin(connection: &Connection, delivery: &Delivery) -> Result<Vec<bool>, StoreError> {
    let found = read(connection, &delivery.source).map_err(refused)?;
    let at = found.as_ref().map(|(progress, _)| progress);
    let continues = match at {
        Some(at) if at.life[..] == delivery.life[..] => at.upto == delivery.after,
        _ => delivery.after == 0,
    };
    if !continues {
        return Err(StoreError::Moved { at: at.cloned() });
    }
    let known = found.map_or(0, |(_, keys)| keys);
    let (repeated, keys) = remember(connection, delivery, known).map_err(refused)?;
    let sql = r#"INSERT OR REPLACE INTO "_rowcast_progress" ("source", "life", "upto", "keys", "time") VALUES (?1, ?2, ?3, ?4, ?5)"#;
    let row = params![&*delivery.source, &*delivery.life, signed(delivery.upto), keys, now_ms()];
    connection.prepare_cached(sql).and_then(|mut insert| insert.execute(row)).map_err(refused)?;
    Ok(repeated)
}

/// Which records are known already, and how many keys of the source were ever remembered.
fn remember(connection: &Connection, delivery: &Delivery, mut count: i64) -> rusqlite::Result<(Vec<bool>, i64)> {
    let sql = r#"INSERT OR IGNORE INTO "_rowcast_keys" ("source", "key", "n", "time") VALUES (?1, ?2, ?3, ?4)"#;
    let (mut insert, now) = (connection.prepare_cached(sql)?, now_ms());
    let mut repeated = Vec::with_capacity(delivery.records.len());
    for record in &delivery.records {
        let is_new = match &record.key {
            Some(key) => insert.execute(params![&*delivery.source, &**key, count + 1, now])? == 1,
            None => true,
        };
        count += i64::from(is_new && record.key.is_some());
        repeated.push(!is_new);
    }
    Ok((repeated, count))
}

/// Keeps the records that no row was made of, or whose row was refused.
pub(super) fn keep_dead(
    connection: &Connection,
    insert: &Insert,
    delivery: &Delivery,
    refusals: &[(usize, &str)],
) -> Result<(), StoreError> {
    let refused_rows = refusals.iter().map(|(row, reason)| delivery.refused(*row, reason));
    let letters: Vec<NewDeadLetter> = delivery.dead.iter().cloned().chain(refused_rows).collect();
    keep(connection, &delivery.source, &insert.table.name.to_string(), &letters).map_err(refused)
}

fn keep(connection: &Connection, source: &str, table: &str, letters: &[NewDeadLetter]) -> rusqlite::Result<()> {
    let sql = r#"INSERT INTO "_rowcast_dead_letters" ("source", "table", "time", "line", "column", "reason", "raw")
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"#;
    let (mut insert, now) = (connection.prepare_cached(sql)?, now_ms());
    for letter in letters {
        let (column, raw) = (letter.column.as_deref(), &*letter.raw);
        insert.execute(params![source, table, now, signed(letter.line), column, letter.reason, raw])?;
    }
    Ok(())
}

/// The first of these dead letters that is not there.
pub(super) fn missing(connection: &Connection, ids: &[u64]) -> rusqlite::Result<Option<u64>> {
    if !delivered::are_made(connection)? {
        return Ok(ids.first().copied());
    }
    let mut find = connection.prepare_cached(r#"SELECT 1 FROM "_rowcast_dead_letters" WHERE "id" = ?1"#)?;
    for id in ids {
        if !find.exists([signed(*id)])? {
            return Ok(Some(*id));
        }
    }
    Ok(None)
}

/// Removes dead letters, in the connection's transaction. Returns how many there were.
pub(super) fn resolve(connection: &Connection, ids: &[u64]) -> rusqlite::Result<u64> {
    if ids.is_empty() || !delivered::are_made(connection)? {
        return Ok(0);
    }
    let mut delete = connection.prepare_cached(r#"DELETE FROM "_rowcast_dead_letters" WHERE "id" = ?1"#)?;
    let mut count = 0;
    for id in ids {
        count += delete.execute([signed(*id)])? as u64;
    }
    Ok(count)
}

/// Removes dead letters. Returns how many there were.
pub(super) fn bury(connection: &Connection, ids: &[u64]) -> rusqlite::Result<u64> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let count = resolve(&transaction, ids)?;
    transaction.commit().map(|()| count)
}

/// Forgets, of some keys after `from`, those that nothing needs any more. Returns where to go on, unless that is all for now.
pub(super) fn prune(connection: &Connection, from: i64) -> rusqlite::Result<Option<i64>> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let next = prune_some(&transaction, from)?;
    transaction.commit().map(|()| next)
}

/// Keys come in the order of their time, so it ends at the first young one.
fn prune_some(connection: &Connection, from: i64) -> rusqlite::Result<Option<i64>> {
    if !delivered::are_made(connection)? {
        return Ok(None);
    }
    let totals: HashMap<String, i64> = connection
        .prepare_cached(r#"SELECT "source", "keys" FROM "_rowcast_progress""#)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let young = now_ms() - i64::try_from(KEYS_KEPT_FOR.as_millis()).unwrap_or(i64::MAX);
    let sql = r#"SELECT "id", "source", "n", "time" FROM "_rowcast_keys" WHERE "id" > ?1 ORDER BY "id" LIMIT ?2"#;
    let mut keys = connection.prepare_cached(sql)?;
    let mut rows = keys.query([from, PRUNED_AT_ONCE])?;
    let mut delete = connection.prepare_cached(r#"DELETE FROM "_rowcast_keys" WHERE "id" = ?1"#)?;
    let (mut seen, mut last) = (0, from);
    while let Some(row) = rows.next()? {
        let (id, source, n, time): (i64, String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if time > young {
            return Ok(None);
        }
        let kept = totals.get(&source).is_some_and(|total| n > total - signed(KEYS_KEPT));
        if !kept {
            delete.execute([id])?;
        }
        (seen, last) = (seen + 1, id);
    }
    Ok((seen == PRUNED_AT_ONCE).then_some(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the keys of these numbers are kept, of a source that has had so many.
    fn kept(total: i64, keys: &[(i64, i64)]) -> Vec<i64> {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(r#"CREATE TABLE "_rowcast_meta" ("key", "value")"#).expect("a table");
        delivered::make(&connection).expect("tables");
        let progress = r#"INSERT INTO "_rowcast_progress" VALUES ('s', 'l', 1, ?1, 0)"#;
        connection.execute(progress, [total]).expect("progress");
        for (n, days) in keys {
            let key = r#"INSERT INTO "_rowcast_keys" ("source", "key", "n", "time") VALUES ('s', ?1, ?1, ?2)"#;
            connection.execute(key, [*n, now_ms() - days * 86_400_000]).expect("a key");
        }
        let mut from = Some(0);
        while let Some(id) = from {
            from = prune(&connection, id).expect("pruned");
        }
        let mut left = connection.prepare(r#"SELECT "n" FROM "_rowcast_keys" ORDER BY "n""#).expect("a query");
        left.query_map([], |row| row.get(0)).expect("keys").map(|n| n.expect("a number")).collect()
    }

    #[test]
    fn a_key_is_forgotten_when_it_is_old_and_a_million_have_followed_it() {
        assert_eq!(kept(1_000_002, &[(1, 9), (2, 8), (3, 8), (1_000_002, 1)]), [3, 1_000_002]);
        assert_eq!(kept(9_000_000, &[(1, 6), (9_000_000, 1)]), [1, 9_000_000]);
        assert_eq!(kept(2, &[(1, 400), (2, 300)]), [1, 2]);
    }
}
