//! Records into the database: batched, retried, and told how far.
//!
//! A batch is written as soon as none is under way: one row alone waits for nothing, and under load batches grow to
//! [`BATCH_ROWS_MAX`] or [`BATCH_BYTES_MAX`] while the one before is written. Each batch is one transaction. Reading stops while a
//! batch waits full behind another, so that a slow database slows its writers down and memory stays bounded.
//!
//! Nothing is stored twice: a batch is tried again only after the store has said that nothing of it stands
//! ([`StoreError::Unavailable`], [`StoreError::Altered`]), or with its number, by which the database knows it. A source's records come
//! out of its spool (`deliver`); those of a body are answered for when they stand (`write`), and what a killed process held of it
//! is lost: nobody was told that it is stored.

mod batch;
mod deliver;
mod prepare;
mod tries;
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
use super::flow::Flows;
use super::guard::Guard;
use crate::event::{Place, Position, TableName};
use crate::log::Log;
use crate::store::{Store, StoreError};
pub(super) use deliver::{conflict, deliver};
pub(super) use prepare::{Keying, Prepare, hash};
pub(super) use tries::{Patience, Problem};
use write::{Pipe, Wish};
pub(super) use write::{Reject, Told};

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
    flows: Arc<Flows>,
    dead_letters: bool,
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
    /// Records that an earlier request with the same key brought.
    #[serde(skip_serializing_if = "is_zero")]
    pub repeated: u64,
    /// A client that has reached it has seen them all. `None` when no row stands, or when the log did not hear of the last
    /// one in time; it will.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The first [`LISTED_MAX`] rows that were refused.
    pub rejected: Vec<Rejected>,
    /// All rows that were refused.
    pub rejected_count: u64,
}

/// What a body may ask for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// A name for the body: when it comes again under the same name, nothing of it is stored twice.
    pub key: Option<String>,
    /// Keep the records that are refused as dead letters, also where [`Ingest::dead_letters`] does not say so.
    pub dead_letters: bool,
    /// What its rows have to satisfy; `None`: whatever the database takes.
    pub guard: Option<Guard>,
    /// Whose it is: the same key of another sender names another body.
    pub sender: String,
}

/// How much of a refused record is kept.
const RAW_BYTES: usize = 64 << 10;

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

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_zero(n: &u64) -> bool {
    *n == 0
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
            StoreError::Altered(_) | StoreError::TooSlow(_) | StoreError::Moved { .. } => {
                Cause::Unavailable(error.to_string())
            }
            StoreError::Refused(message) => Cause::Refused(message),
            StoreError::Unmet { .. } | StoreError::Forbidden { .. } | StoreError::Violated(_) => {
                Cause::Refused(error.to_string())
            }
        }
    }
}

impl Ingest {
    /// Writes to `store`, whose changes reach `log` under the name `source`.
    pub fn new(store: Arc<dyn Store>, log: Arc<dyn Log>, source: impl Into<Arc<str>>) -> Self {
        let (patience, flows) = (Duration::from_secs(10), Arc::default());
        Self { store, log, source: source.into(), patience, flows, dead_letters: false }
    }

    /// The ways that dead letters go again, by their sources.
    pub fn flows(mut self, flows: Flows) -> Self {
        self.flows = Arc::new(flows);
        self
    }

    /// Whether the refused records of every body are kept as dead letters.
    pub fn dead_letters(mut self, keep: bool) -> Self {
        self.dead_letters = keep;
        self
    }

    /// The dead letters of the database.
    pub fn letters(&self) -> super::letters::Letters {
        super::letters::Letters::new(self.store.clone(), self.flows.clone())
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
        self.stream_asked(table, format, Asked::default(), body).await
    }

    /// As [`stream`](Self::stream), with what the body asks for.
    ///
    /// A key that is longer than a few words is kept by its hash. The database remembers it for a week at least.
    pub async fn stream_asked<S, E>(
        &self,
        table: &TableName,
        format: Format,
        asked: Asked,
        body: S,
    ) -> Result<Report, Failure>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: fmt::Display,
    {
        // Hashed with the table: the same key may stand for a body of each.
        let key = asked.key.map(|key| match asked.sender.is_empty() {
            true => hash(format!("{table}\n{key}").as_bytes()),
            false => hash(format!("{table}\n{}\n{key}", asked.sender).as_bytes()),
        });
        let (dead_letters, guard) = (asked.dead_letters || self.dead_letters, asked.guard);
        let wish = Wish { key, dead_letters, extra: Extra::Refuse, guard };
        let mut broken = None;
        let raw_bytes = if wish.dead_letters { RAW_BYTES } else { 0 };
        let mut decoder = Some(Decoder::new(format, None).keep_raw(raw_bytes));
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
        let stored = self.records(table, wish, records, "http").await;
        match (stored, broken) {
            (Ok(report), Some(message)) => Err(Failure { cause: Cause::Body(message), report }),
            (stored, _) => stored,
        }
    }

    /// Stores the rows of one JSON text: an object, or an array of objects.
    pub async fn json(&self, table: &TableName, rows: &str) -> Result<Report, Failure> {
        self.json_asked(table, rows, Asked::default()).await
    }

    /// The same, with what the body asks for.
    pub async fn json_asked(&self, table: &TableName, rows: &str, asked: Asked) -> Result<Report, Failure> {
        let body =
            futures_util::stream::iter([Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(rows.as_bytes()))]);
        self.stream_asked(table, Format::Json, asked, body).await
    }

    /// Stores records that were read already, and waits until the log has them. Fields that are no column are passed over.
    /// `via` is the door's name in metrics.
    pub async fn given(
        &self,
        table: &TableName,
        records: Vec<Record>,
        via: &'static str,
        guard: Option<Guard>,
    ) -> Result<Report, Failure> {
        let records = futures_util::stream::once(std::future::ready(records));
        let wish = Wish { key: None, dead_letters: self.dead_letters, extra: Extra::Ignore, guard };
        self.records(table, wish, records, via).await
    }

    async fn records(
        &self,
        table: &TableName,
        wish: Wish,
        records: impl Stream<Item = Vec<Record>> + Send,
        via: &'static str,
    ) -> Result<Report, Failure> {
        let mut report = Report::default();
        let pipe = Pipe::open(self.clone(), table, wish, Patience::For(self.patience)).await;
        let mut pipe = match pipe {
            Ok(pipe) => pipe,
            Err(error) => return Err(Failure { cause: error.into(), report }),
        };
        let outcome = pipe.run(records, |told| report.add(told)).await;
        count(via, &report);
        if let Some(place) = pipe.last_place() {
            report.position = self.reached(place).await;
        }
        match outcome {
            Ok(()) => Ok(report),
            Err(error) => Err(Failure { cause: error.into(), report }),
        }
    }

    /// Where the log has what the store wrote; `None` when it takes longer than patience lasts.
    pub async fn position_after(&self, place: &Place) -> Option<Position> {
        self.reached(place).await
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
    fn add(&mut self, told: Told) {
        let Told { stored, repeated, rejects } = told;
        self.count += stored;
        self.repeated += repeated;
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
