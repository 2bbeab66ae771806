//! The same clients with `rowcast serve`: rows, rooms and what is pushed, also over restarts.

use anyhow::{Context, Result};
use rusqlite::Connection;

use super::passes;
use crate::peer::{Peer, node};
use crate::server::{DEADLINE, Server};

const EVENTS: &str = r#"[{ name = "newData", table = "Data", fields = ["time", "speed"], as_text = true }]"#;
const PUSHES: &str = r#"[{ channel = "event:newData" }]"#;

async fn start(dir: &std::path::Path) -> Result<Server> {
    let schema = "PRAGMA journal_mode = wal; CREATE TABLE Data (id INTEGER PRIMARY KEY, time TEXT, speed INTEGER)";
    Connection::open(dir.join("app.db"))?.execute_batch(schema)?;
    Server::start(dir, &[("event", EVENTS), ("push", PUSHES)]).await
}

async fn every_transport(client: &str) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    for transport in ["polling", "websocket", "upgrade"] {
        let url = server.url("");
        passes(node("client.cjs", &[client, transport, "rows", &url, &url])?)
            .await
            .with_context(|| format!("{transport}; {}", server.stderr()))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_of_1_7_has_rows() -> Result<()> {
    every_transport("socket.io-client-1").await
}

#[tokio::test]
async fn a_client_of_2_5_has_rows() -> Result<()> {
    every_transport("socket.io-client-2").await
}

#[tokio::test]
async fn a_client_of_3_1_has_rows() -> Result<()> {
    every_transport("socket.io-client-3").await
}

#[tokio::test]
async fn a_client_of_4_8_has_rows() -> Result<()> {
    every_transport("socket.io-client").await
}

fn insert(server: &Server, speed: u32) -> Result<()> {
    let database = Connection::open(server.database())?;
    database.busy_timeout(DEADLINE)?;
    database.execute("INSERT INTO Data (time, speed) VALUES ('now', ?1)", [speed])?;
    Ok(())
}

async fn hears(peer: &mut Peer, speed: u32) -> Result<()> {
    let heard = peer.says("newData").await?;
    assert_eq!(heard, format!(r#"{{"time":"now","speed":"{speed}"}}"#));
    Ok(())
}

#[tokio::test]
async fn a_client_of_4_8_misses_nothing_while_the_server_is_killed_and_started_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    let mut peer = Peer::start(node("native.cjs", &["socketio", &server.url(""), "socket.io-client"])?)?;
    let id = peer.says("connected false").await?;
    // The first time it has not heard a single event yet.
    for round in 0..4 {
        server.kill9().await?;
        peer.says("away").await?;
        insert(&server, round * 10)?;
        server.restart().await?;
        insert(&server, round * 10 + 1)?;
        assert_eq!(peer.says("connected").await?, format!("true {id}"));
        insert(&server, round * 10 + 2)?;
        for speed in round * 10..round * 10 + 3 {
            hears(&mut peer, speed).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_of_2_5_goes_on_with_what_comes_after_a_restart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    let mut peer = Peer::start(node("native.cjs", &["socketio", &server.url(""), "socket.io-client-2"])?)?;
    peer.says("connected").await?;
    insert(&server, 1)?;
    hears(&mut peer, 1).await?;
    server.kill9().await?;
    peer.says("away").await?;
    server.restart().await?;
    peer.says("connected").await?;
    insert(&server, 2)?;
    hears(&mut peer, 2).await
}
