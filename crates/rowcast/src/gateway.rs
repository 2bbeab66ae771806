//! Joins the rooms: a database, a log, a hub and doors become one gateway.
//!
//! The only place that knows all of them.

mod board;
mod database;
mod pump;
mod status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::database::Database;
pub use crate::session::Limits;
pub use crate::transport::{DropIns, Origins};

use crate::hub::Hub;
use crate::ingest::Ingest;
use crate::ingest::pull::{HttpPull, Pulling};
use crate::log::Log;
use crate::log::Retention;
use crate::log::local::{LocalLog, LogSettings};
use crate::log::memory::MemoryLog;
use crate::session::{self, Node};
use crate::source::SourceError;
use crate::transport::{Doors, router};
use board::Board;
use database::Opened;
use pump::Pump;

/// Where the log is kept.
#[derive(Debug, Clone)]
pub enum LogPlace {
    /// In files of this folder.
    Directory(PathBuf, LogSettings),
    /// Nowhere: positions end with the process.
    Memory,
}

/// Why a gateway does not start. Says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// What goes into a [`Gateway`].
#[derive(Debug)]
pub struct Builder {
    database: Option<Database>,
    log: LogPlace,
    limits: Limits,
    origins: Origins,
    drop_ins: DropIns,
    pulls: Vec<HttpPull>,
}

/// A running gateway. Mount its [`router`](Gateway::router) wherever you like.
pub struct Gateway {
    node: Arc<Node>,
    board: Arc<Board>,
    origins: Origins,
    drop_ins: Arc<DropIns>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    pulls: Vec<Arc<parking_lot::Mutex<Option<Pulling>>>>,
}

impl Gateway {
    /// Begins with no database, a log in memory, and the default limits.
    pub fn builder() -> Builder {
        Builder {
            database: None,
            log: LogPlace::Memory,
            limits: Limits::default(),
            origins: Origins::default(),
            drop_ins: DropIns::default(),
            pulls: Vec::new(),
        }
    }

    /// Everything under `/v1`, and the drop-ins, for your own axum program.
    ///
    /// Serve it with `into_make_service_with_connect_info::<SocketAddr>()` to see clients' addresses in the status.
    pub fn router(&self) -> Router {
        let (node, board) = (self.node.clone(), self.board.clone());
        let status = Arc::new(move || status::status(&node, &board));
        router(Doors {
            node: self.node.clone(),
            origins: self.origins.clone(),
            drop_ins: self.drop_ins.clone(),
            status,
        })
    }

    /// Writes rows, as the HTTP doors do.
    pub fn ingest(&self) -> Ingest {
        self.node.ingest.clone()
    }

    /// How it is: what `/v1/status` says.
    pub fn status(&self) -> serde_json::Value {
        status::status(&self.node, &self.board)
    }

    /// Brings the `metrics` crate's gauges up to date: call it before they are scraped.
    pub fn record_metrics(&self) {
        status::record_metrics(&self.node, &self.board);
    }

    /// Whether changes flow; if not, the reason for people.
    pub fn ready(&self) -> Result<(), String> {
        status::ready(&self.node, &self.board)
    }

    /// Asks all clients to go, `per_second` of them each second, and to come back after `retry`.
    pub async fn drain(&self, per_second: u32, retry: Duration) {
        self.node.drain(per_second, retry).await;
    }

    /// Stops reading the database and makes the log safe on disk.
    pub async fn stop(self) {
        for pull in &self.pulls {
            let pulling = pull.lock().take();
            if let Some(pulling) = pulling {
                pulling.stop().await;
            }
        }
        self.stop.cancel();
        for task in self.tasks {
            // A task that panicked has said so already.
            let _ = task.await;
        }
        if let Err(error) = self.node.log.flush().await {
            tracing::error!(%error, "the log could not be made safe on disk");
        }
    }
}

impl Builder {
    /// The database to make live.
    pub fn database(mut self, database: Database) -> Self {
        self.database = Some(database);
        self
    }

    /// Where the log is kept.
    pub fn log(mut self, place: LogPlace) -> Self {
        self.log = place;
        self
    }

    /// What a client may cost.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whose pages may connect.
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Which other servers' clients are served, beside the native protocol.
    pub fn drop_ins(mut self, drop_ins: DropIns) -> Self {
        self.drop_ins = drop_ins;
        self
    }

    /// A stream to pull rows from.
    pub fn ingest(mut self, pull: HttpPull) -> Self {
        self.pulls.push(pull);
        self
    }

    /// Opens the log and the database, sets capture up, and begins.
    pub async fn start(self) -> Result<Gateway, StartError> {
        self.drop_ins.check().map_err(StartError)?;
        let mut database = self.database.ok_or_else(|| StartError("no database was given".into()))?;
        database.hear(self.drop_ins.channels());
        let (log, local) = open_log(self.log).await?;
        let Opened { kind, name, store, sources, ears, may_be_away } = database.open(log.head().epoch)?;
        let hub = Hub::new(log.clone());
        let stop = CancellationToken::new();
        let board = Arc::new(Board::new(kind, sources.iter().map(|source| source.name().to_owned())));
        let database = session::Database { store, source: name, ears };
        let node = Arc::new(Node::new(hub.clone(), log.clone(), database, self.limits));
        let mut pumps = Vec::new();
        for (source, reading) in sources.into_iter().zip(board.readings()) {
            let mut pump = Pump::new(source, log.clone(), reading.clone());
            match pump.start().await {
                Ok(()) => {}
                Err(error @ SourceError::Retry { .. }) if may_be_away => pump.postpone(error),
                Err(error) => return Err(StartError(error.to_string())),
            }
            pumps.push(pump);
        }
        let mut tasks = vec![tokio::spawn(hub.run(stop.clone()))];
        tasks.extend(pumps.into_iter().map(|pump| tokio::spawn(pump.run(stop.clone()))));
        if let Some(log) = local {
            tasks.push(tokio::spawn(maintain(log, stop.clone())));
        }
        let pulls = start_pulls(self.pulls, &node, &board)?;
        Ok(Gateway { node, board, origins: self.origins, drop_ins: Arc::new(self.drop_ins), stop, tasks, pulls })
    }
}

fn start_pulls(
    pulls: Vec<HttpPull>,
    node: &Node,
    board: &Board,
) -> Result<Vec<Arc<parking_lot::Mutex<Option<Pulling>>>>, StartError> {
    let start = |pull: HttpPull| {
        let name = pull.name.clone();
        let pulling = pull.start(node.ingest.clone()).map_err(|e| StartError(format!("ingest `{name}`: {e}")))?;
        let pulling = Arc::new(parking_lot::Mutex::new(Some(pulling)));
        board.add_pull(pulling.clone());
        Ok(pulling)
    };
    pulls.into_iter().map(start).collect()
}

/// Removes what is too old, also while nothing is appended.
async fn maintain(log: Arc<LocalLog>, stop: CancellationToken) {
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    while stop.run_until_cancelled(minute.tick()).await.is_some() {
        let log = log.clone();
        let done = tokio::task::spawn_blocking(move || log.maintain()).await;
        if let Ok(Err(error)) = done {
            tracing::warn!(%error, "what is too old could not be removed from the log; trying again in a minute");
        }
    }
}

type OpenLog = (Arc<dyn Log>, Option<Arc<LocalLog>>);

async fn open_log(place: LogPlace) -> Result<OpenLog, StartError> {
    match place {
        LogPlace::Memory => Ok((Arc::new(MemoryLog::new(Retention::default())), None)),
        LogPlace::Directory(path, settings) => {
            let opened = tokio::task::spawn_blocking(move || LocalLog::open(path, settings)).await;
            let log = opened.map_err(|e| StartError(e.to_string()))?.map_err(|e| StartError(e.to_string()))?;
            let log = Arc::new(log);
            Ok((log.clone(), Some(log)))
        }
    }
}

/// How long after the last append the log is made safe on disk, so that the database may forget.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Now, for people.
fn since(start: Instant) -> u64 {
    start.elapsed().as_millis() as u64
}
