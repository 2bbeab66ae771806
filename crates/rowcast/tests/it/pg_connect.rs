//! Finding and entering real servers: addresses, passwords, encryption, and what is said when it does not work.

use std::os::unix::fs::PermissionsExt;

use rowcast::postgres::{Address, ConnectError, Environment, Replication};
use servers::{Database, PgBouncer, Postgres, PostgresOptions};
use tokio_postgres::AsyncMessage;

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

#[tokio::test]
async fn a_unix_socket_is_a_way_in() {
    let server = Postgres::start().expect("started");
    let folder = server.folder().display().to_string();
    let port = server.port();
    for text in [
        format!("host={folder} port={port} user=postgres sslmode=require"),
        format!("postgres://postgres@{}:{port}/postgres", folder.replace('/', "%2F")),
        format!("postgres://postgres@/postgres?host={folder}&port={port}"),
    ] {
        assert_eq!(answer(&address(&text), "inet_server_addr() is null").await, "true", "{text}");
    }
}

#[tokio::test]
async fn variables_and_the_password_file_fill_what_the_address_leaves_open() {
    let hba = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let server = Postgres::start_with(&PostgresOptions { hba: Some(hba.into()), ..PostgresOptions::default() })
        .expect("started");
    let database = server.database().await.expect("a database");
    database.run("create user ann replication password 'se:c@ret'").await;
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join(".pgpass");
    std::fs::write(&file, format!("*:*:*:bob:wrong\n127.0.0.1:{}:*:ann:se\\:c@ret\n", server.port())).expect("written");
    let port = server.port().to_string();
    let variables = [("PGHOST", "127.0.0.1"), ("PGPORT", &port), ("PGDATABASE", &database.name), ("PGUSER", "ann")];
    let mut environment = Environment { home: Some(home.path().into()), ..Environment::default() };
    environment.variables.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("permissions");
    let open = Address::parse("postgres://", &environment).expect("an address");
    let error = open.connect("test").await.expect_err("no password");
    assert!(error.message.contains("chmod 600"), "{error}");
    let same = Replication::connect(&open, "test").await.err().expect("no password");
    assert_eq!(error.message, same.message);

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("permissions");
    assert_eq!(answer(&open, "current_user || current_database()").await, format!("ann{}", database.name));
    let other = Address::parse("postgres:///postgres?user=postgres", &environment).expect("an address");
    assert_eq!(answer(&other, "current_user || current_database()").await, "postgrespostgres");

    environment.variables.insert("PGPASSFILE".into(), "/nowhere".into());
    environment.variables.insert("PGPASSWORD".into(), "se:c@ret".into());
    let by_variable = Address::parse("postgres://", &environment).expect("an address");
    assert_eq!(answer(&by_variable, "current_user").await, "ann");
}

#[tokio::test]
async fn what_the_server_says_unasked_is_heard_until_the_connection_ends() {
    let database = Database::new().await.expect("a database");
    let (client, mut messages) =
        address(&database.url()).connect_with_messages("rowcast-test").await.expect("connected");
    client.batch_execute("listen a").await.expect("listening");
    database.run("notify a, 'hello'").await;
    match messages.recv().await {
        Some(Ok(AsyncMessage::Notification(heard))) => assert_eq!((heard.channel(), heard.payload()), ("a", "hello")),
        other => panic!("{other:?}"),
    }
    database
        .run(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rowcast-test' \
                  and datname = current_database()",
        )
        .await;
    // The server says goodbye first.
    let error = loop {
        match messages.recv().await.expect("an error comes last") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(error.retry && error.message.contains("administrator"), "{error}");
    assert!(messages.recv().await.is_none());
}

#[tokio::test]
async fn a_pooler_that_refuses_options_gets_them_afterwards() {
    let database = Database::new().await.expect("a database");
    let pooler = PgBouncer::start(database.port(), "session").expect("a pooler");
    let address = address(&pooler.url(&database.name));
    let client = address.connect("rowcast-test").await.expect("connected");
    let sql = "select concat_ws('|', current_setting('timezone'), current_setting('intervalstyle'), \
               current_setting('extra_float_digits'), current_setting('application_name'))";
    assert_eq!(client.query_one(sql, &[]).await.expect("answered").get::<_, String>(0), "UTC|postgres|1|rowcast-test");
    let error = Replication::connect(&address, "test").await.err().expect("no replication through this one");
    assert!(error.message.contains("is a pooler") && !error.retry, "{error}");
}
