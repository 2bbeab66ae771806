//! What tenants have had, for their operator: numbers that only grow, beside what they have now.
//!
//! Bounded: the first thousand tenants have a name, the others are one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::account::Kind;

/// So many tenants have a name.
const NAMES: usize = 1_000;
/// All others'.
const OTHER: &str = "other";

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Connections,
    Subscriptions,
    Rate(Kind),
    /// It did not stop.
    Closed,
}

const REASONS: [&str; 6] = ["connections", "subscriptions", "messages", "bytes", "rows", "closed"];

/// One tenant's numbers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) connections: AtomicU64,
    pub(super) subscriptions: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    refused: [AtomicU64; REASONS.len()],
}

/// One tenant's numbers at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Now.
    pub connections: u64,
    /// Now.
    pub subscriptions: u64,
    /// Sent by its clients so far.
    pub messages: u64,
    /// Sent by its clients so far.
    pub bytes: u64,
    refused: [u64; REASONS.len()],
}

impl Tallied {
    /// How often something was refused so far, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(self.refused)
    }
}

impl Tally {
    pub(super) fn sent(&self, messages: usize, bytes: usize) {
        self.messages.fetch_add(messages as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, reason: Reason) {
        let n = match reason {
            Reason::Connections => 0,
            Reason::Subscriptions => 1,
            Reason::Rate(Kind::Messages) => 2,
            Reason::Rate(Kind::Bytes) => 3,
            Reason::Rate(Kind::Rows) => 4,
            Reason::Closed => 5,
        };
        self.refused[n].fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> Tallied {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Tallied {
            connections: read(&self.connections),
            subscriptions: read(&self.subscriptions),
            messages: read(&self.messages),
            bytes: read(&self.bytes),
            refused: self.refused.each_ref().map(read),
        }
    }
}

/// Everybody's.
#[derive(Debug, Default)]
pub(super) struct Tallies(Mutex<BTreeMap<Arc<str>, Arc<Tally>>>);

impl Tallies {
    /// A tenant's, or that of all who have no name.
    pub(super) fn of(&self, tenant: &Arc<str>) -> Arc<Tally> {
        let mut tallies = self.0.lock();
        let name = match tallies.contains_key(tenant) || tallies.len() < NAMES {
            true => tenant.clone(),
            false => OTHER.into(),
        };
        tallies.entry(name).or_default().clone()
    }

    pub(super) fn all(&self) -> BTreeMap<Arc<str>, Tallied> {
        self.0.lock().iter().map(|(name, tally)| (name.clone(), tally.now())).collect()
    }
}
