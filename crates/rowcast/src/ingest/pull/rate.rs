//! How many rows a second, lately.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over how long.
const WINDOW: Duration = Duration::from_secs(10);
/// Counts that are this close together are one.
const STEP: Duration = Duration::from_millis(250);

/// How many there were lately.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    pub(super) fn add(&mut self, count: u64) {
        if count > 0 {
            self.add_at(Instant::now(), count);
        }
    }

    fn add_at(&mut self, now: Instant, count: u64) {
        self.forget(now);
        match self.0.back_mut() {
            Some((since, sum)) if now.saturating_duration_since(*since) < STEP => *sum += count,
            _ => self.0.push_back((now, count)),
        }
    }

    /// On average over ten seconds.
    pub(super) fn per_second(&mut self) -> f64 {
        self.per_second_at(Instant::now())
    }

    fn per_second_at(&mut self, now: Instant) -> f64 {
        self.forget(now);
        self.0.iter().map(|(_, count)| *count as f64).sum::<f64>() / WINDOW.as_secs_f64()
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) > WINDOW) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_longer_ago_than_ten_seconds_does_not_count() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        rate.add_at(start, 50);
        rate.add_at(start + Duration::from_secs(6), 50);
        assert_eq!(rate.per_second_at(start + Duration::from_secs(8)), 10.0);
        assert_eq!(rate.per_second_at(start + Duration::from_secs(13)), 5.0);
        assert_eq!(rate.per_second_at(start + Duration::from_secs(30)), 0.0);
    }
}
