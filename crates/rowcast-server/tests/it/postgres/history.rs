//! The promise, tried on random histories: what every client has heard is what was committed, each change once and in order,
//! while the server, the database and the connections between them are killed, restarted and cut.
//!
//! The oracle is the database: at the end a client's rows are the table's, and what happened to each row on the way is checked by a
//! version that grows by one with each update. `ROWCAST_SOAK=n` makes each history n times as long, `ROWCAST_SEED=…` repeats
//! a run's choices.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use super::world::{Mode, World};
use super::writer::Writer;
use crate::ear::Ear;

const WRITERS: u32 = 4;
const EARS: u32 = 3;
/// So long things go wrong.
const TROUBLE: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_heard_is_what_was_committed_by_the_write_ahead_log() {
    run(Mode::Wal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_heard_is_what_was_committed_by_the_outbox() {
    run(Mode::Outbox).await;
}

async fn run(mode: Mode) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("ROWCAST_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let trouble = TROUBLE * u32::try_from(number("ROWCAST_SOAK").unwrap_or(1)).expect("a small number");
    eprintln!("ROWCAST_SEED={seed}, {mode:?}, {trouble:?}");
    let world = Arc::new(World::new(mode).await);
    let random = |part: u64| StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(part));
    let mut ears = JoinSet::new();
    for number in 0..EARS {
        let ear = Ear::open(world.clone(), random(100 + u64::from(number))).await;
        ears.spawn(ear.listen());
    }
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        writers.spawn(Writer::new(world.clone(), number, random(200 + u64::from(number))).run());
    }
    world.trouble(random(1), trouble).await;
    world.calm().await;
    let mut transactions = 0;
    while let Some(count) = writers.join_next().await {
        transactions += count.expect("a writer");
    }
    let truth = world.end().await;
    let mut changes = 0;
    while let Some(heard) = ears.join_next().await {
        let heard = heard.expect("an ear");
        changes += heard.changes;
        heard.judge(&truth);
    }
    eprintln!("{transactions} transactions, {changes} changes heard, {}", world.tally());
    assert!(transactions > 20 && changes > 50, "{transactions} transactions, {changes} changes");
}
