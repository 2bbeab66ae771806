//! How a MySQL or MariaDB database is captured and used.

use std::path::PathBuf;
use std::time::Duration;

use crate::event::{TableName, name_matches};

/// How a MySQL or MariaDB database is captured and used. The defaults suit a database that other programs use, too.
#[derive(Debug, Clone, PartialEq)]
pub struct MysqlSettings {
    /// Tables to capture, as `name` or `schema.name` with `*` and `?` as wildcards. Empty: all of the database that was named.
    pub include: Vec<String>,
    /// Tables never to capture, in the same way. Wins over `include`.
    pub exclude: Vec<String>,
    /// Tables that are the program's own: the store reads and writes them, but their changes are not captured. By their whole names.
    pub private: Vec<String>,
    /// How changes are captured.
    pub capture: Capture,
    /// The number by which the server knows this replica; no two replicas may share one. `None`: derived from `instance`.
    pub server_id: Option<u32>,
    /// A short look, as `rowcast tail` takes it: what others have set up is left as it is.
    pub temporary: bool,
    /// Names this gateway to the server: the log's epoch, unless set.
    pub instance: String,
    /// A connection on which nothing is heard for so long is dead, and made again.
    pub dead_after: Duration,
    /// How often the list of tables is looked at for new and dropped ones.
    pub look_every: Duration,
    /// Bytes of one transaction that are kept in memory before the rest goes to a file of `spool`.
    pub transaction_memory: usize,
    /// Where transactions too large for memory wait for their end, and where the tables' history is kept. `None`: the system's
    /// folder for temporary files, and no history.
    pub spool: Option<PathBuf>,
    /// How often the outbox is read while something happens; only without the binlog.
    pub poll_active: Duration,
    /// How often the outbox is read while nothing happens.
    pub poll_idle: Duration,
    /// Changes in one batch, at most (a transaction that is larger comes in several).
    pub batch_rows: usize,
    /// Bytes in one batch, about.
    pub batch_bytes: usize,
    /// Snapshots, queries and inserts at once; more of them wait.
    pub connections: usize,
    /// How long a snapshot that nobody takes is kept.
    pub snapshot_stall: Duration,
    /// A chart over more rows than this is sampled, unless an exact one is asked for.
    pub series_rows: u64,
}

impl MysqlSettings {
    /// Whether a table of the database that was named is to be captured.
    pub fn wants(&self, table: &TableName) -> bool {
        let picks = |pattern: &String| match pattern.split_once('.') {
            Some((schema, name)) => name_matches(schema, &table.schema) && name_matches(name, &table.name),
            None => name_matches(pattern, &table.name),
        };
        (self.include.is_empty() || self.include.iter().any(picks))
            && !self.exclude.iter().any(picks)
            && !self.keeps(table)
    }

    /// Whether it is a table that the store knows: one that is captured, or the program's own.
    pub(crate) fn knows(&self, table: &TableName) -> bool {
        self.wants(table) || self.keeps(table)
    }

    fn keeps(&self, table: &TableName) -> bool {
        self.private.iter().any(|private| private.eq_ignore_ascii_case(&table.name))
    }
}

/// How changes are to be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capture {
    /// From the binlog where that is on and may be read, else by triggers.
    Auto,
    /// From the binlog, or not at all.
    Binlog,
    /// By triggers that write an outbox, or not at all.
    Outbox,
}

impl Default for MysqlSettings {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            private: Vec::new(),
            capture: Capture::Auto,
            server_id: None,
            temporary: false,
            instance: "0".into(),
            dead_after: Duration::from_secs(10),
            look_every: Duration::from_secs(2),
            transaction_memory: 16 << 20,
            spool: None,
            poll_active: Duration::from_millis(10),
            poll_idle: Duration::from_millis(250),
            batch_rows: 2_000,
            batch_bytes: 4 << 20,
            connections: 8,
            snapshot_stall: Duration::from_secs(30),
            series_rows: 500_000,
        }
    }
}
