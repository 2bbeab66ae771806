//! What is answered over HTTP: errors as the original has them, and payloads.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::protocol::engineio::payload::Body as Payload;

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    UnknownTransport,
    UnknownSid,
    BadHandshakeMethod,
    BadRequest,
    Forbidden,
    UnsupportedVersion,
    /// The body is larger than the largest payload.
    TooLarge,
    /// The body took too long.
    Slow,
    /// There are as many sessions as there may be.
    Full,
}

impl Fault {
    fn parts(self) -> (StatusCode, u8, &'static str) {
        match self {
            Self::UnknownTransport => (StatusCode::BAD_REQUEST, 0, "Transport unknown"),
            Self::UnknownSid => (StatusCode::BAD_REQUEST, 1, "Session ID unknown"),
            Self::BadHandshakeMethod => (StatusCode::BAD_REQUEST, 2, "Bad handshake method"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, 3, "Bad request"),
            Self::Forbidden => (StatusCode::FORBIDDEN, 4, "Forbidden"),
            Self::UnsupportedVersion => (StatusCode::BAD_REQUEST, 5, "Unsupported protocol version"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, 3, "Payload too large"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, 3, "Request timeout"),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, 4, "Too many connections"),
        }
    }
}

pub(super) fn fault(fault: Fault) -> Response {
    let (status, code, message) = fault.parts();
    let mut response = with_type("application/json", format!(r#"{{"code":{code},"message":"{message}"}}"#));
    *response.status_mut() = status;
    if fault == Fault::Full {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

pub(super) fn payload(payload: Payload) -> Response {
    match payload {
        Payload::Text(text) => with_type("text/plain; charset=UTF-8", text),
        Payload::Binary(data) => with_type("application/octet-stream", data),
    }
}

/// The answer to a POST. Some browsers would offer plain text as a download.
pub(super) fn ok() -> Response {
    with_type("text/html", "ok")
}

fn with_type(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
