//! Replication connections against a real server, and against a line that goes silent.

use std::time::{Duration, Instant};

use rowcast::postgres::{Address, Flow, Frame, Lsn, Replication, WireError};
use servers::{Cable, Database, Postgres, PostgresOptions};

fn address(url: &str) -> Address {
    url.parse().expect("an address")
}

/// A replication connection with a slot, whose stream shows changes as text.
async fn streaming(url: &str, slot: &str, flow: Flow) -> Replication {
    let mut wire = Replication::connect(&address(url), "rowcast-test").await.expect("connected");
    let made = wire.query(&format!("CREATE_REPLICATION_SLOT \"{slot}\" TEMPORARY LOGICAL test_decoding")).await;
    assert_eq!(made.expect("a slot")[0][0].as_deref(), Some(slot));
    wire.start(&begin(slot), flow).await.expect("started");
    wire
}

fn begin(slot: &str) -> String {
    format!("START_REPLICATION SLOT \"{slot}\" LOGICAL 0/0 (\"skip-empty-xacts\" 'on')")
}

/// The next message of the plugin, and where it begins.
async fn message(wire: &mut Replication) -> (Lsn, String) {
    loop {
        if let Frame::Data { start, bytes, .. } = wire.next().await.expect("a frame") {
            return (start, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

#[tokio::test]
async fn commands_are_answered_and_changes_come_in_order() {
    let database = Database::new().await.expect("a database");
    database.run("create table t (a int)").await;
    let mut wire = Replication::connect(&address(&database.url()), "rowcast-test").await.expect("connected");
    let rows = wire.query("IDENTIFY_SYSTEM").await.expect("answered");
    assert_eq!(rows[0][3].as_deref(), Some(&*database.name));
    assert!(wire.parameter("server_version").is_some());
    for (name, value) in [("timezone", "UTC"), ("datestyle", "ISO, MDY"), ("bytea_output", "hex")] {
        assert_eq!(wire.query(&format!("SHOW {name}")).await.expect("answered"), [[Some(value.to_owned())]]);
    }

    let refused = wire.query("START_NONSENSE").await.expect_err("refused");
    assert_eq!(refused.code.as_deref(), Some("42601"));
    let missing = wire.start(&begin("none"), Flow::default()).await.expect_err("refused");
    assert_eq!(missing.code.as_deref(), Some("42704"));
    assert_eq!(missing.to_string(), "replication slot \"none\" does not exist (SQLSTATE 42704)");

    wire.query(&format!("CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL test_decoding", database.name))
        .await
        .expect("a slot");
    wire.start(&begin(&database.name), Flow::default()).await.expect("started");
    database.run("insert into t select generate_series(1, 3)").await;
    for expected in ["BEGIN", "a[integer]:1", "a[integer]:2", "a[integer]:3", "COMMIT"] {
        let (_, text) = message(&mut wire).await;
        assert!(text.contains(expected), "{text}");
    }
    wire.close().await;
    let client = database.connect().await.expect("connected");
    let left =
        client.query("select from pg_replication_slots where database = $1", &[&database.name]).await.expect("rows");
    assert!(left.is_empty(), "the slot was let go of when the connection was closed");
}

#[tokio::test]
async fn what_is_confirmed_reaches_the_server_and_asking_is_answered() {
    let database = Database::new().await.expect("a database");
    database.run("create table t (a int)").await;
    let mut wire = streaming(&database.url(), &database.name, Flow::default()).await;
    database.run("insert into t values (1)").await;
    let (place, _) = loop {
        let (place, text) = message(&mut wire).await;
        if text.starts_with("COMMIT") {
            break (place, text);
        }
    };
    wire.confirm(place);
    wire.ask();
    loop {
        if let Frame::KeepAlive { end, .. } = wire.next().await.expect("a frame")
            && end >= place
        {
            break;
        }
    }
    let client = database.connect().await.expect("connected");
    let sql = "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1";
    let row = client.query_one(sql, &[&database.name]).await.expect("the slot");
    assert!(row.get::<_, String>(0).parse::<Lsn>().expect("a place") >= place);
}

#[tokio::test]
async fn a_slow_consumer_keeps_its_connection_and_loses_nothing() {
    let options = PostgresOptions::default().set("wal_sender_timeout", "2s");
    let server = Postgres::start_with(&options).expect("started");
    let database = server.database().await.expect("a database");
    database.run("create table t (a int, b text)").await;
    let flow = Flow { status_every: Duration::from_millis(300), memory: 1 << 20, ..Flow::default() };
    let mut wire = streaming(&database.url(), &database.name, flow).await;
    database.run("insert into t select n, repeat('x', 1000) from generate_series(1, 30000) n").await;
    // Longer than the server waits for a sign of life.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut rows = 0;
    while rows < 30_000 {
        let (_, text) = message(&mut wire).await;
        if text.starts_with("table") {
            rows += 1;
            assert!(text.contains(&format!("a[integer]:{rows} ")), "{}", &text[..60]);
        }
    }
}

#[tokio::test]
async fn a_line_that_went_silent_is_noticed() {
    let database = Database::new().await.expect("a database");
    let cable = Cable::to(database.port()).await.expect("a cable");
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", cable.port(), database.name);
    let flow = Flow { status_every: Duration::from_millis(200), dead_after: Duration::from_secs(2), ..Flow::default() };
    let mut wire = streaming(&url, &database.name, flow).await;
    // An idle stream is not a dead one.
    let idle = tokio::time::timeout(Duration::from_secs(3), failed(&mut wire)).await;
    assert!(idle.is_err(), "{idle:?}");
    cable.silence();
    let began = Instant::now();
    let error = failed(&mut wire).await;
    assert!(error.to_string().contains("firewall"), "{error}");
    assert!(error.retry() && began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_at_work_on_what_nobody_asked_for_is_not_dead() {
    // The more often a transaction's changes go to the disk and back, the longer they take to be skipped.
    let server =
        Postgres::start_with(&PostgresOptions::default().set("logical_decoding_work_mem", "64kB")).expect("started");
    let database = server.database().await.expect("a database");
    database.run("create table t (a int); create table other (a int); create publication p for table t").await;
    let mut wire = Replication::connect(&address(&database.url()), "rowcast-test").await.expect("connected");
    wire.query("CREATE_REPLICATION_SLOT s TEMPORARY LOGICAL pgoutput").await.expect("a slot");
    let flow = Flow { status_every: Duration::from_millis(50), dead_after: Duration::from_secs(1), ..Flow::default() };
    wire.start("START_REPLICATION SLOT s LOGICAL 0/0 (proto_version '1', publication_names 'p')", flow)
        .await
        .expect("started");
    database.run("insert into other select generate_series(1, 3000000)").await;
    database.run("insert into t values (1)").await;
    let (mut silent, mut heard) = (Duration::ZERO, Instant::now());
    loop {
        let frame = wire.next().await.expect("a frame");
        silent = silent.max(heard.elapsed());
        heard = Instant::now();
        if matches!(&frame, Frame::Data { bytes, .. } if bytes.first() == Some(&b'I')) {
            break;
        }
    }
    println!("silent for {silent:?}");
    assert!(silent > Duration::from_secs(1), "the server was never silent for long: {silent:?}");
}

async fn failed(wire: &mut Replication) -> WireError {
    loop {
        if let Err(error) = wire.next().await {
            return error;
        }
    }
}

#[tokio::test]
async fn a_killed_walsender_is_told_with_its_code() {
    let database = Database::new().await.expect("a database");
    database.run("create table t (a int)").await;
    let mut wire = streaming(&database.url(), &database.name, Flow::default()).await;
    database.run(&format!("insert into t values (1); select pg_terminate_backend({})", wire.process())).await;
    let error = failed(&mut wire).await;
    assert_eq!(error.code.as_deref(), Some("57P01"), "{error}");
    assert!(error.retry());
    wire.next().await.expect_err("the stream is over");
}
