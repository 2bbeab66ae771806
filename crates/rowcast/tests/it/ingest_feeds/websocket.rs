//! A WebSocket's messages as records.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rowcast::ingest::pull::{Feed, WebSocketFeed};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::{pull, trouble};
use crate::scratch::Scratch;

/// The server's end of the next connection, and the headers it came with.
async fn accepted(listener: &TcpListener) -> (WebSocketStream<TcpStream>, Request) {
    let (stream, _) = listener.accept().await.expect("a connection");
    let mut asked = None;
    #[expect(clippy::result_large_err, reason = "the library's own shape")]
    let shake = |request: &Request, mut response: Response| {
        asked = Some(request.clone());
        if let Some(protocol) = request.headers().get("sec-websocket-protocol") {
            let first = protocol.to_str().expect("text").split(',').next().expect("one").to_owned();
            response.headers_mut().insert("sec-websocket-protocol", first.parse().expect("a header"));
        }
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, shake).await.expect("a handshake");
    (socket, asked.expect("asked"))
}

async fn server() -> (TcpListener, WebSocketFeed) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/live", listener.local_addr().expect("bound")).parse().expect("a URL");
    (listener, WebSocketFeed::new(url))
}

#[tokio::test]
async fn objects_arrays_and_lines_are_records_and_rubbish_is_kept() {
    let (listener, mut feed) = server().await;
    feed.send = vec!["{\"subscribe\":\"speed\"}".into(), "again".into()];
    feed.protocols = vec!["v1.live".into(), "v2".into()];
    feed.headers.add("x-token", "hunter2").expect("a header");
    let scratch = Scratch::new().await;
    let pulling = pull(&scratch, Feed::WebSocket(feed));
    let (mut socket, request) = accepted(&listener).await;
    assert_eq!(request.headers()["x-token"], "hunter2");
    assert_eq!(request.headers()["sec-websocket-protocol"], "v1.live, v2");
    let mut said = Vec::new();
    while said.len() < 2 {
        said.push(socket.next().await.expect("a message").expect("read").into_text().expect("text").to_string());
    }
    assert_eq!(said, ["{\"subscribe\":\"speed\"}", "again"]);
    for message in [
        "{\"speed\":1}",
        "[{\"speed\":2},{\"speed\":3}]",
        "{\"speed\":4}\n{\"speed\":5}\n",
        "{\n\"speed\": 6\n}",
        "hello",
    ] {
        socket.send(Message::text(message)).await.expect("sent");
    }
    socket.send(Message::binary(&b"{\"speed\":7}"[..])).await.expect("sent");
    socket.send(Message::binary(&b"\xff\xfe"[..])).await.expect("sent");
    socket.send(Message::text("{\"speed\":8}")).await.expect("sent");
    scratch.holds(8).await;
    let status = pulling.stop().await;
    assert_eq!(scratch.column("speed"), ["1", "2", "3", "4", "5", "6", "7", "8"]);
    assert_eq!((status.rejected, status.rejects[0].raw.as_str(), status.rejects[0].line), (2, "hello", 7));
    assert_eq!((status.rejects[1].reason.as_str(), status.kind), ("not UTF-8", "websocket"));
}

#[tokio::test]
async fn it_comes_back_after_an_end_an_error_and_silence() {
    let (listener, mut feed) = server().await;
    feed.idle_timeout = Duration::from_millis(300);
    let scratch = Scratch::new().await;
    let pulling = pull(&scratch, Feed::WebSocket(feed));
    let (mut first, _) = accepted(&listener).await;
    first.send(Message::text("{\"speed\":1}")).await.expect("sent");
    scratch.holds(1).await;
    first.close(None).await.expect("closed");
    let (mut second, _) = accepted(&listener).await;
    second.send(Message::text("{\"speed\":2}")).await.expect("sent");
    scratch.holds(2).await;
    drop(second);
    // Not read, and so no ping is answered.
    let (mut silent, _) = accepted(&listener).await;
    silent.send(Message::text("{\"speed\":3}")).await.expect("sent");
    trouble(&pulling, "silent for 300ms").await;
    let (mut quiet, _) = accepted(&listener).await;
    quiet.send(Message::text("{\"speed\":4}")).await.expect("sent");
    scratch.holds(4).await;
    // A server that answers pings is well, however little it says.
    let answering = tokio::spawn(async move {
        let mut pings = 0;
        while let Some(Ok(message)) = quiet.next().await {
            pings += u32::from(message.is_ping());
            if pings == 4 {
                return quiet;
            }
        }
        panic!("it went away from a server that answers");
    });
    let _quiet = answering.await.expect("four pings");
    assert_eq!(scratch.column("speed"), ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_server_that_is_no_websocket_is_named() {
    let (listener, feed) = server().await;
    let app = axum::Router::new();
    tokio::spawn(axum::serve(listener, app).into_future());
    let scratch = Scratch::new().await;
    let pulling = pull(&scratch, Feed::WebSocket(feed));
    assert_eq!(trouble(&pulling, "answered").await, "answered 404 Not Found instead of a WebSocket");
}
