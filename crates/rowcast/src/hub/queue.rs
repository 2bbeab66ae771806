//! What waits for one client: frames in log order, bounded in bytes.
//!
//! When it is full, everything in it is dropped, and the session reads the log from where the queue began: a slow
//! client costs its own catching up, and nobody's memory.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::conflate::{Conflated, Flush, Part, Waiting};
use super::lane::Lane;
use crate::event::{Offset, Position};

/// Places for items that an idle queue keeps.
const ITEMS_KEPT: usize = 4;

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
    /// The connection, where the hub may write to it.
    lane: OnceLock<Arc<Lane>>,
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It was not queued: the client is behind.
    Dropped,
    /// It waits with others, or its session has been woken.
    Queued,
    /// It is the first: the queue is to be [flushed](Queue::flush).
    First,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    /// Up to where the hub has written by itself, by subscription, in the order of the keys.
    told: Vec<(SubscriptionKey, Position)>,
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
    /// Up to where clients were told without the session, by subscription.
    pub told: Vec<(SubscriptionKey, Position)>,
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
        Self { state: Mutex::default(), wake: AtomicWaker::new(), bytes_max, lane: OnceLock::new() }
    }

    /// Lets the hub write to the client's connection whenever it is lent.
    pub fn carry(&self, lane: Arc<Lane>) {
        // There is one connection for each session.
        let _ = self.lane.set(lane);
    }

    /// The connection that the hub may write to.
    pub fn lane(&self) -> Option<&Arc<Lane>> {
        self.lane.get()
    }

    /// Adds a frame or an eviction.
    pub(super) fn push(&self, subscription: SubscriptionKey, kind: ItemKind) -> Pushed {
        let mut state = self.state.lock();
        if state.behind.is_some() {
            return Pushed::Dropped;
        }
        let (bytes, kind) = (kind.bytes(), state.with_conflated(subscription, kind));
        if state.held() + bytes > self.bytes_max {
            self.overflow(&mut state, subscription, kind);
            return Pushed::Dropped;
        }
        state.bytes += bytes;
        let first = state.items.is_empty();
        state.items.push_back(Item { subscription, kind });
        drop(state);
        match first {
            true if self.lane.get().is_some() => Pushed::First,
            true => {
                self.wake.wake();
                Pushed::Queued
            }
            false => Pushed::Queued,
        }
    }

    /// Writes what waits, if the connection is lent; wakes the session otherwise, and for whatever the hub cannot do.
    pub(super) fn flush(&self) {
        let written = self.lane.get().and_then(|lane| lane.lent()).is_some_and(|mut lent| {
            // Nothing is locked but the right to write while the kernel is at work.
            match self.take_frames() {
                Frames::None => true,
                Frames::One(frame) => lent.write_one(frame),
                Frames::Many(frames) => lent.write(frames),
            }
        });
        if !written || !self.is_idle() {
            self.wake.wake();
        }
    }

    /// Takes the frames at the head of the queue, as told.
    fn take_frames(&self) -> Frames {
        let state = &mut *self.state.lock();
        if state.behind.is_some() || !state.skipped.is_empty() || state.closing.is_some() {
            return Frames::None;
        }
        let mut frames = Frames::None;
        while let Some(item) = state.items.pop_front() {
            let size = item.kind.bytes();
            match item.kind {
                ItemKind::Frame(last, bytes) | ItemKind::Frames { last, bytes, .. } => {
                    note(&mut state.told, item.subscription, last);
                    frames.add(bytes);
                }
                ItemKind::Ephemeral(bytes) => frames.add(bytes),
                ItemKind::Evicted(_) => {
                    state.items.push_front(item);
                    break;
                }
            }
            state.bytes -= size;
        }
        // What a burst has taken is given back.
        if state.items.is_empty() && state.items.capacity() > ITEMS_KEPT {
            state.items = VecDeque::new();
        }
        frames
    }

    /// An ephemeral frame is dropped and counted; anything else puts the session behind.
    fn overflow(&self, state: &mut State, subscription: SubscriptionKey, kind: ItemKind) {
        let position = |kind: &ItemKind| match kind {
            ItemKind::Frame(first, _) | ItemKind::Frames { first, .. } => Some(before(*first)),
            ItemKind::Evicted(position) => Some(*position),
            ItemKind::Ephemeral(_) => None,
        };
        let Some(newest) = position(&kind) else {
            return count(&mut state.skipped, subscription);
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
            self.overflow(&mut state, subscription, ItemKind::Evicted(before(at)));
            return false;
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
            told: std::mem::take(&mut state.told),
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
        if self.is_idle() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Whether the session has nothing to take.
    fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.items.is_empty()
            && state.behind.is_none()
            && state.skipped.is_empty()
            && state.closing.is_none()
            && state.waiting.as_ref().is_none_or(|waiting| !waiting.has_news())
    }

    /// Drops what waits for a subscription that has ended.
    pub fn forget(&self, subscription: SubscriptionKey) {
        let mut state = self.state.lock();
        state.items.retain(|item| item.subscription != subscription);
        state.bytes = state.items.iter().map(|item| item.kind.bytes()).sum();
        state.skipped.retain(|(key, _)| *key != subscription);
        state.told.retain(|(key, _)| *key != subscription);
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

/// What a flush writes: one frame in most cases.
enum Frames {
    None,
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Frames {
    fn add(&mut self, frame: Bytes) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(frame),
            Self::One(first) => Self::Many(vec![first, frame]),
            Self::Many(mut frames) => {
                frames.push(frame);
                Self::Many(frames)
            }
        };
    }
}

/// Most sessions have one or two subscriptions: a vector is the smallest map.
fn note(told: &mut Vec<(SubscriptionKey, Position)>, subscription: SubscriptionKey, position: Position) {
    match told.binary_search_by_key(&subscription, |(key, _)| *key) {
        Ok(at) => told[at].1 = position,
        Err(at) => {
            told.reserve_exact(1);
            told.insert(at, (subscription, position));
        }
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
mod tests;
