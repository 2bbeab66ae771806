//! `/v1/ws`: a session over WebSocket.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::reply::Refusal;
use super::socket::{End, Heard, Socket, prepare};
use super::{Doors, remote};
use crate::hub::Closing;
use crate::protocol::encode::Wire;
use crate::protocol::{Code, Problem, ServerMessage};
use crate::session::Session;

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
    let upgrade = prepare(upgrade, &doors.node.limits);
    Ok(upgrade
        .on_upgrade(move |socket| {
            let socket = Socket::new(socket, &doors.node.limits);
            Conversation { socket, session, out: Vec::new() }.run()
        })
        .into_response())
}

struct Conversation {
    socket: Socket,
    session: Session,
    /// Frames that the session has handed out: they outlive a turn in which something else came first.
    out: Vec<Bytes>,
}

impl Conversation {
    async fn run(mut self) {
        self.session.greet();
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        if let End::Close(code, Closing { reason, message, retry_ms }) = end {
            let close = ServerMessage::Close { reason: reason.into(), message, retry_ms };
            self.socket.goodbye(code, reason, Some(close.to_json())).await;
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        tokio::select! {
            heard = self.socket.hear(self.session.can_receive()) => self.hear(heard?),
            next = self.session.next(&mut self.out) => {
                next.map_err(End::away)?;
                self.socket.send(&mut self.out).await
            }
        }
    }

    fn hear(&mut self, heard: Heard) -> Result<(), End> {
        let received = match heard {
            Heard::Text(text) => self.session.receive(&text),
            Heard::Binary => {
                let problem = Problem::new(Code::BadMessage, "messages are text frames, not binary ones");
                self.session.refuse(None, None, problem)
            }
        };
        received.map_err(End::policy)
    }
}
