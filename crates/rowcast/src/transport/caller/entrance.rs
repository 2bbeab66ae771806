//! What each path asks of those who come by it. A path that is not named here needs a token in a header or a cookie.

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

use super::super::{Doors, Origins};

/// What a path asks of those who come by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entrance {
    /// Nothing, and no token is looked at.
    Open,
    /// A token.
    Plain,
    /// A token, in the header only: it is to become the cookie.
    Exchange,
    /// A token, which may be in the query: browsers open this connection, and can set no headers for it.
    Live,
    /// The same, or none: the client says who it is when it is connected.
    Later,
    /// A token as InfluxDB's clients send it.
    Influx,
}

/// What needs no token, beside the files of pg_eventserv's viewer.
const OPEN: [(Method, &str); 4] =
    [(Method::POST, "/v1/login"), (Method::DELETE, "/v1/session"), (Method::GET, "/ping"), (Method::HEAD, "/ping")];

impl Entrance {
    pub(super) fn of(doors: &Doors, request: &Request) -> Self {
        let (method, path) = (request.method(), request.uri().path());
        if OPEN.iter().any(|(m, p)| m == method && *p == path) {
            return Self::Open;
        }
        if path == "/v1/session" && method == Method::POST {
            return Self::Exchange;
        }
        if matches!(path, "/api/v2/write" | "/write") && doors.influx.is_some() {
            return Self::Influx;
        }
        let drop_ins = &*doors.drop_ins;
        if let Some(viewer) = drop_ins.eventserv.as_ref().and_then(|eventserv| path.strip_prefix(&*eventserv.path))
            && matches!(viewer, "" | "/" | "/viewer.js" | "/viewer.css")
            && !is_upgrade(request.headers())
        {
            return Self::Open;
        }
        let below = |door: &str| path.strip_prefix(door).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let is_live = path == "/v1/stream"
            || drop_ins.pgws.as_ref().is_some_and(|pgws| path == pgws.path)
            || drop_ins.eventserv.as_ref().is_some_and(|eventserv| below(&eventserv.path));
        let is_later =
            path == "/v1/ws" || drop_ins.postgres_websockets.as_ref().is_some_and(|settings| below(&settings.path));
        match (method, is_live, is_later) {
            (&Method::GET, true, _) => Self::Live,
            // postgres-websockets has a token of its own in the path.
            (&Method::GET, _, true) => Self::Later,
            _ => Self::Plain,
        }
    }

    pub(super) fn may_tell_later(self) -> bool {
        self == Self::Later
    }

    pub(super) fn takes_query(self) -> bool {
        matches!(self, Self::Live | Self::Later)
    }

    pub(super) fn takes_cookie(self) -> bool {
        self != Self::Exchange
    }
}

/// Whether a request with the cookie is one of a page that may use it. Other pages can have a browser send it, too.
pub(super) fn is_own_page(origins: &Origins, parts: &Parts) -> bool {
    let changes = !matches!(parts.method, Method::GET | Method::HEAD);
    match origins.is_own(&parts.headers, &parts.uri) {
        Some(own) => own,
        // Reading is harmless for a page of another host: it does not get the answer.
        None => !changes && !is_upgrade(&parts.headers),
    }
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}
