//! SQLite against the store's contract, and what is particular to it when it is written and read.

use std::sync::Arc;
use std::time::Duration;

use rowcast::store::sqlite::{SqliteSettings, SqliteStore};
use rowcast::store::{Insert, Select, SeriesQuery, Store, StoreError};

use crate::delivery_contract::{NUMBERS, delivery_contract, numbered};
use crate::source_contract::Database;
use crate::sqlite::Sqlite;
use crate::store_contract::{
    StoredDatabase, all, chart, insert, int, rows, store_contract, store_on, string, table, take,
};
use crate::write_contract::write_contract;

impl StoredDatabase for Sqlite {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.path(), self.settings.clone()).expect("opened"))
    }
}

store_contract!(Sqlite::new());
delivery_contract!(Sqlite::new());
write_contract!(Sqlite::new());

#[tokio::test]
async fn every_table_is_read_as_it_is_told() {
    let db = Sqlite::new();
    let store = store_on(
        &db,
        "CREATE TABLE keyless (a); CREATE TABLE wr (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID;
         CREATE TABLE \"order\" (id INTEGER PRIMARY KEY, \"select\", g AS (\"select\" || '!'))",
    )
    .await;
    let mut follower = db.follow().await;
    let keyless = table(&*store, "main.keyless").await;
    insert(
        &*store,
        &keyless,
        &[&[int(7), string("x")], &[int(3), rowcast::event::Value::Bytes([0, 255].as_slice().into())]],
    )
    .await;
    let wr = table(&*store, "wr").await;
    insert(&*store, &wr, &[&[int(1), int(2)], &[int(2), int(1)]]).await;
    let order = table(&*store, "order").await;
    assert_eq!(
        insert(&*store, &order, &[&[int(1), string("a")], &[int(2), string("b"), string("c")]]).await.rejected.len(),
        1
    );
    follower
        .expect(&[r#"insert keyless (7,"x")"#, r#"insert keyless (3,"\\x00ff")"#, "insert wr (1,2)", "insert wr (2,1)"])
        .await;
    follower.expect(&[r#"insert order (1,"a","a!")"#]).await;
    assert_eq!(rows(&*store, all(&keyless)).await, [r#"(3,"\\x00ff")"#, r#"(7,"x")"#]);
    assert_eq!(rows(&*store, all(&wr)).await, ["(2,1)", "(1,2)"]);
    assert_eq!(rows(&*store, all(&order)).await, [r#"(1,"a","a!")"#]);
}

#[tokio::test]
async fn without_capture_there_is_no_position() {
    let db = Sqlite::with("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let store = db.store();
    let t = table(&*store, "t").await;
    let Err(StoreError::Unavailable(message)) = store.snapshot(all(&t)).await else { panic!("a snapshot") };
    assert!(message.contains("rowcast setup"), "{message}");
    let insert = Insert::new(t, vec![vec![(0, int(1))]]);
    assert!(matches!(store.insert(insert).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_trigger_that_rolls_back_harms_nobody_else() {
    let db = Sqlite::new();
    let store = store_on(
        &db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a);
         CREATE TRIGGER r BEFORE INSERT ON t WHEN NEW.a = 'rollback' BEGIN SELECT RAISE(ROLLBACK, 'no such row'); END;
         CREATE TRIGGER f AFTER INSERT ON t WHEN NEW.a = 'fail' BEGIN SELECT RAISE(FAIL, 'not this one'); END",
    )
    .await;
    let t = table(&*store, "t").await;
    let bad: Vec<Vec<_>> = (0..30)
        .map(|n| {
            vec![
                (0, int(n)),
                (
                    1,
                    string(if n % 3 == 1 {
                        "rollback"
                    } else if n % 7 == 2 {
                        "fail"
                    } else {
                        "good"
                    }),
                ),
            ]
        })
        .collect();
    let (one, other) = tokio::join!(
        store.insert(Insert::new(t.clone(), bad.clone())),
        store.insert(Insert::new(t.clone(), vec![vec![(0, int(100)), (1, string("good"))]]))
    );
    let (one, other) = (one.expect("inserted"), other.expect("inserted"));
    assert_eq!((other.count, other.rejected.len()), (1, 0));
    let refused: Vec<usize> = one.rejected.iter().map(|(row, _)| *row).collect();
    assert_eq!(refused, (0..30).filter(|n| n % 3 == 1 || n % 7 == 2).collect::<Vec<usize>>());
    assert!(one.rejected.iter().all(|(_, why)| why.contains("no such row") || why.contains("not this one")));
    assert_eq!(rows(&*store, all(&t)).await.len(), 30 - refused.len() + 1);
}

#[tokio::test]
async fn what_is_checked_at_the_commit_is_refused_row_by_row() {
    let db = Sqlite::new();
    let store = store_on(
        &db,
        "CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p DEFERRABLE INITIALLY DEFERRED); INSERT INTO p VALUES (1)",
    )
    .await;
    let c = table(&*store, "c").await;
    let inserted = insert(&*store, &c, &[&[int(1), int(1)], &[int(2), int(9)], &[int(3), int(1)]]).await;
    assert_eq!((inserted.count, inserted.rejected.len(), inserted.rejected[0].0), (2, 1, 1));
    assert_eq!(rows(&*store, all(&c)).await, ["(1,1)", "(3,1)"]);
}

#[tokio::test]
async fn another_programs_transaction_is_waited_for_and_then_told() {
    let mut db = Sqlite::new();
    db.settings.busy_timeout = Duration::from_millis(50);
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let t = table(&*store, "t").await;
    let blocker = db.connect();
    blocker.execute_batch("BEGIN IMMEDIATE").expect("begun");
    let insert_one = || store.insert(Insert::new(t.clone(), vec![vec![(0, int(1))]]));
    assert!(matches!(insert_one().await, Err(StoreError::Unavailable(_))));
    blocker.execute_batch("COMMIT").expect("committed");
    assert_eq!(insert_one().await.expect("inserted").count, 1);
}

#[tokio::test]
async fn a_snapshot_that_nobody_takes_is_given_up() {
    let mut db = Sqlite::new();
    db.settings = SqliteSettings { snapshot_stall: Duration::from_millis(10), readers: 1, ..SqliteSettings::default() };
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    db.connect()
        .execute_batch("WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT 100000) INSERT INTO t SELECT n, n FROM s")
        .expect("rows");
    let t = table(&*store, "t").await;
    let mut stalled = store.snapshot(all(&t)).await.expect("a snapshot");
    // The only connection is free again.
    assert_eq!(take(store.snapshot(Select { limit: Some(1), ..all(&t) }).await.expect("a snapshot")).await.len(), 1);
    let mut end = None;
    while let Some(chunk) = stalled.rows.recv().await {
        end = Some(chunk);
    }
    assert!(matches!(end, Some(Err(StoreError::TooSlow(_)))));
}

#[tokio::test]
async fn dates_are_times() {
    let db = Sqlite::new();
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME, v)").await;
    db.connect()
        .execute_batch(
            "INSERT INTO t (at, v) VALUES ('1970-01-01 00:00:00.010', 1), ('1970-01-01T00:00:00.035Z', 2),
             ('1970-01-01 01:00:00.005+01:00', 3), ('1970-01-02', 4), ('soon', 5), (NULL, 6)",
        )
        .expect("rows");
    let t = table(&*store, "t").await;
    let series = store.series(chart(&t)).await.expect("a series").series;
    assert_eq!(series.groups[0].time, [0.0, 10.0, 30.0]);
    assert_eq!(series.groups[0].last[0], [Some(3.0), Some(1.0), Some(2.0)]);
    let open = store.series(SeriesQuery { from: None, to: None, ..chart(&t) }).await.expect("a series").series;
    assert_eq!((open.from, open.to), (5.0, 86_400_000.0));
}

/// A table of rows that is sampled, because more than `rows` of them are many.
async fn sampled(index: &str, order: &str) -> (Sqlite, Arc<dyn Store>) {
    let mut db = Sqlite::new();
    db.settings.series_rows = 50_000;
    let store =
        store_on(&db, &format!("CREATE TABLE t (id INTEGER PRIMARY KEY, at INTEGER, v REAL, g); {index}")).await;
    let sql = format!(
        "WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s LIMIT 200000)
         INSERT INTO t (at, v, g) SELECT {order}, ({order}) % 1000, n % 2 FROM s"
    );
    let connection = db.connect();
    connection.execute_batch("DROP TRIGGER _rowcast_1_insert").expect("no need to capture these");
    connection.execute_batch(&sql).expect("rows");
    (db, store)
}

#[tokio::test]
async fn large_tables_are_sampled_evenly() {
    for (index, order) in [("CREATE INDEX i ON t (at)", "n"), ("", "n"), ("", "200000 - n")] {
        let (_db, store) = sampled(index, order).await;
        let t = table(&*store, "t").await;
        let whole = SeriesQuery { from: None, to: None, buckets: 20, exact: false, group_by: Some(3), ..chart(&t) };
        let series = store.series(whole.clone()).await.expect("a series").series;
        assert!(!series.exact);
        assert_eq!(series.groups.len(), 2);
        for group in &series.groups {
            assert_eq!(group.time.len(), 20, "{index} {order}");
            let (least, most) = (group.count.iter().min().expect("one"), group.count.iter().max().expect("one"));
            assert!(*least * 2 > *most, "{index} {order} {:?}", group.count);
            assert!(group.avg[0].iter().flatten().all(|avg| (300.0..700.0).contains(avg)), "{:?}", group.avg);
        }
        assert!(store.series(SeriesQuery { exact: true, ..whole.clone() }).await.expect("a series").series.exact);
        let narrow = SeriesQuery { from: Some(100_000.0), to: Some(101_000.0), group_by: None, ..whole };
        let series = store.series(narrow).await.expect("a series").series;
        assert_eq!(series.groups[0].count.iter().sum::<u64>(), 1_000, "a narrow window is read whole");
    }
}

#[tokio::test]
async fn too_many_cells_are_refused() {
    let db = Sqlite::new();
    let store = store_on(&db, "CREATE TABLE t (id INTEGER PRIMARY KEY, at INTEGER, v REAL)").await;
    let t = table(&*store, "t").await;
    let query = SeriesQuery { buckets: u32::MAX, ..chart(&t) };
    assert!(matches!(store.series(query).await, Err(StoreError::Refused(_))));
    let none = SeriesQuery { buckets: 0, from: Some(5.0), to: Some(5.0), ..chart(&t) };
    assert!(store.series(none).await.expect("a series").series.groups[0].time.is_empty());
}

#[tokio::test]
async fn teardown_says_how_many_dead_letters_are_lost_and_setup_keeps_them() {
    let db = Sqlite::new();
    let store = store_on(&db, NUMBERS).await;
    let t = table(&*store, "t").await;
    let mut insert = numbered(&t, "one", 0, 3);
    insert.rows[0][1].1 = int(99);
    store.insert(insert).await.expect("inserted");
    db.connect().execute_batch("DROP TABLE _rowcast_meta").expect("dropped");
    let mut source = db.source(100);
    source.setup().await.expect("made anew");
    assert_eq!(store.dead_letter_counts().await.expect("counts"), [("s".to_owned(), 1)]);
    let sql = source.teardown().await.expect("torn down").join("\n");
    assert!(sql.contains("-- A dead letter"), "{sql}");
    assert_eq!(db.leftovers().await, Vec::<String>::new());
    assert_eq!(store.dead_letter_counts().await.expect("counts"), []);
}

#[tokio::test]
async fn the_first_delivery_disturbs_no_follower() {
    let db = Sqlite::new();
    let store = store_on(&db, "CREATE TABLE keyless (a, b)").await;
    let mut follower = db.follow().await;
    let keyless = table(&*store, "keyless").await;
    let mut insert = numbered(&keyless, "one", 0, 1);
    insert.rows[0] = vec![(1, int(5)), (2, int(6))];
    store.insert(insert).await.expect("inserted");
    follower.expect(&["insert keyless (1,5,6)"]).await;
    insert_one(&*store, &keyless).await;
    // Tables without a key are read anew after a change of the schema; this one was Rowcast's own.
    follower.expect(&["insert keyless (2,7,8)"]).await;
}

async fn insert_one(store: &dyn Store, table: &Arc<rowcast::event::Table>) {
    let row = vec![(1, int(7)), (2, int(8))];
    store.insert(Insert::new(table.clone(), vec![row])).await.expect("inserted");
}

#[tokio::test]
async fn rows_that_end_a_delivery_become_dead_letters() {
    let db = Sqlite::new();
    let store = store_on(
        &db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a);
         CREATE TRIGGER r BEFORE INSERT ON t WHEN NEW.a > 4 BEGIN SELECT RAISE(ROLLBACK, 'too fast'); END;
         CREATE TRIGGER f AFTER INSERT ON t WHEN NEW.a = 3 BEGIN SELECT RAISE(FAIL, 'not this one'); END",
    )
    .await;
    let t = table(&*store, "t").await;
    let (one, two) = tokio::join!(store.insert(numbered(&t, "one", 0, 40)), async {
        let plain = Insert::new(t.clone(), vec![vec![(0, int(100)), (1, int(1))]]);
        store.insert(plain).await
    });
    let one = one.expect("inserted");
    assert_eq!((one.count, one.rejected.len()), (16, 24), "numbers end in 0, 1, 2 and 4");
    assert_eq!(two.expect("inserted").count, 1);
    assert_eq!(store.dead_letter_counts().await.expect("counts"), [("s".to_owned(), 24)]);
    assert_eq!(store.progress("s").await.expect("progress").map(|at| at.upto), Some(40));
    assert_eq!(rows(&*store, all(&t)).await.len(), 17);
}

#[tokio::test]
async fn what_is_checked_at_the_commit_becomes_a_dead_letter() {
    let db = Sqlite::new();
    let store = store_on(
        &db,
        "CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (3);
         CREATE TABLE t (id INTEGER PRIMARY KEY, a REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let t = table(&*store, "t").await;
    let inserted = store.insert(numbered(&t, "one", 0, 3)).await.expect("inserted");
    assert_eq!((inserted.count, inserted.rejected.len(), inserted.rejected[0].0), (2, 1, 1));
    assert_eq!(rows(&*store, all(&t)).await, ["(1,1)", "(3,3)"]);
    assert_eq!(store.dead_letter_counts().await.expect("counts"), [("s".to_owned(), 1)]);
}
