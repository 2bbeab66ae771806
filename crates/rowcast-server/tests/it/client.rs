//! Tiny clients that speak docs/protocol.md to the letter: what is not in it is an error.

pub(crate) mod message;
pub(crate) mod socketio;
pub(crate) mod sse;
pub(crate) mod websocket;

pub(crate) use message::Message;
pub(crate) use socketio::SocketIo;
pub(crate) use sse::{Block, Sse};
pub(crate) use websocket::{Heard, WebSocket};
