//! How much of the past a log keeps.
//!
//! Decides; leaves deleting to the logs.

use std::time::Duration;

/// How much is kept. An event leaves as soon as any limit says so; `None` is no limit.
///
/// [`LocalLog`](super::local::LocalLog) deletes whole segments, each about an eighth of the smallest limit, so that up to that much
/// more than `age` and `events` is kept, and that much less than `bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events are kept at least this long.
    pub age: Option<Duration>,
    /// At least the newest so many events are kept.
    pub events: Option<u64>,
    /// At most so many bytes are kept, unless one batch alone has more.
    pub bytes: Option<u64>,
}

impl Default for Retention {
    /// 24 hours, at most 1 GiB.
    fn default() -> Self {
        Self { age: Some(Duration::from_secs(24 * 60 * 60)), events: None, bytes: Some(1 << 30) }
    }
}

/// A stretch of the log that can be deleted as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// When its last event was appended, or later.
    pub(crate) ended_ms: u64,
}

/// What is kept in any case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newest {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl Retention {
    /// How many of `stretches`, which are oldest first, have to go.
    pub(crate) fn surplus(&self, stretches: &[Stretch], newest: Newest, now_ms: u64) -> usize {
        let mut events = newest.events + stretches.iter().map(|s| s.events).sum::<u64>();
        let mut bytes = newest.bytes + stretches.iter().map(|s| s.bytes).sum::<u64>();
        let goes = |stretch: &Stretch| {
            let gone = self.age.is_some_and(|age| now_ms.saturating_sub(stretch.ended_ms) as u128 > age.as_millis())
                || self.events.is_some_and(|max| events - stretch.events >= max)
                || self.bytes.is_some_and(|max| bytes > max);
            events -= stretch.events;
            bytes -= stretch.bytes;
            gone
        };
        stretches.iter().copied().take_while(goes).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Retention = Retention { age: None, events: None, bytes: None };
    const NEWEST: Newest = Newest { events: 5, bytes: 50 };

    fn stretches() -> Vec<Stretch> {
        (1..=4).map(|n| Stretch { events: 10, bytes: 100, ended_ms: n * 1_000 }).collect()
    }

    #[track_caller]
    fn check(retention: Retention, now_ms: u64, surplus: usize) {
        assert_eq!(retention.surplus(&stretches(), NEWEST, now_ms), surplus);
    }

    #[test]
    fn without_limits_everything_is_kept() {
        check(NONE, u64::MAX, 0);
    }

    #[test]
    fn events_are_kept_for_their_age() {
        let retention = Retention { age: Some(Duration::from_secs(2)), ..NONE };
        check(retention, 3_000, 0);
        check(retention, 3_001, 1);
        check(retention, 60_000, 4);
    }

    #[test]
    fn the_newest_events_are_kept() {
        check(Retention { events: Some(45), ..NONE }, 0, 0);
        check(Retention { events: Some(35), ..NONE }, 0, 1);
        check(Retention { events: Some(34), ..NONE }, 0, 1);
        check(Retention { events: Some(0), ..NONE }, 0, 4);
    }

    #[test]
    fn no_more_bytes_than_allowed_are_kept() {
        check(Retention { bytes: Some(450), ..NONE }, 0, 0);
        check(Retention { bytes: Some(449), ..NONE }, 0, 1);
        check(Retention { bytes: Some(0), ..NONE }, 0, 4);
    }
}
