//! What a client hears.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{At, Code, Problem};

/// A server's message.
///
/// `change` and `snapshot` are here for those who read the protocol; the server writes them with [`super::encode`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "docs/protocol.md describes every field")]
#[allow(clippy::large_enum_variant, reason = "one at a time, and soon written")]
pub enum ServerMessage {
    Hello {
        protocol: u32,
        server: String,
        session: String,
        position: String,
        heartbeat_ms: u64,
        limits: Limits,
        /// The same for who may be told the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claims: Option<String>,
    },
    Snapshot {
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        columns: Option<Vec<ColumnType>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Vec<String>>,
        rows: Vec<Json>,
        done: bool,
    },
    Subscribed {
        id: String,
        position: String,
        resumed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        columns: Option<Vec<ColumnType>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Vec<String>>,
    },
    Change {
        id: String,
        op: String,
        row: Json,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old: Option<Json>,
        key: Json,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old_key: Option<Json>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        position: String,
        tx: u64,
        last: bool,
        time: u64,
    },
    Commit {
        id: String,
        tx: u64,
        position: String,
    },
    Message {
        id: String,
        event: String,
        data: Json,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<String>,
        time: u64,
    },
    Gap {
        id: String,
        reason: GapReason,
        message: String,
    },
    Skipped {
        id: String,
        count: u64,
    },
    Position {
        position: String,
    },
    Unsubscribed {
        id: String,
    },
    Published {
        #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<String>,
    },
    Inserted {
        #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        count: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<String>,
        rejected: Vec<Rejected>,
    },
    /// The answer to `update`, `delete` and `write`.
    Written {
        #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        counts: Vec<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<String>,
    },
    Pong {
        #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        position: String,
    },
    /// The answer to `auth`.
    Authenticated {
        #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_ms: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claims: Option<String>,
    },
    /// The token expires soon: the client should show a newer one.
    Expiring {
        expires_ms: u64,
    },
    /// Who is on a channel: everybody, or what has changed.
    Presence {
        id: String,
        full: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        users: Option<Vec<Present>>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        joins: Vec<Present>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        updates: Vec<Present>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        leaves: Vec<String>,
    },
    Tracked {
        #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    Untracked {
        #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// Some rows may not be seen any more.
    Revoked {
        id: String,
        message: String,
    },
    Error {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        code: Code,
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<At>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_ms: Option<u64>,
    },
    Close {
        reason: String,
        message: String,
        retry_ms: u64,
    },
}

/// What the server allows, said in `hello`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The largest frame it reads.
    pub frame_bytes: usize,
    /// The most subscriptions on one connection.
    pub subscriptions: usize,
}

/// A column as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnType {
    /// Its name.
    pub name: String,
    /// Its type as declared.
    #[serde(rename = "type")]
    pub declared: String,
}

/// A user who is on a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Present {
    /// The user.
    pub user: String,
    /// An object; empty where none was set.
    pub state: Json,
    /// How many connections of the user there are.
    pub connections: u32,
    /// Since when, in milliseconds since 1970; not in updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

/// A row that was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its line (NDJSON, CSV) or number (JSON), from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
    /// The column in question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// Why a client cannot go on with what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The position has left the log.
    Retention,
    /// The log began anew.
    Epoch,
    /// The table was altered, dropped or made again.
    Schema,
    /// The source could not be read without a hole.
    Source,
    /// More may be seen than before.
    Granted,
}

impl ServerMessage {
    /// An `error` about a subscription, a request, or neither.
    pub fn error(id: Option<String>, reference: Option<String>, problem: Problem) -> Self {
        let Problem { code, message, hint, at, retry_ms, of_caller: _ } = problem;
        Self::Error { id, reference, code, message, hint, at, retry_ms }
    }

    /// The message's `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Snapshot { .. } => "snapshot",
            Self::Subscribed { .. } => "subscribed",
            Self::Change { .. } => "change",
            Self::Commit { .. } => "commit",
            Self::Message { .. } => "message",
            Self::Gap { .. } => "gap",
            Self::Skipped { .. } => "skipped",
            Self::Position { .. } => "position",
            Self::Unsubscribed { .. } => "unsubscribed",
            Self::Published { .. } => "published",
            Self::Inserted { .. } => "inserted",
            Self::Written { .. } => "written",
            Self::Pong { .. } => "pong",
            Self::Authenticated { .. } => "authenticated",
            Self::Expiring { .. } => "expiring",
            Self::Presence { .. } => "presence",
            Self::Tracked { .. } => "tracked",
            Self::Untracked { .. } => "untracked",
            Self::Revoked { .. } => "revoked",
            Self::Error { .. } => "error",
            Self::Close { .. } => "close",
        }
    }

    /// As JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and JSON are always JSON")
    }
}
