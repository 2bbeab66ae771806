//! WebSockets for programs that embed the library, on the connections that the other doors are on.
//!
//! Leaves what the messages say to the program.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::origin::Origins;
use super::socket::{End, Heard, Settings as SocketSettings, Socket, Upgrade};
use crate::hub::Closing;
use crate::protocol::frame;

/// Why a client is closed that does not answer a ping.
const NO_ANSWER: &str = "ping_timeout";

/// What a WebSocket may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The largest message that is read, in bytes. A larger one ends the connection with 1009.
    pub max_payload: usize,
    /// How often a client is pinged.
    pub ping_interval: Duration,
    /// How long it may be silent after a ping.
    pub ping_timeout: Duration,
    /// How long a write may make no progress.
    pub write_timeout: Duration,
    /// Whether compressed messages are taken (RFC 7692).
    pub deflate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_payload: 1_000_000,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(30),
            deflate: false,
        }
    }
}

/// A message, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// UTF-8.
    Text(String),
    /// Any bytes.
    Binary(Bytes),
}

/// The connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the WebSocket is closed")]
pub struct Closed;

/// A path that WebSockets connect to. `serve` is called for each; the connection ends when it returns.
pub fn route<S, F>(path: &str, settings: &Settings, origins: &Origins, serve: S) -> Router
where
    S: Fn(WebSocket) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let state = Arc::new((settings.clone(), origins.clone()));
    let answer = async move |State(state): State<Arc<(Settings, Origins)>>, request: Request| {
        let (mut parts, _) = request.into_parts();
        let host = parts.headers.get(header::HOST);
        if parts.headers.get(header::ORIGIN).is_some_and(|origin| !state.1.allow(origin, host)) {
            return StatusCode::FORBIDDEN.into_response();
        }
        match Upgrade::of(&mut parts) {
            Ok(upgrade) => WebSocket::accept(upgrade, &state.0, serve),
            Err(wrong) => wrong.into_response(),
        }
    };
    Router::new().route(path, get(answer)).with_state(state)
}

/// One client.
pub struct WebSocket {
    socket: Option<Socket>,
    ping_interval: Duration,
    ping_timeout: Duration,
    timer: Pin<Box<Sleep>>,
    /// When it was pinged, if it has said nothing since.
    asked: Option<std::time::Instant>,
}

impl WebSocket {
    fn accept<S, F>(upgrade: Upgrade, settings: &Settings, serve: S) -> Response
    where
        S: Fn(WebSocket) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Settings { max_payload, ping_interval, ping_timeout, write_timeout, deflate } = *settings;
        let settings =
            SocketSettings { message_max: max_payload, write_stall: write_timeout, heartbeat: None, deflate };
        upgrade.run_with(settings, move |socket| {
            let timer = Box::pin(sleep_until(Instant::now() + ping_interval));
            serve(Self { socket: Some(socket), ping_interval, ping_timeout, timer, asked: None })
        })
    }

    /// The next message; `None` when there are no more. To be awaited to its end: the last word to the client is said here.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            let Self { socket: Some(socket), timer, .. } = self else { return None };
            let end = tokio::select! {
                heard = socket.hear(true) => match heard {
                    Ok(Heard::Text(text)) => return Some(Message::Text(text)),
                    Ok(Heard::Binary(data)) => return Some(Message::Binary(data)),
                    Err(end) => end,
                },
                () = timer => match self.tick() {
                    Ok(()) => continue,
                    Err(end) => end,
                }
            };
            self.end(end).await;
        }
    }

    /// Sends a message, when the client has taken what was sent before.
    pub async fn send(&mut self, message: &Message) -> Result<(), Closed> {
        let socket = self.socket.as_mut().ok_or(Closed)?;
        let frame = match message {
            Message::Text(text) => frame::text(text.as_bytes()),
            Message::Binary(data) => frame::binary(data),
        };
        let sent = socket.send(&mut vec![frame]).await;
        sent.map_err(|_| {
            self.socket = None;
            Closed
        })
    }

    /// Closes with a code and a reason.
    pub async fn close(mut self, code: u16, reason: &'static str) {
        if let Some(socket) = self.socket.take() {
            socket.goodbye(code, reason, None).await;
        }
    }

    fn tick(&mut self) -> Result<(), End> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let due = match self.asked {
            Some(asked) if socket.last_heard() <= asked => {
                let message = "no answer to a ping".to_owned();
                return Err(End::Close(1001, Closing { reason: NO_ANSWER, message, retry_ms: 1000 }));
            }
            Some(asked) => {
                self.asked = None;
                asked + self.ping_interval
            }
            None => {
                socket.queue(frame::ping(&[]));
                let now = std::time::Instant::now();
                self.asked = Some(now);
                now + self.ping_timeout
            }
        };
        self.timer.as_mut().reset(due.into());
        Ok(())
    }

    async fn end(&mut self, end: End) {
        match (self.socket.take(), end) {
            // One that does not answer is told why, and not waited for.
            (Some(mut socket), End::Close(code, closing)) if closing.reason == NO_ANSWER => {
                let _ = socket.send(&mut vec![frame::close(code, closing.reason)]).await;
            }
            (Some(socket), End::Close(code, closing)) => socket.goodbye(code, closing.reason, None).await,
            _ => {}
        }
    }
}
