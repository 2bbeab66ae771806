//! What rules cost: changes tried against rules of a hundred thousand users, a membership that ends among as many, and subscribing
//! where a rule reads another table.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use rowcast::auth::rules::{RuleSpec, Rules};
use rowcast::auth::{Auth, Identity, Standing};
use rowcast::event::{Batch, Body, Change, Channel, Column, Op, RowChange, Table as DbTable, TableName, Value};
use rowcast::filter::{Binding, Chosen, Dialect, Filter, Predicate, Select, Selection};
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::hub::{Hub, Interest, Queue, SessionKey, SubscriptionKey};
use rowcast::log::Log;
use rowcast::log::memory::MemoryLog;
use rowcast::protocol::ServerMessage;
use rowcast::protocol::encode::{Projection, Wire};
use rowcast::session::{Node, Session};
use rowcast::source::sqlite::SqliteSettings;
use serde_json::{Map, Value as Json, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::Scale;
use crate::filter::{order, orders};
use crate::matching::processor_time;
use crate::table::{Table, number, ratio};

/// Changes that wait when the clock begins to run.
const ROUND: u64 = 10_000;
/// Rooms of each user, where membership decides.
const ROOMS: u64 = 3;

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", runtime.block_on(changes(scale))?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{}", runtime.block_on(subscribing(scale))?);
    Ok(())
}

/// How the rows of user `n` of so many are found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What a client would ask for by itself: the floor.
    Filter,
    Claim,
    Membership,
}

/// The hub alone: processor time of the thread that dispatches.
async fn changes(scale: &Scale) -> Result<Table> {
    let users = scale.pick(100_000_u64, 1_000);
    let changes = scale.pick(100_000_u64, 10_000);
    let head = ["what", "µs/change", "× no rule"];
    let mut out = Table::new(format!("rules: one change among {users} users, each with rows of its own"), &head);
    let mut floor = 0.0;
    for (kind, name) in [
        (Kind::Filter, "floor: no rule, `customer = n`"),
        (Kind::Claim, "rule `customer = claims.n`, filter `amount >= 0`"),
        (Kind::Membership, "rule `customer in (select room from memberships where user = claims.n)`"),
    ] {
        let world = World::new(kind, users)?;
        let took = world.dispatch(users, changes, kind).await?;
        floor = if kind == Kind::Filter { took } else { floor };
        out.row([name.to_owned(), number(took), ratio(took, floor)]);
        if kind == Kind::Membership {
            let others = world.membership(users, changes, false).await?;
            out.row(["a membership of somebody who is not connected".into(), number(others), ratio(others, floor)]);
            let ended = world.membership(users, users / 10, true).await?;
            out.row([
                "a membership ends: its user's subscription is sent away".into(),
                number(ended),
                ratio(ended, floor),
            ]);
        }
    }
    out.note(
        "Processor time of one thread. Each change concerns exactly one user; its frame and the queue are included.",
    );
    Ok(out)
}

struct World {
    hub: Arc<Hub>,
    log: Arc<MemoryLog>,
    queues: Vec<Arc<Queue>>,
    _watches: Vec<Arc<rowcast::hub::Watch>>,
}

fn memberships() -> Arc<DbTable> {
    let column = |name: &str| Column { name: name.into(), declared: "INTEGER".into() };
    let columns = ["id", "user", "room"].map(column).into();
    Arc::new(DbTable { name: TableName::bare("memberships"), columns, key: vec![0] })
}

fn claims(n: u64) -> Map<String, Json> {
    Map::from_iter([("n".to_owned(), n.into())])
}

impl World {
    fn new(kind: Kind, users: u64) -> Result<Self> {
        let log = Arc::new(MemoryLog::default());
        let hub = Hub::new(log.clone());
        let (orders, members) = (orders(), memberships());
        let projection = Arc::new(Projection {
            columns: (0..orders.columns.len()).collect(),
            old: false,
            named: None,
            deliver: None,
            ruled: false,
        });
        let rule = match kind {
            Kind::Filter | Kind::Claim => Filter::parse("customer = claims.n")?,
            Kind::Membership => Filter::parse_rule("customer in (select room from memberships where user = claims.n)")?,
        };
        let asked = Filter::parse("amount >= 0")?;
        let (mut queues, mut watches) = (Vec::new(), Vec::new());
        for n in 0..users {
            let claims = claims(n);
            let mut selections: Vec<Arc<Selection>> = Vec::new();
            let chosen: Vec<Chosen> = rule
                .selects()
                .iter()
                .map(|select: &Arc<Select>| {
                    let selection = Arc::new(select.bind(&members, Dialect::Sqlite, &claims)?);
                    let values = (0..ROOMS).map(|room| Json::from(n + room * users)).collect();
                    Ok(Chosen { selection, values })
                })
                .collect::<Result<_>>()?;
            for chosen in &chosen {
                let (watch, _) = hub.watch(chosen.selection.clone());
                let watch = watch.begin(hub.dispatched());
                selections.push(chosen.selection.clone());
                watches.push(watch);
            }
            let binding =
                Binding { table: &orders, dialect: Dialect::Sqlite, claims: &claims, readable: None, chosen: &chosen };
            let bound = rule.bind_with(binding)?;
            let predicate: Predicate = match kind {
                Kind::Filter => bound,
                Kind::Claim | Kind::Membership => {
                    bound.as_rule().and(asked.bind(&orders, Dialect::Sqlite, &Map::new())?)
                }
            };
            let queue = Arc::new(Queue::new(usize::MAX));
            let interest = Interest {
                channel: Channel::Table(orders.name.clone()),
                table: Some(orders.clone()),
                predicate: Some(Arc::new(predicate)),
                projection: projection.clone(),
                wire: Wire::WebSocket,
                id: "\"s\"".into(),
                selections: selections.into(),
            };
            hub.join(&queue, SessionKey(n), SubscriptionKey(0), interest, false);
            queues.push(queue);
        }
        Ok(Self { hub, log, queues, _watches: watches })
    }

    /// Microseconds for each change of the table.
    async fn dispatch(&self, users: u64, changes: u64, kind: Kind) -> Result<f64> {
        let table = orders();
        let before = self.hub.status().delivered.frames;
        let took = self
            .rounds(changes, |i| {
                let mut row = order(i);
                let user = any_of(i, users);
                let room = if kind == Kind::Membership { users * (i % ROOMS) } else { 0 };
                row.values[5] = Value::Int((user + room) as i64);
                RowChange { table: table.clone(), op: Op::Insert, old: None, new: Some(row) }
            })
            .await?;
        ensure!(self.hub.status().delivered.frames - before == changes, "every change concerns one user");
        Ok(took)
    }

    /// Microseconds for each change of a membership.
    async fn membership(&self, users: u64, changes: u64, ends: bool) -> Result<f64> {
        let table = memberships();
        let subscribed = self.hub.status().subscriptions as u64;
        let took = self
            .rounds(changes, |i| {
                let user = if ends { i } else { users + i };
                let row = vec![Value::Int(i as i64), Value::Int(user as i64), Value::Int(user as i64)];
                RowChange { table: table.clone(), op: Op::Delete, old: Some(row.into()), new: None }
            })
            .await?;
        let left = self.hub.status().subscriptions as u64;
        ensure!(left == subscribed - if ends { changes } else { 0 }, "exactly those are sent away whom it concerns");
        Ok(took)
    }

    async fn rounds(&self, changes: u64, change: impl Fn(u64) -> RowChange) -> Result<f64> {
        let mut took = Duration::ZERO;
        for first in (0..changes).step_by(ROUND as usize) {
            let of = |i| Change { tx: i + 1, last: true, time_ms: 0, body: Body::Row(change(i)) };
            let changes = (first..changes.min(first + ROUND)).map(of).collect();
            self.log.append(Batch { origin: None, changes }).await?;
            let (stop, began) = (CancellationToken::new(), processor_time()?);
            let running = tokio::spawn(self.hub.clone().run(stop.clone()));
            self.hub.reached(self.log.head()).await;
            took += processor_time()? - began;
            stop.cancel();
            running.await?;
            self.queues.iter().for_each(|queue| drop(queue.take(usize::MAX)));
        }
        Ok(took.as_secs_f64() * 1e6 / changes as f64)
    }
}

/// One of so many, without any order.
fn any_of(i: u64, count: u64) -> u64 {
    (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % count
}

/// Whole subscriptions, with snapshots of SQLite: as many users one after the other.
async fn subscribing(scale: &Scale) -> Result<Table> {
    let users = scale.pick(2_000_u64, 50);
    let head = ["what", "each second", "ms each", "× no rule"];
    let mut out =
        Table::new(format!("rules: {users} users subscribe with a snapshot of 30 rows, one after the other"), &head);
    let folder = TempDir::new()?;
    let path = folder.path().join("rules.db");
    fill(&path, users)?;
    let rule = |read: &str| RuleSpec {
        table: Some(TableName::bare("messages")),
        read: Some(read.to_owned()),
        ..RuleSpec::default()
    };
    let mut floor = 0.0;
    for (name, read) in [
        ("floor: no rule, filter `room in (3 values)`", None),
        ("rule `room in claims.rooms`", Some("room in claims.rooms")),
        (
            "rule `room in (select room from memberships where user = claims.n)`",
            Some("room in (select room from memberships where user = claims.n)"),
        ),
    ] {
        let database = Database::sqlite("rules", &path, SqliteSettings::default());
        let mut builder = Gateway::builder().database(database).log(LogPlace::Memory);
        if let Some(read) = read {
            let rules = Rules::new(vec![rule(read)], None, None).map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?;
            builder = builder.auth(Auth { rules, ..Auth::default() });
        }
        let gateway = builder.start().await?;
        let node = gateway.node();
        let mut kept = Vec::new();
        for (again, more) in [(false, ""), (true, ", the same user's second connection")] {
            let began = Instant::now();
            for n in 0..users {
                kept.push(subscribe(&node, n, read.is_some()).await?);
            }
            let took = began.elapsed().as_secs_f64() / users as f64;
            floor = if read.is_none() && !again { took } else { floor };
            if !again || read.is_some_and(|read| read.contains("select")) {
                out.row([format!("{name}{more}"), number(1.0 / took), number(took * 1e3), ratio(took, floor)]);
            }
        }
        drop(kept);
        gateway.stop().await;
    }
    out.note(
        "In process, without sockets. The first subscription of a user reads its memberships; the second finds them.",
    );
    Ok(out)
}

async fn subscribe(node: &Arc<Node>, n: u64, ruled: bool) -> Result<Session> {
    let rooms: Vec<u64> = (0..ROOMS).map(|room| n * ROOMS + room).collect();
    let mut wish = json!({ "type": "subscribe", "id": "s", "channel": "table:messages" });
    let identity = match ruled {
        false => {
            wish["where"] = format!("room in ({}, {}, {})", rooms[0], rooms[1], rooms[2]).into();
            Identity::trusted()
        }
        true => {
            let claims = Map::from_iter([("n".to_owned(), n.into()), ("rooms".to_owned(), rooms.into())]);
            let identity = Arc::unwrap_or_clone(Identity::anonymous());
            Arc::new(Identity { standing: Standing::Known, claims, ..identity })
        }
    };
    let mut session = Session::open(node.clone(), Wire::Text, "bench", String::new(), identity)?;
    if session.receive(&wish.to_string()).is_err() {
        bail!("the session ends");
    }
    let (mut out, mut rows): (Vec<Bytes>, usize) = (Vec::new(), 0);
    loop {
        if session.next(&mut out).await.is_err() {
            bail!("the session ends");
        }
        for frame in out.drain(..) {
            match serde_json::from_slice(&frame).context("a message")? {
                ServerMessage::Snapshot { rows: some, .. } => rows += some.len(),
                ServerMessage::Subscribed { .. } => {
                    ensure!(rows as u64 == ROOMS * 10, "{rows} rows");
                    return Ok(session);
                }
                ServerMessage::Position { .. } => {}
                other => bail!("{other:?}"),
            }
        }
    }
}

fn fill(path: &Path, users: u64) -> Result<()> {
    let database = rusqlite::Connection::open(path)?;
    database.execute_batch(
        "CREATE TABLE messages (id INTEGER PRIMARY KEY, room INTEGER, body TEXT);
         CREATE INDEX messages_room ON messages (room);
         CREATE TABLE memberships (id INTEGER PRIMARY KEY, user INTEGER, room INTEGER);
         CREATE INDEX memberships_user ON memberships (user);",
    )?;
    let rooms = (users * ROOMS) as i64;
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)";
    database
        .execute(&format!("{numbers} INSERT INTO memberships (user, room) SELECT i / {ROOMS}, i FROM n"), [rooms])?;
    let messages =
        format!("{numbers} INSERT INTO messages (room, body) SELECT i / 10, 'a message of usual length' FROM n");
    database.execute(&messages, [rooms * 10])?;
    Ok(())
}
