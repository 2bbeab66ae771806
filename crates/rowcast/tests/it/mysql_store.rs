//! MySQL and MariaDB as a store: exact moments, values, inserts and charts, on a real server.

mod charts;
mod contract;
mod inserts;
mod moments;
mod values;

use std::sync::Arc;
use std::time::Duration;

use rowcast::mysql::{Address, Live, Mode, MysqlSettings};
use rowcast::store::mysql::MysqlStore;
use rowcast::store::{Insert, Select, Store, StoreError};
use servers::MysqlDatabase;

use crate::store_contract::{all, insert, int, rows, string, table, take};

/// A database, and a store on it whose source reads the binlog.
struct My {
    database: MysqlDatabase,
    store: Arc<MysqlStore>,
}

impl My {
    async fn with(sql: &str) -> Self {
        Self::with_settings(sql, MysqlSettings::default()).await
    }

    async fn with_settings(sql: &str, settings: MysqlSettings) -> Self {
        let database = MysqlDatabase::new().await.expect("a database");
        database.run(sql).await;
        let live = Arc::new(Live::default());
        live.began(Mode::Binlog);
        let store = Arc::new(MysqlStore::open(address(&database.url()), settings, live));
        Self { database, store }
    }
}

fn address(url: &str) -> Address {
    Address::parse(url).expect("an address")
}

#[tokio::test]
async fn patterns_pick_tables_and_names_are_found_in_any_case() {
    let settings = MysqlSettings { exclude: vec!["secret*".into()], ..MysqlSettings::default() };
    let db = My::with_settings(
        "CREATE TABLE Orders (id int); CREATE TABLE secrets (id int); CREATE VIEW v AS SELECT 1; \
         CREATE TABLE _rowcast_progress (id int)",
        settings,
    )
    .await;
    let names: Vec<String> =
        db.store.tables().await.expect("tables").iter().map(|table| table.name.to_string()).collect();
    assert_eq!(names, ["Orders"]);
    assert_eq!(&*table(&*db.store, "orders").await.name.name, "Orders");
    assert_eq!(&*table(&*db.store, &format!("{}.ORDERS", db.database.name)).await.name.name, "Orders");
    for name in ["secrets", "v", "_rowcast_progress", "mysql.user"] {
        let answer = db.store.table(&name.parse().expect("a name")).await;
        assert!(matches!(answer, Err(StoreError::UnknownTable(_))), "{name}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let server = servers::Mysql::start().expect("a server");
    let database = server.database().await.expect("a database");
    database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let live = Arc::new(Live::default());
    live.began(Mode::Binlog);
    server.stop(servers::Stop::Immediate).expect("stopped");
    let store = MysqlStore::open(address(&database.url()), MysqlSettings::default(), live);
    let name = "t".parse().expect("a name");
    assert!(matches!(store.table(&name).await, Err(StoreError::Unavailable(_))));
    server.run().expect("started again");
    let t = store.table(&name).await.expect("a table");
    assert_eq!(rows(&store, all(&t)).await, ["(1)"]);
    // Connections that wait for their next use end with the server, too.
    server.stop(servers::Stop::Immediate).expect("stopped");
    let away = store.insert(Insert::new(t.clone(), vec![vec![(0, int(2))]])).await;
    assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
    server.run().expect("started again");
    assert_eq!(insert(&store, &t, &[&[int(3)]]).await.count, 1);
    assert_eq!(rows(&store, all(&t)).await, ["(1)", "(3)"]);
}

#[tokio::test]
async fn a_snapshot_that_nobody_takes_is_given_up() {
    let settings =
        MysqlSettings { snapshot_stall: Duration::from_millis(50), connections: 1, ..MysqlSettings::default() };
    let db = My::with_settings("CREATE TABLE t (id int PRIMARY KEY, a text)", settings).await;
    let t = table(&*db.store, "t").await;
    let many = (0..60_000).map(|n| vec![(0, int(n)), (1, string(&"x".repeat(300)))]).collect();
    assert_eq!(db.store.insert(Insert::new(t.clone(), many)).await.expect("inserted").count, 60_000);
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
async fn an_altered_table_is_noticed_within_the_moment() {
    let db = My::with("CREATE TABLE t (id int PRIMARY KEY, a int)").await;
    let mut t = table(&*db.store, "t").await;
    for alteration in [
        "ADD COLUMN b int",
        "DROP COLUMN b",
        "MODIFY a bigint",
        "MODIFY a int unsigned",
        "CHANGE a c datetime",
        "MODIFY c datetime(3)",
        "ADD COLUMN d decimal(5,2) FIRST",
        "MODIFY d decimal(5,3) AFTER id",
    ] {
        db.database.run(&format!("ALTER TABLE t {alteration}")).await;
        let snapshot = db.store.snapshot(all(&t)).await;
        assert!(matches!(snapshot, Err(StoreError::Altered(_))), "{alteration}");
        let write = db.store.insert(Insert::new(t.clone(), vec![vec![(0, int(1))]])).await;
        assert!(matches!(write, Err(StoreError::Altered(_))), "{alteration}");
        t = table(&*db.store, "t").await;
        rows(&*db.store, all(&t)).await;
    }
    db.database.run("DROP TABLE t").await;
    assert!(matches!(db.store.snapshot(all(&t)).await, Err(StoreError::Altered(_))));
    let gone = db.store.table(&t.name).await;
    assert!(matches!(gone, Err(StoreError::UnknownTable(_))));
}
