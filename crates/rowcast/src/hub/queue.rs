//! What waits for one client: frames in log order, bounded in bytes.
//!
//! When it is full, everything in it is dropped, and the session reads the log from where the queue began: a slow
//! client costs its own catching up, and nobody's memory.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

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
            Self::Frame(_, frame) | Self::Ephemeral(frame) => frame.len() + PLACE,
            Self::Evicted(_) => PLACE,
        }
    }
}

/// A session's queue; the hub pushes, the session takes.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    wake: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
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
        Self { state: Mutex::default(), wake: Notify::new(), bytes_max }
    }

    /// Adds a frame or an eviction. Returns whether it was queued: not if the client is behind.
    pub(super) fn push(&self, subscription: SubscriptionKey, kind: ItemKind) -> bool {
        let mut state = self.state.lock();
        if state.behind.is_some() {
            return false;
        }
        let bytes = kind.bytes();
        if state.bytes + bytes > self.bytes_max {
            return self.overflow(&mut state, subscription, kind);
        }
        state.bytes += bytes;
        let first = state.items.is_empty();
        state.items.push_back(Item { subscription, kind });
        drop(state);
        if first {
            self.wake.notify_one();
        }
        true
    }

    /// An ephemeral frame is dropped and counted; anything else puts the session behind.
    fn overflow(&self, state: &mut State, subscription: SubscriptionKey, kind: ItemKind) -> bool {
        let position = |kind: &ItemKind| match kind {
            ItemKind::Frame(position, _) => Some(before(*position)),
            ItemKind::Evicted(position) => Some(*position),
            ItemKind::Ephemeral(_) => None,
        };
        let Some(newest) = position(&kind) else {
            count(&mut state.skipped, subscription);
            return false;
        };
        let oldest = state.items.iter().find_map(|item| position(&item.kind));
        for item in state.items.drain(..) {
            if let ItemKind::Ephemeral(_) = item.kind {
                count(&mut state.skipped, item.subscription);
            }
        }
        state.bytes = 0;
        state.behind = Some(oldest.unwrap_or(newest));
        self.wake.notify_one();
        false
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

    /// Returns when there may be something to take. Dropping the future loses nothing.
    pub async fn ready(&self) {
        loop {
            let woken = self.wake.notified();
            {
                let state = self.state.lock();
                if !state.items.is_empty()
                    || state.behind.is_some()
                    || !state.skipped.is_empty()
                    || state.closing.is_some()
                {
                    return;
                }
            }
            woken.await;
        }
    }

    /// Drops what waits for a subscription that has ended.
    pub fn forget(&self, subscription: SubscriptionKey) {
        let mut state = self.state.lock();
        state.items.retain(|item| item.subscription != subscription);
        state.bytes = state.items.iter().map(|item| item.kind.bytes()).sum();
        state.skipped.retain(|(key, _)| *key != subscription);
    }

    /// Takes frames again: of those subscriptions that join from now on.
    pub(super) fn begin_anew(&self) {
        self.state.lock().behind = None;
    }

    /// Asks the session to say goodbye.
    pub fn close(&self, closing: Closing) {
        self.state.lock().closing.get_or_insert(closing);
        self.wake.notify_one();
    }

    /// Bytes that wait, and whether the client is behind.
    pub fn status(&self) -> (usize, bool) {
        let state = self.state.lock();
        (state.bytes, state.behind.is_some())
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
