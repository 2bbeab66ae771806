//! `/v1/ws`: a session over WebSocket, RFC 6455.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::SinkExt;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::reply::Refusal;
use super::{Doors, remote};
use crate::hub::Closing;
use crate::protocol::encode::Wire;
use crate::protocol::{Code, Problem, ServerMessage};
use crate::session::Session;

/// With tungstenite's own sizes an idle connection holds 137 kB; with these, 9.
const READ_BUFFER: usize = 4 << 10;
const WRITE_BUFFER: usize = 16 << 10;

/// How long a client that sends what cannot be read has for hearing why it is closed.
const LINGER: Duration = Duration::from_millis(500);

pub(super) async fn upgrade(
    State(doors): State<Doors>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|rejection| {
        let message = format!("/v1/ws speaks WebSocket: {}", rejection.body_text());
        Problem::new(Code::BadMessage, message).hint("connect with a WebSocket client, or use /v1/stream")
    })?;
    let remote = remote(peer);
    let session = Session::open(doors.node.clone(), Wire::WebSocket, "websocket", remote)?;
    let frame_bytes = doors.node.limits.frame_bytes;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(frame_bytes)
        .max_frame_size(frame_bytes);
    Ok(upgrade.on_upgrade(move |socket| Conversation::new(socket, session, &doors).run()).into_response())
}

struct Conversation {
    socket: WebSocket,
    session: Session,
    write_stall: Duration,
    heartbeat: Duration,
    ping: Interval,
    heard: Instant,
    frame_bytes: usize,
    /// Frames that the session has handed out: they outlive a turn in which something else came first.
    out: Vec<Bytes>,
}

/// How a conversation ends.
enum End {
    /// The client has gone, in one way or another.
    Gone,
    /// We close, and say why.
    Close(u16, Closing),
}

impl Conversation {
    fn new(socket: WebSocket, session: Session, doors: &Doors) -> Self {
        let limits = &doors.node.limits;
        let mut ping = interval(limits.heartbeat);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            socket,
            session,
            write_stall: limits.write_stall,
            heartbeat: limits.heartbeat,
            ping,
            heard: Instant::now(),
            frame_bytes: limits.frame_bytes,
            out: Vec::new(),
        }
    }

    async fn run(mut self) {
        self.session.greet();
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        if let End::Close(code, closing) = end {
            // A client that reads nothing must not hold the goodbye up. In a box, so that it takes no room before it is said.
            let _ = timeout(Duration::from_secs(5), Box::pin(self.say_goodbye(code, closing))).await;
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        tokio::select! {
            message = self.socket.recv(), if self.session.can_receive() => {
                self.heard = Instant::now();
                match message {
                    Some(Ok(message)) => self.hear(message)?,
                    Some(Err(error)) => return Err(self.read_error(&error)),
                    None => return Err(End::Gone),
                }
            }
            next = self.session.next(&mut self.out) => {
                next.map_err(|closing| End::Close(1001, closing))?;
                self.send().await?;
            }
            _ = self.ping.tick() => self.keep_alive().await?,
        }
        Ok(())
    }

    fn hear(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Text(text) => self.session.receive(&text).map_err(policy),
            Message::Binary(_) => {
                let problem = Problem::new(Code::BadMessage, "messages are text frames, not binary ones");
                self.session.refuse(None, None, problem).map_err(policy)
            }
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(End::Gone),
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
    async fn send(&mut self) -> Result<(), End> {
        let writing = async {
            for frame in self.out.drain(..) {
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

    async fn say_goodbye(&mut self, code: u16, closing: Closing) {
        let Closing { reason, message, retry_ms } = closing;
        let close = ServerMessage::Close { reason: reason.into(), message, retry_ms };
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = self.socket.send(Message::Text(close.to_json().into())).await;
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

fn policy(closing: Closing) -> End {
    End::Close(1008, closing)
}
