//! PostgreSQL as a store: exact moments, values, inserts and charts, on a real server.

mod charts;
mod contract;
mod deliveries;
mod filters;
mod inserts;
mod moments;
mod values;

use std::sync::Arc;
use std::time::Duration;

use rowcast::postgres::{Address, Live, Mode, PostgresSettings};
use rowcast::store::postgres::PostgresStore;
use rowcast::store::{Select, Store, StoreError};
use servers::Database;

use crate::store_contract::{all, rows, table, take};

/// A database, and a store on it whose source reads the write-ahead log.
struct Pg {
    database: Database,
    store: Arc<PostgresStore>,
}

impl Pg {
    async fn with(sql: &str) -> Self {
        Self::with_settings(sql, PostgresSettings::default()).await
    }

    async fn with_settings(sql: &str, settings: PostgresSettings) -> Self {
        let database = Database::new().await.expect("a database");
        database.run(sql).await;
        let live = Arc::new(Live::default());
        live.began(Mode::Wal);
        let store = Arc::new(PostgresStore::open(address(&database.url()), settings, live));
        Self { database, store }
    }
}

fn address(url: &str) -> Address {
    url.parse().expect("an address")
}

#[tokio::test]
async fn names_are_found_along_the_search_path_and_in_any_case() {
    let db = Pg::with(
        "CREATE SCHEMA \"Shop\"; CREATE TABLE public.orders (id int); CREATE TABLE \"Shop\".orders (id int, a int);
         CREATE TABLE \"Odd.Name\" (id int); CREATE TABLE twice (id int); CREATE TABLE \"Twice\" (id int);
         CREATE VIEW v AS SELECT 1; CREATE UNLOGGED TABLE u (id int); CREATE SCHEMA rowcast; CREATE TABLE rowcast.outbox (id int);
         CREATE TABLE parted (id int PRIMARY KEY, at date) PARTITION BY RANGE (id);
         CREATE TABLE part1 PARTITION OF parted FOR VALUES FROM (0) TO (10)",
    )
    .await;
    let names: Vec<String> =
        db.store.tables().await.expect("tables").iter().map(|table| table.name.to_string()).collect();
    assert_eq!(
        names,
        ["Shop.orders", "public.\"Odd.Name\"", "public.Twice", "public.orders", "public.parted", "public.twice"]
    );
    for (asked, found) in [
        ("orders", Some("public.orders")),
        ("ORDERS", Some("public.orders")),
        ("Shop.orders", Some("Shop.orders")),
        ("shop.Orders", Some("Shop.orders")),
        ("\"odd.name\"", Some("public.\"Odd.Name\"")),
        ("twice", Some("public.twice")),
        ("Twice", Some("public.Twice")),
        ("TWICE", None),
        ("parted", Some("public.parted")),
        ("part1", None),
        ("v", None),
        ("u", None),
        ("rowcast.outbox", None),
        ("pg_catalog.pg_class", None),
        ("nowhere.orders", None),
    ] {
        let name = asked.parse().expect("a name");
        match (db.store.table(&name).await, found) {
            (Ok(table), Some(found)) => assert_eq!(table.name.to_string(), found, "{asked}"),
            (Err(StoreError::UnknownTable(unknown)), None) => assert_eq!(unknown, name),
            (answer, _) => panic!("{asked}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn columns_are_those_that_the_stream_has_too() {
    let db = Pg::with(
        "CREATE TYPE mood AS ENUM ('sad', 'glad');
         CREATE TABLE t (gone int, b varchar(20), c numeric(10, 2)[], a int, twice int GENERATED ALWAYS AS (a * 2) STORED, m mood,
         PRIMARY KEY (a, b)); ALTER TABLE t DROP COLUMN gone; ALTER TABLE t ADD COLUMN d timestamptz(3) DEFAULT now();
         CREATE TABLE carried (id int, a text, PRIMARY KEY (id) INCLUDE (a));
         CREATE TABLE of_generated (a int, b int GENERATED ALWAYS AS (a) STORED, PRIMARY KEY (b))",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let columns: Vec<(&str, &str)> = t.columns.iter().map(|column| (&*column.name, &*column.declared)).collect();
    assert_eq!(
        columns,
        [
            ("b", "character varying(20)"),
            ("c", "numeric(10,2)[]"),
            ("a", "integer"),
            ("m", "public.mood"),
            ("d", "timestamp(3) with time zone")
        ]
    );
    assert_eq!(t.key, [2, 0], "in key order");
    assert_eq!(table(&*db.store, "carried").await.key, [0]);
    assert!(table(&*db.store, "of_generated").await.key.is_empty());
}

#[tokio::test]
async fn patterns_pick_tables() {
    let settings = PostgresSettings { exclude: vec!["secret*".into()], ..PostgresSettings::default() };
    let db = Pg::with_settings("CREATE TABLE a (id int); CREATE TABLE secrets (id int)", settings).await;
    assert_eq!(db.store.tables().await.expect("tables").len(), 1);
    let answer = db.store.table(&"secrets".parse().expect("a name")).await;
    assert!(matches!(answer, Err(StoreError::UnknownTable(_))));
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let server = servers::Postgres::start().expect("a server");
    let database = server.database().await.expect("a database");
    database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let live = Arc::new(Live::default());
    live.began(Mode::Wal);
    server.stop(servers::Stop::Immediate).expect("stopped");
    let store = PostgresStore::open(address(&database.url()), PostgresSettings::default(), live);
    let name = "t".parse().expect("a name");
    assert!(matches!(store.table(&name).await, Err(StoreError::Unavailable(_))));
    server.run().expect("started again");
    let t = store.table(&name).await.expect("a table");
    assert_eq!(rows(&store, all(&t)).await, ["(1)"]);
    // Connections that wait for their next use end with the server, too.
    server.stop(servers::Stop::Immediate).expect("stopped");
    server.run().expect("started again");
    assert_eq!(rows(&store, all(&t)).await, ["(1)"]);
}

#[tokio::test]
async fn a_snapshot_that_nobody_takes_is_given_up() {
    let settings =
        PostgresSettings { snapshot_stall: Duration::from_millis(50), connections: 1, ..PostgresSettings::default() };
    let db = Pg::with_settings(
        "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 50000) n",
        settings,
    )
    .await;
    let t = table(&*db.store, "t").await;
    let mut stalled = db.store.snapshot(all(&t)).await.expect("a snapshot");
    // The only connection is free again.
    let one = Select { limit: Some(1), ..all(&t) };
    assert_eq!(take(db.store.snapshot(one.clone()).await.expect("a snapshot")).await.len(), 1);
    let mut end = None;
    while let Some(chunk) = stalled.rows.recv().await {
        end = Some(chunk);
    }
    assert!(matches!(end, Some(Err(StoreError::TooSlow(_)))), "{end:?}");
    // And so it is when nobody listens any more.
    for _ in 0..5 {
        drop(db.store.snapshot(all(&t)).await.expect("a snapshot"));
    }
    assert_eq!(rows(&*db.store, one).await.len(), 1);
}

#[tokio::test]
async fn a_locked_table_is_not_waited_for_for_ever() {
    let db = Pg::with("CREATE TABLE t (id int PRIMARY KEY)").await;
    let t = table(&*db.store, "t").await;
    let other = db.database.connect().await.expect("connected");
    other.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.expect("locked");
    let answer = db.store.snapshot(all(&t)).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    other.batch_execute("ROLLBACK").await.expect("unlocked");
    assert!(rows(&*db.store, all(&t)).await.is_empty());
}

#[tokio::test]
async fn who_alters_a_table_need_not_wait_for_a_long_snapshot() {
    let db = Pg::with(
        "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t SELECT n, repeat('x', 400) FROM generate_series(1, 40000) n",
    )
    .await;
    let t = table(&*db.store, "t").await;
    let mut snapshot = db.store.snapshot(all(&t)).await.expect("a snapshot");
    snapshot.rows.recv().await.expect("a chunk").expect("rows");
    let other = db.database.connect().await.expect("connected");
    let altering = tokio::spawn(async move { other.batch_execute("ALTER TABLE t ADD COLUMN b int").await });
    let end = loop {
        // A client that is slow, and not so slow that it is given up.
        tokio::time::sleep(Duration::from_millis(20)).await;
        match snapshot.rows.recv().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(StoreError::Altered(_)))), "{end:?}");
    altering.await.expect("not panicked").expect("altered");
}
