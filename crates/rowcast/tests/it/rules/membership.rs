//! Rules that read another table: its changes take effect at their own place in the order.

use rowcast::auth::rules::RuleSpec;
use rowcast::protocol::Code;
use serde_json::json;

use super::world::{World, auth, channel, identity, read};

const SCHEMA: &str = "
    CREATE TABLE messages (id INTEGER PRIMARY KEY, room INTEGER, body TEXT);
    CREATE TABLE memberships (id INTEGER PRIMARY KEY, user TEXT, room INTEGER);
    INSERT INTO memberships VALUES (1, 'ada', 1), (2, 'ada', 2), (3, 'bob', 1);
    INSERT INTO messages VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c');";

const RULE: &str = "room in (select room from memberships where user = claims.sub)";

#[tokio::test]
async fn who_is_removed_hears_so_and_nothing_that_comes_after() {
    let world = World::new(SCHEMA, auth(vec![read("messages", RULE)], None)).await;
    let mut ada = world.client(&identity(json!({ "sub": "ada" })));
    let mut bob = world.client(&identity(json!({ "sub": "bob" })));
    for (client, rows) in [(&mut ada, "2 rows"), (&mut bob, "1 rows")] {
        client.subscribe("table:messages", json!({}));
        client.hears(&[rows, "subscribed"]).await;
    }
    world.run("INSERT INTO messages VALUES (4, 2, 'before')");
    // In one transaction: what it brings into the room is not for who leaves it there.
    world.run("BEGIN; INSERT INTO messages VALUES (5, 2, 'x'); DELETE FROM memberships WHERE id = 2; INSERT INTO messages VALUES (6, 2, 'y'); COMMIT");
    ada.hears(&["insert 4", "revoked", "1 rows", "subscribed"]).await;
    world.run("INSERT INTO messages VALUES (7, 2, 'after'), (8, 1, 'on')");
    ada.hears(&["insert 8"]).await;
    bob.hears(&["insert 8"]).await;
    ada.hears_nothing().await;
}

#[tokio::test]
async fn who_is_added_gets_the_rows_that_are_there() {
    let world = World::new(SCHEMA, auth(vec![read("messages", RULE)], None)).await;
    let mut ada = world.client(&identity(json!({ "sub": "ada" })));
    ada.subscribe("table:messages", json!({}));
    ada.hears(&["2 rows", "subscribed"]).await;
    world.run("INSERT INTO messages VALUES (4, 3, 'unseen'); INSERT INTO memberships VALUES (4, 'ada', 3)");
    ada.hears(&["gap", "4 rows", "subscribed"]).await;
    world.run("INSERT INTO messages VALUES (5, 3, 'seen'); UPDATE memberships SET room = 9 WHERE id = 3");
    ada.hears(&["insert 5"]).await;
    ada.hears_nothing().await;
}

#[tokio::test]
async fn a_removal_while_the_client_was_away_is_told_when_it_comes_back() {
    let world = World::new(SCHEMA, auth(vec![read("messages", RULE)], None)).await;
    let who = identity(json!({ "sub": "ada" }));
    let mut ada = world.client(&who);
    ada.subscribe("table:messages", json!({}));
    ada.hears(&["2 rows", "subscribed"]).await;
    let position = ada.session.position().to_string();
    drop(ada);
    world.run("INSERT INTO messages VALUES (4, 1, 'missed')");
    let mut again = world.client(&who);
    again.subscribe("table:messages", json!({ "since": position }));
    again.hears(&["subscribed", "insert 4"]).await;
    drop(again);
    world.run("INSERT INTO messages VALUES (5, 2, 'missed')");
    world.run("DELETE FROM memberships WHERE id = 2");
    world.run("INSERT INTO messages VALUES (6, 2, 'never')");
    let mut again = world.client(&who);
    again.subscribe("table:messages", json!({ "since": position }));
    again.hears(&["revoked", "2 rows", "subscribed"]).await;
    again.hears_nothing().await;
}

#[tokio::test]
async fn a_room_ends_for_who_is_no_member_any_more() {
    let rule = RuleSpec {
        subscribe: Some("room in (select room from memberships where user = claims.sub)".into()),
        publish: Some("room in (select room from memberships where user = claims.sub)".into()),
        ..channel("room:{room}")
    };
    let world = World::new(SCHEMA, auth(vec![rule], None)).await;
    let mut ada = world.client(&identity(json!({ "sub": "ada" })));
    ada.subscribe("room:2", json!({}));
    ada.hears(&["subscribed"]).await;
    let publish = json!({ "type": "publish", "channel": "room:2", "event": "e", "data": 1 });
    ada.say(&publish);
    let mut heard = vec![ada.next().await.kind(), ada.next().await.kind()];
    heard.sort_unstable();
    assert_eq!(heard, ["message", "published"]);
    world.run("DELETE FROM memberships WHERE id = 2");
    ada.hears(&["revoked"]).await;
    ada.refused(Code::Forbidden).await;
    ada.say(&publish);
    ada.refused(Code::Forbidden).await;
}

#[tokio::test]
async fn the_end_of_a_role_in_a_table_is_the_end_of_what_it_showed() {
    let schema = "CREATE TABLE admins (user TEXT PRIMARY KEY); INSERT INTO admins VALUES ('ada');
        CREATE TABLE logs (id INTEGER PRIMARY KEY, owner TEXT); INSERT INTO logs VALUES (1, 'ada'), (2, 'bob');";
    let rule = read("logs", "owner = claims.sub or claims.sub in (select user from admins)");
    let world = World::new(schema, auth(vec![rule], None)).await;
    let mut ada = world.client(&identity(json!({ "sub": "ada" })));
    ada.subscribe("table:logs", json!({}));
    ada.hears(&["2 rows", "subscribed"]).await;
    // Of others she hears nothing, and goes on.
    world.run("INSERT INTO admins VALUES ('bob'); INSERT INTO logs VALUES (4, 'eve')");
    ada.hears(&["insert 4"]).await;
    world.run("DELETE FROM admins WHERE user = 'bob'; DELETE FROM logs WHERE id = 4");
    ada.hears(&["delete 4"]).await;
    world.run("DELETE FROM admins WHERE user = 'ada'");
    ada.hears(&["revoked", "1 rows", "subscribed"]).await;
    world.run("INSERT INTO logs VALUES (3, 'bob')");
    ada.hears_nothing().await;
}

#[tokio::test]
async fn what_many_have_read_of_a_table_is_watched_for_each_of_them() {
    let world = World::new(SCHEMA, auth(vec![read("messages", RULE)], None)).await;
    let names: Vec<String> = (0..200).map(|n| format!("user{n}")).collect();
    let values: Vec<String> = names.iter().map(|name| format!("('{name}', 1)")).collect();
    world.run(&format!("INSERT INTO memberships (user, room) VALUES {}", values.join(", ")));
    let mut clients = Vec::new();
    for name in &names {
        let mut client = world.client(&identity(json!({ "sub": name })));
        client.subscribe("table:messages", json!({}));
        client.hears(&["1 rows", "subscribed"]).await;
        clients.push(client);
    }
    world.run("DELETE FROM memberships WHERE user LIKE 'user%'; INSERT INTO messages VALUES (9, 1, 'after')");
    for client in &mut clients {
        client.hears(&["revoked", "0 rows", "subscribed"]).await;
        client.hears_nothing().await;
    }
}
