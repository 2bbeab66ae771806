//! A node without a database worth the name, and clients who apply what they hear, and stop at what cannot be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rowcast::auth::{Identity, Standing};
use rowcast::event::Channel;
use rowcast::hub::Hub;
use rowcast::log::Retention;
use rowcast::log::memory::MemoryLog;
use rowcast::presence::Key;
use rowcast::protocol::encode::Wire;
use rowcast::session::{Database, Limits, Node, Session};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::snapshots::Counted;

/// Users with their states and numbers of connections.
pub(super) type Users = BTreeMap<String, (Json, u64)>;

pub(super) struct World {
    pub(super) node: Arc<Node>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(super) fn tenant(tenant: &str, name: &str) -> Arc<Identity> {
    let known = (*Identity::anonymous()).clone();
    let (tenant, user) = (tenant.into(), Some(name.into()));
    Arc::new(Identity { standing: Standing::Known, tenant, user, ..known })
}

pub(super) fn user(name: &str) -> Arc<Identity> {
    tenant("", name)
}

pub(super) fn anonymous() -> Arc<Identity> {
    Identity::anonymous()
}

impl World {
    pub(super) fn new(limits: Limits) -> Self {
        let log = Arc::new(MemoryLog::new(Retention::default()));
        let hub = Hub::new(log.clone());
        let stop = CancellationToken::new();
        tokio::spawn(hub.clone().run(stop.clone()));
        let database = Database { store: Arc::new(Counted::default()), source: "db".into(), ears: None };
        Self { node: Arc::new(Node::new(hub, log, database, limits)), stop }
    }

    pub(super) fn client(&self, identity: Arc<Identity>) -> Client {
        let session = Session::open(self.node.clone(), Wire::Text, "test", String::new(), identity).expect("room");
        Client { session, pending: Vec::new(), users: Users::new() }
    }

    /// A client who has heard who is on a channel.
    pub(super) async fn watcher(&self, channel: &str) -> Client {
        let mut client = self.client(user("watcher"));
        client.watch("w", channel).await;
        client
    }

    /// Who is on a channel of no tenant, as programs are told.
    pub(super) fn document(&self, channel: &str) -> Json {
        let key = Key { tenant: "".into(), channel: Channel::of_operator(channel).expect("a channel") };
        serde_json::from_slice(&self.node.presence.document(&key)).expect("JSON")
    }

    pub(super) fn users(&self, channel: &str) -> Users {
        self.document(channel)["users"].as_array().expect("a list").iter().map(user_of).collect()
    }

    /// One user, as told.
    pub(super) fn seen(&self, channel: &str, name: &str) -> Json {
        let document = self.document(channel);
        let users = document["users"].as_array().expect("a list");
        users.iter().find(|user| user["user"] == name).cloned().expect("the user")
    }
}

fn user_of(json: &Json) -> (String, (Json, u64)) {
    let name = json["user"].as_str().expect("a name").to_owned();
    (name, (json["state"].clone(), json["connections"].as_u64().expect("a number")))
}

/// One connection. What is sent to it waits until somebody asks.
pub(super) struct Client {
    pub(super) session: Session,
    pending: Vec<Bytes>,
    /// Who is present, as it was told.
    pub(super) users: Users,
}

impl Client {
    pub(super) fn say(&mut self, message: Json) {
        self.say_text(&message.to_string());
    }

    pub(super) fn say_text(&mut self, text: &str) {
        self.session.receive(text).expect("it goes on");
    }

    pub(super) async fn next(&mut self) -> Json {
        while self.pending.is_empty() {
            let next = self.session.next(&mut self.pending);
            tokio::time::timeout(Duration::from_secs(30), next).await.expect("something").expect("it goes on");
        }
        serde_json::from_slice(&self.pending.remove(0)).expect("a message")
    }

    /// Whether there is something to hear within a moment.
    pub(super) async fn has_more(&mut self) -> bool {
        if !self.pending.is_empty() {
            return true;
        }
        let next = self.session.next(&mut self.pending);
        tokio::time::timeout(Duration::from_millis(20), next).await.is_ok()
    }

    pub(super) async fn track(&mut self, channel: &str, state: Json) {
        self.say(json!({"type": "track", "channel": channel, "state": state}));
        assert_eq!(self.next().await, json!({"type": "tracked"}));
    }

    pub(super) async fn untrack(&mut self, channel: &str) {
        self.say(json!({"type": "untrack", "channel": channel}));
        assert_eq!(self.next().await, json!({"type": "untracked"}));
    }

    pub(super) async fn watch(&mut self, id: &str, channel: &str) {
        self.say(json!({"type": "subscribe", "id": id, "channel": format!("presence:{channel}")}));
        assert_eq!(self.next().await["type"], "subscribed");
        while self.presence().await["more"] == true {}
    }

    /// The next that is heard, which is about who is present.
    pub(super) async fn presence(&mut self) -> Json {
        let heard = self.next().await;
        self.hear(&heard);
        heard
    }

    /// As it is known now.
    pub(super) async fn users(&mut self) -> Users {
        self.users.clone()
    }

    pub(super) fn hear(&mut self, heard: &Json) {
        assert_eq!(heard["type"], "presence", "{heard}");
        if heard["full"] == true {
            self.users.clear();
        }
        let list = |name: &str| heard[name].as_array().cloned().unwrap_or_default();
        for user in list("users").iter().chain(&list("joins")) {
            let (name, seen) = user_of(user);
            assert_eq!(self.users.insert(name, seen), None, "nobody comes twice: {heard}");
        }
        for user in list("updates") {
            let (name, seen) = user_of(&user);
            let before = self.users.insert(name, seen.clone());
            assert!(before.is_some_and(|before| before != seen), "who is there has changed: {heard}");
        }
        for name in list("leaves") {
            assert!(self.users.remove(name.as_str().expect("a name")).is_some(), "who goes was there: {heard}");
        }
    }
}
