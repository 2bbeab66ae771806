//! `rowcast demo`: a stream, a table and a page, out of nothing.

use rusqlite::Connection;

use crate::program::{Running, client, rowcast};

async fn demo(folder: &std::path::Path) -> Running {
    Running::start(rowcast(folder, &["demo", "--listen", "127.0.0.1:0", "--rate-ms", "50"])).await
}

#[tokio::test]
async fn the_simulated_stream_becomes_rows_and_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = demo(folder.path()).await;
    let mut stream = demo.get("/v1/stream?channel=table:readings&where=speed%20%3E%3D%200").await;
    let mut seen = String::new();
    while seen.matches("event: change").count() < 3 {
        let chunk = stream.chunk().await.expect("readable").expect("more");
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
    let another = Connection::open(folder.path().join("rowcast-data/demo.db")).expect("the database");
    another.busy_timeout(crate::program::DEADLINE).expect("a timeout");
    another.execute("INSERT INTO readings (time, speed) VALUES (1, 4242)", []).expect("inserted");
    while !seen.contains("4242") {
        let chunk = stream.chunk().await.expect("readable").expect("more");
        seen.push_str(&String::from_utf8_lossy(&chunk));
    }
    demo.signal("TERM").await;
    drop(stream);
    assert!(demo.ended().await.success());
}

#[tokio::test]
async fn the_raw_stream_has_the_simulators_headers_and_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = demo(folder.path()).await;
    let mut raw = demo.get("/stream").await;
    assert_eq!(raw.headers()["content-type"], "text/event-stream");
    let line = raw.chunk().await.expect("readable").expect("a line");
    assert!(line.starts_with(b"{\"time\":\"") && line.ends_with(b"\"}\n"), "{line:?}");
    let mut sse = client().get(format!("{}/stream/sse", demo.url)).send().await.expect("an answer");
    let event = sse.chunk().await.expect("readable").expect("an event");
    let event = std::str::from_utf8(&event).expect("text");
    assert!(event.contains("data: {\"time\":\"") && event.ends_with("\n\n"), "{event}");
}

#[tokio::test]
async fn it_says_what_to_open_and_what_to_try() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = demo(folder.path()).await;
    let mut said = String::new();
    while let Some(line) = demo.lines.next_line().await.expect("readable") {
        said.push_str(&line);
        if line.contains("Ctrl-C") {
            break;
        }
    }
    for part in
        [&*demo.url, &format!("{}/chat", demo.url), "sqlite3 rowcast-data/demo.db \"insert into readings", "curl -N"]
    {
        assert!(said.contains(part), "{part}\n{said}");
    }
}
