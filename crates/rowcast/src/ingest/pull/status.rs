//! How a pull stands: counted while it runs, read by Console and `/metrics`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;

use super::HttpPull;
use crate::ingest::pipe::{Problem, Reject};

/// How many rejected records are kept to be looked at.
pub const REJECTS_KEPT: usize = 100;

/// How a pull stands, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PullStatus {
    /// As configured.
    pub name: String,
    /// As configured, without its password.
    pub url: String,
    /// The table that rows go to.
    pub table: String,
    /// Milliseconds since 1970 when the connection was made; `None` while there is none.
    pub connected_since: Option<u64>,
    /// Rows stored since the start.
    pub rows: u64,
    /// Records rejected since the start.
    pub rejected: u64,
    /// Attempts to connect after the first.
    pub reconnects: u64,
    /// What ended the last connection that did not end well, or keeps the database from taking rows now.
    pub last_error: Option<String>,
    /// Whether rows wait because the database does not take them.
    pub held_back: bool,
    /// The last records that were rejected, oldest first, at most [`REJECTS_KEPT`].
    pub rejects: Vec<PullReject>,
}

/// A record that was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PullReject {
    /// Milliseconds since 1970.
    pub time: u64,
    /// Its line in the stream, counted from the connection's start.
    pub line: u64,
    /// Why.
    pub reason: String,
    /// The first bytes of the record as it came.
    pub raw: String,
}

/// Where the tasks of a pull write down how they stand.
#[derive(Debug)]
pub(super) struct Board {
    status: Mutex<PullStatus>,
    rejects: Mutex<VecDeque<PullReject>>,
    problem: Problem,
    stored_metric: metrics::Counter,
    rejected_metric: metrics::Counter,
    reconnects_metric: metrics::Counter,
    connected_metric: metrics::Gauge,
}

impl Board {
    pub(super) fn new(pull: &HttpPull) -> Self {
        let via = pull.name.clone();
        let status = PullStatus {
            name: pull.name.clone(),
            url: without_password(&pull.url),
            table: pull.table.to_string(),
            connected_since: None,
            rows: 0,
            rejected: 0,
            reconnects: 0,
            last_error: None,
            held_back: false,
            rejects: Vec::new(),
        };
        Self {
            status: Mutex::new(status),
            rejects: Mutex::default(),
            problem: Arc::default(),
            stored_metric: metrics::counter!("rowcast_ingest_rows_total", "via" => via.clone()),
            rejected_metric: metrics::counter!("rowcast_ingest_rejected_total", "via" => via.clone()),
            reconnects_metric: metrics::counter!("rowcast_ingest_reconnects_total", "via" => via.clone()),
            connected_metric: metrics::gauge!("rowcast_ingest_connected", "via" => via),
        }
    }

    pub(super) fn status(&self) -> PullStatus {
        let mut status = self.status.lock().clone();
        if let Some(problem) = &*self.problem.lock() {
            status.held_back = true;
            status.last_error = Some(problem.clone());
        }
        status.rejects = self.rejects.lock().iter().cloned().collect();
        status
    }

    pub(super) fn name(&self) -> String {
        self.status.lock().name.clone()
    }

    /// Where the writer says why the database does not take rows.
    pub(super) fn problem(&self) -> Problem {
        Arc::clone(&self.problem)
    }

    pub(super) fn connected(&self) {
        self.status.lock().connected_since = Some(now_ms());
        self.connected_metric.set(1.0);
    }

    pub(super) fn disconnected(&self, error: Option<String>) {
        let mut status = self.status.lock();
        status.connected_since = None;
        status.last_error = error.or(status.last_error.take());
        self.connected_metric.set(0.0);
    }

    pub(super) fn reconnecting(&self) {
        self.status.lock().reconnects += 1;
        self.reconnects_metric.increment(1);
    }

    pub(super) fn add(&self, stored: u64, rejects: Vec<Reject>) {
        let mut status = self.status.lock();
        status.rows += stored;
        status.rejected += rejects.len() as u64;
        drop(status);
        self.stored_metric.increment(stored);
        self.rejected_metric.increment(rejects.len() as u64);
        if !rejects.is_empty() {
            self.keep(rejects);
        }
    }

    fn keep(&self, rejects: Vec<Reject>) {
        let time = now_ms();
        let mut kept = self.rejects.lock();
        for Reject { line, reason, raw, .. } in rejects {
            if kept.len() == REJECTS_KEPT {
                kept.pop_front();
            }
            kept.push_back(PullReject { time, line, reason, raw: raw.into() });
        }
    }
}

/// The address as people may see it.
pub(super) fn without_password(url: &reqwest::Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "(hidden)".into();
    }
    url.into()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
