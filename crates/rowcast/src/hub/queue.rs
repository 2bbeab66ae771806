//! What waits for one client: frames in log order, bounded in bytes.
//!
//! When it is full, everything in it is dropped, and the session reads the log from where the queue began: a slow
//! client costs its own catching up, and nobody's memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::conflate::{Conflated, Flush, Part, Waiting};
use crate::event::{Offset, Position};

/// Names a subscription within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionKey(pub u32);

/// One thing that the hub has for a session.
#[derive(Debug, Clone)]
pub struct Item {
    /// Whose it is.
    pub subscription: SubscriptionKey,
    /// What it is.
    pub kind: ItemKind,
}

/// See [`Item`].
#[derive(Debug, Clone)]
pub enum ItemKind {
    /// A frame about the event at this position.
    Frame(Position, Bytes),
    /// Frames about events from one position to another.
    Frames {
        /// Of the first of them.
        first: Position,
        /// Of the last.
        last: Position,
        /// One behind the other.
        bytes: Bytes,
    },
    /// A frame that is not in the log.
    Ephemeral(Bytes),
    /// The hub no longer carries this subscription: it goes on by reading the log after this position.
    Evicted(Position),
}

impl ItemKind {
    fn bytes(&self) -> usize {
        // What a place in the queue costs beside the shared bytes.
        const PLACE: usize = size_of::<Item>();
        match self {
            Self::Frame(_, bytes) | Self::Frames { bytes, .. } | Self::Ephemeral(bytes) => bytes.len() + PLACE,
            Self::Evicted(_) => PLACE,
        }
    }
}

/// A session's queue; the hub pushes, the session takes.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    wake: AtomicWaker,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    /// What waits on subscriptions that conflate, where there are any.
    waiting: Option<Box<Waiting>>,
    /// The session has to read the log after this position; nothing is queued until it has rejoined.
    behind: Option<Position>,
    skipped: Vec<(SubscriptionKey, u64)>,
    /// Why the gateway wants the connection closed.
    closing: Option<Closing>,
}

/// A connection that the gateway ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// `shutdown`, …
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// When the client should come back.
    pub retry_ms: u64,
}

/// What a session finds when it looks.
#[derive(Debug, Default)]
pub struct Taken {
    /// In log order.
    pub items: VecDeque<Item>,
    /// Set when the queue overflowed: read the log after this.
    pub behind: Option<Position>,
    /// Ephemeral messages that were dropped, by subscription.
    pub skipped: Vec<(SubscriptionKey, u64)>,
    /// Set when the connection is to be ended.
    pub closing: Option<Closing>,
}

impl Queue {
    /// An empty queue that holds at most `bytes_max` bytes of frames.
    pub fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), wake: AtomicWaker::new(), bytes_max }
    }

    /// Adds a frame or an eviction. Returns whether it was queued: not if the client is behind.
    pub(super) fn push(&self, subscription: SubscriptionKey, kind: ItemKind) -> bool {
        let mut state = self.state.lock();
        if state.behind.is_some() {
            return false;
        }
        let (bytes, kind) = (kind.bytes(), state.with_conflated(subscription, kind));
        if state.held() + bytes > self.bytes_max {
            return self.overflow(&mut state, subscription, kind);
        }
        state.bytes += bytes;
        let first = state.items.is_empty();
        state.items.push_back(Item { subscription, kind });
        drop(state);
        if first {
            self.wake.wake();
        }
        true
    }

    /// An ephemeral frame is dropped and counted; anything else puts the session behind.
    fn overflow(&self, state: &mut State, subscription: SubscriptionKey, kind: ItemKind) -> bool {
        let position = |kind: &ItemKind| match kind {
            ItemKind::Frame(first, _) | ItemKind::Frames { first, .. } => Some(before(*first)),
            ItemKind::Evicted(position) => Some(*position),
            ItemKind::Ephemeral(_) => None,
        };
        let Some(newest) = position(&kind) else {
            count(&mut state.skipped, subscription);
            return false;
        };
        let conflated = state.waiting.take().and_then(|waiting| waiting.oldest());
        let queued = state.items.iter().find_map(|item| position(&item.kind));
        let oldest = [conflated.map(before), queued].into_iter().flatten().min();
        for item in state.items.drain(..) {
            if let ItemKind::Ephemeral(_) = item.kind {
                count(&mut state.skipped, item.subscription);
            }
        }
        state.bytes = 0;
        // What is conflated may be newer than what comes now: frames are held for a moment.
        state.behind = Some(oldest.map_or(newest, |oldest| oldest.min(newest)));
        self.wake.wake();
        false
    }

    /// Adds a change for a subscription that conflates. Returns whether it was taken: not if the client is behind.
    pub(super) fn conflate(&self, subscription: SubscriptionKey, part: Arc<Part>, last: bool) -> bool {
        let position = part.position();
        self.wait(subscription, position, |waiting| waiting.push(subscription, part, last))
    }

    /// Ends, for a subscription that conflates, a transaction of which it has seen a part.
    pub(super) fn end(&self, subscription: SubscriptionKey, position: Position, tx: u64) {
        self.wait(subscription, position, |waiting| waiting.end(subscription, position, tx, true));
    }

    fn wait(&self, subscription: SubscriptionKey, at: Position, add: impl FnOnce(&mut Waiting) -> bool) -> bool {
        let mut state = self.state.lock();
        if state.behind.is_some() {
            return false;
        }
        let wake = add(state.waiting.get_or_insert_default());
        // Reducing goes through all that waits, so it has to make room for a while.
        let enough = self.bytes_max / 4 * 3;
        if state.held() > self.bytes_max && !(state.reduce() && state.held() <= enough) {
            return self.overflow(&mut state, subscription, ItemKind::Evicted(before(at)));
        }
        drop(state);
        if wake {
            self.wake.wake();
        }
        true
    }

    /// Takes what waits on subscriptions that conflate, as far as `is_due` says so.
    pub fn take_conflated(
        &self,
        is_due: impl FnMut(SubscriptionKey, &Conflated) -> bool,
    ) -> Vec<(SubscriptionKey, Flush)> {
        self.state.lock().waiting.as_mut().map_or_else(Vec::new, |waiting| waiting.take(is_due))
    }

    /// Takes up to about `bytes_max` bytes of what is there; never waits.
    pub fn take(&self, bytes_max: usize) -> Taken {
        let mut state = self.state.lock();
        let mut taken = Taken {
            behind: state.behind,
            skipped: std::mem::take(&mut state.skipped),
            closing: state.closing.clone(),
            items: VecDeque::new(),
        };
        // The usual case. It also gives the memory back that a burst has taken.
        if state.bytes <= bytes_max {
            state.bytes = 0;
            taken.items = std::mem::take(&mut state.items);
            return taken;
        }
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(item) = state.items.pop_front()
        {
            bytes += item.kind.bytes();
            taken.items.push_back(item);
        }
        state.bytes -= bytes;
        taken
    }

    /// Ready when there may be something to take. One task waits at a time.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.wake.register(cx.waker());
        let state = self.state.lock();
        let idle = state.items.is_empty()
            && state.behind.is_none()
            && state.skipped.is_empty()
            && state.closing.is_none()
            && state.waiting.as_ref().is_none_or(|waiting| !waiting.has_news());
        if idle { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Drops what waits for a subscription that has ended.
    pub fn forget(&self, subscription: SubscriptionKey) {
        let mut state = self.state.lock();
        state.items.retain(|item| item.subscription != subscription);
        state.bytes = state.items.iter().map(|item| item.kind.bytes()).sum();
        state.skipped.retain(|(key, _)| *key != subscription);
        if let Some(waiting) = &mut state.waiting {
            waiting.remove(subscription);
        }
    }

    /// Takes frames again: of those subscriptions that join from now on.
    pub(super) fn begin_anew(&self) {
        self.state.lock().behind = None;
    }

    /// Asks the session to say goodbye.
    pub fn close(&self, closing: Closing) {
        self.state.lock().closing.get_or_insert(closing);
        self.wake.wake();
    }

    /// Bytes that wait, and whether the client is behind.
    pub fn status(&self) -> (usize, bool) {
        let state = self.state.lock();
        (state.held(), state.behind.is_some())
    }
}

impl State {
    /// Bytes of all that waits.
    fn held(&self) -> usize {
        self.bytes + self.waiting.as_ref().map_or(0, |waiting| waiting.bytes())
    }

    fn reduce(&mut self) -> bool {
        self.waiting.as_mut().is_some_and(|waiting| waiting.reduce())
    }

    /// A subscription that is evicted reads the log from before what it has not been told.
    fn with_conflated(&mut self, subscription: SubscriptionKey, kind: ItemKind) -> ItemKind {
        let (ItemKind::Evicted(position), Some(waiting)) = (&kind, &mut self.waiting) else { return kind };
        let oldest = waiting.remove(subscription).map_or(*position, before);
        ItemKind::Evicted(oldest.min(*position))
    }
}

fn before(position: Position) -> Position {
    Position { epoch: position.epoch, offset: Offset(position.offset.0.saturating_sub(1)) }
}

fn count(skipped: &mut Vec<(SubscriptionKey, u64)>, subscription: SubscriptionKey) {
    match skipped.iter_mut().find(|(key, _)| *key == subscription) {
        Some((_, n)) => *n += 1,
        None => skipped.push((subscription, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SubscriptionKey = SubscriptionKey(1);

    fn frame(offset: u64, bytes: usize) -> ItemKind {
        ItemKind::Frame(Position::new(1, offset), vec![0; bytes].into())
    }

    #[test]
    fn a_full_queue_is_dropped_and_says_where_it_began() {
        let queue = Queue::new(1000);
        assert!(queue.push(A, frame(5, 300)));
        assert!(queue.push(A, frame(6, 300)));
        assert!(!queue.push(A, frame(7, 900)));
        assert!(!queue.push(A, frame(8, 1)), "nothing is queued while the client is behind");
        let taken = queue.take(usize::MAX);
        assert!(taken.items.is_empty());
        assert_eq!(taken.behind, Some(Position::new(1, 4)));
    }

    #[test]
    fn ephemeral_frames_never_put_a_client_behind() {
        let queue = Queue::new(500);
        assert!(queue.push(A, frame(5, 300)));
        assert!(!queue.push(A, ItemKind::Ephemeral(vec![0; 300].into())));
        let taken = queue.take(usize::MAX);
        assert_eq!((taken.items.len(), taken.behind, taken.skipped), (1, None, vec![(A, 1)]));
    }

    #[test]
    fn take_gives_no_more_than_asked_for_and_keeps_count() {
        let queue = Queue::new(100_000);
        for offset in 1..=10 {
            queue.push(A, frame(offset, 1000));
        }
        assert_eq!(queue.take(1500).items.len(), 2);
        assert_eq!(queue.take(usize::MAX).items.len(), 8);
        assert_eq!(queue.status(), (0, false));
    }
}
