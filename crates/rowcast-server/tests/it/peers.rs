//! Other people's clients on the native protocol: npm's `ws` and `eventsource`, Python's `websockets`.

use anyhow::{Context, Result};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::peer::{Peer, node, python};
use crate::server::{DEADLINE, Server};

const EVENTS: &str = r#"[{ name = "newData", table = "Data", fields = ["time", "speed"], as_text = true }]"#;

async fn start(dir: &std::path::Path) -> Result<Server> {
    let schema = "PRAGMA journal_mode = wal; CREATE TABLE Data (id INTEGER PRIMARY KEY, time TEXT, speed INTEGER)";
    Connection::open(dir.join("app.db"))?.execute_batch(schema)?;
    Server::start(dir, &[("event", EVENTS)]).await
}

fn insert(server: &Server, speed: u32) -> Result<()> {
    let database = Connection::open(server.database())?;
    database.busy_timeout(DEADLINE)?;
    database.execute("INSERT INTO Data (time, speed) VALUES ('1718000000123', ?1)", [speed])?;
    Ok(())
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| text.to_owned())
}

#[tokio::test]
async fn an_event_source_of_npm_gets_what_was_inserted_while_the_server_was_away() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    let mut source =
        Peer::start(node("native.cjs", &["eventsource", &server.url("/v1/stream?channel=event:newData")])?)?;
    source.says("subscribed").await?;
    insert(&server, 1)?;
    let heard = source.says("newData").await?;
    assert_eq!(json(heard.split_once(' ').context("an id")?.1)?, json!({"time": "1718000000123", "speed": "1"}));
    for speed in [2, 5, 8] {
        server.kill9().await?;
        source.says("away").await?;
        insert(&server, speed)?;
        insert(&server, speed + 1)?;
        server.restart().await?;
        insert(&server, speed + 2)?;
        for speed in speed..speed + 3 {
            let heard = source.says("newData").await?;
            let (id, data) = heard.split_once(' ').context("an id")?;
            assert_eq!(json(data)?["speed"], speed.to_string(), "{id}");
        }
    }
    Ok(())
}

/// What every client of the native WebSocket does: subscribes, inserts, hears, is refused, says goodbye.
async fn converses(peer: &mut Peer, server: &Server) -> Result<()> {
    assert_eq!(peer.says("open").await?, "[]", "compression is off, so it is not agreed on");
    assert_eq!(json(&peer.says("text").await?)?["type"], "hello");
    peer.tell(r#"{"type":"subscribe","id":"a","channel":"table:Data"}"#).await?;
    assert_eq!(json(&peer.says("text").await?)?["type"], "snapshot");
    assert_eq!(json(&peer.says("text").await?)?["type"], "subscribed");
    insert(server, 7)?;
    assert_eq!(json(&peer.says("text").await?)?["row"]["speed"], 7);
    let text = "Grüße 🚀".repeat(2_000);
    peer.tell(&json!({"type": "insert", "table": "Data", "rows": [{"time": text}], "ref": "r"}).to_string()).await?;
    let answers = [json(&peer.says("text").await?)?, json(&peer.says("text").await?)?];
    let row = answers.iter().find(|answer| answer["type"] == "change").context("the change")?;
    assert_eq!(row["row"]["time"], text);
    assert!(answers.iter().any(|answer| answer["type"] == "inserted" && answer["ref"] == "r"), "{answers:?}");
    for (nonsense, code) in [("neither JSON nor Klingon", "bad_json"), (r#"{"type":"sing"}"#, "bad_message")] {
        peer.tell(nonsense).await?;
        assert_eq!(json(&peer.says("text").await?)?["code"], code);
    }
    peer.tell(r#"{"type":"ping","ref":"p"}"#).await?;
    assert_eq!(json(&peer.says("text").await?)?["type"], "pong");
    peer.tell("close").await?;
    assert!(peer.says("closed").await?.starts_with("1000"));
    Ok(())
}

#[tokio::test]
async fn npms_ws_that_offers_compression_converses_without() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    let url = server.url("/v1/ws").replace("http:", "ws:");
    converses(&mut Peer::start(node("native.cjs", &["ws", &url])?)?, &server).await
}

#[tokio::test]
async fn pythons_websockets_converses() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    let url = server.url("/v1/ws").replace("http:", "ws:");
    converses(&mut Peer::start(python("native.py", &[&url])?)?, &server).await
}

#[tokio::test]
async fn a_server_that_stops_says_so_to_each_client() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    let url = server.url("/v1/ws").replace("http:", "ws:");
    let mut peers = [Peer::start(node("native.cjs", &["ws", &url])?)?, Peer::start(python("native.py", &[&url])?)?];
    for peer in &mut peers {
        peer.says("text").await?;
    }
    server.terminate().await?;
    for peer in &mut peers {
        assert!(peer.says("closed").await?.starts_with("1001"));
    }
    Ok(())
}

#[tokio::test]
async fn inserts_of_a_client_that_hears_of_them_are_all_answered() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    let mut peer = Peer::start(node("native.cjs", &["ws", &server.url("/v1/ws").replace("http:", "ws:")])?)?;
    peer.says("open").await?;
    peer.tell(r#"{"type":"subscribe","id":"a","channel":"event:newData"}"#).await?;
    for number in 0..200 {
        peer.tell(&json!({"type": "insert", "table": "Data", "rows": [{"speed": number}], "ref": "r"}).to_string())
            .await?;
        while json(&peer.says("text").await?)?["type"] != "inserted" {}
    }
    Ok(())
}
