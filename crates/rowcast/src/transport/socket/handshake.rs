//! The handshake of RFC 6455, section 4.2: a request becomes a connection that is nobody's but ours.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::OnUpgrade;
use sha1::{Digest, Sha1};

use super::super::io::Io;
use super::Socket;
use crate::session::Limits;

/// RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request for a WebSocket, not answered yet.
#[derive(Debug)]
pub(crate) struct Upgrade {
    key: HeaderValue,
    connection: OnUpgrade,
    /// The client takes compressed frames (RFC 7692).
    deflate: bool,
}

/// Why a request is none for a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoUpgrade(&'static str);

impl NoUpgrade {
    pub(crate) fn reason(self) -> &'static str {
        self.0
    }
}

impl IntoResponse for NoUpgrade {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.0).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = NoUpgrade;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoUpgrade> {
        Self::of(parts)
    }
}

impl Upgrade {
    pub(crate) fn of(parts: &mut Parts) -> Result<Self, NoUpgrade> {
        if parts.method != Method::GET || parts.version != Version::HTTP_11 {
            return Err(NoUpgrade("a WebSocket begins with a GET of HTTP/1.1"));
        }
        let headers = &parts.headers;
        if !has_token(headers, &header::CONNECTION, "upgrade") {
            return Err(NoUpgrade("`Connection` header did not include 'upgrade'"));
        }
        if !has_token(headers, &header::UPGRADE, "websocket") {
            return Err(NoUpgrade("`Upgrade` header did not include 'websocket'"));
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(NoUpgrade("`Sec-WebSocket-Version` header did not include '13'"));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(NoUpgrade("`Sec-WebSocket-Key` header missing"))?;
        if STANDARD.decode(key).is_ok_and(|nonce| nonce.len() != 16) {
            return Err(NoUpgrade("`Sec-WebSocket-Key` is not 16 bytes in base64"));
        }
        let (key, deflate) = (key.clone(), takes_deflate(headers));
        let connection = parts.extensions.remove::<OnUpgrade>();
        let connection = connection.ok_or(NoUpgrade("the connection cannot become a WebSocket"))?;
        Ok(Self { key, connection, deflate })
    }

    /// Whether frames may be compressed, if `deflate` is switched on.
    pub(crate) fn deflates(&self, limits: &Limits) -> bool {
        self.deflate && limits.deflate
    }

    /// Answers, and runs the conversation on the socket once the client has the answer.
    pub(crate) fn run<F>(self, limits: &Limits, conversation: impl FnOnce(Socket) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.run_with(super::Settings { deflate: limits.deflate, ..super::Settings::of(limits) }, conversation)
    }

    /// The same, for a door with settings of its own.
    pub(crate) fn run_with<F>(
        self,
        settings: super::Settings,
        conversation: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { key, connection, deflate } = self;
        let deflate = deflate && settings.deflate;
        let settings = super::Settings { deflate, ..settings };
        tokio::spawn(async move {
            match connection.await {
                // A task of its own: this one's future has room for the handshake, which nobody needs any more.
                Ok(upgraded) => {
                    let (io, first) = Io::of(upgraded);
                    tokio::spawn(conversation(Socket::new(io, &first, settings)));
                }
                Err(error) => tracing::debug!(%error, "a WebSocket's handshake was not ended"),
            }
        });
        accept(&key, deflate)
    }
}

fn accept(key: &HeaderValue, deflate: bool) -> Response {
    let hash = Sha1::new().chain_update(key.as_bytes()).chain_update(GUID).finalize();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let hash = HeaderValue::from_str(&STANDARD.encode(hash)).expect("base64 is a header's value");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, hash);
    if deflate {
        let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(agreed));
    }
    response
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
}

/// Whether one of the offers is permessage-deflate with what we can give: every message compressed by itself. A server may say
/// `client_no_context_takeover` unasked (RFC 7692, section 7.1.1.2); a smaller window than the usual one cannot be promised.
fn takes_deflate(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        parts.next() == Some("permessage-deflate")
            && parts.all(|parameter| {
                let name = parameter.split('=').next().unwrap_or_default().trim();
                matches!(name, "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits")
                    || parameter.replace([' ', '"'], "") == "server_max_window_bits=15"
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        let answer = accept(&HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="), false);
        assert_eq!(answer.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[track_caller]
    fn check(offer: &'static str, taken: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer));
        assert_eq!(takes_deflate(&headers), taken, "{offer}");
    }

    #[test]
    fn offers_that_can_be_kept_are_taken() {
        check("permessage-deflate", true);
        check("permessage-deflate; client_max_window_bits", true);
        check("x-other, permessage-deflate; server_no_context_takeover; client_max_window_bits=10", true);
        check("permessage-deflate; server_max_window_bits=10, permessage-deflate", true);
        check("permessage-deflate; server_max_window_bits=10", false);
        check("permessage-deflate; unknown", false);
        check("x-webkit-deflate-frame", false);
    }
}
