//! How long to wait before the next attempt: at random up to a bound that doubles, so that many do not come back at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(5);

/// Full jitter between nothing and a bound from 0.25 s to 5 s.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    bound: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: FIRST, bound: FIRST }
    }
}

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.bound.mul_f64(rand::random::<f64>());
        self.bound = (self.bound * 2).min(MOST.max(self.first));
        pause
    }

    /// The source is well again.
    pub(super) fn reset(&mut self) {
        self.bound = self.first;
    }

    /// The source's own wish, as far as it is reasonable.
    pub(super) fn at_least(&mut self, wish: Duration) {
        self.first = wish.clamp(FIRST, Duration::from_secs(60));
        self.bound = self.bound.max(self.first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_to_five_seconds_and_falls_back() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            let bound = backoff.bound;
            assert!(backoff.next() <= bound);
        }
        assert_eq!(backoff.bound, MOST);
        backoff.reset();
        assert_eq!(backoff.bound, FIRST);
        backoff.at_least(Duration::from_secs(3_600));
        assert_eq!(backoff.bound, Duration::from_secs(60));
    }
}
