//! Rows into a real database through a running server: by HTTP, and from a stream that it fetches.

use std::path::Path;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::program::{Running, client, database, rowcast};

/// A folder with a table that has opinions.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = "PRAGMA journal_mode = wal;
        CREATE TABLE readings (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, speed INTEGER CHECK (speed <= 50), note TEXT)";
    database(folder.path()).execute_batch(schema).expect("a table");
    folder
}

async fn post(server: &Running, media_type: &str, body: impl Into<reqwest::Body>) -> Response {
    let url = format!("{}/v1/tables/readings", server.url);
    client().post(url).header("content-type", media_type).body(body).send().await.expect("an answer")
}

fn speeds(folder: &Path) -> Vec<i64> {
    let connection = database(folder);
    let mut rows = connection.prepare("SELECT speed FROM readings ORDER BY id").expect("a query");
    let speeds = rows.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>();
    speeds.expect("integers")
}

/// Waits until the table has so many rows.
async fn holds(folder: &Path, count: usize) {
    while speeds(folder).len() < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn every_row_of_a_body_is_stored_or_named() {
    let folder = folder();
    let server = Running::serve(folder.path(), &[]).await;
    let body = "{\"time\":\"1\",\"speed\":\"37\"}\n{\"time\":2,\"speed\":99}\n{\"speed\":1}\n{\"time\":4,\"sped\":1}\nno\n{\"time\":6}";
    let answer = post(&server, "application/x-ndjson", body).await;
    assert_eq!(answer.status(), StatusCode::MULTI_STATUS);
    let report: Value = answer.json().await.expect("JSON");
    assert_eq!((&report["count"], &report["rejected_count"]), (&2.into(), &4.into()), "{report}");
    let mut rejected: Vec<(u64, &str)> = report["rejected"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| (row["line"].as_u64().expect("a line"), row["reason"].as_str().expect("a reason")))
        .collect();
    rejected.sort_unstable();
    assert_eq!(rejected.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert!(rejected[0].1.contains("CHECK") && rejected[1].1.contains("NOT NULL"), "{report}");
    assert!(rejected[2].1.contains("did you mean `speed`?") && rejected[3].1.starts_with("not JSON"), "{report}");

    let position = report["position"].as_str().expect("a position");
    let stream = server.get(&format!("/v1/stream?channel=table:readings&since={position}")).await;
    assert_eq!(stream.status(), StatusCode::OK, "the position is one to go on from");
}

#[tokio::test]
async fn a_large_csv_is_stored_whole() {
    let folder = folder();
    let server = Running::serve(folder.path(), &[]).await;
    let rows: String = (0..20_000).map(|n| format!("{n},{},\"line {n},\n\"\"quoted\"\"\"\n", n % 51)).collect();
    let answer = post(&server, "text/csv; charset=utf-8", format!("time,speed,note\n{rows}")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let report: Value = answer.json().await.expect("JSON");
    assert_eq!(report["count"], 20_000);
    let expected: Vec<i64> = (0..20_000).map(|n| n % 51).collect();
    assert_eq!(speeds(folder.path()), expected);
}

/// One connection of the server to a stream, after its request.
async fn fetched(source: &TcpListener) -> TcpStream {
    let (mut stream, _) = source.accept().await.expect("a connection");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.expect("a request"));
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await.expect("written");
    stream
}

async fn send(stream: &mut TcpStream, speeds: std::ops::Range<i64>) {
    for speed in speeds {
        let line = format!("{{\"time\":\"1718000000123\",\"speed\":\"{speed}\"}}\n");
        stream.write_all(line.as_bytes()).await.expect("written");
    }
}

#[tokio::test]
async fn while_the_database_is_locked_and_the_source_dies_no_point_is_lost_or_stored_twice() {
    let folder = folder();
    let source = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = source.local_addr().expect("bound");
    let mut command =
        rowcast(folder.path(), &["serve", "--database", "shop.db", "--listen", "127.0.0.1:0", "--data", "data"]);
    command.env(
        "ROWCAST__INGEST",
        format!(r#"[{{ name = "car", url = "http://{address}/stream", table = "readings" }}]"#),
    );
    command.env("ROWCAST__DATABASE__BUSY_TIMEOUT", "50ms");
    let server = Running::start(command).await;

    let mut first = fetched(&source).await;
    send(&mut first, 0..3).await;
    holds(folder.path(), 3).await;

    let other = database(folder.path());
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    send(&mut first, 3..6).await;
    drop(first);
    // The source is connected again although the database takes nothing.
    let mut second = fetched(&source).await;
    send(&mut second, 6..9).await;
    loop {
        let status: Value = server.get("/v1/status").await.json().await.expect("JSON");
        if status["ingest"][0]["held_back"] == true {
            break;
        }
    }
    other.execute_batch("ROLLBACK").expect("unlocked");
    holds(folder.path(), 9).await;
    assert_eq!(speeds(folder.path()), (0..9).collect::<Vec<i64>>());
    let status: Value = server.get("/v1/status").await.json().await.expect("JSON");
    assert_eq!(status["ingest"][0]["reconnects"], 1, "{status}");
}
