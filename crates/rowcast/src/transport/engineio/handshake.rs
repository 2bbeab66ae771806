//! What the request that began a session said.

use std::fmt::Write as _;
use std::net::SocketAddr;

use axum::extract::Query as AxumQuery;
use axum::http::Uri;
use axum::http::request::Parts;

use super::sid::Sid;
use crate::protocol::engineio::Eio;
use crate::transport::Listener;
use crate::transport::caller::Arrival;

/// The most bytes of headers that are kept for a session.
const HEADERS_MAX: usize = 8 << 10;

/// The request that began a session. Kept as text, since it is kept for as long as the session is there.
#[derive(Clone)]
pub struct Handshake {
    eio: Eio,
    sid: Box<str>,
    remote: Option<SocketAddr>,
    listener: Option<Listener>,
    target: Box<str>,
    /// A line for each: name, colon, value.
    headers: Box<str>,
    /// Who sends it, where a gateway has looked.
    arrival: Option<Arrival>,
}

impl std::fmt::Debug for Handshake {
    /// Without what may hold a token: headers, query.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").field("eio", &self.eio).field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl Handshake {
    pub(super) fn new(eio: Eio, sid: Sid, remote: Option<SocketAddr>, parts: &Parts) -> Self {
        let mut headers = String::new();
        for (name, value) in &parts.headers {
            // What is not ASCII no program expects in a header; what is beyond the bound is left out.
            if let Ok(value) = value.to_str()
                && headers.len() + name.as_str().len() + value.len() + 2 <= HEADERS_MAX
            {
                let _ = writeln!(headers, "{name}:{value}");
            }
        }
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let (listener, arrival) = (parts.extensions.get().cloned(), parts.extensions.get().cloned());
        let (sid, target, headers) = (sid.to_string().into(), target.into(), headers.into());
        Self { eio, sid, remote, listener, target, headers, arrival }
    }

    /// Which Engine.IO the client speaks.
    pub fn eio(&self) -> Eio {
        self.eio
    }

    /// The id of the Engine.IO session.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// Who sends it; `None` where no gateway has looked.
    pub(in crate::transport) fn arrival(&self) -> Option<&Arrival> {
        self.arrival.as_ref()
    }

    /// Where the client is, where the server was told to keep it.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// The listener that the request came in by, where the server has told.
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }

    /// A cookie's value.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let lines = self.headers().filter(|(found, _)| *found == "cookie").map(|(_, value)| value);
        let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        cookies.find(|(known, _)| *known == name).map(|(_, value)| value.trim_matches('"'))
    }

    /// The path and the query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// A parameter of the query; the last one of the name.
    pub fn query(&self, name: &str) -> Option<String> {
        let uri: Uri = self.target.parse().ok()?;
        Query::of(&uri).get(name).map(str::to_owned)
    }

    /// All parameters of the query.
    pub fn queries(&self) -> Vec<(String, String)> {
        self.target.parse().map(|uri| Query::of(&uri).0).unwrap_or_default()
    }

    /// The first header of a name, which is written in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// All headers, names in small letters.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.lines().filter_map(|line| line.split_once(':'))
    }
}

/// The parameters of a query.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        Self(AxumQuery::try_from_uri(uri).map(|AxumQuery(pairs)| pairs).unwrap_or_default())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn the_request_can_be_asked_for_what_it_said() {
        let request = Request::builder().uri("/socket.io/?EIO=4&a=x%20y&a=z&b").header("X-Token", "t: 1");
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let handshake = Handshake::new(Eio::V4, Sid::new(), None, &parts);
        assert_eq!((handshake.query("a"), handshake.query("b")), (Some("z".into()), Some(String::new())));
        assert_eq!((handshake.header("x-token"), handshake.header("none")), (Some("t: 1"), None));
    }
}
