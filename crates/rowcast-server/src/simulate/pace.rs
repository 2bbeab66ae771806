//! Records as they become due.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::chance::{For, below};
use super::record::Records;

/// Waits for one record after the other, beginning anywhere.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    records: Arc<Records>,
    /// Nanoseconds since 1970 when record 0 is due.
    start: u64,
    /// How much later than due a record may come, in nanoseconds.
    jitter: u64,
    next: u64,
    /// The first one that does not come any more.
    end: u64,
}

impl Pace {
    /// On a clock of its own: record `first` is due now.
    pub(super) fn from_now(records: Arc<Records>, jitter: Duration, first: u64, count: Option<u64>) -> Self {
        let start = now().saturating_sub(records.schedule.due(first));
        Self { records, start, jitter: nanos(jitter), next: first, end: count.unwrap_or(u64::MAX) }
    }

    /// On a common clock: from record `first`, or from the next one that is due.
    pub(super) fn since(
        start: u64,
        records: Arc<Records>,
        jitter: Duration,
        first: Option<u64>,
        count: Option<u64>,
    ) -> Self {
        let due = || now().checked_sub(start).map_or(0, |elapsed| records.schedule.count_by(elapsed));
        let next = first.unwrap_or_else(due);
        Self { records, start, jitter: nanos(jitter), next, end: count.unwrap_or(u64::MAX) }
    }

    /// The records that have become due, at most so many; waits for one. `None` when there are no more.
    pub(super) async fn next(&mut self, most: u64) -> Option<Range<u64>> {
        if self.is_over() {
            return None;
        }
        while let Some(wait) = self.at(self.next).checked_sub(now()).filter(|wait| *wait > 0) {
            tokio::time::sleep(Duration::from_nanos(wait)).await;
        }
        let (first, limit) = (self.next, self.next.saturating_add(most).min(self.end));
        let now = now();
        self.next += 1;
        while self.next < limit && self.at(self.next) <= now {
            self.next += 1;
        }
        Some(first..self.next)
    }

    /// Whether the last record has come.
    pub(super) fn is_over(&self) -> bool {
        self.next >= self.end
    }

    /// Milliseconds since 1970 when record `n` is due, which is its time.
    pub(super) fn time_ms(&self, n: u64) -> u64 {
        (self.start + self.records.schedule.due(n)) / 1_000_000
    }

    /// Nanoseconds since 1970 when record `n` is sent.
    fn at(&self, n: u64) -> u64 {
        let late = if self.jitter == 0 { 0 } else { below(self.jitter, self.records.seed, n, For::Jitter) };
        self.start.saturating_add(self.records.schedule.due(n)).saturating_add(late)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds since 1970.
pub(super) fn now() -> u64 {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
