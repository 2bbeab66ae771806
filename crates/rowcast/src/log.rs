//! The one ordered, durable log that every event passes.
//!
//! Orders, numbers and keeps. Leaves matching to `hub` and reading databases to `source`.

pub mod local;
pub mod memory;
mod recent;
mod retention;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};

use crate::event::{Batch, Event, Message, Place, Position};

pub use retention::Retention;

/// How many ephemeral messages a listener may lag behind before it is told that it missed some.
const EPHEMERAL_MAX: usize = 4096;

/// An ordered log of events that gives out positions.
///
/// The contract, checked by `tests/it/log_contract.rs` on every implementation:
/// - an append is all or nothing: its events and its source's place are both there after a crash at any moment, or
///   neither;
/// - offsets grow by one from event to event, across appends and restarts;
/// - what [`read`](Log::read) returned once, it returns again after a crash of the process.
#[async_trait]
pub trait Log: Send + Sync {
    /// Appends the batch and returns the head after it.
    ///
    /// Refuses with [`AppendError::Moved`] when the batch does not continue where its source stands in the log: it was
    /// appended before, or somebody else reads the same source.
    async fn append(&self, batch: Batch) -> Result<Position, AppendError>;

    /// The position of the last event; offset 0 when there is none.
    fn head(&self) -> Position;

    /// The oldest position from which a reader can go on: the one before the oldest event kept.
    fn oldest(&self) -> Position;

    /// A number that changes with every append, also with an empty one.
    fn watch(&self) -> watch::Receiver<u64>;

    /// How far the log has a source.
    fn place(&self, source: &str) -> Option<Place>;

    /// Events after `after`, oldest first: at most `max_events`, and about `max_bytes` (at least one). Empty at the head.
    ///
    /// Returns [`ReadError::Gap`] when `after` is of another epoch, older than what is kept, or beyond the head.
    async fn read(&self, after: Position, max_events: usize, max_bytes: usize) -> Result<Vec<Arc<Event>>, ReadError>;

    /// Returns when everything appended before the call survives a power failure.
    async fn flush(&self) -> Result<(), AppendError>;

    /// Sends a message that is never stored and has no position, to those who listen now.
    fn send_ephemeral(&self, message: Message);

    /// Hears ephemeral messages from now on. A listener that is too slow is told how many it missed.
    fn ephemeral(&self) -> broadcast::Receiver<Arc<Message>>;

    /// What is kept, for people.
    fn status(&self) -> LogStatus;
}

/// What the log keeps, for Console and `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LogStatus {
    /// The last event's position.
    pub head: String,
    /// The oldest position to resume from.
    pub oldest: String,
    /// Events kept.
    pub events: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Why a batch was not appended. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The source's place in the log is not the one that the batch continues.
    #[error("the log has this source at {}, not where the batch continues", .at.as_ref().map_or("no place", |p| &p.0))]
    Moved {
        /// Where the log has it.
        at: Option<Place>,
    },
    /// The disk refused.
    #[error("the log could not be written: {0}")]
    Io(#[from] std::io::Error),
}

/// Why a position cannot be read from.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The position has left the log, or is of another one.
    #[error("position {asked} is not in the log, which goes from {oldest} to {head}")]
    Gap {
        /// What was asked for.
        asked: Position,
        /// The oldest position to resume from.
        oldest: Position,
        /// The last event.
        head: Position,
    },
    /// The disk refused, or what it holds is damaged.
    #[error("the log could not be read: {0}")]
    Io(#[from] std::io::Error),
}

impl ReadError {
    /// Refuses a position from which a log that goes from `oldest` to `head` cannot be read on.
    fn unless_within(asked: Position, oldest: Position, head: Position) -> Result<(), ReadError> {
        let known = asked.epoch == head.epoch && (oldest.offset..=head.offset).contains(&asked.offset);
        if known { Ok(()) } else { Err(ReadError::Gap { asked, oldest, head }) }
    }
}

/// Refuses a batch that does not continue where the log has its source.
fn check_continues(batch: &Batch, known: impl FnOnce(&str) -> Option<Place>) -> Result<(), AppendError> {
    let Some(origin) = &batch.origin else { return Ok(()) };
    let at = known(&origin.source);
    if at == origin.after { Ok(()) } else { Err(AppendError::Moved { at }) }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
