//! Why a stream cannot be read on, and what is to be done.

use super::super::batch::Torn;
use crate::source::SourceError;
use crate::source::postgres::pgoutput::Malformed;
use crate::source::postgres::transaction::StreamError;

/// Why understanding stopped.
pub(super) enum Trouble {
    Source(SourceError),
    GiveUp(String),
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<StreamError> for Trouble {
    fn from(error: StreamError) -> Self {
        let (message, cause) = (error.to_string(), Some(Box::from(error)));
        Self::Source(SourceError::Stop { message, cause })
    }
}

impl From<Malformed> for Trouble {
    fn from(error: Malformed) -> Self {
        Self::Source(SourceError::Stop { message: error.to_string(), cause: Some(error.into()) })
    }
}

impl From<Torn> for Trouble {
    fn from(_: Torn) -> Self {
        Self::GiveUp(
            "a large transaction that was read half did not come again: the database has another history".into(),
        )
    }
}

pub(super) fn retry(message: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Trouble {
    Trouble::Source(SourceError::Retry { message: message.to_owned(), cause: Some(Box::new(cause)) })
}
