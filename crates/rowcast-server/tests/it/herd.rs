//! A herd: many clients that come back at once after a restart are all let in and caught up; none misses a row, none hears one twice.
//!
//! Some hundreds in the suite, and ten thousand where `ROWCAST_SOAK` is set: then it is printed how long that takes, too.

mod client;
mod drain;
mod gates;
mod stuck;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::server::{DEADLINE, Server};
use client::{Client, Tally};

/// A server with a table `t(id)`, and another program that writes into it.
struct Meadow {
    server: Arc<Server>,
    database: Connection,
    _folder: TempDir,
}

impl Meadow {
    async fn open(settings: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let database = Connection::open(folder.path().join("app.db"))?;
        database.busy_timeout(DEADLINE)?;
        let schema = "PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL)";
        database.execute_batch(schema)?;
        let server = Arc::new(Server::start(folder.path(), settings).await?);
        Ok(Self { server, database, _folder: folder })
    }

    /// Commits rows one by one.
    fn insert(&self, ids: impl IntoIterator<Item = i64>) -> Result<()> {
        for id in ids {
            self.database.execute("INSERT INTO t VALUES (?1, ?2)", (id, "x".repeat(150)))?;
        }
        Ok(())
    }
}

impl Meadow {
    /// Commits rows, so many at a time.
    fn insert_together(&self, ids: impl IntoIterator<Item = i64>, together: usize) -> Result<()> {
        let ids: Vec<i64> = ids.into_iter().collect();
        for ids in ids.chunks(together) {
            self.database.execute_batch("BEGIN IMMEDIATE")?;
            self.insert(ids.iter().copied())?;
            self.database.execute_batch("COMMIT")?;
        }
        Ok(())
    }
}

/// Rows before, during and after the restart.
const MILESTONES: [i64; 3] = [20, 220, 230];

async fn comes_back(clients: usize, settings: &[(&str, &str)], kill: bool) -> Result<()> {
    let meadow = Meadow::open(settings).await?;
    let tally = Tally::new(clients, &MILESTONES);
    let herd: Vec<_> = (0..clients)
        .map(|number| tokio::spawn(Client::new(number, meadow.server.clone(), tally.clone()).follow(MILESTONES[2])))
        .collect();
    let began = Instant::now();
    tally.all_subscribed().await?;
    let opened = began.elapsed();
    meadow.insert(1..=20)?;
    tally.all_at(20).await?;
    if kill {
        meadow.server.kill9().await?;
    } else {
        assert!(meadow.server.terminate().await?.success());
    }
    meadow.insert(21..=220)?;
    meadow.server.restart().await?;
    let began = Instant::now();
    tally.all_at(220).await.with_context(|| meadow.server.stderr())?;
    let caught_up = began.elapsed();
    meadow.insert(221..=230)?;
    tally.all_at(230).await?;
    for client in herd {
        client.await??;
    }
    let refused = tally.refused();
    println!(
        "{clients} clients, {}: all subscribed after {opened:.1?}; after the restart all have their 200 rows after {caught_up:.1?}; \
         {refused} times told to come back later",
        if kill { "kill -9" } else { "SIGTERM" },
    );
    Ok(())
}

/// As many as a busy machine starts in a moment.
fn size() -> usize {
    if std::env::var_os("ROWCAST_SOAK").is_some() { 10_000 } else { 400 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_after_kill_9_is_caught_up_and_none_is_lost() -> Result<()> {
    comes_back(size(), &[], true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_after_sigterm_is_caught_up_and_none_is_lost() -> Result<()> {
    comes_back(size(), &[("shutdown.retry", "100ms"), ("shutdown.close_per_second", "2000")], false).await
}

/// Gates that let almost nobody through: all wait, come back, and wait again, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_herd_before_narrow_gates_is_caught_up_and_none_is_lost() -> Result<()> {
    let narrow = [
        ("limits.handshakes_per_second", "200"),
        ("limits.handshakes_burst", "50"),
        ("limits.replays", "2"),
        ("limits.replay_bytes_per_second", "4MiB"),
    ];
    comes_back(300, &narrow, true).await
}

/// How long a client waits that was told so, or that found nobody.
fn pause(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or(Duration::from_millis(50))
}
