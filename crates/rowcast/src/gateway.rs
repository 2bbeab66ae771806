//! Joins the rooms: a database, a log, a hub and doors become one gateway.
//!
//! The only place that knows all of them.

mod board;
mod database;
mod followed;
mod pump;
mod status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::database::Database;
pub use crate::session::events::EventName;
pub use crate::session::quota::{Allowance, Allowances, Rate};
pub use crate::session::{Drain, Limits};
pub use crate::transport::socketio::Io;
pub use crate::transport::{
    Caller, Door, DropIns, Influx, Known, Listener, Network, Origins, Proxies, Refusal, Sessions,
};

use crate::auth::Auth;
use crate::event::{Channel, TableName};
use crate::hub::Hub;
use crate::ingest::Ingest;
use crate::ingest::pull::{Pull, Pulling};
use crate::ingest::spool::{Spool, SpoolSettings};
use crate::log::Log;
use crate::log::Retention;
use crate::log::local::{LocalLog, LogSettings};
use crate::log::memory::MemoryLog;
use crate::session::events::Events;
use crate::session::quota::Quotas;
use crate::session::{self, Node};
use crate::source::SourceError;
use crate::store::{ColumnSpec, Store, TableSpec};
use crate::transport::socketio::What;
use crate::transport::{Doors, for_administrators, for_clients, for_everybody, router};
use board::Board;
use database::Opened;
use followed::Followed;
use pump::{Pump, Tables};

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
    auth: Option<Auth>,
    database: Option<Database>,
    log: LogPlace,
    limits: Limits,
    origins: Origins,
    proxies: Proxies,
    allowances: Allowances,
    drop_ins: DropIns,
    influx: Option<Influx>,
    socketio: Option<Io>,
    pulls: Vec<Pull>,
    spool: Option<PathBuf>,
    spooling: SpoolSettings,
    dead_letters: bool,
    tables: Vec<TableSpec>,
    columns: Vec<(TableName, Vec<ColumnSpec>)>,
    private: Vec<TableName>,
    events: Vec<EventName>,
}

/// A running gateway. Mount its [`router`](Gateway::router) wherever you like.
pub struct Gateway {
    node: Arc<Node>,
    store: Arc<dyn Store>,
    board: Arc<Board>,
    origins: Origins,
    proxies: Proxies,
    drop_ins: Arc<DropIns>,
    influx: Option<Arc<Influx>>,
    socketio: Option<Io>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    pulls: Vec<Arc<parking_lot::Mutex<Option<Pulling>>>>,
}

impl Gateway {
    /// Begins with no database, a log in memory, and the default limits.
    pub fn builder() -> Builder {
        Builder {
            auth: None,
            database: None,
            log: LogPlace::Memory,
            limits: Limits::default(),
            origins: Origins::default(),
            proxies: Proxies::default(),
            allowances: Allowances::default(),
            drop_ins: DropIns::default(),
            influx: None,
            socketio: None,
            pulls: Vec::new(),
            spool: None,
            spooling: SpoolSettings::default(),
            dead_letters: false,
            tables: Vec::new(),
            columns: Vec::new(),
            private: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Everything under `/v1`, and the drop-ins, for your own axum program.
    ///
    /// Serve it with `into_make_service_with_connect_info::<SocketAddr>()` to see clients' addresses in the status.
    pub fn router(&self) -> Router {
        self.router_of(&Door::ALL)
    }

    /// These doors alone, for a program that has several ports. Whatever serves them tells which one it is with a [`Listener`].
    pub fn router_of(&self, open: &[Door]) -> Router {
        router(self.doors(), open)
    }

    /// Routes of your own that only those may use who look after the gateway: where clients show tokens, by the rule for `/v1/status`.
    pub fn for_administrators(&self, routes: Router) -> Router {
        for_administrators(&self.doors(), routes)
    }

    /// Routes of your own behind the same doors as `/v1`: whose page asks, who asks, and what it may cost. [`Caller`] in a handler says
    /// who it is; rules are for you to ask. Pages of hosts that may use the gateway may use them, by any method.
    ///
    /// Merge the result where you mount [`router`](Gateway::router). A handler that takes larger bodies than
    /// [`Limits::body_bytes`] has a limit of its own.
    pub fn for_clients(&self, routes: Router) -> Router {
        for_clients(&self.doors(), routes)
    }

    /// The same for routes that nobody needs a token for, as a log-in is one: `POST`, `PUT` and `PATCH` have to bring JSON, and nothing is
    /// changed for a page of another host. A client's address (`ConnectInfo<SocketAddr>`) is what trusted proxies say it is.
    pub fn for_everybody(&self, routes: Router) -> Router {
        for_everybody(&self.doors(), routes)
    }

    /// Makes people known to the gateway, for a program that has accounts of its own.
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.doors())
    }

    fn doors(&self) -> Doors {
        let (node, board) = (self.node.clone(), self.board.clone());
        let status = Arc::new(move || status::status(&node, &board));
        Doors {
            node: self.node.clone(),
            origins: self.origins.clone(),
            proxies: self.proxies.clone(),
            drop_ins: self.drop_ins.clone(),
            influx: self.influx.clone(),
            socketio: self.socketio.clone(),
            status,
        }
    }

    /// Socket.IO, where it is served.
    pub fn io(&self) -> Option<&Io> {
        self.socketio.as_ref()
    }

    /// What its clients share, for doors of your own: each opens a [`Session`](crate::session::Session) with it.
    pub fn node(&self) -> Arc<Node> {
        self.node.clone()
    }

    /// The database, for a program's own questions and [changes](Store::write). They are nobody's in particular: no rule is joined to
    /// them, and [private tables](Builder::private_tables) are there, too. What they write is told to subscribers as anyone's is.
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
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

    /// Lets nobody in any more, and asks all clients to go and to come back, each at another time.
    pub async fn drain(&self, drain: Drain) {
        self.node.drain(drain).await;
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

    /// Who is let in. Without it, everybody may do everything.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
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

    /// What each tenant, user and address may have. Everything, where it is not said.
    pub fn allowances(mut self, allowances: Allowances) -> Self {
        self.allowances = allowances;
        self
    }

    /// Which proxies are believed what they say of their clients' addresses. None, where it is not said.
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
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

    /// Takes InfluxDB's line protocol, as Telegraf writes it.
    pub fn influx(mut self, influx: Influx) -> Self {
        self.influx = Some(influx);
        self
    }

    /// Serves Socket.IO: the native protocol and what is to be pushed on its root namespace, and whatever the program does with it.
    pub fn socketio(mut self, io: Io) -> Self {
        self.socketio = Some(io);
        self
    }

    /// A stream to pull rows from.
    pub fn ingest(mut self, pull: Pull) -> Self {
        self.pulls.push(pull);
        self
    }

    /// Where the records of streams wait for the database: a folder for each in this one. In memory where it is not said.
    pub fn spool(mut self, folder: impl Into<PathBuf>, settings: SpoolSettings) -> Self {
        (self.spool, self.spooling) = (Some(folder.into()), settings);
        self
    }

    /// Whether the database keeps the records of every HTTP body that are refused.
    pub fn dead_letters(mut self, keep: bool) -> Self {
        self.dead_letters = keep;
        self
    }

    /// Tables to make where they are not there, before anything is captured or written. In a database that is away, as soon as it
    /// is there.
    pub fn tables(mut self, tables: Vec<TableSpec>) -> Self {
        self.tables.extend(tables);
        self
    }

    /// Columns to [add](Store::add_columns) to a table where it lacks them, after all tables were made and before anything is captured: so
    /// a later version of a program grows the tables of an earlier one.
    pub fn columns(mut self, table: TableName, columns: Vec<ColumnSpec>) -> Self {
        self.columns.push((table, columns));
        self
    }

    /// Tables of the program's own, made in the same way: no change of theirs is captured, and no client has a table of these names,
    /// whatever rules say. [`Gateway::store`] reads and writes them.
    pub fn private_tables(mut self, tables: Vec<TableSpec>) -> Self {
        self.private.extend(tables.iter().map(|table| table.name.clone()));
        self.tables(tables)
    }

    /// Changes of a table under an application's own event name, on the channel `event:NAME`.
    pub fn event(mut self, event: EventName) -> Self {
        self.events.push(event);
        self
    }

    /// Opens the log and the database, sets capture up, and begins.
    pub async fn start(self) -> Result<Gateway, StartError> {
        self.drop_ins.check().map_err(StartError)?;
        let events = named(self.events)?;
        let mut database = self.database.ok_or_else(|| StartError("no database was given".into()))?;
        let mut channels = self.drop_ins.channels();
        if let Some(io) = &self.socketio {
            io.settings().check().map_err(StartError)?;
            check_pushes(io, &events, matches!(database, Database::Postgres { .. }))?;
            channels.extend(io.settings().channels());
        }
        database.hear(channels);
        database.keep_private(&self.private);
        if let Some(auth) = &self.auth {
            database.obey(&auth.rules)?;
        }
        let folder = match &self.log {
            LogPlace::Directory(folder, _) => Some(folder.clone()),
            LogPlace::Memory => None,
        };
        let (log, local) = open_log(self.log).await?;
        if let Some(io) = self.socketio.clone() {
            let kept = tokio::task::spawn_blocking(move || io.0.keep_records(folder.as_deref())).await;
            let kept = kept.map_err(|error| StartError(error.to_string()))?;
            kept.map_err(|error| StartError(format!("the file of Socket.IO clients cannot be read: {error}")))?;
        }
        let Opened { kind, name, store, sources, ears, may_be_away } = database.open(log.head().epoch)?;
        let hub = Hub::new(log.clone());
        let stop = CancellationToken::new();
        // What has begun ends with a start that does not come to its end.
        let given_up = stop.clone().drop_guard();
        let board = Arc::new(Board::new(kind, sources.iter().map(|source| source.name().to_owned())));
        let mut tables = Some(Tables { store: store.clone(), specs: self.tables, columns: self.columns });
        let followed = Followed::of(store.clone(), &self.private);
        let database = session::Database { store: followed, source: name, ears };
        let mut node = Node::with_events(hub.clone(), log.clone(), database, self.limits, events);
        node.auth = self.auth.map(Arc::new);
        let flows = self.pulls.iter().map(Pull::flow).collect();
        node.ingest = node.ingest.flows(flows).dead_letters(self.dead_letters);
        node.quotas = Quotas::new(self.allowances);
        let node = Arc::new(node);
        let mut pumps = Vec::new();
        for (source, reading) in sources.into_iter().zip(board.readings()) {
            let mut pump = Pump::new(source, tables.take(), log.clone(), reading.clone());
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
        if let Some(auth) = node.auth.clone() {
            tasks.push(tokio::spawn(node.clone().watch_trust(auth.clone(), stop.clone())));
            let stop = stop.clone();
            auth.tokens.fetch().await;
            tasks.push(tokio::spawn(async move { auth.tokens.run(stop).await }));
        }
        look_at_events(&node).await?;
        session::look_at_policies(&node).await.map_err(StartError)?;
        let spooled = open_spools(self.pulls, self.spool, self.spooling).await?;
        let pulls = start_pulls(spooled, &node, &board)?;
        given_up.disarm();
        Ok(Gateway {
            node,
            store,
            board,
            origins: self.origins,
            proxies: self.proxies,
            drop_ins: Arc::new(self.drop_ins),
            influx: self.influx.map(Arc::new),
            socketio: self.socketio,
            stop,
            tasks,
            pulls,
        })
    }
}

/// Refuses pushes of what there is not.
fn check_pushes(io: &Io, events: &Events, notifies: bool) -> Result<(), StartError> {
    for push in &io.settings().pushes {
        let why = match &push.what {
            What::Channel(Channel::Event(name), _) if !events.contains_key(&**name) => {
                format!("there is no event `{name}`; write an [[event]] of that name")
            }
            What::Channel(Channel::Notify(_), _) if !notifies => "NOTIFY channels are PostgreSQL's".into(),
            What::Channel(..) | What::Data(_) => continue,
        };
        return Err(StartError(format!("`{}` cannot be pushed: {why}", push.event)));
    }
    Ok(())
}

/// By name, each checked for itself.
fn named(events: Vec<EventName>) -> Result<Events, StartError> {
    let mut by_name = Events::new();
    for event in events {
        event.check().map_err(StartError)?;
        if let Some(before) = by_name.insert(event.name.clone(), Arc::new(event)) {
            return Err(StartError(format!("there are two events called `{}`", before.name)));
        }
    }
    Ok(by_name)
}

/// Refuses events that their tables cannot give. A table that is not there yet may still be made.
async fn look_at_events(node: &Node) -> Result<(), StartError> {
    for event in node.events.values() {
        let asked = tokio::time::timeout(LOOK_WAIT, node.database.store.table(&event.table)).await;
        match asked {
            Ok(Ok(table)) => {
                event.projection(&table, false).map_err(|problem| StartError(problem.to_string()))?;
            }
            Ok(Err(error)) => tracing::warn!(event = event.name, "the event's table cannot be looked at: {error}"),
            Err(_) => tracing::warn!(event = event.name, "the database does not say what the event's table is"),
        }
    }
    Ok(())
}

/// Each stream with its spool, with what is in it since before the start.
async fn open_spools(
    pulls: Vec<Pull>,
    folder: Option<PathBuf>,
    settings: SpoolSettings,
) -> Result<Vec<(Pull, Spool)>, StartError> {
    let open = move || {
        let spooled = pulls.into_iter().map(|pull| {
            let settings = SpoolSettings { bytes: pull.spool_bytes.unwrap_or(settings.bytes), ..settings };
            let spool = match &folder {
                None => Ok(Spool::memory(settings)),
                Some(folder) => Spool::open(&folder.join(&pull.name), settings),
            };
            Ok((pull, spool.map_err(|error| StartError(error.to_string()))?))
        });
        spooled.collect()
    };
    tokio::task::spawn_blocking(open).await.map_err(|error| StartError(error.to_string()))?
}

fn start_pulls(
    pulls: Vec<(Pull, Spool)>,
    node: &Node,
    board: &Board,
) -> Result<Vec<Arc<parking_lot::Mutex<Option<Pulling>>>>, StartError> {
    let start = |(pull, spool): (Pull, Spool)| {
        let name = pull.name.clone();
        let pulling = pull.start_with(node.ingest.clone(), spool);
        let pulling = pulling.map_err(|e| StartError(format!("ingest `{name}`: {e}")))?;
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

/// How long the start waits for what a database that may be away says of a table.
const LOOK_WAIT: Duration = Duration::from_secs(3);

/// How long after the last append the log is made safe on disk, so that the database may forget.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Now, for people.
fn since(start: Instant) -> u64 {
    start.elapsed().as_millis() as u64
}
