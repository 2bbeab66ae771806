//! The promise, tried on random histories: every client sees every committed change that matches, exactly once and in order,
//! whatever happens to the clients and to the server, and its rows end up being those of the table.
//!
//! A world is a server with a database file; its driver kills and restarts the server while many histories go on. A history
//! is a table of its own with one writer and a few clients. What the writer committed is the truth, and `judge` holds what
//! the clients heard against it when all is over.
//!
//! `ROWCAST_SEED=…` repeats a run's choices, `ROWCAST_WORLD=n` only one of its worlds, `ROWCAST_SOAK=n` makes n times as many.

mod client;
mod judge;
mod ledger;
mod model;
mod world;
mod writer;

use std::sync::LazyLock;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;

use world::Kind;

/// Worlds at the same time, over all tests: each has a server and dozens of clients.
static ROOM: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_sees_every_committed_change_once_and_in_order() {
    run(Kind::Plain, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_position_has_left_the_log_is_told_so_and_begins_again() {
    run(Kind::Forgetful, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_changes_its_shape_is_told_and_followed_on() {
    run(Kind::Shifting, 2).await;
}

/// Runs worlds of a kind, and reports all that is wrong at once.
async fn run(kind: Kind, worlds: u64) {
    let seed = number("ROWCAST_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let worlds = worlds * number("ROWCAST_SOAK").unwrap_or(1);
    let chosen = number("ROWCAST_WORLD").map_or(0..worlds, |world| world..world + 1);
    let started: Vec<_> = chosen.map(|number| tokio::spawn(one_world(kind, seed, number))).collect();
    let mut failures = Vec::new();
    for world in started {
        failures.extend(world.await.expect("a world reports its failures"));
    }
    let count = failures.len();
    failures.truncate(5);
    assert!(count == 0, "{count} failures, {kind:?} worlds, ROWCAST_SEED={seed}\n\n{}", failures.join("\n\n"));
}

async fn one_world(kind: Kind, seed: u64, number: u64) -> Vec<String> {
    let _room = ROOM.acquire().await.expect("never closed");
    let began = std::time::Instant::now();
    let random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
    let (summary, failures) = world::run(kind, random).await;
    eprintln!("{kind:?} world {number} of seed {seed}: {summary}, {:.1?}", began.elapsed());
    for failure in failures.iter().take(3) {
        // At once: a run that hangs later would not report it.
        eprintln!("{failure}\n");
    }
    failures.into_iter().map(|failure| format!("ROWCAST_WORLD={number}: {failure}")).collect()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not `{text}`")))
}
