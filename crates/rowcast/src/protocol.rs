//! The native protocol's messages: what a client may say, and what it hears. Pure.
//!
//! `docs/protocol.md` is its home; `docs/protocol/vectors.json` holds an example of each message for every implementation.
//! The two messages of the hot path, `change` and `snapshot`, are written by [`encode`] and have the same shape.

mod client;
pub mod deliver;
pub mod encode;
pub mod engineio;
pub mod frame;
pub mod named;
mod problem;
mod server;
pub mod socketio;
mod write;

pub use client::{Auth, ClientMessage, Insert, Publish, SnapshotWish, Subscribe, Track, Untrack};
pub use problem::{At, Code, Problem};
pub use server::{ColumnType, GapReason, Limits, Present, Rejected, ServerMessage};
pub use write::{WRITES_MAX, Write, Writes, check_writes};

/// The number of this protocol, said in `hello`.
pub const VERSION: u32 = 1;
