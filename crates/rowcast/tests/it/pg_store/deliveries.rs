//! What is remembered of deliveries in PostgreSQL: by whom it is made, and how it goes.

use std::sync::Arc;

use rowcast::postgres::{Live, Mode, PostgresSettings};
use rowcast::source::Source;
use rowcast::source::postgres::PostgresSource;
use rowcast::store::postgres::PostgresStore;
use rowcast::store::{DeadLetters, Store, StoreError};

use super::{Pg, address};
use crate::delivery_contract::{NUMBERS, numbered};
use crate::store_contract::{all, int, rows, table};

#[tokio::test]
async fn teardown_says_how_many_dead_letters_are_lost() {
    let db = Pg::with(NUMBERS).await;
    let settings = PostgresSettings { slot: db.database.name.clone(), ..PostgresSettings::default() };
    let mut source = PostgresSource::new("test", address(&db.database.url()), settings, Arc::new(Live::default()));
    source.setup().await.expect("set up");
    let t = table(&*db.store, "t").await;
    let mut insert = numbered(&t, "one", 0, 3);
    insert.rows[0][1].1 = int(99);
    insert.rows[2][1].1 = int(99);
    db.store.insert(insert).await.expect("inserted");
    assert_eq!(source.setup().await.expect("set up"), Vec::<String>::new(), "it is no part of capture");
    let plan = source.plan_teardown().await.expect("a plan").join("\n");
    assert!(plan.contains("-- 2 dead letters"), "{plan}");
    source.teardown().await.expect("torn down");
    assert_eq!(db.store.dead_letter_counts().await.expect("counts"), []);
}

#[tokio::test]
async fn what_is_checked_at_the_commit_becomes_a_dead_letter() {
    let db = Pg::with(
        "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (3);
         CREATE TABLE t (id int PRIMARY KEY, a int REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let inserted = db.store.insert(numbered(&t, "one", 0, 3)).await.expect("inserted");
    assert_eq!((inserted.count, inserted.rejected.len(), inserted.rejected[0].0), (2, 1, 1));
    assert_eq!(rows(&*db.store, all(&t)).await, ["(1,1)", "(3,3)"]);
    let letters = db.store.dead_letters(DeadLetters::default()).await.expect("dead letters");
    assert_eq!((letters.len(), letters[0].line), (1, 2));
}

#[tokio::test]
async fn who_may_not_make_the_tables_is_told_what_to_run() {
    let db = Pg::with(NUMBERS).await;
    let role = format!("{}_writer", db.database.name);
    db.database.run(&format!("CREATE ROLE {role} LOGIN; GRANT INSERT, SELECT ON t TO {role}")).await;
    let live = Arc::new(Live::default());
    live.began(Mode::Wal);
    let url = db.database.url().replace("postgres@", &format!("{role}@"));
    let store = PostgresStore::open(address(&url), PostgresSettings::default(), live);
    let t = table(&store, "t").await;
    let Err(StoreError::Refused(why)) = store.insert(numbered(&t, "one", 0, 1)).await else { panic!("inserted") };
    let grant = format!("GRANT CREATE ON DATABASE {} TO {role}", db.database.name);
    assert!(why.contains(&grant), "{why}");
    db.database.run(&grant).await;
    store.insert(numbered(&t, "one", 0, 1)).await.expect("inserted");
    db.database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn bytes_that_postgres_has_no_text_for_are_shown() {
    let db = Pg::with(NUMBERS).await;
    let t = table(&*db.store, "t").await;
    let mut insert = numbered(&t, "one", 0, 1);
    insert.rows[0][1].1 = int(99);
    insert.delivery.as_mut().expect("a delivery").records[0].raw = "a\0b".into();
    insert.delivery.as_mut().expect("a delivery").records[0].key = Some("k\0".into());
    db.store.insert(insert).await.expect("inserted");
    let letters = db.store.dead_letters(DeadLetters::default()).await.expect("dead letters");
    assert_eq!(letters[0].raw, "a\u{2400}b");
}
