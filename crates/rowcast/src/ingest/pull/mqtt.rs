//! Topics of an MQTT broker, 3.1.1 and 5.
//!
//! The broker keeps what comes while we are away (a session under a client id that stays the same), and is told that it may
//! forget a message only when its records are safe. So a message comes at least once; it may come again after a disconnect,
//! and is known then by the fields that the source's `once` names.

mod packet;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use reqwest::Url;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use self::packet::{Connect, Packet, Publish};
pub use self::packet::{MqttVersion, Qos};
use super::feed::{FeedError, Secret, Station, excerpt, message_decoder};
use super::handing::Handing;
use super::reading::{Over, Session};
use super::request::{ANSWER_WAIT, CONNECT_WAIT};
use super::tls;
use super::websocket::WRITE_WAIT;
use crate::ingest::decode::{Field, Fields, Format, Record, RecordError};

/// Topics of a broker.
#[derive(Debug, Clone)]
pub struct MqttFeed {
    /// Where it is, `mqtt` or `mqtts`. A user and a password in it hold unless others are given.
    pub url: Url,
    /// Which MQTT is spoken.
    pub version: MqttVersion,
    /// What is subscribed to, with `+` and `#` as wildcards.
    pub topics: Vec<String>,
    /// How often a message may come.
    pub qos: Qos,
    /// The name by which the broker knows us again. `None`: one that is made of the source's name; two gateways with one broker
    /// need two.
    pub client_id: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// How payloads are written.
    pub payload: Payload,
    /// Fields that are taken from the message itself, by name. They win over the payload's own.
    pub fields: Vec<(String, Part)>,
    /// Authorities that may sign the broker's certificate, as PEM. `None`: those that this machine trusts.
    pub ca: Option<Arc<[u8]>>,
    /// How often the broker is asked whether it is there, at least; one that does not answer is given up.
    pub keep_alive: Duration,
    /// How long the broker keeps messages while we are away (MQTT 5).
    pub session_expiry: Duration,
    /// Whether messages are taken that the broker keeps for new subscribers. They come again with each connection.
    pub retained: bool,
}

/// How payloads are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// As records.
    Records(Format),
    /// A plain value, such as `37.5`: the field `value`, or the one that is taken from [`Part::Payload`].
    Value,
}

/// A part of a message that becomes a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The whole topic.
    Topic,
    /// One level of it, from 0.
    Level(usize),
    /// The payload as it is.
    Payload,
}

impl MqttFeed {
    /// At least once, JSON, as MQTT 3.1.1.
    pub fn new(url: Url, topics: Vec<String>) -> Self {
        Self {
            url,
            version: MqttVersion::V311,
            topics,
            qos: Qos::AtLeastOnce,
            client_id: None,
            user: None,
            password: None,
            payload: Payload::Records(Format::Auto),
            fields: Vec::new(),
            ca: None,
            keep_alive: Duration::from_secs(30),
            session_expiry: Duration::from_secs(24 * 3_600),
            retained: true,
        }
    }
}

impl std::str::FromStr for Part {
    type Err = FeedError;

    /// Reads `topic`, `topic[1]` and `payload`.
    fn from_str(text: &str) -> Result<Self, FeedError> {
        let level = |text: &str| text.strip_prefix("topic[")?.strip_suffix(']')?.parse().ok();
        match text {
            "topic" => Ok(Part::Topic),
            "payload" => Ok(Part::Payload),
            _ => level(text).map(Part::Level).ok_or_else(|| {
                FeedError(format!(
                    "{text:?} is no part of a message; write \"topic\", \"topic[1]\" (the second level) or \"payload\""
                ))
            }),
        }
    }
}

/// A broker, connected again and again.
pub(super) struct Mqtt {
    feed: MqttFeed,
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    client_id: String,
    user: Option<String>,
    password: Option<Secret>,
    /// Messages that may come once only and whose handshake is under way, and whether they are safe.
    once: HashMap<u16, bool>,
    numbered: u64,
}

/// A message that is acknowledged when it is safe.
struct Ack {
    qos: Qos,
    id: u16,
}

/// The id of the one subscription of a connection.
const SUBSCRIPTION: u16 = 1;

impl Mqtt {
    /// `name` is the source's.
    pub(super) fn open(feed: MqttFeed, name: &str) -> Result<Self, FeedError> {
        let wrong = |what: String| Err(FeedError(what));
        let Some(host) = feed.url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()) else {
            return wrong("the URL names no broker; write for example mqtt://localhost:1883".into());
        };
        let secure = feed.url.scheme() == "mqtts";
        if feed.topics.is_empty() {
            return wrong("there are no topics; write for example topics = [\"sensors/#\"]".into());
        }
        if let Some(topic) = feed.topics.iter().find(|topic| !is_filter(topic)) {
            return wrong(format!("{topic:?} is no topic: `+` stands for a whole level, `#` for all that follow"));
        }
        let decoded = |text: &str| percent_decoded(text);
        let in_url = feed.url.username();
        let user = feed.user.clone().or_else(|| (!in_url.is_empty()).then(|| decoded(in_url)));
        let password = feed.password.clone().or_else(|| feed.url.password().map(|text| Secret::from(decoded(text))));
        if password.is_some() && user.is_none() {
            return wrong("there is a password and no user".into());
        }
        let client_id = feed.client_id.clone().unwrap_or_else(|| format!("rowcast-{name}"));
        if [Some(&client_id), user.as_ref()].into_iter().flatten().any(|text| text.len() > usize::from(u16::MAX)) {
            return wrong("the client id and the user are at most 65535 bytes".into());
        }
        let tls = if secure { Some(TlsConnector::from(tls::config(feed.ca.as_deref())?)) } else { None };
        let port = feed.url.port().unwrap_or(if secure { 8883 } else { 1883 });
        Ok(Self { feed, host, port, tls, client_id, user, password, once: HashMap::new(), numbered: 0 })
    }

    pub(super) async fn session(&mut self, to: Station<'_>) -> Session {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let socket = match tokio::time::timeout(CONNECT_WAIT, connecting).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Session::failed(format!("cannot connect: {error}")),
            Err(_) => return Session::failed(format!("cannot connect within {CONNECT_WAIT:?}")),
        };
        let _ = socket.set_nodelay(true);
        let Some(tls) = self.tls.clone() else { return self.talk(socket, to).await };
        let Ok(name) = ServerName::try_from(self.host.clone()) else {
            return Session::failed("the URL's host can have no certificate");
        };
        match tokio::time::timeout(CONNECT_WAIT, tls.connect(name, socket)).await {
            Ok(Ok(socket)) => self.talk(socket, to).await,
            Ok(Err(error)) => Session::failed(format!("no TLS with the broker: {error}")),
            Err(_) => Session::failed(format!("no TLS with the broker within {CONNECT_WAIT:?}")),
        }
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&mut self, socket: S, to: Station<'_>) -> Session {
        let mut wire = Wire { socket, buffer: BytesMut::with_capacity(16 << 10), version: self.feed.version };
        let mut handing = Handing::new(to.intake);
        let Err(over) = self.read(&mut wire, &mut handing, to).await;
        let over = match over {
            Over::Stopped => Over::Stopped,
            over if handing.rest().await.is_ok() => over,
            _ => Over::Stopped,
        };
        // Those that are under way still will be sent again under the same id.
        self.once.retain(|_, safe| *safe);
        Session::over(over, handing.flowed())
    }

    async fn read<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        handing: &mut Handing<Ack>,
        to: Station<'_>,
    ) -> Result<std::convert::Infallible, Over> {
        let greeted = tokio::time::timeout(ANSWER_WAIT, self.greet(wire, handing)).await;
        let keep_alive = greeted.map_err(|_| Over::Error(format!("no answer within {ANSWER_WAIT:?}")))??;
        to.connected();
        let (mut heard, mut ping) = (Instant::now(), Instant::now() + keep_alive / 2);
        loop {
            while handing.has_room() {
                let Some(packet) = wire.next()? else { break };
                self.packet(packet, wire, handing).await?;
            }
            let silence = heard + keep_alive + keep_alive / 2;
            tokio::select! {
                safe = handing.safe() => {
                    let acks = safe.map_err(|_| Over::Stopped)?;
                    self.acknowledge(acks, wire).await?;
                }
                () = tokio::time::sleep_until(ping) => {
                    ping = Instant::now() + keep_alive / 2;
                    wire.write(&packet::PING).await?;
                }
                read = wire.read(), if handing.has_room() => {
                    read?;
                    heard = Instant::now();
                }
                () = tokio::time::sleep_until(silence), if handing.has_room() => {
                    return Err(Over::Error(format!("the broker is silent for {:?}", keep_alive + keep_alive / 2)));
                }
            }
            if !handing.has_room() {
                // What is not read cannot be heard.
                heard = Instant::now();
            }
        }
    }

    /// Connects and subscribes. Returns how often the broker wants to hear of us.
    async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        handing: &mut Handing<Ack>,
    ) -> Result<Duration, Over> {
        let version = self.feed.version;
        let wished = u16::try_from(self.feed.keep_alive.as_secs().max(1)).unwrap_or(u16::MAX);
        let connect = Connect {
            version,
            client_id: &self.client_id,
            user: self.user.as_deref(),
            password: self.password.as_ref().map(Secret::expose),
            keep_alive_s: wished,
            // Messages of QoS 0 are not kept by anybody.
            clean: self.feed.qos == Qos::AtMostOnce,
            expiry_s: u32::try_from(self.feed.session_expiry.as_secs()).unwrap_or(u32::MAX),
        };
        wire.write(&connect.bytes()).await?;
        let keep_alive_s = match wire.packet().await? {
            Packet::Connected { code: 0, session_present, keep_alive_s, .. } => {
                if !session_present {
                    self.once.clear();
                }
                keep_alive_s.filter(|seconds| *seconds > 0).unwrap_or(wished)
            }
            Packet::Connected { code, reason, .. } => {
                let reason = reason.filter(|reason| !reason.is_empty()).map(|reason| format!(" ({reason})"));
                return Err(Over::Error(format!("{}{}", packet::refusal(code, version), reason.unwrap_or_default())));
            }
            _ => return Err(Over::Error("the broker did not answer as MQTT has it".into())),
        };
        // Every time: a broker that was reset has forgotten it, and says so only with the session.
        wire.write(&packet::subscribe(SUBSCRIPTION, &self.feed.topics, self.feed.qos, version)).await?;
        loop {
            match wire.packet().await? {
                Packet::Subscribed { id: SUBSCRIPTION, codes } => {
                    let refused = self.feed.topics.iter().zip(&codes).find(|(_, code)| **code >= 0x80);
                    if let Some((topic, _)) = refused {
                        return Err(Over::Error(format!("the broker does not allow the topic `{topic}`")));
                    }
                    return Ok(Duration::from_secs(u64::from(keep_alive_s)));
                }
                // What waited for us comes first.
                packet => self.packet(packet, wire, handing).await?,
            }
        }
    }

    async fn packet<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        packet: Packet,
        wire: &mut Wire<S>,
        handing: &mut Handing<Ack>,
    ) -> Result<(), Over> {
        match packet {
            Packet::Publish(message) => self.message(message, wire, handing).await,
            Packet::Release { id } => {
                self.once.remove(&id);
                wire.write(&packet::complete(id)).await
            }
            Packet::Goodbye { code, reason } => {
                let reason = reason.filter(|reason| !reason.is_empty()).map(|reason| format!(" ({reason})"));
                let what = packet::refusal(code, self.feed.version);
                Err(Over::Error(format!("the broker ended the connection: {what}{}", reason.unwrap_or_default())))
            }
            _ => Ok(()),
        }
    }

    async fn message<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        message: Publish,
        wire: &mut Wire<S>,
        handing: &mut Handing<Ack>,
    ) -> Result<(), Over> {
        if message.qos == Qos::ExactlyOnce {
            match self.once.get(&message.id) {
                // It is under way, or safe already: then the broker has not heard so.
                Some(false) => return Ok(()),
                Some(true) => return wire.write(&acknowledgement(message.qos, message.id)).await,
                None => drop(self.once.insert(message.id, false)),
            }
        }
        let skipped = message.retained && !self.feed.retained;
        let records = if skipped { Vec::new() } else { self.records(&message) };
        let ack = (message.qos != Qos::AtMostOnce).then_some(Ack { qos: message.qos, id: message.id });
        handing.push(records, message.payload.len() + message.topic.len(), ack);
        Ok(())
    }

    async fn acknowledge<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        acks: Vec<Ack>,
        wire: &mut Wire<S>,
    ) -> Result<(), Over> {
        let mut bytes = Vec::with_capacity(acks.len() * 4);
        for Ack { qos, id } in acks {
            if qos == Qos::ExactlyOnce {
                self.once.insert(id, true);
            }
            bytes.extend_from_slice(&acknowledgement(qos, id));
        }
        wire.write(&bytes).await
    }

    /// The records of a message, with what they take from its topic.
    fn records(&mut self, message: &Publish) -> Vec<Record> {
        let mut records = match self.feed.payload {
            Payload::Value => vec![self.value(message)],
            Payload::Records(format) => {
                let mut records = Vec::new();
                let mut decoder = message_decoder(format);
                decoder.feed(&message.payload, &mut records);
                decoder.finish(&mut records);
                records
            }
        };
        for record in &mut records {
            self.numbered += 1;
            record.line = self.numbered;
            let Ok(fields) = &mut record.fields else { continue };
            for (name, part) in &self.feed.fields {
                let Some(field) = field(*part, message) else { continue };
                fields.0.retain(|(other, _)| **other != **name);
                fields.0.push((name.as_str().into(), field));
            }
            // What was added is part of what is kept of a record that is refused.
            if !self.feed.fields.is_empty() {
                record.raw = super::feed::excerpt(fields.to_json().as_bytes());
            }
        }
        records
    }

    fn value(&self, message: &Publish) -> Record {
        let named = self.feed.fields.iter().any(|(_, part)| *part == Part::Payload);
        let fields = match (std::str::from_utf8(&message.payload), named) {
            (Err(_), _) => Err(RecordError::NotUtf8),
            (Ok(_), true) => Ok(Fields::default()),
            (Ok(text), false) => Ok(Fields(vec![("value".into(), plain(text))])),
        };
        Record { line: 0, raw: excerpt(&message.payload), place: None, fields }
    }
}

fn acknowledgement(qos: Qos, id: u16) -> Vec<u8> {
    packet::acknowledge(qos, id).map(Vec::from).unwrap_or_default()
}

fn field(part: Part, message: &Publish) -> Option<Field> {
    let text = |text: &str| Field::Text(text.into());
    match part {
        Part::Topic => Some(text(&message.topic)),
        Part::Level(level) => message.topic.split('/').nth(level).map(text),
        Part::Payload => std::str::from_utf8(&message.payload).ok().map(plain),
    }
}

/// A number, a truth value or a text without quotes, as sensors send them.
fn plain(text: &str) -> Field {
    let text = text.trim();
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Number(_)) => Field::Number(text.into()),
        Ok(serde_json::Value::Bool(truth)) => Field::Bool(truth),
        Ok(serde_json::Value::Null) => Field::Null,
        Ok(serde_json::Value::String(inside)) => Field::Text(inside.into()),
        Ok(_) => Field::Json(text.into()),
        Err(_) if text.is_empty() => Field::Null,
        Err(_) => Field::Text(text.into()),
    }
}

/// Whether it can be subscribed to.
fn is_filter(topic: &str) -> bool {
    let levels: Vec<&str> = topic.split('/').collect();
    let last = levels.len() - 1;
    let fits = |(index, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => index == last,
        level => !level.contains(['+', '#', '\0']),
    };
    !topic.is_empty() && topic.len() <= usize::from(u16::MAX) && levels.iter().enumerate().all(fits)
}

/// A user or a password as a URL has it.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let code = if *first == b'%' { more.get(..2) } else { None };
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        rest = if code.is_some() { &more[2..] } else { more };
        bytes.push(code.unwrap_or(*first));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A connection, and what was read of it.
struct Wire<S> {
    socket: S,
    buffer: BytesMut,
    version: MqttVersion,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// The next packet of what was read.
    fn next(&mut self) -> Result<Option<Packet>, Over> {
        packet::take(&mut self.buffer, self.version).map_err(|error| Over::Error(error.to_string()))
    }

    /// Reads more. May be dropped and called again.
    async fn read(&mut self) -> Result<(), Over> {
        match self.socket.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Over::Error("the broker closed the connection".into())),
            Ok(_) => Ok(()),
            Err(error) => Err(Over::Error(format!("the connection broke: {error}"))),
        }
    }

    async fn packet(&mut self) -> Result<Packet, Over> {
        loop {
            if let Some(packet) = self.next()? {
                return Ok(packet);
            }
            self.read().await?;
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let writing = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        match tokio::time::timeout(WRITE_WAIT, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Over::Error(format!("the connection broke: {error}"))),
            Err(_) => Err(Over::Error(format!("the broker takes nothing for {WRITE_WAIT:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_with_wildcards_are_told_from_typing_errors() {
        for topic in ["a", "a/b", "+/b/#", "#", "/", "$SYS/+"] {
            assert!(is_filter(topic), "{topic}");
        }
        for topic in ["", "a#", "#/a", "a+/b", "a/#/b"] {
            assert!(!is_filter(topic), "{topic}");
        }
    }

    #[test]
    fn parts_of_a_message_are_named() {
        assert_eq!("topic[2]".parse(), Ok(Part::Level(2)));
        assert_eq!(("topic".parse(), "payload".parse()), (Ok(Part::Topic), Ok(Part::Payload)));
        assert!("topic[x]".parse::<Part>().is_err());
        assert_eq!(percent_decoded("a%40b%zz%"), "a@b%zz%");
    }

    #[test]
    fn plain_values_are_numbers_where_they_are() {
        assert_eq!(plain(" 37.50\n"), Field::Number("37.50".into()));
        assert_eq!(plain("on"), Field::Text("on".into()));
        assert_eq!((plain("true"), plain("")), (Field::Bool(true), Field::Null));
    }

    #[test]
    fn fields_of_the_topic_win_over_those_of_the_payload() {
        let url = "mqtt://h".parse().expect("a URL");
        let mut feed = MqttFeed::new(url, vec!["s/+".into()]);
        feed.fields = vec![("sensor".into(), Part::Level(1)), ("none".into(), Part::Level(9))];
        let mut mqtt = Mqtt::open(feed, "x").expect("open");
        let payload = "[{\"sensor\":1,\"a\":2},7]".into();
        let message = Publish { topic: "s/k".into(), payload, qos: Qos::AtMostOnce, id: 0, retained: false };
        let records = mqtt.records(&message);
        let expected =
            Fields(vec![("a".into(), Field::Number("2".into())), ("sensor".into(), Field::Text("k".into()))]);
        assert_eq!(records[0].fields, Ok(expected));
        assert!(records[1].fields.is_err() && records[1].line == 2);
    }
}
