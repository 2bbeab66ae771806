//! What a client may say.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::deliver::Deliver;
use super::write::{self, Writes, check_writes};
use super::{Code, Problem};

/// A client's message, read from one JSON text.
#[derive(Debug, Clone)]
pub enum ClientMessage {
    /// Follow a channel.
    Subscribe(Subscribe),
    /// Follow it no more.
    Unsubscribe {
        /// The subscription.
        id: String,
    },
    /// Send a message to a room.
    Publish(Publish),
    /// Write rows.
    Insert(Insert),
    /// Change and remove rows, alone or together.
    Write(Writes),
    /// Show a token, or a newer one.
    Auth(Auth),
    /// Be seen on a channel.
    Track(Track),
    /// Be seen there no more.
    Untrack(Untrack),
    /// Is anybody there?
    Ping {
        /// Comes back in the answer.
        reference: Option<String>,
    },
}

/// `subscribe`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    #[serde(rename = "type", default)]
    _type: serde::de::IgnoredAny,
    /// Names the subscription on this connection; 1 to 64 characters.
    pub id: String,
    /// What to follow.
    pub channel: String,
    /// Only rows that this filter keeps.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// Only these columns, in this order.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// Rows to begin with.
    #[serde(default)]
    pub snapshot: SnapshotWish,
    /// Go on after this position.
    #[serde(default)]
    pub since: Option<String>,
    /// Changes carry the old row.
    #[serde(default)]
    pub old: bool,
    /// How much of what happens is told.
    #[serde(default)]
    pub deliver: Deliver,
    /// On an event stream: an application's own event comes as a `message`, as it does everywhere else.
    #[serde(skip)]
    pub wrapped: bool,
    /// Over Socket.IO: events have their position as an argument also while the subscription catches up. Otherwise only those that the hub
    /// carries have, which come in the log's order over all of the connection's subscriptions.
    #[serde(skip)]
    pub placed: bool,
}

impl Subscribe {
    /// A subscription as a door other than WebSocket makes it.
    pub fn new(id: &str, channel: &str) -> Self {
        Self {
            _type: serde::de::IgnoredAny,
            id: id.to_owned(),
            channel: channel.to_owned(),
            filter: None,
            columns: None,
            snapshot: SnapshotWish::default(),
            since: None,
            old: false,
            deliver: Deliver::Strict,
            wrapped: false,
            placed: false,
        }
    }
}

/// Which rows a subscription begins with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "`snapshot` is true, false or {\"order_by\": …, \"limit\": …}")]
pub enum SnapshotWish {
    /// All of the result, or none.
    Simple(bool),
    /// The first rows of an order.
    Some(SnapshotPart),
}

/// `{ "order_by"?: "time desc, id", "limit"?: n }`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotPart {
    /// SQL's ORDER BY over plain columns.
    #[serde(default)]
    pub order_by: Option<String>,
    /// At most so many rows.
    #[serde(default)]
    pub limit: Option<u64>,
}

impl Default for SnapshotWish {
    fn default() -> Self {
        Self::Simple(true)
    }
}

impl SnapshotWish {
    /// Whether there is to be a snapshot at all.
    pub fn wanted(&self) -> bool {
        *self != Self::Simple(false)
    }

    /// The wish in parts, as a query string has them.
    pub fn part(order_by: Option<String>, limit: Option<u64>) -> Self {
        Self::Some(SnapshotPart { order_by, limit })
    }

    /// `order_by` and `limit`, where given.
    pub fn parts(&self) -> (Option<&str>, Option<u64>) {
        match self {
            Self::Simple(_) => (None, None),
            Self::Some(part) => (part.order_by.as_deref(), part.limit),
        }
    }
}

/// `publish`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    #[serde(rename = "type", default)]
    _type: serde::de::IgnoredAny,
    /// A room.
    pub channel: String,
    /// The application's own name for what happened.
    pub event: String,
    /// Any JSON, handed on as it is.
    pub data: Box<RawValue>,
    /// Only to those who listen now.
    #[serde(default)]
    pub ephemeral: bool,
    /// Comes back in the answer.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
}

/// `insert`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Insert {
    #[serde(rename = "type", default)]
    _type: serde::de::IgnoredAny,
    /// The table's name.
    pub table: String,
    /// Objects, column name to value.
    pub rows: Vec<Box<RawValue>>,
    /// Comes back in the answer.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
}

/// `track`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Track {
    #[serde(rename = "type", default)]
    _type: serde::de::IgnoredAny,
    /// Any channel.
    pub channel: String,
    /// What others see beside the user's name: an object.
    #[serde(default)]
    pub state: Option<Box<RawValue>>,
    /// Who it is, where the gateway asks nobody who he is.
    #[serde(default)]
    pub user: Option<String>,
    /// Comes back in the answer.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
}

impl std::fmt::Debug for Track {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Track").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// `untrack`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Untrack {
    #[serde(rename = "type", default)]
    _type: serde::de::IgnoredAny,
    /// As in `track`.
    pub channel: String,
    /// Comes back in the answer.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
}

/// `auth`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    #[serde(rename = "type", default)]
    _type: serde::de::IgnoredAny,
    /// A JSON Web Token.
    pub token: String,
    /// Comes back in the answer.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("reference", &self.reference).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unsubscribe {
    #[serde(rename = "type", default)]
    _type: serde::de::IgnoredAny,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ping {
    #[serde(rename = "type", default)]
    _type: serde::de::IgnoredAny,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
}

impl ClientMessage {
    /// Reads one message.
    ///
    /// Answers [`Code::BadJson`] for what is not JSON, and [`Code::BadMessage`] for JSON that is no message.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let tag: Tag<'_> = serde_json::from_str(text).map_err(|error| not_a_message(text, &error))?;
        let message = match &*tag.kind {
            "subscribe" => Self::Subscribe(fields("subscribe", text)?),
            "unsubscribe" => Self::Unsubscribe { id: fields::<Unsubscribe>("unsubscribe", text)?.id },
            "publish" => Self::Publish(fields("publish", text)?),
            "insert" => Self::Insert(fields("insert", text)?),
            "update" => Self::Write(fields::<write::Update>("update", text)?.into()),
            "delete" => Self::Write(fields::<write::Delete>("delete", text)?.into()),
            "write" => Self::Write(fields::<write::Several>("write", text)?.into()),
            "auth" => Self::Auth(fields("auth", text)?),
            "track" => Self::Track(fields("track", text)?),
            "untrack" => Self::Untrack(fields("untrack", text)?),
            "ping" => Self::Ping { reference: fields::<Ping>("ping", text)?.reference },
            other => {
                let other: String = other.chars().take(40).collect();
                return Err(Problem::new(Code::BadMessage, format!("unknown message type `{other}`"))
                    .hint("the types are subscribe, unsubscribe, publish, insert, update, delete, write, auth, track, untrack and ping"));
            }
        };
        message.check()?;
        Ok(message)
    }

    /// The `id` or `ref` that an answer should carry, for a message that may be wrong otherwise.
    pub fn addressee(text: &str) -> (Option<String>, Option<String>) {
        #[derive(Deserialize, Default)]
        struct Names {
            id: Option<serde_json::Value>,
            r#ref: Option<serde_json::Value>,
        }
        let names: Names = serde_json::from_str(text).unwrap_or_default();
        let short = |v: Option<serde_json::Value>| {
            v.and_then(|v| v.as_str().filter(|s| (1..=64).contains(&s.chars().count())).map(str::to_owned))
        };
        (short(names.id), short(names.r#ref))
    }

    /// The `id` or `ref` that an answer carries.
    pub fn into_addressee(self) -> (Option<String>, Option<String>) {
        match self {
            Self::Subscribe(Subscribe { id, .. }) | Self::Unsubscribe { id } => (Some(id), None),
            Self::Publish(Publish { reference, .. })
            | Self::Insert(Insert { reference, .. })
            | Self::Write(Writes { reference, .. })
            | Self::Auth(Auth { reference, .. })
            | Self::Track(Track { reference, .. })
            | Self::Untrack(Untrack { reference, .. })
            | Self::Ping { reference } => (None, reference),
        }
    }

    fn check(&self) -> Result<(), Problem> {
        if let Self::Insert(Insert { rows, .. }) = self
            && let Some(i) = rows.iter().position(|row| !row.get().starts_with('{'))
        {
            return Err(Problem::new(Code::BadMessage, format!("insert: row {} is not an object", i + 1)));
        }
        if let Self::Write(Writes { writes, .. }) = self {
            check_writes(writes).map_err(|message| Problem::new(Code::BadMessage, message))?;
        }
        if let Self::Track(Track { state: Some(state), .. }) = self
            && !state.get().starts_with('{')
        {
            return Err(Problem::new(Code::BadMessage, "track: `state` is not an object"));
        }
        let (name, value) = match self {
            Self::Subscribe(Subscribe { id, .. }) | Self::Unsubscribe { id } => ("id", Some(id)),
            Self::Publish(Publish { reference, .. })
            | Self::Insert(Insert { reference, .. })
            | Self::Write(Writes { reference, .. })
            | Self::Auth(Auth { reference, .. })
            | Self::Track(Track { reference, .. })
            | Self::Untrack(Untrack { reference, .. })
            | Self::Ping { reference } => ("ref", reference.as_ref()),
        };
        match value.map(|v| v.chars().count()) {
            Some(1..=64) | None => Ok(()),
            Some(n) => Err(Problem::new(Code::BadMessage, format!("`{name}` has {n} characters; 1 to 64 are allowed"))),
        }
    }
}

fn fields<'a, T: Deserialize<'a>>(kind: &str, text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| Problem::new(Code::BadMessage, format!("{kind}: {}", plain(&error))))
}

fn not_a_message(text: &str, error: &serde_json::Error) -> Problem {
    let hint = "send one JSON object such as {\"type\":\"subscribe\",\"id\":\"1\",\"channel\":\"table:orders\"}";
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Err(_) => Problem::new(Code::BadJson, format!("not JSON: {}", plain(error))),
        Ok(_) => Problem::new(Code::BadMessage, "a message is a JSON object with a string field `type`"),
    }
    .hint(hint)
}

/// serde's sentence; it names fields, types and places, never values that were sent.
fn plain(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if text.len() > 300 {
        text = text.chars().take(300).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, code: Code, part: &str) {
        let problem = ClientMessage::parse(text).expect_err(text);
        assert_eq!(problem.code, code, "{problem:?}");
        assert!(problem.message.contains(part), "{problem:?}");
    }

    #[test]
    fn reads_a_subscription() {
        let text = r#"{"type":"subscribe","id":"1","channel":"table:t","where":"a > 1","snapshot":{"limit":5}}"#;
        let Ok(ClientMessage::Subscribe(subscribe)) = ClientMessage::parse(text) else { panic!("{text}") };
        assert_eq!(subscribe.filter.as_deref(), Some("a > 1"));
        assert_eq!(subscribe.snapshot.parts(), (None, Some(5)));
        assert!(subscribe.snapshot.wanted());
    }

    #[test]
    fn data_is_handed_on_as_it_is() {
        let text = r#"{"type":"publish","channel":"room:a","event":"e","data":{"n":123456789012345678901234567890}}"#;
        let Ok(ClientMessage::Publish(publish)) = ClientMessage::parse(text) else { panic!("{text}") };
        assert_eq!(publish.data.get(), r#"{"n":123456789012345678901234567890}"#);
    }

    #[test]
    fn says_what_is_wrong() {
        refused("{", Code::BadJson, "not JSON");
        refused("[1]", Code::BadMessage, "JSON object");
        refused("{}", Code::BadMessage, "`type`");
        refused(r#"{"type":"dance"}"#, Code::BadMessage, "dance");
        refused(r#"{"type":"subscribe","id":"1"}"#, Code::BadMessage, "channel");
        refused(r#"{"type":"subscribe","id":"1","channel":"x","filter":"a"}"#, Code::BadMessage, "filter");
        refused(r#"{"type":"unsubscribe","id":""}"#, Code::BadMessage, "0 characters");
    }
}
