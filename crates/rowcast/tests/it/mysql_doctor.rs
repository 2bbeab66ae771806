//! What the doctor says of a MySQL or MariaDB.

use mysql_async::prelude::Queryable;
use rowcast::event::finding::{Finding, State};
use rowcast::mysql::{Address, Capture, MysqlSettings, doctor};
use servers::{Mysql, MysqlDatabase, MysqlOptions};

async fn examined(url: &str, capture: Capture) -> Vec<Finding> {
    let settings = MysqlSettings { capture, ..MysqlSettings::default() };
    doctor::examine(&Address::parse(url).expect("an address"), &settings).await.expect("examined")
}

/// The finding about something that is not as it should be.
#[track_caller]
fn about<'a>(findings: &'a [Finding], about: &str) -> &'a Finding {
    let mut bad = findings.iter().filter(|finding| finding.about == about);
    bad.find(|finding| finding.state != State::Good).unwrap_or_else(|| panic!("{about} in {findings:#?}"))
}

fn is_good(findings: &[Finding], about: &str) -> bool {
    findings.iter().any(|finding| finding.about == about && finding.state == State::Good)
}

#[tokio::test]
async fn a_good_server_has_little_to_mend() {
    let database = MysqlDatabase::new().await.expect("a database");
    database.run("create table t (id int primary key); create table u (a int)").await;
    let findings = examined(&database.url(), Capture::Auto).await;
    for name in
        ["server", "log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata", "mode", "table t", "clock"]
    {
        assert!(is_good(&findings, name), "{name} in {findings:#?}");
    }
    assert!(findings.iter().all(|finding| finding.state != State::Broken), "{findings:#?}");
    assert!(about(&findings, "table u").sql[0].contains("ADD COLUMN"));
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_with_the_sql_that_mends_it() {
    let options = MysqlOptions::default().set("binlog-format", "MIXED").set("binlog-row-image", "MINIMAL");
    let server = Mysql::start_with(&options).expect("started");
    let database = server.database().await.expect("a database");
    let mut admin = server.connect(&database.name).await.expect("connected");
    for sql in [
        "create user app@'%' identified by 'x'".to_owned(),
        format!("grant select on {}.* to app@'%'", database.name),
        "create table t (id int primary key) engine = MyISAM".to_owned(),
    ] {
        admin.query_drop(&sql).await.expect(&sql);
    }
    let url = database.url().replace("root@", "app:x@");
    let findings = examined(&url, Capture::Binlog).await;
    assert_eq!(about(&findings, "binlog_format").sql, ["SET GLOBAL binlog_format = 'ROW'"]);
    assert_eq!(about(&findings, "binlog_row_image").sql, ["SET GLOBAL binlog_row_image = 'FULL'"]);
    let slave = about(&findings, "privilege REPLICATION SLAVE");
    assert_eq!((slave.state, &*slave.sql[0]), (State::Broken, "GRANT REPLICATION SLAVE ON *.* TO 'app'@'%'"));
    assert_eq!(about(&findings, "mode").state, State::Broken);
    assert_eq!(about(&findings, "table t").sql, ["ALTER TABLE `t` ENGINE = InnoDB"]);
    // What it says, done, helps.
    for finding in &findings {
        for sql in finding.sql.iter().filter(|_| finding.state != State::Good) {
            admin.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }
    let findings = examined(&url, Capture::Binlog).await;
    assert!(findings.iter().all(|finding| finding.state != State::Broken), "{findings:#?}");
}

#[tokio::test]
async fn what_triggers_do_not_see_is_said_in_outbox_mode() {
    let server = Mysql::start_with(&MysqlOptions::default().without_binlog()).expect("started");
    let database = server.database().await.expect("a database");
    database.run("create table a (id int primary key)").await;
    database
        .run("create table b (id int primary key, a int, foreign key (a) references a (id) on delete cascade)")
        .await;
    let findings = examined(&database.url(), Capture::Auto).await;
    assert!(is_good(&findings, "mode"));
    assert!(about(&findings, "log_bin").message.contains("log_bin=binlog"));
    assert!(about(&findings, "table b").message.contains("ON DELETE CASCADE"));
    assert!(about(&findings, "outbox").message.contains("rowcast setup"));
}
