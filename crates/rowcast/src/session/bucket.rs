//! A token bucket: so many in a second, and a burst at once.
//!
//! Owns no clock; leaves what waits, and what is refused, to `gate`.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Tokens come at a rate, and are kept up to a burst.
#[derive(Debug)]
pub(super) struct Bucket {
    /// In a second; 0: no limit.
    rate: f64,
    burst: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Below nothing when tokens were taken on credit.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket. With a rate of 0 there is always a token.
    pub(super) fn new(per_second: f64, burst: f64, now: Instant) -> Self {
        let burst = burst.max(1.0);
        Self { rate: per_second, burst, state: Mutex::new(State { tokens: burst, at: now }) }
    }

    /// Tokens in a second; `None` where there is no limit.
    pub(super) fn rate(&self) -> Option<f64> {
        (self.rate > 0.0).then_some(self.rate)
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&self, now: Instant) -> bool {
        if self.rate <= 0.0 {
            return true;
        }
        let mut state = self.state.lock();
        self.fill(&mut state, now);
        let there = state.tokens >= 1.0;
        if there {
            state.tokens -= 1.0;
        }
        there
    }

    /// Takes so many tokens, on credit where they are not there; returns after what time the debt is paid.
    ///
    /// Whoever takes next waits for the debts of all before: those who wait go in order, and at the rate.
    pub(super) fn charge(&self, tokens: f64, now: Instant) -> Duration {
        if self.rate <= 0.0 {
            return Duration::ZERO;
        }
        let mut state = self.state.lock();
        self.fill(&mut state, now);
        state.tokens -= tokens;
        self.until_paid(&state)
    }

    /// After what time there is a token.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        if self.rate <= 0.0 {
            return Duration::ZERO;
        }
        let mut state = self.state.lock();
        self.fill(&mut state, now);
        Duration::try_from_secs_f64((1.0 - state.tokens) / self.rate).unwrap_or_default()
    }

    /// Whether it is as if nothing had ever been taken.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        if self.rate <= 0.0 {
            return true;
        }
        let mut state = self.state.lock();
        self.fill(&mut state, now);
        state.tokens >= self.burst
    }

    /// After what time nothing is owed.
    pub(super) fn owed(&self, now: Instant) -> Duration {
        if self.rate <= 0.0 {
            return Duration::ZERO;
        }
        let mut state = self.state.lock();
        self.fill(&mut state, now);
        self.until_paid(&state)
    }

    fn until_paid(&self, state: &State) -> Duration {
        Duration::from_secs_f64((-state.tokens / self.rate).max(0.0))
    }

    fn fill(&self, state: &mut State, now: Instant) {
        let passed = now.saturating_duration_since(state.at);
        state.tokens = (state.tokens + passed.as_secs_f64() * self.rate).min(self.burst);
        state.at = state.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_in_at_once_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let bucket = Bucket::new(10.0, 5.0, start);
        let taken = |from: Duration| (0..100).filter(|_| bucket.take(start + from)).count();
        assert_eq!(taken(Duration::ZERO), 5);
        assert_eq!(taken(Duration::from_millis(250)), 2);
        assert_eq!(taken(Duration::from_secs(60)), 5, "no more than a burst is kept");
        assert_eq!(taken(Duration::from_secs(30)), 0, "a clock that goes back gives nothing");
    }

    #[test]
    fn who_takes_on_credit_waits_for_the_debt_and_for_those_before() {
        let start = Instant::now();
        let bucket = Bucket::new(100.0, 10.0, start);
        assert_eq!(bucket.charge(10.0, start), Duration::ZERO);
        assert_eq!(bucket.charge(50.0, start), Duration::from_millis(500));
        assert_eq!(bucket.charge(50.0, start), Duration::from_secs(1));
        assert_eq!(bucket.owed(start + Duration::from_millis(600)), Duration::from_millis(400));
        assert_eq!(bucket.owed(start + Duration::from_secs(2)), Duration::ZERO);
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        let now = Instant::now();
        let bucket = Bucket::new(0.0, 0.0, now);
        assert!((0..1_000).all(|_| bucket.take(now)));
        assert_eq!(bucket.charge(1e12, now), Duration::ZERO);
    }
}
