//! Finding and entering real servers: addresses, passwords, encryption, and what is said when it does not work.

use rowcast::postgres::{Address, ConnectError, Replication};
use servers::{Database, Postgres, PostgresOptions};

fn address(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Why neither a client nor a replication connection gets in.
async fn refused(text: &str) -> ConnectError {
    let address = address(text);
    let wire = Replication::connect(&address, "test").await.err().unwrap_or_else(|| panic!("{text} gets in"));
    let client = address.connect("test").await.err().unwrap_or_else(|| panic!("{text} gets in"));
    assert_eq!(client.message, wire.message);
    assert_eq!(client.retry, wire.retry);
    client
}

/// What the database answers to both kinds of connection.
async fn answer(address: &Address, sql: &str) -> String {
    let client = address.connect("rowcast-test").await.expect("connected");
    let answer = client.query_one(&format!("select ({sql})::text"), &[]).await.expect("answered").get::<_, String>(0);
    let mut wire = Replication::connect(address, "rowcast-test").await.expect("connected for replication");
    let rows = wire.query(&format!("select ({sql})::text")).await.expect("answered");
    assert_eq!(rows[0][0].as_deref(), Some(&*answer));
    answer
}

#[tokio::test]
async fn every_connection_is_pinned_and_named() {
    let database = Database::new().await.expect("a database");
    let address = address(&format!("{}?options=-c%20timezone%3DEurope/Oslo%20-c%20work_mem%3D5MB", database.url()));
    let settings = "select string_agg(current_setting(name), '|') from unnest(array['timezone', 'intervalstyle', \
                    'extra_float_digits', 'bytea_output', 'application_name', 'work_mem']) name";
    assert_eq!(answer(&address, settings).await, "UTC|postgres|1|hex|rowcast-test|5MB");
}

#[tokio::test]
async fn passwords_are_proved_in_every_way_that_a_server_asks() {
    let hba = "host all postgres 127.0.0.1/32 trust\nhost all scram 127.0.0.1/32 scram-sha-256\n\
               host all old 127.0.0.1/32 md5\nhost all clear 127.0.0.1/32 password\n";
    let options = PostgresOptions { hba: Some(hba.into()), ..PostgresOptions::default() };
    let server = Postgres::start_with(&options).expect("started");
    let database = server.database().await.expect("a database");
    database
        .run("create user scram replication password 'se:c@ret'; create user clear replication password 'se:c@ret'")
        .await;
    database.run("set password_encryption = md5; create user old replication password 'se:c@ret'").await;
    for user in ["scram", "old", "clear"] {
        let at = format!("127.0.0.1:{}/{}", server.port(), database.name);
        assert_eq!(answer(&address(&format!("postgres://{user}:se%3Ac%40ret@{at}")), "current_user").await, user);

        let wrong = refused(&format!("postgres://{user}:hidden@{at}")).await;
        assert!(wrong.message.contains(&format!("the password for `{user}`")) && !wrong.retry, "{wrong}");
        assert!(!format!("{wrong} {wrong:?}").contains("hidden"));
        let none = refused(&format!("postgres://{user}@{at}")).await;
        assert!(none.message.contains("PGPASSWORD") && !none.retry, "{none}");
    }
}

#[tokio::test]
async fn what_does_not_work_is_told_with_what_to_do() {
    let hba = "host all postgres 127.0.0.1/32 trust\nhost all plain 127.0.0.1/32 trust\n";
    let options = PostgresOptions { hba: Some(hba.into()), ..PostgresOptions::default() };
    let server = Postgres::start_with(&options).expect("started");
    server.connect("postgres").await.expect("connected").batch_execute("create user plain").await.expect("a user");
    let at = format!("127.0.0.1:{}", server.port());
    for (text, said, retry) in [
        (format!("postgres://postgres@{at}/shop"), "no database `shop`", false),
        (format!("postgres://ann@{at}/postgres"), "pg_hba.conf", false),
        (format!("postgres://postgres@{at}/postgres?sslmode=require"), "`ssl = on`", false),
        (
            format!("postgres://postgres@{at}/postgres?target_session_attrs=standby"),
            "target_session_attrs=standby",
            true,
        ),
        ("postgres://postgres@127.0.0.1:9/postgres".into(), "nothing listens at 127.0.0.1:9", true),
        ("postgres://postgres@no-such-host.invalid/postgres".into(), "`no-such-host.invalid` is not known", true),
        ("postgres://postgres@%2Fnowhere/postgres".into(), "/nowhere/.s.PGSQL.5432", true),
    ] {
        let error = refused(&text).await;
        assert!(error.message.contains(said), "{text}: {error}");
        assert_eq!(error.retry, retry, "{text}: {error}");
    }
    let address = address(&format!("postgres://plain@{at}/postgres"));
    address.connect("test").await.expect("a client gets in");
    let error = Replication::connect(&address, "test").await.err().expect("no replication");
    assert!(error.message.contains("ALTER ROLE \"plain\" REPLICATION"), "{error}");
}

#[tokio::test]
async fn the_next_server_is_tried_when_one_is_away() {
    let database = Database::new().await.expect("a database");
    let (port, name) = (database.port(), &database.name);
    for text in [
        format!("postgres://postgres@127.0.0.1:9,127.0.0.1:{port}/{name}"),
        format!(
            "postgres://postgres@no-such-host.invalid:1,127.0.0.1:{port}/{name}?target_session_attrs=prefer-standby"
        ),
        format!("host=127.0.0.1,localhost port=9,{port} dbname={name} user=postgres target_session_attrs=read-write"),
        format!("host=nowhere.invalid hostaddr=127.0.0.1 port={port} dbname={name} user=postgres"),
    ] {
        assert_eq!(answer(&address(&text), "current_database()").await, *name, "{text}");
    }
}
