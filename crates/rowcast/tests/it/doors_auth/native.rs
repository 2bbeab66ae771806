//! `auth` on a native WebSocket: what is said before it, after it, and while it is looked at.

use std::time::Duration;

use rowcast::gateway::Limits;
use serde_json::json;

use super::world::{AUDIENCE, SECRET, Wish, World, bearer, now, sign, token, token_for};
use crate::socketio::client::World as OpenWorld;

const SUBSCRIBE: &str = "subscribe";

fn follow() -> serde_json::Value {
    json!({ "type": SUBSCRIBE, "id": "a", "channel": "table:Data", "snapshot": false })
}

#[tokio::test]
async fn nothing_is_done_for_a_client_before_it_has_said_who_it_is() {
    let wish =
        Wish { limits: Limits { handshake: Duration::from_millis(400), ..Limits::default() }, ..Wish::default() };
    let world = World::with(wish).await;
    let mut client = world.socket("/v1/ws", &[]).await.expect("a socket");
    client.hears("hello").await;
    let asked = [
        (follow(), "id", "a"),
        (json!({ "type": "unsubscribe", "id": "a" }), "id", "a"),
        (json!({ "type": "publish", "channel": "room:x", "event": "e", "data": 1, "ref": "r" }), "ref", "r"),
        (json!({ "type": "insert", "table": "Data", "rows": [{ "time": "1", "speed": "1" }], "ref": "r" }), "ref", "r"),
        (json!({ "type": "ping", "ref": "r" }), "ref", "r"),
    ];
    for (message, name, value) in asked {
        let answer = client.ask(&message, "error").await;
        assert_eq!((&answer["code"], &answer[name]), (&json!("unauthenticated"), &json!(value)), "{message}");
    }
    let (said, code) = client.read_to_end().await;
    assert_eq!(code, Some(4401));
    let close = said.last().expect("a last word");
    assert_eq!((&close["type"], &close["reason"]), (&json!("close"), &json!("unauthenticated")));
    world.until_connected(0).await;
}

#[tokio::test]
async fn what_follows_auth_is_judged_by_it() {
    let world = World::new().await;
    for _ in 0..20 {
        let mut client = world.socket("/v1/ws", &[]).await.expect("a socket");
        // All at once: the answers have to be those of a client that is known.
        client.say(&json!({ "type": "auth", "token": token("anna"), "ref": "1" })).await;
        client.say(&follow()).await;
        client.say(&json!({ "type": "ping", "ref": "2" })).await;
        client.hears("hello").await;
        let authenticated = client.next().await;
        assert_eq!(
            (&authenticated["type"], &authenticated["user"], &authenticated["ref"]),
            (&json!("authenticated"), &json!("anna"), &json!("1"))
        );
        assert!(authenticated["expires_ms"].as_u64().expect("a time") > 1_700_000_000_000);
        let mut answers = [client.next().await, client.next().await].map(|answer| answer["type"].clone());
        answers.sort_by_key(|kind| kind.to_string());
        assert_eq!(answers, [json!("pong"), json!("subscribed")]);
    }
}

#[tokio::test]
async fn a_newer_token_loses_no_event() {
    const ROWS: u32 = 300;
    let world = World::new().await;
    let mut client = world.client(&token("anna")).await;
    assert_eq!(client.ask(&follow(), "subscribed").await["type"], "subscribed");
    let (mut seen, mut renewed) = (Vec::new(), 0);
    for n in 0..ROWS {
        world.insert(n);
        if n % 10 == 0 {
            client.say(&json!({ "type": "auth", "token": token_for("anna", 600 + u64::from(n)) })).await;
        }
    }
    while seen.len() < ROWS as usize || renewed < ROWS / 10 {
        let message = client.next().await;
        match message["type"].as_str().expect("a type") {
            "change" => seen.push(message["row"]["speed"].as_str().expect("a speed").parse::<u32>().expect("a number")),
            "authenticated" => renewed += 1,
            "position" | "commit" => {}
            other => panic!("{other}: {message}"),
        }
    }
    assert_eq!(seen, (0..ROWS).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_tries_one_token_after_the_other_is_closed() {
    let world = World::with(Wish { limits: Limits { bad_messages: 5, ..Limits::default() }, ..Wish::default() }).await;
    let mut client = world.client(&token("anna")).await;
    for n in 0..6 {
        client.say(&json!({ "type": "auth", "token": format!("a.b.{n}") })).await;
    }
    let (said, code) = client.read_to_end().await;
    assert_eq!((said.len(), code), (6, Some(1008)), "{said:?}");
}

#[tokio::test]
async fn a_gateway_that_asks_nobody_is_content_with_any_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = OpenWorld::start(folder.path(), rowcast::socketio::Settings::default()).await;
    let mut client = crate::socketio::client::Client::connect(world.served.address).await;
    let (answer, _) = client.ask("auth", json!({ "token": "whatever", "ref": "mine" })).await;
    assert_eq!(answer, json!({ "type": "authenticated", "ref": "mine" }));
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_back_hears_whether_it_is_known_as_before() {
    let world = World::new().await;
    let token = |role: &str, life: u64| {
        sign(&json!({ "sub": "anna", "aud": AUDIENCE, "iat": now() - 5, "exp": now() + life, "role": role }), SECRET)
    };
    let hello = async |token: &str| {
        let mut socket = world.socket("/v1/ws", &[bearer(token)]).await.expect("a socket");
        socket.hears("hello").await["claims"].clone()
    };
    let clerk = hello(&token("clerk", 3600)).await;
    assert!(clerk.is_string(), "{clerk}");
    assert_eq!(hello(&token("clerk", 1800)).await, clerk, "a newer token that says the same");
    assert_ne!(hello(&token("chief", 3600)).await, clerk);

    let mut late = world.socket("/v1/ws", &[]).await.expect("a socket");
    assert!(late.hears("hello").await.get("claims").is_none(), "nobody has said who it is");
    late.say(&json!({ "type": "auth", "token": token("clerk", 900) })).await;
    assert_eq!(late.hears("authenticated").await["claims"], clerk);

    let asked = world.get("/v1/whoami").header("authorization", bearer(&token("clerk", 60)).1);
    let who: serde_json::Value = asked.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(who["claims"], clerk);
}
