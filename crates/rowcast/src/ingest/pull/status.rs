//! How a pull stands: counted while it runs, read by Console and `/metrics`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;

use super::feed::Feed;
use super::rate::Rate;
use crate::event::TableName;
use crate::ingest::decode::excerpt;
use crate::ingest::pipe::{Problem, Reject, Told};
use crate::ingest::spool::{Spool, SpoolStatus};

/// How many rejected records are kept to be looked at.
pub const REJECTS_KEPT: usize = 100;

/// How much of a rejected record is shown.
const SHOWN_BYTES: usize = 200;

/// How a pull stands, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PullStatus {
    /// As configured.
    pub name: String,
    /// What it is read from: `http`, `poll`, `websocket`, `socketio` or `mqtt`.
    pub kind: &'static str,
    /// As configured, without passwords and tokens.
    pub url: String,
    /// The table that rows go to.
    pub table: String,
    /// Milliseconds since 1970 when the connection was made; `None` while there is none.
    pub connected_since: Option<u64>,
    /// Rows stored since the start.
    pub rows: u64,
    /// Records rejected since the start.
    pub rejected: u64,
    /// Records since the start that had a row already.
    pub repeated: u64,
    /// Rows stored in each of the last ten seconds, on average.
    pub rate: f64,
    /// What waits for the database.
    pub spool: SpoolStatus,
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
    spool: Spool,
    rate: Mutex<Rate>,
    stored_metric: metrics::Counter,
    rejected_metric: metrics::Counter,
    repeated_metric: metrics::Counter,
    reconnects_metric: metrics::Counter,
    connected_metric: metrics::Gauge,
}

impl Board {
    pub(super) fn new(name: &str, from: &Feed, table: &TableName, spool: Spool) -> Self {
        let via = name.to_owned();
        let status = PullStatus {
            name: name.to_owned(),
            kind: from.kind(),
            url: from.shown(),
            table: table.to_string(),
            connected_since: None,
            rows: 0,
            rejected: 0,
            repeated: 0,
            rate: 0.0,
            spool: SpoolStatus::default(),
            reconnects: 0,
            last_error: None,
            held_back: false,
            rejects: Vec::new(),
        };
        Self {
            status: Mutex::new(status),
            rejects: Mutex::default(),
            problem: Arc::default(),
            spool,
            rate: Mutex::default(),
            stored_metric: metrics::counter!("rowcast_ingest_rows_total", "via" => via.clone()),
            rejected_metric: metrics::counter!("rowcast_ingest_rejected_total", "via" => via.clone()),
            repeated_metric: metrics::counter!("rowcast_ingest_repeated_total", "via" => via.clone()),
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
        status.rate = self.rate.lock().per_second();
        status.spool = self.spool.status();
        status.held_back |= status.spool.full || status.spool.problem.is_some();
        if status.spool.problem.is_some() {
            status.last_error.clone_from(&status.spool.problem);
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

    /// As people may see it.
    pub(super) fn url(&self) -> String {
        self.status.lock().url.clone()
    }

    /// Returns whether it was not before.
    pub(super) fn connected(&self) -> bool {
        let mut status = self.status.lock();
        let new = status.connected_since.is_none();
        status.connected_since.get_or_insert_with(now_ms);
        self.connected_metric.set(1.0);
        new
    }

    /// Something is wrong with a source that is there.
    pub(super) fn trouble(&self, error: String) {
        self.status.lock().last_error = Some(error);
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

    pub(super) fn add(&self, told: Told) {
        let Told { stored, repeated, rejects } = told;
        let mut status = self.status.lock();
        status.rows += stored;
        status.repeated += repeated;
        status.rejected += rejects.len() as u64;
        drop(status);
        self.rate.lock().add(stored);
        self.stored_metric.increment(stored);
        self.repeated_metric.increment(repeated);
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
            kept.push_back(PullReject { time, line, reason, raw: excerpt(raw.as_bytes(), SHOWN_BYTES).into() });
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
