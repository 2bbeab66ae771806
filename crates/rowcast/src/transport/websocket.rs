//! `/v1/ws`: a session over WebSocket.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use bytes::Bytes;

use super::caller::Caller;
use super::reply::Refusal;
use super::socket::{End, Heard, NoUpgrade, Socket, Upgrade};
use super::{Doors, remote};
use crate::hub::Closing;
use crate::protocol::encode::{Wire, reply};
use crate::protocol::{Code, Problem, ServerMessage};
use crate::session::Session;

pub(super) async fn upgrade(
    State(doors): State<Doors>,
    Caller(identity): Caller,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    upgrade: Result<Upgrade, NoUpgrade>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|rejection| {
        let message = format!("/v1/ws speaks WebSocket: {}", rejection.reason());
        Problem::new(Code::BadMessage, message).hint("connect with a WebSocket client, or use /v1/stream")
    })?;
    let remote = remote(peer);
    let limits = &doors.node.limits;
    let wire = if upgrade.deflates(limits) { Wire::Deflate } else { Wire::WebSocket };
    let session = Session::open(doors.node.clone(), wire, "websocket", remote, identity)?;
    Ok(upgrade.run(limits, move |socket| Conversation { socket, session, out: Vec::new(), turns: 0 }.run()))
}

/// A client is heard at least once in so many turns.
const HEARD_EVERY: u32 = 8;

struct Conversation {
    socket: Socket,
    session: Session,
    /// Frames that the session has handed out: they outlive a turn in which something else came first.
    out: Vec<Bytes>,
    turns: u32,
}

impl Conversation {
    fn run(self) -> impl Future<Output = ()> + Send {
        // A block, because an async fn has room twice for what it is given.
        let mut conversation = self;
        async move {
            conversation.session.greet();
            conversation.session.carried_by(conversation.socket.lane());
            let end = loop {
                if let Err(end) = conversation.turn().await {
                    break end;
                }
            };
            if conversation.socket.is_finished() {
                conversation.session.depart();
            }
            if let End::Close(code, Closing { reason, message, retry_ms }) = end {
                let close = ServerMessage::Close { reason: reason.into(), message, retry_ms };
                let last_word = reply(Wire::WebSocket, &close, None);
                // In a box, so that it takes no room before it is said.
                Box::pin(conversation.socket.goodbye(code, reason, Some(last_word))).await;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        let reading = self.session.can_receive();
        self.turns = self.turns.wrapping_add(1);
        // What there is to send comes first, for it came first; but a client that is sent to without end is heard, too.
        let next = match self.turns.is_multiple_of(HEARD_EVERY) {
            false => tokio::select! {
                biased;
                next = self.session.next(&mut self.out) => next,
                heard = self.socket.hear(reading) => return self.hear(heard?),
            },
            true => tokio::select! {
                biased;
                heard = self.socket.hear(reading) => return self.hear(heard?),
                next = self.session.next(&mut self.out) => next,
            },
        };
        next.map_err(End::wanted)?;
        self.socket.send(&mut self.out).await
    }

    fn hear(&mut self, heard: Heard) -> Result<(), End> {
        let received = match heard {
            Heard::Text(text) => self.session.receive(&text),
            Heard::Binary(_) => {
                let problem = Problem::new(Code::BadMessage, "messages are text frames, not binary ones");
                self.session.refuse(None, None, problem)
            }
        };
        received.map_err(End::policy)
    }
}
