//! Those who watch a channel: what they begin with, and how long they are told.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::room::Room;
use super::{Key, Presence};
use crate::hub::Listener;
use crate::protocol::encode::{Wire, frame};

/// Frames of a list are kept for so many kinds of watchers.
const KINDS: usize = 4;

/// What the bytes of a frame depend on, beside the list.
type Kind = (Wire, Arc<str>);

/// Everybody who was there at one moment; shared by all who begin to watch before anything else is told.
#[derive(Debug)]
pub(super) struct List {
    bodies: Vec<Bytes>,
    frames: Mutex<Vec<(Kind, Arc<[Bytes]>)>>,
}

impl List {
    pub(super) fn new(bodies: Vec<Bytes>) -> Self {
        Self { bodies, frames: Mutex::default() }
    }

    fn frames(&self, wire: Wire, id: &Arc<str>) -> Arc<[Bytes]> {
        let mut known = self.frames.lock();
        if let Some((_, frames)) = known.iter().find(|((other, name), _)| *other == wire && name == id) {
            return frames.clone();
        }
        let frames: Arc<[Bytes]> = self.bodies.iter().map(|body| frame(wire, "presence", id, None, body)).collect();
        if known.len() < KINDS {
            known.push(((wire, id.clone()), frames.clone()));
        }
        frames
    }
}

/// A session's watching a channel; it ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    presence: Arc<Presence>,
    room: Arc<Room>,
    listener: Listener,
    /// What the client begins with, and how much of it was taken.
    first: Option<Begin>,
}

#[derive(Debug)]
struct Begin {
    frames: Arc<[Bytes]>,
    taken: usize,
}

impl Begin {
    fn new(list: &List, listener: &Listener) -> Option<Self> {
        let frames = list.frames(listener.wire, &listener.id);
        Some(Self { frames, taken: 0 })
    }
}

impl Watch {
    pub(super) fn new(presence: Arc<Presence>, room: Arc<Room>, listener: Listener, list: &List) -> Self {
        let first = Begin::new(list, &listener);
        Self { presence, room, listener, first }
    }

    /// Which channel.
    pub fn key(&self) -> &Key {
        &self.room.key
    }

    /// The next piece of what the client begins with: all of it comes before anything that its queue holds.
    pub fn take(&mut self) -> Option<Bytes> {
        let first = self.first.as_mut()?;
        let frame = first.frames.get(first.taken).cloned();
        first.taken += 1;
        if first.taken >= first.frames.len() {
            self.first = None;
        }
        frame
    }

    /// Whether there is more of it.
    pub fn has_first(&self) -> bool {
        self.first.is_some()
    }

    /// Begins anew with a whole list, because the client has missed something.
    pub fn again(&mut self) {
        let list = {
            let mut inside = self.room.inside.lock();
            // What waits is in the list, or was told before it.
            self.listener.queue.forget(self.listener.subscription);
            inside.list(&self.presence, &self.room)
        };
        metrics::counter!("rowcast_presence_relists_total").increment(1);
        self.first = Begin::new(&list, &self.listener);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.presence.change(&self.room, |inside| inside.audience.leave(&self.listener));
    }
}
