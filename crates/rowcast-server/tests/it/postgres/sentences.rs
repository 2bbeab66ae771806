//! What a user of a real-time chart on PostgreSQL checks, sentence by sentence: a test each, named after it.

use serde_json::{Value, json};
use servers::{Database, Postgres, Stop};
use tempfile::TempDir;

use crate::client::WebSocket;
use crate::client::message::{Change, Message};
use crate::server::Server;

/// A table `readings`, and a Rowcast that was started by nothing but its URL.
struct Site {
    database: Database,
    server: Server,
    _folder: TempDir,
}

impl Site {
    async fn new(database: Database) -> Self {
        let schema = "create table readings (id bigserial primary key, at timestamptz not null default now(), speed int, note text)";
        database.run(schema).await;
        let folder = tempfile::tempdir().expect("a folder");
        let settings = [("postgres.slot", &*database.name), ("postgres.publication", &*database.name)];
        let server = Server::on(&database.url(), folder.path(), &settings);
        server.restart().await.expect("started");
        Self { database, server, _folder: folder }
    }

    /// A page that follows the table from now on, and the rows that it begins with.
    async fn page(&self) -> (WebSocket, Vec<Value>) {
        let mut page = WebSocket::open(&self.server).await.expect("connected");
        let subscribe = json!({
            "type": "subscribe", "id": "p", "channel": "table:readings",
            "snapshot": { "order_by": "id desc", "limit": 3 },
        });
        page.say(subscribe).await.expect("said");
        let mut rows = Vec::new();
        loop {
            match page.next().await.expect("a message") {
                Message::Snapshot(snapshot) => rows.extend(snapshot.rows.into_iter().map(|row| row["speed"].clone())),
                Message::Subscribed(_) => return (page, rows),
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn site() -> Site {
    Site::new(Database::new().await.expect("a database")).await
}

async fn point(page: &mut WebSocket) -> Change {
    loop {
        match page.next().await.expect("a point") {
            Message::Change(change) => return change,
            Message::Commit(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn speeds<const N: usize>(page: &mut WebSocket) -> [Value; N] {
    let mut speeds = [const { Value::Null }; N];
    for speed in &mut speeds {
        *speed = point(page).await.row["speed"].clone();
    }
    speeds
}

#[tokio::test]
async fn one_insert_in_psql_a_point_appears() {
    let site = site().await;
    let (mut page, _) = site.page().await;
    site.database.run("insert into readings (speed) values (37)").await;
    let point = point(&mut page).await;
    assert_eq!(point.row["speed"], 37);
    let at = point.row["at"].as_str().expect("a time");
    assert!(at.contains('T') && at.ends_with("+00:00"), "{at}");
}

#[tokio::test]
async fn a_rolled_back_insert_nothing() {
    let site = site().await;
    let (mut page, _) = site.page().await;
    site.database.run("begin; insert into readings (speed) values (1); rollback").await;
    site.database.run("insert into readings (speed) values (2)").await;
    assert_eq!(speeds(&mut page).await, [2]);
}

#[tokio::test]
async fn two_inserts_in_one_transaction_two_points_in_order() {
    let site = site().await;
    let (mut page, _) = site.page().await;
    site.database
        .run("begin; insert into readings (speed) values (1); insert into readings (speed) values (2); commit")
        .await;
    let (first, second) = (point(&mut page).await, point(&mut page).await);
    assert_eq!((&first.row["speed"], &second.row["speed"]), (&json!(1), &json!(2)));
    assert!(first.tx == second.tx && !first.last && second.last);
}

#[tokio::test]
async fn two_equal_samples_are_still_two_points() {
    let site = site().await;
    let (mut page, _) = site.page().await;
    site.database
        .run("begin; insert into readings (at, speed) values ('2026-01-01', 5), ('2026-01-01', 5); commit")
        .await;
    assert_eq!(speeds(&mut page).await, [5, 5]);
}

#[tokio::test]
async fn a_row_over_8000_bytes_does_not_make_the_users_insert_fail() {
    let site = site().await;
    let (mut page, _) = site.page().await;
    site.database.run("insert into readings (speed, note) select 1, string_agg(md5(n::text), '') from generate_series(1, 10000) n").await;
    let wide = point(&mut page).await;
    assert_eq!(wide.row["note"].as_str().map(str::len), Some(320_000));
    // The large value is not written again, and is not null for that.
    site.database.run("update readings set speed = 2").await;
    let updated = point(&mut page).await;
    assert_eq!(updated.row["speed"], 2);
    assert!(updated.row.get("note").is_none_or(|note| note.as_str().map(str::len) == Some(320_000)), "a false null");
}

#[tokio::test]
async fn the_database_restarts_and_the_page_fills_in_the_points_that_it_missed() {
    let server = Postgres::start().expect("PostgreSQL");
    let site = Site::new(server.database().await.expect("a database")).await;
    let (mut page, _) = site.page().await;
    for n in [1, 2] {
        server.stop(if n == 1 { Stop::Immediate } else { Stop::Fast }).expect("stopped");
        server.run().expect("started again");
        site.database.run(&format!("insert into readings (speed) values ({n})")).await;
        assert_eq!(speeds(&mut page).await, [n]);
    }
}

#[tokio::test]
async fn the_page_opened_an_hour_later_shows_the_last_points() {
    let site = site().await;
    site.database.run("insert into readings (speed) select n from generate_series(1, 100) n").await;
    let (mut page, rows) = site.page().await;
    assert_eq!(rows, [100, 99, 98]);
    site.database.run("insert into readings (speed) values (101)").await;
    assert_eq!(speeds(&mut page).await, [101]);
}

#[tokio::test]
async fn rowcast_restarts_and_the_page_goes_on_without_gap_or_repeat() {
    let site = site().await;
    let (mut page, _) = site.page().await;
    site.database.run("insert into readings (speed) values (1)").await;
    let at = point(&mut page).await.position;
    site.server.kill9().await.expect("killed");
    site.database.run("insert into readings (speed) values (2)").await;
    site.server.restart().await.expect("started again");
    let mut page = WebSocket::open(&site.server).await.expect("connected");
    let subscribe = json!({ "type": "subscribe", "id": "p", "channel": "table:readings", "since": at.to_string() });
    page.say(subscribe).await.expect("said");
    let Message::Subscribed(subscribed) = page.next().await.expect("an answer") else { panic!("not subscribed") };
    assert!(subscribed.resumed);
    site.database.run("insert into readings (speed) values (3)").await;
    assert_eq!(speeds(&mut page).await, [2, 3]);
}
