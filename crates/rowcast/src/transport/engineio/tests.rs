//! An echo server on a free port, and a client that speaks plain HTTP and WebSocket to it.

mod hostile;
mod suite;
mod upgrade;
mod web;

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{End, Heard, Peer, Settings, routes};
use crate::protocol::engineio::Eio;
use crate::protocol::frame;
use crate::session::Limits;
use crate::transport::Origins;

/// As the official test suites want it.
fn quick() -> Settings {
    Settings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        ..Settings::default()
    }
}

struct World {
    address: SocketAddr,
}

impl World {
    async fn echo(settings: Settings) -> Self {
        Self::with(settings, Limits::default(), echo).await
    }

    async fn with<F>(settings: Settings, limits: Limits, serve: impl Fn(Peer) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        settings.check().expect("settings");
        let router: Router = routes(&settings, &limits, &Origins::default(), serve);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { address }
    }

    /// One request on a connection of its own.
    async fn request(&self, method: &str, query: &str, headers: &str, body: &[u8]) -> Answer {
        let mut stream = self.begin(method, query, headers, body).await;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("an answer");
        Answer::parse(&bytes)
    }

    async fn begin(&self, method: &str, query: &str, headers: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        let (host, length) = (self.address, body.len());
        let head = format!(
            "{method} /socket.io/?{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("a head");
        // What is too large is refused before it is read.
        let _ = stream.write_all(body).await;
        stream
    }

    async fn get(&self, query: &str) -> Answer {
        self.request("GET", query, "", b"").await
    }

    async fn post(&self, query: &str, body: &str) -> Answer {
        self.request("POST", query, "Content-Type: text/plain;charset=UTF-8\r\n", body.as_bytes()).await
    }

    async fn socket(&self, query: &str) -> Result<Socket, Error> {
        let url = format!("ws://{}/socket.io/?{query}", self.address);
        connect_async(url).await.map(|(socket, _)| Socket(socket))
    }

    /// A session that polls; its query.
    async fn polling(&self, eio: Eio) -> String {
        let query = format!("EIO={}&transport=polling", number(eio));
        let answer = self.get(&query).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        format!("{query}&sid={}", sid(&answer.packets(eio)[0]))
    }
}

fn number(eio: Eio) -> u8 {
    match eio {
        Eio::V3 => 3,
        Eio::V4 => 4,
    }
}

/// The same session over a WebSocket.
fn over_websocket(query: &str) -> String {
    query.replace("polling", "websocket")
}

fn sid(open: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(open.strip_prefix('0').expect("an open packet")).expect("JSON");
    json["sid"].as_str().expect("a sid").to_owned()
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    /// The packets of a text payload, cut by hand.
    fn packets(&self, eio: Eio) -> Vec<String> {
        let text = self.text();
        if eio == Eio::V4 {
            return text.split('\x1e').map(str::to_owned).collect();
        }
        let (mut packets, mut rest) = (Vec::new(), &text[..]);
        while let Some((length, after)) = rest.split_once(':') {
            let (packet, after) = after.split_at(length.parse().expect("a length"));
            packets.push(packet.to_owned());
            rest = after;
        }
        packets
    }
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("said");
    }

    async fn say_binary(&mut self, data: &'static [u8]) {
        self.0.send(Message::Binary(Bytes::from_static(data))).await.expect("said");
    }

    /// The next message, pings of WebSocket aside.
    async fn message(&mut self) -> Message {
        loop {
            match self.0.next().await.expect("a message").expect("a message") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    async fn hear(&mut self) -> String {
        self.message().await.into_text().expect("a text").to_string()
    }

    /// Hears what is said until the end.
    async fn until_closed(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        while let Some(Ok(message)) = self.0.next().await {
            match message {
                Message::Text(text) => heard.push(text.to_string()),
                Message::Close(_) => break,
                _ => {}
            }
        }
        heard
    }
}

/// Says what it hears.
async fn echo(mut peer: Peer) {
    let v3 = peer.handshake().eio() == Eio::V3;
    let mut out = Vec::new();
    loop {
        match peer.hear(true).await {
            Ok(Heard::Text(text)) => out.push(frame::text(format!("4{text}").as_bytes())),
            Ok(Heard::Binary(data)) if v3 => out.push(frame::binary(&[&[4], &data[..]].concat())),
            Ok(Heard::Binary(data)) => out.push(frame::binary(&data)),
            Err(End::Close(code, closing)) => return peer.goodbye(code, closing.reason, None).await,
            Err(End::Gone) => return,
        }
        if peer.send(&mut out).await.is_err() {
            return;
        }
    }
}
