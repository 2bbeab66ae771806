//! Problems as HTTP answers.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::protocol::encode::{Wire, reply};
use crate::protocol::{Code, Problem, ServerMessage};

/// A request that is not fulfilled: `{"error":{…}}` with a fitting status.
#[derive(Debug, Clone)]
pub struct Refusal(pub Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        let text = rejection.body_text();
        let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        Self(Problem::new(Code::BadMessage, format!("query: {text}")))
    }
}

/// Seconds after which to try again what the database did not answer.
const RETRY_AFTER: u64 = 5;

/// A stream of events that is refused: what a browser's `EventSource` understands.
///
/// It takes any status but 200 for the end, and never comes back; but it knows `retry`.
pub(super) fn refused_stream(problem: Problem, headers: &HeaderMap) -> Response {
    let asked = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_event_source = asked.is_some_and(|accept| accept.contains("text/event-stream"));
    let Some(retry_ms) = problem.retry_ms.filter(|_| is_event_source) else {
        return Refusal(problem).into_response();
    };
    let close = ServerMessage::Close { reason: "busy".into(), message: problem.message, retry_ms };
    let frame = String::from_utf8_lossy(&reply(Wire::Sse, &close, None)).into_owned();
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (header::CONNECTION, "close"),
    ];
    (headers, format!("retry: {retry_ms}\n{frame}")).into_response()
}

/// The HTTP status of a problem.
fn status(problem: &Problem) -> StatusCode {
    match problem.code {
        // A load balancer takes 503 for a server in trouble.
        Code::TooManyConnections if problem.of_caller => StatusCode::TOO_MANY_REQUESTS,
        Code::BadJson
        | Code::BadMessage
        | Code::BadChannel
        | Code::BadFilter
        | Code::BadPosition
        | Code::UnknownColumn
        | Code::UnknownId
        | Code::DuplicateId => StatusCode::BAD_REQUEST,
        Code::UnknownTable | Code::NotFound => StatusCode::NOT_FOUND,
        Code::Conflict => StatusCode::CONFLICT,
        Code::TableGone => StatusCode::GONE,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::OriginNotAllowed | Code::ChannelNotAllowed => StatusCode::FORBIDDEN,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::RateLimited | Code::TooManySubscriptions => StatusCode::TOO_MANY_REQUESTS,
        Code::TooManyConnections | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = status(&self.0);
        let seconds = self.0.retry_ms.map_or(RETRY_AFTER, |retry_ms| retry_ms.div_ceil(1000));
        let mut response = (status, Json(json!({ "error": self.0 }))).into_response();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

pub(super) async fn not_found(uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal(
        Problem::new(Code::NotFound, format!("there is nothing at {path}")).hint("docs/protocol.md lists the paths"),
    )
}

pub(super) async fn method_not_allowed(uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal(Problem::new(Code::MethodNotAllowed, format!("{path} does not take this method")))
}
