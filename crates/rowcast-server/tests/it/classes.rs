//! Delivery classes on the real binary: clients that do not read for a while are told what they missed in short, and miss nothing.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::client::message::{Message, Op, Position};
use crate::client::sse::Sse;
use crate::client::websocket::WebSocket;
use crate::server::{DEADLINE, Server};

const KEYS: i64 = 40;
/// So many that sockets cannot hold half of what is written.
const ROUNDS: i64 = 500;

/// Either door.
enum Door {
    WebSocket(Box<WebSocket>),
    Sse(Box<Sse>),
}

impl Door {
    async fn next(&mut self) -> Result<Message> {
        match self {
            Self::WebSocket(socket) => socket.next().await,
            Self::Sse(stream) => stream.next().await,
        }
    }
}

/// What a client holds, and how many changes it was told or counted.
#[derive(Default)]
struct Held {
    rows: BTreeMap<i64, i64>,
    changes: u64,
    messages: u64,
    position: Option<Position>,
}

impl Held {
    fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Subscribed(subscribed) => self.position = Some(subscribed.position),
            Message::Skipped(skipped) => self.changes += skipped.count,
            Message::Commit(commit) => self.position = Some(commit.position),
            Message::Change(change) => {
                let id = change.key[0].as_i64().context("a key")?;
                match change.op {
                    Op::Delete => self.rows.remove(&id),
                    Op::Insert | Op::Update => {
                        self.rows.insert(id, change.row.get("a").and_then(Value::as_i64).context("a")?)
                    }
                };
                self.changes += 1;
                self.position = Some(change.position);
            }
            other => bail!("unexpected: {other:?}"),
        }
        self.messages += 1;
        Ok(())
    }

    /// Reads until the row of this key is there.
    async fn until(&mut self, door: &mut Door, key: i64) -> Result<()> {
        while !self.rows.contains_key(&key) {
            let message = door.next().await?;
            self.take(message)?;
        }
        Ok(())
    }
}

async fn start(dir: &std::path::Path) -> Result<(Server, Connection)> {
    let database = Connection::open(dir.join("app.db"))?;
    database.busy_timeout(DEADLINE)?;
    database.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT)")?;
    let settings = [("limits.queue_bytes", "64KiB"), ("limits.write_stall", "120s"), ("limits.heartbeat", "60s")];
    Ok((Server::start(dir, &settings).await?, database))
}

/// Every key again and again, each row of 1 kB; and a last one.
fn write(database: &Connection, rounds: i64, last: i64) -> Result<u64> {
    let text = "x".repeat(1000);
    for round in 1..=rounds {
        database.execute_batch("BEGIN IMMEDIATE")?;
        for id in 0..KEYS {
            let sql = "INSERT INTO t VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET a = ?2, b = ?3";
            database.execute(sql, (id, round, &text))?;
        }
        database.execute_batch("COMMIT")?;
    }
    database.execute("DELETE FROM t WHERE id = 7", ())?;
    database.execute("INSERT INTO t VALUES (?1, 0, '')", [last])?;
    Ok((rounds * KEYS + 2) as u64)
}

fn stored(database: &Connection) -> Result<BTreeMap<i64, i64>> {
    let mut rows = database.prepare("SELECT id, a FROM t")?;
    Ok(rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

async fn open(server: &Server, sse: bool, deliver: &Value, since: Option<Position>) -> Result<Door> {
    if sse {
        let text = deliver.as_str().map_or_else(|| deliver.to_string(), str::to_owned);
        let query = [("channel", "table:t".to_owned()), ("deliver", text)];
        let opened = Sse::open(server, &query, since).await?;
        return Ok(Door::Sse(Box::new(opened.map_err(|refused| anyhow::anyhow!("{refused:?}"))?)));
    }
    let mut socket = WebSocket::open_with(server, Some(4096), &[]).await?;
    let mut message =
        json!({"type": "subscribe", "id": "s", "channel": "table:t", "snapshot": false, "deliver": deliver});
    if let Some(since) = since {
        message["since"] = since.to_string().into();
    }
    socket.say(message).await?;
    Ok(Door::WebSocket(Box::new(socket)))
}

async fn slow_client(sse: bool, deliver: Value) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (server, database) = start(dir.path()).await?;
    let mut door = open(&server, sse, &deliver, None).await?;
    let mut held = Held::default();
    held.take(door.next().await?)?;
    // It reads nothing meanwhile, and all of it does not fit into its queue.
    let written = write(&database, ROUNDS, 1000)?;
    held.until(&mut door, 1000).await?;
    ensure!(held.rows == stored(&database)?, "{:?}", held.rows);
    ensure!(held.changes == written, "{} of {written} were told or counted", held.changes);
    ensure!(held.messages < written / 2, "{} messages for {written} changes", held.messages);
    // And over a restart, after the position that it has.
    server.kill9().await?;
    let written = write(&database, 3, 1001)? + held.changes;
    server.restart().await?;
    let mut door = open(&server, sse, &deliver, held.position).await?;
    held.until(&mut door, 1001).await?;
    ensure!(held.rows == stored(&database)?, "{:?}", held.rows);
    ensure!(held.changes == written, "{} of {written} were told or counted", held.changes);
    Ok(())
}

#[tokio::test]
async fn a_websocket_that_is_not_read_is_told_the_newest_and_misses_nothing() -> Result<()> {
    slow_client(false, json!("latest")).await
}

#[tokio::test]
async fn an_event_stream_that_is_not_read_is_told_the_newest_and_misses_nothing() -> Result<()> {
    slow_client(true, json!("latest")).await
}

#[tokio::test]
async fn every_so_often_is_often_enough_for_a_websocket_and_for_a_stream() -> Result<()> {
    slow_client(false, json!({"every_ms": 50})).await?;
    slow_client(true, json!("every=50ms")).await
}

#[tokio::test]
async fn a_class_that_is_none_is_refused_before_the_stream() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (server, _) = start(dir.path()).await?;
    for query in ["channel=table:t&deliver=newest", "channel=room:r&deliver=latest"] {
        let answer = server.http().get(server.url(&format!("/v1/stream?{query}"))).send().await?;
        ensure!(answer.status().as_u16() == 400, "{query}: {}", answer.status());
    }
    Ok(())
}
