//! How often somebody may try: a few times, then after waits that double.
//!
//! An attempt counts when it begins, so that a thousand at once are five, and is taken back when it was right.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// So many may be wrong without a wait, where nothing else is said.
const FREE: u32 = 5;

const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// So many that failed are remembered; then those are forgotten who have waited longest.
const KEPT_MAX: usize = 20_000;

/// Failed attempts, by whose they were.
#[derive(Debug)]
pub(super) struct Attempts<K> {
    failed: Mutex<HashMap<K, Failed>>,
    free: u32,
}

#[derive(Debug, Clone, Copy)]
struct Failed {
    times: u32,
    /// When there may be another.
    again: Instant,
}

impl<K> Default for Attempts<K> {
    fn default() -> Self {
        Self::with(FREE)
    }
}

impl<K> Attempts<K> {
    /// Where so many may be wrong without a wait.
    pub(super) fn with(free: u32) -> Self {
        Self { failed: Mutex::default(), free: free.max(1) }
    }
}

impl<K: Hash + Eq + Clone> Attempts<K> {
    /// Begins an attempt, or says how long to wait.
    pub(super) fn begin(&self, whose: &K, now: Instant) -> Result<(), Duration> {
        let mut all = self.failed.lock();
        if all.len() >= KEPT_MAX && !all.contains_key(whose) {
            make_room(&mut all, now);
        }
        let failed = all.entry(whose.clone()).or_insert(Failed { times: 0, again: now });
        if failed.again > now {
            return Err(failed.again - now);
        }
        // Who has not tried for so long begins anew.
        if now - failed.again > WAIT_MAX {
            failed.times = 0;
        }
        failed.times += 1;
        let doubled = Duration::from_secs(1 << failed.times.saturating_sub(self.free).min(20));
        failed.again = if failed.times < self.free { now } else { now + doubled.min(WAIT_MAX) };
        Ok(())
    }

    /// The attempt that was begun was right: those before it are forgotten.
    pub(super) fn forget(&self, whose: &K) {
        self.failed.lock().remove(whose);
    }

    /// The attempt that was begun does not count; those before it do.
    pub(super) fn take_back(&self, whose: &K, now: Instant) {
        if let Some(failed) = self.failed.lock().get_mut(whose) {
            failed.times = failed.times.saturating_sub(1);
            failed.again = now;
        }
    }
}

/// Forgets those whose wait is over, or else the half whose wait ends first.
fn make_room<K: Hash + Eq + Clone>(all: &mut HashMap<K, Failed>, now: Instant) {
    all.retain(|_, failed| failed.again + WAIT_MAX > now);
    if all.len() >= KEPT_MAX {
        let mut ends: Vec<Instant> = all.values().map(|failed| failed.again).collect();
        let middle = ends.len() / 2;
        let (_, middle, _) = ends.select_nth_unstable(middle);
        let middle = *middle;
        all.retain(|_, failed| failed.again > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_are_free_and_then_waits_double_up_to_a_quarter_of_an_hour() {
        let attempts = Attempts::default();
        let mut now = Instant::now();
        for _ in 0..5 {
            attempts.begin(&"ann", now).expect("free");
        }
        let mut waits = Vec::new();
        for _ in 0..13 {
            let wait = attempts.begin(&"ann", now).expect_err("a wait");
            attempts.begin(&"bob", now + wait / 2).expect("another's");
            attempts.forget(&"bob");
            waits.push(wait.as_secs());
            now += wait;
            attempts.begin(&"ann", now).expect("after the wait");
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        attempts.begin(&"ann", now + WAIT_MAX * 3).expect("after a long time");
        attempts.begin(&"ann", now + WAIT_MAX * 3).expect("which began anew");
    }

    #[test]
    fn what_was_right_is_no_failure() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..20 {
            attempts.begin(&1, now).expect("none has failed");
            attempts.take_back(&1, now);
        }
        for _ in 0..4 {
            attempts.begin(&1, now).expect("free");
        }
        attempts.begin(&1, now).expect("the fifth");
        attempts.take_back(&1, now);
        attempts.begin(&1, now).expect("the four before it still count");
        attempts.begin(&1, now).expect_err("which makes five");
        attempts.forget(&1);
        attempts.begin(&1, now).expect("forgotten");
    }

    #[test]
    fn memory_is_bounded() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..8 {
            let _ = attempts.begin(&0, now);
        }
        for n in 1..100_000 {
            attempts.begin(&n, now).expect("the first of each");
        }
        assert!(attempts.failed.lock().len() <= KEPT_MAX);
        attempts.begin(&0, now).expect_err("who has to wait longest is not forgotten");
    }
}
