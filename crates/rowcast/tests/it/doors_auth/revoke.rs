//! Operators put clients out, and take tokens back: every kind of live connection ends within a second, and only those.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value as Json, json};

use super::world::{World, bearer, token};
use crate::socketio::client::Client;

async fn administer(world: &World, path: &str, body: Json) -> Json {
    let request = world.post(path, &body).header("authorization", bearer(&token("admin")).1);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{body}");
    answer.json().await.expect("JSON")
}

/// Each of a user's connections, and what it hears at its end.
async fn check(path: &str, body: Json, reason: &str) {
    let world = World::new().await;
    let anna = token("anna");
    let mut socket = world.client(&anna).await;
    let mut stream = world.get("/v1/stream?channel=table:Data").header("authorization", bearer(&anna).1);
    stream = stream.header("accept", "text/event-stream");
    let mut stream = stream.send().await.expect("a stream").bytes_stream();
    stream.next().await.expect("a beginning").expect("bytes");
    let mut socketio = Client::open(world.served.address, 4).await;
    socketio.join("/", Some(json!({ "token": anna }))).await;
    let mut other = world.client(&token("bert")).await;
    world.until_connected(4).await;

    let begun = Instant::now();
    assert_eq!(administer(&world, path, body).await["closed"], 3);
    let (said, code) = socket.read_to_end().await;
    assert_eq!(code, Some(4403));
    let close = said.last().expect("a last word");
    assert_eq!(
        (&close["type"], &close["reason"], &close["message"]),
        (&json!("close"), &json!("revoked"), &json!(reason))
    );
    let mut text = String::new();
    while let Some(Ok(some)) = stream.next().await {
        text.push_str(&String::from_utf8_lossy(&some));
    }
    assert!(text.contains("event: close") && text.contains(r#""reason":"revoked""#), "{text}");
    let close = socketio.hears("close").await;
    assert_eq!((&close[0]["reason"], &close[0]["message"]), (&json!("revoked"), &json!(reason)));
    assert_eq!(socketio.text().await, "41", "what npm's client takes for the last word");
    socketio.closed().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(other.ask(&json!({ "type": "ping" }), "pong").await["type"], "pong", "this one is somebody else");
    world.until_connected(1).await;
}

#[tokio::test]
async fn a_user_is_disconnected_everywhere() {
    check("/v1/admin/disconnect", json!({ "user": "anna", "reason": "the lease is over" }), "the lease is over").await;
}

#[tokio::test]
async fn whose_tokens_are_taken_back_is_disconnected_everywhere() {
    check("/v1/admin/revoke", json!({ "user": "anna" }), "the right to be connected was taken back").await;
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_good_for_nothing() {
    let world = World::new().await;
    let anna = token("anna");
    let status = async |token: &str| {
        world.get("/v1/tables").header("authorization", bearer(token).1).send().await.expect("an answer").status()
    };
    assert_eq!(status(&anna).await, 200);
    assert_eq!(administer(&world, "/v1/admin/revoke", json!({ "user": "anna" })).await["closed"], 0);
    assert_eq!(status(&anna).await, 401);
    assert_eq!(status(&token("bert")).await, 200);
    let mut client = world.socket("/v1/ws", &[]).await.expect("a socket");
    client.hears("hello").await;
    let refused = client.ask(&json!({ "type": "auth", "token": anna }), "authenticated").await;
    assert_eq!((&refused["code"], &refused["message"]), (&json!("unauthenticated"), &json!("the token was revoked")));
}

#[tokio::test]
async fn a_client_that_does_not_listen_is_cut() {
    let world = World::new().await;
    // It reads nothing from here on, and answers no goodbye.
    let _deaf = world.client(&token("anna")).await;
    let begun = Instant::now();
    assert_eq!(administer(&world, "/v1/admin/disconnect", json!({ "user": "anna" })).await["closed"], 1);
    world.until_connected(0).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn one_session_is_put_out_by_its_number() {
    let world = World::new().await;
    let mut stays = world.client(&token("anna")).await;
    let mut goes = world.client(&token("anna")).await;
    let id = world.gateway.status()["sessions"][1]["id"].clone();
    assert_eq!(administer(&world, "/v1/admin/disconnect", json!({ "session": id })).await["closed"], 1);
    assert_eq!(goes.read_to_end().await.1, Some(4403));
    assert_eq!(stays.ask(&json!({ "type": "ping" }), "pong").await["type"], "pong");
    assert_eq!(administer(&world, "/v1/admin/disconnect", json!({ "user": "nobody" })).await["closed"], 0);
    assert_eq!(
        administer(&world, "/v1/admin/disconnect", json!({ "user": "anna", "tenant": "other" })).await["closed"],
        0
    );
}

#[tokio::test]
async fn what_an_operator_says_has_to_make_sense() {
    let world = World::new().await;
    let wrong = [
        ("/v1/admin/disconnect", json!({}), "it is not said who is to be disconnected"),
        ("/v1/admin/disconnect", json!({ "user": "a", "reason": "x".repeat(201) }), "`reason` has at most"),
        ("/v1/admin/disconnect", json!({ "usr": "a" }), "unknown field"),
        ("/v1/admin/revoke", json!({ "user": "a", "before": 99_999_999_999_u64 }), "lies in the future"),
    ];
    for (path, body, part) in wrong {
        let request = world.post(path, &body).header("authorization", bearer(&token("admin")).1);
        let answer: Json = request.send().await.expect("an answer").json().await.expect("JSON");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(part), "{body}: {message}");
    }
}
