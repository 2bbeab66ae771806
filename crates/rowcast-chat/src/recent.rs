//! Users of whom something was found or done a moment ago, so that it is not found or done again with each request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// More than these are not remembered: whose time is over is forgotten, and then everybody.
const KEPT_MAX: usize = 20_000;

/// Users, each for a time.
#[derive(Debug)]
pub(crate) struct Recent {
    time: Duration,
    users: Mutex<HashMap<Arc<str>, Instant>>,
}

impl Recent {
    pub(crate) fn within(time: Duration) -> Self {
        Self { time, users: Mutex::default() }
    }

    /// Whether this one was noted within the time.
    pub(crate) fn has(&self, user: &str, now: Instant) -> bool {
        self.users.lock().get(user).is_some_and(|noted| now.duration_since(*noted) < self.time)
    }

    /// Notes this one, unless that was done within the time. Returns whether it was not.
    pub(crate) fn note(&self, user: &Arc<str>, now: Instant) -> bool {
        let mut users = self.users.lock();
        if users.get(user).is_some_and(|noted| now.duration_since(*noted) < self.time) {
            return false;
        }
        if users.len() >= KEPT_MAX {
            users.retain(|_, noted| now.duration_since(*noted) < self.time);
        }
        if users.len() >= KEPT_MAX {
            users.clear();
        }
        users.insert(user.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_noted_twice_within_the_time() {
        let time = Duration::from_secs(20);
        let (recent, now) = (Recent::within(time), Instant::now());
        let (ann, bob) = ("ann".into(), "bob".into());
        assert!(!recent.has("ann", now));
        assert!(recent.note(&ann, now) && recent.note(&bob, now));
        assert!(!recent.note(&ann, now + time / 2) && recent.has("ann", now + time / 2));
        assert!(!recent.has("ann", now + time) && recent.note(&ann, now + time));
    }

    #[test]
    fn memory_is_bounded() {
        let (recent, now) = (Recent::within(Duration::from_secs(20)), Instant::now());
        for n in 0..=KEPT_MAX {
            recent.note(&n.to_string().into(), now);
        }
        assert!(recent.users.lock().len() <= KEPT_MAX);
    }
}
