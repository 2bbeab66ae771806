//! Engine.IO 4 and 3, the server's side: sessions over HTTP long-polling, over WebSocket, and from the one to the other.
//!
//! What the messages say is left to the layer above, which gets one [`Peer`] for each session. Errors are those of the original,
//! `{"code":…,"message":…}`. The routes have their own CORS headers: with credentials, for sticky sessions by cookie.

mod exchange;
mod handshake;
mod peer;
mod polling;
mod probe;
mod reply;
mod sid;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::response::Response;
use axum::routing::any;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

pub(super) use super::socket::{End, Heard};
pub use handshake::Handshake;
pub(super) use peer::Peer;

use self::exchange::Exchange;
use self::handshake::Query;
use self::reply::{Fault, fault};
use self::sid::Sid;
use super::origin::Origins;
use super::socket::{Settings as SocketSettings, Upgrade};
use crate::protocol::engineio::{Eio, Packet};
use crate::protocol::frame;
use crate::session::Limits;

/// Bytes of POST bodies that are held at once, of all sessions. Further ones wait.
const BODIES_BYTES: usize = 64 << 20;

/// How Engine.IO is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where, with a slash at the end. It is served without it, too.
    pub path: String,
    /// How often the server pings (version 4), or the client shall (version 3).
    pub ping_interval: Duration,
    /// How long an answer to a ping may take.
    pub ping_timeout: Duration,
    /// How long a WebSocket may take to be taken over from polling.
    pub upgrade_timeout: Duration,
    /// The largest message, and the largest body of a POST, in bytes.
    pub max_payload: usize,
    /// Whether HTTP long-polling is served.
    pub polling: bool,
    /// Whether WebSocket is served.
    pub websocket: bool,
    /// Whether a session may go from polling to WebSocket.
    pub allow_upgrades: bool,
    /// Whether version 3 is served to clients that ask for it.
    pub eio3: bool,
    /// Tells a load balancer which node has the session.
    pub cookie: Option<Cookie>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/socket.io/".into(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_payload: 1_000_000,
            polling: true,
            websocket: true,
            allow_upgrades: true,
            eio3: true,
            cookie: None,
        }
    }
}

/// A cookie with the session's id, set at the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// What follows the value.
    pub attributes: String,
}

impl Default for Cookie {
    fn default() -> Self {
        Self { name: "io".into(), attributes: "Path=/; HttpOnly; SameSite=Lax".into() }
    }
}

impl Settings {
    /// Refuses what cannot be served, in a sentence that says what to do.
    pub fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
        let path = &self.path;
        if path.len() < 3 || !path.starts_with('/') || path.contains("//") || !path.chars().all(plain) {
            return Err(format!("`{path}` is no path for Socket.IO; write for example `/socket.io/`"));
        }
        if path.starts_with("/v1/") || path == "/v1" {
            return Err(format!("`{path}` is below /v1, which is the native protocol's; choose another path"));
        }
        if self.ping_interval.is_zero() || self.ping_timeout.is_zero() || self.upgrade_timeout.is_zero() {
            return Err("the ping interval, the ping time-out and the upgrade time-out are longer than nothing".into());
        }
        if self.max_payload < 1_000 {
            return Err(format!("the largest payload is at least 1000 bytes, not {}", self.max_payload));
        }
        if !self.polling && !self.websocket {
            return Err("one of the transports `polling` and `websocket` has to be served".into());
        }
        match &self.cookie {
            Some(cookie) if cookie.header("x").is_none() => Err(format!("`{}` is no name for a cookie", cookie.name)),
            _ => Ok(()),
        }
    }

    /// Whether clients are told to go from polling to WebSocket.
    fn upgrades(&self) -> bool {
        self.websocket && self.allow_upgrades
    }
}

impl Cookie {
    fn header(&self, sid: &str) -> Option<HeaderValue> {
        let plain =
            !self.name.is_empty() && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let text = format!("{}={sid}; {}", self.name, self.attributes);
        plain.then(|| HeaderValue::from_str(&text).ok()).flatten()
    }
}

/// What the layer above does with a session.
pub(super) type Serve = Arc<dyn Fn(Peer) -> BoxFuture<'static, ()> + Send + Sync>;

/// What all sessions share.
struct Engine {
    settings: Settings,
    origins: Origins,
    serve: Serve,
    sessions: Mutex<HashMap<Sid, Arc<Exchange>>>,
    sessions_max: usize,
    socket: SocketSettings,
    bodies: Arc<Semaphore>,
}

/// The routes, to be merged outside of the layers that the native protocol's have. `serve` is called once for each session.
pub(super) fn routes<S, F, Any>(settings: &Settings, limits: &Limits, origins: &Origins, serve: S) -> Router<Any>
where
    S: Fn(Peer) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
    Any: Clone + Send + Sync + 'static,
{
    let engine = Arc::new(Engine {
        settings: settings.clone(),
        origins: origins.clone(),
        serve: Arc::new(move |peer| Box::pin(serve(peer))),
        sessions: Mutex::default(),
        sessions_max: limits.connections,
        // Engine.IO has pings of its own.
        socket: SocketSettings { message_max: settings.max_payload, heartbeat: None, ..SocketSettings::of(limits) },
        bodies: Arc::new(Semaphore::new(BODIES_BYTES)),
    });
    let path = settings.path.trim_end_matches('/');
    Router::new()
        .route(path, any(answer))
        .route(&format!("{path}/"), any(answer))
        .layer(cors(origins))
        .with_state(engine)
}

fn cors(origins: &Origins) -> CorsLayer {
    let origins = origins.clone();
    let allow = AllowOrigin::predicate(move |origin, parts| origins.allow(origin, parts.headers.get(header::HOST)));
    CorsLayer::new()
        .allow_origin(allow)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .allow_credentials(true)
}

/// How a session is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Polling,
    WebSocket,
}

impl Engine {
    fn transport(&self, query: &Query) -> Result<Transport, Fault> {
        match query.get("transport") {
            Some("polling") if self.settings.polling => Ok(Transport::Polling),
            Some("websocket") if self.settings.websocket => Ok(Transport::WebSocket),
            _ => Err(Fault::UnknownTransport),
        }
    }

    fn version(&self, query: &Query) -> Result<Eio, Fault> {
        match query.get("EIO").and_then(Eio::from_query) {
            Some(Eio::V3) if !self.settings.eio3 => Err(Fault::UnsupportedVersion),
            Some(eio) => Ok(eio),
            None => Err(Fault::UnsupportedVersion),
        }
    }

    fn find(&self, sid: &str) -> Result<Arc<Exchange>, Fault> {
        let sid = Sid::parse(sid).ok_or(Fault::UnknownSid)?;
        let exchange = self.sessions.lock().get(&sid).cloned().ok_or(Fault::UnknownSid)?;
        // Its own task may not have noticed yet.
        match exchange.is_dead() {
            true => Err(Fault::UnknownSid),
            false => Ok(exchange),
        }
    }

    fn forget(&self, sid: Sid) {
        self.sessions.lock().remove(&sid);
    }

    /// Begins a session.
    fn open(self: &Arc<Self>, eio: Eio, transport: Transport, query: &Query, parts: &Parts) -> Result<Opened, Fault> {
        let sid = Sid::new();
        let exchange = Arc::new(Exchange::new(self.clone(), sid, eio, transport, !query.has("b64")));
        {
            let mut sessions = self.sessions.lock();
            if sessions.len() >= self.sessions_max {
                return Err(Fault::Full);
            }
            sessions.insert(sid, exchange.clone());
        }
        let remote = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address);
        let handshake = Handshake::new(eio, sid, remote, parts);
        let cookie = self.settings.cookie.as_ref().and_then(|cookie| cookie.header(handshake.sid()));
        let Settings { ping_interval, ping_timeout, max_payload, .. } = self.settings;
        let upgrades = if transport == Transport::Polling && self.settings.upgrades() { r#""websocket""# } else { "" };
        let json = format!(
            r#"{{"sid":"{}","upgrades":[{upgrades}],"pingInterval":{},"pingTimeout":{},"maxPayload":{max_payload}}}"#,
            handshake.sid(),
            ping_interval.as_millis(),
            ping_timeout.as_millis(),
        );
        Ok(Opened { packet: Packet::Open(&json).to_text(eio), cookie, handshake, exchange })
    }
}

struct Opened {
    /// The first packet.
    packet: String,
    cookie: Option<HeaderValue>,
    handshake: Handshake,
    exchange: Arc<Exchange>,
}

/// Every request.
async fn answer(State(engine): State<Arc<Engine>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let query = Query::of(&parts.uri);
    let refused = parts.headers.get(header::ORIGIN).is_some_and(|origin| {
        let host = parts.headers.get(header::HOST);
        !engine.origins.allow(origin, host)
    });
    if refused {
        return fault(Fault::Forbidden);
    }
    let transport = match engine.transport(&query) {
        Ok(transport) => transport,
        Err(wrong) => return fault(wrong),
    };
    let Some(sid) = query.get("sid") else {
        return match begin(&engine, transport, &query, &mut parts) {
            Ok(response) => response,
            Err(wrong) => fault(wrong),
        };
    };
    let exchange = match engine.find(sid) {
        Ok(exchange) => exchange,
        Err(wrong) => return fault(wrong),
    };
    if engine.version(&query) != Ok(exchange.eio()) {
        return fault(Fault::BadRequest);
    }
    match (transport, &parts.method) {
        (Transport::WebSocket, _) => match Upgrade::of(&mut parts) {
            Ok(upgrade) => probe::answer(exchange, upgrade),
            Err(_) => fault(Fault::BadRequest),
        },
        (Transport::Polling, &Method::GET) => polling::poll(exchange).await,
        (Transport::Polling, &Method::POST) => polling::post(exchange, &parts.headers, body).await,
        (Transport::Polling, _) => fault(Fault::BadRequest),
    }
}

/// A request without a session.
fn begin(engine: &Arc<Engine>, transport: Transport, query: &Query, parts: &mut Parts) -> Result<Response, Fault> {
    if parts.method != Method::GET {
        return Err(Fault::BadHandshakeMethod);
    }
    let eio = engine.version(query)?;
    let upgrade = match transport {
        Transport::Polling => None,
        Transport::WebSocket => Some(Upgrade::of(parts).map_err(|_| Fault::BadRequest)?),
    };
    let Opened { packet, cookie, handshake, exchange } = engine.open(eio, transport, query, parts)?;
    let peer = Peer::new(exchange, handshake);
    let mut response = match upgrade {
        None => {
            tokio::spawn((engine.serve)(peer));
            polling::opened(&packet, eio)
        }
        Some(upgrade) => {
            let serve = engine.serve.clone();
            upgrade.run_with(engine.socket, move |socket| {
                let mut socket = Box::new(socket);
                async move {
                    // Written before anything else; when that fails, the session finds out by itself. In a box, as it is soon done.
                    let mut first = vec![frame::text(packet.as_bytes())];
                    let _ = Box::pin(socket.send(&mut first)).await;
                    serve(peer.carried_by(socket)).await;
                }
            })
        }
    };
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
