//! Where changes begin: rows of the table `bench`, or for servers without a database the same text.
//!
//! Each change carries the microsecond at which the schedule wanted it (`at`) and by how many it was made later
//! (`late`), so that a server that holds the writer up does not hide its delay.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rusqlite::Connection;

use super::crowd::now_us;
use super::pace::Pace;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS bench \
                      (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, late INTEGER NOT NULL, pad TEXT NOT NULL)";
/// A sleep ends up to so much late; the last of the wait is spent looking at the clock.
const SLACK: Duration = Duration::from_micros(150);
/// Above so many transactions each second a thread that looks at the clock would take its processor from the clients.
const CALM: f64 = 500.0;

/// What to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Transactions each second.
    pub(crate) pace: Pace,
    /// How many there are.
    pub(crate) transactions: u64,
    /// Changes in each.
    pub(crate) batch: usize,
    /// About how long one is as the native protocol says it.
    pub(crate) bytes: usize,
}

impl Load {
    /// So many transactions each second, for so long.
    pub(crate) fn new(rate: f64, seconds: f64, batch: usize, bytes: usize) -> Self {
        let pace = Pace { rate };
        Self { pace, transactions: pace.count(seconds), batch, bytes }
    }

    /// How many changes there are in all.
    pub(crate) fn changes(&self) -> u64 {
        self.transactions * self.batch as u64
    }

    /// What makes a change as long as it is to be.
    fn pad(&self) -> String {
        let bare = message(100_000, now_us(), 10, "").len();
        "0123456789".chars().cycle().take(self.bytes.saturating_sub(bare)).collect()
    }
}

/// Where changes go in.
pub(crate) enum Voice {
    Sqlite(Box<Connection>),
    /// The control port of a server without a database, and how many were told to it.
    Control(TcpStream, u64),
}

impl Voice {
    /// A SQLite database; its table is made where it is not there.
    pub(crate) fn sqlite(path: &Path) -> Result<Self> {
        Ok(Self::Sqlite(Box::new(open(path)?)))
    }

    pub(crate) fn control(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self::Control(stream, 0))
    }

    /// Writes on a thread of its own, until all is written or `stop` is set.
    pub(crate) fn write_all(mut self, load: Load, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<Result<Written>> {
        std::thread::spawn(move || {
            let pad = load.pad();
            let (start, start_us) = (Instant::now(), now_us());
            let mut transactions = 0;
            while transactions < load.transactions && !stop.load(Ordering::Relaxed) {
                let due = load.pace.due(transactions);
                wait(start + due, load.pace.rate);
                self.write(&load, start_us + due.as_micros() as u64, &pad)?;
                transactions += 1;
            }
            Ok(Written { voice: self, changes: transactions * load.batch as u64, start_us })
        })
    }

    /// One transaction.
    fn write(&mut self, load: &Load, at: u64, pad: &str) -> Result<()> {
        let late = now_us().saturating_sub(at);
        match self {
            Self::Sqlite(database) if load.batch == 1 => insert(database, at, late, pad),
            Self::Sqlite(database) => {
                let transaction = database.transaction()?;
                (0..load.batch).try_for_each(|_| insert(&transaction, at, late, pad))?;
                Ok(transaction.commit()?)
            }
            Self::Control(stream, told) => {
                let mut lines = format!("{}\n", load.batch);
                for _ in 0..load.batch {
                    *told += 1;
                    lines.push_str(&message(*told, at, late, pad));
                    lines.push('\n');
                }
                Ok(stream.write_all(lines.as_bytes())?)
            }
        }
    }
}

/// What became of a load.
pub(crate) struct Written {
    pub(crate) voice: Voice,
    pub(crate) changes: u64,
    /// When the first was due.
    pub(crate) start_us: u64,
}

/// Makes the database with its table.
pub(crate) fn make(path: &Path) -> Result<()> {
    open(path).map(drop)
}

fn open(path: &Path) -> Result<Connection> {
    let open = || {
        let database = Connection::open(path)?;
        database.busy_timeout(Duration::from_secs(30))?;
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "normal")?;
        database.execute_batch(SCHEMA)?;
        Ok::<_, rusqlite::Error>(database)
    };
    open().with_context(|| format!("the database {}", path.display()))
}

fn insert(database: &Connection, at: u64, late: u64, pad: &str) -> Result<()> {
    let mut insert = database.prepare_cached("INSERT INTO bench (at, late, pad) VALUES (?1, ?2, ?3)")?;
    insert.execute((at as i64, late as i64, pad))?;
    Ok(())
}

fn wait(due: Instant, rate: f64) {
    let left = due.saturating_duration_since(Instant::now());
    if rate > CALM {
        std::thread::sleep(left);
        return;
    }
    std::thread::sleep(left.saturating_sub(SLACK));
    while Instant::now() < due {
        std::thread::yield_now();
    }
}

/// What Rowcast says about a row of `bench` over its native protocol.
fn message(id: u64, at: u64, late: u64, pad: &str) -> String {
    let time = at / 1000;
    format!(
        "{{\"type\":\"change\",\"id\":\"s\",\"op\":\"insert\",\"row\":{{\"id\":{id},\"at\":{at},\"late\":{late},\
         \"pad\":\"{pad}\"}},\"key\":[{id}],\"position\":\"{time}-{id}\",\"tx\":{id},\"last\":true,\"time\":{time}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_as_long_as_asked_for() {
        let load = Load::new(10.0, 1.0, 16, 240);
        assert_eq!(message(100_000, now_us(), 10, &load.pad()).len(), 240);
        assert_eq!((load.transactions, load.changes()), (10, 160));
        assert_eq!(Load::new(1.0, 1.0, 1, 10).pad(), "");
    }
}
