//! `rowcast bench`: every protocol, shortly; what is counted adds up.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::program::{Running, ran, shop, text};

/// npm's packages, as `npm ci` has put them.
fn node_modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node_modules")
}

/// Runs a short measurement of five clients, and returns its lines.
async fn bench(folder: &Path, arguments: &[&str]) -> (Vec<Value>, Output) {
    let modules = node_modules().display().to_string();
    let short = ["bench", "--clients", "5", "--seconds", "0.2", "--idle-clients", "20", "--json", "bench.json"];
    let output = ran(folder, &[&short, &["--node-modules", &modules][..], arguments].concat()).await;
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let written = std::fs::read(folder.join("bench.json")).expect("a file of JSON");
    let mut written: Value = serde_json::from_slice(&written).expect("JSON");
    let Value::Array(lines) = written["results"].take() else { panic!("no results") };
    (lines, output)
}

/// Every one of `clients` has heard each of `changes` once.
fn check_heard(line: &Value, changes: u64) {
    let count = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("{name}: {line}"));
    assert_eq!(count("deliveries"), changes * count("clients"), "{line}");
    assert_eq!((count("missing"), count("repeated")), (0, 0), "{line}");
    for name in ["cpu_us_per_delivery", "p50_ms", "p99_ms", "p999_ms", "deliveries_per_second"] {
        assert!(line[name].as_f64().is_some_and(|figure| figure >= 0.0), "{name}: {line}");
    }
}

async fn check_protocol(server: &str, protocol: &str) {
    let folder = shop();
    let only = ["--only", "alone,coalesced,idle,reconnect", "--servers", server, "--protocol", protocol];
    let (lines, output) = bench(folder.path(), &only).await;
    let of = |scenario: &str| lines.iter().find(|line| line["scenario"] == scenario).expect("a line");
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines.iter().all(|line| line["protocol"] == protocol), "{lines:?}");
    check_heard(of("alone"), 10);
    // Node's servers are asked for a tenth of the transactions.
    check_heard(of("coalesced"), if server == "ws" || server == "socket.io" { 16 } else { 160 });
    assert!(of("idle")["resident_kb_per_connection"].is_number(), "{lines:?}");
    assert!(of("reconnect")["reconnections_per_second"].as_f64() > Some(0.0), "{lines:?}");
    assert!(text(&output.stdout).contains("| CPU µs/delivery |"), "{}", text(&output.stdout));
}

#[tokio::test]
async fn the_floor_delivers_everything_once() {
    check_protocol("floor", "ws").await;
}

#[tokio::test]
async fn rowcast_delivers_everything_once_over_its_own_protocol() {
    check_protocol("rowcast", "native").await;
}

#[tokio::test]
async fn rowcast_delivers_everything_once_over_server_sent_events() {
    check_protocol("rowcast", "sse").await;
}

#[tokio::test]
async fn node_delivers_everything_once() {
    for (server, protocol) in [("ws", "ws"), ("socket.io", "socketio"), ("socket.io", "polling")] {
        check_protocol(server, protocol).await;
    }
}

#[tokio::test]
async fn delays_are_measured_with_one_client_and_with_a_hundred_and_compared() {
    let folder = shop();
    let only = ["--only", "latency,sustained", "--servers", "floor,rowcast", "--protocol", "native", "--quick"];
    let (lines, output) = bench(folder.path(), &only).await;
    let clients: Vec<_> = lines.iter().filter(|l| l["scenario"] == "latency").map(|l| &l["clients"]).collect();
    assert_eq!(clients, [1, 100, 1, 100], "{lines:?}");
    assert!(lines.iter().filter(|l| l["scenario"] == "latency").all(|line| line["times_floor"].is_number()));
    assert!(lines.iter().filter(|l| l["scenario"] == "sustained").count() == 2, "{lines:?}");
    let table = text(&output.stdout);
    let last = table.split("### all in one").nth(1).unwrap_or_else(|| panic!("no last table: {table}"));
    assert!(last.lines().any(|line| line.starts_with("| rowcast |") && line.contains(" native ")), "{table}");
}

#[tokio::test]
async fn clients_that_read_nothing_take_nothing_from_the_others() {
    let folder = shop();
    let only = ["--only", "stuck", "--servers", "rowcast", "--protocol", "native"];
    let (lines, _) = bench(folder.path(), &only).await;
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((line["missing"].as_u64(), line["repeated"].as_u64()), (Some(0), Some(0)), "{line}");
    assert!(line["resident_mb_growth"].is_number() && line["p99_ms_without"].is_number(), "{line}");
}

#[tokio::test]
async fn any_server_can_be_measured_with_rows_that_are_written_to_its_database() {
    let folder = shop();
    let server = Running::serve(folder.path(), &[]).await;
    let only = ["--only", "alone", "--url", &server.url, "--database", "sqlite:shop.db", "--protocol", "native,sse"];
    // The table is made before the server is asked for it, and found by it while it runs.
    let (lines, _) = bench(folder.path(), &only).await;
    assert_eq!(lines.len(), 2);
    lines.iter().for_each(|line| {
        assert_eq!((line["deliveries"].as_u64(), line["missing"].as_u64()), (Some(50), Some(0)), "{line}");
        assert!(line["cpu_us_per_delivery"].is_null(), "{line}");
    });
}

#[tokio::test]
async fn what_cannot_be_measured_is_said_and_fails() {
    let folder = shop();
    let arguments =
        ["bench", "--quick", "--only", "alone", "--servers", "ws", "--node-modules", "nowhere", "--json", "out.json"];
    let output = ran(folder.path(), &arguments).await;
    assert!(!output.status.success());
    let table = text(&output.stdout);
    assert!(table.contains("not measured") && table.contains("there is no nowhere/ws"), "{table}");
    assert!(std::fs::read_to_string(folder.path().join("out.json")).is_ok_and(|json| json.contains("nowhere/ws")));

    let refused = ["bench", "--url", "http://127.0.0.1:9", "--only", "alone", "--clients", "1"];
    let output = ran(folder.path(), &refused).await;
    assert!(!output.status.success() && text(&output.stdout).contains("not measured"), "{}", text(&output.stdout));
    let output = ran(folder.path(), &["bench", "--clients", "10000000", "--only", "alone", "--servers", "floor"]).await;
    assert!(text(&output.stdout).contains("open files, and the limit is"), "{}", text(&output.stdout));
}
