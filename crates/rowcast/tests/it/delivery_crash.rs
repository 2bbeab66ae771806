//! Records delivered to a database that is killed at any moment: at the end each is there, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rowcast::event::Table;
use rowcast::postgres::{Live, Mode, PostgresSettings};
use rowcast::store::postgres::PostgresStore;
use rowcast::store::{DeadLetters, Delivery, Insert, NewDeadLetter, Origin, Store, StoreError};
use servers::{Postgres, Stop};

use crate::store_contract::{all, int, rows, table};

const RECORDS: u64 = 3_000;

/// What becomes of a record: every 50th is no row, every 70th one that the database refuses, every 90th a repetition.
fn is_dead(n: u64) -> bool {
    n.is_multiple_of(50)
}

fn is_refused(n: u64) -> bool {
    n.is_multiple_of(70) && !is_dead(n)
}

fn is_repeated(n: u64) -> bool {
    n.is_multiple_of(90) && !is_dead(n) && !is_refused(n)
}

fn records(t: &Arc<Table>, after: u64, upto: u64) -> Insert {
    let mut delivery =
        Delivery { source: "s".into(), life: "one".into(), after, upto, records: Vec::new(), dead: Vec::new() };
    let mut rows = Vec::new();
    for n in after + 1..=upto {
        if is_dead(n) {
            let letter = NewDeadLetter { line: n, raw: "no row".into(), column: None, reason: "no row".into() };
            delivery.dead.push(letter);
            continue;
        }
        let key = if is_repeated(n) { n - 1 } else { n };
        let a = if is_refused(n) { 99 } else { 1 };
        delivery.records.push(Origin { line: n, raw: "a row".into(), key: Some(format!("k{key}").into()) });
        rows.push(vec![(0, int(n as i64)), (1, int(a))]);
    }
    Insert { delivery: Some(delivery), ..Insert::new(t.clone(), rows) }
}

async fn deliver(store: &dyn Store, t: &Arc<Table>) {
    let mut after = 0;
    while after < RECORDS {
        let upto = (after + 1 + rand::random_range(0..20)).min(RECORDS);
        match store.insert(records(t, after, upto)).await {
            Ok(_) => after = upto,
            Err(StoreError::Moved { at }) => after = at.map_or(0, |at| at.upto),
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// What must be there at the end.
async fn check(store: &dyn Store, t: &Arc<Table>) {
    let numbers = 1..=RECORDS;
    let expected: Vec<String> = numbers
        .clone()
        .filter(|&n| !is_dead(n) && !is_refused(n) && !is_repeated(n))
        .map(|n| format!("({n},1)"))
        .collect();
    assert_eq!(rows(store, all(t)).await, expected);
    let which = DeadLetters { limit: 10_000, ..DeadLetters::default() };
    let mut dead: Vec<u64> =
        store.dead_letters(which).await.expect("dead letters").iter().map(|letter| letter.line).collect();
    dead.sort_unstable();
    assert_eq!(dead, numbers.filter(|&n| is_dead(n) || is_refused(n)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_is_killed_at_random_has_each_record_once() {
    let server = Postgres::start().expect("a server");
    let database = server.database().await.expect("a database");
    database.run("CREATE TABLE t (id int PRIMARY KEY, a int CHECK (a < 10))").await;
    let live = Arc::new(Live::default());
    live.began(Mode::Wal);
    let address = database.url().parse().expect("an address");
    let store = Arc::new(PostgresStore::open(address, PostgresSettings::default(), live));
    let t = table(&*store, "t").await;
    let is_done = Arc::new(AtomicBool::new(false));
    let delivering = tokio::spawn({
        let (store, t, is_done) = (store.clone(), t.clone(), is_done.clone());
        async move {
            deliver(&*store, &t).await;
            is_done.store(true, Ordering::Relaxed);
        }
    });
    while !is_done.load(Ordering::Relaxed) && !delivering.is_finished() {
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..250))).await;
        server.stop(Stop::Immediate).expect("killed");
        server.run().expect("started again");
    }
    delivering.await.expect("delivered");
    check(&*store, &t).await;
}
