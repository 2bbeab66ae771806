//! One session, whatever carries it at the moment: what the layer above hears, and says.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::exchange::{Exchange, Farewell, Next, Over, Tick};
use super::handshake::Handshake;
use super::{End, Heard};
use crate::hub::{Closing, Lane};
use crate::protocol::engineio::{BINARY_MESSAGE, Eio, Packet, encode_base64};
use crate::protocol::frame::{self, Opcode};
use crate::transport::socket::Socket;

/// How long a session that is closed waits for a poll to say so to.
const GOODBYE: Duration = Duration::from_secs(10);

/// Answers to pings that may wait to be written; a client that reads none of them gets no more.
const PONGS_MAX: usize = 16;

/// One Engine.IO session. When it is dropped, the session is over.
pub(in crate::transport) struct Peer {
    exchange: Arc<Exchange>,
    handshake: Arc<Handshake>,
    /// `None` while it is polling.
    socket: Option<Box<Socket>>,
    /// For pings and their answers.
    timer: Pin<Box<Sleep>>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.exchange.close(Farewell::Close);
    }
}

impl Peer {
    pub(super) fn new(exchange: Arc<Exchange>, handshake: Handshake) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + exchange.engine.settings.ping_interval));
        Self { exchange, handshake: Arc::new(handshake), socket: None, timer }
    }

    pub(super) fn carried_by(mut self, socket: Box<Socket>) -> Self {
        self.socket = Some(socket);
        self
    }

    /// What the request said that began the session.
    pub(in crate::transport) fn handshake(&self) -> &Arc<Handshake> {
        &self.handshake
    }

    /// Waits for a message, and keeps the session alive; takes none unless `reading`. Dropping the future loses nothing.
    pub(in crate::transport) async fn hear(&mut self, reading: bool) -> Result<Heard, End> {
        loop {
            let may_read = match self.exchange.next(reading) {
                Next::Heard(heard) => return Ok(heard),
                Next::Over => return Err(End::Gone),
                Next::Socket(socket, left) => {
                    self.change_over(socket, left);
                    continue;
                }
                Next::Behind => false,
                Next::Nothing => reading,
            };
            let Self { exchange, socket, timer, .. } = self;
            let came = match socket {
                Some(socket) if may_read => tokio::select! {
                    heard = socket.hear(true) => Some(heard?),
                    () = timer => None,
                },
                Some(socket) => tokio::select! {
                    heard = socket.hear(false) => Some(heard?),
                    () = exchange.session.notified() => continue,
                    () = timer => None,
                },
                None => tokio::select! {
                    () = exchange.session.notified() => continue,
                    () = timer => None,
                },
            };
            match came {
                None => self.tick()?,
                Some(heard) => {
                    if let Some(heard) = self.understand(heard)? {
                        return Ok(heard);
                    }
                }
            }
        }
    }

    /// What the hub may write to: a WebSocket on a plain TCP connection, once everything older is written.
    pub(in crate::transport) fn lane(&self) -> Option<&Arc<Lane>> {
        self.socket.as_ref().filter(|socket| socket.queued() == 0)?.lane()
    }

    /// Whether the hub has left something half written, which goes out with whatever is said next.
    pub(in crate::transport) fn has_rest(&self) -> bool {
        self.socket.as_ref().and_then(|socket| socket.lane()).is_some_and(|lane| lane.has_rest())
    }

    /// Says all of it: frames of RFC 6455 with one message each, `4…` as text or binary (version 3: with its type in front). While the
    /// session is polling, it waits until a poll has taken so much that there is room.
    pub(in crate::transport) async fn send(&mut self, frames: &mut Vec<Bytes>) -> Result<(), End> {
        loop {
            if let Some(socket) = &mut self.socket {
                if self.exchange.eio() == Eio::V3 && !self.exchange.takes_binary() {
                    frames.iter_mut().for_each(|frame| *frame = as_text(frame));
                }
                return socket.send(frames).await;
            }
            match self.exchange.put(frames) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(Over) => return Err(End::Gone),
            }
            if let Next::Socket(socket, left) = self.exchange.next(false) {
                self.change_over(socket, left);
                continue;
            }
            let Self { exchange, timer, .. } = self;
            tokio::select! {
                () = exchange.session.notified() => {}
                () = timer => self.tick()?,
            }
        }
    }

    /// Says a last word (a frame), where there is one for this, and closes.
    pub(in crate::transport) async fn goodbye(mut self, code: u16, reason: &'static str, last_word: Option<Bytes>) {
        if let Next::Socket(socket, left) = self.exchange.next(false) {
            self.change_over(socket, left);
        }
        if let Some(socket) = self.socket.take() {
            self.exchange.close(Farewell::Close);
            return socket.goodbye(code, reason, last_word).await;
        }
        if self.exchange.put(&mut last_word.into_iter().collect()).is_err() {
            return;
        }
        self.exchange.finish();
        let said = async {
            while !self.exchange.is_over() {
                self.exchange.session.notified().await;
            }
        };
        let _ = timeout(GOODBYE, said).await;
    }

    fn change_over(&mut self, mut socket: Box<Socket>, left: Vec<Bytes>) {
        for frame in left {
            socket.queue(frame);
        }
        self.socket = Some(socket);
    }

    /// The timer has come to its end.
    fn tick(&mut self) -> Result<(), End> {
        loop {
            match (self.exchange.tick(), &mut self.socket) {
                (Tick::At(due), _) => {
                    self.timer.as_mut().reset(due.into());
                    return Ok(());
                }
                (Tick::Ping, Some(socket)) => socket.queue(frame::text(b"2")),
                // A poll says it; or the socket that the session is about to get.
                (Tick::Ping, None) => {}
                (Tick::Dead, _) => {
                    self.exchange.close(Farewell::Close);
                    return Err(closing(1001, "ping_timeout", "no answer to a ping"));
                }
            }
        }
    }

    /// A message, if that is what came.
    fn understand(&mut self, heard: Heard) -> Result<Option<Heard>, End> {
        let eio = self.exchange.eio();
        let malformed = |message: &'static str| closing(1002, "malformed", message);
        let text = match heard {
            Heard::Text(text) => text,
            Heard::Binary(data) if eio == Eio::V4 => {
                self.exchange.sign_of_life();
                return Ok(Some(Heard::Binary(data)));
            }
            Heard::Binary(data) => match data.first() {
                Some(&BINARY_MESSAGE) => return Ok(Some(Heard::Binary(data.slice(1..)))),
                _ => return Err(malformed("a binary packet that is no message")),
            },
        };
        match (Packet::decode(&text, eio), eio) {
            (Ok(Packet::Message(_)), _) => {
                self.exchange.sign_of_life();
                let mut text = text;
                text.remove(0);
                Ok(Some(Heard::Text(text)))
            }
            (Ok(Packet::Binary(data)), _) => {
                self.exchange.sign_of_life();
                Ok(Some(Heard::Binary(data.into_owned().into())))
            }
            (Ok(Packet::Ping(_)), Eio::V3) => {
                self.exchange.ping();
                if let Some(socket) = &mut self.socket
                    && socket.queued() < PONGS_MAX
                {
                    socket.queue(frame::text(b"3"));
                }
                Ok(None)
            }
            (Ok(Packet::Pong(_)), Eio::V4) => {
                self.exchange.pong();
                Ok(None)
            }
            (Ok(Packet::Ping(_) | Packet::Pong(_)), _) => Err(malformed("a ping or a pong in the wrong direction")),
            (Ok(Packet::Close), _) => Err(closing(1000, "client_closed", "the client has closed")),
            (Ok(Packet::Open(_) | Packet::Upgrade | Packet::Noop), _) => Ok(None),
            (Err(wrong), _) => Err(malformed(wrong.0)),
        }
    }
}

fn closing(code: u16, reason: &'static str, message: &str) -> End {
    End::Close(code, Closing { reason, message: message.into(), retry_ms: 1000 })
}

/// For a client that takes no binary frames: base64 in text frames.
fn as_text(frames: &Bytes) -> Bytes {
    if !frame::messages(frames).any(|(opcode, _)| opcode == Opcode::Binary) {
        return frames.clone();
    }
    let mut out = Vec::new();
    for (opcode, payload) in frame::messages(frames) {
        match opcode {
            Opcode::Binary => {
                let mut text = String::new();
                encode_base64(payload.strip_prefix(&[BINARY_MESSAGE]).unwrap_or(&payload), Eio::V3, &mut text);
                out.extend_from_slice(&frame::text(text.as_bytes()));
            }
            _ => out.extend_from_slice(&frame::text(&payload)),
        }
    }
    out.into()
}
