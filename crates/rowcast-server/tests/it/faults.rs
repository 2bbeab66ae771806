//! What goes wrong, one thing at a time: each has its documented answer, and harms nobody else.

mod clients;
mod limits;
mod log;
mod processes;

use std::path::Path;

use anyhow::{Context, Result, bail};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::message::{Change, Problem, Reason};
use crate::client::{Message, Sse, WebSocket};
use crate::server::Server;

/// A server with a table `t(id, a, b)`.
struct Shop {
    server: Server,
    database: Connection,
    folder: TempDir,
}

impl Shop {
    async fn open(settings: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let database = connect(folder.path())?;
        database
            .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT)")?;
        let server = Server::start(folder.path(), settings).await?;
        Ok(Self { server, database, folder })
    }

    fn insert(&self, ids: impl IntoIterator<Item = i64>) -> Result<()> {
        self.database.execute_batch("BEGIN IMMEDIATE")?;
        for id in ids {
            self.database.execute("INSERT INTO t (id, a, b) VALUES (?1, ?1, 'x')", [id])?;
        }
        Ok(self.database.execute_batch("COMMIT")?)
    }

    /// Subscribes to the table and reads until it has begun.
    async fn follow(&self, socket: &mut WebSocket, id: &str) -> Result<()> {
        socket.say(json!({"type": "subscribe", "id": id, "channel": "table:t", "snapshot": false})).await?;
        expect_subscribed(socket, id).await
    }

    async fn stream(&self, query: &[(&str, &str)]) -> Result<Sse> {
        let query: Vec<(&str, String)> = query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        match Sse::open(&self.server, &query, None).await? {
            Ok(sse) => Ok(sse),
            Err(refused) => bail!("{refused:?}"),
        }
    }
}

fn connect(folder: &Path) -> Result<Connection> {
    let database = Connection::open(folder.join("app.db"))?;
    database.busy_timeout(crate::server::DEADLINE)?;
    Ok(database)
}

async fn expect_subscribed(socket: &mut WebSocket, id: &str) -> Result<()> {
    match socket.next().await? {
        Message::Subscribed(subscribed) if subscribed.id.as_deref() == Some(id) => Ok(()),
        other => bail!("not `subscribed` for {id}: {other:?}"),
    }
}

async fn expect_change(socket: &mut WebSocket, id: &str) -> Result<Change> {
    match socket.next().await? {
        Message::Change(change) if change.id.as_deref() == Some(id) => Ok(change),
        other => bail!("not a change for {id}: {other:?}"),
    }
}

async fn expect_problem(socket: &mut WebSocket, code: &str) -> Result<Problem> {
    match socket.next().await? {
        Message::Error(problem) if problem.code == code => Ok(problem),
        other => bail!("not the error {code}: {other:?}"),
    }
}

async fn expect_gap(sse: &mut Sse, reason: Reason) -> Result<()> {
    match sse.next().await? {
        Message::Gap(gap) if gap.reason == reason => Ok(()),
        other => bail!("not the gap {reason:?}: {other:?}"),
    }
}

fn id_of(change: &Change) -> Result<i64> {
    change.row.get("id").and_then(Value::as_i64).with_context(|| format!("{change:?}"))
}
