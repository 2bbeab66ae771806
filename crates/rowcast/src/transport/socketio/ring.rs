//! Connection state recovery for a program's packets: the newest ones of a namespace, and the sockets that may come back for them.
//!
//! In memory, bounded in bytes, sockets and time. What the log has is recovered from the log instead (`recovery`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;

use super::outbox::Frames;
use super::socket::Inner;
use super::space::{Course, Target};

/// The newest packets of a namespace.
pub(super) struct Ring {
    limits: Option<RingLimits>,
    kept: VecDeque<Kept>,
    bytes: usize,
    /// The number that was given out last; they begin with 1.
    last: u64,
    /// The newest number that is no longer kept.
    dropped: u64,
    seats: AHashMap<Arc<str>, Seat>,
    /// When each went, the oldest first.
    went: VecDeque<(Instant, Arc<str>)>,
}

/// How much is kept for those who come back.
#[derive(Clone)]
pub(super) struct RingLimits {
    pub(super) window: Duration,
    pub(super) bytes: usize,
    pub(super) connections: usize,
    /// Tells the numbers of this process from those of another.
    pub(super) nonce: Arc<str>,
}

struct Kept {
    number: u64,
    frames: Frames,
    target: Target,
    since: Instant,
}

/// A socket, by the private id that its client has.
pub(super) enum Seat {
    /// It is connected, as far as we know.
    Live(Arc<str>),
    /// Its connection broke.
    Gone(Box<Gone>),
}

/// A socket whose connection broke.
pub(super) struct Gone {
    pub(super) socket: Arc<Inner>,
    pub(super) course: Course,
    pub(super) since: Instant,
    /// The last number when it went.
    pub(super) left: u64,
}

impl Ring {
    pub(super) fn new(limits: Option<RingLimits>) -> Self {
        Self {
            limits,
            kept: VecDeque::new(),
            bytes: 0,
            last: 0,
            dropped: 0,
            seats: AHashMap::new(),
            went: VecDeque::new(),
        }
    }

    /// The number of the next packet; `None` where nobody could come back for it.
    pub(super) fn number(&mut self) -> Option<u64> {
        self.limits.as_ref().filter(|_| !self.seats.is_empty())?;
        self.last += 1;
        Some(self.last)
    }

    /// As clients keep it.
    pub(super) fn offset(&self, number: u64) -> String {
        let nonce = self.limits.as_ref().map_or("", |limits| &limits.nonce);
        format!("{nonce}.{number}")
    }

    fn number_of(&self, offset: &str) -> Option<u64> {
        let (nonce, number) = offset.split_once('.')?;
        (nonce == &*self.limits.as_ref()?.nonce).then(|| number.parse().ok())?
    }

    pub(super) fn keep(&mut self, number: u64, frames: Frames, target: Target) {
        let now = Instant::now();
        self.bytes += weight(&frames);
        self.kept.push_back(Kept { number, frames, target, since: now });
        self.expire(now);
    }

    fn expire(&mut self, now: Instant) {
        let Some(RingLimits { window, bytes, connections, .. }) = self.limits.clone() else { return };
        while let Some(oldest) = self.kept.front()
            && (self.bytes > bytes || now.duration_since(oldest.since) > window)
        {
            self.bytes -= weight(&oldest.frames);
            self.dropped = oldest.number;
            self.kept.pop_front();
        }
        while let Some((since, pid)) = self.went.front()
            && (self.went.len() > connections || now.duration_since(*since) > window)
        {
            // It may have come back, and gone again since.
            if matches!(self.seats.get(pid), Some(Seat::Gone(gone)) if gone.since == *since) {
                self.seats.remove(pid);
            }
            self.went.pop_front();
        }
    }

    pub(super) fn sit(&mut self, pid: &Arc<str>, sid: &Arc<str>) {
        self.seats.insert(pid.clone(), Seat::Live(sid.clone()));
    }

    pub(super) fn seat(&self, pid: &str) -> Option<&Seat> {
        self.seats.get(pid)
    }

    /// A socket has gone; it may come back if nobody wanted it to go.
    pub(super) fn leave(&mut self, mut gone: Gone, may_come_back: bool) {
        let Some(pid) = gone.socket.pid.clone() else { return };
        if !may_come_back || self.limits.is_none() {
            self.seats.remove(&pid);
            return;
        }
        gone.left = self.last;
        self.went.push_back((gone.since, pid.clone()));
        let now = gone.since;
        self.seats.insert(pid, Seat::Gone(Box::new(gone)));
        self.expire(now);
    }

    /// A socket comes back: what it has missed, in order, with the numbers. `None` where that is not known.
    pub(super) fn take_up(
        &mut self,
        pid: &str,
        received: Option<&str>,
        alone: bool,
    ) -> Option<(Gone, Vec<(u64, Frames)>)> {
        self.expire(Instant::now());
        if !matches!(self.seats.get(pid), Some(Seat::Gone(_))) {
            return None;
        }
        let Some(Seat::Gone(gone)) = self.seats.remove(pid) else { return None };
        let (course, sid) = (&gone.course, &gone.socket.sid);
        let was_given = !course.recent.is_empty() || course.forgotten > 0;
        let received = match received.map(|offset| self.number_of(offset)) {
            None => 0,
            Some(Some(number)) => number,
            // What it remembers is of something else, or of another process.
            Some(None) if was_given => return None,
            Some(None) => 0,
        };
        let swallowed = course.recent.iter().filter(|number| **number > received);
        let known = course.forgotten <= received && swallowed.clone().all(|number| *number > self.dropped);
        if !known || self.dropped > gone.left {
            return None;
        }
        let swallowed: Vec<u64> = swallowed.copied().collect();
        let is_missed = |kept: &&Kept| match kept.number <= gone.left {
            true => swallowed.binary_search(&kept.number).is_ok(),
            false => kept.target.includes(sid, &course.rooms),
        };
        let missed: Vec<_> =
            self.kept.iter().filter(is_missed).map(|kept| (kept.number, kept.frames.clone())).collect();
        if alone && (was_given || !missed.is_empty()) {
            return None;
        }
        Some((*gone, missed))
    }
}

fn weight(frames: &Frames) -> usize {
    frames.iter().map(bytes::Bytes::len).sum::<usize>() + 128
}
