//! The drop-in for pgws: NOTIFY to WebSocket, each message for one audience.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::caller::Caller;
use super::dropin::{Connect, Notified, Rendering, Shown, Way};
use super::reply::Refusal;
use super::{Doors, remote, socket};
use crate::auth::Identity;
use crate::protocol::frame::text;
use crate::protocol::{Code, Problem};

/// The longest audience, in characters: a UUID's.
const AUDIENCE_MAX: usize = 36;

/// How pgws is served.
#[derive(Debug, Clone)]
pub struct Pgws {
    /// Where.
    pub path: String,
    /// The NOTIFY channels that a socket hears. An older pgws used `pgwebsocket`.
    pub channels: Vec<String>,
    /// Whose messages a socket sees.
    pub audiences: Audiences,
}

impl Default for Pgws {
    fn default() -> Self {
        Self { path: "/ws".into(), channels: vec!["pgws".into()], audiences: Audiences::Auto }
    }
}

/// How it is decided, when a socket connects, whose messages it sees. The client has no say in it.
#[derive(Clone)]
pub enum Audiences {
    /// Each socket is of its client's tenant; of `default`, where there are no tenants.
    Auto,
    /// Each socket is of its client's tenant, as its token has it.
    Tenant,
    /// All sockets are of these.
    These(Vec<String>),
    /// This header of the request names them, separated by commas: for a proxy that sets it, and lets no client set it.
    Header(HeaderName),
    /// This cookie names them, separated by commas: for cookies whose value a client cannot guess.
    Cookie(String),
    /// This program decides. `None` refuses the request.
    Decided(Decide),
}

/// Decides a socket's audiences from its request.
pub type Decide = Arc<dyn Fn(&Parts) -> Option<Vec<String>> + Send + Sync>;

impl fmt::Debug for Audiences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("Auto"),
            Self::Tenant => f.write_str("Tenant"),
            Self::These(audiences) => f.debug_tuple("These").field(audiences).finish(),
            Self::Header(name) => f.debug_tuple("Header").field(name).finish(),
            Self::Cookie(name) => f.debug_tuple("Cookie").field(name).finish(),
            Self::Decided(_) => f.write_str("Decided"),
        }
    }
}

impl Audiences {
    /// `tenants` is whether there are any.
    fn of(&self, request: &Parts, identity: &Identity, tenants: bool) -> Option<Vec<String>> {
        match self {
            // A tenant may be called `default`.
            Self::Auto if !tenants => Some(vec!["default".into()]),
            Self::Tenant | Self::Auto => (!identity.tenant.is_empty()).then(|| vec![identity.tenant.to_string()]),
            Self::These(audiences) => Some(audiences.clone()),
            Self::Header(name) => {
                let mut values = request.headers.get_all(name).iter().map(|value| value.to_str().ok()).peekable();
                values.peek()?;
                let values = values.collect::<Option<Vec<_>>>()?;
                Some(values.into_iter().flat_map(names).collect())
            }
            Self::Cookie(name) => cookie(request, name).map(|value| names(value).collect()),
            Self::Decided(decide) => decide(request),
        }
    }
}

fn names(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(|name| name.trim().to_owned())
}

fn cookie<'a>(request: &'a Parts, name: &str) -> Option<&'a str> {
    let headers = request.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = headers.flat_map(|value| value.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(known, _)| *known == name).map(|(_, value)| value.trim_matches('"'))
}

#[derive(Clone)]
struct Door {
    doors: Doors,
    settings: Arc<Pgws>,
    plain: Arc<Rendering>,
    /// For clients that resume: each frame has its position.
    resumable: Arc<Rendering>,
}

pub(super) fn routes(settings: &Pgws, doors: &Doors) -> Router<Doors> {
    let door = Door {
        doors: doors.clone(),
        settings: Arc::new(settings.clone()),
        plain: Arc::new(Rendering::new(|notified| show(notified, false))),
        resumable: Arc::new(Rendering::new(|notified| show(notified, true))),
    };
    Router::new().route(&settings.path, get(upgrade)).with_state(door)
}

#[derive(Deserialize)]
struct Wish {
    since: Option<String>,
}

async fn upgrade(
    State(door): State<Door>,
    Caller(identity): Caller,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    Query(wish): Query<Wish>,
    request: Parts,
    upgrade: Result<socket::Upgrade, socket::NoUpgrade>,
) -> Result<Response, Refusal> {
    let tenants = door.doors.node.auth.as_ref().is_some_and(|auth| auth.tokens.have_tenants());
    let Some(audiences) = door.settings.audiences.of(&request, &identity, tenants) else {
        let problem = Problem::new(Code::ChannelNotAllowed, "the request does not say whose messages it may see");
        return Err(Refusal(problem.hint("docs/drop-ins.md tells how a socket's audiences are decided")));
    };
    let resumable = wish.since.is_some();
    let since = wish.since.filter(|position| !position.is_empty());
    let way = Way {
        rendering: if resumable { door.resumable } else { door.plain },
        audiences: Some(audiences.into_iter().map(String::into_boxed_str).collect()),
        gap: resumable.then(|| text(b"{\"gap\":true}")),
        hear: None,
        expires: None,
    };
    let channels = door.settings.channels.iter().map(|channel| (channel.clone(), since.clone())).collect();
    Connect { doors: door.doors, name: "pgws", remote: remote(peer), identity, upgrade, channels, way }.answer().await
}

/// `audience,{json object}` as clients see it.
fn show(notified: &Notified<'_>, resumable: bool) -> Option<Shown> {
    let Notified { channel, payload, position } = *notified;
    let Some((audience, object)) = split(payload) else {
        tracing::warn!(
            channel,
            position,
            bytes = payload.len(),
            "a NOTIFY was dropped: pgws takes `audience,{{json object}}`, with at most {AUDIENCE_MAX} characters before the comma"
        );
        return None;
    };
    let channel = serde_json::to_string(channel).ok()?;
    let id = id(position);
    let position = if resumable { format!(",\"position\":\"{position}\"") } else { String::new() };
    let frame = format!("{{\"payload\":{object},\"channel\":{channel},\"id\":\"{id}\"{position}}}");
    Some(Shown { audience: Some(audience.into()), frame: frame.into() })
}

fn split(payload: &str) -> Option<(&str, &str)> {
    let at = payload.find(",{")?;
    let (audience, object) = (&payload[..at], &payload[at + 1..]);
    let whole = serde_json::from_str::<&RawValue>(object).is_ok();
    (whole && audience.chars().count() <= AUDIENCE_MAX).then_some((audience, object))
}

/// The same for all clients, and whenever the message is read again.
fn id(position: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("rowcast:{position}").as_bytes())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn a_payload_is_split_at_the_first_comma_before_a_brace() {
        assert_eq!(split(r#"default,{"a":1}"#), Some(("default", r#"{"a":1}"#)));
        assert_eq!(split(r#",{"a":",{"}"#), Some(("", r#"{"a":",{"}"#)));
        assert_eq!(split(r#"a,b,{}"#), Some(("a,b", "{}")));
        let longest = "ü".repeat(36);
        assert_eq!(split(&format!("{longest},{{}}")), Some((&*longest, "{}")));
    }

    #[test]
    fn anything_else_is_dropped() {
        let long = format!("{},{{}}", "x".repeat(37));
        for payload in ["", "hello", "a,[1]", "a,{", "a,{} x", "a;{}", "a, {}", r#"a,{"b":}"#, &long] {
            assert_eq!(split(payload), None, "{payload}");
        }
    }

    #[test]
    fn a_frame_has_the_payload_the_channel_and_an_id() {
        let notified = Notified { channel: "pgws", payload: r#"x,{"b": 1, "a":2}"#, position: "5-7" };
        let shown = show(&notified, false).expect("shown");
        let id = id("5-7");
        assert_eq!(shown.frame, format!(r#"{{"payload":{{"b": 1, "a":2}},"channel":"pgws","id":"{id}"}}"#));
        assert_eq!((shown.audience.as_deref(), id.get_version_num()), (Some("x"), 5));
        assert!(show(&notified, true).expect("shown").frame.ends_with(br#","position":"5-7"}"#));
    }

    #[track_caller]
    fn check(audiences: &Audiences, headers: &[(&str, &str)], expected: Option<&[&str]>) {
        let request = headers.iter().fold(Request::get("/ws"), |request, (name, value)| request.header(*name, *value));
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let identity = Identity { tenant: "acme".into(), ..(*Identity::anonymous()).clone() };
        assert_eq!(
            audiences
                .of(&parts, &identity, true)
                .as_ref()
                .map(|a| a.iter().map(String::as_str).collect::<Vec<_>>())
                .as_deref(),
            expected
        );
    }

    #[test]
    fn audiences_come_from_the_request() {
        let header = Audiences::Header(HeaderName::from_static("x-tenants"));
        check(&header, &[("x-tenants", "a, b"), ("x-tenants", "c")], Some(&["a", "b", "c"]));
        check(&header, &[], None);
        let cookie = Audiences::Cookie("tenant".into());
        check(&cookie, &[("cookie", "other=1; tenant=\"a,b\"; x=y")], Some(&["a", "b"]));
        check(&cookie, &[("cookie", "tenants=a")], None);
        check(&Audiences::These(vec!["default".into()]), &[], Some(&["default"]));
        check(&Audiences::Tenant, &[("x-tenants", "a"), ("cookie", "tenant=a")], Some(&["acme"]));
        check(&Audiences::Auto, &[], Some(&["acme"]));
        let (parts, ()) = Request::get("/ws").body(()).expect("a request").into_parts();
        assert_eq!(Audiences::Auto.of(&parts, &Identity::anonymous(), true), None);
        assert_eq!(Audiences::Auto.of(&parts, &Identity::anonymous(), false), Some(vec!["default".to_owned()]));
        let decide: Decide = Arc::new(|parts| (parts.uri.path() == "/ws").then(|| vec!["own".into()]));
        check(&Audiences::Decided(decide), &[], Some(&["own"]));
    }
}
