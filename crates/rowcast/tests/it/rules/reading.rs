//! What may be read of a table, by every way there is to read it.

use rowcast::auth::rules::RuleSpec;
use rowcast::protocol::{Code, ServerMessage};
use serde_json::json;

use super::world::{World, auth, channel, identity, read};

const SCHEMA: &str = "
    CREATE TABLE tasks (id INTEGER PRIMARY KEY, tenant_id TEXT, owner TEXT, public INTEGER, title TEXT, salary INTEGER);
    CREATE TABLE secrets (id INTEGER PRIMARY KEY, tenant_id TEXT, text TEXT);
    INSERT INTO tasks VALUES (1, 'a', 'ada', 0, 'mine', 10), (2, 'a', 'bob', 0, 'his', 20), (3, 'a', 'bob', 1, 'ours', 30),
        (4, 'b', 'eve', 1, 'theirs', 40);";

fn tasks() -> RuleSpec {
    RuleSpec {
        columns: Some(["id", "owner", "title", "public"].map(str::to_owned).to_vec()),
        ..read("tasks", "tenant_id = claims.tenant and (owner = claims.sub or public)")
    }
}

#[tokio::test]
async fn rows_come_and_go_as_the_rule_says() {
    let world = World::new(SCHEMA, auth(vec![tasks()], None)).await;
    let mut ada = world.client(&identity(json!({ "sub": "ada", "tenant": "a" })));
    ada.subscribe("table:tasks", json!({ "old": true }));
    ada.hears(&["2 rows", "subscribed"]).await;
    world.run("UPDATE tasks SET title = 'x' WHERE id IN (2, 4)");
    world.run("UPDATE tasks SET title = 'y' WHERE id = 1");
    ada.hears(&["update 1"]).await;
    // A row that becomes visible is new, and what it was before is not told.
    world.run("UPDATE tasks SET public = 1 WHERE id = 2");
    let message = ada.next().await;
    let text = serde_json::to_string(&message).expect("JSON");
    assert!(text.contains("\"op\":\"insert\"") && text.contains("\"cause\":\"update\""), "{text}");
    assert!(!text.contains("\"old\"") && !text.contains("salary"), "{text}");
    world.run(
        "DELETE FROM tasks WHERE id = 4; UPDATE tasks SET tenant_id = 'b' WHERE id = 3; DELETE FROM tasks WHERE id = 2",
    );
    ada.hears(&["delete 3", "delete 2"]).await;
    ada.hears_nothing().await;
}

#[tokio::test]
async fn what_no_rule_allows_is_as_if_it_were_not_there() {
    let world = World::new(SCHEMA, auth(vec![tasks()], None)).await;
    let mut ada = world.client(&identity(json!({ "sub": "ada", "tenant": "a" })));
    ada.subscribe("table:secrets", json!({}));
    let secret = ada.refused(Code::UnknownTable).await;
    ada.subscribe("table:missing", json!({}));
    assert_eq!(ada.refused(Code::UnknownTable).await, secret.replace("secrets", "missing"));
    // Not even by how the name is written.
    ada.subscribe("table:SECRETS", json!({}));
    assert_eq!(ada.refused(Code::UnknownTable).await, secret.replace("secrets", "SECRETS"));
    for filter in ["salary > 5", "tenant_id = 'a'"] {
        ada.subscribe("table:tasks", json!({ "where": filter }));
        let message = ada.refused(Code::BadFilter).await;
        assert!(message.contains("no column"), "{message}");
    }
    ada.subscribe("table:tasks", json!({ "columns": ["id", "salary"] }));
    ada.refused(Code::UnknownColumn).await;
    ada.subscribe("table:tasks", json!({ "snapshot": { "order_by": "salary" } }));
    ada.refused(Code::UnknownColumn).await;
    ada.subscribe("table:tasks", json!({ "where": "id in (select id from secrets)" }));
    ada.refused(Code::BadFilter).await;
    for channel in ["room:lobby", "event:x", "notify:n"] {
        ada.subscribe(channel, json!({}));
        let message = ada.next().await;
        assert_eq!(message.kind(), "error", "{channel}: {message:?}");
    }
}

#[tokio::test]
async fn the_first_rule_that_holds_decides_for_each_role() {
    let admin = RuleSpec { when: Some("claims.role = 'admin'".into()), ..read("tasks", "tenant_id = claims.tenant") };
    let world = World::new(SCHEMA, auth(vec![admin, tasks()], None)).await;
    for (claims, rows) in [
        (json!({ "sub": "ada", "tenant": "a", "role": "admin" }), "3 rows"),
        (json!({ "sub": "ada", "tenant": "a" }), "2 rows"),
        (json!({ "sub": "ada", "tenant": "b" }), "1 rows"),
        (json!({ "sub": "ada" }), "0 rows"),
        (json!({ "sub": "ada", "tenant": null }), "0 rows"),
    ] {
        let mut client = world.client(&identity(claims));
        client.subscribe("table:tasks", json!({}));
        client.hears(&[rows, "subscribed"]).await;
    }
}

#[tokio::test]
async fn the_tenants_column_is_part_of_every_rule() {
    let all = RuleSpec { shared: true, ..read("tasks", "true") };
    let world = World::new(SCHEMA, auth(vec![read("tasks", "true"), read("secrets", "true")], Some("tenant_id"))).await;
    let mut eve = world.client(&identity(json!({ "sub": "eve", "tenant": "b" })));
    eve.subscribe("table:tasks", json!({ "where": "true or id > 0" }));
    eve.hears(&["1 rows", "subscribed"]).await;
    world.run("UPDATE tasks SET title = 'x'; INSERT INTO secrets VALUES (1, 'a', 'x'), (2, 'b', 'y')");
    eve.hears(&["update 4"]).await;
    let world = World::new(SCHEMA, auth(vec![all], Some("tenant_id"))).await;
    let mut eve = world.client(&identity(json!({ "sub": "eve", "tenant": "b" })));
    eve.subscribe("table:tasks", json!({}));
    eve.hears(&["4 rows", "subscribed"]).await;
}

#[tokio::test]
async fn a_channel_is_for_those_whom_its_rule_names() {
    let rule = RuleSpec {
        subscribe: Some("room in claims.rooms".into()),
        publish: Some("room = claims.speaks_in".into()),
        ..channel("room:{room}")
    };
    let world = World::new(SCHEMA, auth(vec![rule], None)).await;
    let mut ada = world.client(&identity(json!({ "sub": "ada", "rooms": ["hall"], "speaks_in": "hall" })));
    ada.subscribe("room:hall", json!({}));
    ada.hears(&["subscribed"]).await;
    let mut bob = world.client(&identity(json!({ "sub": "bob", "rooms": ["attic"] })));
    bob.subscribe("room:hall", json!({}));
    bob.refused(Code::Forbidden).await;
    bob.say(&json!({ "type": "publish", "channel": "room:hall", "event": "e", "data": 1 }));
    bob.refused(Code::Forbidden).await;
    ada.say(&json!({ "type": "publish", "channel": "room:hall", "event": "e", "data": 2 }));
    let mut heard = vec![ada.next().await.kind(), ada.next().await.kind()];
    heard.sort_unstable();
    assert_eq!(heard, ["message", "published"]);
    ada.say(&json!({ "type": "publish", "channel": "room:attic", "event": "e", "data": 3 }));
    ada.refused(Code::Forbidden).await;
}

/// The way to the present was found by what was allowed before, and has been found a moment before it is taken.
#[tokio::test]
async fn what_was_begun_under_another_token_is_not_gone_on_with() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, part TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')";
    let world = World::new(schema, auth(vec![read("t", "part = claims.part")], None)).await;
    for turns in 0..40 {
        let mut ada = world.client(&identity(json!({ "sub": "ada", "part": "a" })));
        ada.subscribe("table:t", json!({ "columns": ["id", "part"] }));
        ada.hears(&["1 rows", "subscribed"]).await;
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        ada.session.become_known(identity(json!({ "sub": "ada", "part": "b" }))).expect("the same user");
        ada.hears(&["revoked", "1 rows", "subscribed"]).await;
        let (hidden, shown) = (1_000 + 2 * turns, 1_001 + 2 * turns);
        world.run(&format!("INSERT INTO t VALUES ({hidden}, 'a'); INSERT INTO t VALUES ({shown}, 'b')"));
        // The snapshot may be an earlier client's, and what came after it is told, too.
        loop {
            let ServerMessage::Change { op, row, .. } = ada.next().await else { panic!("a change") };
            assert!(op != "insert" || row["part"] == "b", "{row}");
            if row["id"] == shown {
                break;
            }
        }
        world.run("DELETE FROM t WHERE id >= 1000");
    }
}
