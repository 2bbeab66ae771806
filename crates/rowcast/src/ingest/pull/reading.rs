//! The loop that all feeds share: connect, read to the end, wait a little, again.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::feed::{Link, Station};
use super::status::Board;
use crate::ingest::intake::Intake;

/// A source that is read for as long as its records are taken.
pub(super) struct Reader {
    name: String,
    link: Link,
    intake: Intake,
    board: Arc<Board>,
}

/// Why a connection is over.
pub(super) enum Over {
    /// It ended as it should.
    End,
    /// It did not, or none came about.
    Error(String),
    /// Nobody takes records any more.
    Stopped,
}

/// What a connection leaves behind for the next one.
pub(super) struct Session {
    pub(super) over: Over,
    /// Whether the source was well: then the next attempt follows soon.
    pub(super) flowed: bool,
    /// The source's own wish for the pause until then.
    pub(super) retry: Option<Duration>,
}

impl Session {
    pub(super) fn failed(error: impl Into<String>) -> Self {
        Self { over: Over::Error(error.into()), flowed: false, retry: None }
    }

    pub(super) fn over(over: Over, flowed: bool) -> Self {
        Self { over, flowed, retry: None }
    }
}

impl Reader {
    pub(super) fn new(name: String, link: Link, intake: Intake, board: Arc<Board>) -> Self {
        Self { name, link, intake, board }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        // What ended the last connection.
        let mut trouble = None;
        loop {
            let station = Station { name: &self.name, intake: &self.intake, board: &self.board };
            let session = self.link.session(station).await;
            let problem = match session.over {
                Over::Stopped => return,
                Over::End => None,
                Over::Error(error) => Some(error),
            };
            if session.flowed {
                backoff.reset();
            }
            if let Some(retry) = session.retry {
                backoff.at_least(retry);
            }
            let pause = backoff.next();
            match &problem {
                // Once for each trouble, not for each attempt.
                Some(message) if trouble != problem => {
                    tracing::warn!(source = %self.name, "the source is away and is tried again: {message}");
                }
                _ => tracing::debug!(source = %self.name, ?pause, "the connection ended and is made again"),
            }
            self.board.disconnected(problem.clone());
            trouble = problem;
            tokio::time::sleep(pause).await;
            self.board.reconnecting();
        }
    }
}
