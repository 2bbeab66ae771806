//! What all sessions of a node share: the rooms below, the limits, and the list of who is connected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::settle::Shown;
use super::share::Sharing;
use crate::hub::{Closing, Hub, Queue, SessionKey};
use crate::ingest::Ingest;
use crate::log::Log;
use crate::protocol::{Code, Problem};
use crate::source::notify::Ears;
use crate::store::Store;

/// What a client may cost. Each has its own error.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest WebSocket frame that is read.
    pub frame_bytes: usize,
    /// The largest body of a request that is not streamed.
    pub body_bytes: usize,
    /// Subscriptions on one connection.
    pub subscriptions: usize,
    /// Live connections on this node.
    pub connections: usize,
    /// How long a connection may take to say what it wants.
    pub handshake: Duration,
    /// Bytes that may wait for one client before it has to read the log itself.
    pub queue_bytes: usize,
    /// How often an idle connection is told the position; one that does not answer for two and a half is closed.
    pub heartbeat: Duration,
    /// How long one write to a client may make no progress.
    pub write_stall: Duration,
    /// The most rows that one `GET /v1/tables/{table}` returns.
    pub rows_max: u64,
    /// Messages that are no messages, after which a connection is closed.
    pub bad_messages: u32,
    /// Snapshots that are read at the same time; further ones wait.
    pub snapshots: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 1 << 20,
            body_bytes: 16 << 20,
            subscriptions: 256,
            connections: 20_000,
            handshake: Duration::from_secs(10),
            queue_bytes: 1 << 20,
            heartbeat: Duration::from_secs(15),
            write_stall: Duration::from_secs(30),
            rows_max: 100_000,
            bad_messages: 20,
            snapshots: 8,
        }
    }
}

/// A database as sessions see it: rows to begin with, and the name under which the log keeps its place.
#[derive(Clone)]
pub struct Database {
    /// Reads snapshots, writes rows.
    pub store: Arc<dyn Store>,
    /// Whose place in the log tells how far its changes have come.
    pub source: Arc<str>,
    /// Asks for NOTIFY channels to be heard, where the database has any.
    pub ears: Option<Arc<Ears>>,
}

/// What all sessions share.
pub struct Node {
    /// Hands out events.
    pub hub: Arc<Hub>,
    /// Keeps them.
    pub log: Arc<dyn Log>,
    /// Where tables are.
    pub database: Database,
    /// Where rows go in.
    pub ingest: Ingest,
    /// What a client may cost.
    pub limits: Limits,
    /// Bounds the snapshots that are read at the same time.
    pub snapshots: Semaphore,
    /// Snapshots that several subscriptions take.
    pub(super) sharing: Sharing,
    /// What the snapshots so far have shown of the log.
    pub(super) shown: Mutex<Option<Shown>>,
    sessions: Mutex<BTreeMap<SessionKey, Arc<Connected>>>,
    next_session: AtomicU64,
    /// Nobody is let in any more.
    draining: AtomicBool,
}

/// A connected client, for people and for goodbyes.
#[derive(Debug)]
pub struct Connected {
    /// `websocket` or `sse`.
    pub transport: &'static str,
    /// The peer's address.
    pub remote: String,
    /// Since when.
    pub since: Instant,
    /// What waits for it.
    pub queue: Arc<Queue>,
    /// How many subscriptions it has.
    pub subscriptions: AtomicUsize,
}

impl Node {
    /// A node without clients.
    pub fn new(hub: Arc<Hub>, log: Arc<dyn Log>, database: Database, limits: Limits) -> Self {
        let snapshots = Semaphore::new(limits.snapshots);
        let sessions = Mutex::default();
        let ingest = Ingest::new(database.store.clone(), log.clone(), database.source.clone());
        Self {
            hub,
            log,
            database,
            ingest,
            limits,
            snapshots,
            sharing: Sharing::default(),
            shown: Mutex::default(),
            sessions,
            next_session: AtomicU64::new(1),
            draining: AtomicBool::new(false),
        }
    }

    /// Takes a client in, if there is room.
    pub fn admit(&self, transport: &'static str, remote: String) -> Result<(SessionKey, Arc<Connected>), Problem> {
        let mut sessions = self.sessions.lock();
        // Asked with the list locked: who is not refused is in the list that `drain` goes through.
        if self.draining.load(Ordering::SeqCst) {
            let problem = Problem::new(Code::Unavailable, "the server stops");
            return Err(problem.hint("reconnect in a moment, and resume"));
        }
        if sessions.len() >= self.limits.connections {
            let message = format!("this node has its {} connections; try again later", self.limits.connections);
            return Err(Problem::new(Code::TooManyConnections, message));
        }
        let key = SessionKey(self.next_session.fetch_add(1, Ordering::Relaxed));
        let connected = Arc::new(Connected {
            transport,
            remote,
            since: Instant::now(),
            queue: Arc::new(Queue::new(self.limits.queue_bytes)),
            subscriptions: AtomicUsize::new(0),
        });
        sessions.insert(key, connected.clone());
        Ok((key, connected))
    }

    pub(super) fn dismiss(&self, key: SessionKey) {
        self.sessions.lock().remove(&key);
    }

    /// Who is connected, oldest first.
    pub fn sessions(&self) -> Vec<(SessionKey, Arc<Connected>)> {
        self.sessions.lock().iter().map(|(key, connected)| (*key, connected.clone())).collect()
    }

    /// How many are connected.
    pub fn session_count(&self) -> usize {
        self.sessions.lock().len()
    }

    /// Lets nobody in any more, and asks every client to go, `per_second` of them each second, and to come back after `retry`.
    ///
    /// Returns when all have gone, or have had five seconds after the last was asked.
    pub async fn drain(&self, per_second: u32, retry: Duration) {
        let pause = Duration::from_secs(1) / per_second.max(1);
        self.draining.store(true, Ordering::SeqCst);
        for (_, connected) in self.sessions() {
            connected.queue.close(Closing {
                reason: "shutdown",
                message: "the server stops; reconnect and resume".into(),
                retry_ms: retry.as_millis() as u64,
            });
            tokio::time::sleep(pause).await;
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.session_count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
