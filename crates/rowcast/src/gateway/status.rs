//! How the gateway is, for Console, `/readyz` and `/metrics`.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value as Json, json};

use super::board::Board;
use super::since;
use crate::ingest::pull::Pulling;
use crate::session::Node;
use crate::session::quota::Tallied;

/// Sessions listed in Console.
const SESSIONS: usize = 100;

/// Whether changes flow; if not, the reason for people.
pub(super) fn ready(node: &Node, board: &Board) -> Result<(), String> {
    let dispatched = node.hub.dispatched();
    board.ready(node.log.head(), dispatched)
}

/// The whole of `/v1/status`.
pub(super) fn status(node: &Node, board: &Board) -> Json {
    let hub = node.hub.status();
    let sessions = node.sessions();
    let sources = board
        .readings()
        .iter()
        .map(|reading| json!({ "name": reading.source, "database": reading.database, "status": reading.status() }));
    let pulls: Vec<Json> = board.pulls.lock().iter().filter_map(|pull| pull.lock().as_ref().map(pull_status)).collect();
    let total = |field: &str| pulls.iter().filter_map(|pull| pull[field].as_u64()).sum::<u64>();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_ms": since(board.started),
        "session_count": sessions.len(),
        "subscriptions": hub.subscriptions,
        "distinct_filters": hub.filters,
        "sources": sources.collect::<Vec<_>>(),
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
                "id": node.session_name(*key),
                "transport": connected.transport,
                "remote": connected.remote,
                "subscriptions": connected.subscriptions.load(Ordering::Relaxed),
                "queued_bytes": queued_bytes,
                "behind": behind,
                "connected_ms": since(connected.since),
            })
        }).collect::<Vec<_>>(),
        "tenants": node.quotas.tenants().iter().map(|(name, tallied)| (name.to_string(), tenant(tallied))).collect::<Map<_, _>>(),
        "ingest": pulls,
        "errors": board.errors(),
    })
}

fn tenant(tallied: &Tallied) -> Json {
    let Tallied { connections, subscriptions, messages, bytes, .. } = tallied;
    let refused: Map<_, _> = tallied.refused().map(|(reason, count)| (reason.to_owned(), json!(count))).collect();
    json!({ "connections": connections, "subscriptions": subscriptions, "messages": messages, "bytes": bytes, "refused": refused })
}

/// Where there are tenants: of so many as have a name of their own.
fn record_tenants(node: &Node) {
    node.quotas.tidy();
    for (name, tallied) in node.quotas.tenants() {
        let tenant = || name.to_string();
        metrics::gauge!("rowcast_tenant_connections", "tenant" => tenant()).set(tallied.connections as f64);
        metrics::gauge!("rowcast_tenant_subscriptions", "tenant" => tenant()).set(tallied.subscriptions as f64);
        metrics::counter!("rowcast_tenant_messages_total", "tenant" => tenant()).absolute(tallied.messages);
        metrics::counter!("rowcast_tenant_bytes_total", "tenant" => tenant()).absolute(tallied.bytes);
        for (reason, count) in tallied.refused().filter(|(_, count)| *count > 0) {
            metrics::counter!("rowcast_tenant_refused_total", "tenant" => tenant(), "by" => reason).absolute(count);
        }
    }
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
    node.record_gates();
    node.record_presence();
    record_tenants(node);
    record_sessions(node);
    record_sources(board);
    record_spools(board);
    metrics::gauge!("rowcast_ready").set(if ready(node, board).is_ok() { 1.0 } else { 0.0 });
}

/// What waits for the database.
fn record_spools(board: &Board) {
    let pulls: Vec<_> =
        board.pulls.lock().iter().filter_map(|pull| pull.lock().as_ref().map(Pulling::status)).collect();
    for pull in pulls {
        let gauge = |name: &'static str, value: f64| metrics::gauge!(name, "via" => pull.name.clone()).set(value);
        gauge("rowcast_spool_records", pull.spool.records as f64);
        gauge("rowcast_spool_bytes", pull.spool.bytes as f64);
        gauge("rowcast_spool_oldest_seconds", pull.spool.oldest_ms.unwrap_or(0) as f64 / 1e3);
        gauge("rowcast_spool_full", if pull.spool.full { 1.0 } else { 0.0 });
    }
}

/// What a source's database does not tell has no gauge.
fn record_sources(board: &Board) {
    for reading in board.readings() {
        let status = reading.status();
        let known = [
            ("rowcast_source_lag_events", status.lag_events),
            ("rowcast_source_lag_bytes", status.lag_bytes),
            ("rowcast_source_retained_bytes", status.retained_bytes),
        ];
        for (name, value) in known {
            if let Some(value) = value {
                metrics::gauge!(name, "source" => reading.source.to_string()).set(value as f64);
            }
        }
        let up = if status.problem.is_none() { 1.0 } else { 0.0 };
        metrics::gauge!("rowcast_source_up", "source" => reading.source.to_string()).set(up);
    }
}

fn record_sessions(node: &Node) {
    let sessions = node.sessions();
    for transport in ["websocket", "sse", "pgws", "pg_eventserv", "postgres-websockets"] {
        let count = sessions.iter().filter(|(_, connected)| connected.transport == transport).count();
        metrics::gauge!("rowcast_connections", "transport" => transport).set(count as f64);
    }
    let queues = sessions.iter().map(|(_, connected)| connected.queue.status());
    let (bytes, behind) = queues.fold((0, 0), |(bytes, behind), (b, late)| (bytes + b, behind + u32::from(late)));
    metrics::gauge!("rowcast_queue_bytes").set(bytes as f64);
    metrics::gauge!("rowcast_sessions_behind").set(f64::from(behind));
}
