//! The moment in which PostgreSQL's log has a commit that nobody can see: one that waits for a synchronous standby is sent to those who
//! read the log, and not shown to snapshots. Rules must not be judged by what is seen then.

use std::time::Duration;

use rowcast::event::{Body, Position};
use rowcast::gateway::Database;
use rowcast::postgres::PostgresSettings;
use rowcast::protocol::{Code, ServerMessage};
use serde_json::json;
use servers::Postgres;

use super::world::{World, auth, identity, read};

const SCHEMA: &[&str] = &[
    "CREATE TABLE tasks (id int PRIMARY KEY, room text)",
    "CREATE TABLE members (id int PRIMARY KEY, user_id text, room text)",
    "CREATE TABLE probe (id int)",
    "INSERT INTO members VALUES (1, 'ada', 'x'), (2, 'ada', 'y')",
    "INSERT INTO tasks VALUES (1, 'x'), (2, 'y')",
];

struct Moments {
    server: Postgres,
    database: servers::Database,
}

impl Moments {
    async fn waiting(&self) -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        let client = self.database.connect().await.expect("connected");
        client.query_one(sql, &[]).await.expect("an answer").get(0)
    }

    /// A commit that is begun, and waits for a standby that there is not.
    async fn commit(&self, sql: &'static str) {
        let waiting = self.waiting().await;
        let client = self.database.connect().await.expect("connected");
        tokio::spawn(async move { client.batch_execute(sql).await.expect(sql) });
        while self.waiting().await == waiting {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// From now on no commit is seen.
    async fn hold(&self) {
        self.database.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
        self.database.run("SELECT pg_reload_conf()").await;
        // The server takes it over a moment later: until then, commits go through.
        let client = self.database.connect().await.expect("connected");
        let probing = tokio::spawn(async move {
            while client.batch_execute("INSERT INTO probe VALUES (1)").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        while self.waiting().await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        probing.abort();
    }

    async fn release(&self) {
        self.database.run("ALTER SYSTEM RESET synchronous_standby_names").await;
        self.database.run("SELECT pg_reload_conf()").await;
    }
}

/// Whether the log has a change of the memberships after a position.
async fn has_removal(world: &World, after: Position) -> bool {
    let events = world.node.log.read(after, 1_000, 1 << 20).await.expect("it is kept");
    events.iter().any(|event| matches!(&event.change.body, Body::Row(change) if &*change.table.name.name == "members"))
}

#[tokio::test]
async fn a_removal_that_is_in_the_log_and_not_to_be_seen_yet_holds_for_who_comes_then() {
    let server = Postgres::start().expect("a server");
    let database = server.database().await.expect("a database");
    let moments = Moments { server, database };
    for sql in SCHEMA {
        moments.database.run(sql).await;
    }
    let name = moments.database.name.clone();
    let settings = PostgresSettings { slot: name.clone(), publication: name, ..PostgresSettings::default() };
    let address = moments.database.url().parse().expect("an address");
    let rule = read("tasks", "room in (select room from members where user_id = claims.sub)");
    let world = World::over(Database::postgres("shop", address, settings), auth(vec![rule], None)).await;
    let world = world.expect("started");

    moments.hold().await;
    let mut appended = world.node.log.watch();
    let before = world.node.log.head();
    moments.commit("DELETE FROM members WHERE id = 2").await;
    while !has_removal(&world, before).await {
        appended.changed().await.expect("the log is there");
    }
    let client = moments.database.connect().await.expect("connected");
    let seen: i64 = client.query_one("SELECT count(*) FROM members", &[]).await.expect("an answer").get(0);
    assert_eq!(seen, 2, "the log has the removal, and the database does not show it");

    let mut ada = world.client(&identity(json!({ "sub": "ada" })));
    ada.subscribe("table:tasks", json!({}));
    // It cannot be known in this moment what ada may see: she is not told what she might have seen before.
    ada.refused(Code::Unavailable).await;
    ada.subscribe("table:tasks", json!({}));
    moments.release().await;
    loop {
        match ada.next().await {
            ServerMessage::Error { code: Code::Unavailable, .. } => ada.subscribe("table:tasks", json!({})),
            ServerMessage::Snapshot { rows, .. } => {
                assert_eq!(rows, [json!({ "id": 1, "room": "x" })]);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    ada.hears(&["subscribed"]).await;
    moments.database.run("INSERT INTO tasks VALUES (3, 'y'), (4, 'x')").await;
    ada.hears(&["insert 4"]).await;
    ada.hears_nothing().await;
    drop(moments.server);
}
