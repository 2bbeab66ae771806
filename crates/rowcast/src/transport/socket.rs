//! A WebSocket, RFC 6455, as every door that speaks it needs it: pings, slow writers, and how it ends.
//!
//! Leaves what the frames say to the doors.

use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use bytes::Bytes;
use futures_util::SinkExt;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::hub::Closing;
use crate::session::Limits;

/// With tungstenite's own sizes an idle connection holds 137 kB; with these, 9.
const READ_BUFFER: usize = 4 << 10;
const WRITE_BUFFER: usize = 16 << 10;

/// How long a client that sends what cannot be read has for hearing why it is closed.
const LINGER: Duration = Duration::from_millis(500);
/// How long a client that reads nothing may hold the goodbye up.
const GOODBYE: Duration = Duration::from_secs(5);

pub(super) struct Socket {
    socket: WebSocket,
    write_stall: Duration,
    heartbeat: Duration,
    ping: Interval,
    heard: Instant,
    frame_bytes: usize,
}

/// What a client says.
pub(super) enum Heard {
    Text(Utf8Bytes),
    /// A binary frame, which no door understands.
    Binary,
}

/// How a connection ends.
pub(super) enum End {
    /// The client has gone, in one way or another.
    Gone,
    /// We close, and say why.
    Close(u16, Closing),
}

impl End {
    /// The client did what it may not.
    pub(super) fn policy(closing: Closing) -> Self {
        Self::Close(1008, closing)
    }

    /// We go away.
    pub(super) fn away(closing: Closing) -> Self {
        Self::Close(1001, closing)
    }
}

/// The sizes that suit many idle connections, and the largest frame that is taken.
pub(super) fn prepare(upgrade: WebSocketUpgrade, limits: &Limits) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(limits.frame_bytes)
        .max_frame_size(limits.frame_bytes)
}

impl Socket {
    pub(super) fn new(socket: WebSocket, limits: &Limits) -> Self {
        let mut ping = interval(limits.heartbeat);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            socket,
            write_stall: limits.write_stall,
            heartbeat: limits.heartbeat,
            ping,
            heard: Instant::now(),
            frame_bytes: limits.frame_bytes,
        }
    }

    /// Waits for a message, and keeps the connection alive; reads nothing unless `reading`. Dropping the future loses nothing.
    pub(super) async fn hear(&mut self, reading: bool) -> Result<Heard, End> {
        loop {
            tokio::select! {
                message = self.socket.recv(), if reading => {
                    self.heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => return Ok(Heard::Text(text)),
                        Some(Ok(Message::Binary(_))) => return Ok(Heard::Binary),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_))) | None => return Err(End::Gone),
                        Some(Err(error)) => return Err(self.read_error(&error)),
                    }
                }
                _ = self.ping.tick() => self.keep_alive().await?,
            }
        }
    }

    fn read_error(&self, error: &axum::Error) -> End {
        let text = error.to_string();
        if text.contains("too long") || text.contains("too big") || text.contains("larger than") {
            let message = format!("a message is larger than {} bytes", self.frame_bytes);
            return End::Close(1009, Closing { reason: "too_large", message, retry_ms: 1000 });
        }
        End::Gone
    }

    /// Writes all frames, flushing once.
    pub(super) async fn send(&mut self, frames: &mut Vec<Bytes>) -> Result<(), End> {
        let writing = async {
            for frame in frames.drain(..) {
                // Our own frames are UTF-8; the check costs less than a copy.
                let text = Utf8Bytes::try_from(frame).map_err(|_| End::Gone)?;
                self.socket.feed(Message::Text(text)).await.map_err(|_| End::Gone)?;
            }
            self.socket.flush().await.map_err(|_| End::Gone)
        };
        match timeout(self.write_stall, writing).await {
            Ok(written) => written,
            // Nothing can be written, so there is no goodbye either.
            Err(_) => Err(End::Gone),
        }
    }

    async fn keep_alive(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > self.heartbeat.mul_f32(2.5) {
            let message = "no answer to pings".to_owned();
            return Err(End::Close(4001, Closing { reason: "no_answer", message, retry_ms: 0 }));
        }
        let ping = self.socket.send(Message::Ping(Bytes::new()));
        match timeout(self.write_stall, ping).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    /// Says a last word, where the door has one for this, and closes.
    pub(super) async fn goodbye(self, code: u16, reason: &'static str, last_word: Option<String>) {
        // In a box, so that it takes no room before it is said.
        let _ = timeout(GOODBYE, Box::pin(self.close(code, reason, last_word))).await;
    }

    async fn close(mut self, code: u16, reason: &'static str, last_word: Option<String>) {
        if let Some(text) = last_word {
            let _ = self.socket.send(Message::Text(text.into())).await;
        }
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = self.socket.send(Message::Close(Some(frame))).await;
        // The peer's own close frame ends the connection without a reset.
        while let Some(Ok(message)) = self.socket.recv().await {
            if let Message::Close(_) = message {
                return;
            }
        }
        // What is still on its way cannot be read after such an error. With unread bytes, a connection that is closed at once
        // takes our last words with it.
        tokio::time::sleep(LINGER).await;
    }
}
