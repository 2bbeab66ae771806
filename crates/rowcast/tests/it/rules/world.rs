//! A gateway with rules over a SQLite file, and clients that keep what they are told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rowcast::auth::rules::{RuleSpec, Rules};
use rowcast::auth::{Auth, Identity, Standing};
use rowcast::event::Position;
use rowcast::gateway::{Database, Gateway, LogPlace, StartError};
use rowcast::protocol::encode::Wire;
use rowcast::protocol::{Code, ServerMessage};
use rowcast::session::{Limits, Node, Session};
use rowcast::source::sqlite::SqliteSettings;
use serde_json::{Map, Value as Json, json};
use tempfile::TempDir;

pub(super) struct World {
    gateway: Gateway,
    pub(super) node: Arc<Node>,
    folder: Option<TempDir>,
}

/// A rule about what may be read of a table.
pub(super) fn read(table: &str, filter: &str) -> RuleSpec {
    RuleSpec { table: Some(table.parse().expect("a name")), read: Some(filter.to_owned()), ..RuleSpec::default() }
}

/// A rule about channels.
pub(super) fn channel(pattern: &str) -> RuleSpec {
    RuleSpec { channel: Some(pattern.to_owned()), ..RuleSpec::default() }
}

pub(super) fn identity(claims: Json) -> Arc<Identity> {
    let Json::Object(claims) = claims else { panic!("claims are an object") };
    let text = |name: &str| claims.get(name).and_then(Json::as_str).map(Arc::from);
    let (user, tenant) = (text("sub"), text("tenant").unwrap_or_default());
    let standing = Standing::Known;
    Arc::new(Identity { standing, user, tenant, claims, issued: None, expires: None, key: None })
}

pub(super) fn auth(rules: Vec<RuleSpec>, tenant_column: Option<&str>) -> Auth {
    let admin = Some("claims.role = 'admin'");
    let rules = Rules::new(rules, admin, tenant_column.map(str::to_owned)).expect("rules");
    Auth { rules, ..Auth::default() }
}

impl World {
    pub(super) async fn new(schema: &str, auth: Auth) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("world.db");
        rusqlite::Connection::open(&path).expect("opened").execute_batch(schema).expect("made");
        let database = Database::sqlite("world", &path, SqliteSettings::default());
        Self { folder: Some(folder), ..Self::over(database, auth).await.expect("started") }
    }

    /// Over a database that is there.
    pub(super) async fn over(database: Database, auth: Auth) -> Result<Self, StartError> {
        let builder = Gateway::builder().database(database).log(LogPlace::Memory).auth(auth);
        let limits = Limits { heartbeat: Duration::from_millis(30), ..Limits::default() };
        let builder = builder.limits(limits);
        let gateway = builder.start().await?;
        let node = gateway.node();
        Ok(Self { gateway, node, folder: None })
    }

    pub(super) fn router(&self) -> axum::Router {
        self.gateway.router()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.as_ref().expect("a file").path().join("world.db")
    }

    /// Another program's connection.
    pub(super) fn database(&self) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.path()).expect("opened");
        database.busy_timeout(Duration::from_secs(30)).expect("set");
        database
    }

    pub(super) fn run(&self, sql: &str) {
        self.database().execute_batch(sql).expect(sql);
    }

    pub(super) fn client(&self, identity: &Arc<Identity>) -> Client {
        let session = Session::open(self.node.clone(), Wire::Text, "test", String::new(), identity.clone());
        Client { session: session.expect("room"), pending: Vec::new(), heard: Vec::new().into() }
    }
}

pub(super) struct Client {
    pub(super) session: Session,
    pending: Vec<Bytes>,
    heard: std::collections::VecDeque<Bytes>,
}

impl Client {
    pub(super) fn say(&mut self, message: &Json) {
        self.session.receive(&message.to_string()).expect("it goes on");
    }

    pub(super) fn subscribe(&mut self, channel: &str, more: Json) {
        let mut message = json!({ "type": "subscribe", "id": "s", "channel": channel });
        if let Json::Object(more) = more {
            message.as_object_mut().expect("an object").extend(more);
        }
        self.say(&message);
    }

    /// The next message that says more than a position.
    pub(super) async fn next(&mut self) -> ServerMessage {
        loop {
            let message = self.any().await;
            if !matches!(message, ServerMessage::Position { .. }) {
                return message;
            }
        }
    }

    pub(super) async fn any(&mut self) -> ServerMessage {
        tokio::time::timeout(Duration::from_secs(60), self.take()).await.expect("a message in time")
    }

    async fn take(&mut self) -> ServerMessage {
        loop {
            if let Some(frame) = self.heard.pop_front() {
                return serde_json::from_slice(&frame).expect("a message");
            }
            self.session.next(&mut self.pending).await.expect("it goes on");
            self.heard.extend(self.pending.drain(..));
        }
    }

    /// What there is to hear, in short: `insert 1`, `2 rows`, `revoked`, `subscribed`.
    pub(super) async fn hears(&mut self, expected: &[&str]) {
        for (i, expected) in expected.iter().enumerate() {
            let message = self.next().await;
            assert_eq!(short(&message), *expected, "the {}. message: {message:?}", i + 1);
        }
    }

    /// The answer to something that is refused.
    pub(super) async fn refused(&mut self, code: Code) -> String {
        match self.next().await {
            ServerMessage::Error { code: found, message, .. } => {
                assert_eq!(found, code, "{message}");
                message
            }
            other => panic!("{other:?}"),
        }
    }

    /// Nothing comes before the answer to a ping.
    pub(super) async fn hears_nothing(&mut self) {
        self.say(&json!({ "type": "ping", "ref": "nothing" }));
        self.hears(&["pong"]).await;
    }
}

fn short(message: &ServerMessage) -> String {
    match message {
        ServerMessage::Snapshot { rows, .. } => format!("{} rows", rows.len()),
        ServerMessage::Change { op, key, .. } => {
            let key = key.as_array().map_or_else(String::new, |key| key.iter().map(Json::to_string).collect());
            format!("{op} {key}")
        }
        ServerMessage::Message { event, data, .. } => format!("{event} {data}"),
        other => other.kind().to_owned(),
    }
}

/// The rows of one subscription as its client has them.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    /// By key.
    pub(super) rows: BTreeMap<String, Map<String, Json>>,
    /// Rows of a snapshot that is not complete, or nothing while there is none.
    pub(super) whole: bool,
    /// As of which position the rows are, where they are of one.
    pub(super) position: Option<Position>,
}

impl Held {
    /// Takes a message; true where the rows are those of `position` afterwards.
    pub(super) fn take(&mut self, message: &ServerMessage) -> bool {
        let at = |text: &str| text.parse::<Position>().expect("a position");
        match message {
            ServerMessage::Revoked { .. } | ServerMessage::Gap { .. } => {
                self.rows.clear();
                self.whole = false;
                false
            }
            ServerMessage::Snapshot { rows, .. } => {
                assert!(!self.whole, "a snapshot comes first, or after the client was told to forget");
                for row in rows {
                    let row = row.as_object().expect("a row").clone();
                    self.rows.insert(row["id"].to_string(), row);
                }
                false
            }
            ServerMessage::Subscribed { position, .. } | ServerMessage::Commit { position, .. } => {
                self.whole = true;
                self.position = Some(at(position));
                true
            }
            ServerMessage::Position { position } if self.whole => {
                self.position = Some(at(position));
                true
            }
            ServerMessage::Change { op, row, key, old_key, position, last, .. } => {
                assert!(self.whole, "changes follow a snapshot");
                let key = key[0].to_string();
                let row = row.as_object().expect("a row");
                match &**op {
                    "insert" => {
                        assert!(self.rows.insert(key, row.clone()).is_none(), "{message:?} is there already");
                    }
                    "update" => {
                        if let Some(old) = old_key {
                            let held = self.rows.remove(&old[0].to_string());
                            let held = held.unwrap_or_else(|| panic!("{message:?} is not there"));
                            self.rows.insert(key.clone(), held);
                        }
                        let held = self.rows.get_mut(&key).unwrap_or_else(|| panic!("{message:?} is not there"));
                        held.extend(row.clone());
                    }
                    _ => {
                        assert!(self.rows.remove(&key).is_some(), "{message:?} is not there");
                    }
                }
                self.position = last.then(|| at(position));
                *last
            }
            _ => false,
        }
    }
}
