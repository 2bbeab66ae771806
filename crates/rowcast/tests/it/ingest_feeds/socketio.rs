//! Events of a Socket.IO server, spoken by hand here; `tests/peers` has the real one.

use futures_util::{SinkExt, StreamExt};
use rowcast::ingest::pull::{EngineIo, Feed, SocketIoFeed};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::{pull, trouble};
use crate::scratch::Scratch;

struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    async fn accept(listener: &TcpListener) -> (Self, String) {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut asked = String::new();
        #[expect(clippy::result_large_err, reason = "the library's own shape")]
        let shake = |request: &Request, response: Response| {
            asked = request.uri().to_string();
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, shake).await.expect("a handshake");
        (Self(socket), asked)
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("sent");
    }

    async fn hears(&mut self, expected: &str) {
        let message = self.0.next().await.expect("a message").expect("read");
        assert_eq!(message.into_text().expect("text").as_str(), expected);
    }
}

const OPEN: &str = r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

async fn server(path: &str) -> (TcpListener, SocketIoFeed) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}{path}", listener.local_addr().expect("bound")).parse().expect("a URL");
    (listener, SocketIoFeed::new(url))
}

#[tokio::test]
async fn events_are_records_and_are_acknowledged_when_they_are_safe() {
    let (listener, mut feed) = server("/live?room=1").await;
    feed.auth = Some("{\"token\":\"t\"}".into());
    feed.events = vec!["newData".into()];
    let scratch = Scratch::new().await;
    let pulling = pull(&scratch, Feed::SocketIo(feed));
    let (mut peer, asked) = Peer::accept(&listener).await;
    assert_eq!(asked, "/socket.io/?room=1&EIO=4&transport=websocket");
    peer.say(OPEN).await;
    peer.hears("40/live,{\"token\":\"t\"}").await;
    peer.say("40/live,{\"sid\":\"y\"}").await;
    peer.say("2").await;
    peer.hears("3").await;
    peer.say("42/live,[\"newData\",{\"time\":\"1\",\"speed\":\"37\"}]").await;
    peer.say("42/live,[\"other\",{\"speed\":99}]").await;
    peer.say("42[\"newData\",{\"speed\":99}]").await;
    peer.say("42/live,[\"newData\",\"rubbish\"]").await;
    peer.say("451-/live,[\"newData\",{\"_placeholder\":true,\"num\":0}]").await;
    peer.0.send(Message::binary(&b"\x01"[..])).await.expect("sent");
    peer.say("42/live,7[\"newData\",[{\"speed\":38},{\"speed\":39}]]").await;
    peer.hears("43/live,7[]").await;
    scratch.holds(3).await;
    let status = pulling.stop().await;
    assert_eq!(scratch.column("speed"), ["37", "38", "39"]);
    let reasons: Vec<&str> = status.rejects.iter().map(|reject| reject.reason.as_str()).collect();
    assert_eq!(status.rejected, 2, "{reasons:?}");
    assert!(reasons[1].contains("binary data"), "{reasons:?}");
}

#[tokio::test]
async fn events_that_were_missed_are_asked_for() {
    let (listener, feed) = server("").await;
    let scratch = Scratch::new().await;
    let _pulling = pull(&scratch, Feed::SocketIo(feed));
    let (mut peer, _) = Peer::accept(&listener).await;
    peer.say(OPEN).await;
    peer.hears("40").await;
    peer.say("40{\"sid\":\"y\",\"pid\":\"p\"}").await;
    peer.say("42[\"newData\",{\"speed\":1},\"offset-1\"]").await;
    scratch.holds(1).await;
    drop(peer);
    let (mut peer, _) = Peer::accept(&listener).await;
    peer.say(OPEN).await;
    peer.hears("40{\"pid\":\"p\",\"offset\":\"offset-1\"}").await;
}

#[tokio::test]
async fn servers_of_the_second_version_are_pinged() {
    let (listener, feed) = server("").await;
    let scratch = Scratch::new().await;
    let _pulling = pull(&scratch, Feed::SocketIo(SocketIoFeed { protocol: EngineIo::V3, ..feed }));
    let (mut peer, asked) = Peer::accept(&listener).await;
    assert_eq!(asked, "/socket.io/?EIO=3&transport=websocket");
    peer.say(r#"0{"sid":"x","upgrades":[],"pingInterval":100,"pingTimeout":5000}"#).await;
    peer.say("40").await;
    peer.hears("2").await;
    peer.say("3").await;
    peer.say("42[\"newData\",{\"speed\":1}]").await;
    scratch.holds(1).await;
    peer.hears("2").await;
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words() {
    let (listener, feed) = server("").await;
    let scratch = Scratch::new().await;
    let pulling = pull(&scratch, Feed::SocketIo(feed));
    let (mut peer, _) = Peer::accept(&listener).await;
    peer.say(OPEN).await;
    peer.hears("40").await;
    peer.say("44{\"message\":\"Invalid namespace\"}").await;
    let error = trouble(&pulling, "refused").await;
    assert_eq!(error, "the server refused the connection: Invalid namespace");
}

/// The npm package itself, in a process of its own.
struct Real {
    _child: tokio::process::Child,
    stdin: tokio::process::ChildStdin,
    lines: tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>>,
    port: String,
}

impl Real {
    async fn start(package: &str) -> Self {
        use tokio::io::{AsyncBufReadExt, BufReader};
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers/socketio.cjs");
        let mut command = tokio::process::Command::new("node");
        command.args([script, package]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("node is installed");
        let stdin = child.stdin.take().expect("piped");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.next_line().await.expect("readable").expect("the packages are there: run `npm ci`");
        Self { _child: child, stdin, lines, port }
    }

    async fn line(&mut self) -> String {
        self.lines.next_line().await.expect("readable").expect("a line")
    }

    async fn tell(&mut self, word: &str) {
        use tokio::io::AsyncWriteExt;
        self.stdin.write_all(format!("{word}\n").as_bytes()).await.expect("written");
    }
}

#[tokio::test]
async fn the_npm_server_of_today_is_read_and_what_it_kept_is_had() {
    let mut server = Real::start("socket.io").await;
    let url = format!("http://127.0.0.1:{}/live", server.port).parse().expect("a URL");
    let scratch = Scratch::new().await;
    let feed = SocketIoFeed {
        auth: Some("{\"token\":\"t\"}".into()),
        events: vec!["newData".into()],
        ..SocketIoFeed::new(url)
    };
    let pulling = pull(&scratch, Feed::SocketIo(feed));
    assert_eq!(server.line().await, "connected t false");
    assert_eq!(server.line().await, "acknowledged");
    scratch.holds(3).await;
    server.tell("emit").await;
    scratch.holds(4).await;
    // What is said while nobody is there comes with the recovery.
    server.tell("cut\nemit").await;
    assert_eq!(server.line().await, "connected t true");
    scratch.holds(5).await;
    let status = pulling.stop().await;
    assert_eq!(scratch.column("speed")[..5], ["1", "2", "3", "4", "5"]);
    assert_eq!((status.rejected, status.reconnects), (0, 1));
}

#[tokio::test]
async fn the_npm_server_of_the_second_version_is_read_for_longer_than_its_pings() {
    let mut server = Real::start("socket.io-2").await;
    let url = format!("http://127.0.0.1:{}/live?token=t", server.port).parse().expect("a URL");
    let scratch = Scratch::new().await;
    let events = vec!["newData".into()];
    let feed = SocketIoFeed { protocol: EngineIo::V3, events, ..SocketIoFeed::new(url) };
    let pulling = pull(&scratch, Feed::SocketIo(feed));
    assert_eq!(server.line().await, "connected t false");
    assert_eq!(server.line().await, "acknowledged");
    // Longer than the server waits for a ping.
    tokio::time::sleep(std::time::Duration::from_millis(3_000)).await;
    server.tell("emit").await;
    scratch.holds(4).await;
    let status = pulling.stop().await;
    assert_eq!(scratch.column("speed"), ["1", "2", "3", "4"]);
    assert_eq!((status.rejected, status.reconnects), (0, 0));
}
