//! Who is on a channel: users, each with any number of connections and a small state, and those who watch them.
//!
//! In memory only: it ends with the process. Leaves to `session` who may be seen, and by whom.

mod list;
mod people;
mod room;
mod track;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::AHashMap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::event::Channel;
use crate::hub::{Listener, now_ms};
use room::{Room, State};
pub use track::Track;
pub use watch::Watch;

/// Whose channel it is: tenants have nothing to do with each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Empty: no tenant's.
    pub tenant: Arc<str>,
    /// Any channel.
    pub channel: Channel,
}

/// How fast presence is.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Changes of one channel within so long are told together. The first after a quiet time is told at once.
    pub tick: Duration,
    /// How long a connection that broke still counts: who comes back in that time has never been away.
    pub grace: Duration,
}

/// Who is where.
#[derive(Debug)]
pub struct Presence {
    rooms: Mutex<AHashMap<Arc<Key>, Arc<Room>>>,
    settings: Settings,
    next: AtomicU64,
}

/// What there is, for people.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Channels on which somebody is, or that somebody watches.
    pub channels: usize,
    /// Users, each as often as there are channels that they are on.
    pub users: usize,
    /// Those who watch.
    pub watchers: usize,
}

impl Presence {
    /// Nobody is anywhere.
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self { rooms: Mutex::default(), settings, next: AtomicU64::new(0) })
    }

    /// A connection of a user is on a channel from now on. `state` is a JSON object.
    pub fn track(self: &Arc<Self>, key: &Key, user: Arc<str>, state: Option<Arc<str>>) -> Track {
        let connection = self.next.fetch_add(1, Ordering::Relaxed);
        let room = self.enter(key, |room, inside| {
            inside.people.come(connection, &user, state, now_ms());
            room.clone()
        });
        Track::new(self.clone(), room, user, connection)
    }

    /// Tells a session from now on what changes on a channel, and returns who is there before that.
    pub fn watch(self: &Arc<Self>, key: &Key, listener: Listener) -> Watch {
        let (room, list) = self.enter(key, |room, inside| {
            let list = inside.list(self, room);
            inside.audience.join(listener.clone());
            (room.clone(), list)
        });
        Watch::new(self.clone(), room, listener, &list)
    }

    /// Who is on a channel now: `{"users":[…]}`.
    pub fn document(&self, key: &Key) -> Bytes {
        let room = self.rooms.lock().get(key).cloned();
        match room {
            Some(room) => list::document(room.inside.lock().people.present()),
            None => list::document(std::iter::empty::<(&str, _)>()),
        }
    }

    /// How much there is. Looks at every channel.
    pub fn counts(&self) -> Counts {
        let rooms: Vec<_> = self.rooms.lock().values().cloned().collect();
        let mut counts = Counts { channels: rooms.len(), ..Counts::default() };
        for room in rooms {
            let inside = room.inside.lock();
            counts.users += inside.people.count();
            counts.watchers += inside.audience.len();
        }
        counts
    }

    /// Does something in a channel's room, which is made if there is none.
    fn enter<R>(self: &Arc<Self>, key: &Key, act: impl FnOnce(&Arc<Room>, &mut State) -> R) -> R {
        loop {
            let room = self.room(key);
            let mut inside = room.inside.lock();
            // Everybody has just left it: then it is no longer in the list either.
            if !inside.is_closed {
                let done = act(&room, &mut inside);
                self.settle(&room, &mut inside);
                return done;
            }
        }
    }

    fn room(&self, key: &Key) -> Arc<Room> {
        let mut rooms = self.rooms.lock();
        if let Some(room) = rooms.get(key) {
            return room.clone();
        }
        let key = Arc::new(key.clone());
        let room = Arc::new(Room::new(key.clone()));
        rooms.insert(key, room.clone());
        room
    }

    /// Sees to it that what has changed is told, and that nothing is kept of a room that nobody needs.
    fn settle(self: &Arc<Self>, room: &Arc<Room>, inside: &mut State) {
        if inside.is_closed {
            return;
        }
        if inside.audience.is_empty() {
            inside.tell_nobody();
        } else if inside.people.has_news() && !inside.is_due {
            inside.is_due = true;
            self.tell_later(room, inside);
        }
        if inside.people.is_empty() && inside.audience.is_empty() {
            inside.is_closed = true;
            let mut rooms = self.rooms.lock();
            rooms.remove(&room.key);
            if rooms.len() < rooms.capacity() / 8 {
                let few = rooms.len() * 2;
                rooms.shrink_to(few);
            }
        }
    }

    fn tell_later(self: &Arc<Self>, room: &Arc<Room>, inside: &State) {
        let quiet_from = inside.told_at.map(|told| told + self.settings.tick);
        let wait = quiet_from.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        let (presence, room) = (self.clone(), room.clone());
        self.after(wait, move || {
            let outgoing = {
                let mut inside = room.inside.lock();
                let outgoing = inside.tell();
                presence.settle(&room, &mut inside);
                outgoing
            };
            outgoing.flush();
        });
    }

    /// Does something later. Returns false where it cannot: without a runtime everything is coming to its end.
    fn after(&self, wait: Duration, act: impl FnOnce() + Send + 'static) -> bool {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return false };
        runtime.spawn(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            act();
        });
        true
    }

    fn change(self: &Arc<Self>, room: &Arc<Room>, act: impl FnOnce(&mut State)) {
        let mut inside = room.inside.lock();
        act(&mut inside);
        self.settle(room, &mut inside);
    }
}
