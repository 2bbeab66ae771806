//! Positions, after the log has lost or forgotten them.

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::{Shop, expect_gap, id_of};
use crate::client::message::{Position, Reason};
use crate::client::{Message, Sse, WebSocket};

fn table() -> Vec<(&'static str, String)> {
    vec![("channel", "table:t".to_owned()), ("snapshot", "true".to_owned())]
}

async fn resume(shop: &Shop, since: Option<Position>) -> Result<Sse> {
    let opened = Sse::open(&shop.server, &table(), since).await?;
    opened.map_err(|refused| anyhow::anyhow!("{refused:?}"))
}

/// Reads a snapshot and `subscribed`; returns how many rows there were.
async fn rows(sse: &mut Sse) -> Result<usize> {
    let mut count = 0;
    loop {
        match sse.next().await? {
            Message::Snapshot(snapshot) => count += snapshot.rows.len(),
            Message::Subscribed(subscribed) => {
                ensure!(!subscribed.resumed, "{subscribed:?}");
                return Ok(count);
            }
            other => bail!("not a snapshot: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_stream_goes_on_after_kill_9_without_gap_or_repeat() -> Result<()> {
    let shop = Shop::open(&[]).await?;
    let mut sse = resume(&shop, None).await?;
    ensure!(rows(&mut sse).await? == 0);
    let mut next = 1;
    for round in 0..4 {
        let upto = next + 50;
        shop.insert(next..upto)?;
        // In the midst of a transaction, and at its end.
        let stop = if round % 2 == 0 { upto } else { next + 20 };
        while next < stop {
            let Message::Change(change) = sse.next().await? else { bail!("not a change") };
            ensure!(id_of(&change)? == next && change.last == (next + 1 == upto), "{next}: {change:?}");
            next += 1;
        }
        shop.server.kill9().await?;
        shop.insert([1_000 + round])?;
        shop.server.restart().await?;
        sse = resume(&shop, sse.last_event_id).await?;
        let Message::Subscribed(subscribed) = sse.next().await? else { bail!("not subscribed") };
        ensure!(subscribed.resumed, "{subscribed:?}");
        while next < upto {
            let Message::Change(change) = sse.next().await? else { bail!("not a change") };
            ensure!(id_of(&change)? == next, "{next}: {change:?}");
            next += 1;
        }
        let Message::Change(change) = sse.next().await? else { bail!("not a change") };
        ensure!(id_of(&change)? == 1_000 + round, "{change:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_position_of_a_log_that_is_gone_is_told_as_a_gap_with_fresh_rows() -> Result<()> {
    let shop = Shop::open(&[]).await?;
    let mut sse = resume(&shop, None).await?;
    rows(&mut sse).await?;
    shop.insert(1..4)?;
    for _ in 1..4 {
        sse.next().await?;
    }
    let position = sse.last_event_id;
    drop(sse);
    shop.server.terminate().await?;
    std::fs::remove_dir_all(shop.server.data())?;
    shop.insert(4..6)?;
    shop.server.restart().await?;
    let mut sse = resume(&shop, position).await?;
    expect_gap(&mut sse, Reason::Epoch).await?;
    ensure!(rows(&mut sse).await? == 5);
    shop.insert([6])?;
    let Message::Change(change) = sse.next().await? else { bail!("not a change") };
    ensure!(id_of(&change)? == 6);
    Ok(())
}

#[tokio::test]
async fn a_position_that_has_left_the_log_is_told_as_a_gap_with_fresh_rows() -> Result<()> {
    let shop = Shop::open(&[("log.keep_events", "100"), ("log.keep_bytes", "32KiB")]).await?;
    let mut sse = resume(&shop, None).await?;
    rows(&mut sse).await?;
    let old = sse.last_event_id;
    let mut other = WebSocket::open(&shop.server).await?;
    shop.follow(&mut other, "other").await?;
    let mut left = false;
    for round in 0..400 {
        shop.insert(round * 100..round * 100 + 100)?;
        for _ in 0..100 {
            super::expect_change(&mut other, "other").await?;
        }
        let status: serde_json::Value =
            shop.server.http().get(shop.server.url("/v1/status")).send().await?.json().await?;
        let oldest: Position =
            status["log"]["oldest"].as_str().context("the log tells its oldest position")?.parse()?;
        left = old.is_some_and(|old| old < oldest);
        if left {
            break;
        }
    }
    ensure!(left, "the log keeps everything");
    let mut sse = resume(&shop, old).await?;
    expect_gap(&mut sse, Reason::Retention).await?;
    let count: usize = shop.database.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))?.try_into()?;
    ensure!(rows(&mut sse).await? == count);
    Ok(())
}

#[tokio::test]
async fn a_position_beyond_the_log_is_told_as_a_gap() -> Result<()> {
    let shop = Shop::open(&[]).await?;
    let mut socket = WebSocket::open(&shop.server).await?;
    let Position { epoch, offset } = socket.hello.position;
    let beyond = Position { epoch, offset: offset + 1_000 }.to_string();
    socket.say(json!({"type": "subscribe", "id": "s", "channel": "table:t", "since": beyond})).await?;
    let Message::Gap(_) = socket.next().await? else { bail!("no gap") };
    let Message::Snapshot(snapshot) = socket.next().await? else { bail!("no snapshot") };
    ensure!(snapshot.done && snapshot.rows.is_empty(), "{snapshot:?}");
    super::expect_subscribed(&mut socket, "s").await
}

#[tokio::test]
async fn an_altered_table_is_told_with_fresh_rows_and_followed_on() -> Result<()> {
    let shop = Shop::open(&[]).await?;
    let mut sse = resume(&shop, None).await?;
    rows(&mut sse).await?;
    shop.insert([1])?;
    sse.next().await?;
    shop.database.execute_batch("ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'd'")?;
    expect_gap(&mut sse, Reason::Schema).await?;
    ensure!(rows(&mut sse).await? == 1);
    shop.database.execute_batch("INSERT INTO t VALUES (2, 2, 'x', 'new')")?;
    let Message::Change(change) = sse.next().await? else { bail!("not a change") };
    ensure!(change.row.get("c").is_some_and(|c| c == "new"), "{change:?}");
    let plain = shop.stream(&[("channel", "table:t")]).await?;
    drop(plain);
    Ok(())
}
