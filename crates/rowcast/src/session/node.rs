//! What all sessions of a node share: the rooms below, the limits, and the list of who is connected.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::chosen::Sets;
use super::events::Events;
use super::gate::{Gates, SnapshotPermit, staggered};
use super::policy::Judges;
use super::quota::{Accounts, Quotas, Shares};
use super::revoke::is_trusted;
use super::settle::Shown;
use super::share::Sharing;
use crate::auth::{Auth, Identity, Rejected};
use crate::hub::{Closing, Hub, Queue, SessionKey};
use crate::ingest::Ingest;
use crate::log::Log;
use crate::presence::{self, Presence};
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
    /// WebSocket frames are compressed (RFC 7692) for clients that offer it.
    pub deflate: bool,
    /// Snapshots that are begun in a second; further ones wait. 0: no limit.
    pub snapshots_per_second: u32,
    /// Snapshots that wait; further ones are refused.
    pub snapshots_waiting: usize,
    /// Clients that are let in in a second; further ones are told when to come back. 0: no limit.
    pub handshakes_per_second: u32,
    /// Clients that are let in at once.
    pub handshakes_burst: u32,
    /// Clients that read the log at the same time, to catch up; further ones wait.
    pub replays: usize,
    /// Bytes of the log that are read in a second for those who catch up. 0: no limit.
    pub replay_bytes_per_second: u64,
    /// The largest state of a user who is present on a channel, as JSON.
    pub presence_state_bytes: usize,
    /// Channels on which one connection is present.
    pub presence_channels: usize,
    /// How long a user whose connection broke is still present.
    pub presence_grace: Duration,
    /// Changes of who is present on a channel are told together when they come within so long.
    pub presence_tick: Duration,
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
            deflate: false,
            snapshots_per_second: 1_000,
            snapshots_waiting: 20_000,
            handshakes_per_second: 5_000,
            handshakes_burst: 10_000,
            replays: 16,
            replay_bytes_per_second: 256 << 20,
            presence_state_bytes: 4 << 10,
            presence_channels: 32,
            presence_grace: Duration::from_secs(10),
            presence_tick: Duration::from_millis(50),
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
    /// The application's own events.
    pub events: Events,
    /// Who is present where.
    pub presence: Arc<Presence>,
    /// Who may do what; `None`: everybody everything.
    pub auth: Option<Arc<Auth>>,
    /// What each tenant, user and address may have.
    pub quotas: Quotas,
    /// What holds a herd back.
    pub(super) gates: Gates,
    /// Snapshots that several subscriptions take.
    pub(super) sharing: Sharing,
    /// What the snapshots so far have shown of the log.
    pub(super) shown: Mutex<Option<Shown>>,
    /// What rules read of other tables.
    pub(super) sets: Sets,
    /// What policies of the database say.
    pub(super) judges: Judges,
    sessions: Mutex<BTreeMap<SessionKey, Arc<Connected>>>,
    next_session: AtomicU64,
    /// Gives sessions their names.
    names: RandomState,
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
    /// Whose it is.
    pub identity: Mutex<Arc<Identity>>,
    /// Since when.
    pub since: Instant,
    /// What waits for it.
    pub queue: Arc<Queue>,
    /// How many subscriptions it has.
    pub subscriptions: AtomicUsize,
}

/// A client that has found room.
pub struct Admitted {
    /// Its session's.
    pub key: SessionKey,
    /// As others see it.
    pub connected: Arc<Connected>,
    /// What it has of what is its tenant's, its user's and its address's.
    pub(super) shares: Option<Box<Shares>>,
}

impl Node {
    /// A node without clients.
    pub fn new(hub: Arc<Hub>, log: Arc<dyn Log>, database: Database, limits: Limits) -> Self {
        Self::with_events(hub, log, database, limits, Events::new())
    }

    /// A node without clients that knows the application's own events.
    pub fn with_events(hub: Arc<Hub>, log: Arc<dyn Log>, database: Database, limits: Limits, events: Events) -> Self {
        let gates = Gates::new(&limits);
        let sessions = Mutex::default();
        let presence = Presence::new(presence::Settings { tick: limits.presence_tick, grace: limits.presence_grace });
        let ingest = Ingest::new(database.store.clone(), log.clone(), database.source.clone());
        Self {
            hub,
            log,
            database,
            ingest,
            limits,
            events,
            presence,
            auth: None,
            quotas: Quotas::default(),
            gates,
            sharing: Sharing::default(),
            shown: Mutex::default(),
            sets: Sets::default(),
            judges: Judges::default(),
            sessions,
            next_session: AtomicU64::new(1),
            names: RandomState::new(),
            draining: AtomicBool::new(false),
        }
    }

    /// Takes a client in, if there is room.
    pub fn admit(
        &self,
        transport: &'static str,
        remote: String,
        identity: &Arc<Identity>,
    ) -> Result<Admitted, Problem> {
        let accounts = self.accounts(identity, &remote);
        let mut sessions = self.sessions.lock();
        // Asked with the list locked: who is not refused is in the list that `drain` goes through.
        if self.draining.load(Ordering::SeqCst) {
            let problem = Problem::new(Code::Unavailable, "the server stops").retry_after(self.away());
            return Err(problem.hint("reconnect in a moment, and resume"));
        }
        let shares = accounts.map(Shares::take).transpose()?;
        if sessions.len() >= self.limits.connections {
            refused("connections");
            let message = format!("this node has its {} connections; try again later", self.limits.connections);
            return Err(Problem::new(Code::TooManyConnections, message).retry_after(self.away()));
        }
        if let Err(wait) = self.gates.handshakes.enter(Instant::now()) {
            refused("handshakes");
            let message = format!("this node takes {} new clients a second", self.limits.handshakes_per_second);
            let problem = Problem::new(Code::Unavailable, message).retry_after(wait);
            return Err(problem.hint("come back when Retry-After says"));
        }
        metrics::counter!("rowcast_handshakes_total").increment(1);
        let key = SessionKey(self.next_session.fetch_add(1, Ordering::Relaxed));
        let connected = Arc::new(Connected {
            transport,
            remote,
            identity: Mutex::new(identity.clone()),
            since: Instant::now(),
            queue: Arc::new(Queue::new(self.limits.queue_bytes)),
            subscriptions: AtomicUsize::new(0),
        });
        sessions.insert(key, connected.clone());
        drop(sessions);
        // Asked when it is in the list, so that no revocation falls between the token's check and this.
        if self.auth.as_ref().is_some_and(|auth| !is_trusted(auth, identity)) {
            self.dismiss(key);
            return Err(super::refused(&Rejected::Revoked));
        }
        Ok(Admitted { key, connected, shares })
    }

    /// What a session is called outside: it tells nobody how many there were before.
    pub fn session_name(&self, key: SessionKey) -> String {
        format!("{:016x}", self.names.hash_one(key.0))
    }

    /// Who pays for a client of this address, as `remote` has it.
    pub(super) fn accounts(&self, identity: &Identity, remote: &str) -> Option<Arc<Accounts>> {
        let address = remote.parse::<SocketAddr>().ok().map(|remote| remote.ip());
        self.quotas.accounts(identity, address)
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

    /// When one that finds no room should come back: not before a moment, and not together with the others.
    fn away(&self) -> Duration {
        away() + self.gates.handshakes.promise(Instant::now())
    }

    /// Waits until a snapshot may be read.
    pub async fn snapshot_permit(&self) -> Result<SnapshotPermit<'_>, Problem> {
        self.gates.snapshots.enter().await
    }

    /// Brings the gauges of what waits at the gates up to date.
    pub fn record_gates(&self) {
        metrics::gauge!("rowcast_snapshots_waiting").set(self.gates.snapshots.waiting() as f64);
        metrics::gauge!("rowcast_replays_waiting").set(self.gates.replays.waiting() as f64);
    }

    /// Brings the gauges of who is present up to date.
    pub fn record_presence(&self) {
        let counts = self.presence.counts();
        metrics::gauge!("rowcast_presence_channels").set(counts.channels as f64);
        metrics::gauge!("rowcast_presence_users").set(counts.users as f64);
        metrics::gauge!("rowcast_presence_watchers").set(counts.watchers as f64);
    }

    /// Lets nobody in any more, and asks every client to go and to come back, each at another time.
    ///
    /// Returns when all have gone, or have had five seconds after the last was asked.
    pub async fn drain(&self, drain: Drain) {
        let pause = Duration::from_secs(1) / drain.per_second.max(1);
        self.draining.store(true, Ordering::SeqCst);
        let sessions = self.sessions();
        let spread = drain.spread.unwrap_or_else(|| self.gates.handshakes.window(sessions.len()).max(drain.retry));
        let start = tokio::time::Instant::now();
        for (number, (_, connected)) in sessions.into_iter().enumerate() {
            // By the clock, because a pause of less than a millisecond takes a whole one.
            tokio::time::sleep_until(start + pause * u32::try_from(number).unwrap_or(u32::MAX)).await;
            let retry = drain.retry + staggered(number, spread);
            connected.queue.close(Closing {
                reason: "shutdown",
                message: "the server stops; reconnect and resume".into(),
                retry_ms: u64::try_from(retry.as_millis()).unwrap_or(u64::MAX),
            });
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.session_count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// How clients are asked to go.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// So many in a second.
    pub per_second: u32,
    /// None is told to come back before this.
    pub retry: Duration,
    /// Over what time they are told to come back, each at another moment. `None`: as long as it takes to let them in again, and not
    /// less than `retry`.
    pub spread: Option<Duration>,
}

/// A moment, another one for each.
pub(super) fn away() -> Duration {
    Duration::from_millis(rand::random_range(1_000..5_000))
}

fn refused(by: &'static str) {
    metrics::counter!("rowcast_handshakes_refused_total", "by" => by).increment(1);
}
