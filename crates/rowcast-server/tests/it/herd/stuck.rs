//! Clients that read nothing beside those that do: the others hear everything in order, and what the stuck ones cost has a bound.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::time::Instant;

use super::Meadow;
use super::client::{Client, Tally};
use crate::client::{Message, WebSocket};
use crate::server::DEADLINE;

const HEALTHY: usize = 100;
const STUCK: usize = 40;
const ROWS: i64 = 6_000;
const QUEUE: usize = 128 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_nothing_cost_a_bounded_amount_and_disturb_nobody() -> Result<()> {
    let queue = QUEUE.to_string();
    let settings = [
        ("limits.queue_bytes", queue.as_str()),
        ("limits.write_stall", "10m"),
        ("limits.heartbeat", "10m"),
        ("log.memory", "1MiB"),
    ];
    let meadow = Meadow::open(&settings).await?;
    let tally = Tally::new(HEALTHY, &[ROWS]);
    let healthy: Vec<_> = (0..HEALTHY)
        .map(|number| tokio::spawn(Client::new(number, meadow.server.clone(), tally.clone()).follow(ROWS)))
        .collect();
    tally.all_subscribed().await?;
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        let mut socket = WebSocket::open_with(&meadow.server, Some(4 << 10), &[]).await?;
        socket.say(json!({ "type": "subscribe", "id": "t", "channel": "table:t", "snapshot": false })).await?;
        let Message::Subscribed(_) = socket.next().await? else { anyhow::bail!("not subscribed") };
        stuck.push(socket);
    }
    let before = meadow.server.resident_bytes().await?;
    meadow.insert_together(1..=ROWS, 20)?;
    tally.all_at(ROWS).await?;
    for client in healthy {
        client.await??;
    }
    // Each may have its queue full once, and once more on its way into the socket; the rest is the log's window and the allocator's.
    let bound = (STUCK + HEALTHY) * 2 * QUEUE + (48 << 20);
    // What was needed for a moment, while many caught up, is given back soon.
    let deadline = Instant::now() + DEADLINE;
    let grown = loop {
        let grown = meadow.server.resident_bytes().await?.saturating_sub(before);
        if grown < bound {
            break grown;
        }
        ensure!(Instant::now() < deadline, "{grown} bytes more, {bound} at most");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    println!("{} kB more for {STUCK} stuck clients, each {} kB behind", grown >> 10, (ROWS as usize * 200) >> 10);
    // They were not forgotten: each reads on where it stands, from the log.
    for mut socket in stuck.into_iter().take(3) {
        for id in 1..=ROWS {
            let Message::Change(change) = socket.next().await? else { anyhow::bail!("not a change") };
            ensure!(change.row["id"].as_i64().context("an id")? == id, "row {id} was missed: {change:?}");
        }
    }
    Ok(())
}
