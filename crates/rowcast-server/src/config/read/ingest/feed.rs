//! Where the records of an `[[ingest]]` come from: the URL's scheme says which keys go with it.

mod words;

use std::sync::Arc;
use std::time::Duration;

use rowcast::ingest::Format;
use rowcast::ingest::pull::{
    self, EngineIo, Headers, HttpFeed, HttpRequest, MqttFeed, MqttVersion, Part, Payload, PollFeed, Qos, Secret,
    SocketIoFeed, WebSocketFeed,
};

use super::super::super::units::{self, Unclear};
use super::super::sentence;
use super::Keys;
pub(in crate::config) use words::expanded;

/// The keys that say where records come from.
pub(in crate::config) const KEYS: &[&str] = &[
    "url",
    "format",
    "idle_timeout",
    "headers",
    "method",
    "body",
    "ca",
    "redirects",
    "every",
    "items",
    "send",
    "subprotocols",
    "path",
    "engine_io",
    "auth",
    "events",
    "topics",
    "qos",
    "client_id",
    "user",
    "password",
    "mqtt",
    "fields",
    "keep_alive",
    "session_expiry",
    "retained",
];

/// A source to read.
#[derive(Debug, Clone)]
pub(crate) struct Feed(pull::Feed);

impl Feed {
    /// As the library takes it.
    pub(crate) fn to_feed(&self) -> pull::Feed {
        self.0.clone()
    }
}

/// What a URL's scheme stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Poll,
    WebSocket,
    SocketIo,
    Mqtt,
}

impl Kind {
    fn of(url: &Address, polled: bool) -> Self {
        match url.url.scheme() {
            _ if url.socketio => Self::SocketIo,
            "ws" | "wss" => Self::WebSocket,
            "mqtt" | "mqtts" => Self::Mqtt,
            _ if polled => Self::Poll,
            _ => Self::Http,
        }
    }

    /// For people, and the keys that go with it.
    fn keys(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Http => {
                ("an HTTP stream", &["format", "idle_timeout", "headers", "method", "body", "ca", "redirects"])
            }
            Self::Poll => {
                ("HTTP polling", &["format", "headers", "method", "body", "ca", "redirects", "every", "items"])
            }
            Self::WebSocket => ("a WebSocket", &["format", "idle_timeout", "headers", "ca", "send", "subprotocols"]),
            Self::SocketIo => ("Socket.IO", &["headers", "ca", "path", "engine_io", "auth", "events"]),
            Self::Mqtt => (
                "MQTT",
                &[
                    "format",
                    "ca",
                    "topics",
                    "qos",
                    "client_id",
                    "user",
                    "password",
                    "mqtt",
                    "fields",
                    "keep_alive",
                    "session_expiry",
                    "retained",
                ],
            ),
        }
    }
}

/// A URL, and whether Socket.IO is spoken there.
struct Address {
    url: reqwest::Url,
    socketio: bool,
}

impl Keys<'_, '_> {
    pub(super) fn feed(&mut self) -> Option<Feed> {
        let address = self.text("url", address);
        let Some(address) = address else {
            // Which keys are right nobody knows, but these are read all the same, so that every mistake is told.
            let _ = (self.format(), self.idle_timeout());
            return None;
        };
        let kind = Kind::of(&address, self.has("every"));
        let (what, allowed) = kind.keys();
        let strange: Vec<&str> =
            KEYS.iter().copied().filter(|key| *key != "url" && self.has(key) && !allowed.contains(key)).collect();
        for key in &strange {
            self.wrong(key, format!("this key does not go with {what}"), format!("it takes {}", allowed.join(", ")));
        }
        let feed = match kind {
            Kind::Http => self.http(address.url).map(pull::Feed::Http),
            Kind::Poll => self.poll(address.url).map(pull::Feed::Poll),
            Kind::WebSocket => self.websocket(address.url).map(pull::Feed::WebSocket),
            Kind::SocketIo => self.socketio(address.url).map(pull::Feed::SocketIo),
            Kind::Mqtt => self.mqtt(address.url).map(pull::Feed::Mqtt),
        };
        feed.filter(|_| strange.is_empty()).map(Feed)
    }

    fn http(&mut self, url: reqwest::Url) -> Option<HttpFeed> {
        let (format, idle_timeout, request) = (self.format(), self.idle_timeout(), self.request());
        Some(HttpFeed { url, format: format?, idle_timeout: idle_timeout?, request: request? })
    }

    fn poll(&mut self, url: reqwest::Url) -> Option<PollFeed> {
        let (format, request) = (self.format(), self.request());
        let every = self.text("every", |text| {
            let every = units::duration(text)?;
            let fix = || r#"write at least "100ms""#.to_owned();
            if every < Duration::from_millis(100) {
                Err(Unclear { what: "this is too often".into(), fix: fix() })
            } else {
                Ok(every)
            }
        });
        let items = self.text_or("items", None, |text| {
            let fix = || r#"write for example "/data/items""#.to_owned();
            if text.starts_with('/') {
                Ok(Some(text.to_owned()))
            } else {
                Err(Unclear { what: format!("{text:?} is no JSON pointer"), fix: fix() })
            }
        });
        Some(PollFeed { url, format: format?, every: every?, items: items?, request: request? })
    }

    fn websocket(&mut self, url: reqwest::Url) -> Option<WebSocketFeed> {
        let (format, idle_timeout) = (self.format(), self.idle_timeout());
        let (headers, ca) = (self.headers(), self.ca());
        let send = self.secrets("send");
        let protocols = self.texts("subprotocols");
        Some(WebSocketFeed {
            url,
            format: format?,
            send: send?,
            protocols: protocols?,
            headers: headers?,
            ca: ca?,
            idle_timeout: idle_timeout?,
        })
    }

    fn socketio(&mut self, url: reqwest::Url) -> Option<SocketIoFeed> {
        let defaults = SocketIoFeed::new(url);
        let (headers, ca, events) = (self.headers(), self.ca(), self.texts("events"));
        let path = self.text_or("path", defaults.path.clone(), |text| {
            let fix = || r#"write for example "/socket.io/""#.to_owned();
            if text.starts_with('/') {
                Ok(text.to_owned())
            } else {
                Err(Unclear { what: format!("{text:?} is no path"), fix: fix() })
            }
        });
        let protocol = self.number_or("engine_io", 4, 3, 4).map(|n| if n == 3 { EngineIo::V3 } else { EngineIo::V4 });
        let auth = self.json("auth");
        if protocol == Some(EngineIo::V3) && self.has("auth") {
            self.wrong("auth", "Engine.IO 3 has no such payload", "put it into the URL's query, or into headers");
            return None;
        }
        Some(SocketIoFeed {
            headers: headers?,
            ca: ca?,
            events: events?,
            path: path?,
            protocol: protocol?,
            auth: auth?,
            ..defaults
        })
    }

    fn mqtt(&mut self, url: reqwest::Url) -> Option<MqttFeed> {
        let defaults = MqttFeed::new(url, Vec::new());
        let payload = match self.value("format").and_then(toml_edit::Value::as_str) {
            Some("value") => Some(Payload::Value),
            _ => self.format().map(Payload::Records),
        };
        let topics = self.texts("topics");
        if topics.as_ref().is_some_and(Vec::is_empty) {
            self.wrong("topics", "there are no topics", r##"write for example topics = ["sensors/#"]"##);
        }
        let qos =
            self.number_or("qos", 1, 0, 2).map(|n| [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][n as usize]);
        let (client_id, user) = (self.optional("client_id"), self.optional("user"));
        let password = self.optional("password").map(|password| password.map(Secret::from));
        let version = self.text_or("mqtt", defaults.version, |text| match text {
            "3.1.1" => Ok(MqttVersion::V311),
            "5" => Ok(MqttVersion::V5),
            other => {
                Err(Unclear { what: format!("{other:?} is no version of MQTT"), fix: r#"write "3.1.1" or "5""#.into() })
            }
        });
        let fields = self.parts();
        let keep_alive = self.duration_or("keep_alive", defaults.keep_alive);
        let session_expiry = self.duration_or("session_expiry", defaults.session_expiry);
        let (retained, ca) = (self.yes_or("retained", true), self.ca());
        Some(MqttFeed {
            payload: payload?,
            topics: topics?,
            qos: qos?,
            client_id: client_id?,
            user: user?,
            password: password?,
            version: version?,
            fields: fields?,
            keep_alive: keep_alive?,
            session_expiry: session_expiry?,
            retained: retained?,
            ca: ca?,
            ..defaults
        })
    }

    /// Fields that are taken from a message, by name.
    fn parts(&mut self) -> Option<Vec<(String, Part)>> {
        let pairs = self.pairs("fields")?;
        let parts: Result<Vec<_>, _> =
            pairs.into_iter().map(|(name, part)| Ok((name, part.parse::<Part>()?))).collect();
        parts.map_err(|error: pull::FeedError| self.wrong("fields", error.to_string(), "")).ok()
    }

    fn format(&mut self) -> Option<Format> {
        self.text_or("format", Format::Auto, |text| text.parse().map_err(sentence))
    }

    fn idle_timeout(&mut self) -> Option<Duration> {
        self.duration_or("idle_timeout", Duration::from_secs(60))
    }

    fn request(&mut self) -> Option<HttpRequest> {
        let (headers, ca) = (self.headers(), self.ca());
        let post = self.text_or("method", false, |text| match text {
            "GET" => Ok(false),
            "POST" => Ok(true),
            other => Err(Unclear { what: format!("{other:?} is no method"), fix: r#"write "GET" or "POST""#.into() }),
        });
        let body = self.optional("body").map(|body| body.map(Secret::from));
        let redirects = self.number_or("redirects", 5, 0, 20);
        let (headers, post, body, ca, redirects) = (headers?, post?, body?, ca?, redirects? as usize);
        Some(HttpRequest { headers, post: post || body.is_some(), body, ca, redirects })
    }

    fn headers(&mut self) -> Option<Headers> {
        let mut headers = Headers::default();
        for (name, value) in self.pairs("headers")? {
            if let Err(error) = headers.add(&name, &value) {
                self.wrong("headers", error.to_string(), "");
                return None;
            }
        }
        Some(headers)
    }

    fn ca(&mut self) -> Option<Option<Arc<[u8]>>> {
        self.text_or("ca", None, |path| match std::fs::read(path) {
            Ok(pem) => Ok(Some(pem.into())),
            Err(error) => Err(Unclear { what: format!("{path} cannot be read: {error}"), fix: String::new() }),
        })
    }
}

/// Where a source is.
fn address(text: &str) -> Result<Address, Unclear> {
    let text = words::expanded(text)?;
    let fix = || r#"write for example "http://localhost:4000/stream""#.to_owned();
    let (socketio, plain) = match text.strip_prefix("socketio+") {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    let url = reqwest::Url::parse(plain).map_err(|error| Unclear {
        what: format!("{:?} is not a URL: {error}", units::without_password(&text)),
        fix: fix(),
    })?;
    let known: &[&str] = if socketio { &["http", "https"] } else { &["http", "https", "ws", "wss", "mqtt", "mqtts"] };
    if !known.contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        let schemes = "http, https, ws, wss, mqtt, mqtts, socketio+http or socketio+https";
        let what = format!("{:?} is no scheme of a source", text.split(':').next().unwrap_or_default());
        return Err(Unclear { what, fix: format!("the scheme is {schemes}: {}", fix()) });
    }
    if matches!(url.scheme(), "ws" | "wss") || socketio {
        let what = "a WebSocket's URL takes no user and password";
        if url.password().is_some() || !url.username().is_empty() {
            let fix = "write headers = { authorization = \"Basic …\" }";
            return Err(Unclear { what: what.into(), fix: fix.into() });
        }
    }
    Ok(Address { url, socketio })
}
