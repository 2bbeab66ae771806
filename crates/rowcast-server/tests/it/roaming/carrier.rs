//! The transports that a position can be carried to and from: one subscription over each, in the same words.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::client::message::{Position, PositionAt};
use crate::client::sse::Refused;
use crate::client::{Block, Heard, Message, SocketIo, Sse, WebSocket};
use crate::server::Server;

/// What there is to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wire {
    WebSocket,
    Sse,
    SocketIo,
}

pub(super) const WIRES: [Wire; 3] = [Wire::WebSocket, Wire::Sse, Wire::SocketIo];

/// One connection with one subscription.
pub(super) enum Carrier {
    WebSocket(Box<WebSocket>),
    Sse(Box<Sse>),
    SocketIo(Box<SocketIo>),
}

impl Carrier {
    /// Follows `items` from a position, or from a snapshot; `None` where nobody answers.
    pub(super) async fn open(wire: Wire, server: &Server, since: Option<Position>) -> Result<Option<Self>> {
        match wire {
            Wire::WebSocket => {
                let Ok(mut socket) = WebSocket::open(server).await else { return Ok(None) };
                let mut subscribe = subscription(since);
                subscribe["type"] = json!("subscribe");
                // Who is killed now does not hear it.
                Ok(socket.say(subscribe).await.is_ok().then(|| Self::WebSocket(Box::new(socket))))
            }
            Wire::SocketIo => {
                let Ok(mut client) = SocketIo::open(server).await else { return Ok(None) };
                let said = client.emit("subscribe", subscription(since)).await;
                Ok(said.is_ok().then(|| Self::SocketIo(Box::new(client))))
            }
            Wire::Sse => {
                let mut query = vec![("channel", "table:items".to_owned())];
                if since.is_none() {
                    query.push(("snapshot", "true".to_owned()));
                }
                match Sse::open(server, &query, since).await? {
                    Ok(stream) => Ok(Some(Self::Sse(Box::new(stream)))),
                    Err(Refused::Away) => Ok(None),
                    // It stops, or has only begun.
                    Err(Refused::Problem { status: 503, .. }) => Ok(None),
                    Err(refused) => bail!("{refused:?}"),
                }
            }
        }
    }

    /// The next message; `None` when the connection has ended. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Message>> {
        let message = |heard| match heard {
            Heard::Message(message) => Some(message),
            Heard::Closed(_) => None,
        };
        Ok(match self {
            Self::WebSocket(socket) => message(socket.hear().await?),
            Self::SocketIo(client) => message(client.hear().await?),
            Self::Sse(stream) => match stream.hear().await? {
                Block::Message(message) => Some(message),
                Block::Position(position) => Some(Message::Position(PositionAt { position })),
                Block::Ended => None,
            },
        })
    }

    /// Leaves with a word, where the transport has one. Dropping it leaves without.
    pub(super) async fn close(self) {
        match self {
            Self::WebSocket(mut socket) => {
                let _ = socket.send(tokio_tungstenite::tungstenite::Message::Close(None)).await;
            }
            Self::SocketIo(client) => client.close().await,
            Self::Sse(_) => {}
        }
    }
}

/// Without the type that a message has.
fn subscription(since: Option<Position>) -> Value {
    let mut subscribe = json!({ "id": "r", "channel": "table:items" });
    match since {
        Some(position) => subscribe["since"] = json!(position.to_string()),
        None => subscribe["snapshot"] = json!(true),
    }
    subscribe
}
