//! Whom an event goes to.

use std::sync::Arc;

use serde::Serialize;

use super::data::{Arguments, WrongData};
use super::socket::Socket;
use super::space::{Room, Space, Target};

/// Some of a namespace's sockets: those of rooms and users, all where none is named; without exceptions.
#[derive(Clone)]
pub struct To {
    space: Arc<Space>,
    target: Target,
    volatile: bool,
}

impl To {
    pub(super) fn new(space: &Arc<Space>, target: Target) -> Self {
        Self { space: space.clone(), target, volatile: false }
    }

    /// Also those in this room. A socket's id is a room, too.
    pub fn to(mut self, room: impl Into<Arc<str>>) -> Self {
        self.target.rooms.push(Room::Named(room.into()));
        self
    }

    /// Also all sockets of this user.
    pub fn user(mut self, id: impl Into<Arc<str>>) -> Self {
        self.target.rooms.push(Room::User(id.into()));
        self
    }

    /// None that is in this room.
    pub fn except(mut self, room: impl Into<Arc<str>>) -> Self {
        self.target.except.push(Room::Named(room.into()));
        self
    }

    /// Lost to those who are behind, or away.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Sends an event with one argument; `()` is none. It is written once for all. Returns how many it goes to.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<usize, WrongData> {
        Ok(self.emit_arguments(event, &Arguments::one(data)?))
    }

    /// Sends an event with several arguments, or with those that came.
    pub fn emit_arguments(&self, event: &str, arguments: &Arguments) -> usize {
        self.space.send(&self.target, event, arguments, self.volatile)
    }

    /// Puts all of them into a room.
    pub fn join(&self, room: impl Into<Arc<str>>) {
        let room = room.into();
        self.sockets().iter().for_each(|socket| socket.join(room.clone()));
    }

    /// Takes all of them out of a room.
    pub fn leave(&self, room: impl Into<Arc<str>>) {
        let room = room.into();
        self.sockets().iter().for_each(|socket| socket.leave(room.clone()));
    }

    /// Puts all of them out of the namespace; with `close`, closes their connections.
    pub fn disconnect(&self, close: bool) {
        self.sockets().iter().for_each(|socket| socket.disconnect(close));
    }

    /// Who they are.
    pub fn sockets(&self) -> Vec<Socket> {
        self.space.select(&self.target)
    }
}
