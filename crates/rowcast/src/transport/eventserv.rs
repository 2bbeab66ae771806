//! The drop-in for pg_eventserv: each frame is what was notified, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router};

use super::caller::Caller;
use super::dropin::{Connect, Rendering, Shown, Way};
use super::reply::Refusal;
use super::{Doors, remote, socket};
use crate::protocol::{Code, Problem};

/// What the viewer may load: its own files, and the sockets of the server that it came from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("eventserv/viewer.html");
const SCRIPT: &str = include_str!("eventserv/viewer.js");
const STYLE: &str = include_str!("eventserv/viewer.css");

/// How pg_eventserv is served.
#[derive(Debug, Clone)]
pub struct Eventserv {
    /// Where; the channel's name follows it.
    pub path: String,
}

impl Default for Eventserv {
    fn default() -> Self {
        Self { path: "/listen".into() }
    }
}

#[derive(Clone)]
struct Door {
    doors: Doors,
    rendering: Arc<Rendering>,
}

pub(super) fn routes(settings: &Eventserv, doors: &Doors) -> Router<Doors> {
    let raw = Rendering::new(|notified| Some(Shown { audience: None, frame: notified.payload.to_owned().into() }));
    let door = Door { doors: doors.clone(), rendering: Arc::new(raw) };
    let viewer = format!("{}/", settings.path);
    let to_viewer = Redirect::permanent(&viewer);
    Router::new()
        .route(&settings.path, get(move || async move { to_viewer }))
        .route(&viewer, get(async || file(PAGE, "text/html; charset=utf-8")))
        .route(&format!("{viewer}{{channel}}"), get(listen))
        .with_state(door)
}

async fn listen(
    State(door): State<Door>,
    Caller(identity): Caller,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    channel: Result<Path<String>, PathRejection>,
    upgrade: Result<socket::Upgrade, socket::NoUpgrade>,
) -> Result<Response, Refusal> {
    let Path(channel) = channel.map_err(|rejection| Problem::new(Code::BadChannel, rejection.body_text()))?;
    // A channel may have the name of a file of the viewer: a socket gets the channel.
    match (&upgrade, &*channel) {
        (Err(_), "viewer.js") => return Ok(file(SCRIPT, "text/javascript; charset=utf-8")),
        (Err(_), "viewer.css") => return Ok(file(STYLE, "text/css; charset=utf-8")),
        _ => {}
    }
    let way = Way { rendering: door.rendering, audiences: None, gap: None, hear: None, expires: None };
    let (remote, channels) = (remote(peer), vec![(channel, None)]);
    Connect { doors: door.doors, name: "pg_eventserv", remote, identity, upgrade, channels, way }.answer().await
}

fn file(text: &'static str, kind: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    (headers, text).into_response()
}
