//! What goes wrong on a replication connection.

use std::fmt;
use std::io;

use bytes::BytesMut;
use postgres_protocol::message::backend::{ErrorField, ErrorFields, Message};
use tokio_postgres::fallible_iterator::FallibleIterator;

use super::super::connect::innermost;

/// Why a replication connection failed: what the server said, or what became of the line to it.
#[derive(Debug)]
pub struct WireError {
    /// The server's SQLSTATE; `None` when the connection broke.
    pub code: Option<String>,
    /// What is wrong.
    pub message: String,
    /// More about it, from the server.
    pub detail: Option<String>,
    /// What to do about it, from the server.
    pub hint: Option<String>,
    /// What the system said, when the connection broke.
    pub cause: Option<io::Error>,
}

impl WireError {
    /// Whether another connection may do better: the line broke, or the server is busy, restarting or going away.
    pub fn retry(&self) -> bool {
        let class = self.code.as_deref().and_then(|code| code.get(..2));
        class.is_none_or(|class| matches!(class, "08" | "53" | "57" | "58"))
    }

    /// The connection cannot be used any more.
    pub(super) fn broken(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into(), detail: None, hint: None, cause: None }
    }

    /// Reading or writing failed.
    pub(super) fn io(cause: io::Error) -> Self {
        let message = match cause.kind() {
            io::ErrorKind::UnexpectedEof => "the database closed the replication connection".to_owned(),
            io::ErrorKind::TimedOut => "the database is silent: the network does not carry what we send".to_owned(),
            _ => format!("the replication connection broke: {}", innermost(&cause)),
        };
        Self { cause: Some(cause), ..Self::broken(message) }
    }

    /// The server says so in the message that `unread` begins with.
    pub(super) fn said_in(unread: &mut BytesMut) -> Self {
        match Message::parse(unread) {
            Ok(Some(Message::ErrorResponse(body))) => Self::said(body.fields()),
            _ => Self::broken("the database refused, in words that are not part of PostgreSQL's protocol"),
        }
    }

    /// The server said so.
    pub(super) fn said(mut fields: ErrorFields<'_>) -> Self {
        let mut error = Self::broken("the database refused, and did not say why");
        let text = |field: &ErrorField<'_>| String::from_utf8_lossy(field.value_bytes()).into_owned();
        while let Ok(Some(field)) = fields.next() {
            match field.type_() {
                b'C' => error.code = Some(text(&field)),
                b'M' => error.message = text(&field),
                b'D' => error.detail = Some(text(&field)),
                b'H' => error.hint = Some(text(&field)),
                _ => {}
            }
        }
        error
    }
}

/// `message. detail. hint (SQLSTATE code)`
impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for more in [&self.detail, &self.hint].into_iter().flatten() {
            write!(f, ". {}", more.trim_end_matches('.'))?;
        }
        self.code.as_ref().map_or(Ok(()), |code| write!(f, " (SQLSTATE {code})"))
    }
}

impl std::error::Error for WireError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}
