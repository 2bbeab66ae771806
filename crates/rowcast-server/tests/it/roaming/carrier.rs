//! The transports that a position can be carried to and from: one subscription over each, in the same words.

use anyhow::{Result, bail};
use serde_json::json;

use crate::client::message::{Position, PositionAt};
use crate::client::sse::Refused;
use crate::client::{Block, Heard, Message, Sse, WebSocket};
use crate::server::Server;

/// What there is to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wire {
    WebSocket,
    Sse,
}

pub(super) const WIRES: [Wire; 2] = [Wire::WebSocket, Wire::Sse];

/// One connection with one subscription.
pub(super) enum Carrier {
    WebSocket(Box<WebSocket>),
    Sse(Box<Sse>),
}

impl Carrier {
    /// Follows `items` from a position, or from a snapshot; `None` where nobody answers.
    pub(super) async fn open(wire: Wire, server: &Server, since: Option<Position>) -> Result<Option<Self>> {
        match wire {
            Wire::WebSocket => {
                let Ok(mut socket) = WebSocket::open(server).await else { return Ok(None) };
                let mut subscribe = json!({ "type": "subscribe", "id": "r", "channel": "table:items" });
                match since {
                    Some(position) => subscribe["since"] = json!(position.to_string()),
                    None => subscribe["snapshot"] = json!(true),
                }
                // Who is killed now does not hear it.
                Ok(socket.say(subscribe).await.is_ok().then(|| Self::WebSocket(Box::new(socket))))
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
        Ok(match self {
            Self::WebSocket(socket) => match socket.hear().await? {
                Heard::Message(message) => Some(message),
                Heard::Closed(_) => None,
            },
            Self::Sse(stream) => match stream.hear().await? {
                Block::Message(message) => Some(message),
                Block::Position(position) => Some(Message::Position(PositionAt { position })),
                Block::Ended => None,
            },
        })
    }

    /// Leaves with a word, where the transport has one. Dropping it leaves without.
    pub(super) async fn close(self) {
        if let Self::WebSocket(mut socket) = self {
            let _ = socket.send(tokio_tungstenite::tungstenite::Message::Close(None)).await;
        }
    }
}
