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

use axum::http::HeaderValue;
use rowcast::gateway::{Allowances, EventName, Proxies};
use rowcast::mysql;
use rowcast::postgres::{Capture, Identity};
use rowcast::store::TableSpec;
use rowcast::transport::dropin::DropIns;
use rowcast::transport::influx::Influx;

pub(crate) use layers::{Flags, Layers};
pub(crate) use mistake::Mistakes;
pub(crate) use read::auth::{Auth, Key};
pub(crate) use read::chat::private;
pub(crate) use read::ingest::Ingest;
pub(crate) use read::listen::{Listening, Offer};
pub(crate) use read::rule::RuleSpecs;
pub(crate) use units::{DatabaseUrl, Listen, duration, without_password};

/// The defaults, as the reference that users read.
pub(crate) const DEFAULT: &str = include_str!("../rowcast.default.toml");

/// Everything that holds.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) listen: Vec<Listening>,
    pub(crate) data: PathBuf,
    pub(crate) database: Database,
    pub(crate) postgres: Postgres,
    pub(crate) mysql: Mysql,
    pub(crate) drop_ins: DropIns,
    /// `None`: there is no such door.
    pub(crate) influx: Option<Influx>,
    /// `None`: it is not served.
    pub(crate) socketio: Option<rowcast::socketio::Settings>,
    /// `None`: everybody may do everything.
    pub(crate) auth: Option<Auth>,
    /// `None`: there is none.
    pub(crate) chat: Option<rowcast_chat::Settings>,
    pub(crate) rules: RuleSpecs,
    pub(crate) log: Log,
    pub(crate) spool: Spool,
    pub(crate) limits: Limits,
    /// What each tenant, user and address may have.
    pub(crate) allowances: Allowances,
    pub(crate) http: Http,
    pub(crate) shutdown: Shutdown,
    pub(crate) logging: Logging,
    pub(crate) ingest: Vec<Ingest>,
    pub(crate) events: Vec<EventName>,
    /// Made where they are not there.
    pub(crate) tables: Vec<TableSpec>,
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

#[derive(Debug, Clone)]
pub(crate) struct Mysql {
    pub(crate) capture: mysql::Capture,
    pub(crate) server_id: Option<u32>,
    pub(crate) dead_after: Duration,
    pub(crate) look_every: Duration,
    pub(crate) transaction_memory: usize,
    pub(crate) poll_active: Duration,
    pub(crate) poll_idle: Duration,
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

/// Where the records of streams wait for the database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spool {
    pub(crate) on_disk: bool,
    pub(crate) survives_machine: bool,
    pub(crate) bytes: u64,
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
    pub(crate) snapshots_per_second: u32,
    pub(crate) snapshots_waiting: usize,
    pub(crate) handshakes_per_second: u32,
    pub(crate) handshakes_burst: u32,
    pub(crate) replays: usize,
    pub(crate) replay_bytes_per_second: u64,
    pub(crate) presence_state_bytes: usize,
    pub(crate) presence_channels: usize,
    pub(crate) presence_grace: Duration,
    pub(crate) presence_tick: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct Http {
    pub(crate) origins: Vec<String>,
    /// Which proxies are believed what they say of their clients' addresses.
    pub(crate) trusted_proxies: Proxies,
    pub(crate) pages: bool,
    pub(crate) dead_letters: bool,
    /// Whether WebSocket frames are compressed for clients that offer it.
    pub(crate) deflate: bool,
    /// A folder of the user's own.
    pub(crate) files: Option<PathBuf>,
    /// Its Content-Security-Policy.
    pub(crate) files_policy: Option<HeaderValue>,
    pub(crate) metrics: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Shutdown {
    pub(crate) close_per_second: u32,
    pub(crate) retry: Duration,
    /// `None`: as long as it takes to let all in again.
    pub(crate) spread: Option<Duration>,
    pub(crate) timeout: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct Logging {
    pub(crate) json: bool,
    pub(crate) level: String,
}

impl Config {
    /// Reads what the layers say, or tells every mistake in them.
    pub(crate) fn read(layers: &Layers) -> Result<Self, Mistakes> {
        read::read(layers)
    }
}

#[cfg(test)]
mod tests;
