//! How a PostgreSQL database is captured and used.

use std::path::PathBuf;
use std::time::Duration;

use crate::event::{TableName, name_matches};

/// How a PostgreSQL database is captured and used. The defaults suit a database that other programs use, too.
#[derive(Debug, Clone, PartialEq)]
pub struct PostgresSettings {
    /// Tables to capture, as `name` or `schema.name` with `*` and `?` as wildcards (a bare name is of any schema). Empty: all.
    pub include: Vec<String>,
    /// Tables never to capture, in the same way. Wins over `include`.
    pub exclude: Vec<String>,
    /// Tables that are the program's own: the store reads and writes them, but their changes are not captured. By their whole names.
    pub private: Vec<String>,
    /// How changes are captured.
    pub capture: Capture,
    /// The replication slot's name. Two gateways on one database need two.
    pub slot: String,
    /// The publication's name; another one for tables whose updates cannot be captured has `_inserts` appended.
    pub publication: String,
    /// Whether the slot is dropped when its connection ends: for `rowcast tail`.
    pub temporary: bool,
    /// What setup does about REPLICA IDENTITY.
    pub identity: Identity,
    /// Tables whose old rows decide who may hear of a change: [`Identity::Needed`] sets FULL on them, too.
    pub decisive: Vec<TableName>,
    /// How much of the write-ahead log the slot may hold back.
    pub wal: WalBudget,
    /// Names this gateway to the server, so that it can tell its own dead connection from another gateway's: the slot's
    /// user in `pg_stat_replication.application_name` is `rowcast-{instance}`.
    pub instance: String,
    /// A connection on which nothing is heard for so long is dead, and made again.
    pub dead_after: Duration,
    /// How often the list of tables is looked at for new and dropped ones.
    pub look_every: Duration,
    /// Bytes of transactions that are kept in memory before they go to files of `spool`.
    pub transaction_memory: usize,
    /// Where transactions too large for memory wait for their commit. `None`: the system's folder for temporary files.
    pub spool: Option<PathBuf>,
    /// Whether the server is asked to send large transactions before they are committed, where it can (14 and later).
    pub streaming: bool,
    /// How often the outbox is read while something happens; only without logical replication.
    pub poll_active: Duration,
    /// How often the outbox is read while nothing happens and nothing nudges.
    pub poll_idle: Duration,
    /// Changes in one batch, at most (a transaction that is larger comes in several).
    pub batch_rows: usize,
    /// Bytes in one batch, about.
    pub batch_bytes: usize,
    /// Which NOTIFY channels are heard.
    pub notify: NotifySettings,
    /// Snapshots, queries and inserts at once; more of them wait.
    pub connections: usize,
    /// How long a snapshot that nobody takes is kept.
    pub snapshot_stall: Duration,
    /// A chart over more rows than this is sampled, unless an exact one is asked for.
    pub series_rows: u64,
}

impl PostgresSettings {
    /// Whether a table's old rows decide who may hear of a change.
    pub(super) fn is_decisive(&self, table: &TableName) -> bool {
        self.decisive.iter().any(|decisive| table.is_called(decisive))
    }

    /// Whether a table is to be captured.
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
        self.private.iter().any(|private| *private == *table.name)
    }
}

/// How changes are to be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capture {
    /// By the write-ahead log where that is allowed, else by triggers.
    Auto,
    /// By logical replication, or not at all.
    Wal,
    /// By triggers that write an outbox, or not at all.
    Outbox,
}

/// How changes are captured in fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// By logical replication from the write-ahead log.
    Wal,
    /// By triggers that write an outbox.
    Outbox,
}

/// What setup does about REPLICA IDENTITY, which decides what of the old row a change carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Leaves every table as it is. Of a table without a key only inserts are captured.
    Leave,
    /// Sets FULL on tables that have neither a primary key nor an identity, which could not be updated otherwise.
    Needed,
    /// Sets FULL on every captured table: old rows are complete, at the cost of more write-ahead log.
    Full,
}

/// How much of the write-ahead log the slot may hold back, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalBudget {
    /// From here on it is said that something is wrong. `None`: never.
    pub warn: Option<u64>,
    /// From here on the slot is given up, so that the database's disk does not fill: clients are told `gap`. `None`: never.
    pub stop: Option<u64>,
}

/// Which NOTIFY channels are heard, and how it is known that they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifySettings {
    /// Channels that are heard from the start.
    pub channels: Vec<String>,
    /// Further channels that a client may ask for, with `*` and `?` as wildcards.
    pub allow: Vec<String>,
    /// How often a second connection checks that notifications arrive.
    pub probe_every: Duration,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            private: Vec::new(),
            capture: Capture::Auto,
            slot: "rowcast".into(),
            publication: "rowcast".into(),
            temporary: false,
            identity: Identity::Needed,
            decisive: Vec::new(),
            wal: WalBudget { warn: Some(1 << 30), stop: None },
            instance: "0".into(),
            dead_after: Duration::from_secs(10),
            look_every: Duration::from_secs(2),
            transaction_memory: 16 << 20,
            spool: None,
            streaming: true,
            poll_active: Duration::from_millis(10),
            poll_idle: Duration::from_millis(250),
            batch_rows: 2_000,
            batch_bytes: 4 << 20,
            notify: NotifySettings { channels: Vec::new(), allow: Vec::new(), probe_every: Duration::from_secs(5) },
            connections: 8,
            snapshot_stall: Duration::from_secs(30),
            series_rows: 500_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_pick_tables_with_and_without_their_schema() {
        let patterns = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let settings = PostgresSettings {
            include: patterns(&["orders", "shop.*"]),
            exclude: patterns(&["*.secret"]),
            ..PostgresSettings::default()
        };
        for (table, wanted) in [
            ("public.orders", true),
            ("shop.orders", true),
            ("shop.items", true),
            ("public.items", false),
            ("shop.secret", false),
        ] {
            assert_eq!(settings.wants(&table.parse().expect(table)), wanted, "{table}");
        }
    }
}
