//! What the SQLite source and the SQLite store have in common: how a database file is opened, what it holds, how values
//! are read, and the names of what Rowcast keeps in it.
//!
//! Knows no traits. Leaves reading changes to `source`, and rows to `store`.

pub(crate) mod bell;
pub(crate) mod catalog;
pub(crate) mod delivered;
pub(crate) mod file;
pub(crate) mod moments;
pub(crate) mod name;
pub(crate) mod outbox;
pub(crate) mod value;
pub(crate) mod watch;

use std::time::Duration;

use crate::event::name_matches;

/// How a SQLite database is captured and used. The defaults suit a database that other programs use, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteSettings {
    /// Tables to capture, by name, with `*` and `?` as wildcards. Empty: all.
    pub include: Vec<String>,
    /// Tables never to capture, in the same way. Wins over `include`.
    pub exclude: Vec<String>,
    /// Tables that are the program's own: the store reads and writes them, but their changes are not captured. By their whole names.
    pub private: Vec<String>,
    /// Makes the file when there is none.
    pub create: bool,
    /// Switches the database to write-ahead logging where it is not. Otherwise another journal mode is an error.
    pub switch_to_wal: bool,
    /// How often the file is looked at while something happens. Where the kernel tells of writes (Linux), a first one is read at once.
    pub poll_active: Duration,
    /// How often it is looked at while nothing happens.
    pub poll_idle: Duration,
    /// How long a writer of another program may make setup and inserts wait.
    pub busy_timeout: Duration,
    /// Changes in one batch, at most (a transaction that is larger comes in several).
    pub batch_rows: usize,
    /// Bytes in one batch, about.
    pub batch_bytes: usize,
    /// Outbox rows removed in one transaction, so that other writers wait but a moment.
    pub prune_rows: u32,
    /// Snapshots and queries at once; more of them wait.
    pub readers: usize,
    /// How long a snapshot that nobody takes is kept.
    pub snapshot_stall: Duration,
    /// A chart over more rows than this is sampled, unless an exact one is asked for.
    pub series_rows: u64,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            private: Vec::new(),
            create: true,
            switch_to_wal: true,
            poll_active: Duration::from_millis(2),
            poll_idle: Duration::from_millis(25),
            busy_timeout: Duration::from_secs(5),
            batch_rows: 2_000,
            batch_bytes: 4 << 20,
            prune_rows: 1_000,
            readers: 4,
            snapshot_stall: Duration::from_secs(30),
            series_rows: 500_000,
        }
    }
}

impl SqliteSettings {
    /// Whether a table of this name is captured.
    pub(crate) fn wants(&self, table: &str) -> bool {
        let listed = |patterns: &[String]| patterns.iter().any(|pattern| name_matches(pattern, table));
        (self.include.is_empty() || listed(&self.include)) && !listed(&self.exclude) && !self.keeps(table)
    }

    /// Whether it is a table that the store knows: one that is captured, or the program's own.
    pub(crate) fn knows(&self, table: &str) -> bool {
        self.wants(table) || self.keeps(table)
    }

    fn keeps(&self, table: &str) -> bool {
        self.private.iter().any(|private| private.eq_ignore_ascii_case(table))
    }
}
