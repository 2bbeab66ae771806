//! What is told to those who are not let in: when to come back, to each something else.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Meadow;
use super::client::connect;
use crate::client::WebSocket;

/// A server that lets two in, and then one every ten seconds.
async fn narrow() -> Result<Meadow> {
    Meadow::open(&[("limits.handshakes_per_second", "1"), ("limits.handshakes_burst", "2")]).await
}

#[tokio::test]
async fn who_is_not_let_in_is_told_when_to_come_back_and_each_something_else() -> Result<()> {
    let meadow = narrow().await?;
    let _inside = [WebSocket::open(&meadow.server).await?, WebSocket::open(&meadow.server).await?];
    let mut told = BTreeSet::new();
    for _ in 0..10 {
        // Before the upgrade: a WebSocket's client gets an HTTP answer.
        let wait = connect(&meadow.server).await?.err().flatten().context("let in, or told nothing")?;
        ensure!(told.insert(wait), "{wait:?} was told twice");
    }
    let answer = meadow.server.http().get(meadow.server.url("/v1/stream?channel=table:t")).send().await?;
    ensure!(answer.status() == 503);
    let seconds: u64 = answer.headers()["retry-after"].to_str()?.parse()?;
    let body: Value = answer.json().await?;
    let retry_ms = body["error"]["retry_ms"].as_u64().with_context(|| body.to_string())?;
    ensure!(body["error"]["code"] == "unavailable" && seconds == retry_ms.div_ceil(1_000), "{body}");
    let metrics = meadow.server.http().get(meadow.server.url("/metrics")).send().await?.text().await?;
    for line in ["rowcast_handshakes_total 2", "rowcast_handshakes_refused_total{by=\"handshakes\"} 11"] {
        ensure!(metrics.contains(line), "{line}\n{metrics}");
    }
    Ok(())
}

/// A browser's `EventSource` takes any status but 200 for the end: it is sent away with what it understands.
#[tokio::test]
async fn an_event_source_that_is_not_let_in_comes_back_later() -> Result<()> {
    let meadow = narrow().await?;
    let _inside = [WebSocket::open(&meadow.server).await?, WebSocket::open(&meadow.server).await?];
    let url = meadow.server.url("/v1/stream?channel=table:t");
    let mut told = BTreeSet::new();
    for _ in 0..3 {
        let answer = meadow.server.http().get(&url).header("accept", "text/event-stream").send().await?;
        ensure!(answer.status() == 200 && answer.headers()["content-type"] == "text/event-stream; charset=utf-8");
        let text = answer.text().await?;
        let retry = text.lines().find_map(|line| line.strip_prefix("retry: ")).with_context(|| text.clone())?;
        ensure!(text.contains("event: close\n") && text.contains(&format!("\"retry_ms\":{retry}")), "{text}");
        ensure!(told.insert(retry.parse::<u64>()?), "{retry} was told twice");
    }
    Ok(())
}

#[tokio::test]
async fn requests_that_open_no_session_are_let_through() -> Result<()> {
    let meadow = narrow().await?;
    let _inside = [WebSocket::open(&meadow.server).await?, WebSocket::open(&meadow.server).await?];
    for _ in 0..5 {
        let answer = meadow.server.http().get(meadow.server.url("/v1/tables")).send().await?;
        ensure!(answer.status() == 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_full_node_says_when_to_come_back() -> Result<()> {
    let meadow = Meadow::open(&[("limits.connections", "1")]).await?;
    let _inside = WebSocket::open(&meadow.server).await?;
    let first = connect(&meadow.server).await?.err().flatten().context("let in, or told nothing")?;
    let second = connect(&meadow.server).await?.err().flatten().context("let in, or told nothing")?;
    ensure!(first != second && first.as_millis() >= 1_000, "{first:?} {second:?}");
    Ok(())
}
