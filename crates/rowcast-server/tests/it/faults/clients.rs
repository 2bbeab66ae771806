//! Clients that say what they should not.

use anyhow::{Result, bail, ensure};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::{Shop, expect_change, expect_problem, id_of};
use crate::client::sse::Refused;
use crate::client::{Message, Sse, WebSocket};

#[tokio::test]
async fn what_is_no_message_is_answered_and_other_subscriptions_go_on() -> Result<()> {
    let shop = Shop::open(&[]).await?;
    let mut socket = WebSocket::open(&shop.server).await?;
    shop.follow(&mut socket, "good").await?;
    let said = [
        ("{", "bad_json"),
        ("[]", "bad_message"),
        ("\"subscribe\"", "bad_message"),
        (r#"{"type":"dance"}"#, "bad_message"),
        (r#"{"type":"subscribe","id":"x","channel":"table:t","filter":"a"}"#, "bad_message"),
        (r#"{"type":"subscribe","id":"","channel":"table:t"}"#, "bad_message"),
        (r#"{"type":"subscribe","id":7,"channel":"table:t"}"#, "bad_message"),
        (r#"{"type":"subscribe","id":"x","channel":"t"}"#, "bad_channel"),
        (r#"{"type":"subscribe","id":"x","channel":"table:t","since":"yesterday"}"#, "bad_position"),
        (r#"{"type":"subscribe","id":"x","channel":"table:nothing"}"#, "unknown_table"),
        (r#"{"type":"subscribe","id":"x","channel":"table:t","columns":["zzz"]}"#, "unknown_column"),
        (r#"{"type":"subscribe","id":"good","channel":"table:t"}"#, "duplicate_id"),
        (r#"{"type":"unsubscribe","id":"nobody"}"#, "unknown_id"),
        (r#"{"type":"publish","channel":"table:t","event":"e","data":1}"#, "bad_channel"),
        (r#"{"type":"insert","table":"nothing","rows":[{}]}"#, "unknown_table"),
    ];
    for (text, code) in said {
        socket.send(Frame::text(text)).await?;
        let problem = expect_problem(&mut socket, code).await?;
        ensure!(!problem.message.is_empty(), "{text}: {problem:?}");
    }
    socket.send(Frame::binary(vec![0, 159, 146, 150])).await?;
    expect_problem(&mut socket, "bad_message").await?;
    shop.insert([1])?;
    ensure!(id_of(&expect_change(&mut socket, "good").await?)? == 1);
    Ok(())
}

#[tokio::test]
async fn a_wrong_filter_is_told_with_the_place_in_it() -> Result<()> {
    let shop = Shop::open(&[]).await?;
    let mut socket = WebSocket::open(&shop.server).await?;
    let wrong = [("a >", 3, 0), ("a > 5 and zzz = 1", 10, 3), ("a = 'ü' and (b", 14, 0), ("a = 1; drop table t", 5, 1)];
    for (filter, offset, length) in wrong {
        socket.say(json!({"type": "subscribe", "id": "x", "channel": "table:t", "where": filter})).await?;
        let Message::Error(problem) = socket.next().await? else { bail!("`{filter}` was taken") };
        let Some(at) = &problem.at else { bail!("`{filter}`: {problem:?}") };
        ensure!(["bad_filter", "unknown_column"].contains(&&*problem.code), "`{filter}`: {problem:?}");
        ensure!((at.offset, at.length.min(length)) == (offset, length), "`{filter}`: {problem:?}");
        ensure!(at.offset + at.length <= filter.chars().count().max(offset + 1), "`{filter}`: {problem:?}");
    }
    shop.follow(&mut socket, "x").await
}

#[tokio::test]
async fn a_frame_that_is_too_big_ends_the_connection_with_1009() -> Result<()> {
    let shop = Shop::open(&[("limits.frame_bytes", "64KiB")]).await?;
    let mut socket = WebSocket::open(&shop.server).await?;
    ensure!(socket.hello.limits.frame_bytes == 64 << 10);
    let mut other = WebSocket::open(&shop.server).await?;
    shop.follow(&mut other, "other").await?;
    // The server may close before all of it is written.
    let _ = socket.say(json!({"type": "ping", "ref": "x".repeat(100 << 10)})).await;
    let (last, code) = socket.read_to_end().await?;
    ensure!(code == Some(1009), "{code:?} after {last:?}");
    ensure!(matches!(&last, Some(Message::Close(close)) if close.reason == "too_large"), "{last:?}");
    shop.insert([1])?;
    expect_change(&mut other, "other").await.map(drop)
}

#[tokio::test]
async fn a_client_that_talks_nonsense_for_too_long_is_closed_with_1008() -> Result<()> {
    let shop = Shop::open(&[("limits.bad_messages", "3")]).await?;
    let mut socket = WebSocket::open(&shop.server).await?;
    for _ in 0..3 {
        socket.send(Frame::text("nonsense")).await?;
        expect_problem(&mut socket, "bad_json").await?;
    }
    socket.send(Frame::text("nonsense")).await?;
    let (last, code) = socket.read_to_end().await?;
    ensure!(code == Some(1008), "{code:?} after {last:?}");
    ensure!(matches!(&last, Some(Message::Close(close)) if close.reason == "bad_messages"), "{last:?}");
    Ok(())
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() -> Result<()> {
    let shop = Shop::open(&[]).await?;
    let foreign = [("Origin", "https://elsewhere.example")];
    let refused = WebSocket::open_with(&shop.server, None, &foreign).await;
    let error = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains("403"), "a foreign page: {error}");
    let own = format!("http://127.0.0.1:{}", shop.server.port());
    WebSocket::open_with(&shop.server, None, &[("Origin", &own)]).await?;
    let request = shop.server.http().get(shop.server.url("/v1/tables")).header("Origin", "https://elsewhere.example");
    let answer = request.send().await?;
    ensure!(answer.status() == 403, "{answer:?}");
    let body: serde_json::Value = answer.json().await?;
    ensure!(body["error"]["code"] == "origin_not_allowed", "{body}");
    Ok(())
}

#[tokio::test]
async fn a_stream_that_cannot_be_is_an_http_error() -> Result<()> {
    let shop = Shop::open(&[]).await?;
    type Query = &'static [(&'static str, &'static str)];
    let wrong: [(Query, u16, &str); 6] = [
        (&[("channel", "table:nothing")], 404, "unknown_table"),
        (&[("channel", "table:t"), ("where", "zzz = 1")], 400, "bad_filter"),
        (&[("channel", "table:t"), ("since", "yesterday")], 400, "bad_position"),
        (&[("channel", "table:t"), ("filter", "a = 1")], 400, "bad_message"),
        (&[("channel", "table:t"), ("limit", "5")], 400, "bad_message"),
        (&[("channel", "t")], 400, "bad_channel"),
    ];
    for (query, status, code) in wrong {
        let query: Vec<(&str, String)> = query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        match Sse::open(&shop.server, &query, None).await? {
            Err(Refused::Problem { status: s, code: c }) if s == status && (c == code || c == "unknown_column") => {}
            other => bail!("{query:?}: {:?}", other.err()),
        }
    }
    Ok(())
}

#[tokio::test]
async fn half_of_a_transaction_is_never_seen() -> Result<()> {
    let shop = Shop::open(&[]).await?;
    let mut socket = WebSocket::open(&shop.server).await?;
    shop.follow(&mut socket, "s").await?;
    shop.database
        .execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1, 1, 'x'); INSERT INTO t VALUES (2, 2, 'x')")?;
    let rows = async || -> Result<String> {
        Ok(shop.server.http().get(shop.server.url("/v1/tables/t")).send().await?.error_for_status()?.text().await?)
    };
    ensure!(rows().await? == "[]");
    shop.database.execute_batch("ROLLBACK")?;
    shop.database
        .execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (3, 3, 'x'); INSERT INTO t VALUES (4, 4, 'x')")?;
    ensure!(rows().await? == "[]");
    shop.database.execute_batch("COMMIT")?;
    ensure!(rows().await? == r#"[{"id":3,"a":3,"b":"x"},{"id":4,"a":4,"b":"x"}]"#);
    let (first, second) = (expect_change(&mut socket, "s").await?, expect_change(&mut socket, "s").await?);
    ensure!((id_of(&first)?, first.last, id_of(&second)?, second.last) == (3, false, 4, true));
    ensure!(first.tx == second.tx);
    socket.expect_nothing().await
}
