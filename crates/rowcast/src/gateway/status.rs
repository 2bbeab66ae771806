//! How the gateway is, for Console, `/readyz` and `/metrics`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::since;
use crate::ingest::pull::Pulling;
use crate::session::Node;
use crate::source::SourceStatus;

/// Errors kept for Console.
const ERRORS: usize = 100;
/// Sessions listed in Console.
const SESSIONS: usize = 100;

/// What the gateway writes down while it runs.
pub(super) struct Board {
    started: Instant,
    source: Arc<str>,
    state: Mutex<State>,
    pulls: Mutex<Vec<Arc<Mutex<Option<Pulling>>>>>,
}

#[derive(Default)]
struct State {
    status: SourceStatus,
    trouble: Option<String>,
    errors: VecDeque<Json>,
}

impl Board {
    pub(super) fn new(source: &Arc<str>) -> Self {
        let (state, pulls) = (Mutex::default(), Mutex::default());
        Self { started: Instant::now(), source: source.clone(), state, pulls }
    }

    pub(super) fn add_pull(&self, pull: Arc<Mutex<Option<Pulling>>>) {
        self.pulls.lock().push(pull);
    }

    pub(super) fn set_source(&self, status: SourceStatus) {
        self.state.lock().status = status;
    }

    /// A batch went through: whatever was wrong is over.
    pub(super) fn read(&self, status: SourceStatus) {
        let mut state = self.state.lock();
        state.status = status;
        state.trouble = None;
    }

    pub(super) fn trouble(&self, message: String) {
        let mut state = self.state.lock();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        state.errors.push_back(json!({ "time_ms": time, "message": message }));
        while state.errors.len() > ERRORS {
            state.errors.pop_front();
        }
        state.trouble = Some(message);
    }

    pub(super) fn ready(&self) -> Result<(), String> {
        let state = self.state.lock();
        match state.trouble.as_ref().or(state.status.problem.as_ref()) {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(()),
        }
    }
}

/// The whole of `/v1/status`.
pub(super) fn status(node: &Node, board: &Board) -> Json {
    let hub = node.hub.status();
    let sessions = node.sessions();
    let (source, errors) = {
        let state = board.state.lock();
        let mut source = json!(state.status);
        if let Some(trouble) = &state.trouble {
            source["problem"] = json!(trouble);
        }
        (source, state.errors.iter().cloned().collect::<Vec<_>>())
    };
    let pulls: Vec<Json> = board.pulls.lock().iter().filter_map(|pull| pull.lock().as_ref().map(pull_status)).collect();
    let total = |field: &str| pulls.iter().filter_map(|pull| pull[field].as_u64()).sum::<u64>();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_ms": since(board.started),
        "session_count": sessions.len(),
        "subscriptions": hub.subscriptions,
        "distinct_filters": hub.filters,
        "sources": [{ "name": *board.source, "database": "sqlite", "status": source }],
        "log": node.log.status(),
        "totals": {
            "events": hub.events,
            "deliveries": hub.delivered.frames,
            "delivered_bytes": hub.delivered.bytes,
            "rows_ingested": total("rows"),
            "rows_rejected": total("rejected"),
        },
        "sessions": sessions.iter().take(SESSIONS).map(|(key, connected)| {
            let (queued_bytes, behind) = connected.queue.status();
            json!({
                "id": key.0.to_string(),
                "transport": connected.transport,
                "remote": connected.remote,
                "subscriptions": connected.subscriptions.load(Ordering::Relaxed),
                "queued_bytes": queued_bytes,
                "behind": behind,
                "connected_ms": since(connected.since),
            })
        }).collect::<Vec<_>>(),
        "ingest": pulls,
        "errors": errors,
    })
}

fn pull_status(pull: &Pulling) -> Json {
    let status = pull.status();
    let connected = status.connected_since.is_some();
    let mut json = json!(status);
    json["connected"] = json!(connected);
    json
}

/// Sets the gauges and totals that are known without counting each time. `docs/operating.md` lists them.
pub(super) fn record_metrics(node: &Node, board: &Board) {
    let hub = node.hub.status();
    metrics::counter!("rowcast_events_total").absolute(hub.events);
    metrics::counter!("rowcast_deliveries_total").absolute(hub.delivered.frames);
    metrics::counter!("rowcast_delivered_bytes_total").absolute(hub.delivered.bytes);
    metrics::gauge!("rowcast_subscriptions").set(hub.subscriptions as f64);
    metrics::gauge!("rowcast_distinct_filters").set(hub.filters as f64);
    let log = node.log.status();
    metrics::gauge!("rowcast_log_events").set(log.events as f64);
    metrics::gauge!("rowcast_log_bytes").set(log.bytes as f64);
    metrics::gauge!("rowcast_log_head_offset").set(node.log.head().offset.0 as f64);
    let behind_hub = node.log.head().offset.0.saturating_sub(node.hub.dispatched().offset.0);
    metrics::gauge!("rowcast_hub_lag_events").set(behind_hub as f64);
    record_sessions(node);
    let lag = board.state.lock().status.lag_events;
    metrics::gauge!("rowcast_source_lag_events", "source" => board.source.to_string()).set(lag.unwrap_or(0) as f64);
    metrics::gauge!("rowcast_ready").set(if board.ready().is_ok() { 1.0 } else { 0.0 });
}

fn record_sessions(node: &Node) {
    let sessions = node.sessions();
    for transport in ["websocket", "sse"] {
        let count = sessions.iter().filter(|(_, connected)| connected.transport == transport).count();
        metrics::gauge!("rowcast_connections", "transport" => transport).set(count as f64);
    }
    let queues = sessions.iter().map(|(_, connected)| connected.queue.status());
    let (bytes, behind) = queues.fold((0, 0), |(bytes, behind), (b, late)| (bytes + b, behind + u32::from(late)));
    metrics::gauge!("rowcast_queue_bytes").set(bytes as f64);
    metrics::gauge!("rowcast_sessions_behind").set(f64::from(behind));
}
