//! A namespace's inside: who is in it, who is in which room, and whom a packet goes to.
//!
//! One lock for a namespace: all of its sockets see its packets in the same order, and none that comes or goes meanwhile misses one
//! or gets it twice.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ahash::{AHashMap, AHashSet};
use parking_lot::{Mutex, RwLock};

use super::data::Arguments;
use super::handler::{Handlers, Reason};
use super::outbox::{Frames, Item};
use super::packet::Parcel;
use super::ring::{Gone, Ring, Seat};
use super::socket::{Inner, Socket};
use crate::auth::Person;

/// How many packets of a socket are remembered, to send again what a broken connection has swallowed.
const RECENT: usize = 128;

pub(super) struct Space {
    pub(super) path: Arc<str>,
    handlers: RwLock<Arc<Handlers>>,
    state: Mutex<State>,
}

struct State {
    members: AHashMap<Arc<str>, Member>,
    rooms: AHashMap<Room, AHashSet<Arc<str>>>,
    ring: Ring,
}

/// A socket, and what is known of it.
struct Member {
    socket: Arc<Inner>,
    course: Course,
}

/// What a socket keeps when its connection breaks.
#[derive(Default)]
pub(super) struct Course {
    pub(super) rooms: BTreeSet<Room>,
    /// The numbers of the packets that it was given, the newest last.
    pub(super) recent: VecDeque<u64>,
    /// The newest number that is no longer among them.
    pub(super) forgotten: u64,
}

/// What sockets have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Room {
    /// A room; or a socket, by its id.
    Named(Arc<str>),
    /// A user.
    User(Arc<str>),
}

/// Whom a packet goes to.
#[derive(Debug, Clone, Default)]
pub(super) struct Target {
    /// Those in any of these; all where there is none.
    pub(super) rooms: Vec<Room>,
    pub(super) except: Vec<Room>,
    /// Not this socket.
    pub(super) but: Option<Arc<str>>,
}

impl Target {
    pub(super) fn socket(sid: &Arc<str>) -> Self {
        Self { rooms: vec![Room::Named(sid.clone())], ..Self::default() }
    }

    pub(super) fn includes(&self, sid: &Arc<str>, rooms: &BTreeSet<Room>) -> bool {
        let is_in = |room: &Room| rooms.contains(room) || matches!(room, Room::Named(name) if name == sid);
        let excepted = self.but.as_ref() == Some(sid) || self.except.iter().any(is_in);
        !excepted && (self.rooms.is_empty() || self.rooms.iter().any(is_in))
    }
}

impl Space {
    pub(super) fn new(path: &str, ring: Ring) -> Arc<Self> {
        let state = State { members: AHashMap::new(), rooms: AHashMap::new(), ring };
        Arc::new(Self { path: path.into(), handlers: RwLock::default(), state: Mutex::new(state) })
    }

    pub(super) fn handlers(&self) -> Arc<Handlers> {
        self.handlers.read().clone()
    }

    pub(super) fn change_handlers(&self, change: impl FnOnce(&mut Handlers)) {
        change(Arc::make_mut(&mut self.handlers.write()));
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().members.len()
    }

    /// Sends a packet, and returns how many it goes to.
    pub(super) fn send(&self, target: &Target, event: &str, arguments: &Arguments, volatile: bool) -> usize {
        let mut state = self.state.lock();
        let state = &mut *state;
        let number = if volatile { None } else { state.ring.number() };
        let offset = number.map(|number| state.ring.offset(number));
        let parcel = Parcel::new(&self.path, event, arguments, offset);
        let mut count = 0;
        let mut give = |member: &mut Member| count += usize::from(member.give(&parcel, number, volatile));
        match &*target.rooms {
            [] => state.members.values_mut().filter(|member| member.is_meant(target)).for_each(give),
            [Room::Named(sid)] if state.members.contains_key(sid) => {
                state.members.get_mut(sid).filter(|member| member.is_meant(target)).into_iter().for_each(give);
            }
            rooms => {
                let mut sids: AHashSet<Arc<str>> = AHashSet::new();
                for room in rooms {
                    sids.extend(state.rooms.get(room).into_iter().flatten().cloned());
                    if let Room::Named(sid) = room {
                        sids.insert(sid.clone());
                    }
                }
                for sid in sids {
                    if let Some(member) = state.members.get_mut(&sid).filter(|member| member.is_meant(target)) {
                        give(member);
                    }
                }
            }
        }
        if let Some(number) = number {
            state.ring.keep(number, parcel.placed().clone(), target.clone());
        }
        count
    }

    pub(super) fn select(&self, target: &Target) -> Vec<Socket> {
        let state = self.state.lock();
        state.members.values().filter(|member| member.is_meant(target)).map(|m| Socket(m.socket.clone())).collect()
    }

    pub(super) fn find(&self, sid: &str) -> Option<Socket> {
        self.state.lock().members.get(sid).map(|member| Socket(member.socket.clone()))
    }

    pub(super) fn join_room(&self, sid: &Arc<str>, room: Room) {
        let mut state = self.state.lock();
        if let Some(member) = state.members.get_mut(sid) {
            member.course.rooms.insert(room.clone());
            state.rooms.entry(room).or_default().insert(sid.clone());
        }
    }

    pub(super) fn leave_room(&self, sid: &Arc<str>, room: &Room) {
        let mut state = self.state.lock();
        if let Some(member) = state.members.get_mut(sid) {
            member.course.rooms.remove(room);
            state.take_out(sid, room);
        }
    }

    pub(super) fn rooms_of(&self, sid: &Arc<str>) -> Vec<Arc<str>> {
        let state = self.state.lock();
        let named = |room: &Room| match room {
            Room::Named(name) => Some(name.clone()),
            Room::User(_) => None,
        };
        state.members.get(sid).map(|member| member.course.rooms.iter().filter_map(named).collect()).unwrap_or_default()
    }

    /// Takes a socket in.
    pub(super) fn add(&self, socket: Arc<Inner>) {
        let mut rooms = BTreeSet::new();
        rooms.extend(socket.user.lock().clone().map(Room::User));
        self.state.lock().add(socket, Course { rooms, ..Course::default() });
    }

    /// A socket has gone. Where nobody wanted that, it can be taken up again.
    pub(super) fn remove(&self, socket: &Arc<Inner>, reason: Reason) {
        socket.connected.store(false, Ordering::Release);
        let mut state = self.state.lock();
        let own = state.members.get(&socket.sid).is_some_and(|member| Arc::ptr_eq(&member.socket, socket));
        // Another connection may have taken it up already.
        if own && let Some(gone) = state.remove(&socket.sid) {
            state.ring.leave(gone, reason.is_mishap());
        }
    }

    /// Whether there is a socket to be taken up.
    pub(super) fn has_seat(&self, pid: &str) -> bool {
        self.state.lock().ring.seat(pid).is_some()
    }

    /// Takes up a socket whose connection has broken. `make` makes it anew from the old one; what it missed is returned.
    /// Only for the one whose it was. `alone`: it follows the database, and is taken up only if a program has sent it nothing: which came first is not known.
    pub(super) fn take_up(
        &self,
        pid: &str,
        person: &Person,
        received: Option<&str>,
        alone: bool,
        make: impl FnOnce(&Gone) -> Arc<Inner>,
    ) -> Option<(Arc<Inner>, Vec<Frames>)> {
        let mut state = self.state.lock();
        let seated = match state.ring.seat(pid)? {
            Seat::Live(sid) => &state.members.get(sid)?.socket,
            Seat::Gone(gone) => &gone.socket,
        };
        if seated.whose.lock().person().as_ref() != Some(person) {
            return None;
        }
        if let Seat::Live(sid) = state.ring.seat(pid)? {
            // The old connection is dead, and we are the first to know.
            let sid = sid.clone();
            let gone = state.remove(&sid)?;
            gone.socket.connected.store(false, Ordering::Release);
            gone.socket.outbox.ask(Item::Close);
            state.ring.leave(gone, true);
        }
        let (mut gone, missed) = state.ring.take_up(pid, received, alone)?;
        let socket = make(&gone);
        let frames = missed.iter().map(|(_, frames)| frames.clone()).collect();
        gone.course.recent = missed.into_iter().map(|(number, _)| number).collect();
        state.add(socket.clone(), gone.course);
        Some((socket, frames))
    }
}

impl State {
    fn add(&mut self, socket: Arc<Inner>, course: Course) {
        for room in &course.rooms {
            self.rooms.entry(room.clone()).or_default().insert(socket.sid.clone());
        }
        if let Some(pid) = &socket.pid {
            self.ring.sit(pid, &socket.sid);
        }
        self.members.insert(socket.sid.clone(), Member { socket, course });
    }

    fn remove(&mut self, sid: &Arc<str>) -> Option<Gone> {
        let Member { socket, course } = self.members.remove(sid)?;
        for room in &course.rooms {
            self.take_out(sid, room);
        }
        Some(Gone { socket, course, since: Instant::now(), left: 0 })
    }

    fn take_out(&mut self, sid: &Arc<str>, room: &Room) {
        if let Some(sids) = self.rooms.get_mut(room) {
            sids.remove(sid);
            if sids.is_empty() {
                self.rooms.remove(room);
            }
        }
    }
}

impl Member {
    fn is_meant(&self, target: &Target) -> bool {
        target.includes(&self.socket.sid, &self.course.rooms)
    }

    fn give(&mut self, parcel: &Parcel<'_>, number: Option<u64>, volatile: bool) -> bool {
        let outbox = &self.socket.outbox;
        let frames =
            if self.socket.pid.is_some() { parcel.placed() } else { parcel.plain(self.socket.handshake.eio()) };
        if volatile {
            return outbox.push_volatile(frames);
        }
        if let Some(number) = number.filter(|_| self.socket.pid.is_some()) {
            self.course.recent.push_back(number);
            if self.course.recent.len() > RECENT
                && let Some(forgotten) = self.course.recent.pop_front()
            {
                self.course.forgotten = forgotten;
            }
        }
        outbox.push(frames)
    }
}
