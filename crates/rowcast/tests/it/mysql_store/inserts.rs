//! Inserts: rows that are refused, conflicts, large ones, and who comes in between.

use mysql_async::prelude::Queryable;
use rowcast::event::Value;
use rowcast::store::{Conflict, Insert, Store, StoreError};

use super::My;
use crate::store_contract::{all, insert, int, rows, string, table};

#[tokio::test]
async fn nothing_is_cut_off_or_rounded_in_silence() {
    let db = My::with(
        "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, ti tinyint, vc varchar(3), en enum('a'), da date, u int unsigned, \
         js json, n int NOT NULL DEFAULT 1)",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let cases = [
        (1, int(128)),
        (2, string("abcd")),
        (3, string("b")),
        (4, string("2026-02-30")),
        (5, int(-1)),
        (6, Value::Text("{".into())),
        (7, Value::Null),
        (1, string("12x")),
    ];
    let rows_in = cases.iter().map(|case| vec![case.clone()]).chain([vec![(1, int(127))]]).collect();
    let inserted = db.store.insert(Insert::new(t.clone(), rows_in)).await.expect("inserted");
    assert_eq!(inserted.count, 1, "{inserted:?}");
    assert_eq!(inserted.rejected.iter().map(|(row, _)| *row).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    for (_, reason) in &inserted.rejected {
        assert!(!reason.contains(" at row "), "{reason}");
    }
}

#[tokio::test]
async fn a_zero_is_a_zero_and_defaults_are_the_databases() {
    let db = My::with("CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, a int DEFAULT 5)").await;
    let t = table(&*db.store, "t").await;
    let rows_in = vec![vec![(0, int(0))], vec![(0, int(7)), (1, Value::Unchanged)], vec![], vec![(1, Value::Null)]];
    let inserted = db.store.insert(Insert::new(t.clone(), rows_in)).await.expect("inserted");
    assert_eq!((inserted.count, inserted.rejected.len()), (4, 0), "{inserted:?}");
    assert_eq!(rows(&*db.store, all(&t)).await, ["(0,5)", "(7,5)", "(8,5)", "(9,null)"]);
}

#[tokio::test]
async fn large_inserts_are_split_and_their_bad_rows_found() {
    let db = My::with("CREATE TABLE t (id int PRIMARY KEY, a varchar(20), b double)").await;
    let t = table(&*db.store, "t").await;
    let row = |n: i64| {
        let key = if n % 5_000 == 4_999 { n - 1 } else { n };
        vec![(0, int(key)), (1, string("some text")), (2, Value::Real(0.5))]
    };
    let begun = std::time::Instant::now();
    let inserted = db.store.insert(Insert::new(t.clone(), (0..20_000).map(row).collect())).await.expect("inserted");
    println!("20000 rows in {:?}", begun.elapsed());
    assert_eq!(inserted.count, 19_996);
    assert_eq!(inserted.rejected.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [4_999, 9_999, 14_999, 19_999]);
}

#[tokio::test]
async fn a_row_that_is_larger_than_the_server_takes_is_refused() {
    let db = My::with("CREATE TABLE t (id int PRIMARY KEY, a longblob)").await;
    let t = table(&*db.store, "t").await;
    let mut conn = db.database.connect().await.expect("connected");
    let packet: usize = conn.query_first("SELECT @@max_allowed_packet").await.expect("asked").expect("a number");
    let of = |id: i64, size: usize| vec![(0, int(id)), (1, Value::Bytes(vec![7; size].into()))];
    let rows_in = vec![of(1, 10), of(2, packet + 1), of(3, 3 << 20), of(4, 10)];
    let inserted = db.store.insert(Insert::new(t.clone(), rows_in)).await.expect("inserted");
    assert_eq!(inserted.count, 3, "{inserted:?}");
    assert!(inserted.rejected[0].1.contains("max_allowed_packet"), "{inserted:?}");
}

fn with(conflict: Conflict, insert: Insert) -> Insert {
    Insert { conflict, ..insert }
}

#[tokio::test]
async fn keys_that_are_there_are_passed_over_or_replaced() {
    let db = My::with("CREATE TABLE t (id int PRIMARY KEY, a int CHECK (a < 100), b int)").await;
    let t = table(&*db.store, "t").await;
    insert(&*db.store, &t, &[&[int(1), int(1), int(1)], &[int(2), int(2), int(2)]]).await;
    let row = |id: i64, a: i64| vec![(0, int(id)), (1, int(a))];
    let ignore = |rows| with(Conflict::Ignore(vec![]), Insert::new(t.clone(), rows));
    let inserted = db.store.insert(ignore(vec![row(1, 9), row(3, 3), row(3, 4), row(4, 100)])).await.expect("inserted");
    assert_eq!((inserted.count, inserted.repeated), (1, 2), "{inserted:?}");
    assert_eq!(inserted.rejected.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [3], "other errors are told");
    let update = |rows| with(Conflict::Update(vec![0]), Insert::new(t.clone(), rows));
    // New, changed, as it was, changed twice.
    let inserted =
        db.store.insert(update(vec![row(5, 5), row(1, 10), row(2, 2), row(3, 7), row(3, 8)])).await.expect("inserted");
    assert_eq!((inserted.count, inserted.repeated), (4, 1), "{inserted:?}");
    assert_eq!(db.store.insert(update(vec![row(2, 2)])).await.expect("inserted").repeated, 1);
    assert_eq!(db.store.insert(update(vec![row(2, 3)])).await.expect("inserted").count, 1);
    assert_eq!(rows(&*db.store, all(&t)).await, ["(1,10,1)", "(2,3,2)", "(3,8,null)", "(5,5,null)"]);
}

#[tokio::test]
async fn only_the_key_that_was_named_counts() {
    let db = My::with("CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int, UNIQUE (a, b), UNIQUE (c))").await;
    let t = table(&*db.store, "t").await;
    insert(&*db.store, &t, &[&[int(1), int(1), int(1), int(1)]]).await;
    let row = |id: i64, a: i64, c: i64| vec![(0, int(id)), (1, int(a)), (2, int(1)), (3, int(c))];
    let ignore = with(
        Conflict::Ignore(vec![2, 1]),
        Insert::new(t.clone(), vec![row(2, 1, 2), row(1, 3, 3), row(4, 4, 1), row(5, 5, 5)]),
    );
    let inserted = db.store.insert(ignore).await.expect("inserted");
    assert_eq!((inserted.count, inserted.repeated), (1, 1), "{inserted:?}");
    assert_eq!(inserted.rejected.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2]);
    for columns in [vec![1], vec![1, 3], vec![9]] {
        let wrong = with(Conflict::Ignore(columns), Insert::new(t.clone(), vec![row(9, 9, 9)]));
        let answer = db.store.insert(wrong).await;
        assert!(matches!(&answer, Err(StoreError::Refused(why)) if why.contains("no unique key")), "{answer:?}");
    }
    let db = My::with("CREATE TABLE t (id int)").await;
    let t = table(&*db.store, "t").await;
    let answer = db.store.insert(with(Conflict::Ignore(vec![]), Insert::new(t, vec![vec![(0, int(1))]]))).await;
    assert!(matches!(&answer, Err(StoreError::Refused(why)) if why.contains("no primary key")), "{answer:?}");
}

#[tokio::test]
async fn what_a_trigger_misses_is_a_rows_fault() {
    let db = My::with(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW \
         INSERT INTO nowhere VALUES (NEW.id)",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let inserted = insert(&*db.store, &t, &[&[int(1)]]).await;
    assert_eq!(inserted.rejected.len(), 1, "{inserted:?}");
}

#[tokio::test]
async fn tables_without_transactions_take_row_by_row() {
    let db = My::with("CREATE TABLE t (id int PRIMARY KEY) ENGINE = MyISAM").await;
    let t = table(&*db.store, "t").await;
    let inserted = insert(&*db.store, &t, &[&[int(1)], &[int(1)], &[int(2)]]).await;
    assert_eq!((inserted.count, inserted.rejected.len()), (2, 1), "{inserted:?}");
    assert_eq!(rows(&*db.store, all(&t)).await, ["(1)", "(2)"]);
}
