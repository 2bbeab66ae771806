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

/// What a frame's way passes through, small and in one place: most clients' queues are in no cache when their turn comes.
#[derive(Debug, Default)]
struct State {
    /// The first of them, which in most cases is the only one.
    first: Option<Item>,
    more: VecDeque<Item>,
    bytes: usize,
    /// Up to where the hub has written by itself, for the subscription of the last frame.
    told: Option<(SubscriptionKey, Position)>,
    rare: Option<Box<Rare>>,
}

/// What most queues never have.
#[derive(Debug, Default)]
struct Rare {
    /// As `State::told`, for further subscriptions, in the order of their keys.
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

    /// Whether the hub has left something half written on the connection.
    pub fn has_rest(&self) -> bool {
        self.lane.get().is_some_and(|lane| lane.has_rest())
    }

    /// Adds a frame or an eviction.
    pub(super) fn push(&self, subscription: SubscriptionKey, kind: ItemKind) -> Pushed {
        let mut state = self.state.lock();
        if state.is_behind() {
            return Pushed::Dropped;
        }
        let (bytes, kind) = (kind.bytes(), state.with_conflated(subscription, kind));
        if state.held() + bytes > self.bytes_max {
            self.overflow(&mut state, subscription, kind);
            return Pushed::Dropped;
        }
        // What only the session can do is not written.
        let is_written = !matches!(kind, ItemKind::Evicted(_));
        let first = state.push_back(Item { subscription, kind });
        drop(state);
        match first {
            true if is_written && self.lane.get().is_some() => Pushed::First,
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
            let (frames, idle) = self.state.lock().take_frames();
            // Nothing is locked but the right to write while the kernel is at work.
            let written = match frames {
                Frames::None => true,
                Frames::One(frame) => lent.write_one(frame),
                Frames::Many(frames) => lent.write(frames),
            };
            written && idle
        });
        if !written {
            self.wake.wake();
        }
    }

    /// An ephemeral frame is dropped and counted; anything else puts the session behind.
    fn overflow(&self, state: &mut State, subscription: SubscriptionKey, kind: ItemKind) {
        let position = |kind: &ItemKind| match kind {
            ItemKind::Frame(first, _) | ItemKind::Frames { first, .. } => Some(before(*first)),
            ItemKind::Evicted(position) => Some(*position),
            ItemKind::Ephemeral(_) => None,
        };
        let Some(newest) = position(&kind) else {
            if count(&mut state.rare().skipped, subscription) {
                // There may be nothing else that wakes it.
                self.wake.wake();
            }
            return;
        };
        let items = state.take_items();
        let rare = state.rare();
        let conflated = rare.waiting.take().and_then(|waiting| waiting.oldest());
        let queued = items.iter().find_map(|item| position(&item.kind));
        let oldest = [conflated.map(before), queued].into_iter().flatten().min();
        for item in items {
            if let ItemKind::Ephemeral(_) = item.kind {
                count(&mut rare.skipped, item.subscription);
            }
        }
        // What is conflated may be newer than what comes now: frames are held for a moment.
        rare.behind = Some(oldest.map_or(newest, |oldest| oldest.min(newest)));
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
        if state.is_behind() {
            return false;
        }
        let wake = add(state.rare().waiting.get_or_insert_default());
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
        self.state.lock().waiting().map_or_else(Vec::new, |waiting| waiting.take(is_due))
    }

    /// Takes up to about `bytes_max` bytes of what is there; never waits.
    pub fn take(&self, bytes_max: usize) -> Taken {
        let state = &mut *self.state.lock();
        let mut taken = Taken::default();
        taken.told.extend(state.told.take());
        if let Some(rare) = &mut state.rare {
            taken.told.append(&mut rare.told);
            (taken.behind, taken.closing) = (rare.behind, rare.closing.clone());
            taken.skipped = std::mem::take(&mut rare.skipped);
        }
        // The usual case. It also gives the memory back that a burst has taken.
        if state.bytes <= bytes_max {
            taken.items = state.take_items();
            return taken;
        }
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(item) = state.pop_front()
        {
            bytes += item.kind.bytes();
            taken.items.push_back(item);
        }
        taken
    }

    /// Ready when there may be something to take, or to write. One task waits at a time.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.wake.register(cx.waker());
        if self.state.lock().is_idle() && !self.has_rest() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Drops what waits for a subscription that has ended.
    pub fn forget(&self, subscription: SubscriptionKey) {
        let state = &mut *self.state.lock();
        for item in state.take_items() {
            if item.subscription != subscription {
                state.push_back(item);
            }
        }
        state.told = state.told.filter(|(key, _)| *key != subscription);
        if let Some(rare) = &mut state.rare {
            rare.skipped.retain(|(key, _)| *key != subscription);
            rare.told.retain(|(key, _)| *key != subscription);
            if let Some(waiting) = &mut rare.waiting {
                waiting.remove(subscription);
            }
        }
    }

    /// Takes frames again: of those subscriptions that join from now on.
    pub(super) fn begin_anew(&self) {
        if let Some(rare) = &mut self.state.lock().rare {
            rare.behind = None;
        }
    }

    /// Asks the session to say goodbye.
    pub fn close(&self, closing: Closing) {
        self.state.lock().rare().closing.get_or_insert(closing);
        self.wake.wake();
    }

    /// Bytes that wait, and whether the client is behind.
    pub fn status(&self) -> (usize, bool) {
        let state = self.state.lock();
        (state.held(), state.is_behind())
    }
}

impl State {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn waiting(&mut self) -> Option<&mut Waiting> {
        self.rare.as_mut()?.waiting.as_deref_mut()
    }

    fn is_behind(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.behind.is_some())
    }

    /// Whether the session has nothing to take.
    fn is_idle(&self) -> bool {
        self.first.is_none() && self.rare.as_ref().is_none_or(|rare| rare.is_idle())
    }

    /// Bytes of all that waits.
    fn held(&self) -> usize {
        let waiting = self.rare.as_ref().and_then(|rare| rare.waiting.as_ref());
        self.bytes + waiting.map_or(0, |waiting| waiting.bytes())
    }

    fn reduce(&mut self) -> bool {
        self.waiting().is_some_and(Waiting::reduce)
    }

    /// Returns whether it is the first.
    fn push_back(&mut self, item: Item) -> bool {
        self.bytes += item.kind.bytes();
        let first = self.first.is_none();
        match first {
            true => self.first = Some(item),
            false => self.more.push_back(item),
        }
        first
    }

    fn pop_front(&mut self) -> Option<Item> {
        let item = self.first.take()?;
        self.first = self.more.pop_front();
        self.bytes -= item.kind.bytes();
        Some(item)
    }

    fn take_items(&mut self) -> VecDeque<Item> {
        self.bytes = 0;
        let mut items = std::mem::take(&mut self.more);
        if let Some(first) = self.first.take() {
            items.push_front(first);
        }
        items
    }

    /// Takes the frames at the head of the queue, as told; and whether the session has nothing more to take.
    fn take_frames(&mut self) -> (Frames, bool) {
        let mut frames = Frames::None;
        if self.rare.as_ref().is_some_and(|rare| !rare.is_idle()) {
            return (frames, false);
        }
        while let Some(item) = self.first.take_if(|item| !matches!(item.kind, ItemKind::Evicted(_))) {
            self.first = self.more.pop_front();
            self.bytes -= item.kind.bytes();
            match item.kind {
                ItemKind::Frame(last, bytes) | ItemKind::Frames { last, bytes, .. } => {
                    self.note(item.subscription, last);
                    frames.add(bytes);
                }
                ItemKind::Ephemeral(bytes) => frames.add(bytes),
                ItemKind::Evicted(_) => {}
            }
        }
        if self.first.is_none() && self.more.capacity() > 0 {
            // What a burst has taken is given back.
            self.more = VecDeque::new();
        }
        (frames, self.first.is_none())
    }

    /// A subscription was told of everything up to here.
    fn note(&mut self, subscription: SubscriptionKey, position: Position) {
        match self.told.replace((subscription, position)) {
            Some((other, its)) if other != subscription => {
                let told = &mut self.rare().told;
                match told.binary_search_by_key(&other, |(key, _)| *key) {
                    Ok(at) => told[at].1 = its,
                    Err(at) => told.insert(at, (other, its)),
                }
            }
            _ => {}
        }
    }

    /// A subscription that is evicted reads the log from before what it has not been told.
    fn with_conflated(&mut self, subscription: SubscriptionKey, kind: ItemKind) -> ItemKind {
        let ItemKind::Evicted(position) = kind else { return kind };
        let oldest = self.waiting().and_then(|waiting| waiting.remove(subscription)).map_or(position, before);
        ItemKind::Evicted(oldest.min(position))
    }
}

impl Rare {
    /// Whether the session has nothing to do with it.
    fn is_idle(&self) -> bool {
        self.behind.is_none()
            && self.skipped.is_empty()
            && self.closing.is_none()
            && self.waiting.as_ref().is_none_or(|waiting| !waiting.has_news())
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

fn before(position: Position) -> Position {
    Position { epoch: position.epoch, offset: Offset(position.offset.0.saturating_sub(1)) }
}

/// Returns whether it is the subscription's first.
fn count(skipped: &mut Vec<(SubscriptionKey, u64)>, subscription: SubscriptionKey) -> bool {
    if let Some((_, n)) = skipped.iter_mut().find(|(key, _)| *key == subscription) {
        *n += 1;
        return false;
    }
    skipped.push((subscription, 1));
    true
}

#[cfg(test)]
mod tests;
