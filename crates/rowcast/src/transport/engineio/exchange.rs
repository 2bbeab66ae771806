//! What the task of a session and the requests of its client share: messages on their way, pings, and which transport counts.
//!
//! A request holds the lock for a moment only. Both queues are bounded in bytes: a POST is answered when its messages have found room, and
//! the session waits when no poll takes what it has said.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::sid::Sid;
use super::{Engine, Heard, Transport};
use crate::protocol::engineio::payload::{Body, PACKETS_MAX, Part, encode};
use crate::protocol::engineio::{BINARY_MESSAGE, Eio};
use crate::protocol::frame::{self, Opcode};
use crate::transport::socket::Socket;

/// Bytes that wait for the session before a POST does.
const INBOUND_BYTES: usize = 64 << 10;
/// Bytes that wait for a poll before the session does.
const OUTBOUND_BYTES: usize = 64 << 10;
/// What a message costs beside its bytes.
const MESSAGE_BYTES: usize = 64;
/// Answers to pings that may wait; more are not asked for by a client that means well.
const PONGS_MAX: u8 = 4;
const PONG: &[u8] = b"3";
/// How long a poll is held while the client tries a WebSocket: one that is about to say that it has changed over is not to be
/// asked to poll again.
const RELEASE: Duration = Duration::from_millis(50);

pub(super) struct Exchange {
    pub(super) engine: Arc<Engine>,
    sid: Sid,
    eio: Eio,
    takes_binary: bool,
    state: Mutex<State>,
    /// For the session: something came, there is room, the transport has changed, or it is over.
    pub(super) session: Notify,
    /// For the poll that waits.
    pub(super) poll: Notify,
    /// For the POST that waits for room.
    post: Notify,
}

struct State {
    phase: Phase,
    beat: Beat,
    inbound: VecDeque<Heard>,
    inbound_bytes: usize,
    outbound: VecDeque<(Opcode, Bytes)>,
    outbound_bytes: usize,
    /// So many of `outbound` are answers to pings.
    pongs: u8,
    /// The end is to be said after everything else.
    closing: bool,
    polling: Option<Instant>,
    posting: bool,
}

enum Phase {
    Polling,
    /// The client tries a WebSocket. It has said so there at this time.
    Probing(Option<Instant>),
    /// The client has changed over: the socket waits for the session to take it.
    Upgraded(Option<Box<Socket>>),
    Over(Farewell),
}

/// What a poll that waits is told at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// The client has closed, and needs no word but an answer.
    Noop,
    Close,
}

/// When a ping is due, or its answer.
struct Beat {
    due: Instant,
    /// A ping is out.
    asked: bool,
    /// A client that says something else has more time, once.
    extended: bool,
}

/// What the session's timer is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tick {
    /// To be asked again then.
    At(Instant),
    /// A ping is to be said.
    Ping,
    /// The client does not answer.
    Dead,
}

/// What comes of a poll.
pub(super) enum Turn {
    Payload(Body),
    /// Until something happens.
    Wait,
    /// Until something happens, or then.
    Until(Instant),
    /// The client has changed over, and should not poll.
    Refused,
}

/// What the session hears next.
pub(super) enum Next {
    Heard(Heard),
    Nothing,
    /// A POST from before the change is not read to its end: nothing is to be read from the socket.
    Behind,
    /// From now on, all goes over this; what no poll has taken goes first.
    Socket(Box<Socket>, Vec<Bytes>),
    Over,
}

/// The session has ended.
#[derive(Debug)]
pub(super) struct Over;

impl Exchange {
    pub(super) fn new(engine: Arc<Engine>, sid: Sid, eio: Eio, transport: Transport, takes_binary: bool) -> Self {
        let phase = match transport {
            Transport::Polling => Phase::Polling,
            Transport::WebSocket => Phase::Upgraded(None),
        };
        let state = State {
            phase,
            beat: Beat::new(eio, &engine),
            inbound: VecDeque::new(),
            inbound_bytes: 0,
            outbound: VecDeque::new(),
            outbound_bytes: 0,
            pongs: 0,
            closing: false,
            polling: None,
            posting: false,
        };
        let state = Mutex::new(state);
        Self { engine, sid, eio, takes_binary, state, session: Notify::new(), poll: Notify::new(), post: Notify::new() }
    }

    pub(super) fn eio(&self) -> Eio {
        self.eio
    }

    /// Whether the client takes binary data as it is (version 3 only).
    pub(super) fn takes_binary(&self) -> bool {
        self.takes_binary
    }

    /// Whether the client should have answered a ping by now, or has ended.
    pub(super) fn is_dead(&self) -> bool {
        let state = self.state.lock();
        matches!(state.phase, Phase::Over(_)) || state.beat.is_dead(&self.engine)
    }

    pub(super) fn close(&self, farewell: Farewell) {
        {
            let mut state = self.state.lock();
            if matches!(state.phase, Phase::Over(_)) {
                return;
            }
            state.phase = Phase::Over(farewell);
            state.outbound = VecDeque::new();
        }
        self.engine.forget(self.sid);
        self.session.notify_one();
        self.poll.notify_one();
        self.post.notify_one();
    }

    // What the session does.

    /// What is to be done next.
    pub(super) fn next(&self, reading: bool) -> Next {
        let mut state = self.state.lock();
        if reading && let Some(heard) = state.inbound.pop_front() {
            state.inbound_bytes = state.inbound_bytes.saturating_sub(cost(&heard));
            if state.inbound.is_empty() {
                state.inbound = VecDeque::new();
            }
            drop(state);
            self.post.notify_one();
            return Next::Heard(heard);
        }
        let (empty, behind) = (state.inbound.is_empty(), state.posting || !state.inbound.is_empty());
        match &mut state.phase {
            Phase::Over(_) if empty => Next::Over,
            Phase::Upgraded(socket) => match socket.take() {
                Some(socket) => {
                    let left = mem::take(&mut state.outbound);
                    state.outbound_bytes = 0;
                    state.pongs = 0;
                    Next::Socket(
                        socket,
                        left.into_iter().map(|(opcode, payload)| self.framed(opcode, &payload)).collect(),
                    )
                }
                None if behind => Next::Behind,
                None => Next::Nothing,
            },
            _ => Next::Nothing,
        }
    }

    /// Takes as many frames as there is room for, from the front. `Ok(true)` when all are taken.
    pub(super) fn put(&self, frames: &mut Vec<Bytes>) -> Result<bool, Over> {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Over(_)) {
            return Err(Over);
        }
        let mut taken = 0;
        for frame in frames.iter() {
            if state.outbound_bytes >= OUTBOUND_BYTES {
                break;
            }
            for (opcode, payload) in frame::messages(frame) {
                let payload = match (opcode, self.eio) {
                    (Opcode::Binary, Eio::V3) if payload.first() == Some(&BINARY_MESSAGE) => payload.slice(1..),
                    _ => payload,
                };
                state.outbound_bytes += payload.len() + MESSAGE_BYTES;
                state.outbound.push_back((opcode, payload));
            }
            taken += 1;
        }
        frames.drain(..taken);
        drop(state);
        self.poll.notify_one();
        Ok(frames.is_empty())
    }

    /// What the timer is for, now that it is due.
    pub(super) fn tick(&self) -> Tick {
        let mut state = self.state.lock();
        let tick = state.beat.tick(&self.engine);
        // On the socket, the session says it by itself.
        if tick == Tick::Ping && !matches!(state.phase, Phase::Upgraded(None)) {
            state.push(Bytes::from_static(b"2"));
            drop(state);
            self.poll.notify_one();
        }
        tick
    }

    /// Says the end after what is queued.
    pub(super) fn finish(&self) {
        self.state.lock().closing = true;
        self.poll.notify_one();
    }

    /// Whether the end is said.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Over(_))
    }

    fn framed(&self, opcode: Opcode, payload: &[u8]) -> Bytes {
        match (opcode, self.eio) {
            (Opcode::Binary, Eio::V4) => frame::binary(payload),
            (Opcode::Binary, Eio::V3) => frame::binary(&[&[BINARY_MESSAGE], payload].concat()),
            _ => frame::text(payload),
        }
    }

    // What the client's packets do.

    /// An answer to a ping.
    pub(super) fn pong(&self) {
        self.state.lock().beat.answered(self.eio, &self.engine);
    }

    /// A ping of a client of version 3.
    pub(super) fn ping(&self) {
        let mut state = self.state.lock();
        state.beat.answered(self.eio, &self.engine);
        if !matches!(state.phase, Phase::Upgraded(None)) {
            if state.pongs < PONGS_MAX {
                state.pongs += 1;
                state.push(Bytes::from_static(PONG));
            }
            drop(state);
            self.poll.notify_one();
        }
    }

    /// Any other packet.
    pub(super) fn sign_of_life(&self) {
        self.state.lock().beat.extend(&self.engine);
    }

    // What requests do.

    /// Begins a poll. `false` where there is one already.
    pub(super) fn begin_poll(&self) -> Result<bool, Over> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Over(_) | Phase::Upgraded(_) => Err(Over),
            _ if state.polling.is_some() => Ok(false),
            _ => {
                state.polling = Some(Instant::now());
                Ok(true)
            }
        }
    }

    pub(super) fn is_polling(&self) -> bool {
        self.state.lock().polling.is_some()
    }

    /// What the poll is answered with, if anything.
    pub(super) fn turn(&self) -> Turn {
        let mut state = self.state.lock();
        let turn = match state.phase {
            Phase::Over(farewell) => Turn::Payload(self.word(match farewell {
                Farewell::Noop => "6",
                Farewell::Close => "1",
            })),
            Phase::Upgraded(_) => Turn::Refused,
            _ if state.has_words() => Turn::Payload(self.take(&mut state)),
            Phase::Probing(Some(since)) => {
                let until = state.polling.map_or(since, |polling| polling.max(since)) + RELEASE;
                match Instant::now() >= until {
                    true => Turn::Payload(self.word("6")),
                    false => Turn::Until(until),
                }
            }
            _ => Turn::Wait,
        };
        if matches!(turn, Turn::Payload(_) | Turn::Refused) {
            state.polling = None;
            drop(state);
            self.session.notify_one();
        }
        turn
    }

    fn word(&self, word: &'static str) -> Body {
        encode([Part::Text(word)].into_iter(), self.eio, self.takes_binary)
    }

    fn take(&self, state: &mut State) -> Body {
        let count = state.outbound.len().min(PACKETS_MAX);
        // By itself: npm's client would close before it has looked at the messages that came with it.
        let closes = state.closing && count == 0;
        let messages = state.outbound.range(..count).map(|(opcode, payload)| match opcode {
            Opcode::Binary => Part::Binary(payload),
            // Ours are UTF-8.
            _ => Part::Text(std::str::from_utf8(payload).unwrap_or("6")),
        });
        let last = closes.then_some(Part::Text("1"));
        let body = encode(messages.chain(last), self.eio, self.takes_binary);
        for (_, payload) in state.outbound.drain(..count) {
            state.outbound_bytes = state.outbound_bytes.saturating_sub(payload.len() + MESSAGE_BYTES);
            // A message begins with another digit.
            state.pongs -= u8::from(payload[..] == *PONG && state.pongs > 0);
        }
        if state.outbound.is_empty() {
            state.outbound = VecDeque::new();
        }
        if closes {
            state.closing = false;
            state.phase = Phase::Over(Farewell::Close);
            self.engine.forget(self.sid);
        }
        body
    }

    /// Begins a POST. `false` where there is one already.
    pub(super) fn begin_post(&self) -> Result<bool, Over> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Over(_) | Phase::Upgraded(_) => Err(Over),
            _ => Ok(!mem::replace(&mut state.posting, true)),
        }
    }

    pub(super) fn end_post(&self) {
        self.state.lock().posting = false;
        self.session.notify_one();
    }

    /// Waits for room for a message.
    pub(super) async fn deliver(&self, heard: Heard) -> Result<(), Over> {
        loop {
            {
                let mut state = self.state.lock();
                if matches!(state.phase, Phase::Over(_)) {
                    return Err(Over);
                }
                if state.inbound_bytes < INBOUND_BYTES {
                    state.inbound_bytes += cost(&heard);
                    state.inbound.push_back(heard);
                    drop(state);
                    self.session.notify_one();
                    return Ok(());
                }
            }
            self.post.notified().await;
        }
    }

    /// Begins to try a WebSocket, if none is tried and the session is polling.
    pub(super) fn begin_probe(&self) -> bool {
        let mut state = self.state.lock();
        let free = matches!(state.phase, Phase::Polling) && !state.closing;
        if free {
            state.phase = Phase::Probing(None);
        }
        free
    }

    /// The WebSocket works: the poll is to end.
    pub(super) fn probed(&self) {
        let mut state = self.state.lock();
        if let Phase::Probing(since) = &mut state.phase {
            *since = Some(Instant::now());
        }
        drop(state);
        self.poll.notify_one();
    }

    /// Ends the try: with the socket, from which all comes from now on, or without.
    pub(super) fn end_probe(&self, socket: Option<Socket>) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Probing(_)) {
            return;
        }
        state.phase = match socket {
            Some(socket) => Phase::Upgraded(Some(Box::new(socket))),
            None => Phase::Polling,
        };
        drop(state);
        self.poll.notify_one();
        self.session.notify_one();
    }
}

impl State {
    fn has_words(&self) -> bool {
        self.closing || !self.outbound.is_empty()
    }

    /// Says a packet of Engine.IO's own, after what was said before.
    fn push(&mut self, packet: Bytes) {
        self.outbound_bytes += packet.len() + MESSAGE_BYTES;
        self.outbound.push_back((Opcode::Text, packet));
    }
}

fn cost(heard: &Heard) -> usize {
    MESSAGE_BYTES
        + match heard {
            Heard::Text(text) => text.len(),
            Heard::Binary(data) => data.len(),
        }
}

impl Beat {
    fn new(eio: Eio, engine: &Engine) -> Self {
        let interval = engine.settings.ping_interval;
        match eio {
            Eio::V4 => Self { due: Instant::now() + interval, asked: false, extended: false },
            // The client pings without being asked; so it is asked all the time.
            Eio::V3 => {
                Self { due: Instant::now() + interval + engine.settings.ping_timeout, asked: true, extended: true }
            }
        }
    }

    fn is_dead(&self, engine: &Engine) -> bool {
        let grace = if self.asked { Duration::ZERO } else { engine.settings.ping_timeout };
        Instant::now() >= self.due + grace
    }

    fn tick(&mut self, engine: &Engine) -> Tick {
        if self.is_dead(engine) {
            return Tick::Dead;
        }
        if self.asked || Instant::now() < self.due {
            return Tick::At(self.due);
        }
        // From when it was due: a late timer takes nothing from the client, and gives nothing.
        *self = Self { due: self.due + engine.settings.ping_timeout, asked: true, extended: false };
        Tick::Ping
    }

    fn answered(&mut self, eio: Eio, engine: &Engine) {
        *self = Self::new(eio, engine);
    }

    fn extend(&mut self, engine: &Engine) {
        if self.asked && !self.extended {
            self.due = Instant::now() + engine.settings.ping_timeout;
            self.extended = true;
        }
    }
}
