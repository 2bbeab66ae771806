//! Gates against a herd: how many clients are let in, how many snapshots are begun, and how much of the log is read for those who
//! catch up, so that whoever is live stays live while ten thousand come back at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::bucket::Bucket;
use super::node::Limits;
use crate::protocol::{Code, Problem};

/// The longest that a client is told to stay away: who comes after so many is told anything up to it.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// Where handshakes have no limit, clients that were sent away are expected back at this rate.
const RETURNS_PER_SECOND: f64 = 5_000.0;
/// Clients come back of themselves, too: so much of the rate is given to those who were told when.
const TOLD: f64 = 0.8;

/// All gates of a node.
#[derive(Debug)]
pub(super) struct Gates {
    pub(super) handshakes: Handshakes,
    pub(super) snapshots: Snapshots,
    pub(super) replays: Replays,
}

impl Gates {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            handshakes: Handshakes::new(limits, Instant::now()),
            snapshots: Snapshots::new(limits),
            replays: Replays::new(limits),
        }
    }
}

/// New sessions. Who is refused is told when there will be room: each something else.
#[derive(Debug)]
pub(super) struct Handshakes {
    bucket: Bucket,
    /// Up to here, places were promised to those who were refused.
    promised: parking_lot::Mutex<Instant>,
}

impl Handshakes {
    fn new(limits: &Limits, now: Instant) -> Self {
        let bucket = Bucket::new(limits.handshakes_per_second.into(), limits.handshakes_burst.into(), now);
        Self { bucket, promised: parking_lot::Mutex::new(now) }
    }

    /// Lets one in, or says after what time it should come back.
    pub(super) fn enter(&self, now: Instant) -> Result<(), Duration> {
        if self.bucket.take(now) { Ok(()) } else { Err(self.promise(now)) }
    }

    /// When one that is sent away now should come back: after those who were sent away before, at the rate at which they are let in.
    pub(super) fn promise(&self, now: Instant) -> Duration {
        let mut promised = self.promised.lock();
        let next = (*promised).max(now) + Duration::from_secs_f64(1.0 / self.returns());
        if next > now + AWAY_MAX {
            return AWAY_MAX.mul_f64(rand::random_range(0.5..1.0));
        }
        *promised = next;
        next - now
    }

    /// Over what time so many clients come back without being refused.
    pub(super) fn window(&self, clients: usize) -> Duration {
        Duration::from_secs_f64(clients as f64 / self.returns()).min(AWAY_MAX)
    }

    fn returns(&self) -> f64 {
        self.bucket.rate().unwrap_or(RETURNS_PER_SECOND) * TOLD
    }
}

/// The `number`th of the delays that fill a window evenly, however many of them are taken: no two are equal.
pub(super) fn staggered(number: usize, window: Duration) -> Duration {
    // The golden ratio: each next one falls into the largest gap.
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    window.mul_f64((number as f64 * GOLDEN).fract())
}

/// Snapshots: so many at once, so many begun in a second; the others wait, up to a number of them.
#[derive(Debug)]
pub(super) struct Snapshots {
    at_once: Semaphore,
    bucket: Bucket,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// A snapshot may be read while this is held.
#[derive(Debug)]
pub struct SnapshotPermit<'a> {
    _at_once: SemaphorePermit<'a>,
}

impl Snapshots {
    fn new(limits: &Limits) -> Self {
        let per_second = f64::from(limits.snapshots_per_second);
        Self {
            at_once: Semaphore::new(limits.snapshots),
            bucket: Bucket::new(per_second, per_second, Instant::now()),
            waiting: AtomicUsize::new(0),
            waiting_max: limits.snapshots_waiting,
        }
    }

    /// Waits for its turn; refused where too many wait already. Dropping the future gives the turn up.
    pub(super) async fn enter(&self) -> Result<SnapshotPermit<'_>, Problem> {
        let place = Place::take(&self.waiting);
        if place.number > self.waiting_max {
            metrics::counter!("rowcast_snapshots_refused_total").increment(1);
            let message = format!("{} snapshots wait already", self.waiting_max);
            let hint = "try again in a moment; limits.snapshots_waiting allows more";
            return Err(Problem::new(Code::Unavailable, message).hint(hint));
        }
        let permit = self.at_once.acquire().await.map_err(|_| Problem::new(Code::Unavailable, "the server stops"))?;
        let wait = self.bucket.charge(1.0, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(SnapshotPermit { _at_once: permit })
    }

    /// How many wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// One more in a number, for as long as it lives.
struct Place<'a> {
    all: &'a AtomicUsize,
    number: usize,
}

impl<'a> Place<'a> {
    fn take(all: &'a AtomicUsize) -> Self {
        Self { all, number: all.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Pieces of the log for those who catch up: so many at once, so many bytes in a second; the others wait.
#[derive(Debug)]
pub(super) struct Replays {
    at_once: Semaphore,
    bytes: Bucket,
    waiting: AtomicUsize,
}

/// A piece may be read while this is held.
pub(super) struct ReplayTurn<'a> {
    bytes: &'a Bucket,
    _at_once: Option<SemaphorePermit<'a>>,
}

impl ReplayTurn<'_> {
    /// So much was read.
    pub(super) fn read(self, bytes: usize) {
        metrics::counter!("rowcast_replay_bytes_total").increment(bytes as u64);
        self.bytes.charge(bytes as f64, Instant::now());
    }
}

impl Replays {
    fn new(limits: &Limits) -> Self {
        let per_second = limits.replay_bytes_per_second as f64;
        Self {
            at_once: Semaphore::new(limits.replays),
            bytes: Bucket::new(per_second, per_second, Instant::now()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for its turn. Whoever reads a large piece is not refused: those after it wait for longer.
    pub(super) async fn turn(&self) -> ReplayTurn<'_> {
        let _place = Place::take(&self.waiting);
        // Never closed.
        let permit = self.at_once.acquire().await.ok();
        let owed = self.bytes.owed(Instant::now());
        if !owed.is_zero() {
            tokio::time::sleep(owed).await;
        }
        ReplayTurn { bytes: &self.bytes, _at_once: permit }
    }

    /// How many wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn handshakes(per_second: u32, burst: u32) -> (Handshakes, Instant) {
        let now = Instant::now();
        let limits = Limits { handshakes_per_second: per_second, handshakes_burst: burst, ..Limits::default() };
        (Handshakes::new(&limits, now), now)
    }

    #[test]
    fn ten_thousand_at_once_come_back_at_the_rate_and_all_get_in() {
        let (gate, start) = handshakes(1_000, 2_000);
        // When each of them comes; all at first, and then when they were told to.
        let mut coming: BTreeSet<(Instant, u32)> = (0..10_000).map(|client| (start, client)).collect();
        let (mut entered, mut refused, mut last) = (0, 0, start);
        while let Some((at, client)) = coming.pop_first() {
            match gate.enter(at) {
                Ok(()) => (entered, last) = (entered + 1, at),
                Err(wait) => {
                    refused += 1;
                    coming.insert((at + wait, client));
                }
            }
        }
        assert_eq!(entered, 10_000);
        // Each is refused once: it comes back when there is room.
        assert_eq!(refused, 8_000);
        assert_eq!((last - start).as_secs(), 10);
    }

    #[test]
    fn nobody_is_sent_away_for_long() {
        let (gate, now) = handshakes(1, 1);
        assert_eq!(gate.enter(now), Ok(()));
        for _ in 0..1_000 {
            assert!(gate.enter(now).expect_err("full") <= AWAY_MAX);
        }
    }

    #[test]
    fn the_delays_fill_their_window_and_no_two_are_equal() {
        for clients in [1_usize, 7, 500, 10_000] {
            let window = Duration::from_secs(10);
            let delays: BTreeSet<_> = (0..clients).map(|number| staggered(number, window)).collect();
            assert_eq!(delays.len(), clients);
            assert!(delays.iter().all(|delay| *delay < window));
            let gaps = delays.iter().zip(delays.iter().skip(1)).map(|(a, b)| *b - *a);
            let fair = window / clients as u32;
            assert!(gaps.max().is_none_or(|gap| gap < fair * 3), "no gap is much larger than the others");
        }
    }

    #[tokio::test]
    async fn snapshots_wait_in_a_queue_with_an_end() {
        let limits = Limits { snapshots: 1, snapshots_waiting: 2, ..Limits::default() };
        let gate = Snapshots::new(&limits);
        let first = gate.enter().await.expect("the first");
        let mut second = Box::pin(gate.enter());
        let mut third = Box::pin(gate.enter());
        assert!(futures_util::poll!(&mut second).is_pending() && futures_util::poll!(&mut third).is_pending());
        let refused = gate.enter().await.expect_err("the queue is full");
        assert_eq!((refused.code, gate.waiting()), (Code::Unavailable, 2));
        drop(third);
        assert_eq!(gate.waiting(), 1, "who gives up leaves the queue");
        drop(first);
        second.await.expect("its turn");
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test]
    async fn a_large_replay_makes_the_next_wait() {
        let limits = Limits { replays: 1, replay_bytes_per_second: 1_000, ..Limits::default() };
        let gate = Replays::new(&limits);
        gate.turn().await.read(1_000_000);
        assert!(gate.bytes.owed(Instant::now()) > Duration::from_secs(900));
        let mut next = Box::pin(gate.turn());
        assert!(futures_util::poll!(&mut next).is_pending());
        assert_eq!(gate.waiting(), 1);
    }
}
