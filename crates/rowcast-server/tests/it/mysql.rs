//! Rowcast on MariaDB and MySQL: the real binary, a real server, and what may happen to either.

mod history;
mod world;
mod writer;

use serde_json::{Value, json};
use servers::{Mysql, MysqlDatabase, MysqlOptions};
use tempfile::TempDir;

use crate::client::WebSocket;
use crate::client::message::Message;
use crate::program::{ran, rowcast, text};
use crate::server::Server;

struct Site {
    _server: Mysql,
    database: MysqlDatabase,
    folder: TempDir,
}

impl Site {
    async fn new() -> Self {
        let server = Mysql::start_with(&MysqlOptions::default().without_binlog()).expect("started");
        let database = server.database().await.expect("a database");
        database.run("create table orders (id int primary key, city varchar(20))").await;
        Self { _server: server, database, folder: tempfile::tempdir().expect("a folder") }
    }

    async fn rowcast(&self, arguments: &[&str]) -> (bool, String, String) {
        let url = self.database.url();
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--database", &url]).collect();
        let output = ran(self.folder.path(), &arguments).await;
        (output.status.success(), text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
    }
}

#[tokio::test]
async fn setup_shows_its_sql_and_teardown_takes_it_all_back() {
    let site = Site::new().await;
    let (done, planned, _) = site.rowcast(&["setup", "--dry-run"]).await;
    assert!(done && planned.contains("CREATE TRIGGER `_rowcast_1_i` AFTER INSERT ON `orders`"), "{planned}");
    let (done, ran, said) = site.rowcast(&["setup"]).await;
    assert!(done && ran.contains("CREATE TABLE `_rowcast_outbox`"), "{ran} {said}");
    let (done, again, said) = site.rowcast(&["setup"]).await;
    assert!(done && again.is_empty() && said.contains("nothing to do"), "{again} {said}");
    let (done, removed, said) = site.rowcast(&["teardown", "--yes"]).await;
    assert!(done && removed.contains("DROP TRIGGER `_rowcast_1_i`"), "{removed} {said}");
    let (done, removed, said) = site.rowcast(&["teardown", "--yes"]).await;
    assert!(done && removed.is_empty() && said.contains("not installed"), "{removed} {said}");
}

#[tokio::test]
async fn doctor_says_how_it_stands() {
    let site = Site::new().await;
    let (good, report, _) = site.rowcast(&["doctor"]).await;
    assert!(good && report.contains("log_bin") && report.contains("outbox triggers"), "{report}");
    let (_, report, _) = site.rowcast(&["doctor", "--json"]).await;
    let findings: Value = serde_json::from_str(&report).expect("JSON");
    assert!(findings.as_array().is_some_and(|list| list.iter().any(|one| one["about"] == "table orders")), "{report}");
}

#[tokio::test]
async fn a_password_may_stand_in_the_environment_and_is_never_shown() {
    let site = Site::new().await;
    let user = "create user ann@'%' identified by 's3cret'; grant all on *.* to ann@'%'";
    site.database.run(user).await;
    let url = site.database.url().replace("root@", "ann@");
    let mut command = rowcast(site.folder.path(), &["doctor", "--database", &url]);
    let output = command.env("MYSQL_PWD", "s3cret").output().await.expect("it runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = rowcast(site.folder.path(), &["doctor", "--database", &url]).output().await.expect("it runs");
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("MYSQL_PWD"), "{said}");
    let wrong = url.replace("ann@", "ann:wr0ng@");
    let output = rowcast(site.folder.path(), &["doctor", "--database", &wrong]).output().await.expect("it runs");
    let said = text(&output.stderr);
    assert!(said.contains("refused the password of `ann`") && !said.contains("wr0ng"), "{said}");
}

#[tokio::test]
async fn a_row_that_any_program_inserts_appears_on_the_page() {
    let site = Site::new().await;
    site.database.run("insert into orders values (1, 'Ulm')").await;
    let server = Server::on(&site.database.url(), site.folder.path(), &[]);
    server.restart().await.expect("started");
    let mut page = WebSocket::open(&server).await.expect("connected");
    let subscribe =
        json!({ "type": "subscribe", "id": "p", "channel": "table:orders", "snapshot": { "order_by": "id" } });
    page.say(subscribe).await.expect("said");
    let mut rows = Vec::new();
    loop {
        match page.next().await.expect("a message") {
            Message::Snapshot(snapshot) => rows.extend(snapshot.rows.into_iter().map(|row| row["city"].clone())),
            Message::Subscribed(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rows, ["Ulm"]);
    site.database.run("insert into orders values (2, 'Köln')").await;
    loop {
        match page.next().await.expect("a message") {
            Message::Change(change) => {
                assert_eq!(change.row["city"], "Köln");
                break;
            }
            Message::Commit(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
