//! What may be inserted.

use rowcast::auth::rules::RuleSpec;
use rowcast::protocol::{Code, ServerMessage};
use serde_json::{Value as Json, json};

use super::world::{Client, World, auth, identity, read};

const SCHEMA: &str = "
    CREATE TABLE messages (id INTEGER PRIMARY KEY, room INTEGER, author TEXT, tenant TEXT);
    CREATE TABLE memberships (user TEXT, room INTEGER);
    CREATE TABLE secrets (id INTEGER PRIMARY KEY);
    INSERT INTO memberships VALUES ('ada', 1);";

async fn inserts(client: &mut Client, rows: Json) -> (u64, Vec<String>) {
    client.say(&json!({ "type": "insert", "table": "messages", "rows": rows }));
    match client.next().await {
        ServerMessage::Inserted { count, rejected, .. } => (count, rejected.into_iter().map(|r| r.reason).collect()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn rows_are_inserted_as_far_as_the_rule_allows_them() {
    let rule = RuleSpec {
        insert: Some("author = claims.sub and room in (select room from memberships where user = claims.sub)".into()),
        ..read("messages", "room in (select room from memberships where user = claims.sub)")
    };
    let world = World::new(SCHEMA, auth(vec![rule, read("secrets", "false")], Some("tenant"))).await;
    // `memberships` has no rule, and no tenant's column: it is read for others, and by nobody.
    let mut ada = world.client(&identity(json!({ "sub": "ada", "tenant": "a" })));
    let own = json!({ "room": 1, "author": "ada", "tenant": "a" });
    let others = [
        json!({ "room": 1, "author": "bob", "tenant": "a" }),
        json!({ "room": 2, "author": "ada", "tenant": "a" }),
        json!({ "room": 1, "author": "ada", "tenant": "b" }),
        json!({ "room": 1, "author": "ada" }),
        json!({ "room": 1, "tenant": "a" }),
    ];
    let mut rows = others.to_vec();
    rows.insert(2, own.clone());
    let (count, refused) = inserts(&mut ada, rows.into()).await;
    assert_eq!((count, refused.len()), (1, 5), "{refused:?}");
    assert!(refused.iter().all(|reason| reason.contains("may not insert")), "{refused:?}");
    let stands: i64 =
        world.database().query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).expect("counted");
    assert_eq!(stands, 1);
    for (table, code) in
        [("secrets", Code::Forbidden), ("memberships", Code::UnknownTable), ("nope", Code::UnknownTable)]
    {
        ada.say(&json!({ "type": "insert", "table": table, "rows": [{ "id": 1 }] }));
        let message = ada.refused(code).await;
        assert!(message.contains(table), "{message}");
    }
    world.run("DELETE FROM memberships");
    let head = world.node.log.head();
    while world.node.hub.dispatched() < head {
        tokio::task::yield_now().await;
    }
    // As soon as the log has heard of it.
    loop {
        let (count, _) = inserts(&mut ada, json!([own])).await;
        if count == 0 {
            break;
        }
    }
}
