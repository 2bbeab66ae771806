//! A WebSocket's messages: each an object, an array of objects, or lines of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use reqwest::header::HeaderValue;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::feed::{FeedError, Secret, Station, message_decoder};
use super::handing::Handing;
use super::reading::{Over, Session};
use super::request::{CONNECT_WAIT, Headers};
use super::tls;
use crate::ingest::decode::{Format, Record};

/// The largest message that is read.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// How long one message of ours may take to be written.
pub(super) const WRITE_WAIT: Duration = Duration::from_secs(30);

/// A WebSocket to listen to.
#[derive(Debug, Clone)]
pub struct WebSocketFeed {
    /// Where it is: `ws` or `wss`.
    pub url: Url,
    /// How each message is written.
    pub format: Format,
    /// What is sent when the connection is made, one message each: subscriptions, a token.
    pub send: Vec<Secret>,
    /// Subprotocols that are offered, the best first.
    pub protocols: Vec<String>,
    /// Further headers of the handshake.
    pub headers: Headers,
    /// Authorities that may sign the server's certificate, as PEM. `None`: those that this machine trusts.
    pub ca: Option<Arc<[u8]>>,
    /// A server that says nothing for so long, and answers no ping, is given up.
    pub idle_timeout: Duration,
}

impl WebSocketFeed {
    /// Sends nothing, and a minute's silence is too long.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            format: Format::Auto,
            send: Vec::new(),
            protocols: Vec::new(),
            headers: Headers::default(),
            ca: None,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A WebSocket, connected again and again.
pub(super) struct WebSocket {
    feed: WebSocketFeed,
    dial: Dial,
}

impl WebSocket {
    pub(super) fn open(feed: WebSocketFeed) -> Result<Self, FeedError> {
        let dial = Dial::new(&feed.url, &feed.headers, &feed.protocols, feed.ca.as_deref())?;
        Ok(Self { feed, dial })
    }

    pub(super) async fn session(&mut self, to: Station<'_>) -> Session {
        let mut socket = match self.dial.connect(&self.feed.url).await {
            Ok(socket) => socket,
            Err(error) => return Session::failed(error),
        };
        to.connected();
        let mut handing = Handing::<()>::new(to.intake);
        let over = match self.read(&mut socket, &mut handing).await {
            Over::Stopped => Over::Stopped,
            over if handing.rest().await.is_ok() => over,
            _ => Over::Stopped,
        };
        Session::over(over, handing.flowed())
    }

    async fn read(&self, socket: &mut Socket, handing: &mut Handing<()>) -> Over {
        for message in &self.feed.send {
            if let Err(error) = send(socket, Message::text(message.expose())).await {
                return Over::Error(error);
            }
        }
        let mut alive = Alive::new(self.feed.idle_timeout);
        let mut numbered = 0;
        loop {
            let message = tokio::select! {
                safe = handing.safe() => match safe {
                    Ok(_) => continue,
                    Err(_) => return Over::Stopped,
                },
                message = socket.next(), if handing.has_room() => message,
                () = tokio::time::sleep_until(alive.next()), if handing.has_room() => {
                    if alive.is_over() {
                        return Over::Error(format!("silent for {:?}", self.feed.idle_timeout));
                    }
                    alive.asked();
                    if let Err(error) = send(socket, Message::Ping(Bytes::new())).await {
                        return Over::Error(error);
                    }
                    continue;
                }
            };
            alive.heard();
            let bytes = match message {
                None => return Over::End,
                Some(Err(error)) => return Over::Error(broken(&error)),
                Some(Ok(Message::Text(text))) => Bytes::from(text),
                // Bytes that are no text are rejected as such, and the next message is read.
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Close(frame))) => return closed(frame),
                Some(Ok(_)) => continue,
            };
            handing.push(records(self.feed.format, &bytes, &mut numbered), bytes.len(), None);
        }
    }
}

/// The records of one message, numbered on from those before.
pub(super) fn records(format: Format, message: &[u8], numbered: &mut u64) -> Vec<Record> {
    let mut records = Vec::new();
    let mut decoder = message_decoder(format);
    decoder.feed(message, &mut records);
    decoder.finish(&mut records);
    for record in &mut records {
        *numbered += 1;
        record.line = *numbered;
    }
    records
}

/// How connections are made.
pub(super) struct Dial {
    headers: Headers,
    protocols: Option<HeaderValue>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Dial {
    pub(super) fn new(
        url: &Url,
        headers: &Headers,
        protocols: &[String],
        ca: Option<&[u8]>,
    ) -> Result<Self, FeedError> {
        let secure = matches!(url.scheme(), "wss" | "https");
        let protocols = match protocols {
            [] => None,
            some => Some(
                HeaderValue::from_str(&some.join(", "))
                    .map_err(|_| FeedError("a subprotocol has characters that it may not have".into()))?,
            ),
        };
        Ok(Self { headers: headers.clone(), protocols, tls: if secure { Some(tls::config(ca)?) } else { None } })
    }

    pub(super) async fn connect(&self, url: &Url) -> Result<Socket, String> {
        let mut request = url.as_str().into_client_request().map_err(|error| broken(&error))?;
        for (name, value) in self.headers.map() {
            request.headers_mut().append(name, value.clone());
        }
        if let Some(protocols) = &self.protocols {
            request.headers_mut().insert("sec-websocket-protocol", protocols.clone());
        }
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = 16 << 10;
        config.write_buffer_size = 4 << 10;
        config.max_message_size = Some(MESSAGE_BYTES_MAX);
        config.max_frame_size = Some(MESSAGE_BYTES_MAX);
        let connector = self.tls.clone().map(Connector::Rustls);
        let connecting = tokio_tungstenite::connect_async_tls_with_config(request, Some(config), true, connector);
        match tokio::time::timeout(CONNECT_WAIT * 2, connecting).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(broken(&error)),
            Err(_) => Err(format!("no answer within {:?}", CONNECT_WAIT * 2)),
        }
    }
}

/// Writes one message, in a bounded time.
pub(super) async fn send(socket: &mut Socket, message: Message) -> Result<(), String> {
    match tokio::time::timeout(WRITE_WAIT, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(broken(&error)),
        Err(_) => Err(format!("the server takes nothing for {WRITE_WAIT:?}")),
    }
}

/// What went wrong, for people.
pub(super) fn broken(error: &tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Http(response) => format!("answered {} instead of a WebSocket", response.status()),
        tungstenite::Error::Io(error) => format!("cannot connect, or the connection broke: {error}"),
        tungstenite::Error::Capacity(error) => format!("a message is too large: {error}"),
        error => error.to_string(),
    }
}

/// What the other side's farewell means.
pub(super) fn closed(frame: Option<tungstenite::protocol::CloseFrame>) -> Over {
    match frame {
        Some(frame) if !matches!(u16::from(frame.code), 1000 | 1001 | 1012) => {
            let reason = if frame.reason.is_empty() { "without a reason" } else { frame.reason.as_str() };
            Over::Error(format!("the server closed the connection, {}: {reason}", frame.code))
        }
        _ => Over::End,
    }
}

/// Whether the other side is there: asked after half of the time that it may be silent.
struct Alive {
    limit: Duration,
    heard: Instant,
    asked: bool,
}

impl Alive {
    fn new(limit: Duration) -> Self {
        Self { limit, heard: Instant::now(), asked: false }
    }

    fn heard(&mut self) {
        *self = Self::new(self.limit);
    }

    fn asked(&mut self) {
        self.asked = true;
    }

    fn next(&self) -> Instant {
        self.heard + if self.asked { self.limit } else { self.limit / 2 }
    }

    fn is_over(&self) -> bool {
        self.heard.elapsed() >= self.limit
    }
}
