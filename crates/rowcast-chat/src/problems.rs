//! What goes wrong, in Rowcast's words.

use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use rowcast::protocol::{Code, Problem};
use rowcast::store::StoreError;

/// What the request says is not what it has to be.
pub(crate) fn bad(message: impl Into<String>) -> Problem {
    Problem::new(Code::BadMessage, message)
}

/// It may not be done by who asks.
pub(crate) fn forbidden(message: impl Into<String>) -> Problem {
    Problem::new(Code::Forbidden, message)
}

/// It is not there, or not for who asks.
pub(crate) fn not_found(message: impl Into<String>) -> Problem {
    Problem::new(Code::NotFound, message)
}

/// It is not as the request takes it to be.
pub(crate) fn conflict(message: impl Into<String>) -> Problem {
    Problem::new(Code::Conflict, message)
}

/// It may work in a moment.
pub(crate) fn unavailable(message: impl Into<String>) -> Problem {
    Problem::new(Code::Unavailable, message).retry_after(Duration::from_secs(1))
}

/// A mistake of ours. What it is stands in the log.
pub(crate) fn internal() -> Problem {
    Problem::new(Code::Internal, "the server has made a mistake")
        .hint("tell who runs this server: its log says what it is")
}

/// A body that is none.
pub(crate) fn of_body(rejection: JsonRejection) -> Problem {
    match rejection {
        // serde's own sentence could show what was sent, a password perhaps.
        JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_) => {
            bad("the body is not what is expected here").hint("GET /chat/api/openapi.json says what is")
        }
        JsonRejection::MissingJsonContentType(_) => {
            Problem::new(Code::UnsupportedMediaType, "the request is JSON").hint("send Content-Type: application/json")
        }
        other => Problem::new(Code::TooLarge, other.body_text()),
    }
}

/// What the database said, without what could be a row's values.
pub(crate) fn of_store(error: StoreError) -> Problem {
    match error {
        StoreError::Unavailable(_) | StoreError::TooSlow(_) => unavailable("the database does not answer"),
        // They are made as soon as the database is there.
        StoreError::UnknownTable(_) | StoreError::Altered(_) => unavailable("the chat's tables are not ready"),
        other => {
            tracing::error!("the chat's database refuses a statement: {other}");
            internal()
        }
    }
}
