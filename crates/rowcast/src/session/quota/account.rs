//! What one tenant, user or address has, and may have.
//!
//! Owns no clock, and decides for itself alone; who else has to agree is known to `shares`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::tally::Tally;
use crate::session::bucket::Bucket;

/// What one may have. `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Allowance {
    /// At once, on this node.
    pub connections: Option<usize>,
    /// At once, on all its connections.
    pub subscriptions: Option<usize>,
    /// Messages and rows that it sends.
    pub messages: Option<Rate>,
    /// Bytes that it sends.
    pub bytes: Option<Rate>,
    /// Rows of tables that it reads.
    pub rows: Option<Rate>,
}

/// So much in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// In a second, in the long run.
    pub per_second: f64,
    /// At once, after a time with less.
    pub burst: f64,
}

/// What is counted by the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Messages,
    Bytes,
    Rows,
}

impl Kind {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Bytes => "bytes",
            Self::Rows => "rows",
        }
    }
}

impl Allowance {
    /// Whether anything has a limit.
    pub fn limits(&self) -> bool {
        *self != Self::default()
    }

    pub(super) fn rate(&self, kind: Kind) -> Option<Rate> {
        match kind {
            Kind::Messages => self.messages,
            Kind::Bytes => self.bytes,
            Kind::Rows => self.rows,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Account {
    /// `tenant`, `user` or `address`: all that a client is told of it.
    pub(super) whose: &'static str,
    pub(super) allowance: Allowance,
    pub(super) connections: AtomicUsize,
    pub(super) subscriptions: AtomicUsize,
    messages: Bucket,
    bytes: Bucket,
    rows: Bucket,
    /// Where it is a tenant's.
    pub(super) tally: Option<Arc<Tally>>,
}

impl Account {
    pub(super) fn new(whose: &'static str, allowance: &Allowance, tally: Option<Arc<Tally>>) -> Self {
        let now = Instant::now();
        let bucket = |kind| {
            let rate = allowance.rate(kind).unwrap_or(Rate { per_second: 0.0, burst: 0.0 });
            Bucket::new(rate.per_second, rate.burst, now)
        };
        Self {
            whose,
            allowance: *allowance,
            connections: AtomicUsize::new(0),
            subscriptions: AtomicUsize::new(0),
            messages: bucket(Kind::Messages),
            bytes: bucket(Kind::Bytes),
            rows: bucket(Kind::Rows),
            tally,
        }
    }

    pub(super) fn bucket(&self, kind: Kind) -> &Bucket {
        match kind {
            Kind::Messages => &self.messages,
            Kind::Bytes => &self.bytes,
            Kind::Rows => &self.rows,
        }
    }

    /// One that were made anew would be no different.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        let none = |number: &AtomicUsize| number.load(Ordering::Relaxed) == 0;
        let full = [&self.messages, &self.bytes, &self.rows].into_iter().all(|bucket| bucket.is_full(now));
        full && none(&self.connections) && none(&self.subscriptions)
    }

    /// How long until some of it may be had again.
    pub(super) fn wait(&self, kind: Kind, now: Instant) -> Duration {
        self.bucket(kind).wait(now)
    }

    /// What a limit on this is called in words: "this user may send 50 messages a second".
    pub(super) fn sentence(&self, kind: Kind) -> String {
        let verb = if kind == Kind::Rows { "read" } else { "send" };
        let rate = self.allowance.rate(kind).map_or(0.0, |rate| rate.per_second);
        format!("this {} may {verb} {rate} {} a second", self.whose, kind.words())
    }
}

/// One more, unless there are so many.
pub(super) fn take_one(number: &AtomicUsize, limit: Option<usize>) -> bool {
    let limit = limit.unwrap_or(usize::MAX);
    let more = |n: usize| (n < limit).then_some(n + 1);
    number.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
}
