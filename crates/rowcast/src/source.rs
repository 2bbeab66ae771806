//! Where committed changes come from: one implementation for each kind of database.
//!
//! Reads; leaves numbering and keeping to `log`, and joining the two to `gateway`.

pub mod mysql;
pub mod notify;
pub mod postgres;
pub mod sqlite;

use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use crate::event::{Batch, Place};

/// A database whose committed changes can be read in commit order.
///
/// The contract, checked by `tests/it/source_contract.rs` on every implementation:
/// - after `start(Some(place))`, [`next`](Source::next) gives every change committed after `place`, once, in commit
///   order, a transaction's changes together; nothing of what was rolled back;
/// - where that is no longer possible, the first batch holds a [`Body::Reset`](crate::event::Body::Reset) for each table
///   concerned instead of silence;
/// - what was not confirmed can be read again after a restart.
#[async_trait]
pub trait Source: Send {
    /// The source's name in the configuration, and in the log.
    fn name(&self) -> &str;

    /// Makes in the database what capture needs; does nothing that is done already. Returns the SQL that it ran.
    async fn setup(&mut self) -> Result<Vec<String>, SourceError>;

    /// Removes everything that [`setup`](Source::setup) made. Returns the SQL that it ran.
    async fn teardown(&mut self) -> Result<Vec<String>, SourceError>;

    /// Begins to read after `place`; with `None`, at what is committed now.
    async fn start(&mut self, place: Option<Place>) -> Result<(), SourceError>;

    /// Waits for the next batch. Dropping the future loses nothing.
    ///
    /// The first batch after `start(None)` comes at once, even if empty: it carries the place to begin from.
    async fn next(&mut self) -> Result<Batch, SourceError>;

    /// Tells the database that everything up to `place` is safe in the log and need not be kept.
    async fn confirm(&mut self, place: &Place) -> Result<(), SourceError>;

    /// How the source stands, for people.
    fn status(&self) -> SourceStatus;
}

/// How a source stands, for Console, `/metrics` and `/readyz`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct SourceStatus {
    /// How changes are captured: `outbox triggers`, `logical replication`, `notify`.
    pub mode: String,
    /// What that promises, in a sentence: `every committed change, once, in commit order`.
    pub guarantee: String,
    /// The source's own place, as text.
    pub place: Option<String>,
    /// Changes that are committed and not yet read, where the database tells.
    pub lag_events: Option<u64>,
    /// Bytes of the database's own log that are written and not yet read, where the database tells.
    pub lag_bytes: Option<u64>,
    /// Bytes of the database's own log that it keeps for this source.
    pub retained_bytes: Option<u64>,
    /// The tables that are captured, or the NOTIFY channels that are heard.
    pub tables: Vec<String>,
    /// What is wrong at the moment, in a sentence that says what to do.
    pub problem: Option<String>,
    /// Bytes of the database's own log that it may keep for us: from there on somebody is warned, or the slot given up.
    pub wal_budget: Option<u64>,
}

/// Why a source cannot go on, by what should happen next.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It may work when tried again: the database is busy, away, or restarting.
    #[error("{message}")]
    Retry {
        /// What failed, for the operator.
        message: String,
        /// The database's own error.
        #[source]
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A person has to change something first; the message says what.
    #[error("{message}")]
    Stop {
        /// What is wrong and what to do.
        message: String,
        /// The database's own error.
        #[source]
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl SourceError {
    /// It may work when tried again.
    pub(crate) fn retry(message: impl Into<String>) -> Self {
        Self::Retry { message: message.into(), cause: None }
    }

    /// A person has to change something first.
    pub(crate) fn stop(message: impl Into<String>) -> Self {
        Self::Stop { message: message.into(), cause: None }
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
