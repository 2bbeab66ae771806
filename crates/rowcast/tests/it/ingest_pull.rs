//! A stream that is pulled from a real HTTP server that dies, restarts, splits lines and sends rubbish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rowcast::event::TableName;
use rowcast::ingest::Format;
use rowcast::ingest::pull::{Feed, HttpFeed, Pull, Pulling};
use rowcast::store::StoreError;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::scratch::Scratch;

/// More than any test writes before it is read.
const CHUNKS: usize = 256;

/// A source on a port of its own: each connection is handed to the test, which writes its body.
struct Source {
    address: SocketAddr,
    connections: mpsc::Receiver<Connection>,
    down: CancellationToken,
}

/// The server's end of one connection.
struct Connection {
    last_event_id: Option<String>,
    body: mpsc::Sender<Result<Bytes, std::io::Error>>,
}

type Front = (&'static str, mpsc::Sender<Connection>);

impl Source {
    async fn start(content_type: &'static str) -> Self {
        Self::start_on("127.0.0.1:0".parse().expect("an address"), content_type).await
    }

    async fn start_on(address: SocketAddr, content_type: &'static str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (sender, connections) = mpsc::channel(16);
        let app = Router::new().route("/stream", get(open)).with_state((content_type, sender));
        let down = CancellationToken::new();
        let stopped = down.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(axum::serve(listener, app).into_future()).await });
        Self { address, connections, down }
    }

    async fn connection(&mut self) -> Connection {
        self.connections.recv().await.expect("the source is up")
    }

    fn pull(&self, scratch: &Arc<Scratch>) -> Pulling {
        self.pull_with(scratch, |_| ())
    }

    fn pull_with(&self, scratch: &Arc<Scratch>, change: impl FnOnce(&mut HttpFeed)) -> Pulling {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let url = format!("http://{}/stream", self.address).parse().expect("a URL");
        let mut feed = HttpFeed::new(url);
        change(&mut feed);
        Pull::new("simulator", Feed::Http(feed), TableName::bare("readings")).start(scratch.ingest()).expect("a client")
    }
}

async fn open(State((content_type, connections)): State<Front>, headers: HeaderMap) -> Response {
    let last_event_id = headers.get("last-event-id").map(|id| id.to_str().expect("text").to_owned());
    let (body, mut chunks) = mpsc::channel(CHUNKS);
    let _ = connections.send(Connection { last_event_id, body }).await;
    let stream = futures_util::stream::poll_fn(move |cx| chunks.poll_recv(cx));
    ([(header::CONTENT_TYPE, content_type)], Body::from_stream(stream)).into_response()
}

impl Connection {
    fn send(&self, text: &str) {
        self.body.try_send(Ok(Bytes::copy_from_slice(text.as_bytes()))).expect("the client reads");
    }

    fn break_off(self) {
        let _ = self.body.try_send(Err(std::io::Error::other("gone")));
    }
}

#[tokio::test]
async fn ndjson_that_calls_itself_an_event_stream_is_read_however_it_is_cut() {
    let mut source = Source::start("text/event-stream").await;
    let scratch = Scratch::new().await;
    let pulling = source.pull(&scratch);
    let connection = source.connection().await;
    connection.send("{\"time\":\"1\",\"speed\":\"37\"}\n{\"time\":\"2\",\"sp");
    scratch.holds(1).await;
    connection.send("eed\":\"0\"}\n{\"time\":\"3\",\"speed\":\"50\",\"unit\":\"km/h\"}\n");
    scratch.holds(3).await;
    assert_eq!(scratch.column("speed"), ["37", "0", "50"]);
    let status = pulling.status();
    assert!(status.connected_since.is_some());
    assert_eq!((status.rejected, status.reconnects, status.last_error), (0, 0, None));
}

#[tokio::test]
async fn a_bad_line_is_kept_to_be_looked_at_and_the_stream_goes_on() {
    let mut source = Source::start("text/event-stream").await;
    let scratch = Scratch::new().await;
    let pulling = source.pull(&scratch);
    let connection = source.connection().await;
    connection.send("{\"time\":\"1\",\"speed\":\"NaN\"}\n<html>\n");
    connection.send(&format!("{}\n{{\"speed\":\"1\"}}\n", "x".repeat(500)));
    scratch.holds(1).await;
    let status = pulling.stop().await;
    assert_eq!(scratch.column("speed"), ["1"]);
    let reasons: Vec<&str> = status.rejects.iter().map(|reject| reject.reason.as_str()).collect();
    assert_eq!(reasons[0], "speed: expected an integer, got \"NaN\"");
    assert_eq!(status.rejects[0].raw, "{\"time\":\"1\",\"speed\":\"NaN\"}");
    assert_eq!((reasons.len(), status.rejects[1].raw.as_str()), (3, "<html>"));
    assert_eq!(status.connected_since, None);
}

#[tokio::test]
async fn rejects_are_counted_and_the_last_hundred_kept() {
    let mut source = Source::start("application/x-ndjson").await;
    let scratch = Scratch::new().await;
    let pulling = source.pull(&scratch);
    let connection = source.connection().await;
    connection.send(&format!("{}{{\"speed\":1}}\n", format!("{}\n", "ü".repeat(300)).repeat(150)));
    scratch.holds(1).await;
    let status = pulling.stop().await;
    assert_eq!((status.rows, status.rejected, status.rejects.len()), (1, 150, 100));
    assert_eq!((status.rejects[0].line, status.rejects[99].line), (51, 150));
    assert!(status.rejects[0].raw.len() <= 200 && status.rejects[0].raw.starts_with('ü'));
    assert_eq!(status.rejects[0].reason, "not JSON: expected value at column 1");
}

#[tokio::test]
async fn it_comes_back_after_an_end_and_after_an_error() {
    let mut source = Source::start("text/event-stream").await;
    let scratch = Scratch::new().await;
    let pulling = source.pull(&scratch);
    let first = source.connection().await;
    first.send("{\"speed\":1}\n");
    drop(first);
    let second = source.connection().await;
    second.send("{\"speed\":2}\n{\"speed\":");
    scratch.holds(2).await;
    second.break_off();
    let third = source.connection().await;
    third.send("{\"speed\":3}\n");
    scratch.holds(3).await;
    assert_eq!(scratch.column("speed"), ["1", "2", "3"]);
    let status = pulling.status();
    assert_eq!((status.reconnects, status.rejected), (2, 0));
    assert!(status.last_error.is_some_and(|error| error.starts_with("the stream broke off")));
}

#[tokio::test]
async fn a_source_that_is_down_at_first_is_found_when_it_comes_up() {
    let source = Source::start("text/event-stream").await;
    let (address, scratch) = (source.address, Scratch::new().await);
    source.down.cancel();
    // The port is free again when a new listener gets it.
    drop(source);
    let gone = Source { address, connections: mpsc::channel(1).1, down: CancellationToken::new() };
    let _pulling = gone.pull(&scratch);
    let mut source = loop {
        match TcpListener::bind(address).await {
            Ok(free) => {
                drop(free);
                break Source::start_on(address, "text/event-stream").await;
            }
            Err(_) => tokio::task::yield_now().await,
        }
    };
    source.connection().await.send("{\"speed\":1}\n");
    scratch.holds(1).await;
}

#[tokio::test]
async fn real_sse_is_resumed_after_its_last_id() {
    let mut source = Source::start("text/event-stream").await;
    let scratch = Scratch::new().await;
    let _pulling = source.pull_with(&scratch, |pull| pull.format = Format::Sse);
    let first = source.connection().await;
    assert_eq!(first.last_event_id, None);
    first.send("id: a-1\ndata: {\"speed\":1}\n\nid: a-2\ndata: {\"speed\":2}\n");
    scratch.holds(1).await;
    first.break_off();
    let second = source.connection().await;
    assert_eq!(second.last_event_id.as_deref(), Some("a-1"), "the event without its blank line is asked for again");
}

#[tokio::test]
async fn silence_is_given_up() {
    let mut source = Source::start("text/event-stream").await;
    let scratch = Scratch::new().await;
    let pulling = source.pull_with(&scratch, |pull| pull.idle_timeout = Duration::from_millis(50));
    let _silent = source.connection().await;
    let _next = source.connection().await;
    assert_eq!(pulling.status().last_error.as_deref(), Some("silent for 50ms"));
}

#[tokio::test]
async fn while_the_database_is_away_rows_wait_and_none_is_lost_or_stored_twice() {
    let mut source = Source::start("text/event-stream").await;
    let scratch = Scratch::new().await;
    let pulling = source.pull(&scratch);
    let connection = source.connection().await;
    connection.send("{\"speed\":0}\n");
    scratch.holds(1).await;
    scratch.fail_with(Some(|| StoreError::Refused("database or disk is full".into())));
    for n in 1..200 {
        connection.send(&format!("{{\"speed\":{n}}}\n"));
    }
    scratch.attempts(3).await;
    let status = pulling.status();
    assert_eq!((status.held_back, status.last_error.as_deref()), (true, Some("database or disk is full")));
    scratch.fail_with(None);
    scratch.holds(200).await;
    let expected: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    assert_eq!(scratch.column("speed"), expected);
}

#[tokio::test]
async fn a_table_that_is_missing_is_waited_for() {
    let mut source = Source::start("text/event-stream").await;
    let scratch = Scratch::new().await;
    scratch.sql("ALTER TABLE readings RENAME TO away");
    let pulling = source.pull(&scratch);
    source.connection().await.send("{\"speed\":1}\n");
    while pulling.status().last_error.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(pulling.status().last_error.as_deref(), Some("there is no table `readings`"));
    scratch.sql("ALTER TABLE away RENAME TO readings");
    scratch.holds(1).await;
}
