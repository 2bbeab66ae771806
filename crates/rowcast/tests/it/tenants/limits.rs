//! What tenants, users and addresses may have: each limit on each transport, what is said about it, and that it is given back.

use std::collections::BTreeMap;
use std::time::Duration;

use rowcast::gateway::{Allowance, Allowances, Proxies, Rate};
use serde_json::{Value as Json, json};

use super::world::{DEADLINE, World, token};

fn user(allowance: Allowance) -> Allowances {
    Allowances { user: allowance, ..Allowances::default() }
}

fn rate(per_second: f64, burst: f64) -> Option<Rate> {
    Some(Rate { per_second, burst })
}

/// Waits until somebody is let in again.
macro_rules! eventually {
    ($try:expr) => {
        tokio::time::timeout(DEADLINE, async {
            loop {
                match $try.await {
                    Ok(client) => break client,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        })
        .await
        .expect("room again")
    };
}

fn check_refused(refused: (u16, Option<String>, Json)) {
    let (status, retry, body) = refused;
    let error = &body["error"];
    assert_eq!((status, &error["code"]), (429, &json!("too_many_connections")), "{body}");
    assert_eq!(error["message"], "this user has its 2 connections");
    let retry_ms = error["retry_ms"].as_u64().expect("when to come back");
    assert_eq!(retry, Some(retry_ms.div_ceil(1_000).to_string()));
}

#[tokio::test]
async fn connections_of_every_kind_count_together_and_are_given_back_however_they_end() {
    let world = World::new(user(Allowance { connections: Some(2), ..Allowance::default() })).await;
    let ann = token("acme", "ann");
    let native = world.socket(&ann).await.expect("the first");
    let Ok(stream) = world.stream(&ann, "channel=room:a").await else { panic!("the second") };
    check_refused(world.socket(&ann).await.err().expect("no room"));
    check_refused(world.socketio(&ann).await.err().expect("no room"));
    let Err(response) = world.stream(&ann, "channel=room:a").await else { panic!("no room") };
    assert_eq!((response.status().as_u16(), response.headers().contains_key("retry-after")), (429, true));
    assert!(response.text().await.expect("a body").contains("this user has its 2 connections"));
    // Somebody else is not concerned, though his name be the same at another tenant.
    let other = world.socket(&token("globex", "ann")).await.expect("another user");

    native.close().await;
    let io = eventually!(world.socketio(&ann));
    check_refused(world.socket(&ann).await.err().expect("no room"));
    // Without a word.
    drop(io);
    let native = eventually!(world.socket(&ann));
    drop(stream);
    let io = eventually!(world.socketio(&ann));
    check_refused(world.socket(&ann).await.err().expect("no room"));
    // Put out by an operator.
    let body = json!({ "user": "ann", "tenant": "acme" }).to_string();
    let answer = world.post("/v1/admin/disconnect", &token("operators", "root"), "application/json", body).await;
    assert_eq!(answer.json::<Json>().await.expect("JSON"), json!({ "closed": 2 }));
    let (one, two) = (eventually!(world.socket(&ann)), eventually!(world.socketio(&ann)));
    drop((native, io, one, two, other));
    world.until_nobody().await;
    let refused = &world.gateway.status()["tenants"]["acme"]["refused"];
    assert!(refused["connections"].as_u64() >= Some(6), "{refused}");
    assert_eq!(world.gateway.status()["tenants"]["globex"]["refused"]["connections"], 0);
}

#[tokio::test]
async fn a_tenant_may_have_limits_of_its_own_and_addresses_are_those_behind_the_proxy() {
    let one = Allowance { connections: Some(1), ..Allowance::default() };
    let tenants = BTreeMap::from([("big".to_owned(), Allowance { connections: Some(3), ..Allowance::default() })]);
    let allowances = Allowances { tenant: one, tenants, ..Allowances::default() };
    let world = World::new(allowances).await;
    let _first = world.socket(&token("acme", "ann")).await.expect("the first");
    let (_, _, body) = world.socket(&token("acme", "bob")).await.err().expect("no room");
    assert_eq!(body["error"]["message"], "this tenant has its 1 connections");
    let mut big = Vec::new();
    for user in ["a", "b", "c"] {
        big.push(world.socket(&token("big", user)).await.expect("three"));
    }
    assert!(world.socket(&token("big", "d")).await.is_err());

    let proxies = Proxies::new(["127.0.0.0/8".parse().expect("a network")]);
    let allowances = Allowances { address: one, ..Allowances::default() };
    let world = World::behind(allowances, proxies).await;
    let _first = world.socket_from(&token("acme", "ann"), "2001:db8:1:2::3").await.expect("the first");
    let (_, _, body) =
        world.socket_from(&token("globex", "bob"), "2001:db8:1:2:ffff::1").await.err().expect("the same network");
    assert_eq!(body["error"]["message"], "this address has its 1 connections");
    world.socket_from(&token("acme", "ann"), "2001:db8:1:3::3").await.expect("another network");
    world.socket_from(&token("acme", "ann"), "1.1.1.1, 198.51.100.7").await.expect("another address");
}

#[tokio::test]
async fn subscriptions_count_on_all_connections() {
    let world = World::new(user(Allowance { subscriptions: Some(3), ..Allowance::default() })).await;
    let ann = token("acme", "ann");
    let (mut native, mut io) = (world.socket(&ann).await.expect("in"), world.socketio(&ann).await.expect("in"));
    for n in 0..2 {
        assert_eq!(native.subscribe(&n.to_string(), "room:a").await["type"], "subscribed");
    }
    io.send(format!("42{}", json!(["subscribe", { "id": "s", "channel": "room:a" }]))).await;
    assert_eq!(io.event(&["subscribed", "error"]).await.0, "subscribed");
    let refused = native.subscribe("more", "room:a").await;
    assert_eq!(refused["code"], "too_many_subscriptions", "{refused}");
    assert_eq!(refused["message"], "this user has its 3 subscriptions");
    let Err(response) = world.stream(&ann, "channel=room:a").await else { panic!("no room") };
    assert_eq!(response.status(), 429);
    // One that is given up, and one that fails, make room.
    native.say(&json!({ "type": "unsubscribe", "id": "0" })).await;
    native.hears(&["unsubscribed"]).await;
    assert_eq!(native.subscribe("gone", "table:nothing").await["type"], "error");
    assert_eq!(native.subscribe("again", "room:a").await["type"], "subscribed");
    drop((native, io));
    world.until_nobody().await;
    let mut native = world.socket(&ann).await.expect("in");
    for n in 0..3 {
        assert_eq!(native.subscribe(&n.to_string(), "room:a").await["type"], "subscribed");
    }
}

#[tokio::test]
async fn what_is_sent_too_fast_is_refused_and_taken_when_its_time_has_come() {
    let world = World::new(user(Allowance { messages: rate(10.0, 4.0), ..Allowance::default() })).await;
    let ann = token("acme", "ann");
    let publish = json!({ "type": "publish", "channel": "room:a", "event": "e", "data": 1, "ref": "r" });
    let mut native = world.socket(&ann).await.expect("in");
    let refused = loop {
        native.say(&publish).await;
        let answer = native.hears(&["published", "error"]).await;
        if answer["type"] == "error" {
            break answer;
        }
    };
    assert_eq!((&refused["code"], &refused["ref"]), (&json!("rate_limited"), &json!("r")), "{refused}");
    assert_eq!(refused["message"], "this user may send 10 messages a second");
    tokio::time::sleep(Duration::from_millis(refused["retry_ms"].as_u64().expect("when"))).await;
    native.say(&publish).await;
    assert_eq!(native.hears(&["published", "error"]).await["type"], "published");

    // The same account, by other doors.
    let response = loop {
        let response = world.publish(&ann, "room:a", &json!(1)).await;
        if response.status() != 200 {
            break response;
        }
    };
    let retry: u64 = response.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert_eq!((response.status().as_u16(), retry), (429, 1));
    let body: Json = response.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "rate_limited", "{body}");
    tokio::time::sleep(Duration::from_secs(retry)).await;
    assert_eq!(world.publish(&ann, "room:a", &json!(1)).await.status(), 200);
    let mut io = world.socketio(&ann).await.expect("in");
    let refused = loop {
        io.send(format!("42{}", json!(["publish", { "channel": "room:a", "event": "e", "data": 1 }]))).await;
        let (name, answer) = io.event(&["published", "error"]).await;
        if name == "error" {
            break answer;
        }
    };
    assert_eq!(refused["code"], "rate_limited", "{refused}");
    // An answer that is asked for says it, too.
    io.send(r#"427["publish",{"channel":"room:a","event":"e","data":1}]"#.into()).await;
    let answer = io.text().await;
    assert!(answer.starts_with("437[") && answer.contains("rate_limited"), "{answer}");
    assert_eq!(world.publish(&token("acme", "bob"), "room:a", &json!(1)).await.status(), 200);
}

#[tokio::test]
async fn who_does_not_stop_is_closed() {
    let world = World::new(user(Allowance { messages: rate(1.0, 2.0), ..Allowance::default() })).await;
    let ann = token("acme", "ann");
    let mut native = world.socket(&ann).await.expect("in");
    for _ in 0..60 {
        native.say(&json!({ "type": "ping" })).await;
    }
    let said = native.heard_to_end().await;
    let refused = said.iter().filter(|message| message["code"] == "rate_limited").count();
    let close = said.iter().find(|message| message["type"] == "close").expect("a goodbye");
    assert_eq!(close["reason"], "rate_limited", "{close}");
    assert!((10..40).contains(&refused), "{refused}");
}

#[tokio::test]
async fn rows_that_are_sent_count_as_messages() {
    let world = World::new(user(Allowance { messages: rate(20.0, 30.0), ..Allowance::default() })).await;
    let ann = token("acme", "ann");
    let rows = |count: usize| "{\"time\":\"1\",\"speed\":\"2\"}\n".repeat(count);
    let first = world.post("/v1/tables/Data", &ann, "application/x-ndjson", rows(40)).await;
    let report: Json = first.json().await.expect("JSON");
    assert_eq!(report["count"], 40, "{report}");
    let second = world.post("/v1/tables/Data", &ann, "application/x-ndjson", rows(1)).await;
    assert_eq!(second.status(), 429);
    let retry: u64 = second.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    tokio::time::sleep(Duration::from_secs(retry)).await;
    let third =
        world.post("/v1/tables/Data", &ann, "application/json", "[{\"time\":\"1\",\"speed\":\"2\"}]".into()).await;
    assert_eq!(third.status(), 200);
}

#[tokio::test]
async fn a_body_larger_than_the_burst_is_read_at_the_rate() {
    let world = World::new(user(Allowance { bytes: rate(40_000.0, 10_000.0), ..Allowance::default() })).await;
    let ann = token("acme", "ann");
    let start = std::time::Instant::now();
    let row = format!("{{\"time\":\"1\",\"speed\":\"2\"}}{}\n", " ".repeat(85));
    let taken = world.post("/v1/tables/Data", &ann, "application/x-ndjson", row.repeat(400)).await;
    assert_eq!(taken.status(), 200);
    assert!(start.elapsed() > Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(world.publish(&token("acme", "bob"), "room:a", &json!("x".repeat(60_000))).await.status(), 200);
}

#[tokio::test]
async fn rows_that_are_read_are_counted_on_every_door() {
    let world = World::new(user(Allowance { rows: rate(50.0, 100.0), ..Allowance::default() })).await;
    let ann = token("acme", "ann");
    world.insert(150);
    let mut native = world.socket(&ann).await.expect("in");
    native.say(&json!({ "type": "subscribe", "id": "t", "channel": "table:Data", "snapshot": true })).await;
    // One that has begun comes whole.
    assert_eq!(native.hears(&["subscribed", "error"]).await["type"], "subscribed");
    native.say(&json!({ "type": "subscribe", "id": "u", "channel": "table:Data", "snapshot": true })).await;
    let refused = native.hears(&["subscribed", "error"]).await;
    assert_eq!((&refused["code"], &refused["id"]), (&json!("rate_limited"), &json!("u")), "{refused}");
    assert_eq!(refused["message"], "this user may read 50 rows a second");
    let response = world.get("/v1/tables/Data", &ann).await;
    assert_eq!(response.status(), 429);
    let Err(stream) = world.stream(&ann, "channel=table:Data&snapshot=true").await else { panic!("too many rows") };
    assert_eq!(stream.status(), 429);
    // Changes cost nothing, and neither does somebody else.
    native.say(&json!({ "type": "subscribe", "id": "v", "channel": "table:Data", "snapshot": false })).await;
    assert_eq!(native.hears(&["subscribed", "error"]).await["type"], "subscribed");
    assert_eq!(world.get("/v1/tables/Data", &token("acme", "bob")).await.status(), 200);
    tokio::time::sleep(Duration::from_millis(refused["retry_ms"].as_u64().expect("when"))).await;
    assert_eq!(world.get("/v1/tables/Data?limit=1", &ann).await.status(), 200);
}
