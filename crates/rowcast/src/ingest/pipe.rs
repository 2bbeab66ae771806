//! Records into the database: batched, retried, and told how far.
//!
//! A batch is written as soon as none is under way: one row alone waits for nothing, and under load batches grow to
//! [`BATCH_ROWS_MAX`] or [`BATCH_BYTES_MAX`] while the one before is written. Each batch is one transaction. Reading stops while a
//! batch waits full behind another, so that a slow database slows its writers down and memory stays bounded.
//!
//! Nothing is stored twice: a batch is tried again only after the store has said that nothing of it stands
//! ([`StoreError::Unavailable`], [`StoreError::Altered`]). What a process holds in memory when it is killed is lost; nobody was told that
//! it is stored.

mod batch;
mod write;

use std::fmt;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;

use super::coerce::Extra;
use super::decode::{Decoder, Format, Record};
use crate::event::{Place, Position, TableName};
use crate::log::Log;
use crate::store::{Store, StoreError};
pub(super) use write::{Patience, Pipe, Problem, Reject};

/// The most rows of one transaction.
pub const BATCH_ROWS_MAX: usize = 1_000;

/// About the most bytes of one transaction.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// How many rejected rows a [`Report`] lists.
pub const LISTED_MAX: usize = 1_000;

/// Where rows go: a database, and the log that hears of them.
#[derive(Clone)]
pub struct Ingest {
    store: Arc<dyn Store>,
    log: Arc<dyn Log>,
    source: Arc<str>,
    patience: Duration,
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingest").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What became of the rows of one body.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Rows that stand.
    pub count: u64,
    /// A client that has reached it has seen them all. `None` when no row stands, or when the log did not hear of the last
    /// one in time; it will.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The first [`LISTED_MAX`] rows that were refused.
    pub rejected: Vec<Rejected>,
    /// All rows that were refused.
    pub rejected_count: u64,
}

/// A row that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The line on which it begins, from 1; in JSON the element's number.
    pub line: u64,
    /// Why, for people. Names the column first where there is one.
    pub reason: String,
    /// The column in question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<Box<str>>,
}

fn as_text<S: serde::Serializer>(position: &Option<Position>, serializer: S) -> Result<S::Ok, S::Error> {
    match position {
        Some(position) => serializer.collect_str(position),
        None => serializer.serialize_none(),
    }
}

/// Why a body was not read to its end, and what of it stands.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    /// What went wrong.
    pub cause: Cause,
    /// What became of the rows before that.
    pub report: Report,
}

/// What ends a body early.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// There is no such table.
    #[error("there is no table `{0}`")]
    UnknownTable(TableName),
    /// The database did not answer for as long as [`Ingest::patience`] says.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// The database refused a whole batch: disk full, read-only.
    #[error("{0}")]
    Refused(String),
    /// The body could not be read: its sender went away, or it is larger than allowed.
    #[error("the body could not be read: {0}")]
    Body(String),
}

impl From<StoreError> for Cause {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownTable(name) => Cause::UnknownTable(name),
            StoreError::Unavailable(message) => Cause::Unavailable(message),
            StoreError::Altered(_) | StoreError::TooSlow(_) => Cause::Unavailable(error.to_string()),
            StoreError::Refused(message) => Cause::Refused(message),
        }
    }
}

impl Ingest {
    /// Writes to `store`, whose changes reach `log` under the name `source`.
    pub fn new(store: Arc<dyn Store>, log: Arc<dyn Log>, source: impl Into<Arc<str>>) -> Self {
        Self { store, log, source: source.into(), patience: Duration::from_secs(10) }
    }

    /// How long a body waits for a database that does not answer; 10 s unless set.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Stores the rows of a body while it arrives, and waits until the log has them.
    ///
    /// A body that breaks off has its complete records stored. Dropping the future stops reading; the batch under way may
    /// still be stored.
    pub async fn stream<S, E>(&self, table: &TableName, format: Format, body: S) -> Result<Report, Failure>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: fmt::Display,
    {
        let mut broken = None;
        let mut decoder = Some(Decoder::new(format, None));
        let mut body = std::pin::pin!(body);
        let records = futures_util::stream::poll_fn(|cx| {
            let Some(reader) = &mut decoder else { return Poll::Ready(None) };
            let mut records = Vec::new();
            match std::task::ready!(body.as_mut().poll_next(cx)) {
                Some(Ok(bytes)) => reader.feed(&bytes, &mut records),
                Some(Err(error)) => {
                    broken = Some(error.to_string());
                    decoder = None;
                }
                None => {
                    reader.finish(&mut records);
                    decoder = None;
                }
            }
            Poll::Ready(Some(records))
        });
        let stored = self.records(table, records).await;
        match (stored, broken) {
            (Ok(report), Some(message)) => Err(Failure { cause: Cause::Body(message), report }),
            (stored, _) => stored,
        }
    }

    /// Stores the rows of one JSON text: an object, or an array of objects.
    pub async fn json(&self, table: &TableName, rows: &str) -> Result<Report, Failure> {
        let body =
            futures_util::stream::iter([Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(rows.as_bytes()))]);
        self.stream(table, Format::Json, body).await
    }

    async fn records(
        &self,
        table: &TableName,
        records: impl Stream<Item = Vec<Record>> + Send,
    ) -> Result<Report, Failure> {
        let mut report = Report::default();
        let pipe = Pipe::open(self.clone(), table, Extra::Refuse, Patience::For(self.patience)).await;
        let mut pipe = match pipe {
            Ok(pipe) => pipe,
            Err(error) => return Err(Failure { cause: error.into(), report }),
        };
        let outcome = pipe.run(records, |stored, rejects| report.add(stored, rejects)).await;
        count("http", &report);
        if let Some(place) = pipe.last_place() {
            report.position = self.reached(place).await;
        }
        match outcome {
            Ok(()) => Ok(report),
            Err(error) => Err(Failure { cause: error.into(), report }),
        }
    }

    /// Waits until the log holds what the store wrote; `None` when it takes longer than patience lasts.
    async fn reached(&self, place: &Place) -> Option<Position> {
        let mut appended = self.log.watch();
        let heard = async {
            loop {
                // Marked as seen before looking, so that no append falls between.
                appended.borrow_and_update();
                if self.store.reached(self.log.place(&self.source).as_ref(), place) {
                    return Some(self.log.head());
                }
                appended.changed().await.ok()?;
            }
        };
        tokio::time::timeout(self.patience, heard).await.ok().flatten()
    }
}

impl Report {
    fn add(&mut self, stored: u64, rejects: Vec<Reject>) {
        self.count += stored;
        self.rejected_count += rejects.len() as u64;
        let room = LISTED_MAX - self.rejected.len();
        self.rejected.extend(rejects.into_iter().take(room).map(|reject| Rejected {
            line: reject.line,
            reason: reject.reason,
            column: reject.column,
        }));
    }
}

fn count(via: &'static str, report: &Report) {
    metrics::counter!("rowcast_ingest_rows_total", "via" => via).increment(report.count);
    metrics::counter!("rowcast_ingest_rejected_total", "via" => via).increment(report.rejected_count);
}
