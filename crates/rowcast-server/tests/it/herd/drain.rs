//! How clients are let go: each is told another time to come back.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;

use super::Meadow;
use crate::client::{Block, Message, Sse, WebSocket};

const EACH: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn every_client_is_told_another_time_to_come_back() -> Result<()> {
    let settings = [("shutdown.retry", "500ms"), ("shutdown.spread", "20s"), ("shutdown.close_per_second", "400")];
    let meadow = Meadow::open(&settings).await?;
    let sockets = try_join_all((0..EACH).map(|_| WebSocket::open(&meadow.server))).await?;
    let query = [("channel", "table:t".to_owned())];
    let mut streams = Vec::new();
    for opened in try_join_all((0..EACH).map(|_| Sse::open(&meadow.server, &query, None))).await? {
        streams.push(opened.map_err(|refused| anyhow::anyhow!("{refused:?}"))?);
    }
    let over_sockets = try_join_all(sockets.into_iter().map(told_over_a_socket));
    let over_streams = try_join_all(streams.into_iter().map(told_over_a_stream));
    let (ended, sockets, streams) = tokio::join!(meadow.server.terminate(), over_sockets, over_streams);
    ensure!(ended?.success());
    let all: Vec<u64> = sockets?.into_iter().chain(streams?).collect();
    let distinct: BTreeSet<u64> = all.iter().copied().collect();
    ensure!(distinct.len() == 2 * EACH, "two are told the same: {all:?}");
    ensure!(distinct.iter().all(|retry_ms| (500..20_500).contains(retry_ms)), "{distinct:?}");
    // They fill the time: no tenth of it is without one.
    let tenths: BTreeSet<u64> = distinct.iter().map(|retry_ms| (retry_ms - 500) / 2_000).collect();
    ensure!(tenths.len() == 10, "{distinct:?}");
    Ok(())
}

async fn told_over_a_socket(mut socket: WebSocket) -> Result<u64> {
    match socket.read_to_end().await? {
        (Some(Message::Close(close)), Some(1001)) => Ok(close.retry_ms),
        other => bail!("{other:?}"),
    }
}

/// What the `close` says, which is what `retry:` says to a browser.
async fn told_over_a_stream(mut stream: Sse) -> Result<u64> {
    let mut told = None;
    loop {
        match stream.hear().await? {
            Block::Message(Message::Close(close)) => told = Some(close.retry_ms),
            Block::Message(_) | Block::Position(_) => {}
            Block::Ended => break,
        }
    }
    let told = told.context("no goodbye")?;
    ensure!(stream.retry_ms == Some(told), "`retry:` is {:?}, not {told}", stream.retry_ms);
    Ok(told)
}
