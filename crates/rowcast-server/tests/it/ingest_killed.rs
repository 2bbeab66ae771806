//! The server is killed while a stream flows, again and again: each record that it was sent for good is a row, once.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::program::{Running, database, ran, rowcast, text};

fn speeds(folder: &Path) -> Vec<u64> {
    let connection = database(folder);
    let mut rows = connection.prepare("SELECT speed FROM readings ORDER BY speed").expect("a query");
    let speeds = rows.query_map([], |row| row.get::<_, i64>(0)).expect("rows");
    speeds.map(|speed| speed.expect("a number").unsigned_abs()).collect()
}

/// The end of one connection of the server; says from which id it asks to go on.
async fn connection(source: &TcpListener) -> (TcpStream, f64) {
    let (mut stream, _) = source.accept().await.expect("a connection");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.expect("a request"));
    }
    let request = String::from_utf8(request).expect("text").to_ascii_lowercase();
    let after = request.lines().find_map(|line| line.strip_prefix("last-event-id: ")?.trim().parse::<f64>().ok());
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await.expect("written");
    (stream, after.unwrap_or(0.0))
}

#[tokio::test]
async fn killed_while_a_stream_flows_every_record_is_one_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = "PRAGMA journal_mode = wal; CREATE TABLE readings (speed INTEGER, note TEXT)";
    database(folder.path()).execute_batch(schema).expect("a table");
    let source = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = source.local_addr().expect("bound");
    let config = format!(
        "[[ingest]]\nname = 'car'\nurl = 'http://{address}/'\ntable = 'readings'\nkey = 'position'\n\
         [ingest.columns.speed]\nmax = 1000000\n[ingest.computed]\nnote = \"'n' || speed\"\n"
    );
    std::fs::write(folder.path().join("rowcast.toml"), config).expect("written");
    let serve =
        || rowcast(folder.path(), &["serve", "--database", "shop.db", "--listen", "127.0.0.1:0", "--data", "data"]);
    for round in 0..5 {
        let mut server = Running::start(serve()).await;
        let (mut stream, after) = connection(&source).await;
        let before = speeds(folder.path()).len();
        let writer = tokio::spawn(async move {
            // Before each tenth record, which has a whole number as its id, comes one that is none.
            for half in (after * 2.0) as u64 + 1.. {
                let id = half as f64 / 2.0;
                let data = match half % 20 {
                    19 => format!("rubbish {id}"),
                    even if even % 2 == 0 => format!("{{\"speed\":{id}}}"),
                    _ => continue,
                };
                let event = format!("id: {id}\ndata: {data}\n\n");
                if stream.write_all(event.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        // In the middle of the flow, at another point each time.
        while speeds(folder.path()).len() < before + 200 * (round + 1) {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        server.signal("KILL").await;
        // Until then its log's lock is held.
        server.ended().await;
        writer.abort();
    }
    let server = Running::start(serve()).await;
    let (_stream, after) = connection(&source).await;
    while speeds(folder.path()).len() < after as usize {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let status: Value = server.get("/v1/status").await.json().await.expect("JSON");
    assert_eq!(status["ingest"][0]["spool"]["records"], 0, "{status}");
    let stored = speeds(folder.path());
    assert_eq!(stored, (1..=stored.len() as u64).collect::<Vec<_>>(), "none is missing, none is there twice");

    let answer: Value = server.get("/v1/dead-letters?limit=3").await.json().await.expect("JSON");
    let malformed = stored.len() as u64 / 10;
    let kept = answer["counts"]["car"].as_u64().expect("a count");
    assert!(kept == malformed || kept == malformed + 1, "{kept} of {malformed}");
    let id = answer["dead_letters"][0]["id"].as_u64().expect("an id").to_string();
    let mended = ["dead-letters", "retry", &id, "--record", "{\"speed\":0}", "--database", "shop.db"];
    let output = ran(folder.path(), &mended).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "1 stored, 0 refused\n");
    assert_eq!(speeds(folder.path())[0], 0);
    let dropped =
        ran(folder.path(), &["dead-letters", "drop", "--source", "car", "--json", "--database", "shop.db"]).await;
    assert_eq!(text(&dropped.stdout), format!("{{\"dropped\":{}}}\n", kept - 1));
    let none = ran(folder.path(), &["dead-letters", "--database", "shop.db"]).await;
    assert_eq!(text(&none.stdout), "no dead letters\n");
}
