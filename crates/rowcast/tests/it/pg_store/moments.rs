//! What a snapshot shows, and what comes after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rowcast::event::{Place, Value};
use rowcast::postgres::WalPlace;
use rowcast::store::{OrderBy, Select, Store};

use super::Pg;
use crate::store_contract::{all, insert, int, rows, table, take};

/// What each transaction has done to the table, as it says itself.
type Told = BTreeMap<u64, Vec<(i64, i64)>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_holds_exactly_the_transactions_of_its_mark() {
    const WRITERS: i64 = 4;
    let db = Pg::with(
        "CREATE TABLE t (id bigint PRIMARY KEY, n bigint NOT NULL); INSERT INTO t SELECT n, 0 FROM generate_series(0, 39) n",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (client, stop) = (db.database.connect().await.expect("connected"), stop.clone());
        // Each has rows of its own, so that none waits; half of them commit long after they have begun, and lazily.
        writers.push(tokio::spawn(async move {
            let mut told = Told::new();
            client
                .batch_execute(&format!("SET synchronous_commit = {}", if writer % 2 == 0 { "off" } else { "on" }))
                .await
                .expect("set");
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                client.batch_execute("BEGIN").await.expect("begun");
                let row = client.query_one("SELECT pg_current_xact_id()::text", &[]).await.expect("a number");
                let tx: u64 = row.get::<_, String>(0).parse().expect("a number");
                for row in 0..2 + writer {
                    let id = writer * 10 + (round + row) % 10;
                    let n = round * WRITERS + writer;
                    client.execute("UPDATE t SET n = $1 WHERE id = $2", &[&n, &id]).await.expect("updated");
                    told.entry(tx).or_default().push((id, n));
                }
                client.batch_execute(if round % 7 == 0 { "ROLLBACK" } else { "COMMIT" }).await.expect("ended");
                if round % 7 == 0 {
                    told.remove(&tx);
                }
            }
            told
        }));
    }
    let mut snapshots = Vec::new();
    for _ in 0..60 {
        let snapshot = db.store.snapshot(all(&t)).await.expect("a snapshot");
        let mark = snapshot.mark.clone();
        let shown: BTreeMap<i64, i64> = take(snapshot)
            .await
            .iter()
            .map(|row| match &row.values[..] {
                [Value::Int(id), Value::Int(n)] => (*id, *n),
                other => panic!("{other:?}"),
            })
            .collect();
        snapshots.push((mark, shown));
    }
    stop.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    for writer in writers {
        told.push(writer.await.expect("a writer"));
    }
    for (mark, shown) in snapshots {
        let mut expected: BTreeMap<i64, i64> = (0..40).map(|id| (id, 0)).collect();
        // A writer's own transactions are numbered in the order of their commits.
        for (tx, changes) in told.iter().flatten() {
            if mark.contains(*tx) {
                expected.extend(changes.iter().copied());
            }
        }
        assert_eq!(shown, expected, "{mark:?}");
    }
}

#[tokio::test]
async fn a_place_lies_behind_commits_that_are_not_on_disk_yet() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY, a text)").await;
    let t = table(&*db.store, "t").await;
    let lazy = db.database.connect().await.expect("connected");
    lazy.batch_execute("SET synchronous_commit = off").await.expect("set");
    let busy = db.database.connect().await.expect("connected");
    let mut last: Option<WalPlace> = None;
    for n in 0..20 {
        // A transaction that goes on has written half of what it will.
        busy.batch_execute(&format!(
            "BEGIN; INSERT INTO t SELECT {n} * 1000 + n, repeat('x', 300) FROM generate_series(1, 100) n"
        ))
        .await
        .expect("written");
        lazy.execute("INSERT INTO t VALUES ($1, 'lazy')", &[&-n]).await.expect("inserted");
        let lsn = lazy.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.expect("a place");
        let written: rowcast::postgres::Lsn = lsn.get::<_, String>(0).parse().expect("a place");
        let snapshot = db.store.snapshot(all(&t)).await.expect("a snapshot");
        let place = WalPlace::of(&snapshot.place).expect("a place");
        assert_eq!(take(snapshot).await.len(), n as usize + 1);
        assert!(place.lsn >= written.end_of_record(), "{place} {written}");
        let flushed = lazy.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.expect("a place");
        assert!(place.lsn <= flushed.get::<_, String>(0).parse().expect("a place"), "all of it is on disk");
        assert!(last.is_none_or(|last| place.reached(&last)));
        last = Some(place);
        busy.batch_execute("ROLLBACK").await.expect("rolled back");
    }
}

#[tokio::test]
async fn places_compare_within_one_history() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let t = table(&*db.store, "t").await;
    let first = insert(&*db.store, &t, &[&[int(1)]]).await.place;
    let second = insert(&*db.store, &t, &[&[int(2)]]).await.place;
    assert!(db.store.reached(Some(&second), &first));
    assert!(!db.store.reached(Some(&first), &second));
    assert!(!db.store.reached(None, &first));
    let elsewhere = Place("wal:1/1/FFFFFFFF/0".into());
    assert!(!db.store.reached(Some(&elsewhere), &first));
    let outbox = |text: &str| Place(text.into());
    assert!(db.store.reached(Some(&outbox("outbox:9:9:")), &outbox("outbox:5:9:5")));
    assert!(!db.store.reached(Some(&outbox("outbox:5:9:5")), &outbox("outbox:9:9:")));
    assert!(!db.store.reached(Some(&outbox("outbox:9:9:")), &first));
}

#[tokio::test]
async fn rows_are_in_order_with_null_as_the_smallest() {
    let db = Pg::with(
        "CREATE TABLE t (id int PRIMARY KEY, a int, s text COLLATE \"und-x-icu\"); CREATE INDEX ON t (a);
         INSERT INTO t VALUES (1, 3, 'b'), (2, NULL, 'B'), (3, 1, NULL), (4, 3, 'a'), (5, NULL, 'ä'), (6, 2, 'A')",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let ids = async |column, descending, limit, offset| -> Vec<i64> {
        let order_by = vec![OrderBy { column, descending }];
        let select = Select { order_by, limit, offset, ..all(&t) };
        let rows = take(db.store.snapshot(select).await.expect("a snapshot")).await;
        rows.iter().map(|row| if let Value::Int(id) = row.values[0] { id } else { -1 }).collect()
    };
    assert_eq!(ids(1, false, None, 0).await, [2, 5, 3, 6, 1, 4]);
    assert_eq!(ids(1, true, None, 0).await, [4, 1, 6, 3, 5, 2]);
    // With a limit, an index on the column is read from its ends.
    assert_eq!(ids(1, false, Some(4), 0).await, [2, 5, 3, 6]);
    assert_eq!(ids(1, false, Some(10), 1).await, [5, 3, 6, 1, 4]);
    assert_eq!(ids(1, true, Some(5), 1).await, [1, 6, 3, 5, 2]);
    assert_eq!(ids(1, true, Some(2), 3).await, [3, 5]);
    // Byte by byte, whatever the collation.
    assert_eq!(ids(2, false, None, 0).await, [3, 6, 2, 4, 1, 5]);
    assert_eq!(rows(&*db.store, Select { limit: Some(0), ..all(&t) }).await.len(), 0);
}

#[tokio::test]
async fn rows_of_partitions_are_the_roots_and_rows_of_heirs_are_their_own() {
    let db = Pg::with(
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
         CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20); INSERT INTO p VALUES (1), (11);
         CREATE TABLE h (id int PRIMARY KEY); CREATE TABLE heir (a int) INHERITS (h); INSERT INTO h VALUES (1); INSERT INTO heir VALUES (2, 2)",
    )
    .await;
    let [p, h, heir] = [table(&*db.store, "p").await, table(&*db.store, "h").await, table(&*db.store, "heir").await];
    assert_eq!(rows(&*db.store, all(&p)).await, ["(1)", "(11)"]);
    assert_eq!(rows(&*db.store, all(&h)).await, ["(1)"]);
    assert_eq!(rows(&*db.store, all(&heir)).await, ["(2,2)"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_rows_are_read_in_flat_memory() {
    let db = Pg::with(
        "CREATE TABLE t (id int PRIMARY KEY, a text, n numeric, at timestamptz);
         INSERT INTO t SELECT n, repeat(md5(n::text), 3), n / 7.0, '2026-01-01'::timestamptz + n * interval '1 s'
         FROM generate_series(1, 1000000) n",
    )
    .await;
    let t = table(&*db.store, "t").await;
    drop(rows(&*db.store, Select { limit: Some(20_000), ..all(&t) }).await);
    let before = resident_kb();
    let mut snapshot = db.store.snapshot(all(&t)).await.expect("a snapshot");
    let (mut count, mut most) = (0, 0);
    while let Some(chunk) = snapshot.rows.recv().await {
        count += chunk.expect("rows").len();
        if count % 50_000 < 500 {
            most = most.max(resident_kb().saturating_sub(before));
        }
    }
    assert_eq!(count, 1_000_000);
    // They are 200 MB as text.
    assert!(most < 24 << 10, "{most} kB more than before");
}

/// What this process takes of the machine's memory.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}
