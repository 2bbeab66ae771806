//! The server's messages as docs/protocol.md describes them, and nothing else.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A row as it is sent.
pub(crate) type JsonRow = Map<String, Value>;

/// One message of the server. On a stream messages have no `id`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Message {
    Hello(Hello),
    Snapshot(Snapshot),
    Subscribed(Subscribed),
    Change(Change),
    Commit(Commit),
    #[serde(rename = "message")]
    Told(RoomMessage),
    Gap(Gap),
    Skipped(Skipped),
    Position(PositionAt),
    Unsubscribed(Unsubscribed),
    Published(Published),
    Inserted(Inserted),
    Pong(Pong),
    Error(Problem),
    Close(Close),
}

macro_rules! fields {
    ($($name:ident { $($fields:tt)* })*) => { $(
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name { $($fields)* }
    )* };
}

fields! {
    Hello {
        pub(crate) protocol: u32,
        pub(crate) server: String,
        pub(crate) session: String,
        pub(crate) position: Position,
        pub(crate) heartbeat_ms: u64,
        pub(crate) limits: Limits,
        #[serde(default, deserialize_with = "some")] pub(crate) claims: Option<String>,
    }
    Limits { pub(crate) frame_bytes: u64, pub(crate) subscriptions: u64 }
    Column { pub(crate) name: String, #[serde(rename = "type")] pub(crate) declared: String }
    Snapshot {
        #[serde(default, deserialize_with = "some")] pub(crate) id: Option<String>,
        #[serde(default, deserialize_with = "some")] pub(crate) columns: Option<Vec<Column>>,
        #[serde(default, deserialize_with = "some")] pub(crate) key: Option<Vec<String>>,
        pub(crate) rows: Vec<JsonRow>,
        pub(crate) done: bool,
    }
    Subscribed {
        #[serde(default, deserialize_with = "some")] pub(crate) id: Option<String>,
        pub(crate) position: Position,
        pub(crate) resumed: bool,
        #[serde(default, deserialize_with = "some")] pub(crate) columns: Option<Vec<Column>>,
        #[serde(default, deserialize_with = "some")] pub(crate) key: Option<Vec<String>>,
    }
    Change {
        #[serde(default, deserialize_with = "some")] pub(crate) id: Option<String>,
        pub(crate) op: Op,
        pub(crate) row: JsonRow,
        #[serde(default, deserialize_with = "some")] pub(crate) old: Option<JsonRow>,
        pub(crate) key: Value,
        #[serde(default, deserialize_with = "some")] pub(crate) old_key: Option<Value>,
        #[serde(default, deserialize_with = "some")] pub(crate) cause: Option<Op>,
        pub(crate) position: Position,
        pub(crate) tx: u64,
        pub(crate) last: bool,
        pub(crate) time: u64,
    }
    Commit {
        #[serde(default, deserialize_with = "some")] pub(crate) id: Option<String>,
        pub(crate) tx: u64,
        pub(crate) position: Position,
    }
    RoomMessage {
        #[serde(default, deserialize_with = "some")] pub(crate) id: Option<String>,
        pub(crate) event: String,
        pub(crate) data: Value,
        #[serde(default, deserialize_with = "some")] pub(crate) position: Option<Position>,
        pub(crate) time: u64,
    }
    Gap {
        #[serde(default, deserialize_with = "some")] pub(crate) id: Option<String>,
        pub(crate) reason: Reason,
        pub(crate) message: String,
    }
    Skipped {
        #[serde(default, deserialize_with = "some")] pub(crate) id: Option<String>,
        pub(crate) count: u64,
    }
    PositionAt { pub(crate) position: Position }
    Unsubscribed { pub(crate) id: String }
    Published {
        #[serde(default, rename = "ref", deserialize_with = "some")] pub(crate) reference: Option<String>,
        #[serde(default, deserialize_with = "some")] pub(crate) position: Option<Position>,
    }
    Inserted {
        #[serde(default, rename = "ref", deserialize_with = "some")] pub(crate) reference: Option<String>,
        pub(crate) count: u64,
        #[serde(default, deserialize_with = "some")] pub(crate) position: Option<Position>,
        pub(crate) rejected: Vec<Rejected>,
    }
    Rejected {
        pub(crate) line: u64,
        pub(crate) reason: String,
        #[serde(default, deserialize_with = "some")] pub(crate) column: Option<String>,
    }
    Pong {
        #[serde(default, rename = "ref", deserialize_with = "some")] pub(crate) reference: Option<String>,
        pub(crate) position: Position,
    }
    Problem {
        #[serde(default, deserialize_with = "some")] pub(crate) id: Option<String>,
        #[serde(default, rename = "ref", deserialize_with = "some")] pub(crate) reference: Option<String>,
        pub(crate) code: String,
        pub(crate) message: String,
        #[serde(default, deserialize_with = "some")] pub(crate) hint: Option<String>,
        #[serde(default, deserialize_with = "some")] pub(crate) at: Option<At>,
    }
    At { pub(crate) offset: usize, pub(crate) length: usize }
    Close { pub(crate) reason: String, pub(crate) message: String, pub(crate) retry_ms: u64 }
}

/// What happened to the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    Insert,
    Update,
    Delete,
}

/// Why a client has to begin again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    Retention,
    Epoch,
    Schema,
    Source,
}

/// A field that may be missing, but is not null.
fn some<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// A position. Clients compare for equality only; a test may look closer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) offset: u64,
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        String::deserialize(value)?.parse().map_err(|error: anyhow::Error| serde::de::Error::custom(error))
    }
}

impl std::str::FromStr for Position {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (epoch, offset) = text.split_once('-').with_context(|| format!("`{text}` is no position"))?;
        Ok(Self { epoch: epoch.parse()?, offset: offset.parse()? })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

impl Message {
    /// Reads a message from its text.
    pub(crate) fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).with_context(|| format!("not a message of the protocol: {text:.600}"))
    }

    /// The subscription that it is about, where it is about one.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::Snapshot(Snapshot { id, .. })
            | Self::Subscribed(Subscribed { id, .. })
            | Self::Change(Change { id, .. })
            | Self::Commit(Commit { id, .. })
            | Self::Told(RoomMessage { id, .. })
            | Self::Gap(Gap { id, .. })
            | Self::Skipped(Skipped { id, .. })
            | Self::Error(Problem { id, .. }) => id.as_deref(),
            Self::Unsubscribed(Unsubscribed { id }) => Some(id),
            _ => None,
        }
    }

    /// The `type` of the message, where it may stand in a stream.
    pub(crate) fn event_name(&self) -> Result<&'static str> {
        Ok(match self {
            Self::Snapshot(_) => "snapshot",
            Self::Subscribed(_) => "subscribed",
            Self::Change(_) => "change",
            Self::Commit(_) => "commit",
            Self::Told(_) => "message",
            Self::Gap(_) => "gap",
            Self::Skipped(_) => "skipped",
            Self::Error(_) => "error",
            Self::Close(_) => "close",
            other => bail!("this message has no place in a stream: {other:?}"),
        })
    }

    /// Where it stands in the log, where it does.
    pub(crate) fn position(&self) -> Option<Position> {
        match self {
            Self::Subscribed(Subscribed { position, .. })
            | Self::Change(Change { position, .. })
            | Self::Commit(Commit { position, .. }) => Some(*position),
            Self::Told(message) => message.position,
            _ => None,
        }
    }

    /// Refuses what the types cannot: a change that is about nothing, a subscription without its columns.
    pub(crate) fn check(&self) -> Result<()> {
        if let Self::Change(change) = self {
            ensure!(change.time > 1_600_000_000_000, "`time` is in milliseconds: {change:?}");
            ensure!(change.cause != Some(change.op), "`cause` says what `op` says already: {change:?}");
        }
        Ok(())
    }
}
