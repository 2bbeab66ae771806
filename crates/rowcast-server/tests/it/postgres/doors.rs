//! The drop-ins of the real binary, and the commands that need no server.

use std::process::Stdio;

use futures_util::StreamExt;
use serde_json::Value;
use servers::Database;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::program::{ran, rowcast, text};
use crate::server::{DEADLINE, Server};

async fn site(settings: &[(&str, &str)]) -> (Database, Server, tempfile::TempDir) {
    let database = Database::new().await.expect("a database");
    database.run("create table orders (id int primary key, total numeric(8, 2))").await;
    let folder = tempfile::tempdir().expect("a folder");
    let own = [("postgres.slot", &*database.name), ("postgres.publication", &*database.name)];
    let server = Server::on(&database.url(), folder.path(), &[&own, settings].concat());
    server.restart().await.expect("started");
    (database, server, folder)
}

fn socket(server: &Server, path: &str) -> String {
    server.url(path).replacen("http", "ws", 1)
}

/// The next text frame.
async fn frame(page: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> String {
    loop {
        let next = tokio::time::timeout(DEADLINE, page.next()).await.expect("in time");
        if let Frame::Text(text) = next.expect("a frame").expect("read") {
            return text.to_string();
        }
    }
}

#[tokio::test]
async fn pgws_reaches_a_plain_websocket_without_any_configuration() {
    let (database, server, _folder) = site(&[]).await;
    let (mut page, _) = connect_async(socket(&server, "/ws")).await.expect("connected");
    database.run(r#"select pg_notify('pgws', 'other,{"message": "not for you"}')"#).await;
    database.run("select pg_notify('pgws', 'rubbish')").await;
    database.run(r#"select pg_notify('pgws', 'default,{"message": "hello, world"}')"#).await;
    let frame: Value = serde_json::from_str(&frame(&mut page).await).expect("JSON");
    assert_eq!((&frame["payload"]["message"], &frame["channel"]), (&"hello, world".into(), &"pgws".into()));
    assert_eq!(frame["id"].as_str().map(str::len), Some(36));
}

#[tokio::test]
async fn pg_eventserv_sends_raw_payloads_of_the_channels_that_are_allowed() {
    let (database, server, _folder) = site(&[("postgres.notify_allow", "job*")]).await;
    let (mut page, _) = connect_async(socket(&server, "/listen/jobs")).await.expect("connected");
    database.run("select pg_notify('jobs', 'raw, as it is')").await;
    assert_eq!(frame(&mut page).await, "raw, as it is");
    match connect_async(socket(&server, "/listen/secrets")).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 403),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn tail_needs_no_server_and_leaves_nothing_behind() {
    let database = Database::new().await.expect("a database");
    database.run("create table orders (id int primary key, total numeric(8, 2))").await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = database.url();
    let words = ["tail", "orders", "--where", "total > 100", "--database", &url, "--json", "--count", "1"];
    let mut tail = rowcast(folder.path(), &words).stdout(Stdio::piped()).spawn().expect("started");
    let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
    let mut line = async || {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.expect("in time");
        line.expect("readable").expect("a line")
    };
    assert!(line().await.contains("subscribed"));
    let client = database.connect().await.expect("connected");
    client.batch_execute("insert into orders values (1, 50), (2, 150.50)").await.expect("inserted");
    let change = line().await;
    assert!(change.contains("\"key\":[2]") && change.contains("150.5"), "{change}");
    let ended = tokio::time::timeout(DEADLINE, tail.wait()).await.expect("in time").expect("a status");
    assert!(ended.success());
    let left = "select (select count(*) from pg_replication_slots where database = current_database())
                     + (select count(*) from pg_publication) + (select count(*) from pg_namespace where nspname = 'rowcast')";
    let left: i64 = client.query_one(left, &[]).await.expect("counted").get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn setup_shows_its_sql_and_teardown_takes_all_of_it_back() {
    let database = Database::new().await.expect("a database");
    database.run("create table orders (id int primary key); create table loose (a int)").await;
    let folder = tempfile::tempdir().expect("a folder");
    let name = &database.name;
    std::fs::write(
        folder.path().join("rowcast.toml"),
        format!("[postgres]\nslot = '{name}'\npublication = '{name}'\n"),
    )
    .expect("written");
    let url = database.url();
    let run = async |words: &[&str]| {
        let output = ran(folder.path(), &[words, &["--database", &url]].concat()).await;
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    let planned = run(&["setup", "--dry-run"]).await;
    assert!(planned.contains("CREATE PUBLICATION") || planned.contains("create publication"), "{planned}");
    assert_eq!(run(&["setup"]).await, planned);
    assert_eq!(run(&["setup"]).await, "");
    assert!(run(&["doctor"]).await.contains("table public.orders: captured"));
    assert_ne!(run(&["teardown", "--yes"]).await, "");
    assert_eq!(run(&["teardown", "--yes"]).await, "");
}
