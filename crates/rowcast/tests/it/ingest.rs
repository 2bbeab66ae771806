//! Bodies into a table: batches, rejects, positions, and a database that is away.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use rowcast::event::TableName;
use rowcast::ingest::{Cause, Failure, Format, Report};
use rowcast::log::Log;
use rowcast::store::StoreError;
use tokio::sync::mpsc;

use crate::scratch::Scratch;

fn readings() -> TableName {
    TableName::bare("readings")
}

async fn post(scratch: &Arc<Scratch>, format: Format, body: &str) -> Result<Report, Failure> {
    let chunks: Vec<_> =
        body.as_bytes().chunks(7).map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk))).collect();
    scratch.ingest().stream(&readings(), format, stream::iter(chunks)).await
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("locked".into())
}

#[tokio::test]
async fn every_row_is_stored_or_named_with_its_line_and_reason() {
    let scratch = Scratch::new().await;
    let body =
        "{\"time\":1,\"speed\":\"37\"}\nrubbish\n{\"speed\":\"fast\"}\n{\"sped\":1}\n{\"speed\":-1}\n{\"speed\":5}";
    let report = post(&scratch, Format::Ndjson, body).await.expect("a report");
    assert_eq!(scratch.column("speed"), ["37", "5"]);
    assert_eq!((report.count, report.rejected_count), (2, 4));
    let mut rejected: Vec<String> = report.rejected.iter().map(|r| format!("{} {}", r.line, r.reason)).collect();
    rejected.sort();
    assert_eq!(
        rejected,
        [
            "2 not JSON: expected value at column 1",
            "3 speed: expected an integer, got \"fast\"",
            "4 `readings` has no column `sped`; did you mean `speed`?",
            "5 CHECK constraint failed: speed >= 0",
        ]
    );
    let json = serde_json::to_value(&report.rejected[1]).expect("JSON");
    assert_eq!(json["line"], 3);
    assert_eq!(json["column"], "speed");
}

#[tokio::test]
async fn the_position_is_one_that_the_log_has_reached() {
    let scratch = Scratch::new().await;
    let report = post(&scratch, Format::Json, "[{\"speed\":1},{\"speed\":2}]").await.expect("a report");
    assert_eq!(report.position, Some(scratch.log().head()));
    assert_eq!(scratch.log().head().offset.0, 2);
    let nothing = post(&scratch, Format::Json, "[]").await.expect("a report");
    assert_eq!(nothing, Report::default());
}

#[tokio::test]
async fn without_the_log_hearing_of_it_there_is_no_position() {
    let scratch = Scratch::deaf().await;
    let ingest = scratch.ingest().patience(Duration::from_millis(20));
    let report = ingest.json(&readings(), "{\"speed\":1}").await.expect("a report");
    assert_eq!((report.count, report.position), (1, None));
}

#[tokio::test]
async fn csv_rows_become_batches() {
    let scratch = Scratch::new().await;
    let rows: String = (0..5_000).map(|n| format!("{n},{n},\"row, {n}\"\n")).collect();
    let body = stream::iter([Ok::<_, Infallible>(Bytes::from(format!("time,speed,name\n{rows}")))]);
    let report = scratch.ingest().stream(&readings(), Format::Csv, body).await.expect("a report");
    assert_eq!(report.count, 5_000);
    assert_eq!(scratch.batches(), [1_000; 5]);
    assert_eq!(scratch.column("name")[4_999], "row, 4999");
}

#[tokio::test]
async fn a_row_is_stored_while_the_body_is_still_open() {
    let scratch = Scratch::new().await;
    let (sender, mut body) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    let body = stream::poll_fn(move |cx| body.poll_recv(cx));
    let to = scratch.ingest();
    let posted = tokio::spawn(async move { to.stream(&readings(), Format::Ndjson, body).await });
    for n in 1..=3 {
        sender.send(Ok(Bytes::from("{\"speed\":1}\n"))).await.expect("it reads");
        scratch.holds(n).await;
    }
    drop(sender);
    assert_eq!(posted.await.expect("no panic").expect("a report").count, 3);
}

#[tokio::test]
async fn a_body_that_breaks_off_keeps_its_complete_rows() {
    let scratch = Scratch::new().await;
    let body = stream::iter([Ok(Bytes::from("{\"speed\":1}\n{\"spe")), Err("connection reset")]);
    let failure = scratch.ingest().stream(&readings(), Format::Ndjson, body).await.expect_err("broken");
    assert!(matches!(&failure.cause, Cause::Body(message) if message == "connection reset"));
    assert_eq!((failure.report.count, failure.report.rejected_count), (1, 0));
    assert!(failure.report.position.is_some());
}

#[tokio::test]
async fn an_unavailable_database_is_tried_again_and_nothing_is_stored_twice() {
    let scratch = Scratch::new().await;
    scratch.fail_with(Some(unavailable));
    let posted = tokio::spawn({
        let scratch = scratch.clone();
        async move { post(&scratch, Format::Ndjson, "{\"speed\":1}\n{\"speed\":2}\n").await }
    });
    scratch.attempts(3).await;
    scratch.fail_with(None);
    assert_eq!(posted.await.expect("no panic").expect("a report").count, 2);
    assert_eq!(scratch.column("speed"), ["1", "2"]);
}

#[tokio::test]
async fn patience_ends_with_what_was_stored_so_far() {
    let scratch = Scratch::new().await;
    let (sender, mut body) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    let body = stream::poll_fn(move |cx| body.poll_recv(cx));
    let to = scratch.ingest().patience(Duration::from_millis(50));
    let posted = tokio::spawn(async move { to.stream(&readings(), Format::Ndjson, body).await });
    sender.send(Ok(Bytes::from("{\"speed\":1}\n"))).await.expect("it reads");
    scratch.holds(1).await;
    scratch.fail_with(Some(unavailable));
    sender.send(Ok(Bytes::from("{\"speed\":2}\n"))).await.expect("it reads");
    let failure = posted.await.expect("no panic").expect_err("unavailable");
    assert!(matches!(failure.cause, Cause::Unavailable(_)));
    assert_eq!(failure.report.count, 1);
}

#[tokio::test]
async fn a_refusal_of_everything_is_not_tried_again() {
    let scratch = Scratch::new().await;
    scratch.fail_with(Some(|| StoreError::Refused("database or disk is full".into())));
    let failure = post(&scratch, Format::Ndjson, "{\"speed\":1}").await.expect_err("refused");
    assert_eq!(failure.to_string(), "database or disk is full");
    let missing = scratch.ingest().json(&TableName::bare("nope"), "{}").await.expect_err("unknown");
    assert!(matches!(missing.cause, Cause::UnknownTable(_)));
}

#[tokio::test]
async fn rows_follow_a_table_that_is_altered_meanwhile() {
    let scratch = Scratch::new().await;
    let (sender, mut body) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    let body = stream::poll_fn(move |cx| body.poll_recv(cx));
    let to = scratch.ingest();
    let posted = tokio::spawn(async move { to.stream(&readings(), Format::Ndjson, body).await });
    sender.send(Ok(Bytes::from("{\"time\":1,\"speed\":1}\n"))).await.expect("it reads");
    scratch.holds(1).await;
    scratch.sql("ALTER TABLE readings DROP COLUMN time; ALTER TABLE readings ADD COLUMN color INTEGER");
    sender.send(Ok(Bytes::from("{\"speed\":2}\n{\"time\":3}\n"))).await.expect("it reads");
    scratch.holds(2).await;
    sender.send(Ok(Bytes::from("{\"color\":4}\n"))).await.expect("it reads");
    drop(sender);
    let report = posted.await.expect("no panic").expect("a report");
    assert_eq!(scratch.column("speed"), ["1", "2", "-"]);
    assert_eq!(report.count, 3);
    assert_eq!(report.rejected[0].reason, "time: the column was removed from the table meanwhile");
}

#[tokio::test]
async fn at_most_a_thousand_rejects_are_listed_and_all_are_counted() {
    let scratch = Scratch::new().await;
    let report = post(&scratch, Format::Ndjson, &"x\n".repeat(1_500)).await.expect("a report");
    assert_eq!((report.rejected.len(), report.rejected_count), (1_000, 1_500));
}
