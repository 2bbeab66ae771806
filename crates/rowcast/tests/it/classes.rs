//! Delivery classes as a session tells them: slow clients, clocks, resumes, and what is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rowcast::auth::Identity;
use rowcast::event::{Batch, Body, Change, Op, Position, Row, RowChange, TableName, Value};
use rowcast::hub::Hub;
use rowcast::log::Log;
use rowcast::log::Retention;
use rowcast::log::memory::MemoryLog;
use rowcast::protocol::encode::Wire;
use rowcast::protocol::{Code, ServerMessage};
use rowcast::session::events::{EventName, Events};
use rowcast::session::{Database, Limits, Node, Session};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::snapshots::{Counted, table};

struct World {
    node: Arc<Node>,
    log: Arc<MemoryLog>,
    /// The table, as the log says it is.
    rows: BTreeMap<i64, i64>,
    tx: u64,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn world(limits: Limits) -> World {
    let log = Arc::new(MemoryLog::new(Retention::default()));
    let hub = Hub::new(log.clone());
    let stop = CancellationToken::new();
    tokio::spawn(hub.clone().run(stop.clone()));
    let database = Database { store: Arc::new(Counted::default()), source: "db".into(), ears: None };
    let event = EventName::new("added", TableName::bare("t"));
    let events: Events = [("added".to_owned(), Arc::new(event))].into();
    let node = Arc::new(Node::with_events(hub, log.clone(), database, limits, events));
    World { node, log, rows: BTreeMap::new(), tx: 0, stop }
}

impl World {
    /// One transaction: each row is set, or gone.
    async fn commit(&mut self, writes: &[(i64, Option<i64>)]) -> Position {
        self.tx += 1;
        let row = |id: i64, a: i64| Row::from(vec![Value::Int(id), Value::Int(a)]);
        let mut changes = Vec::new();
        for (id, a) in writes {
            let before = self.rows.get(id).copied();
            let (op, old, new) = match (before, a) {
                (None, None) => continue,
                (None, Some(a)) => (Op::Insert, None, Some(row(*id, *a))),
                (Some(old), Some(a)) => (Op::Update, Some(row(*id, old)), Some(row(*id, *a))),
                (Some(old), None) => (Op::Delete, Some(row(*id, old)), None),
            };
            match a {
                Some(a) => self.rows.insert(*id, *a),
                None => self.rows.remove(id),
            };
            let body = Body::Row(RowChange { table: table(), op, old, new });
            changes.push(Change { tx: self.tx, last: false, time_ms: self.tx, body });
        }
        match changes.last_mut() {
            Some(last) => last.last = true,
            None => return self.log.head(),
        }
        let head = self.log.append(Batch { origin: None, changes }).await.expect("a log in memory takes all");
        self.node.hub.reached(head).await;
        head
    }

    /// A session that has subscribed to the table, and heard so.
    async fn subscribed(&self, deliver: Json, since: Option<String>) -> Client {
        let mut message = json!({"type": "subscribe", "id": "s", "channel": "table:t", "snapshot": false});
        message["deliver"] = deliver;
        if let Some(since) = since {
            message["since"] = since.into();
        }
        let mut client = self.client();
        client.session.receive(&message.to_string()).expect("it goes on");
        let first = client.next().await;
        assert!(matches!(first, ServerMessage::Subscribed { .. }), "{first:?}");
        client
    }

    fn client(&self) -> Client {
        let session =
            Session::open(self.node.clone(), Wire::Text, "test", String::new(), Identity::trusted()).expect("room");
        Client { session, pending: Vec::new(), heard: Vec::new(), frames: 0 }
    }
}

struct Client {
    session: Session,
    /// Kept where waiting was given up.
    pending: Vec<Bytes>,
    heard: Vec<Bytes>,
    /// How many of `heard` were looked at.
    frames: usize,
}

impl Client {
    async fn next(&mut self) -> ServerMessage {
        while self.frames == self.heard.len() {
            if self.pending.is_empty() {
                self.session.next(&mut self.pending).await.expect("it goes on");
            }
            self.heard.append(&mut self.pending);
        }
        self.frames += 1;
        serde_json::from_slice(&self.heard[self.frames - 1]).expect("a message")
    }

    /// Everything up to the message that reaches `position`, without what says only that nothing happened.
    async fn until(&mut self, position: Position) -> Vec<ServerMessage> {
        let mut messages = Vec::new();
        loop {
            let message = self.next().await;
            let reached = reached(&message).is_some_and(|at| at >= position);
            if !matches!(message, ServerMessage::Position { .. }) {
                messages.push(message);
            }
            if reached {
                return messages;
            }
        }
    }
}

/// The position from which a client that has this message goes on.
fn reached(message: &ServerMessage) -> Option<Position> {
    let position = match message {
        ServerMessage::Change { position, .. }
        | ServerMessage::Commit { position, .. }
        | ServerMessage::Subscribed { position, .. }
        | ServerMessage::Position { position }
        | ServerMessage::Message { position: Some(position), .. } => position,
        _ => return None,
    };
    Some(position.parse().expect("a position"))
}

fn line(messages: &[ServerMessage]) -> String {
    let said = |message: &ServerMessage| match message {
        ServerMessage::Skipped { count, .. } => format!("{count} skipped"),
        ServerMessage::Change { op, row, last, .. } => {
            format!("{op} {}={}{}", row["id"], row["a"], if *last { "!" } else { "" })
        }
        ServerMessage::Message { data, .. } => format!("{}={}", data["id"], data["a"]),
        ServerMessage::Commit { .. } => "commit".into(),
        other => format!("{other:?}"),
    };
    messages.iter().map(said).collect::<Vec<_>>().join(", ")
}

fn apply(rows: &mut BTreeMap<i64, i64>, message: &ServerMessage) -> u64 {
    match message {
        ServerMessage::Change { op, key, row, .. } => {
            let id = key[0].as_i64().expect("a number");
            match op.as_str() {
                "delete" => rows.remove(&id),
                _ => rows.insert(id, row["a"].as_i64().expect("a number")),
            };
            1
        }
        ServerMessage::Skipped { count, .. } => *count,
        _ => 0,
    }
}

#[tokio::test]
async fn a_client_that_is_slow_is_told_the_newest_of_each_key() {
    let mut world = world(Limits::default());
    let mut strict = world.subscribed(json!("strict"), None).await;
    let mut latest = world.subscribed(json!("latest"), None).await;
    world.commit(&[(1, Some(0)), (2, Some(0))]).await;
    for n in 1..=100 {
        world.commit(&[(1, Some(n)), (3, Some(n))]).await;
        world.commit(&[(3, None)]).await;
    }
    let head = world.commit(&[(2, Some(7))]).await;
    assert_eq!(line(&latest.until(head).await), "301 skipped, insert 1=100, insert 2=7!");
    assert_eq!(strict.until(head).await.len(), 303);
}

#[tokio::test]
async fn what_comes_to_nothing_is_counted_and_moves_the_position() {
    let mut world = world(Limits::default());
    let mut latest = world.subscribed(json!("latest"), None).await;
    world.commit(&[(1, Some(0))]).await;
    let head = world.commit(&[(1, None)]).await;
    let messages = latest.until(head).await;
    assert_eq!(line(&messages), "2 skipped, commit");
    assert_eq!(reached(&messages[1]), Some(head));
}

#[tokio::test]
async fn where_even_the_newest_of_each_key_does_not_fit_the_log_is_read() {
    let mut world = world(Limits { queue_bytes: 16 << 10, ..Limits::default() });
    for deliver in [json!("latest"), json!({"every_ms": 1}), json!({"sample": 1000})] {
        let mut client = world.subscribed(deliver.clone(), None).await;
        let mut rows = world.rows.clone();
        let mut sent = 0;
        for n in 0..3000 {
            world.commit(&[(n % 200, Some(n))]).await;
            sent += 1;
        }
        let head = world.commit(&[(-1, Some(sent))]).await;
        let messages = client.until(head).await;
        let told: u64 = messages.iter().map(|message| apply(&mut rows, message)).sum();
        assert_eq!(told, sent as u64 + 1, "{deliver}: each is told or counted");
        assert!(messages.len() < 2500, "{deliver}: {}", messages.len());
        if deliver != json!({"sample": 1000}) {
            assert_eq!(rows, world.rows, "{deliver}");
        }
    }
}

#[tokio::test]
async fn every_tells_the_first_at_once_and_the_others_in_their_time() {
    let mut world = world(Limits::default());
    let mut client = world.subscribed(json!({"every_ms": 3_600_000}), None).await;
    let strict = r#"{"type":"subscribe","id":"strict","channel":"table:t","snapshot":false}"#;
    client.session.receive(strict).expect("it goes on");
    assert!(matches!(client.next().await, ServerMessage::Subscribed { .. }));
    let mut heard = Vec::new();
    for n in 0..20 {
        let head = world.commit(&[(1, Some(n))]).await;
        // Until both have had the time to be told.
        let of_strict = |message: &ServerMessage| matches!(message, ServerMessage::Change { id, .. } if id == "strict");
        loop {
            let message = client.next().await;
            let done = of_strict(&message) && reached(&message) == Some(head);
            heard.push(message);
            if done {
                break;
            }
        }
    }
    heard.retain(|message| matches!(message, ServerMessage::Change { id, .. } if id == "s"));
    assert_eq!(line(&heard), "insert 1=0!");
}

#[tokio::test]
async fn what_waits_for_its_time_is_told_by_the_clock() {
    let mut world = world(Limits::default());
    let mut client = world.subscribed(json!("every=30ms"), None).await;
    let first = world.commit(&[(1, Some(0))]).await;
    client.until(first).await;
    let mut head = first;
    for n in 1..=10 {
        head = world.commit(&[(1, Some(n))]).await;
    }
    // Nothing else happens: the clock alone brings it.
    let messages = client.until(head).await;
    assert!(line(&messages).ends_with("update 1=10!"), "{}", line(&messages));
}

#[tokio::test]
async fn of_a_bucket_the_least_the_greatest_and_the_last_are_told() {
    let mut world = world(Limits::default());
    // The table's times are milliseconds after 1970: all of them are in one bucket.
    let mut client = world.subscribed(json!({"sample": {"per_second": 1, "value": "a"}}), None).await;
    let mut head = world.log.head();
    for (id, a) in [5, 9, 3, -2, 9, 4].into_iter().enumerate() {
        head = world.commit(&[(id as i64, Some(a))]).await;
    }
    let messages = client.until(head).await;
    assert_eq!(line(&messages), "3 skipped, insert 1=9, insert 3=-2, insert 5=4!");
}

#[tokio::test]
async fn an_applications_own_event_is_conflated_and_counted() {
    let mut world = world(Limits::default());
    let subscribe =
        r#"{"type":"subscribe","id":"s","channel":"event:added","deliver":{"sample":{"per_second":1,"value":"a"}}}"#;
    let mut client = world.client();
    client.session.receive(subscribe).expect("it goes on");
    assert!(matches!(client.next().await, ServerMessage::Subscribed { .. }));
    let mut head = world.log.head();
    for (id, a) in [1, 2, 3].into_iter().enumerate() {
        head = world.commit(&[(id as i64, Some(a))]).await;
    }
    assert_eq!(line(&client.until(head).await), "1 skipped, 0=1, 2=3");
}

#[tokio::test]
async fn channels_without_rows_and_columns_that_are_none_are_refused() {
    let world = world(Limits::default());
    let mut client = world.client();
    for (channel, deliver, code) in [
        ("room:r", json!("latest"), Code::BadMessage),
        ("notify:n", json!({"every_ms": 10}), Code::BadMessage),
        ("table:t", json!("newest"), Code::BadMessage),
        ("table:t", json!({"sample": {"per_second": 1, "value": "b"}}), Code::UnknownColumn),
        ("table:t", json!({"sample": {"per_second": 1, "group_by": "b"}}), Code::UnknownColumn),
    ] {
        let message = json!({"type": "subscribe", "id": "s", "channel": channel, "deliver": deliver});
        client.session.receive(&message.to_string()).expect("it goes on");
        let answer = client.next().await;
        assert!(matches!(&answer, ServerMessage::Error { code: said, .. } if *said == code), "{message}: {answer:?}");
    }
}

/// Histories of a small table; the client takes when it likes, is cut off when it likes, and goes on after any position that it has.
#[tokio::test]
async fn over_any_cuts_the_rows_are_the_table() {
    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..60 {
        let deliver = [json!("strict"), json!("latest"), json!({"every_ms": 1})][round % 3].clone();
        let queue_bytes = if round % 2 == 0 { 2 << 10 } else { 1 << 20 };
        let mut world = world(Limits { queue_bytes, ..Limits::default() });
        let mut client = world.subscribed(deliver.clone(), None).await;
        let (mut rows, mut position) = (BTreeMap::new(), None);
        for _ in 0..random.random_range(1..60) {
            for _ in 0..random.random_range(0..10) {
                let writes: Vec<_> = (0..random.random_range(1..4))
                    .map(|_| (random.random_range(0..9), random.random_bool(0.7).then(|| random.random_range(0..99))))
                    .collect();
                world.commit(&writes).await;
            }
            let until = world.log.head();
            while position.is_none_or(|at| at < until) && random.random_bool(0.8) {
                // Something comes: not everything has been told.
                let message = match tokio::time::timeout(Duration::from_millis(20), client.next()).await {
                    Ok(message) => message,
                    Err(_) => break,
                };
                apply(&mut rows, &message);
                position = reached(&message).or(position);
            }
            if random.random_bool(0.2) {
                let since = position.map(|at| at.to_string());
                if since.is_some() {
                    client = world.subscribed(deliver.clone(), since).await;
                }
            }
        }
        let end = world.commit(&[(100, Some(round as i64))]).await;
        for message in client.until(end).await {
            apply(&mut rows, &message);
        }
        assert_eq!(rows, world.rows, "{deliver}, round {round} of seed {seed}");
    }
}
