//! A WebSocket, RFC 6455, on its bare connection, as every door that speaks it needs it: frames in and out, pings, slow writers, and
//! how it ends.
//!
//! What goes out is framed already and shared with other clients (`protocol/frame`). Leaves what the frames say to the doors.

mod handshake;

use std::future::poll_fn;
use std::io::Result as IoResult;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::ReadBuf;
use tokio::time::{Interval, MissedTickBehavior, interval_at, timeout};

pub(crate) use handshake::{NoUpgrade, Upgrade};

use super::io::Io;
use crate::hub::{Closing, Lane};
use crate::protocol::frame;
use crate::protocol::frame::read::{Heard as Read, Reader, Violation};
use crate::session::Limits;
use crate::session::{REVOKED, UNAUTHENTICATED};

/// Read at once. On the stack: an idle connection has no buffer.
const READ_BYTES: usize = 4 << 10;
/// Read before others get their turn.
const READS_MAX: u32 = 16;
/// How long a client that sends what cannot be read has for hearing why it is closed.
const LINGER: Duration = Duration::from_millis(500);
/// How long a client that reads nothing may hold the goodbye up.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a socket may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) message_max: usize,
    pub(crate) write_stall: Duration,
    /// How often it is pinged; `None` where the door does that with messages of its own.
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) deflate: bool,
}

impl Settings {
    pub(crate) fn of(limits: &Limits) -> Self {
        let (message_max, write_stall) = (limits.frame_bytes, limits.write_stall);
        Self { message_max, write_stall, heartbeat: Some(limits.heartbeat), deflate: false }
    }
}

pub(crate) struct Socket {
    io: Io,
    reader: Reader,
    settings: Settings,
    ping: Option<Interval>,
    heard: Instant,
    /// Control frames that wait to be written: the last pong, a ping.
    control: Vec<Bytes>,
    /// So many of `control` are written.
    control_done: usize,
}

/// What a client says.
#[derive(Debug)]
pub(crate) enum Heard {
    Text(String),
    #[allow(dead_code, reason = "Socket.IO reads them")]
    Binary(Bytes),
}

/// How a connection ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client has gone, in one way or another.
    Gone,
    /// We close, and say why.
    Close(u16, Closing),
}

impl End {
    /// The client did what it may not.
    pub(crate) fn policy(closing: Closing) -> Self {
        Self::Close(1008, closing)
    }

    /// The gateway wants the connection closed.
    pub(crate) fn wanted(closing: Closing) -> Self {
        let code = match closing.reason {
            UNAUTHENTICATED => 4401,
            REVOKED => 4403,
            "bad_messages" => 1008,
            _ => 1001,
        };
        Self::Close(code, closing)
    }
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl Socket {
    /// `first` are bytes that came with the handshake.
    fn new(io: Io, first: &[u8], settings: Settings) -> Self {
        let mut reader = Reader::new(settings.message_max, settings.deflate);
        reader.feed(first);
        let ping = settings.heartbeat.map(|every| {
            let mut ping = interval_at(tokio::time::Instant::now() + every, every);
            ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ping
        });
        Self { io, reader, settings, ping, heard: Instant::now(), control: Vec::new(), control_done: 0 }
    }

    /// What the hub may write to, where it is a plain TCP connection.
    pub(crate) fn lane(&self) -> Option<&Arc<Lane>> {
        self.io.lane()
    }

    /// Has a frame written before anything else: a ping of the door's own. [`hear`](Self::hear) does it, too.
    pub(crate) fn queue(&mut self, frame: Bytes) {
        self.control.push(frame);
    }

    /// When the client was heard last.
    pub(crate) fn last_heard(&self) -> Instant {
        self.heard
    }

    /// How many frames are queued before anything else.
    pub(crate) fn queued(&self) -> usize {
        self.control.len() - self.control_done.min(self.control.len())
    }

    /// Waits for a message, and keeps the connection alive; reads nothing unless `reading`. Dropping the future loses nothing.
    pub(crate) async fn hear(&mut self, reading: bool) -> Result<Heard, End> {
        poll_fn(|cx| self.poll_hear(cx, reading)).await
    }

    pub(crate) fn poll_hear(&mut self, cx: &mut Context<'_>, reading: bool) -> Poll<Result<Heard, End>> {
        if self.ping.as_mut().is_some_and(|ping| ping.poll_tick(cx).is_ready()) {
            self.keep_alive()?;
            // Asked again, so that the next tick is waited for.
            let _ = self.ping.as_mut().map(|ping| ping.poll_tick(cx));
        }
        for _ in 0..READS_MAX {
            if !self.control.is_empty()
                && let Poll::Ready(written) = self.poll_write_control(cx)
            {
                written?;
            }
            if !reading {
                return Poll::Pending;
            }
            match self.reader.next() {
                Ok(Some(read)) => {
                    self.heard = Instant::now();
                    match read {
                        Read::Text(text) => return Poll::Ready(Ok(Heard::Text(text))),
                        Read::Binary(bytes) => return Poll::Ready(Ok(Heard::Binary(bytes))),
                        Read::Ping(payload) => self.answer(&payload),
                        Read::Pong => {}
                        Read::Close(code) => {
                            self.control = vec![frame::close(code.unwrap_or(1000), "")];
                            self.control_done = 0;
                            let _ = self.poll_write_control(cx);
                            return Poll::Ready(Err(End::Gone));
                        }
                    }
                }
                Ok(None) => {
                    let mut room = [std::mem::MaybeUninit::uninit(); READ_BYTES];
                    let mut into = ReadBuf::uninit(&mut room);
                    match self.io.poll_read(cx, &mut into) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Gone)),
                        Poll::Ready(Ok(())) if into.filled().is_empty() => return Poll::Ready(Err(End::Gone)),
                        Poll::Ready(Ok(())) => self.reader.feed(into.filled()),
                    }
                }
                Err(violation) => return Poll::Ready(Err(self.broken(&violation))),
            }
        }
        // A client that talks without end lets others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn broken(&self, violation: &Violation) -> End {
        let (reason, message) = match violation.code {
            1009 => ("too_large", format!("a message is larger than {} bytes", self.settings.message_max)),
            1007 => ("not_utf8", violation.reason.to_owned()),
            1008 => ("policy", violation.reason.to_owned()),
            _ => ("protocol", violation.reason.to_owned()),
        };
        End::Close(violation.code, Closing { reason, message, retry_ms: 1000 })
    }

    /// Only the last ping needs an answer (RFC 6455, section 5.5.3): a flood of them takes no room.
    fn answer(&mut self, payload: &[u8]) {
        if self.control_done == 0 && self.control.len() < 2 {
            self.control.push(frame::pong(payload));
        }
    }

    /// Writes all frames. They are not to be dropped half written: this future is awaited to its end, or the socket ends.
    pub(crate) async fn send(&mut self, frames: &mut Vec<Bytes>) -> Result<(), End> {
        if !self.control.is_empty() {
            // What is half written of it comes first.
            let written = timeout(self.settings.write_stall, poll_fn(|cx| self.poll_write_control(cx)));
            let written = Box::pin(written).await;
            written.map_err(|_| End::Gone)??;
        }
        // What cannot be written has no goodbye either.
        Ok(self.io.write_all(frames, self.settings.write_stall).await?)
    }

    fn poll_write_control(&mut self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        let written = self.io.poll_write_all(cx, &mut self.control, &mut self.control_done);
        if written.is_ready() {
            self.control = Vec::new();
        }
        written
    }

    fn keep_alive(&mut self) -> Result<(), End> {
        let Some(heartbeat) = self.settings.heartbeat else { return Ok(()) };
        if self.heard.elapsed() > heartbeat.mul_f32(2.5) {
            let message = "no answer to pings".to_owned();
            return Err(End::Close(4001, Closing { reason: "no_answer", message, retry_ms: 0 }));
        }
        if self.control.is_empty() {
            self.control.push(frame::ping(&[]));
        }
        Ok(())
    }

    /// Says a last word (a frame), where the door has one for this, and closes.
    pub(crate) async fn goodbye(self, code: u16, reason: &'static str, last_word: Option<Bytes>) {
        // In a box, so that it takes no room before it is said.
        let _ = timeout(GOODBYE, Box::pin(self.close(code, reason, last_word))).await;
    }

    async fn close(mut self, code: u16, reason: &'static str, last_word: Option<Bytes>) {
        let mut last: Vec<Bytes> = last_word.into_iter().chain([frame::close(code, reason)]).collect();
        if self.send(&mut last).await.is_err() {
            return;
        }
        // What the client still sends is read and thrown away: with unread bytes, a connection that is closed takes our last words with
        // it. Its own close frame ends the connection; one that sent what cannot be read has a moment to hear why.
        self.ping = None;
        let broken = matches!(code, 1002 | 1007 | 1008 | 1009);
        let closed = poll_fn(|cx| self.poll_closed(cx, broken));
        if broken {
            let _ = timeout(LINGER, closed).await;
        } else {
            closed.await;
        }
        let _ = poll_fn(|cx| self.io.poll_shutdown(cx)).await;
    }

    /// Ready when the client has closed, too.
    fn poll_closed(&mut self, cx: &mut Context<'_>, broken: bool) -> Poll<()> {
        if !broken {
            loop {
                match self.poll_hear(cx, true) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
        self.io.poll_drain(cx)
    }
}
