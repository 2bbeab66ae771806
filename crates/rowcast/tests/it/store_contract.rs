//! What every store promises, as cases that are run against each kind of database.
//!
//! `store_contract!(factory)` makes a test of each case; the factory gives a fresh [`StoredDatabase`].

use std::sync::Arc;

use rowcast::event::{Body, Change, Place, Row, Table, TableName, Value};
use rowcast::store::{Insert, Inserted, OrderBy, Select, SeriesQuery, Snapshot, Store, StoreError};

use crate::source_contract::{Database, Follower, row_text, text};

/// A database that is read and written through a store, too.
pub(crate) trait StoredDatabase: Database {
    fn store(&self) -> Arc<dyn Store>;
}

/// A store on a database with these tables, whose changes are captured.
pub(crate) async fn store_on(db: &impl StoredDatabase, tables: &str) -> Arc<dyn Store> {
    db.writer().run(tables).await;
    db.source(100).setup().await.expect("set up");
    db.store()
}

pub(crate) async fn table(store: &dyn Store, name: &str) -> Arc<Table> {
    store.table(&name.parse().expect("a name")).await.expect(name)
}

pub(crate) fn all(table: &Arc<Table>) -> Select {
    Select { table: table.clone(), filter: None, order_by: Vec::new(), limit: None, offset: 0, role: None }
}

pub(crate) async fn take(mut snapshot: Snapshot) -> Vec<Row> {
    let mut rows = Vec::new();
    while let Some(chunk) = snapshot.rows.recv().await {
        rows.extend(chunk.expect("a chunk"));
    }
    rows
}

pub(crate) async fn rows(store: &dyn Store, select: Select) -> Vec<String> {
    take(store.snapshot(select).await.expect("a snapshot")).await.iter().map(row_text).collect()
}

/// Inserts rows that set the first columns.
pub(crate) async fn insert(store: &dyn Store, table: &Arc<Table>, rows: &[&[Value]]) -> Inserted {
    let rows = rows.iter().map(|row| row.iter().cloned().enumerate().collect()).collect();
    store.insert(Insert::new(table.clone(), rows)).await.expect("inserted")
}

pub(crate) fn int(n: i64) -> Value {
    Value::Int(n)
}

pub(crate) fn string(text: &str) -> Value {
    Value::Text(text.into())
}

/// Follows the source until it has come to this place, which may lie behind its last change.
pub(crate) async fn arrives(store: &dyn Store, follower: &mut Follower, place: &Place) {
    while !store.reached(follower.place.as_ref(), place) {
        assert_eq!(follower.batch().await, [], "nothing but the place is missing");
    }
}

pub(crate) async fn tables_are_found_by_any_spelling(db: impl StoredDatabase) {
    let store =
        store_on(&db, "CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT); CREATE VIEW v AS SELECT 1").await;
    let tables = store.tables().await.expect("tables");
    assert_eq!(tables.iter().map(|t| &*t.name.name).collect::<Vec<_>>(), ["orders"]);
    let found = table(&*store, "ORDERS").await;
    assert_eq!(found, tables[0]);
    assert_eq!(found.key, [0]);
    for name in ["nothing", "v", "_rowcast_outbox", "elsewhere.orders"] {
        let name: TableName = name.parse().expect("a name");
        assert!(matches!(store.table(&name).await, Err(StoreError::UnknownTable(n)) if n == name));
    }
}

pub(crate) async fn snapshots_are_ordered_and_limited(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    db.writer().run("INSERT INTO t (id, a) VALUES (3, 1), (1, 2), (2, NULL), (4, 1)").await;
    let t = table(&*store, "t").await;
    let order = |descending| vec![OrderBy { column: 1, descending }];
    assert_eq!(rows(&*store, all(&t)).await, ["(1,2)", "(2,null)", "(3,1)", "(4,1)"]);
    let up = Select { order_by: order(false), ..all(&t) };
    assert_eq!(rows(&*store, up).await, ["(2,null)", "(3,1)", "(4,1)", "(1,2)"]);
    let down = Select { order_by: order(true), ..all(&t) };
    assert_eq!(rows(&*store, down.clone()).await, ["(1,2)", "(4,1)", "(3,1)", "(2,null)"]);
    assert_eq!(rows(&*store, Select { limit: Some(2), offset: 1, ..down }).await, ["(4,1)", "(3,1)"]);
    assert!(rows(&*store, Select { limit: Some(0), ..all(&t) }).await.is_empty());
    assert_eq!(rows(&*store, Select { offset: 3, ..all(&t) }).await, ["(4,1)"]);
}

pub(crate) async fn large_snapshots_come_in_chunks(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)").await;
    let t = table(&*store, "t").await;
    let many: Vec<Vec<(usize, Value)>> = (0..3_000).map(|n| vec![(0, int(n)), (1, string("some text"))]).collect();
    let inserted = store.insert(Insert::new(t.clone(), many)).await.expect("inserted");
    assert_eq!((inserted.count, inserted.rejected.len()), (3_000, 0));
    let mut snapshot = store.snapshot(all(&t)).await.expect("a snapshot");
    let mut sizes = Vec::new();
    while let Some(chunk) = snapshot.rows.recv().await {
        sizes.push(chunk.expect("a chunk").len());
    }
    assert_eq!(sizes.iter().sum::<usize>(), 3_000);
    assert!(sizes.iter().all(|size| *size <= 500));
    // Who stops listening is not in anybody's way.
    for _ in 0..20 {
        drop(store.snapshot(all(&t)).await.expect("a snapshot"));
    }
    assert_eq!(rows(&*store, Select { limit: Some(1), ..all(&t) }).await, [r#"(0,"some text")"#]);
}

pub(crate) async fn a_snapshot_and_what_follows_it_join(db: impl StoredDatabase) {
    const ROUNDS: i64 = 60;
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    let mut follower = Follower::new(db.source(100)).await;
    let t = table(&*store, "t").await;
    let mut writer = db.writer();
    let writing = tokio::spawn(async move {
        for n in 0..ROUNDS {
            writer
                .run(&format!(
                    "BEGIN; INSERT INTO t (id, a) VALUES ({}, 0); INSERT INTO t (id, a) VALUES ({}, 0); COMMIT",
                    2 * n,
                    2 * n + 1
                ))
                .await;
        }
        writer.run("INSERT INTO t (id, a) VALUES (-1, 0)").await;
    });
    let mut snapshots = Vec::new();
    while !writing.is_finished() || snapshots.is_empty() {
        let snapshot = store.snapshot(all(&t)).await.expect("a snapshot");
        let (mark, place) = (snapshot.mark.clone(), snapshot.place.clone());
        snapshots.push((mark, place, take(snapshot).await.len()));
    }
    writing.await.expect("written");
    let changes = follower.until("insert t (-1,0)").await;
    for (mark, place, count) in snapshots {
        let contained = changes.iter().filter(|change| mark.contains(change.tx)).count();
        assert_eq!(contained.min(count), contained, "the mark is of the rows");
        assert!(count - contained <= 1, "but for the last row: {count} {contained}");
        arrives(&*store, &mut follower, &place).await;
        assert!(!store.reached(None, &place));
    }
}

pub(crate) async fn the_log_knows_when_it_has_an_insert(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    let mut follower = Follower::new(db.source(100)).await;
    let t = table(&*store, "t").await;
    let before = follower.place.clone();
    let inserted = insert(&*store, &t, &[&[int(1), int(1)], &[int(2), int(2)]]).await;
    assert!(!store.reached(before.as_ref(), &inserted.place));
    follower.expect(&["insert t (1,1)", "insert t (2,2)"]).await;
    arrives(&*store, &mut follower, &inserted.place).await;
}

pub(crate) async fn refused_rows_are_told_and_the_others_stand(db: impl StoredDatabase) {
    let store = store_on(
        &db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER NOT NULL CHECK (a < 10), b INTEGER DEFAULT 5)",
    )
    .await;
    let t = table(&*store, "t").await;
    let rows_in = vec![
        vec![(0, int(1)), (1, int(1))],
        vec![(0, int(2)), (1, Value::Null)],
        vec![(0, int(1)), (1, int(2))],
        vec![(2, int(7)), (1, int(3)), (0, int(4))],
        vec![(0, int(5)), (1, int(11))],
    ];
    let inserted = store.insert(Insert::new(t.clone(), rows_in)).await.expect("inserted");
    assert_eq!(inserted.count, 2);
    assert_eq!(inserted.rejected.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2, 4]);
    assert!(inserted.rejected.iter().all(|(_, reason)| !reason.is_empty()));
    assert_eq!(rows(&*store, all(&t)).await, ["(1,1,5)", "(4,3,7)"]);
}

pub(crate) async fn an_altered_table_is_noticed(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let t = table(&*store, "t").await;
    db.writer().run("ALTER TABLE t ADD COLUMN a INTEGER").await;
    assert!(matches!(store.snapshot(all(&t)).await, Err(StoreError::Altered(_))));
    let insert = Insert::new(t.clone(), vec![vec![(0, int(1))]]);
    assert!(matches!(store.insert(insert).await, Err(StoreError::Altered(_))));
    assert_eq!(table(&*store, "t").await.columns.len(), 2);
}

pub(crate) async fn what_is_read_is_what_was_told(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, n BIGINT, s TEXT)").await;
    let mut follower = Follower::new(db.source(100)).await;
    let t = table(&*store, "t").await;
    insert(&*store, &t, &[&[int(1), int(i64::MAX), string("Grüße\n\u{1}🚀")], &[int(2), Value::Null, string("")]])
        .await;
    let told: Vec<Change> = follower.changes(2).await;
    let told: Vec<String> = told
        .iter()
        .map(|change| match &change.body {
            Body::Row(row) => row_text(row.row()),
            _ => text(change),
        })
        .collect();
    assert_eq!(rows(&*store, all(&t)).await, told);
}

pub(crate) async fn many_inserters_each_learn_their_own(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)").await;
    let t = table(&*store, "t").await;
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let (store, t) = (store.clone(), t.clone());
            // Every second one repeats the key of the one before.
            tokio::spawn(async move { insert(&*store, &t, &[&[int(n / 2), int(n)], &[int(1_000 + n), int(n)]]).await })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        let inserted = task.await.expect("an inserter");
        assert_eq!(inserted.count + inserted.rejected.len() as u64, 2);
        assert!(inserted.rejected.iter().all(|(row, _)| *row == 0));
        count += inserted.count;
    }
    assert_eq!(count, 60);
    assert_eq!(rows(&*store, all(&t)).await.len(), 60);
}

/// Three values for every time, in two groups.
pub(crate) fn chart(table: &Arc<Table>) -> SeriesQuery {
    SeriesQuery {
        table: table.clone(),
        filter: None,
        time: 1,
        values: vec![2],
        group_by: None,
        groups_max: 10,
        from: Some(0.0),
        to: Some(40.0),
        buckets: 4,
        role: None,
        exact: true,
    }
}

pub(crate) async fn series_are_of_buckets(db: impl StoredDatabase) {
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, at INTEGER, v REAL, g TEXT)").await;
    db.writer()
        .run(
            "INSERT INTO t (id, at, v, g) VALUES (1, 0, 1, 'a'), (2, 9, 3, 'b'), (3, 5, 8, 'a'), (4, 10, NULL, 'a'), \
             (5, 39, 5, 'a'), (6, 40, 99, 'a'), (7, NULL, 99, 'a'), (8, 30, 7, 'b')",
        )
        .await;
    let t = table(&*store, "t").await;
    let series = store.series(chart(&t)).await.expect("a series").series;
    assert_eq!((series.from, series.to, series.width, series.exact), (0.0, 40.0, 10.0, true));
    let [group] = &series.groups[..] else { panic!("one group") };
    assert_eq!(group.group.get(), "null");
    assert_eq!((&group.time[..], &group.count[..]), (&[0.0, 10.0, 30.0][..], &[3, 1, 2][..]));
    assert_eq!(group.min[0], [Some(1.0), None, Some(5.0)]);
    assert_eq!(group.max[0], [Some(8.0), None, Some(7.0)]);
    assert_eq!(group.avg[0], [Some(4.0), None, Some(6.0)]);
    assert_eq!(group.last[0], [Some(3.0), None, Some(5.0)]);

    let grouped =
        store.series(SeriesQuery { group_by: Some(3), groups_max: 1, ..chart(&t) }).await.expect("a series").series;
    let names: Vec<&str> = grouped.groups.iter().map(|group| group.group.get()).collect();
    assert_eq!(names, ["\"a\""]);

    let open = store.series(SeriesQuery { from: None, to: None, ..chart(&t) }).await.expect("a series").series;
    assert_eq!((open.from, open.to), (0.0, 40.0));
    assert_eq!(open.groups[0].count.iter().sum::<u64>(), 7, "the last row, too");
    let nothing =
        store.series(SeriesQuery { from: Some(100.0), to: None, ..chart(&t) }).await.expect("a series").series;
    assert!(nothing.groups[0].time.is_empty());
}

/// One test for each case of the contract.
macro_rules! store_contract {
    ($factory:expr) => {
        store_contract!($factory;
            tables_are_found_by_any_spelling snapshots_are_ordered_and_limited large_snapshots_come_in_chunks
            a_snapshot_and_what_follows_it_join the_log_knows_when_it_has_an_insert
            refused_rows_are_told_and_the_others_stand an_altered_table_is_noticed what_is_read_is_what_was_told
            many_inserters_each_learn_their_own series_are_of_buckets
        );
    };
    ($factory:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::store_contract::$case($factory).await;
            }
        )*
    };
}
pub(crate) use store_contract;
