//! Changes whose delay is measured: rows of the table `ticks`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::Connection;

use crate::load::now_us;

const SCHEMA: &str = "create table if not exists ticks(id integer primary key, at integer not null, pad text)";
/// Makes a change as a client receives it about 200 bytes long.
const PAD: &str = "0123456789012345678901234567890123456789";

/// Opens a database as any program would.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let database = Connection::open(path)?;
    database.busy_timeout(Duration::from_secs(5))?;
    // The pragma answers with the mode.
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", "normal")?;
    Ok(database)
}

/// Makes the table.
pub(crate) fn create(path: &Path) -> Result<Connection> {
    let database = open(path)?;
    database.execute_batch(SCHEMA)?;
    Ok(database)
}

/// Where changes begin. Each carries the moment just before its commit.
pub(crate) struct Writer(pub(crate) Connection);

impl Writer {
    /// Makes one change.
    fn write(&mut self) -> Result<()> {
        let mut insert = self.0.prepare_cached("insert into ticks(at, pad) values(?1, ?2)")?;
        insert.execute((now_us() as i64, PAD))?;
        Ok(())
    }

    /// Makes `count` changes, one each `pause`; without a pause as fast as it goes.
    pub(crate) fn write_all(&mut self, count: usize, pause: Duration) -> Result<()> {
        let start = Instant::now();
        for i in 0..count {
            let due = start + pause * i as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.write()?;
        }
        Ok(())
    }
}
