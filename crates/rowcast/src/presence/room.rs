//! One channel: who is on it, who watches, and when they are told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::list::{self, Changes};
use super::people::People;
use super::watch::List;
use super::{Key, Presence};
use crate::hub::{Audience, Outgoing};

/// A list is kept so long for those who come a moment later.
const LIST_KEPT: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) key: Arc<Key>,
    pub(super) inside: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) people: People,
    pub(super) audience: Audience,
    pub(super) told_at: Option<Instant>,
    /// It will be told.
    pub(super) is_due: bool,
    /// Nobody was here, so that it is a room no longer.
    pub(super) is_closed: bool,
    /// What was told so far, for a moment after somebody has taken it.
    list: Option<Arc<List>>,
}

impl Room {
    pub(super) fn new(key: Arc<Key>) -> Self {
        Self { key, inside: Mutex::default() }
    }
}

impl State {
    /// Everybody who was told of so far. With what is told from now on, to be heard before the room is unlocked, that is everything.
    pub(super) fn list(&mut self, presence: &Arc<Presence>, room: &Arc<Room>) -> Arc<List> {
        if self.audience.is_empty() {
            self.tell_nobody();
        }
        if let Some(list) = &self.list {
            return list.clone();
        }
        let list = Arc::new(List::new(list::bodies(self.people.told())));
        let (room, kept) = (room.clone(), Arc::downgrade(&list));
        let forgotten = presence.after(LIST_KEPT, move || {
            room.inside.lock().list.take_if(|list| std::ptr::eq(Arc::as_ptr(list), kept.as_ptr()));
        });
        // Without a runtime nobody would forget it.
        self.list = forgotten.then(|| list.clone());
        list
    }

    /// While nobody watches, nothing is kept for later.
    pub(super) fn tell_nobody(&mut self) {
        if self.people.has_news() {
            self.people.tell(|_, _| {});
            self.list = None;
        }
    }

    /// Queues what has changed, once for all who get the same bytes.
    pub(super) fn tell(&mut self) -> Outgoing {
        (self.is_due, self.told_at) = (false, Some(Instant::now()));
        let mut outgoing = Outgoing::default();
        if self.audience.is_empty() {
            return outgoing;
        }
        let mut changes = Changes::default();
        self.people.tell(|name, news| changes.add(name, news));
        let bodies: Vec<Bytes> = changes.bodies();
        if !bodies.is_empty() {
            self.list = None;
        }
        for body in &bodies {
            self.audience.send("presence", body, &mut outgoing);
        }
        metrics::counter!("rowcast_presence_diffs_total").increment(bodies.len() as u64);
        metrics::counter!("rowcast_presence_deliveries_total").increment(outgoing.frames);
        outgoing
    }
}
