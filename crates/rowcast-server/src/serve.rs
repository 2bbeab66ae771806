//! `rowcast serve`: a gateway, its pages and its numbers on some ports, from start to drain.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use rowcast::gateway::{Database, Door, Drain, Gateway, Limits, LogPlace, Origins};
use rowcast::ingest::pull::Pull;
use rowcast::ingest::spool::SpoolSettings;
use rowcast::log::Retention;
use rowcast::log::local::{Durability, LogSettings};
use rowcast::socketio::Io;
use rowcast_chat::Chat;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::{Config, Offer};
use crate::listen::{Allowance, Bound, Doorway};
use crate::{auth, database, descriptors, files, logs, numbers, pages, say};

/// `rowcast serve`.
pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    let database = database::to_serve(config)?;
    logs::install(&config.logging);
    let bound = Bound::bind(&config.listen).await?;
    let node = Node {
        config,
        database,
        log: "log",
        pulls: pulls(config),
        also: Router::new(),
        stopping: CancellationToken::new(),
    };
    node.run(bound, |_| ()).await
}

/// The streams to fetch, as configured.
pub(crate) fn pulls(config: &Config) -> Vec<Pull> {
    let pull = |from: &crate::config::Ingest| Pull {
        name: from.name.clone(),
        from: from.feed.to_feed(),
        table: from.table.clone(),
        shape: from.flow.shape.clone(),
        once: from.flow.once.clone(),
        spool_bytes: from.flow.spool_bytes,
    };
    config.ingest.iter().map(pull).collect()
}

/// Everything that one process serves.
pub(crate) struct Node<'a> {
    pub(crate) config: &'a Config,
    pub(crate) database: Database,
    /// The log's folder in the data folder.
    pub(crate) log: &'static str,
    pub(crate) pulls: Vec<Pull>,
    /// Further routes.
    pub(crate) also: Router,
    /// Tells the further routes to end what would go on without end.
    pub(crate) stopping: CancellationToken,
}

impl Node<'_> {
    /// Serves until a signal says stop, and then until the clients have gone. `ready` hears the real addresses.
    pub(crate) async fn run(self, bound: Bound, ready: impl FnOnce(&[SocketAddr])) -> anyhow::Result<()> {
        let addresses: Vec<SocketAddr> = bound.addresses().collect();
        let mut signals = Signals::listen()?;
        descriptors::raise(self.config.limits.connections);
        let recorder = numbers::install()?;
        let config = self.config;
        let chat = config.chat.clone().map(Chat::new).transpose()?;
        let gateway = Arc::new(self.start(chat.as_ref()).await?);
        let chat = chat.map(|chat| chat.routes(&gateway));
        let draining = Arc::new(AtomicBool::new(false));
        let health = Health { gateway: Arc::clone(&gateway), draining: Arc::clone(&draining) };
        let inside = Inside { config, gateway: Arc::clone(&gateway), recorder, health, chat, also: self.also.clone() };
        let doorway = Doorway::open(bound, |offers| inside.router(offers), allowance(config));
        drop(inside);
        for address in &addresses {
            say(&format!("listening on http://{address}\n"));
        }
        ready(&addresses);

        let reason = signals.first().await;
        tracing::info!(signal = reason, "stopping: clients are told to come back");
        draining.store(true, Ordering::Relaxed);
        self.stopping.cancel();
        tokio::select! {
            () = drain(config, doorway, gateway) => tracing::info!("stopped"),
            again = signals.first() => {
                tracing::warn!(signal = again, "stopped at once");
                std::process::exit(130);
            }
        }
        Ok(())
    }

    async fn start(&self, chat: Option<&Chat>) -> anyhow::Result<Gateway> {
        let config = self.config;
        let mut builder = Gateway::builder()
            .database(self.database.clone())
            .log(self.log_place()?)
            .limits(limits(config))
            .allowances(config.allowances.clone())
            .proxies(config.http.trusted_proxies.clone())
            .origins(origins(&config.http.origins))
            .tables(config.tables.clone())
            .dead_letters(config.http.dead_letters);
        if let Some(auth) = auth::to_serve(config)? {
            builder = builder.auth(auth);
        }
        if let Some(chat) = chat {
            builder = chat.prepare(builder);
        }
        if let Some(influx) = &config.influx {
            builder = builder.influx(influx.clone());
        }
        if let Some(socketio) = &config.socketio {
            builder = builder.socketio(Io::new(socketio.clone()));
        }
        if config.spool.on_disk {
            let durability = if config.spool.survives_machine { Durability::Machine } else { Durability::Process };
            let settings = SpoolSettings { bytes: config.spool.bytes, durability };
            builder = builder.spool(config.data.join(self.log.replace("log", "spool")), settings);
        }
        if let Database::Postgres { .. } = &self.database {
            builder = builder.drop_ins(config.drop_ins.clone());
        }
        for event in &config.events {
            builder = builder.event(event.clone());
        }
        for pull in &self.pulls {
            builder = builder.ingest(pull.clone());
        }
        Ok(builder.start().await?)
    }

    fn log_place(&self) -> anyhow::Result<LogPlace> {
        let log = &self.config.log;
        if !log.on_disk {
            return Ok(LogPlace::Memory);
        }
        let folder: PathBuf = self.config.data.join(self.log);
        std::fs::create_dir_all(&folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        let durability = if log.survives_machine { Durability::Machine } else { Durability::Process };
        let retain = Retention { age: log.keep_age, events: log.keep_events, bytes: log.keep_bytes };
        let settings = LogSettings { durability, retain, window_bytes: log.memory, ..LogSettings::default() };
        Ok(LogPlace::Directory(folder, settings))
    }
}

/// What the ports are made of.
struct Inside<'a> {
    config: &'a Config,
    gateway: Arc<Gateway>,
    recorder: PrometheusHandle,
    health: Health,
    /// `None`: there is none.
    chat: Option<Router>,
    also: Router,
}

impl Inside<'_> {
    /// What one port offers; health on each.
    fn router(&self, offers: &[Offer]) -> Router {
        let offered = |offer| offers.contains(&offer);
        let http = &self.config.http;
        let doors: Vec<Door> = offers.iter().filter_map(|offer| offer.door()).collect();
        let mut router = self.gateway.router_of(&doors).merge(self.health.clone().router()).merge(self.also.clone());
        if let Some(chat) = self.chat.clone().filter(|_| offered(Offer::Door(Door::Native))) {
            router = router.merge(chat);
        }
        if http.metrics && offered(Offer::Metrics) {
            let scraped = Arc::clone(&self.gateway);
            let numbers = numbers::router(self.recorder.clone(), move || scraped.record_metrics());
            router = router.merge(self.gateway.for_administrators(numbers));
        }
        if http.pages && offered(Offer::Pages) {
            router = router.merge(pages::router(self.chat.is_some()));
        }
        let router = match &http.files {
            Some(folder) if offered(Offer::Files) => files::around(router, folder, http.files_policy.clone()),
            _ => router.fallback(not_found),
        };
        router.layer(CatchPanicLayer::new())
    }
}

fn limits(config: &Config) -> Limits {
    let from = config.limits;
    Limits {
        frame_bytes: from.frame_bytes,
        body_bytes: from.body_bytes,
        subscriptions: from.subscriptions,
        connections: from.connections,
        handshake: from.handshake,
        queue_bytes: from.queue_bytes,
        heartbeat: from.heartbeat,
        write_stall: from.write_stall,
        rows_max: from.rows_max,
        bad_messages: from.bad_messages,
        snapshots: from.snapshots,
        deflate: config.http.deflate,
        snapshots_per_second: from.snapshots_per_second,
        snapshots_waiting: from.snapshots_waiting,
        handshakes_per_second: from.handshakes_per_second,
        handshakes_burst: from.handshakes_burst,
        replays: from.replays,
        replay_bytes_per_second: from.replay_bytes_per_second,
        presence_state_bytes: from.presence_state_bytes,
        presence_channels: from.presence_channels,
        presence_grace: from.presence_grace,
        presence_tick: from.presence_tick,
    }
}

fn origins(origins: &[String]) -> Origins {
    if origins.iter().any(|origin| origin == "*") {
        return Origins::Any;
    }
    let these: Vec<String> = origins.iter().filter(|origin| *origin != "same-host").cloned().collect();
    if these.is_empty() { Origins::SameHost } else { Origins::These(these) }
}

/// More than the gateway's own limit: its refusal says more than a closed door.
fn allowance(config: &Config) -> Allowance {
    let connections = config.limits.connections;
    Allowance { connections: connections + connections / 8 + 64, handshake: config.limits.handshake }
}

/// Doors first, then clients, then requests, then the log.
async fn drain(config: &Config, doorway: Doorway, gateway: Arc<Gateway>) {
    let shutdown = config.shutdown;
    let deadline = Instant::now() + shutdown.timeout;
    doorway.shut();
    let sessions = gateway.status()["session_count"].as_u64().unwrap_or(0);
    let drained = gateway.drain(Drain {
        per_second: rate(sessions, shutdown.close_per_second, shutdown.timeout),
        retry: shutdown.retry,
        spread: shutdown.spread,
    });
    if tokio::time::timeout_at(deadline, drained).await.is_err() {
        tracing::warn!("some clients have not gone, and are cut");
    }
    doorway.close(deadline).await;
    stop(gateway).await;
}

/// The configured rate, or a higher one where it would take more than two thirds of the time.
fn rate(sessions: u64, per_second: u32, within: Duration) -> u32 {
    let needed = sessions as f64 / (within.as_secs_f64() * 2.0 / 3.0).max(0.001);
    per_second.max(needed.ceil() as u32)
}

/// The last requests may hold the gateway for a moment longer.
async fn stop(mut gateway: Arc<Gateway>) {
    for _ in 0..100 {
        match Arc::try_unwrap(gateway) {
            Ok(gateway) => return gateway.stop().await,
            Err(shared) => gateway = shared,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tracing::warn!("requests are still under way; the log is closed without them");
}

#[derive(Clone)]
struct Health {
    gateway: Arc<Gateway>,
    draining: Arc<AtomicBool>,
}

impl Health {
    fn router(self) -> Router {
        Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(Self::ready)).with_state(self)
    }

    async fn ready(State(health): State<Self>) -> impl IntoResponse {
        let headers = [(header::CACHE_CONTROL, "no-store")];
        if health.draining.load(Ordering::Relaxed) {
            return (StatusCode::SERVICE_UNAVAILABLE, headers, "the server is stopping\n".to_owned());
        }
        match health.gateway.ready() {
            Ok(()) => (StatusCode::OK, headers, "ready\n".to_owned()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, headers, format!("{reason}\n")),
        }
    }
}

pub(crate) async fn not_found() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (StatusCode::NOT_FOUND, headers, "there is nothing here; the pages are /charts, /tables and /console\n")
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("signals cannot be heard")?,
            interrupt: signal(SignalKind::interrupt()).context("signals cannot be heard")?,
        })
    }

    async fn first(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_ends_in_time_however_many_clients_there_are() {
        assert_eq!(rate(1_000, 500, Duration::from_secs(20)), 500);
        assert_eq!(rate(20_000, 500, Duration::from_secs(20)), 1_500);
        assert_eq!(rate(0, 1, Duration::ZERO), 1);
    }
}
