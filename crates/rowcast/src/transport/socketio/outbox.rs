//! What a program has for one client: packets that are written once for all, bounded in bytes, and the answers that it waits for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::data::Arguments;

/// One packet: its text, and its attachments, each as a frame.
pub(super) type Frames = Arc<[Bytes]>;

/// What waits for one client, whatever namespaces it is in.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    wake: Notify,
    /// The connection is at a write: what is volatile is dropped.
    pub(super) writing: AtomicBool,
    bytes_max: usize,
    acks_max: usize,
}

#[derive(Debug, Default)]
struct State {
    items: Vec<Item>,
    bytes: usize,
    closed: bool,
    overflown: bool,
    next_ack: u64,
    /// By number; with the namespace that may answer.
    acks: BTreeMap<u64, (Arc<str>, oneshot::Sender<Arguments>)>,
}

/// One thing to do for the client.
#[derive(Debug)]
pub(super) enum Item {
    /// To be written.
    Frames(Frames),
    /// The socket of this namespace is put out.
    Leave(Arc<str>),
    /// The client is put out of every namespace, and the connection closed.
    Close,
    /// The connection is to be closed, without a word.
    Cut,
}

/// The client reads too slowly.
#[derive(Debug)]
pub(super) struct Overflown;

impl Outbox {
    pub(super) fn new(bytes_max: usize, acks_max: usize) -> Self {
        let (state, wake, writing) = (Mutex::default(), Notify::new(), AtomicBool::new(false));
        Self { state, wake, writing, bytes_max, acks_max }
    }

    /// Adds a packet. One too many, and the connection ends: it would be told that it missed nothing otherwise.
    pub(super) fn push(&self, frames: &Frames) -> bool {
        let mut state = self.state.lock();
        if state.closed || state.overflown {
            return false;
        }
        let bytes = weight(frames);
        if !state.items.is_empty() && state.bytes + bytes > self.bytes_max {
            state.overflown = true;
        } else {
            state.bytes += bytes;
            state.items.push(Item::Frames(frames.clone()));
        }
        let pushed = !state.overflown;
        drop(state);
        self.wake.notify_one();
        pushed
    }

    /// Adds a packet, unless the client is behind.
    pub(super) fn push_volatile(&self, frames: &Frames) -> bool {
        !self.writing.load(Ordering::Relaxed) && self.push_if_room(frames)
    }

    fn push_if_room(&self, frames: &Frames) -> bool {
        let mut state = self.state.lock();
        let bytes = weight(frames);
        let room = !state.closed && !state.overflown && state.bytes + bytes <= self.bytes_max;
        if room {
            state.bytes += bytes;
            state.items.push(Item::Frames(frames.clone()));
            drop(state);
            self.wake.notify_one();
        }
        room
    }

    pub(super) fn ask(&self, item: Item) {
        self.state.lock().items.push(item);
        self.wake.notify_one();
    }

    /// Returns when there is something to take. Dropping the future loses nothing.
    pub(super) async fn ready(&self) {
        loop {
            let woken = self.wake.notified();
            {
                let state = self.state.lock();
                if !state.items.is_empty() || state.overflown {
                    return;
                }
            }
            woken.await;
        }
    }

    pub(super) fn take(&self) -> Result<Vec<Item>, Overflown> {
        let mut state = self.state.lock();
        if state.overflown {
            return Err(Overflown);
        }
        state.bytes = 0;
        Ok(std::mem::take(&mut state.items))
    }

    /// A number for an event that wants an answer, and where the answer comes. `None`: too many are owed, or it is closed.
    pub(super) fn want(&self, namespace: &Arc<str>) -> Option<(u64, oneshot::Receiver<Arguments>)> {
        let mut state = self.state.lock();
        if state.closed || state.acks.len() >= self.acks_max {
            return None;
        }
        let number = state.next_ack;
        state.next_ack += 1;
        let (sender, receiver) = oneshot::channel();
        state.acks.insert(number, (namespace.clone(), sender));
        Some((number, receiver))
    }

    /// Nobody waits for this answer any more.
    pub(super) fn unwant(&self, number: u64) {
        self.state.lock().acks.remove(&number);
    }

    /// Hands an answer over. One that nobody waits for is passed over, as it is by Socket.IO's own server.
    pub(super) fn answer(&self, namespace: &str, number: u64, arguments: Arguments) {
        let mut state = self.state.lock();
        if state.acks.get(&number).is_some_and(|(asked, _)| **asked == *namespace)
            && let Some((_, waiting)) = state.acks.remove(&number)
        {
            drop(state);
            let _ = waiting.send(arguments);
        }
    }

    /// No answers come from this namespace any more.
    pub(super) fn leave(&self, namespace: &str) {
        self.state.lock().acks.retain(|_, (asked, _)| **asked != *namespace);
    }

    /// Nothing is taken any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.items = Vec::new();
        state.acks.clear();
    }
}

fn weight(frames: &Frames) -> usize {
    // What a place costs beside the shared bytes.
    frames.iter().map(Bytes::len).sum::<usize>() + 64
}
