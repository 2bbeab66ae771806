//! `rowcast simulate`: a stream that can be compared with what became of it.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::program::{DEADLINE, Running, database, ran, rowcast, text};

async fn simulate(folder: &Path, more: &[&str]) -> Running {
    Running::start(rowcast(folder, &[&["simulate", "--listen", "127.0.0.1:0"], more].concat())).await
}

/// What the ledger says of each record.
fn ledger(path: &Path) -> BTreeMap<u64, String> {
    let text = std::fs::read_to_string(path).expect("a ledger");
    let entry = |line: &str| {
        let (n, what) = line.split_once(' ').expect("number and word");
        (n.parse().expect("a number"), what.to_owned())
    };
    text.lines().map(entry).collect()
}

#[tokio::test]
async fn without_options_it_is_the_original() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = simulate(folder.path(), &[]).await;
    let mut stream = running.get("/stream").await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let line = stream.chunk().await.expect("readable").expect("a line");
    let read: Value = serde_json::from_slice(&line).expect("one line of JSON");
    let fields = read.as_object().expect("an object");
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["time", "speed"]);
    assert!(read["time"].as_str().is_some_and(|time| time.len() == 13));
    assert!(read["speed"].as_str().and_then(|speed| speed.parse::<u8>().ok()).is_some_and(|speed| speed <= 50));
    let mut events = running.get("/stream/sse").await;
    let event = events.chunk().await.expect("readable").expect("an event");
    assert!(event.starts_with(b"id: 0\ndata: {\"time\":\"") && event.ends_with(b"\"}\n\n"));
}

#[tokio::test]
async fn a_shared_stream_goes_on_after_a_restart_where_its_readers_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = (std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970")).as_millis();
    let start = (start - 2_000).to_string();
    let more = ["--rate", "200", "--seed", "7", "--start-at", &start, "--count", "500", "--ledger", "ledger"];
    let mut all = String::new();
    let mut first = simulate(folder.path(), &more).await;
    let mut stream = first.get("/stream/sse?from=0").await;
    while !all.contains("id: 300\n") {
        all.push_str(text(&stream.chunk().await.expect("readable").expect("more")));
    }
    drop(stream);
    first.signal("KILL").await;
    first.ended().await;
    // What came behind the last whole event counts for nothing.
    all.truncate(all.rfind("\n\n").expect("an event") + 2);
    let last =
        all.rmatch_indices("id: ").next().map(|(at, _)| all[at + 4..].lines().next().expect("a line").to_owned());
    let second = simulate(folder.path(), &more).await;
    let url = format!("{}/stream/sse?from=0", second.url);
    let request = crate::program::client().get(url).header("last-event-id", last.expect("an id"));
    all.push_str(&request.send().await.expect("an answer").text().await.expect("the rest"));
    let ids: Vec<String> = all.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect();
    assert_eq!(ids, (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
    let ledger = ledger(&folder.path().join("ledger"));
    assert!(ledger.len() == 500 && ledger.values().all(|what| what == "good"));
}

#[tokio::test]
async fn the_ledger_tells_which_lines_were_malformed() {
    let folder = tempfile::tempdir().expect("a folder");
    let more = ["--rate", "50000", "--seed", "7", "--malformed", "0.2", "--count", "2000", "--ledger", "ledger"];
    let running = simulate(folder.path(), &[&more[..], &["--chunks", "split", "--wave", "sine"]].concat()).await;
    let body = running.get("/stream").await.bytes().await.expect("a body");
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    let ledger = ledger(&folder.path().join("ledger"));
    assert_eq!((lines.len(), ledger.len()), (2_001, 2_000));
    for (n, line) in lines[..2_000].iter().enumerate() {
        let n = n as u64;
        let read = serde_json::from_slice::<Value>(line).ok();
        let fits = read.is_some_and(|read| {
            read["seq"] == n && read["speed"].as_str().is_some_and(|v| v.parse::<u8>().is_ok_and(|v| v <= 50))
        });
        // A time far from now is wrong, too, but cannot be told without knowing what time it is.
        let is_good = ledger[&n].starts_with("good") || ledger[&n] == "malformed future";
        assert_eq!(fits, is_good, "{n}: {} {}", ledger[&n], String::from_utf8_lossy(line));
    }
}

#[tokio::test]
async fn it_prints_and_what_it_prints_is_the_same_every_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = ["simulate", "--print", "--rate", "100000", "--count", "3000", "--seed", "9", "--start-at", "1000"];
    let first = ran(folder.path(), &[&words[..], &["--sensors", "4", "--wave", "walk"]].concat()).await;
    assert!(first.status.success() && first.stderr.is_empty());
    let second = ran(folder.path(), &[&words[..], &["--sensors", "4", "--wave", "walk"]].concat()).await;
    assert_eq!((text(&first.stdout).lines().count(), &first.stdout), (3_000, &second.stdout));
    let third = text(&first.stdout).lines().nth(2).expect("a line");
    assert!(third.starts_with("{\"time\":\"1000\",\"speed\":\"") && third.ends_with("\",\"sensor\":\"s3\",\"seq\":2}"));
}

#[tokio::test]
async fn it_inserts_into_a_table_and_says_how_fast() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = "PRAGMA journal_mode = wal; CREATE TABLE readings (id INTEGER PRIMARY KEY, time INTEGER, speed INTEGER, seq INTEGER UNIQUE)";
    database(folder.path()).execute_batch(schema).expect("a table");
    let words =
        ["simulate", "--database", "sqlite:shop.db", "--table", "readings", "--rate", "100000", "--count", "20000"];
    let output = ran(folder.path(), &[&words[..], &["--ledger", "ledger"]].concat()).await;
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.contains("20000 rows stand") && said.contains("/s"), "{said}");
    let sum = "SELECT count(*), sum(seq), max(speed) <= 50 AND min(typeof(speed)) = 'integer' FROM readings";
    let row = database(folder.path()).query_row(sum, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    assert_eq!(row.expect("sums"), (20_000, 199_990_000, true));
    assert_eq!(ledger(&folder.path().join("ledger")).len(), 20_000);
}

#[tokio::test]
async fn it_posts_to_a_rowcast_and_hears_what_was_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = "PRAGMA journal_mode = wal; CREATE TABLE readings (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, speed INTEGER NOT NULL CHECK (speed <= 60), seq INTEGER)";
    database(folder.path()).execute_batch(schema).expect("a table");
    let server = Running::serve(folder.path(), &[]).await;
    let url = format!("{}/v1/tables/readings", server.url);
    let words = ["simulate", "--post", &url, "--rate", "20000", "--count", "3000", "--seed", "7", "--ledger", "ledger"];
    let kinds = "truncated,nan,type,missing,range,list";
    let output = ran(folder.path(), &[&words[..], &["--malformed", "0.1", "--kinds", kinds]].concat()).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let malformed = ledger(&folder.path().join("ledger")).values().filter(|what| what.starts_with("malformed")).count();
    let said = text(&output.stdout);
    assert!(said.contains(&format!("stored {} and refused {malformed}", 3_000 - malformed)), "{said}");
    let connection: Connection = database(folder.path());
    let count: u32 = connection.query_row("SELECT count(*) FROM readings", [], |row| row.get(0)).expect("a count");
    assert_eq!(count as usize, 3_000 - malformed);
}

#[tokio::test]
async fn ctrl_c_ends_it_with_totals() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = simulate(folder.path(), &["--rate", "1000", "--wave", "walk"]).await;
    let mut stream = running.get("/stream").await;
    stream.chunk().await.expect("readable").expect("a line");
    running.signal("INT").await;
    assert!(running.ended().await.success());
    let mut last = String::new();
    while let Some(line) =
        tokio::time::timeout(DEADLINE, running.lines.next_line()).await.expect("in time").expect("text")
    {
        last = line;
    }
    assert!(last.contains(" records in ") && last.ends_with(", to 1 client"), "{last}");
}

#[tokio::test]
async fn it_inserts_into_a_table_of_postgresql_that_knows_nothing_of_rowcast() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = servers::Database::new().await.expect("a database");
    database.run("create table readings (id bigserial primary key, time bigint, speed int, seq bigint unique)").await;
    let url = database.url();
    let words = ["simulate", "--database", &url, "--table", "readings", "--rate", "100000", "--count", "20000"];
    let output = ran(folder.path(), &words).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let client = database.connect().await.expect("connected");
    let row = client.query_one("select count(*), sum(seq)::int8 from readings", &[]).await.expect("sums");
    assert_eq!((row.get(0), row.get(1)), (20_000i64, 199_990_000i64));
}

#[tokio::test]
async fn a_broker_that_restarts_acknowledges_every_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut broker = servers::Mosquitto::start().expect("a broker");
    let mut options = rumqttc::MqttOptions::new("ear", "127.0.0.1", broker.port());
    options.set_clean_session(true);
    let (ear, mut heard) = rumqttc::AsyncClient::new(options, 10);
    let (numbers, mut told) = tokio::sync::mpsc::channel(100_000);
    let (listens, mut listening) = tokio::sync::mpsc::channel(100_000);
    tokio::spawn(async move {
        loop {
            match heard.poll().await {
                Ok(rumqttc::Event::Incoming(rumqttc::Packet::ConnAck(_))) => {
                    let _ = ear.subscribe("plant/#", rumqttc::QoS::AtLeastOnce).await;
                }
                Ok(rumqttc::Event::Incoming(rumqttc::Packet::SubAck(_))) => _ = listens.send(()).await,
                Ok(rumqttc::Event::Incoming(rumqttc::Packet::Publish(message))) => {
                    let read: Value = serde_json::from_slice(&message.payload).expect("JSON");
                    assert_eq!(message.topic, format!("plant/{}", read["sensor"].as_str().expect("a sensor")));
                    let _ = numbers.send(read["seq"].as_u64().expect("a number")).await;
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    });
    listening.recv().await.expect("the ear listens");
    let url = format!("mqtt://127.0.0.1:{}/plant/{{sensor}}", broker.port());
    let words = ["simulate", "--mqtt", &url, "--sensors", "3", "--rate", "200", "--count", "400", "--seed", "7"];
    let running = rowcast(folder.path(), &words).output();
    let trouble = async {
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 100 {
            seen.insert(told.recv().await.expect("a record"));
        }
        broker.stop().expect("stopped");
        broker.start_again().expect("started again");
        seen
    };
    let (output, mut seen) = tokio::join!(tokio::time::timeout(DEADLINE, running), trouble);
    let output = output.expect("in time").expect("it starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("400 records in"), "{}", text(&output.stdout));
    // All were acknowledged; those that came while the ear was away are the broker's affair, and it keeps nothing here.
    while let Ok(Some(n)) = tokio::time::timeout(std::time::Duration::from_millis(500), told.recv()).await {
        seen.insert(n);
    }
    assert!(seen.contains(&0) && seen.contains(&399) && seen.len() > 200, "{} records came", seen.len());
}
