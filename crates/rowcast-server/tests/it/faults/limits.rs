//! Limits, and clients that make others wait.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tokio::time::timeout;

use super::{Shop, expect_problem, id_of};
use crate::client::{Heard, Message, SocketIo, WebSocket};
use crate::server::DEADLINE;

#[tokio::test]
async fn one_subscription_too_many_is_refused_and_the_others_go_on() -> Result<()> {
    let shop = Shop::open(&[("limits.subscriptions", "2")]).await?;
    let mut socket = WebSocket::open(&shop.server).await?;
    shop.follow(&mut socket, "a").await?;
    shop.follow(&mut socket, "b").await?;
    socket.say(json!({"type": "subscribe", "id": "c", "channel": "table:t"})).await?;
    let problem = expect_problem(&mut socket, "too_many_subscriptions").await?;
    ensure!(problem.id.as_deref() == Some("c"), "{problem:?}");
    socket.say(json!({"type": "unsubscribe", "id": "a"})).await?;
    let Message::Unsubscribed(_) = socket.next().await? else { bail!("not unsubscribed") };
    shop.follow(&mut socket, "c").await
}

#[tokio::test]
async fn one_connection_too_many_is_refused_and_there_is_room_again() -> Result<()> {
    let shop = Shop::open(&[("limits.connections", "2")]).await?;
    let mut first = WebSocket::open(&shop.server).await?;
    let second = WebSocket::open(&shop.server).await?;
    let refused = WebSocket::open(&shop.server).await;
    let error = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains("503"), "{error}");
    drop(second);
    // The place is free once the server has noticed.
    let freed = async {
        while WebSocket::open(&shop.server).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, freed).await.context("there is no room again")?;
    shop.follow(&mut first, "s").await
}

#[tokio::test]
async fn a_client_that_never_reads_costs_a_bounded_queue_and_delays_nobody() -> Result<()> {
    const ROWS: i64 = 12_000;
    let settings = [("limits.queue_bytes", "64KiB"), ("limits.write_stall", "120s"), ("limits.heartbeat", "60s")];
    let shop = Shop::open(&settings).await?;
    let mut idle = WebSocket::open_with(&shop.server, Some(4096), &[]).await?;
    shop.follow(&mut idle, "idle").await?;
    let mut quick = WebSocket::open(&shop.server).await?;
    shop.follow(&mut quick, "quick").await?;
    let text = "y".repeat(1000);
    let writes = async {
        for first in (1..=ROWS).step_by(500) {
            shop.database.execute_batch("BEGIN IMMEDIATE")?;
            for id in first..first + 500 {
                shop.database.execute("INSERT INTO t (id, a, b) VALUES (?1, ?1, ?2)", (id, &text))?;
            }
            shop.database.execute_batch("COMMIT")?;
            for id in first..first + 500 {
                let change = super::expect_change(&mut quick, "quick").await?;
                ensure!(id_of(&change)? == id && change.last == (id == first + 499));
            }
        }
        anyhow::Ok(())
    };
    writes.await?;
    let status: serde_json::Value = shop.server.http().get(shop.server.url("/v1/status")).send().await?.json().await?;
    let queued = status["sessions"].as_array().into_iter().flatten().filter_map(|one| one["queued_bytes"].as_u64());
    ensure!(queued.max().is_some_and(|bytes| bytes <= 64 << 10), "{status}");
    // And when it reads again, nothing is missing.
    for id in 1..=ROWS {
        let change = super::expect_change(&mut idle, "idle").await?;
        ensure!(id_of(&change)? == id && change.last == (id % 500 == 0), "{id}: {:?}", change.position);
    }
    idle.expect_nothing().await
}

/// What the hub has begun to write goes on when there is room, and not with the next thing that is said.
#[tokio::test]
async fn a_frame_that_fills_the_connection_comes_to_its_end_although_nothing_follows() -> Result<()> {
    const LARGE: usize = 8 << 20;
    const SMALL_BUFFER: Option<u32> = Some(8 << 10);
    // Long before a heartbeat, or a ping of Engine.IO.
    const SOON: Duration = Duration::from_secs(12);
    let shop = Shop::open(&[("limits.queue_bytes", "32MiB"), ("limits.heartbeat", "5m")]).await?;
    let mut native = WebSocket::open_with(&shop.server, SMALL_BUFFER, &[]).await?;
    shop.follow(&mut native, "a").await?;
    let mut socketio = SocketIo::open_with(&shop.server, SMALL_BUFFER).await?;
    socketio.emit("subscribe", json!({"id": "a", "channel": "table:t", "snapshot": false})).await?;
    // Small ones first: now the connections are lent.
    for id in 1..=3 {
        shop.insert([id])?;
        while !matches!(timeout(SOON, native.next()).await??, Message::Change(_)) {}
        while !matches!(timeout(SOON, socketio.hear()).await??, Heard::Message(Message::Change(_))) {}
    }
    shop.database.execute("INSERT INTO t (id, a, b) VALUES (9, 9, ?1)", ["x".repeat(LARGE)])?;
    // It fills what there is to fill before anybody reads.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let Message::Change(change) = timeout(SOON, native.next()).await?? else { bail!("no change") };
    ensure!(change.row["b"].as_str().is_some_and(|text| text.len() == LARGE));
    let heard = timeout(SOON, async {
        loop {
            match socketio.hear().await? {
                Heard::Message(Message::Position(_)) => {}
                heard => return anyhow::Ok(heard),
            }
        }
    });
    let Heard::Message(Message::Change(change)) = heard.await?? else { bail!("no change") };
    ensure!(change.row["b"].as_str().is_some_and(|text| text.len() == LARGE));
    Ok(())
}
