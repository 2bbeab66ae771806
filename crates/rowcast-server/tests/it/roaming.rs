//! One position for every transport: a client leaves over one and comes back over another, at random, while a writer writes and the
//! server is killed and stopped; in the end it holds the table, and has heard each version of each row exactly once.

mod carrier;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rusqlite::Connection;
use tokio::time::Instant;

use crate::client::Message;
use crate::client::message::{Change, JsonRow, Op, Position};
use crate::server::{DEADLINE, Server};
use carrier::{Carrier, WIRES, Wire};

/// Nothing comes after this row.
const MARKER: i64 = -1;

/// How many rows there are, at most.
const IDS: i64 = 40;

/// A client without a home.
struct Roamer {
    server: Arc<Server>,
    random: StdRng,
    at: Option<Position>,
    /// id → version
    rows: BTreeMap<i64, i64>,
    coming: Vec<JsonRow>,
    /// On this connection `subscribed` has come: what it says of positions is of this subscription, too.
    subscribed: bool,
    /// How often it has come back over each transport.
    stays: BTreeMap<Wire, usize>,
    /// The way here, for people who look for a mistake.
    way: Vec<String>,
}

impl Roamer {
    fn new(server: Arc<Server>, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let (rows, coming, stays, way) = (BTreeMap::new(), Vec::new(), BTreeMap::new(), Vec::new());
        Self { server, random, at: None, rows, coming, subscribed: false, stays, way }
    }

    /// Until the marker has come.
    async fn roam(mut self) -> Result<Self> {
        let deadline = Instant::now() + 2 * DEADLINE;
        while !self.rows.contains_key(&MARKER) {
            ensure!(Instant::now() < deadline, "not caught up in time: {}", self.told());
            self.server.up().await?;
            let wire = *WIRES.choose(&mut self.random).context("a transport")?;
            self.way.push(format!("{wire:?} at {:?}", self.at));
            let Some(carrier) = Carrier::open(wire, &self.server, self.at).await? else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            self.stay(wire, carrier).await.with_context(|| self.told())?;
        }
        Ok(self)
    }

    /// One connection, left after some messages, or after a while.
    async fn stay(&mut self, wire: Wire, mut carrier: Carrier) -> Result<()> {
        let mut patience: usize = self.random.random_range(0..60);
        let leaves = tokio::time::sleep(Duration::from_millis(self.random.random_range(1..400)));
        tokio::pin!(leaves);
        self.coming.clear();
        self.subscribed = false;
        while patience > 0 && !self.rows.contains_key(&MARKER) {
            let message = tokio::select! {
                message = carrier.next() => message?,
                () = &mut leaves => break,
            };
            let Some(message) = message else { return Ok(()) };
            patience -= 1;
            if let Message::Subscribed(_) = message {
                *self.stays.entry(wire).or_default() += 1;
            }
            let text = format!("{message:?}");
            if !self.take(message).with_context(|| text)? {
                return Ok(());
            }
        }
        if self.random.random() {
            carrier.close().await;
        }
        Ok(())
    }

    /// Whether the connection goes on.
    fn take(&mut self, message: Message) -> Result<bool> {
        match message {
            Message::Snapshot(snapshot) => {
                ensure!(self.at.is_none(), "a snapshot, although there is a position");
                self.coming.extend(snapshot.rows);
            }
            Message::Subscribed(subscribed) => {
                ensure!(self.at.is_none_or(|at| subscribed.resumed && at == subscribed.position), "resumed elsewhere");
                if self.at.is_none() {
                    self.rows = self.coming.drain(..).map(|row| version(&row)).collect::<Result<_>>()?;
                }
                self.at = Some(subscribed.position);
                self.subscribed = true;
            }
            Message::Change(change) => self.change(&change)?,
            Message::Commit(commit) => self.forward(commit.position)?,
            Message::Position(_) if !self.subscribed => {}
            Message::Position(at) => {
                ensure!(self.at.is_some_and(|before| at.position >= before), "back to {}", at.position);
                self.at = Some(at.position);
            }
            Message::Close(_) => return Ok(false),
            Message::Hello(_) | Message::Pong(_) => {}
            other => bail!("not expected: {other:?}"),
        }
        Ok(true)
    }

    fn change(&mut self, change: &Change) -> Result<()> {
        self.forward(change.position)?;
        let (id, v) = version(&change.row)?;
        let before = match change.op {
            Op::Delete => self.rows.remove(&id),
            Op::Insert | Op::Update => self.rows.insert(id, v),
        };
        match (change.op, before) {
            (Op::Insert, None) => ensure!(v == 1, "a new row has version 1"),
            (Op::Update, Some(last)) => ensure!(v == last + 1, "version {v} after {last}"),
            (Op::Delete, Some(last)) => ensure!(v == last, "version {v} is deleted, after {last}"),
            other => bail!("not what can follow: {other:?}"),
        }
        Ok(())
    }

    fn forward(&mut self, position: Position) -> Result<()> {
        ensure!(self.at.is_some_and(|at| position > at), "{position} after {:?}", self.at);
        self.at = Some(position);
        Ok(())
    }

    fn told(&self) -> String {
        let way = &self.way[self.way.len().saturating_sub(8)..];
        format!("the way: {way:#?}\n{}", self.server.stderr())
    }
}

fn version(row: &JsonRow) -> Result<(i64, i64)> {
    let integer = |name: &str| row.get(name).and_then(serde_json::Value::as_i64).context("an integer");
    Ok((integer("id")?, integer("v")?))
}

/// Inserts, updates and deletes, some at a time, until told to stop; then writes the marker.
fn write(database: &Connection, mut random: StdRng, stop: &AtomicBool) -> Result<BTreeMap<i64, i64>> {
    let mut rows = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        database.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..random.random_range(1..6) {
            let id = random.random_range(0..IDS);
            match rows.get(&id).copied() {
                None => {
                    database.execute("INSERT INTO items VALUES (?1, 1)", [id])?;
                    rows.insert(id, 1);
                }
                Some(_) if random.random_bool(0.2) => {
                    database.execute("DELETE FROM items WHERE id = ?1", [id])?;
                    rows.remove(&id);
                }
                Some(v) => {
                    database.execute("UPDATE items SET v = v + 1 WHERE id = ?1", [id])?;
                    rows.insert(id, v + 1);
                }
            }
        }
        database.execute_batch("COMMIT")?;
        std::thread::sleep(Duration::from_millis(random.random_range(0..8)));
    }
    database.execute("INSERT INTO items VALUES (?1, 1)", [MARKER])?;
    rows.insert(MARKER, 1);
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_changes_its_transport_at_random_misses_nothing_and_hears_nothing_twice() -> Result<()> {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let soak = std::env::var("ROWCAST_SOAK").ok().and_then(|times| times.parse::<u64>().ok());
    let (roamers, restarts) = (6 + soak.unwrap_or(0), 4 + soak.unwrap_or(0));
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir()?;
    let database = Connection::open(folder.path().join("app.db"))?;
    database.busy_timeout(DEADLINE)?;
    database.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = off; CREATE TABLE items (id INTEGER PRIMARY KEY, v INTEGER NOT NULL)",
    )?;
    let settings = [("shutdown.retry", "1ms"), ("limits.heartbeat", "200ms")];
    let server = Arc::new(Server::start(folder.path(), &settings).await?);
    let roaming: Vec<_> = (0..roamers)
        .map(|number| tokio::spawn(Roamer::new(server.clone(), seed.wrapping_add(1 + number)).roam()))
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let (writer, stopped) = (StdRng::seed_from_u64(random.random()), stop.clone());
    let writing = tokio::task::spawn_blocking(move || write(&database, writer, &stopped));
    for _ in 0..restarts {
        tokio::time::sleep(Duration::from_millis(random.random_range(300..1_200))).await;
        if random.random() {
            server.kill9().await?;
        } else {
            ensure!(server.terminate().await?.success());
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
        server.restart().await?;
    }
    stop.store(true, Ordering::Relaxed);
    let truth = writing.await??;
    let mut stays: BTreeMap<Wire, usize> = BTreeMap::new();
    for roamer in roaming {
        let roamer = roamer.await??;
        ensure!(roamer.rows == truth, "{:?}\n{truth:?}\n{}", roamer.rows, roamer.told());
        roamer.stays.iter().for_each(|(wire, count)| *stays.entry(*wire).or_default() += count);
    }
    println!("stays over each transport: {stays:?}");
    ensure!(stays.len() == WIRES.len(), "not every transport was taken: {stays:?}");
    Ok(())
}
