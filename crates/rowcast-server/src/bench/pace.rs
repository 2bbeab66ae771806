//! When each change is due, and how the highest rate that is sustained is looked for. No clock of its own.

use std::time::Duration;

/// So many times the interval between the highest rate that went well and the lowest that did not is cut.
const CUTS: u32 = 4;
/// A rate is multiplied by this until one fails.
const GROWTH: f64 = 4.0;

/// A schedule that does not wait for anybody: what comes late is late by all that it waited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Each second.
    pub(crate) rate: f64,
}

impl Pace {
    /// When number `n` is due, from the start.
    pub(crate) fn due(self, n: u64) -> Duration {
        Duration::from_secs_f64(n as f64 / self.rate)
    }

    /// How many fall into `seconds`; at least one.
    pub(crate) fn count(self, seconds: f64) -> u64 {
        ((self.rate * seconds).round() as u64).max(1)
    }
}

/// Raises a rate until it is not sustained, and then closes in.
#[derive(Debug)]
pub(crate) struct Search {
    next: f64,
    max: f64,
    sustained: Option<f64>,
    failed: Option<f64>,
    cuts: u32,
}

impl Search {
    pub(crate) fn new(first: f64, max: f64) -> Self {
        Self { next: first, max, sustained: None, failed: None, cuts: CUTS }
    }

    /// The rate to try, or `None` when it is known well enough.
    pub(crate) fn next(&self) -> Option<f64> {
        let reached = self.sustained.is_some_and(|rate| rate >= self.max);
        (self.cuts > 0 && !reached && self.next >= 0.5).then_some(self.next)
    }

    /// What became of `rate`.
    pub(crate) fn tell(&mut self, rate: f64, sustained: bool) {
        match sustained {
            true => self.sustained = Some(rate),
            false => self.failed = Some(rate),
        }
        self.next = match (self.sustained, self.failed) {
            (Some(low), None) => (low * GROWTH).min(self.max),
            (None, Some(high)) => high / GROWTH,
            (Some(low), Some(high)) => {
                self.cuts -= 1;
                (low * high).sqrt()
            }
            (None, None) => self.next,
        };
    }

    /// Whether no rate failed: the server can do more than was asked for.
    pub(crate) fn unlimited(&self) -> bool {
        self.failed.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(first: f64, max: f64, limit: f64) -> (Option<f64>, usize) {
        let mut search = Search::new(first, max);
        let mut steps = 0;
        while let Some(rate) = search.next() {
            search.tell(rate, rate <= limit);
            steps += 1;
            assert!(steps < 40, "it ends");
        }
        (search.sustained, steps)
    }

    #[test]
    fn due_times_keep_to_the_schedule_without_adding_up_errors() {
        let pace = Pace { rate: 3.0 };
        assert_eq!(pace.due(0), Duration::ZERO);
        assert_eq!(pace.due(3_000_000), Duration::from_secs(1_000_000));
        assert_eq!((pace.count(10.0), Pace { rate: 0.1 }.count(1.0)), (30, 1));
    }

    #[test]
    fn a_limit_is_found_from_both_sides() {
        for limit in [3.0, 60.0, 96.0, 1000.0, 33_333.0] {
            let (rate, _) = found(50.0, 1e6, limit);
            let rate = rate.expect("found");
            assert!(rate <= limit && rate > limit * 0.8, "{limit}: {rate}");
        }
    }

    #[test]
    fn it_ends_at_the_highest_rate_and_where_nothing_is_sustained() {
        assert_eq!(found(50.0, 300.0, f64::INFINITY).0, Some(300.0));
        assert_eq!(found(50.0, 300.0, 0.0).0, None);
    }
}
