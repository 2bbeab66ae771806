//! What the program is told: defaults, file, environment and flags, read into one [`Config`], or all that is wrong with it.
//!
//! `rowcast.default.toml` is the list of keys, their defaults and their documentation at once. Nothing is bound, opened or made here.

mod layers;
mod mistake;
mod print;
mod read;
mod units;

use std::path::PathBuf;
use std::time::Duration;

use rowcast::event::TableName;
use rowcast::ingest::Format;
use rowcast::postgres::{Capture, Identity};
use rowcast::transport::dropin::DropIns;

pub(crate) use layers::{Flags, Layers};
pub(crate) use mistake::Mistakes;
pub(crate) use units::{DatabaseUrl, Listen, without_password};

/// The defaults, as the reference that users read.
pub(crate) const DEFAULT: &str = include_str!("../rowcast.default.toml");

/// Everything that holds.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) listen: Vec<Listen>,
    pub(crate) data: PathBuf,
    pub(crate) database: Database,
    pub(crate) postgres: Postgres,
    pub(crate) drop_ins: DropIns,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) http: Http,
    pub(crate) shutdown: Shutdown,
    pub(crate) logging: Logging,
    pub(crate) ingest: Vec<Ingest>,
}

#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// `None` where none was given: `serve` needs one.
    pub(crate) url: Option<DatabaseUrl>,
    pub(crate) name: String,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) create: bool,
    pub(crate) switch_to_wal: bool,
    pub(crate) poll_active: Duration,
    pub(crate) poll_idle: Duration,
    pub(crate) busy_timeout: Duration,
    pub(crate) readers: usize,
    pub(crate) series_rows: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Postgres {
    pub(crate) capture: Capture,
    pub(crate) slot: String,
    pub(crate) publication: String,
    pub(crate) identity: Identity,
    pub(crate) wal_warn: Option<u64>,
    pub(crate) wal_stop: Option<u64>,
    pub(crate) dead_after: Duration,
    pub(crate) look_every: Duration,
    pub(crate) transaction_memory: usize,
    pub(crate) poll_active: Duration,
    pub(crate) poll_idle: Duration,
    pub(crate) notify: Vec<String>,
    pub(crate) notify_allow: Vec<String>,
    pub(crate) notify_probe: Duration,
    pub(crate) connections: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    pub(crate) on_disk: bool,
    pub(crate) survives_machine: bool,
    pub(crate) keep_age: Option<Duration>,
    pub(crate) keep_events: Option<u64>,
    pub(crate) keep_bytes: Option<u64>,
    pub(crate) memory: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) frame_bytes: usize,
    pub(crate) body_bytes: usize,
    pub(crate) subscriptions: usize,
    pub(crate) connections: usize,
    pub(crate) handshake: Duration,
    pub(crate) queue_bytes: usize,
    pub(crate) heartbeat: Duration,
    pub(crate) write_stall: Duration,
    pub(crate) rows_max: u64,
    pub(crate) bad_messages: u32,
    pub(crate) snapshots: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Http {
    pub(crate) origins: Vec<String>,
    pub(crate) pages: bool,
    pub(crate) metrics: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Shutdown {
    pub(crate) close_per_second: u32,
    pub(crate) retry: Duration,
    pub(crate) timeout: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct Logging {
    pub(crate) json: bool,
    pub(crate) level: String,
}

/// One stream to fetch.
#[derive(Debug, Clone)]
pub(crate) struct Ingest {
    pub(crate) name: String,
    pub(crate) url: reqwest::Url,
    pub(crate) table: TableName,
    pub(crate) format: Format,
    pub(crate) idle_timeout: Duration,
}

impl Config {
    /// Reads what the layers say, or tells every mistake in them.
    pub(crate) fn read(layers: &Layers) -> Result<Self, Mistakes> {
        read::read(layers)
    }
}

#[cfg(test)]
mod tests;
