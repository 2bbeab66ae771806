//! Where to begin: after the place that the log has, or, where that is no longer possible, with a reset of everything.

use rusqlite::Connection;

use super::install;
use super::reader::{resets, signed};
use crate::event::{Change, Place};
use crate::sqlite::file::{Failure, Outcome};
use crate::sqlite::outbox::{self, OutboxPlace};

/// Where a reading begins.
pub(crate) struct Begin {
    /// The place to read on from.
    pub(crate) place: OutboxPlace,
    /// What comes first; `None` where the log stands at `place` already.
    pub(crate) first: Option<Vec<Change>>,
}

/// Decides where to begin for a log that has the source at `log`. `writer` may write.
pub(crate) fn begin(writer: &Connection, log: Option<&Place>) -> Outcome<Begin> {
    let id = outbox::id(writer)?
        .ok_or_else(|| Failure::stop("capture is not set up in this database; run `rowcast setup` first"))?;
    let upto = outbox::last_seq(writer)?;
    let here = OutboxPlace::new(&id, upto);
    let Some(log) = log else { return Ok(Begin { place: here, first: Some(Vec::new()) }) };
    let log = OutboxPlace::of(log);
    // A transaction that was read half ends with the resets.
    let open = log.as_ref().filter(|log| log.id == id).and_then(|log| log.tx);
    let reason = match log {
        Some(place) if place.id == id && place.seq > upto => {
            let place = leap(writer, place.seq)?;
            return anew(
                writer,
                place,
                open,
                "the database is older than what was read of it, as after restoring a backup",
            );
        }
        Some(place) if place.id == id && is_kept(writer, place.seq, upto)? => return Ok(Begin { place, first: None }),
        Some(place) if place.id == id => "changes were removed from the outbox before they were read",
        _ => "capture was set up anew, and what was changed before it is not known",
    };
    anew(writer, here, open, reason)
}

fn anew(connection: &Connection, place: OutboxPlace, open: Option<u64>, reason: &str) -> Outcome<Begin> {
    let mut tables = install::captured(connection)?;
    tables.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    let first = resets(tables.into_iter().map(|(_, table)| table), reason, open.unwrap_or(place.seq));
    Ok(Begin { place, first: Some(first) })
}

/// Whether every row after `seq` is still there. Numbers have no holes: who rolls back gives his back.
fn is_kept(connection: &Connection, seq: u64, upto: u64) -> Outcome<bool> {
    let sql = r#"SELECT count(*) FROM "_rowcast_outbox" WHERE "seq" > ?1 AND "seq" <= ?1 + 1"#;
    let next_is_there = connection.query_row(sql, [signed(seq)], |row| row.get::<_, i64>(0))? > 0;
    Ok(seq == upto || next_is_there)
}

/// Makes the numbers go on after `seq` under a new id, so that none is given twice.
fn leap(connection: &Connection, seq: u64) -> Outcome<OutboxPlace> {
    let id = outbox::new_id();
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let leapt = connection
        .execute(r#"UPDATE "_rowcast_meta" SET "value" = ?1 WHERE "key" = 'id'"#, [&id])
        .and_then(|_| connection.execute("DELETE FROM sqlite_sequence WHERE name = '_rowcast_outbox'", []))
        .and_then(|_| {
            // The last row keeps numbers from being given again.
            let sql =
                r#"UPDATE "_rowcast_outbox" SET "seq" = ?1 WHERE "seq" = (SELECT max("seq") FROM "_rowcast_outbox")"#;
            connection.execute(sql, [signed(seq)])
        })
        .and_then(|_| {
            let sql = "INSERT INTO sqlite_sequence(name, seq) VALUES ('_rowcast_outbox', ?1)";
            connection.execute(sql, [signed(seq)])
        })
        .and_then(|_| connection.execute_batch("COMMIT"));
    if let Err(error) = leapt {
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        return Err(error.into());
    }
    Ok(OutboxPlace::new(&id, seq))
}
