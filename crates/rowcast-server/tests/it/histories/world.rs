//! A world: a server, its database file, a driver that kills and restarts the server, and many histories meanwhile.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::{Client, Watch};
use super::judge::{self, Tally};
use super::ledger::Ledger;
use super::model::{Shape, quoted};
use super::writer::Writer;
use crate::server::{DEADLINE, Server};

/// Histories that go on in a world at the same time.
const HISTORIES: usize = 44;
/// Transactions that each writes.
const STEPS: u32 = 36;

/// What may happen in a world beside kills and disconnects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: no client is ever told `gap`.
    Plain,
    /// The log keeps little: positions leave it.
    Forgetful,
    /// Tables are altered, dropped and made again.
    Shifting,
}

pub(crate) struct World {
    pub(crate) server: Server,
    turn: Mutex<()>,
    commits: watch::Sender<u64>,
}

/// What the writer and the clients of a history share.
pub(crate) struct Story {
    pub(crate) table: String,
    pub(crate) shape: Shape,
    /// Whether there are very large transactions.
    pub(crate) large: bool,
    pub(crate) shifting: bool,
    /// Whether clients may be told `gap` at any time.
    pub(crate) gaps: bool,
    clients: usize,
    committed: AtomicUsize,
    marker: AtomicBool,
    /// The clients that would not miss the marker; `None` when the history has failed.
    settled: watch::Sender<Option<BTreeSet<usize>>>,
}

impl World {
    /// One writer after the other: SQLite would have them wait for each other anyway, less fairly.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn committed(&self) {
        self.commits.send_modify(|commits| *commits += 1);
    }

    /// Waits until the server has been started again after `start`.
    pub(crate) async fn next_start(&self, start: u64) -> Result<()> {
        let ended = async {
            while self.server.up().await? == start {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        };
        tokio::time::timeout(DEADLINE, ended).await.context("the server refuses, but was not restarted")?
    }

    /// A connection was refused: the server is about to be restarted, or was busy.
    pub(crate) async fn another_start_or_soon(&self, start: u64) -> Result<()> {
        let soon = Duration::from_millis(50);
        tokio::time::timeout(soon, self.next_start(start)).await.unwrap_or(Ok(()))
    }
}

impl Story {
    fn new(kind: Kind, number: usize, random: &mut StdRng) -> Self {
        let shapes = [Shape::Rowid, Shape::Rowid, Shape::Clustered, Shape::Composite, Shape::Keyless];
        let odd = [format!("odd.\"{number}\" ü"), format!("select {number}"), format!("it's {number}")];
        let table = match random.random_ratio(1, 5) {
            true => odd.choose(random).cloned().unwrap_or_default(),
            false => format!("t{number}"),
        };
        Self {
            table,
            shape: *shapes.choose(random).expect("there are shapes"),
            large: random.random_ratio(1, 8),
            shifting: kind == Kind::Shifting,
            gaps: kind != Kind::Plain,
            clients: random.random_range(2..4),
            committed: AtomicUsize::new(0),
            marker: AtomicBool::new(false),
            settled: watch::Sender::new(Some(BTreeSet::new())),
        }
    }

    pub(crate) fn committed(&self, transactions: usize) {
        self.committed.store(transactions, Ordering::SeqCst);
    }

    pub(crate) fn committed_so_far(&self) -> usize {
        self.committed.load(Ordering::SeqCst)
    }

    pub(crate) fn settled(&self, client: usize) {
        self.settled.send_if_modified(|settled| settled.as_mut().is_some_and(|clients| clients.insert(client)));
    }

    /// Whether the marker may be in the table by now.
    pub(crate) fn marker_is_written(&self) -> bool {
        self.marker.load(Ordering::SeqCst)
    }

    /// Blocks until every client has settled.
    fn wait_for_clients(&self) -> Result<()> {
        let mut settled = self.settled.subscribe();
        let all = settled.wait_for(|clients| clients.as_ref().is_none_or(|clients| clients.len() == self.clients));
        let all = Handle::current().block_on(tokio::time::timeout(DEADLINE * 2, all));
        let all = all.context("the clients do not settle")??.is_some();
        self.marker.store(true, Ordering::SeqCst);
        if all { Ok(()) } else { bail!("the history has failed elsewhere") }
    }
}

/// Runs a world to its end. Returns a line about it, and what is wrong.
pub(crate) async fn run(kind: Kind, mut random: StdRng) -> (String, Vec<String>) {
    // In memory where that is possible: a process that is killed loses nothing either way, and a slow disk only costs time.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder for the world");
    let outcome = begin(kind, dir.path(), &mut random).await;
    let (world, stories) = match outcome {
        Ok(begun) => begun,
        Err(error) => return ("did not begin".into(), vec![format!("{error:#}")]),
    };
    let mut failures = Vec::new();
    let mut tally = Tally::default();
    let mut histories = JoinSet::new();
    for story in stories {
        histories.spawn(history(kind, world.clone(), story, random.next_u64()));
    }
    let mut driver = tokio::spawn(drive(world.clone(), StdRng::seed_from_u64(random.next_u64())));
    while let Some(ended) = histories.join_next().await {
        match ended.expect("a history reports its failure") {
            Ok(one) => tally.add(&one),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    if !failures.is_empty() {
        // Where the driver has given up, that is why.
        match driver.is_finished() {
            true => failures.insert(0, format!("the driver: {:?}", driver.await)),
            false => driver.abort(),
        }
        if std::env::var_os("ROWCAST_KEEP").is_some() {
            failures.push(format!("kept in {}", dir.keep().display()));
        }
        failures.push(world.server.stderr());
        return ("failed".into(), failures);
    }
    let driven = (&mut driver).await.expect("the driver reports its failure");
    if let Err(error) = driven.and(end(&world).await) {
        failures.push(format!("{error:#}\n{}", world.server.stderr()));
    }
    (format!("{tally}"), failures)
}

async fn begin(kind: Kind, dir: &Path, random: &mut StdRng) -> Result<(Arc<World>, Vec<Arc<Story>>)> {
    let stories: Vec<_> = (0..HISTORIES).map(|number| Arc::new(Story::new(kind, number, random))).collect();
    let queue_bytes = ["4KiB", "32KiB", "1MiB"].choose(random).expect("there are sizes");
    let memory = ["256KiB", "64MiB"].choose(random).expect("there are sizes");
    let heartbeat = ["2s", "6s"].choose(random).expect("there are beats");
    let mut settings =
        vec![("limits.queue_bytes", *queue_bytes), ("log.memory", *memory), ("limits.heartbeat", *heartbeat)];
    if kind == Kind::Forgetful {
        settings.push(("log.keep_events", "300"));
        settings.push(("log.keep_bytes", "64KiB"));
    }
    let server = Server::new(dir, &settings);
    let connection = Connection::open(server.database())?;
    connection.execute_batch("PRAGMA journal_mode=WAL")?;
    for story in &stories {
        connection.execute_batch(&format!("CREATE TABLE {} {}", quoted(&story.table), story.shape.definition()))?;
    }
    drop(connection);
    server.restart().await?;
    Ok((Arc::new(World { server, turn: Mutex::new(()), commits: watch::Sender::new(0) }), stories))
}

/// Ends the server's process now and then, when so many transactions have been committed, and starts it again.
async fn drive(world: Arc<World>, mut random: StdRng) -> Result<()> {
    let total = (HISTORIES as u64 * u64::from(STEPS)) * 7 / 10;
    let mut moments: Vec<u64> = (0..5).map(|_| random.random_range(0..total)).collect();
    moments.sort_unstable();
    let gentle = random.random_range(0..moments.len());
    let mut commits = world.commits.subscribe();
    for (number, moment) in moments.into_iter().enumerate() {
        commits.wait_for(|commits| *commits >= moment).await?;
        if number == gentle {
            let status = world.server.terminate().await?;
            ensure!(status.success(), "after SIGTERM the server ends with {status}");
        } else {
            world.server.kill9().await?;
        }
        // How long it is away is part of the history; nothing waits for it.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
        world.server.restart().await?;
    }
    Ok(())
}

async fn end(world: &World) -> Result<()> {
    let status = world.server.terminate().await?;
    ensure!(status.success(), "after SIGTERM the server ends with {status}");
    Ok(())
}

async fn history(kind: Kind, world: Arc<World>, story: Arc<Story>, seed: u64) -> Result<Tally> {
    let told = live(&world, &story, seed).await;
    // The writer, if it still waits.
    if told.is_err() {
        story.settled.send_replace(None);
    }
    let (ledger, watches) = told.with_context(|| format!("history of {} ({:?})", story.table, story.shape))?;
    let check = tokio::task::spawn_blocking(move || {
        let connection = Connection::open(world.server.database())?;
        let mut tally = Tally::default();
        for watch in &watches {
            let judged = judge::check(kind, &ledger, watch);
            let judged = judged.and_then(|one| match one.stale {
                true => Ok(one),
                false => judge::compare(&connection, &story, watch).map(|()| one),
            });
            tally
                .add(&judged.with_context(|| {
                    format!("history of {} ({:?}): {}", story.table, story.shape, watch.describe())
                })?);
        }
        Ok(tally)
    });
    check.await?
}

async fn live(world: &Arc<World>, story: &Arc<Story>, seed: u64) -> Result<(Ledger, Vec<Watch>)> {
    let mut random = StdRng::seed_from_u64(seed);
    let writer = Writer::new(world.clone(), story.clone(), StdRng::seed_from_u64(random.next_u64()))?;
    let mut clients = JoinSet::new();
    for number in 0..story.clients {
        let random = StdRng::seed_from_u64(random.next_u64());
        clients.spawn(Client::new(world.clone(), story.clone(), number, random).run());
    }
    let waiting = story.clone();
    let writing = tokio::task::spawn_blocking(move || writer.run(STEPS, || waiting.wait_for_clients()));
    let listening = async {
        let mut watches = Vec::new();
        while let Some(client) = clients.join_next().await {
            watches.extend(client??);
        }
        Ok(watches)
    };
    tokio::try_join!(async { writing.await?.context("the writer") }, listening)
}
