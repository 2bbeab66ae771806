//! The drop-in for postgres-websockets: a token in the path says which channels a socket hears, and whether it may speak.
//!
//! All messages go over one NOTIFY channel, as JSON that names the channel in question.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use tokio::time::Instant;

use super::caller::Caller;
use super::dropin::{Connect, Hear, Notified, Rendering, Shown, Way};
use super::reply::Refusal;
use super::{Doors, remote, socket};
use crate::auth::{Identity, Standing};
use crate::hub::Closing;
use crate::protocol::{Code, Problem};
use crate::session::requests::notify;
use crate::session::{self, Node};

/// What the original closes with when a token expires.
const EXPIRED: u16 = 3001;

/// How postgres-websockets is served.
#[derive(Clone)]
pub struct PostgresWebsockets {
    /// Where; `/{channel}/{token}` or `/{token}` follows it.
    pub path: String,
    /// What tokens are signed with (HS256).
    pub secret: Vec<u8>,
    /// The one NOTIFY channel that messages of all channels go over.
    pub listen: String,
}

impl PostgresWebsockets {
    /// At `/postgres-websockets`, over the original's NOTIFY channel.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        let (path, listen) = ("/postgres-websockets".into(), "postgres-websockets-listener".into());
        Self { path, secret: secret.into(), listen }
    }
}

impl fmt::Debug for PostgresWebsockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresWebsockets({} over {})", self.path, self.listen)
    }
}

#[derive(Clone)]
struct Door {
    doors: Doors,
    key: Arc<DecodingKey>,
    listen: Arc<str>,
    rendering: Arc<Rendering>,
}

pub(super) fn routes(settings: &PostgresWebsockets, doors: &Doors) -> Router<Doors> {
    let door = Door {
        doors: doors.clone(),
        key: Arc::new(DecodingKey::from_secret(&settings.secret)),
        listen: settings.listen.as_str().into(),
        rendering: Arc::new(Rendering::new(show)),
    };
    Router::new()
        .route(&format!("{}/{{token}}", settings.path), get(all_channels))
        .route(&format!("{}/{{channel}}/{{token}}", settings.path), get(one_channel))
        .with_state(door)
}

type Peer = Option<Extension<ConnectInfo<SocketAddr>>>;
type Upgrade = Result<socket::Upgrade, socket::NoUpgrade>;

async fn all_channels(
    State(door): State<Door>,
    Caller(identity): Caller,
    peer: Peer,
    path: Result<Path<String>, PathRejection>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let Path(token) = path.map_err(|_| refused("the path is not readable"))?;
    connect(door, identity, remote(peer), None, &token, upgrade).await
}

async fn one_channel(
    State(door): State<Door>,
    Caller(identity): Caller,
    peer: Peer,
    path: Result<Path<(String, String)>, PathRejection>,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let Path((channel, token)) = path.map_err(|_| refused("the path is not readable"))?;
    connect(door, identity, remote(peer), Some(channel), &token, upgrade).await
}

async fn connect(
    door: Door,
    identity: Arc<Identity>,
    remote: String,
    channel: Option<String>,
    token: &str,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let Door { doors, key, listen, rendering } = door;
    let identity = whose(&doors.node, identity, token).await?;
    let grant = Grant::read(token, &key, channel).map_err(refused)?;
    let channels = if grant.reads { vec![(listen.to_string(), None)] } else { Vec::new() };
    let expires = grant.expires.map(|at| {
        let message = "the token has expired".to_owned();
        (at, EXPIRED, Closing { reason: "JWT expired", message, retry_ms: 0 })
    });
    let way = Way {
        rendering,
        audiences: Some(grant.channels.clone()),
        gap: None,
        hear: grant.writes.then(|| speak(doors.node.clone(), identity.clone(), listen, grant.channels, grant.claims)),
        expires,
    };
    Connect { doors, name: "postgres-websockets", remote, identity, upgrade, channels, way }.answer().await
}

/// Who connects: where nothing else of the request says so, the token in its path does, if the gateway accepts it as one of its own.
async fn whose(node: &Node, identity: Arc<Identity>, token: &str) -> Result<Arc<Identity>, Problem> {
    match &node.auth {
        Some(auth) if identity.standing == Standing::Unknown => {
            let found = auth.tokens.verify(token, SystemTime::now()).await;
            found.map_err(|rejected| session::refused(&rejected))
        }
        _ => Ok(identity),
    }
}

fn refused(message: impl Into<String>) -> Problem {
    Problem::new(Code::ChannelNotAllowed, message)
}

/// What a token allows.
struct Grant {
    channels: BTreeSet<Box<str>>,
    reads: bool,
    writes: bool,
    expires: Option<Instant>,
    claims: Map<String, Json>,
}

#[derive(Deserialize)]
struct Claims {
    mode: Option<String>,
    channel: Option<String>,
    channels: Option<BTreeSet<String>>,
    exp: Option<f64>,
    #[serde(flatten)]
    _others: Map<String, Json>,
}

impl Grant {
    /// Reads a token. `channel` is what the path asks for.
    fn read(token: &str, key: &DecodingKey, channel: Option<String>) -> Result<Self, &'static str> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_nbf = true;
        validation.validate_aud = false;
        validation.leeway = 0;
        let decoded = jsonwebtoken::decode::<Map<String, Json>>(token, key, &validation);
        let claims = decoded.map_err(|_| "the token is not valid, or has expired")?.claims;
        let read: Claims =
            serde_json::from_value(Json::Object(claims.clone())).map_err(|_| "the token's claims are not readable")?;
        let own: BTreeSet<Box<str>> =
            read.channels.into_iter().flatten().chain(read.channel).map(String::into_boxed_str).collect();
        let channels: BTreeSet<Box<str>> = match channel {
            // A token that names no channel is good for any.
            Some(asked) if own.is_empty() => [asked.into_boxed_str()].into(),
            Some(asked) => own.into_iter().filter(|own| **own == *asked).collect(),
            None => own,
        };
        if channels.is_empty() {
            return Err("the token does not allow this channel");
        }
        let mode = read.mode.ok_or("the token has no `mode`")?;
        Ok(Self {
            channels,
            reads: matches!(&*mode, "r" | "rw"),
            writes: matches!(&*mode, "w" | "rw"),
            expires: read.exp.map(when),
            claims,
        })
    }
}

/// The moment of a Unix time.
fn when(unix_seconds: f64) -> Instant {
    let left = (unix_seconds - now()).clamp(0.0, 1e8);
    Instant::now() + Duration::from_secs_f64(left)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// What a client says becomes a NOTIFY for each of its channels.
fn speak(
    node: Arc<Node>,
    identity: Arc<Identity>,
    listen: Arc<str>,
    channels: BTreeSet<Box<str>>,
    claims: Map<String, Json>,
) -> Hear {
    Box::new(move |text| {
        let (node, identity, listen) = (node.clone(), identity.clone(), listen.clone());
        let mut claims = claims.clone();
        claims.insert("message_delivered_at".into(), json!(now()));
        let messages: Vec<String> = channels.iter().map(|channel| message(channel, &text, &claims)).collect();
        Box::pin(async move {
            for message in messages {
                notify(&node, &identity, &listen, &message).await?;
            }
            Ok(())
        })
    })
}

fn message(channel: &str, payload: &str, claims: &Map<String, Json>) -> String {
    json!({ "event": "WebsocketMessage", "channel": channel, "payload": payload, "claims": claims }).to_string()
}

/// A message goes, as it is, to the channel that it names; one that names none, to the channel that it came over.
fn show(notified: &Notified<'_>) -> Option<Shown> {
    #[derive(Deserialize)]
    struct To {
        channel: String,
    }
    let to = serde_json::from_str(notified.payload)
        .map_or_else(|_| notified.channel.into(), |To { channel }| channel.into());
    Some(Shown { audience: Some(to), frame: notified.payload.to_owned().into() })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};

    use super::*;

    const SECRET: &[u8] = b"a secret of the test";

    fn token(claims: &Json) -> String {
        jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).expect("a token")
    }

    fn read(claims: &Json, channel: Option<&str>) -> Result<(Vec<String>, bool, bool), &'static str> {
        let key = DecodingKey::from_secret(SECRET);
        let grant = Grant::read(&token(claims), &key, channel.map(str::to_owned))?;
        Ok((grant.channels.iter().map(|c| c.to_string()).collect(), grant.reads, grant.writes))
    }

    #[test]
    fn a_token_says_which_channels_are_heard_and_whether_its_owner_may_speak() {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(read(&json!({ "mode": "r" }), Some("chat")), Ok((own(&["chat"]), true, false)));
        assert_eq!(read(&json!({ "mode": "w", "channels": ["a", "b"] }), None), Ok((own(&["a", "b"]), false, true)));
        assert_eq!(
            read(&json!({ "mode": "rw", "channel": "a", "channels": ["b"] }), Some("b")),
            Ok((own(&["b"]), true, true))
        );
        assert!(read(&json!({ "mode": "rw", "channels": ["a"] }), Some("b")).is_err());
        assert!(read(&json!({ "mode": "rw" }), None).is_err());
        assert!(read(&json!({}), Some("a")).is_err(), "no mode");
    }

    #[test]
    fn a_token_that_is_expired_or_of_another_secret_is_refused() {
        assert!(read(&json!({ "mode": "r", "exp": now() as u64 - 1 }), Some("a")).is_err());
        assert!(read(&json!({ "mode": "r", "exp": now() as u64 + 60 }), Some("a")).is_ok());
        let other = DecodingKey::from_secret(b"another secret");
        assert!(Grant::read(&token(&json!({ "mode": "r" })), &other, Some("a".into())).is_err());
    }

    #[test]
    fn a_message_goes_to_the_channel_that_it_names() {
        let to = |payload| {
            let notified = Notified { channel: "listener", payload, position: "1-2" };
            show(&notified).and_then(|shown| shown.audience).map(|audience| audience.to_string())
        };
        assert_eq!(to(r#"{"channel":"chat","payload":"x"}"#).as_deref(), Some("chat"));
        assert_eq!(to("plain text").as_deref(), Some("listener"));
        assert_eq!(to(r#"{"channel":7}"#).as_deref(), Some("listener"));
    }
}
