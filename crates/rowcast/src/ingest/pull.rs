//! Sources that Rowcast reads itself: connects, reads, connects again.
//!
//! One task reads the source into its spool and one brings the spool to the database. While that is away the spool grows, and when it
//! is full the source is held back. A source is told that it may forget a record only when that is safe.

mod backoff;
mod feed;
mod handing;
mod http;
mod mqtt;
mod poll;
mod rate;
mod reading;
mod request;
mod socketio;
mod status;
mod tls;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::flow::Flow;
use super::intake::Intake;
use super::once::Once;
use super::pipe::{Ingest, deliver};
use super::shape::Shape;
use super::spool::{Spool, SpoolSettings};
use crate::event::TableName;
pub use feed::{Feed, FeedError, Secret};
pub use http::HttpFeed;
pub use mqtt::{MqttFeed, MqttVersion, Part, Payload, Qos};
pub use poll::PollFeed;
use reading::Reader;
pub use request::{Headers, HttpRequest};
pub use socketio::{EngineIo, SocketIoFeed};
use status::Board;
pub use status::{PullReject, PullStatus, REJECTS_KEPT};
pub use websocket::WebSocketFeed;

/// How long the last rows may take to be written when the pull is stopped.
const DRAIN_WAIT: Duration = Duration::from_secs(5);

/// A source to read, and the table that its rows go to.
#[derive(Debug, Clone)]
pub struct Pull {
    /// For people, in Console, logs and metrics.
    pub name: String,
    /// What is read.
    pub from: Feed,
    /// Where its rows go. Fields that are no column of it are passed over.
    pub table: TableName,
    /// What is asked of its records, and computed from them.
    pub shape: Shape,
    /// How each record becomes one row.
    pub once: Once,
    /// Bytes that may wait for the database; `None`: as [`SpoolSettings`] have it.
    pub spool_bytes: Option<u64>,
}

/// A pull under way. Dropping it leaves it running; [`Pulling::stop`] ends it.
#[derive(Debug)]
pub struct Pulling {
    board: Arc<Board>,
    spool: Spool,
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Pull {
    /// A source, and a table for its rows as they come.
    pub fn new(name: impl Into<String>, from: Feed, table: TableName) -> Self {
        Self { name: name.into(), from, table, shape: Shape::default(), once: Once::default(), spool_bytes: None }
    }

    /// The way of its records.
    pub fn flow(&self) -> Flow {
        let (source, table) = (self.name.as_str().into(), self.table.clone());
        Flow { source, table, shape: self.shape.clone(), once: self.once.clone() }
    }

    /// Begins to pull, and goes on until it is stopped. What waits for the database ends with the process.
    ///
    /// The program must have installed a rustls provider before.
    pub fn start(self, to: Ingest) -> Result<Pulling, FeedError> {
        let settings = SpoolSettings::default();
        let spool = Spool::memory(SpoolSettings { bytes: self.spool_bytes.unwrap_or(settings.bytes), ..settings });
        self.start_with(to, spool)
    }

    /// As [`start`](Self::start), with what is in the spool before what comes.
    pub fn start_with(self, to: Ingest, spool: Spool) -> Result<Pulling, FeedError> {
        let flow = Arc::new(self.flow());
        let board = Arc::new(Board::new(&self.name, &self.from, &self.table, spool.clone()));
        let link = self.from.open(&self.name)?;
        let stop = CancellationToken::new();
        let told = board.clone();
        let brought = deliver(to, flow, spool.clone(), board.problem(), stop.clone(), move |more| told.add(more));
        let writer = tokio::spawn(brought);
        let reader = Reader::new(self.name, link, Intake::new(spool.clone()), Arc::clone(&board));
        let (stopped, read) = (stop.clone(), spool.clone());
        let reader = tokio::spawn(async move {
            stopped.run_until_cancelled(reader.run()).await;
            // Which ends the writer when all of it stands.
            read.close();
        });
        Ok(Pulling { board, spool, stop, tasks: [reader, writer] })
    }
}

impl Pulling {
    /// How it stands.
    pub fn status(&self) -> PullStatus {
        self.board.status()
    }

    /// Stops reading, waits until what was read is written, a few seconds at most, and says how it stood at last.
    pub async fn stop(self) -> PullStatus {
        self.stop.cancel();
        let [reader, mut writer] = self.tasks;
        let _ = reader.await;
        let kept = self.spool.outlives_process();
        // What is on the disk need not wait for a database that is away.
        let wait = if kept && self.board.status().held_back { Duration::ZERO } else { DRAIN_WAIT };
        if tokio::time::timeout(wait, &mut writer).await.is_err() {
            writer.abort();
            match (self.spool.status().records, kept) {
                (0, _) => {}
                (records, true) => tracing::info!(source = %self.board.name(), records, "records wait in the spool"),
                (records, false) => {
                    tracing::warn!(source = %self.board.name(), records, "stopped before the database took the last records");
                }
            }
        }
        self.board.disconnected(None);
        self.board.status()
    }
}
