//! Row-level security as the rule: what a client is told is what PostgreSQL lets its role see.

mod change;
mod changing;
mod doors;
mod history;
mod start;
mod world;

use serde_json::json;

use super::world::identity;
use rowcast::postgres::Capture;
use world::{Stage, messages};

/// Two users, a third who sees nothing, and what becomes of rows that they see and do not.
async fn story(capture: Capture) {
    let stage = Stage::new().await;
    let world = stage.gateway(capture, vec![messages(&stage.role)]).await;
    let mut ada = world.client(&identity(json!({ "sub": "ada", "tenant": "a", "exp": 1 })));
    let mut bob = world.client(&identity(json!({ "sub": "bob", "tenant": "a" })));
    let mut eve = world.client(&identity(json!({ "sub": "eve", "tenant": "b" })));
    let mut nobody = world.client(&identity(json!({})));
    for (client, rows) in [(&mut ada, "2 rows"), (&mut bob, "2 rows"), (&mut eve, "0 rows"), (&mut nobody, "0 rows")] {
        client.subscribe("table:messages", json!({ "old": true }));
        client.hears(&[rows, "subscribed"]).await;
    }
    // Seen by who is in the room, by who has written it, and by nobody else.
    stage.run("INSERT INTO messages VALUES (10, 1, 'a', 'bob', 'to all in 1', 's')").await;
    ada.hears(&["insert 10"]).await;
    bob.hears(&["insert 10"]).await;
    stage.run("INSERT INTO messages VALUES (11, 2, 'a', 'kim', 'to ada alone', 's')").await;
    ada.hears(&["insert 11"]).await;
    // Into the room that bob is in, too: new to him, and what it was before is not told.
    stage.run("UPDATE messages SET room = 1 WHERE id = 11").await;
    ada.hears(&["update 11"]).await;
    let told = serde_json::to_string(&bob.next().await).expect("JSON");
    assert!(told.contains("\"op\":\"insert\"") && told.contains("\"cause\":\"update\""), "{told}");
    assert!(!told.contains("\"old\"") && !told.contains("secret"), "{told}");
    // What restricts takes away what others allow.
    stage.run("UPDATE messages SET tenant = 'b' WHERE id = 10").await;
    ada.hears(&["delete 10"]).await;
    bob.hears(&["delete 10"]).await;
    stage.run("DELETE FROM messages WHERE id IN (3, 10, 11)").await;
    ada.hears(&["delete 11"]).await;
    bob.hears(&["delete 11"]).await;
    // A membership ends in the midst of a transaction: nothing of it, and nothing after it, is told.
    stage
        .run(
            "BEGIN; INSERT INTO messages VALUES (20, 2, 'a', 'kim', 'x', 's'); DELETE FROM memberships WHERE id = 2; \
             INSERT INTO messages VALUES (21, 2, 'a', 'kim', 'y', 's'); COMMIT; \
             INSERT INTO messages VALUES (22, 2, 'a', 'kim', 'z', 's')",
        )
        .await;
    ada.hears(&["revoked", "2 rows", "subscribed"]).await;
    // One is added: what is there already is seen.
    stage.run("INSERT INTO memberships VALUES (9, 'bob', 2)").await;
    bob.hears(&["revoked", "5 rows", "subscribed"]).await;
    stage.run("INSERT INTO messages VALUES (23, 2, 'a', 'ada', 'by ada', 's')").await;
    for client in [&mut ada, &mut bob] {
        client.hears(&["insert 23"]).await;
        client.hears_nothing().await;
    }
    for client in [&mut eve, &mut nobody] {
        client.hears_nothing().await;
    }
}

#[tokio::test]
async fn policies_decide_over_the_write_ahead_log() {
    Box::pin(story(Capture::Wal)).await;
}

#[tokio::test]
async fn policies_decide_over_the_outbox() {
    Box::pin(story(Capture::Outbox)).await;
}

#[tokio::test]
async fn an_idle_client_is_told_how_far_everything_is() {
    let stage = Stage::new().await;
    let world = stage.gateway(Capture::Wal, vec![messages(&stage.role)]).await;
    let mut eve = world.client(&identity(json!({ "sub": "eve", "tenant": "b" })));
    eve.subscribe("table:messages", json!({}));
    eve.hears(&["0 rows", "subscribed"]).await;
    let before = world.node.hub.dispatched();
    stage.run("INSERT INTO messages VALUES (10, 1, 'a', 'bob', 'b', 's')").await;
    loop {
        let message = eve.any().await;
        let rowcast::protocol::ServerMessage::Position { position } = message else { panic!("{message:?}") };
        if position.parse::<rowcast::event::Position>().expect("a position") > before {
            return;
        }
    }
}

#[tokio::test]
async fn a_client_comes_back_where_it_was_while_policies_stay_the_same() {
    let stage = Stage::new().await;
    let world = stage.gateway(Capture::Wal, vec![messages(&stage.role)]).await;
    let who = identity(json!({ "sub": "ada", "tenant": "a" }));
    let mut ada = world.client(&who);
    ada.subscribe("table:messages", json!({}));
    ada.hears(&["2 rows", "subscribed"]).await;
    stage.run("INSERT INTO messages VALUES (10, 1, 'a', 'bob', 'b', 's')").await;
    ada.hears(&["insert 10"]).await;
    let position = ada.session.position().to_string();
    drop(ada);
    stage.run("INSERT INTO messages VALUES (11, 1, 'a', 'bob', 'b', 's'), (12, 3, 'a', 'bob', 'b', 's')").await;
    stage.run("DELETE FROM messages WHERE id = 11").await;
    let mut again = world.client(&who);
    again.subscribe("table:messages", json!({ "since": position }));
    again.hears(&["subscribed", "insert 11", "delete 11"]).await;
    drop(again);
    // What happened to the policies while it was away no log says: it begins anew.
    stage.run("ALTER POLICY of_members ON messages USING (false)").await;
    let mut other = world.client(&who);
    other.subscribe("table:messages", json!({}));
    stage.until_told(&mut other).await;
    let mut again = world.client(&who);
    again.subscribe("table:messages", json!({ "since": position }));
    again.hears(&["revoked", "1 rows", "subscribed"]).await;
}
