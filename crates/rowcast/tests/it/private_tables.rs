//! A program's own tables: made, written and read by it, and told to nobody.

use rowcast::event::{TableName, Value};
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::mysql::{Address, MysqlSettings};
use rowcast::postgres::{Capture, PostgresSettings};
use rowcast::source::sqlite::SqliteSettings;
use rowcast::store::{Insert, Select, Store, TableSpec};

use crate::delivery_contract::speedometer;
use crate::pg_gateway::Client;

fn private() -> TableSpec {
    TableSpec { name: TableName::bare("secrets"), ..speedometer() }
}

async fn insert(store: &dyn Store, table: &str) {
    let table = store.table(&TableName::bare(table)).await.expect(table);
    let column = |name: &str| table.columns.iter().position(|column| &*column.name == name).expect(name);
    let row = ["time", "speed"].map(|name| (column(name), Value::Text("7".into()))).to_vec();
    store.insert(Insert::new(table, vec![row])).await.expect("inserted");
}

async fn check(database: Database) {
    let builder = Gateway::builder().database(database).log(LogPlace::Memory);
    let gateway = builder.tables(vec![speedometer()]).private_tables(vec![private()]).start().await.expect("started");
    let store = gateway.store();
    insert(&*store, "secrets").await;

    let mut client = Client::connect(&gateway).await;
    client.subscribe("table:secrets").await;
    client.hears(&["error UnknownTable"]).await;
    client.subscribe("table:Data").await;
    client.hears(&["0 rows", "subscribed table:Data"]).await;
    let before = gateway.node().log.head().offset.0;
    insert(&*store, "secrets").await;
    insert(&*store, "Data").await;
    client.hears(&["insert 1!"]).await;
    let shown = gateway.node().database.store.tables().await.expect("tables");
    assert!(shown.iter().all(|table| &*table.name.name != "secrets"), "{shown:?}");
    let ingested = gateway.ingest().json(&TableName::bare("secrets"), r#"{"time":"1","speed":"2"}"#).await;
    assert!(ingested.is_err());
    let logged = gateway.node().log.head().offset.0;
    assert_eq!(logged, before + 1, "only the other table's change");

    let table = store.table(&TableName::bare("secrets")).await.expect("the table");
    let select = Select { table, filter: None, order_by: Vec::new(), limit: None, offset: 0, role: None };
    let mut snapshot = store.snapshot(select).await.expect("a snapshot");
    let mut count = 0;
    while let Some(chunk) = snapshot.rows.recv().await {
        count += chunk.expect("rows").len();
    }
    assert_eq!(count, 2);
    gateway.stop().await;
}

#[tokio::test]
async fn own_tables_of_sqlite_are_told_to_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, include) in [("all.db", vec![]), ("some.db", vec!["Data".to_owned()])] {
        let settings = SqliteSettings { include, ..SqliteSettings::default() };
        check(Database::sqlite("own", folder.path().join(file), settings)).await;
    }
}

#[tokio::test]
async fn own_tables_of_postgresql_are_told_to_nobody() {
    for capture in [Capture::Wal, Capture::Outbox] {
        let database = servers::Database::new().await.expect("a database");
        let (slot, publication) = (database.name.clone(), database.name.clone());
        let settings = PostgresSettings { capture, slot, publication, ..PostgresSettings::default() };
        check(Database::postgres("own", database.url().parse().expect("an address"), settings)).await;
    }
}

#[tokio::test]
async fn own_tables_of_mysql_are_told_to_nobody() {
    for capture in [rowcast::mysql::Capture::Binlog, rowcast::mysql::Capture::Outbox] {
        let database = servers::MysqlDatabase::new().await.expect("a database");
        let settings = MysqlSettings { capture, ..MysqlSettings::default() };
        check(Database::mysql("own", Address::parse(&database.url()).expect("an address"), settings)).await;
    }
}
