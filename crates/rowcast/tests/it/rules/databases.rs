//! The same rules over each database, by each way of capture.

use rowcast::auth::Auth;
use rowcast::auth::rules::RuleSpec;
use rowcast::gateway::Database;
use rowcast::mysql::{self, MysqlSettings};
use rowcast::postgres::{Capture, Identity, PostgresSettings};
use rowcast::protocol::ServerMessage;
use rowcast::source::sqlite::SqliteSettings;
use serde_json::json;

use super::world::{World, auth, identity, read};

/// The keys alone say nothing of owners and rooms.
const SCHEMA: &[&str] = &[
    "CREATE TABLE tasks (id int PRIMARY KEY, room varchar(20), owner varchar(20), open boolean, note varchar(20))",
    "CREATE TABLE members (id int PRIMARY KEY, user_id varchar(20), room varchar(20))",
    "INSERT INTO members VALUES (1, 'ada', 'x'), (2, 'ada', 'y'), (3, 'bob', 'x')",
    "INSERT INTO tasks VALUES (1, 'x', 'ada', true, 'a'), (2, 'x', 'bob', false, 'b'), (3, 'z', 'eve', true, 'c')",
];

fn rules() -> Auth {
    let rule = RuleSpec {
        columns: Some(["id", "room", "owner"].map(str::to_owned).to_vec()),
        insert: Some("owner = claims.sub and room in (select room from members where user_id = claims.sub)".into()),
        ..read(
            "tasks",
            "room in (select room from members where user_id = claims.sub) and (open or owner = claims.sub)",
        )
    };
    auth(vec![rule], None)
}

/// Rows that come, go and are hidden; a membership that ends; what may be inserted.
async fn story(world: &World, run: impl AsyncFn(&str)) {
    let mut ada = world.client(&identity(json!({ "sub": "ada" })));
    let mut bob = world.client(&identity(json!({ "sub": "bob" })));
    let mut eve = world.client(&identity(json!({ "sub": "eve" })));
    for (client, rows) in [(&mut ada, "1 rows"), (&mut bob, "2 rows"), (&mut eve, "0 rows")] {
        client.subscribe("table:tasks", json!({ "old": true }));
        client.hears(&[rows, "subscribed"]).await;
    }
    run("UPDATE tasks SET open = true WHERE id = 2").await;
    let opened = serde_json::to_string(&ada.next().await).expect("JSON");
    assert!(opened.contains("\"op\":\"insert\"") && !opened.contains("\"old\""), "{opened}");
    bob.hears(&["update 2"]).await;
    run("UPDATE tasks SET open = false WHERE id = 2").await;
    ada.hears(&["delete 2"]).await;
    bob.hears(&["update 2"]).await;
    // Of what they may not see they hear nothing, whatever becomes of it.
    run("UPDATE tasks SET note = 'n' WHERE id = 3").await;
    run("DELETE FROM tasks WHERE id = 3").await;
    run("DELETE FROM tasks WHERE id = 1").await;
    ada.hears(&["delete 1"]).await;
    bob.hears(&["delete 1"]).await;
    ada.say(&json!({ "type": "insert", "table": "tasks", "rows": [
        { "id": 4, "room": "y", "owner": "ada", "open": false },
        { "id": 5, "room": "y", "owner": "bob", "open": true },
        { "id": 6, "room": "z", "owner": "ada", "open": true }
    ] }));
    let mut heard = [ada.next().await, ada.next().await];
    heard.sort_by_key(ServerMessage::kind);
    match &heard[..] {
        [ServerMessage::Change { op, key, .. }, ServerMessage::Inserted { count: 1, rejected, .. }] => {
            assert_eq!((op.as_str(), key[0].as_i64(), rejected.len()), ("insert", Some(4), 2), "{rejected:?}");
        }
        other => panic!("{other:?}"),
    }
    run("DELETE FROM members WHERE id = 2").await;
    ada.hears(&["revoked", "0 rows", "subscribed"]).await;
    run("UPDATE tasks SET note = 'unseen' WHERE id = 4").await;
    run("INSERT INTO members VALUES (4, 'eve', 'x')").await;
    eve.hears(&["gap", "0 rows", "subscribed"]).await;
    run("UPDATE tasks SET open = true WHERE id = 2").await;
    for client in [&mut ada, &mut eve] {
        client.hears(&["insert 2"]).await;
        client.hears_nothing().await;
    }
    bob.hears(&["update 2"]).await;
    bob.hears_nothing().await;
}

async fn on_postgres(capture: Capture) {
    let database = servers::Database::new().await.expect("a database");
    for sql in SCHEMA {
        database.run(sql).await;
    }
    let (slot, publication) = (database.name.clone(), database.name.clone());
    let settings = PostgresSettings { slot, publication, capture, ..PostgresSettings::default() };
    let address = database.url().parse().expect("an address");
    let world = World::over(Database::postgres("shop", address, settings), rules()).await.expect("started");
    story(&world, async |sql: &str| database.run(sql).await).await;
}

#[tokio::test]
async fn rules_hold_over_the_write_ahead_log() {
    on_postgres(Capture::Wal).await;
}

#[tokio::test]
async fn rules_hold_over_the_outbox_of_postgres() {
    on_postgres(Capture::Outbox).await;
}

async fn on_mysql(capture: mysql::Capture) {
    let database = servers::MysqlDatabase::new().await.expect("a database");
    for sql in SCHEMA {
        database.run(sql).await;
    }
    let settings = MysqlSettings { capture, instance: database.name.clone(), ..MysqlSettings::default() };
    let address = mysql::Address::parse(&database.url()).expect("an address");
    let world = World::over(Database::mysql("shop", address, settings), rules()).await.expect("started");
    story(&world, async |sql: &str| database.run(sql).await).await;
}

#[tokio::test]
async fn rules_hold_over_the_binlog() {
    on_mysql(mysql::Capture::Binlog).await;
}

#[tokio::test]
async fn rules_hold_over_the_outbox_of_mysql() {
    on_mysql(mysql::Capture::Outbox).await;
}

#[tokio::test]
async fn rules_hold_over_sqlite() {
    let world = World::new(&SCHEMA.join(";"), rules()).await;
    story(&world, async |sql: &str| world.run(sql)).await;
}

#[tokio::test]
async fn where_the_old_row_is_not_known_nobody_hears_of_it() {
    let database = servers::Database::new().await.expect("a database");
    for sql in SCHEMA {
        database.run(sql).await;
    }
    let (slot, publication) = (database.name.clone(), database.name.clone());
    let identity_of = Identity::Leave;
    let settings = PostgresSettings { slot, publication, identity: identity_of, ..PostgresSettings::default() };
    let address = database.url().parse().expect("an address");
    let world = World::over(Database::postgres("shop", address, settings), rules()).await.expect("started");
    let mut eve = world.client(&identity(json!({ "sub": "eve" })));
    eve.subscribe("table:tasks", json!({}));
    eve.hears(&["0 rows", "subscribed"]).await;
    database.run("DELETE FROM tasks WHERE id = 1").await;
    database.run("UPDATE tasks SET note = 'x' WHERE id = 2").await;
    database.run("INSERT INTO members VALUES (4, 'eve', 'z')").await;
    eve.hears(&["gap", "1 rows", "subscribed"]).await;
}

#[tokio::test]
async fn a_table_that_rules_read_has_to_be_captured() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = SqliteSettings { exclude: vec!["mem*".into()], ..SqliteSettings::default() };
    let database = Database::sqlite("world", folder.path().join("world.db"), settings);
    let error = World::over(database, rules()).await.err().expect("refused").to_string();
    assert!(error.contains("`members`") && error.contains("database.exclude"), "{error}");
}
