//! Connections to real servers, and why they fail.

use mysql_async::prelude::Queryable;
use rowcast::mysql::{Address, ConnectError, Server};
use servers::{Mysql, MysqlDatabase, MysqlOptions, Stop};

async fn connect(url: &str) -> Result<mysql_async::Conn, ConnectError> {
    Address::parse(url)?.connect().await
}

async fn fails(url: &str, said: &str, retry: bool) {
    let error = connect(url).await.expect_err(url);
    assert!(error.message.contains(said) && error.retry == retry, "{url}: {error} (retry: {})", error.retry);
    assert!(!error.message.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_session_is_in_utc_strict_and_patient() {
    let database = MysqlDatabase::new().await.expect("a database");
    let mut conn = connect(&database.url()).await.expect("connected");
    let sql = "select @@time_zone, @@character_set_client, @@sql_mode like '%STRICT_ALL_TABLES%', @@autocommit, @@wait_timeout > 1000000";
    let row: (String, String, i64, i64, i64) = conn.query_first(sql).await.expect("answered").expect("a row");
    assert_eq!(row, ("+00:00".into(), "utf8mb4".into(), 1, 1, 1));
    let server = Server::of(&mut conn).await.expect("a server");
    let variables = match server.is_mariadb() {
        true => "select @@tx_isolation, @@max_statement_time = 0",
        false => "select @@transaction_isolation, @@max_execution_time = 0",
    };
    let row: (String, i64) = conn.query_first(variables).await.expect("answered").expect("a row");
    assert_eq!(row, ("REPEATABLE-READ".into(), 1));
    // A pool gives a session back as it was.
    conn.query_drop("set time_zone = '+05:00'").await.expect("set");
    assert!(conn.reset().await.expect("reset"));
    let zone: Option<String> = conn.query_first("select @@time_zone").await.expect("answered");
    assert_eq!(zone.as_deref(), Some("+00:00"));
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why() {
    let server = Mysql::start_with(&MysqlOptions::default()).expect("started");
    let port = server.port();
    let mut admin = server.connect("mysql").await.expect("connected");
    for sql in [
        "create user ann@'%' identified by 'pa ss@/?'",
        "create user bob@'%' identified by 'secret'",
        "create database shop",
        "grant all on shop.* to ann@'%'",
    ] {
        admin.query_drop(sql).await.expect(sql);
    }
    connect(&format!("mysql://ann:pa%20ss%40%2F%3F@127.0.0.1:{port}/shop")).await.expect("connected");
    connect(&format!("mariadb://ann:pa%20ss%40%2F%3F@localhost:{port}/shop")).await.expect("connected");
    let socket = format!("mysql://root@localhost/shop?socket={}", server.socket().display());
    connect(&socket).await.expect("connected by socket");
    fails(&format!("mysql://ann:secret@127.0.0.1:{port}/shop"), "refused the password of `ann`", false).await;
    fails(&format!("mysql://ann@127.0.0.1:{port}/shop"), "MYSQL_PWD", false).await;
    fails(&format!("mysql://bob:secret@127.0.0.1:{port}/shop"), "GRANT SELECT ON `shop`.*", false).await;
    fails(&format!("mysql://root@127.0.0.1:{port}/nowhere"), "has no database `nowhere`", false).await;
    fails(&format!("mysql://root@nowhere.invalid:{port}/shop"), "is its name misspelt", true).await;
    fails("mysql://root@localhost/shop?socket=/nowhere", "there is no socket /nowhere", true).await;
    fails(&format!("mysql://root@127.0.0.1:{port}/shop?ssl-ca=/nowhere"), "/nowhere", false).await;
    admin.query_drop("set global max_connections = 10").await.expect("set");
    let mut held = Vec::new();
    let full = loop {
        match connect(&format!("mysql://ann:pa%20ss%40%2F%3F@127.0.0.1:{port}/shop")).await {
            Ok(conn) => held.push(conn),
            Err(error) => break error,
        }
    };
    assert!(full.retry && full.message.contains("max_connections"), "{full}");
    server.stop(Stop::Immediate).expect("stopped");
    fails(&format!("mysql://root@127.0.0.1:{port}/shop"), "nothing listens at 127.0.0.1", true).await;
}

#[tokio::test]
async fn every_customary_way_to_log_in() {
    let server = Mysql::start_with(&MysqlOptions::default()).expect("started");
    let mut admin = server.connect("mysql").await.expect("connected");
    let mut users = Vec::new();
    if server.is_mariadb() {
        admin.query_drop("install soname 'auth_ed25519'").await.expect("the plugin is part of the package");
        users.push(("native", "create user native@'%' identified via mysql_native_password using password('secret')"));
        users.push(("ed", "create user ed@'%' identified via ed25519 using password('secret')"));
    } else {
        users.push(("sha", "create user sha@'%' identified with caching_sha2_password by 'secret'"));
        users.push(("safe", "create user safe@'%' identified with caching_sha2_password by 'secret' require ssl"));
    }
    for (user, sql) in users {
        admin.query_drop(sql).await.expect(sql);
        admin.query_drop(format!("grant all on *.* to {user}@'%'")).await.expect("granted");
        let at = |more: &str| format!("mysql://{user}:secret@127.0.0.1:{}/mysql{more}", server.port());
        // The second time, MySQL has the password in its cache.
        for _ in 0..2 {
            if user != "safe" {
                connect(&at("?ssl-mode=disabled")).await.unwrap_or_else(|error| panic!("{user}: {error}"));
            }
            connect(&at("")).await.unwrap_or_else(|error| panic!("{user}: {error}"));
        }
        if !server.is_mariadb() {
            admin.query_drop("flush privileges").await.expect("flushed");
            connect(&at("?ssl-mode=required")).await.unwrap_or_else(|error| panic!("{user}: {error}"));
        }
    }
}
