//! What went wrong, in the words and fields that every door uses.

use serde::{Deserialize, Serialize};

use crate::event::{ChannelError, PositionError};
use crate::filter::FilterError;

/// An error as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// For programs.
    pub code: Code,
    /// For people: what was wrong, and where.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Which characters of the filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
    /// When to come back, where the server knows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
    /// Whether it is about what this caller has, not about what the server has: over HTTP that is another status.
    #[serde(skip)]
    pub of_caller: bool,
}

/// A part of a filter's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Characters (not bytes) before it.
    pub offset: usize,
    /// Characters in it.
    pub length: usize,
}

/// The closed list of error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are their meaning, and docs/protocol.md lists them")]
pub enum Code {
    BadJson,
    BadMessage,
    BadChannel,
    BadFilter,
    BadPosition,
    UnknownTable,
    UnknownColumn,
    UnknownId,
    DuplicateId,
    TooManySubscriptions,
    TooManyConnections,
    TooLarge,
    UnsupportedMediaType,
    OriginNotAllowed,
    /// No token, or one that is not accepted.
    Unauthenticated,
    /// The token does not allow it.
    Forbidden,
    /// More than is allowed in this time, or at once.
    RateLimited,
    ChannelNotAllowed,
    TableGone,
    Unavailable,
    NotFound,
    /// It is there already, or not as the request takes it to be.
    Conflict,
    MethodNotAllowed,
    Internal,
}

impl Problem {
    /// A problem that says all in its message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, at: None, retry_ms: None, of_caller: false }
    }

    /// The same with when to come back.
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        self.retry_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        self
    }

    /// The same as one about what this caller has.
    pub fn of_caller(mut self) -> Self {
        self.of_caller = true;
        self
    }

    /// The same with what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<FilterError> for Problem {
    fn from(error: FilterError) -> Self {
        let at = At { offset: error.offset, length: error.length };
        Self {
            code: Code::BadFilter,
            message: error.message,
            hint: error.hint,
            at: Some(at),
            retry_ms: None,
            of_caller: false,
        }
    }
}

impl From<ChannelError> for Problem {
    fn from(error: ChannelError) -> Self {
        Self::new(Code::BadChannel, error.to_string())
    }
}

impl From<PositionError> for Problem {
    fn from(error: PositionError) -> Self {
        Self::new(Code::BadPosition, error.to_string())
    }
}
