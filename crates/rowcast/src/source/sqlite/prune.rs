//! Removes from the outbox what the log has, a little at a time.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::install;
use super::reader::signed;
use crate::sqlite::file;

/// How often it begins. Seldom, because a program without a busy timeout fails when it meets a writer.
const EVERY: Duration = Duration::from_secs(10);
/// How often it begins when there is much to remove.
const EVERY_MANY: Duration = Duration::from_secs(1);
/// What much is.
const MANY: u64 = 5_000;
/// How long another writer may make it wait; it comes again.
const PATIENCE: Duration = Duration::from_millis(20);

/// What has been confirmed and is yet to be removed.
#[derive(Debug, Default)]
pub(crate) struct Prune {
    confirmed: u64,
    pruned: u64,
    next: Option<Instant>,
}

impl Prune {
    /// The log has everything up to this row.
    pub(crate) fn confirm(&mut self, seq: u64) {
        self.confirmed = self.confirmed.max(seq);
        let many = self.confirmed - self.pruned > MANY;
        let due = Instant::now() + if many { EVERY_MANY } else { EVERY };
        self.next = Some(self.next.map_or(due, |next| next.min(due)));
    }

    /// When there is something to do; `None` while there is not.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.pruned < self.confirmed { self.next } else { None }
    }

    /// Removes one slice, if it is time to.
    pub(crate) fn step(&mut self, writer: &Connection, rows: u32, busy_timeout: Duration) {
        if self.due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        let began = Instant::now();
        let removed = writer.busy_timeout(PATIENCE).and_then(|()| remove(writer, self.confirmed, rows));
        match removed {
            // Others wait for their turn by sleeping, so they need a while to come in.
            Ok(true) => self.next = Some(Instant::now() + (began.elapsed() * 3).max(Duration::from_millis(2))),
            Ok(false) => {
                self.pruned = self.confirmed;
                self.next = None;
            }
            Err(error) if file::is_busy(&error) => self.next = Some(Instant::now() + PATIENCE),
            Err(error) => {
                tracing::warn!(%error, "read changes could not be removed from the outbox; trying again");
                self.next = Some(Instant::now() + EVERY);
            }
        }
        if let Err(error) = writer.busy_timeout(busy_timeout) {
            tracing::debug!(%error, "the busy timeout could not be set");
        }
    }
}

/// Returns whether there may be more.
///
/// The last row stays. It makes numbers go on even when `sqlite_sequence` lags behind (`INSERT OR FAIL`) or is emptied, as
/// people do who want to count from 1 again.
fn remove(writer: &Connection, upto: u64, rows: u32) -> rusqlite::Result<bool> {
    // One bound, for SQLite would search by the first of several and read all rows up to it.
    let sql = r#"DELETE FROM "_rowcast_outbox" WHERE "seq" <= min(?1,
        (SELECT max("seq") FROM "_rowcast_outbox") - 1, (SELECT min("seq") FROM "_rowcast_outbox") + ?2 - 1)"#;
    let removed = writer.prepare_cached(sql)?.execute((signed(upto), rows))?;
    if removed < rows as usize {
        install::forget_retired(writer)?;
        return Ok(false);
    }
    Ok(true)
}
