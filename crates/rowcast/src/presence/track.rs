//! A connection's being on a channel, for as long as it says so, and for the grace time where it breaks.

use std::sync::Arc;

use super::room::Room;
use super::{Key, Presence};

/// A connection's being on a channel. Dropping it means that the connection broke: it counts for the grace time.
#[derive(Debug)]
pub struct Track {
    presence: Arc<Presence>,
    room: Arc<Room>,
    user: Arc<str>,
    connection: u64,
    is_over: bool,
}

impl Track {
    pub(super) fn new(presence: Arc<Presence>, room: Arc<Room>, user: Arc<str>, connection: u64) -> Self {
        Self { presence, room, user, connection, is_over: false }
    }

    /// Which channel.
    pub fn key(&self) -> &Key {
        &self.room.key
    }

    /// Who.
    pub fn user(&self) -> &Arc<str> {
        &self.user
    }

    /// Sets the state; `None` leaves it as it is.
    pub fn set(&self, state: Option<Arc<str>>) {
        self.presence.change(&self.room, |inside| inside.people.set(self.connection, &self.user, state));
    }

    /// The user goes, and says so.
    pub fn leave(mut self) {
        self.is_over = true;
        self.presence.change(&self.room, |inside| inside.people.leave(self.connection, &self.user));
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.presence.change(&self.room, |inside| inside.people.lose(self.connection, &self.user));
        let (presence, room) = (self.presence.clone(), self.room.clone());
        let (user, connection) = (self.user.clone(), self.connection);
        self.presence.after(self.presence.settings.grace, move || {
            presence.change(&room, |inside| inside.people.leave(connection, &user));
        });
    }
}
