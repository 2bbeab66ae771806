//! When subscriptions that conflate are told: `latest` whenever the client takes, the others by the clock.
//!
//! A session without one has none of this. What is told is `hub::conflate`'s.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::hub::conflate::Flush;
use crate::hub::{Queue, SubscriptionKey};
use crate::protocol::deliver::Deliver;

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    /// When each was told last.
    told: BTreeMap<SubscriptionKey, Instant>,
    /// When the bucket ends that waits.
    bucket_ends: BTreeMap<SubscriptionKey, Instant>,
    timer: Pin<Box<Sleep>>,
    armed: bool,
}

impl Default for Pace {
    fn default() -> Self {
        let timer = Box::pin(sleep_until(Instant::now()));
        Self { told: BTreeMap::new(), bucket_ends: BTreeMap::new(), timer, armed: false }
    }
}

impl Pace {
    /// Takes what is due of the subscriptions that `class` knows, and wakes the session when the next one will be.
    pub(super) fn take<'a>(
        &mut self,
        queue: &Queue,
        class: impl Fn(SubscriptionKey) -> Option<&'a Deliver>,
    ) -> Vec<(SubscriptionKey, Flush)> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let flushes = queue.take_conflated(|key, _| {
            let Some(due) = class(key).map(|class| self.due(key, class, now)) else { return false };
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
            due <= now
        });
        for (key, _) in &flushes {
            self.told(*key);
        }
        self.armed = next.is_some();
        if let Some(next) = next {
            self.timer.as_mut().reset(next);
        }
        flushes
    }

    fn due(&mut self, key: SubscriptionKey, class: &Deliver, now: Instant) -> Instant {
        match class {
            Deliver::Strict | Deliver::Latest => now,
            Deliver::Every(interval) => self.told.get(&key).map_or(now, |told| *told + *interval),
            Deliver::Sample(sample) => *self.bucket_ends.entry(key).or_insert_with(|| now + sample.rest(since_1970())),
        }
    }

    /// A subscription has been told something just now.
    pub(super) fn told(&mut self, key: SubscriptionKey) {
        self.told.insert(key, Instant::now());
        self.bucket_ends.remove(&key);
    }

    pub(super) fn forget(&mut self, key: SubscriptionKey) {
        self.told.remove(&key);
        self.bucket_ends.remove(&key);
    }

    /// Ready when something that waits has become due.
    pub(super) fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.armed {
            return Poll::Pending;
        }
        let due = self.timer.as_mut().poll(context);
        self.armed = due.is_pending();
        due
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
