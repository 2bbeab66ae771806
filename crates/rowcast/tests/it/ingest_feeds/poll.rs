//! Documents that are fetched again and again.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use parking_lot::Mutex;
use rowcast::ingest::pull::{Feed, HttpFeed, PollFeed};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{pull, trouble};
use crate::scratch::Scratch;

/// What the server answers to all requests from now on.
type Answer = Arc<Mutex<fn(&HeaderMap) -> Response>>;

struct Server {
    url: reqwest::Url,
    answer: Answer,
    requests: mpsc::Receiver<(Method, HeaderMap, String)>,
}

type Front = (Answer, mpsc::Sender<(Method, HeaderMap, String)>);

async fn answer(State((answer, requests)): State<Front>, method: Method, headers: HeaderMap, body: String) -> Response {
    let answer = answer.lock()(&headers);
    // Nobody counts them any more.
    let _ = requests.try_send((method, headers, body));
    answer
}

impl Server {
    async fn start(first: fn(&HeaderMap) -> Response) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/data", listener.local_addr().expect("bound")).parse().expect("a URL");
        let (sender, requests) = mpsc::channel(1_000);
        let shared: Answer = Arc::new(Mutex::new(first));
        let app = Router::new().fallback(any(answer)).with_state((Arc::clone(&shared), sender));
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { url, answer: shared, requests }
    }

    fn feed(&self) -> PollFeed {
        PollFeed::new(self.url.clone(), Duration::from_millis(20))
    }

    async fn request(&mut self) -> (Method, HeaderMap, String) {
        self.requests.recv().await.expect("it asks")
    }
}

#[tokio::test]
async fn a_document_is_read_once_for_each_version() {
    fn versioned(headers: &HeaderMap) -> Response {
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"v1\"");
        assert!(!known || headers[header::IF_MODIFIED_SINCE] == "Thu, 01 Jan 2026 00:00:00 GMT");
        let version = [(header::ETAG, "\"v1\""), (header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT")];
        if known {
            return (StatusCode::NOT_MODIFIED, version).into_response();
        }
        (version, "{\"data\":{\"items\":[{\"speed\":1},{\"speed\":\"2\"},\"x\"]}}").into_response()
    }
    let mut server = Server::start(versioned).await;
    let scratch = Scratch::new().await;
    let pulling = pull(&scratch, Feed::Poll(PollFeed { items: Some("/data/items".into()), ..server.feed() }));
    for _ in 0..4 {
        server.request().await;
    }
    let status = pulling.stop().await;
    assert_eq!(scratch.column("speed"), ["1", "2"]);
    assert_eq!((status.rows, status.rejected, status.reconnects, status.kind), (2, 1, 0, "poll"));
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_is() {
    fn busy(_: &HeaderMap) -> Response {
        (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "3600")]).into_response()
    }
    let mut server = Server::start(busy).await;
    let scratch = Scratch::new().await;
    let pulling = pull(&scratch, Feed::Poll(server.feed()));
    server.request().await;
    trouble(&pulling, "429").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(server.requests.try_recv().is_err(), "it was asked again before its time");
}

#[tokio::test]
async fn after_errors_it_is_asked_again_and_csv_is_read() {
    let mut server = Server::start(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()).await;
    let scratch = Scratch::new().await;
    let pulling = pull(&scratch, Feed::Poll(server.feed()));
    trouble(&pulling, "500").await;
    *server.answer.lock() =
        |_| ([(header::CONTENT_TYPE, "text/csv"), (header::ETAG, "\"x\"")], "speed\n7\n").into_response();
    scratch.holds(1).await;
    server.request().await;
    assert_eq!(scratch.column("speed")[0], "7");
}

#[tokio::test]
async fn a_stream_is_asked_for_with_method_body_and_headers_and_may_be_compressed() {
    fn compressed(_: &HeaderMap) -> Response {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, b"{\"speed\":1}\n{\"speed\":2}\n").expect("in memory");
        let body = gzip.finish().expect("in memory");
        ([(header::CONTENT_ENCODING, "gzip"), (header::CONTENT_TYPE, "application/x-ndjson")], Body::from(body))
            .into_response()
    }
    let mut server = Server::start(compressed).await;
    let scratch = Scratch::new().await;
    let mut feed = HttpFeed::new(server.url.clone());
    feed.request.post = true;
    feed.request.body = Some("{\"since\":1}".into());
    feed.request.headers.add("Authorization", "Bearer hunter2").expect("a header");
    assert!(!format!("{feed:?}").contains("hunter2"));
    let _pulling = pull(&scratch, Feed::Http(feed));
    let (method, headers, body) = server.request().await;
    assert_eq!(
        (method, headers["authorization"].as_bytes(), body.as_str()),
        (Method::POST, &b"Bearer hunter2"[..], "{\"since\":1}")
    );
    scratch.holds(2).await;
    assert_eq!(scratch.column("speed")[..2], ["1", "2"]);
}

#[tokio::test]
async fn headers_do_not_go_to_another_host() {
    let mut other = Server::start(|_| "{\"speed\":1}".into_response()).await;
    static ELSEWHERE: Mutex<String> = Mutex::new(String::new());
    *ELSEWHERE.lock() = other.url.to_string();
    let server =
        Server::start(|_| (StatusCode::FOUND, [(header::LOCATION, ELSEWHERE.lock().clone())]).into_response()).await;
    let scratch = Scratch::new().await;
    let mut feed = HttpFeed::new(server.url.clone());
    feed.request.headers.add("x-key", "hunter2").expect("a header");
    let pulling = pull(&scratch, Feed::Http(feed));
    trouble(&pulling, "redirected to another host").await;
    assert!(other.requests.try_recv().is_err());
    pulling.stop().await;
    let _pulling = pull(&scratch, Feed::Http(HttpFeed::new(server.url.clone())));
    other.request().await;
}
