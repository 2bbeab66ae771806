//! What a source can be read from, and what all of them have in common.

use std::fmt;

use super::http::{Http, HttpFeed};
use super::mqtt::{Mqtt, MqttFeed};
use super::poll::{Poll, PollFeed};
use super::reading::Session;
use super::socketio::{SocketIo, SocketIoFeed};
use super::status::Board;
use super::websocket::{WebSocket, WebSocketFeed};
use crate::ingest::decode::{Decoder, Format};
use crate::ingest::intake::Intake;

/// How much of a rejected record is kept, to be mended and tried again.
const RAW_BYTES: usize = 64 << 10;

/// What a source is read from.
#[derive(Debug, Clone)]
pub enum Feed {
    /// A stream over HTTP.
    Http(HttpFeed),
    /// A document over HTTP, fetched again and again.
    Poll(PollFeed),
    /// The messages of a WebSocket.
    WebSocket(WebSocketFeed),
    /// Events of a Socket.IO server.
    SocketIo(SocketIoFeed),
    /// Topics of an MQTT broker.
    Mqtt(MqttFeed),
}

/// A source that cannot even be tried. Says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FeedError(pub String);

impl Feed {
    /// `http`, `poll`, `websocket`, `socketio` or `mqtt`.
    pub fn kind(&self) -> &'static str {
        match self {
            Feed::Http(_) => "http",
            Feed::Poll(_) => "poll",
            Feed::WebSocket(_) => "websocket",
            Feed::SocketIo(_) => "socketio",
            Feed::Mqtt(_) => "mqtt",
        }
    }

    /// Where it is, as people may see it: without passwords and tokens.
    pub fn shown(&self) -> String {
        match self {
            Feed::Http(feed) => without_secrets(&feed.url),
            Feed::Poll(feed) => without_secrets(&feed.url),
            Feed::WebSocket(feed) => without_secrets(&feed.url),
            Feed::SocketIo(feed) => format!("socketio+{}", without_secrets(&feed.url)),
            Feed::Mqtt(feed) => format!("{} {}", without_secrets(&feed.url), feed.topics.join(" ")),
        }
    }

    /// Makes ready to connect; connects to nothing yet. `name` is the source's.
    pub(super) fn open(self, name: &str) -> Result<Link, FeedError> {
        Ok(match self {
            Feed::Http(feed) => Link::Http(Http::open(feed)?),
            Feed::Poll(feed) => Link::Poll(Poll::open(feed)?),
            Feed::WebSocket(feed) => Link::WebSocket(WebSocket::open(feed)?),
            Feed::SocketIo(feed) => Link::SocketIo(SocketIo::open(feed)?),
            Feed::Mqtt(feed) => Link::Mqtt(Mqtt::open(feed, name)?),
        })
    }
}

/// A feed, with what it keeps from one connection to the next.
pub(super) enum Link {
    Http(Http),
    Poll(Poll),
    WebSocket(WebSocket),
    SocketIo(SocketIo),
    Mqtt(Mqtt),
}

/// Where a link leaves its records, and says how it is.
#[derive(Clone, Copy)]
pub(super) struct Station<'a> {
    pub(super) name: &'a str,
    pub(super) intake: &'a Intake,
    pub(super) board: &'a Board,
}

impl Station<'_> {
    /// The source has answered.
    pub(super) fn connected(&self) {
        if self.board.connected() {
            tracing::info!(source = %self.name, url = %self.board.url(), "source connected");
        }
    }
}

impl Link {
    /// One connection, from its request to its end.
    pub(super) async fn session(&mut self, to: Station<'_>) -> Session {
        match self {
            Link::Http(http) => http.session(to).await,
            Link::Poll(poll) => poll.session(to).await,
            Link::WebSocket(websocket) => Box::pin(websocket.session(to)).await,
            Link::SocketIo(socketio) => Box::pin(socketio.session(to)).await,
            Link::Mqtt(mqtt) => Box::pin(mqtt.session(to)).await,
        }
    }
}

/// A reader that keeps what a rejected record looked like.
pub(super) fn decoder(format: Format, content_type: Option<&str>) -> Decoder {
    Decoder::new(format, content_type).keep_raw(RAW_BYTES)
}

/// A reader of one message: an object, an array, or lines.
pub(super) fn message_decoder(format: Format) -> Decoder {
    // As JSON, an object that is printed on several lines is one record, too.
    decoder(format, Some("application/json"))
}

/// The first bytes of a record, for people.
pub(super) fn excerpt(bytes: &[u8]) -> Box<str> {
    crate::ingest::decode::excerpt(bytes, RAW_BYTES)
}

/// Names of a query's parameters whose values nobody should read.
const SECRET: [&str; 7] = ["token", "key", "secret", "password", "passwd", "auth", "sig"];

/// An address as people may see it.
pub(super) fn without_secrets(url: &reqwest::Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "(hidden)".into();
    }
    let secret = |name: &str| SECRET.iter().any(|word| name.to_ascii_lowercase().contains(word));
    if url.query_pairs().any(|(name, _)| secret(&name)) {
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let shown = pairs.iter().map(|(name, value)| (name, if secret(name) { "***" } else { value }));
        url.query_pairs_mut().clear().extend_pairs(shown);
    }
    url.into()
}

/// Text that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let shown = |url: &str| without_secrets(&url.parse().expect("a URL"));
        assert_eq!(shown("http://me:hunter2@h/x?a=1"), "http://me:***@h/x?a=1");
        assert_eq!(shown("ws://h/x?a=1&api_key=hunter2&Token=hunter2"), "ws://h/x?a=1&api_key=***&Token=***");
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "***");
    }
}
