//! A token expires: the client is warned, its subscriptions go on for a while, end with a reason, and the connection with them.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rowcast::auth::Settings;
use rowcast::gateway::Limits;
use serde_json::json;

use super::world::{COOKIE, Wish, World, bearer, now, token, token_for};
use crate::socketio::client::Client;

/// A second of grace, and two for another token.
async fn hasty() -> World {
    let settings = Settings { cookie: Some(COOKIE.into()), grace: Duration::from_secs(1), ..Settings::default() };
    let limits = Limits { handshake: Duration::from_secs(2), ..Limits::default() };
    World::with(Wish { settings, limits, ..Wish::default() }).await
}

#[tokio::test]
async fn a_client_is_warned_goes_on_and_ends_with_a_reason() {
    let world = hasty().await;
    let begun = now();
    let mut client = world.client(&token_for("anna", 2)).await;
    let expires = client.hears("expiring").await["expires_ms"].as_u64().expect("a time") / 1000;
    assert!((begun + 2..=begun + 3).contains(&expires));
    for id in ["a", "b"] {
        let follow = json!({ "type": "subscribe", "id": id, "channel": "table:Data", "snapshot": false });
        assert_eq!(client.ask(&follow, "subscribed").await["type"], "subscribed");
    }
    while now() < expires {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.insert(7);
    assert_eq!(client.hears("change").await["row"]["speed"], "7", "the grace is for this");
    let mut ended = Vec::new();
    for _ in 0..2 {
        let error = client.hears("error").await;
        assert_eq!((&error["code"], &error["message"]), (&json!("unauthenticated"), &json!("the token has expired")));
        ended.push(error["id"].as_str().expect("an id").to_owned());
    }
    ended.sort();
    assert_eq!(ended, ["a", "b"]);
    assert!(now() > expires);
    world.insert(8);
    let refused = client.ask(&json!({ "type": "ping" }), "pong").await;
    assert_eq!(refused["code"], "unauthenticated");
    let (said, code) = client.read_to_end().await;
    assert_eq!(code, Some(4401));
    assert!(said.iter().all(|message| message["type"] != "change"), "{said:?}");
    assert_eq!(said.last().expect("a last word")["reason"], "unauthenticated");
}

#[tokio::test]
async fn a_newer_token_before_the_end_or_soon_after_it_mends_everything() {
    let world = hasty().await;
    let mut client = world.client(&token_for("anna", 2)).await;
    let follow = json!({ "type": "subscribe", "id": "a", "channel": "table:Data", "snapshot": false });
    client.ask(&follow, "subscribed").await;
    client.say(&json!({ "type": "auth", "token": token_for("anna", 4) })).await;
    client.hears("authenticated").await;
    // The first token's end is over when this comes.
    let error = client.hears("error").await;
    assert_eq!((&error["id"], &error["message"]), (&json!("a"), &json!("the token has expired")));
    let refused = client.ask(&json!({ "type": "auth", "token": token("bert") }), "authenticated").await;
    assert_eq!(refused["code"], "unauthenticated", "what was anna's does not become bert's");
    client.ask(&json!({ "type": "auth", "token": token("anna") }), "authenticated").await;
    assert_eq!(client.ask(&follow, "subscribed").await["type"], "subscribed");
    world.insert(9);
    assert_eq!(client.hears("change").await["row"]["speed"], "9");
}

#[tokio::test]
async fn an_event_stream_ends_with_the_reason() {
    let world = hasty().await;
    let begun = Instant::now();
    let request = world.get(&format!("/v1/stream?channel=table:Data&access_token={}", token_for("anna", 1)));
    let mut body = request.send().await.expect("a stream").bytes_stream();
    let mut text = String::new();
    while let Some(Ok(some)) = body.next().await {
        text.push_str(&String::from_utf8_lossy(&some));
    }
    assert!(text.contains("event: expiring"), "{text}");
    let last = text.rsplit("event: error").next().expect("an end");
    assert!(last.contains("unauthenticated") && last.contains("the token has expired"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    world.until_connected(0).await;
}

#[tokio::test]
async fn a_socketio_client_hears_it_as_events_and_does_not_come_straight_back() {
    let world = hasty().await;
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", world.authority());
    let mut client = Client::open_at(&url, &[bearer(&token_for("anna", 1))]).await;
    client.join("/", None).await;
    let (answer, _) = client.ask("subscribe", json!({ "id": "a", "channel": "table:Data", "snapshot": false })).await;
    assert_eq!(answer["type"], "subscribed");
    let error = client.hears("error").await;
    assert_eq!((&error[0]["id"], &error[0]["message"]), (&json!("a"), &json!("the token has expired")));
    let (answer, _) = client.ask("ping", json!({})).await;
    assert_eq!(answer["code"], "unauthenticated");
    let close = client.hears("close").await;
    assert_eq!(close[0]["reason"], "unauthenticated");
    assert_eq!(client.text().await, "41", "put out, not lost");
    client.closed().await;
}

#[tokio::test]
async fn a_token_that_never_expires_is_never_warned_of() {
    // The world's tokens have to expire: this one does so far beyond the longest sleep.
    let world = World::new().await;
    let mut client = world.client(&token_for("anna", 60 * 60 * 24 * 365 * 20)).await;
    let answer = client.ask(&json!({ "type": "ping" }), "pong").await;
    assert_eq!(answer["type"], "pong");
}
