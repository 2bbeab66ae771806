//! Events of a Socket.IO server: Socket.IO 5 over Engine.IO 4 (servers of 3.x and 4.x), or Engine.IO 3 (servers of 1.x and 2.x),
//! over WebSocket.
//!
//! An event's first argument is a record, or an array of them. An event that asks for an acknowledgement gets it when its
//! records are safe. Where the server offers connection state recovery, events that were missed are asked for.

mod packet;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use self::packet::{Event, Packet};
use super::feed::{FeedError, Secret, Station, excerpt};
use super::handing::Handing;
use super::reading::{Over, Session};
use super::request::Headers;
use super::websocket::{Dial, Socket, broken, closed, records, send};
use crate::ingest::decode::{Format, Record, RecordError};

/// How long the server may take to say that the connection stands.
const OPEN_WAIT: Duration = Duration::from_secs(20);

/// A Socket.IO server to listen to.
#[derive(Debug, Clone)]
pub struct SocketIoFeed {
    /// Where it is, `http` or `https`. The path is the namespace, as in Socket.IO's own client.
    pub url: Url,
    /// Where the server is mounted.
    pub path: String,
    /// Which Engine.IO it speaks.
    pub protocol: EngineIo,
    /// What goes with the connection, a JSON object: what Socket.IO's own client calls `auth`. Engine.IO 4 only.
    pub auth: Option<Secret>,
    /// The events whose first argument is a record. Empty: all.
    pub events: Vec<String>,
    /// Further headers of the handshake.
    pub headers: Headers,
    /// Authorities that may sign the server's certificate, as PEM. `None`: those that this machine trusts.
    pub ca: Option<Arc<[u8]>>,
}

/// The protocol under Socket.IO.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EngineIo {
    /// Of servers of 1.x and 2.x.
    V3,
    /// Of servers of 3.x and 4.x.
    #[default]
    V4,
}

impl SocketIoFeed {
    /// All events, over Engine.IO 4.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            path: "/socket.io/".into(),
            protocol: EngineIo::V4,
            auth: None,
            events: Vec::new(),
            headers: Headers::default(),
            ca: None,
        }
    }
}

/// What the server says when the connection opens.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    ping_interval: u64,
    ping_timeout: u64,
}

/// What a server with connection state recovery needs, to send what was missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Recovery {
    pid: String,
    offset: String,
}

/// A Socket.IO server, connected again and again.
pub(super) struct SocketIo {
    feed: SocketIoFeed,
    dial: Dial,
    address: Url,
    namespace: String,
    /// The records behind the last place that is safe.
    recovery: Option<Recovery>,
}

/// One connection.
struct Talk<'a> {
    feed: &'a SocketIoFeed,
    namespace: &'a str,
    handing: Handing<u64>,
    numbered: u64,
    /// Known where the server offers recovery.
    pid: Option<String>,
    offset: Option<String>,
    /// Binary messages that belong to an event already rejected.
    attachments: usize,
}

impl SocketIo {
    pub(super) fn open(feed: SocketIoFeed) -> Result<Self, FeedError> {
        let dial = Dial::new(&feed.url, &feed.headers, &[], feed.ca.as_deref())?;
        let namespace = match feed.url.path() {
            "" | "/" => String::new(),
            path => path.trim_end_matches('/').to_owned(),
        };
        if let Some(auth) = &feed.auth
            && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(auth.expose()).is_err()
        {
            return Err(FeedError("`auth` must be a JSON object".into()));
        }
        let address = address(&feed).ok_or_else(|| FeedError("the URL cannot be one of a WebSocket".into()))?;
        Ok(Self { feed, dial, address, namespace, recovery: None })
    }

    pub(super) async fn session(&mut self, to: Station<'_>) -> Session {
        let mut socket = match self.dial.connect(&self.address).await {
            Ok(socket) => socket,
            Err(error) => return Session::failed(error),
        };
        let resume = to.intake.resume().and_then(|token| serde_json::from_str(&token).ok()).or(self.recovery.take());
        let mut talk = Talk {
            feed: &self.feed,
            namespace: &self.namespace,
            handing: Handing::new(to.intake),
            numbered: 0,
            pid: None,
            offset: resume.as_ref().map(|resume: &Recovery| resume.offset.clone()),
            attachments: 0,
        };
        let over = match talk.run(&mut socket, resume.clone(), to).await {
            Err(over) => over,
            Ok(never) => match never {},
        };
        let over = match over {
            Over::Stopped => Over::Stopped,
            over if talk.handing.rest().await.is_ok() => over,
            _ => Over::Stopped,
        };
        let (flowed, recovery) = (talk.handing.flowed(), talk.recovery());
        self.recovery = recovery.or(resume);
        Session::over(over, flowed)
    }
}

/// Nothing: a talk goes on until it is over.
enum Never {}

impl Talk<'_> {
    fn recovery(&self) -> Option<Recovery> {
        self.pid.clone().zip(self.offset.clone()).map(|(pid, offset)| Recovery { pid, offset })
    }

    async fn run(&mut self, socket: &mut Socket, resume: Option<Recovery>, to: Station<'_>) -> Result<Never, Over> {
        let opened = tokio::time::timeout(OPEN_WAIT, self.greet(socket, resume)).await;
        let opened = opened.map_err(|_| Over::Error(format!("not connected within {OPEN_WAIT:?}")))??;
        to.connected();
        let interval = Duration::from_millis(opened.ping_interval.clamp(100, 3_600_000));
        let silence = interval + Duration::from_millis(opened.ping_timeout.clamp(100, 3_600_000));
        let client_pings = self.feed.protocol == EngineIo::V3;
        let (mut heard, mut ping) = (Instant::now(), Instant::now() + interval);
        loop {
            let message = tokio::select! {
                safe = self.handing.safe() => {
                    for id in safe.map_err(|_| Over::Stopped)? {
                        say(socket, packet::ack(self.namespace, id)).await?;
                    }
                    continue;
                }
                () = tokio::time::sleep_until(ping), if client_pings => {
                    ping = Instant::now() + interval;
                    say(socket, "2".into()).await?;
                    continue;
                }
                message = socket.next(), if self.handing.has_room() => message,
                () = tokio::time::sleep_until(heard + silence), if self.handing.has_room() => {
                    return Err(Over::Error(format!("silent for {silence:?}")));
                }
            };
            heard = Instant::now();
            if let Some(text) = text_of(message)? {
                self.packet(socket, &text).await?;
            } else {
                self.attachments = self.attachments.saturating_sub(1);
            }
        }
    }

    /// The first packets: the connection opens, then the namespace.
    async fn greet(&mut self, socket: &mut Socket, resume: Option<Recovery>) -> Result<Opened, Over> {
        let opened: Opened = loop {
            let Some(text) = text_of(socket.next().await)? else { continue };
            let Some(json) = text.strip_prefix('0') else {
                return Err(Over::Error("this is no Socket.IO server: its first message opens no connection".into()));
            };
            break serde_json::from_str(json)
                .map_err(|error| Over::Error(format!("the server's first message is not understood: {error}")))?;
        };
        match self.feed.protocol {
            EngineIo::V4 => say(socket, packet::connect(self.namespace, &self.auth(resume))).await?,
            // The root namespace is connected without being asked for.
            EngineIo::V3 if self.namespace.is_empty() => {}
            EngineIo::V3 => say(socket, packet::connect(self.namespace, "")).await?,
        }
        loop {
            let Some(text) = text_of(socket.next().await)? else { continue };
            match Packet::parse(&text) {
                Packet::Connected { namespace, pid } if namespace == self.namespace => {
                    self.pid = pid;
                    return Ok(opened);
                }
                _ => self.packet(socket, &text).await?,
            }
        }
    }

    /// The configured payload, and what asks for the events that were missed.
    fn auth(&self, resume: Option<Recovery>) -> String {
        let mut auth: serde_json::Map<String, serde_json::Value> =
            self.feed.auth.as_ref().and_then(|auth| serde_json::from_str(auth.expose()).ok()).unwrap_or_default();
        if let Some(Recovery { pid, offset }) = resume {
            auth.insert("pid".into(), pid.into());
            auth.insert("offset".into(), offset.into());
        }
        if auth.is_empty() { String::new() } else { serde_json::Value::Object(auth).to_string() }
    }

    async fn packet(&mut self, socket: &mut Socket, text: &str) -> Result<(), Over> {
        match Packet::parse(text) {
            Packet::Ping(payload) => say(socket, format!("3{payload}")).await,
            Packet::Event(event) if event.namespace == self.namespace => {
                self.event(event, text);
                Ok(())
            }
            Packet::Refused { namespace, message } if namespace == self.namespace => {
                Err(Over::Error(format!("the server refused the connection: {message}")))
            }
            Packet::Disconnected { namespace } if namespace == self.namespace => {
                Err(Over::Error("the server ended the connection to the namespace".into()))
            }
            Packet::Closed => Err(Over::End),
            _ => Ok(()),
        }
    }

    fn event(&mut self, event: Event<'_>, text: &str) {
        let Event { attachments, ack, arguments, .. } = event;
        self.attachments = attachments;
        let wanted = |name: &str| self.feed.events.is_empty() || self.feed.events.iter().any(|event| event == name);
        let found = packet::arguments(arguments);
        let records = match &found {
            Err(what) => vec![self.rejected(text, what)],
            Ok((name, _)) if !wanted(name) => vec![],
            Ok(_) if attachments > 0 => vec![self.rejected(text, "the event carries binary data")],
            Ok((_, arguments)) => match arguments.first() {
                Some(record) => records(Format::Json, record.get().as_bytes(), &mut self.numbered),
                None => vec![self.rejected(text, "the event has no argument")],
            },
        };
        // A server that can recover adds the place as the last argument of what it emits.
        let offset = found.ok().and_then(|(_, arguments)| serde_json::from_str::<String>(arguments.last()?.get()).ok());
        if self.pid.is_some() && ack.is_none() && offset.is_some() {
            self.offset = offset;
        }
        self.handing.push(records, text.len(), ack);
        if let Some(recovery) = self.recovery() {
            self.handing.resume_from(serde_json::to_string(&recovery).unwrap_or_default());
        }
    }

    fn rejected(&mut self, text: &str, what: &str) -> Record {
        self.numbered += 1;
        let fields = Err(RecordError::NotJson(what.to_owned()));
        Record { line: self.numbered, raw: excerpt(text.as_bytes()), place: None, fields }
    }
}

async fn say(socket: &mut Socket, text: String) -> Result<(), Over> {
    send(socket, Message::text(text)).await.map_err(Over::Error)
}

/// A text message; `None` for what is not one.
fn text_of(message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Result<Option<String>, Over> {
    match message {
        None => Err(Over::End),
        Some(Err(error)) => Err(Over::Error(broken(&error))),
        Some(Ok(Message::Text(text))) => Ok(Some(text.as_str().to_owned())),
        Some(Ok(Message::Close(frame))) => Err(closed(frame)),
        Some(Ok(_)) => Ok(None),
    }
}

/// The WebSocket of the server, with the query of the configured URL.
fn address(feed: &SocketIoFeed) -> Option<Url> {
    let mut url = feed.url.clone();
    url.set_scheme(if feed.url.scheme() == "https" { "wss" } else { "ws" }).ok()?;
    url.set_path(&feed.path);
    let version = match feed.protocol {
        EngineIo::V3 => "3",
        EngineIo::V4 => "4",
    };
    url.query_pairs_mut().append_pair("EIO", version).append_pair("transport", "websocket");
    Some(url)
}
