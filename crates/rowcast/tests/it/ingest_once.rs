//! A record of a source becomes one row, whatever breaks on the way: the database away, its answers lost, the process killed.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use rowcast::event::TableName;
use rowcast::ingest::letters::RetryError;
use rowcast::ingest::once::{OnConflict, Once, RecordKey};
use rowcast::ingest::pull::{Feed, HttpFeed, Pull, Pulling};
use rowcast::ingest::shape::{Column, Computed, Limits, Shape};
use rowcast::ingest::spool::{Spool, SpoolSettings};
use rowcast::ingest::{Asked, Format, Report};
use rowcast::store::{DeadLetters, StoreError};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

use crate::scratch::Scratch;

/// A stream of lines that never ends; each connection hears what is sent while it is there.
struct Lines {
    url: reqwest::Url,
    say: broadcast::Sender<String>,
}

impl Lines {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("bound")).parse().expect("a URL");
        let (say, _) = broadcast::channel(10_000);
        let app = Router::new().route("/", get(lines)).with_state(say.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, say }
    }

    fn pull(&self) -> Pull {
        Pull::new("car", Feed::Http(HttpFeed::new(self.url.clone())), TableName::bare("readings"))
    }

    /// Waits until somebody is connected, and sends.
    async fn send(&self, text: &str) {
        while self.say.send(format!("{text}\n")).is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn lines(State(say): State<broadcast::Sender<String>>) -> Response {
    let heard = stream::unfold(say.subscribe(), |mut heard| async {
        let line = heard.recv().await.ok()?;
        Some((Ok::<_, Infallible>(Bytes::from(line)), heard))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(heard)).into_response()
}

fn spool(folder: &Path) -> Spool {
    Spool::open(folder, SpoolSettings::default()).expect("a spool")
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("the server is away".into())
}

/// Waits until the pull says so.
async fn until(pulling: &Pulling, holds: impl Fn(&rowcast::ingest::pull::PullStatus) -> bool) {
    let waits = async {
        while !holds(&pulling.status()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    // What never comes is told instead of waited for.
    let came = tokio::time::timeout(Duration::from_secs(60), waits).await;
    assert!(came.is_ok(), "it stays like this: {:?}", pulling.status());
}

async fn letters(scratch: &Arc<Scratch>) -> Vec<(u64, String, String)> {
    let listed = scratch.ingest().letters().list(DeadLetters::default()).await.expect("dead letters");
    listed.into_iter().rev().map(|letter| (letter.id, letter.reason, letter.raw)).collect()
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_row_twice() {
    let (source, scratch) = (Lines::start().await, Scratch::new().await);
    let pulling = source.pull().start(scratch.ingest()).expect("started");
    for n in 0..50 {
        if n % 5 == 0 {
            scratch.lose_answers(2);
        }
        source.send(&format!("{{\"speed\":{n}}}\nrubbish {n}")).await;
        until(&pulling, |status| status.rows + status.rejected == 2 * (n + 1)).await;
    }
    let expected: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(scratch.column("speed"), expected);
    assert_eq!(letters(&scratch).await.len(), 50, "and no dead letter twice");
}

#[tokio::test]
async fn what_was_taken_stands_once_after_the_process_died_at_any_point() {
    let (source, scratch) = (Lines::start().await, Scratch::new().await);
    let folder = tempfile::tempdir().expect("a folder");
    let mut sent = 0;
    for round in 0..8u64 {
        scratch.fail_with(Some(unavailable));
        // Written after what the dead one had begun to write, so that nothing more of it comes.
        scratch.ingest().letters().drop_some(&[u64::MAX]).await.expect("an answer");
        let stored = scratch.column("speed").len() as u64;
        // A runtime of its own dies with everything that runs on it, as a process does.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("one");
        let (pull, to, place) = (source.pull(), scratch.ingest(), folder.path().to_owned());
        let pulling = runtime.spawn(async move { pull.start_with(to, spool(&place)).expect("started") });
        let pulling = pulling.await.expect("no panic");
        until(&pulling, |status| status.connected_since.is_some()).await;
        for _ in 0..40 {
            source.send(&format!("{{\"speed\":{sent}}}")).await;
            sent += 1;
        }
        // It has asked the database how far that is before it writes, and is refused; until then more seems to wait.
        until(&pulling, |now| now.held_back && now.spool.records >= sent - stored).await;
        scratch.lose_answers(round % 3);
        scratch.fail_with(None);
        // It dies before it writes, while it does, or afterwards.
        if round % 4 > 1 {
            until(&pulling, |now| now.rows > 0).await;
        }
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5))).await.expect("dead");
    }
    scratch.fail_with(None);
    scratch.lose_answers(0);
    let pulling = source.pull().start_with(scratch.ingest(), spool(folder.path())).expect("started");
    until(&pulling, |status| status.spool.records == 0).await;
    let mut speeds: Vec<u64> = scratch.column("speed").iter().map(|n| n.parse().expect("a number")).collect();
    speeds.sort_unstable();
    assert_eq!(speeds, (0..sent).collect::<Vec<_>>());
}

#[tokio::test]
async fn while_the_database_is_away_the_spool_shows_what_waits_and_stopping_keeps_it() {
    let (source, scratch) = (Lines::start().await, Scratch::new().await);
    let folder = tempfile::tempdir().expect("a folder");
    let pulling = source.pull().start_with(scratch.ingest(), spool(folder.path())).expect("started");
    until(&pulling, |status| status.connected_since.is_some()).await;
    scratch.fail_with(Some(unavailable));
    for n in 0..100 {
        source.send(&format!("{{\"speed\":{n}}}")).await;
    }
    until(&pulling, |status| status.spool.records == 100 && status.held_back).await;
    let status = pulling.stop().await;
    assert!(status.spool.bytes > 0 && status.spool.oldest_ms.is_some() && !status.spool.full, "{status:?}");
    scratch.fail_with(None);
    let _pulling = source.pull().start_with(scratch.ingest(), spool(folder.path())).expect("started");
    scratch.holds(100).await;
    assert_eq!(scratch.column("speed").len(), 100);
}

#[tokio::test]
async fn a_record_that_is_sent_again_is_known_by_its_key() {
    let (source, scratch) = (Lines::start().await, Scratch::new().await);
    let mut pull = source.pull();
    pull.once = Once { key: RecordKey::Fields(vec!["time".into()]), conflict: OnConflict::Refuse };
    let pulling = pull.start(scratch.ingest()).expect("started");
    for time in [1, 2, 1, 3, 2] {
        source.send(&format!("{{\"time\":{time},\"speed\":5}}")).await;
    }
    source.send("{\"speed\":5}").await;
    until(&pulling, |status| (status.rows, status.repeated, status.rejected) == (3, 2, 1)).await;
    assert_eq!(scratch.column("time"), ["1", "2", "3"]);
    assert_eq!(letters(&scratch).await[0].1, "time: is missing, but is the record's key");
}

#[tokio::test]
async fn equal_records_are_one_by_their_content() {
    let (source, scratch) = (Lines::start().await, Scratch::new().await);
    let mut pull = source.pull();
    pull.once.key = RecordKey::Content;
    let pulling = pull.start(scratch.ingest()).expect("started");
    for line in ["{\"speed\":1}", "{\"speed\": 1}", "{\"speed\":2}"] {
        source.send(line).await;
    }
    until(&pulling, |status| status.rows + status.repeated == 3).await;
    assert_eq!(scratch.column("speed"), ["1", "2"]);
}

#[tokio::test]
async fn a_row_whose_key_is_there_is_replaced_when_that_is_asked_for() {
    let (source, scratch) = (Lines::start().await, Scratch::new().await);
    let mut pull = source.pull();
    pull.once.conflict = OnConflict::Update(vec!["id".into()]);
    let pulling = pull.start(scratch.ingest()).expect("started");
    for (id, speed) in [(1, 10), (2, 20), (1, 30)] {
        source.send(&format!("{{\"id\":{id},\"speed\":{speed}}}")).await;
        until(&pulling, |status| status.spool.records == 0 && status.rows > 0).await;
    }
    until(&pulling, |status| status.rows == 3).await;
    assert_eq!(scratch.column("speed"), ["30", "20"]);
}

#[tokio::test]
async fn records_are_shaped_and_what_is_refused_can_be_mended_and_stored() {
    let (source, scratch) = (Lines::start().await, Scratch::new().await);
    let mut pull = source.pull();
    let limits = Limits { required: true, max: Some(60.0), ..Limits::default() };
    pull.shape = Shape {
        rename: vec![("s".into(), "speed".into())],
        columns: vec![("speed".into(), Column::new(limits).expect("limits"))],
        computed: vec![("name".into(), Computed::parse("'car ' || car").expect("an expression"))],
        ..Shape::default()
    };
    let flows = std::iter::once(pull.flow()).collect();
    let ingest = scratch.ingest().flows(flows);
    let pulling = pull.start(ingest.clone()).expect("started");
    source.send("{\"s\":\"37\",\"car\":7}\n{\"s\":61,\"car\":8}\n{\"car\":9}\nrubbish").await;
    until(&pulling, |status| (status.rows, status.rejected) == (1, 3)).await;
    assert_eq!((scratch.column("speed"), scratch.column("name")), (vec!["37".into()], vec!["car 7".into()]));
    let kept = letters(&scratch).await;
    let reasons: Vec<&str> = kept.iter().map(|(_, reason, _)| reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["speed: 61 is more than 60", "speed: is required, got nothing", "not JSON: expected value at column 1"]
    );
    assert_eq!(kept[0].2, "{\"s\":61,\"car\":8}");

    let letters = ingest.letters();
    let still = letters.retry(kept[0].0, None).await.expect_err("refused still");
    assert!(matches!(still, RetryError::Refused { .. }), "{still}");
    letters.retry(kept[0].0, Some("{\"s\":60,\"car\":8}")).await.expect("mended");
    assert_eq!(scratch.column("name"), ["car 7", "car 8"]);
    let gone = letters.retry(kept[0].0, None).await.expect_err("gone");
    assert!(matches!(gone, RetryError::Unknown(_)), "{gone}");
    let retried = letters.retry_all(Some("car")).await.expect("tried");
    assert_eq!((retried.stored, retried.refused.len()), (0, 2));
    assert_eq!(letters.drop_all(Some("car")).await.expect("dropped"), 2);
    assert_eq!(letters.counts().await.expect("counts"), []);
}

async fn post(scratch: &Arc<Scratch>, asked: Asked, body: &'static str) -> Report {
    let chunks = stream::iter([Ok::<_, Infallible>(Bytes::from(body))]);
    let table = TableName::bare("readings");
    scratch.ingest().stream_asked(&table, Format::Ndjson, asked, chunks).await.expect("a report")
}

#[tokio::test]
async fn a_request_that_is_repeated_with_its_key_stores_nothing_twice() {
    let scratch = Scratch::new().await;
    let keyed = |key: &str| Asked { key: Some(key.into()), ..Asked::default() };
    let body = "{\"speed\":1}\n{\"speed\":-1}\n{\"speed\":3}\n";
    scratch.lose_answers(1);
    let first = post(&scratch, keyed("a"), body).await;
    assert_eq!(scratch.column("speed"), ["1", "3"], "although the answer was lost");
    assert_eq!(first.repeated, 0);
    let again = post(&scratch, keyed("a"), body).await;
    assert_eq!(again.count, 0, "{again:?}");
    assert!(again.repeated >= 2, "{again:?}");
    // What broke off is completed.
    assert_eq!(post(&scratch, keyed("b"), "{\"speed\":7}\n").await.count, 1);
    let whole = post(&scratch, keyed("b"), "{\"speed\":7}\n{\"speed\":8}\n").await;
    assert_eq!((whole.count, whole.repeated), (1, 1));
    assert_eq!(scratch.column("speed"), ["1", "3", "7", "8"]);
}

#[tokio::test]
async fn the_refused_rows_of_a_request_are_kept_when_that_is_asked_for() {
    let scratch = Scratch::new().await;
    let body = "{\"speed\":1}\n{\"speed\":-1}\n{\"sped\":3}\n";
    post(&scratch, Asked::default(), body).await;
    assert_eq!(letters(&scratch).await, []);
    let report = post(&scratch, Asked { dead_letters: true, ..Asked::default() }, body).await;
    assert_eq!((report.count, report.rejected_count), (1, 2));
    let mut kept: Vec<String> = letters(&scratch).await.into_iter().map(|(_, _, raw)| raw).collect();
    kept.sort();
    assert_eq!(kept, ["{\"sped\":3}", "{\"speed\":-1}"]);
    let table = scratch.ingest().letters().list(DeadLetters::default()).await.expect("dead letters");
    assert!(table.iter().all(|letter| letter.source == "http" && letter.table.ends_with("readings")));
}
