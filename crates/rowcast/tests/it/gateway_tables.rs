//! Tables of the configuration: there before anything is captured, also in a database that is away at the start.

use std::time::{Duration, Instant};

use rowcast::event::TableName;
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::postgres::PostgresSettings;
use rowcast::source::sqlite::SqliteSettings;
use rowcast::store::{ColumnKind, TableSpec};
use servers::{Postgres, Stop};

use crate::delivery_contract::speedometer;
use crate::pg_gateway::Client;

const POINT: &str = r#"INSERT INTO "Data" (time, speed) VALUES ('1718000000123', '37')"#;

#[tokio::test]
async fn a_table_is_made_in_a_new_file_and_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rtdb.db");
    let start = async |tables| {
        let database = Database::sqlite("rtdb", &path, SqliteSettings::default());
        Gateway::builder().database(database).log(LogPlace::Memory).tables(tables).start().await
    };
    let gateway = start(vec![speedometer()]).await.expect("started");
    let mut client = Client::connect(&gateway).await;
    client.subscribe("table:Data").await;
    client.hears(&["0 rows", "subscribed table:Data"]).await;
    let other = rusqlite::Connection::open(&path).expect("opened");
    other.execute_batch(POINT).expect("inserted");
    client.hears(&["insert 1!"]).await;
    gateway.stop().await;

    let gateway = start(vec![speedometer()]).await.expect("it is there already");
    gateway.stop().await;
    let mut altered = speedometer();
    altered.columns[2].name = "velocity".into();
    let error = start(vec![altered]).await.err().expect("refused").to_string();
    assert!(error.contains("no column `velocity`") && error.contains("ALTER TABLE"), "{error}");
}

#[tokio::test]
async fn a_table_is_made_as_soon_as_the_server_is_there() {
    let server = Postgres::start().expect("a server");
    let database = server.database().await.expect("a database");
    server.stop(Stop::Fast).expect("stopped");
    let address = database.url().parse().expect("an address");
    let settings =
        PostgresSettings { slot: "tables".into(), publication: "tables".into(), ..PostgresSettings::default() };
    let small = TableSpec { name: TableName::bare("small"), ..speedometer() };
    assert_eq!(small.columns[0].kind, ColumnKind::Id);
    let gateway = Gateway::builder()
        .database(Database::postgres("rtdb", address, settings))
        .log(LogPlace::Memory)
        .tables(vec![speedometer(), small])
        .start()
        .await
        .expect("started");
    server.run().expect("started again");
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(reason) = gateway.ready() {
        assert!(Instant::now() < deadline, "{reason}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut client = Client::connect(&gateway).await;
    client.subscribe("table:Data").await;
    client.hears(&["0 rows", "subscribed table:Data"]).await;
    database.run(POINT).await;
    client.hears(&["insert 1!"]).await;
    gateway.stop().await;
}
