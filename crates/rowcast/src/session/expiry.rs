//! What becomes of a client when its token expires: a warning, some grace, the end of its subscriptions, and of the connection where no
//! newer token follows. A client without a token that is to show one has the last of these from the start.
//!
//! Clients whose token does not expire have no timer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep};

use super::identify::since_1970;
use super::{Node, Session};
use crate::auth::{Identity, Standing};
use crate::hub::Closing;
use crate::protocol::{Code, Problem, ServerMessage};

/// The longest sleep: the clock is asked again after it, for it may have been set, or the machine may have slept.
const SLEEP_MAX: Duration = Duration::from_secs(60 * 60);

/// Why a connection ends whose client has no token.
pub const UNAUTHENTICATED: &str = "unauthenticated";

/// What comes next, and when.
pub(super) struct Term {
    stage: Stage,
    at: SystemTime,
    sleep: Pin<Box<Sleep>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The client is told that its token expires.
    Warn(SystemTime),
    /// Its subscriptions end.
    End,
    /// It has shown no token in time.
    Leave,
}

impl Term {
    /// `None` where nothing will come.
    pub(super) fn of(node: &Node, identity: &Identity) -> Option<Box<Self>> {
        let auth = node.auth.as_ref()?;
        match (identity.standing, identity.expires) {
            (Standing::Unknown, _) => Some(Self::new(Stage::Leave, SystemTime::now() + node.limits.handshake)),
            (_, Some(expires)) => {
                let warn = expires.checked_sub(auth.settings.warn).unwrap_or(SystemTime::UNIX_EPOCH);
                Some(Self::new(Stage::Warn(expires), warn))
            }
            (_, None) => None,
        }
    }

    fn new(stage: Stage, at: SystemTime) -> Box<Self> {
        Box::new(Self { stage, at, sleep: Box::pin(sleep(until(at))) })
    }

    /// Ready when it may be time.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(cx)
    }

    /// Whether it is time. Sleeps on where it is not.
    fn is_due(&mut self) -> bool {
        if self.sleep.deadline() > Instant::now() {
            return false;
        }
        let left = until(self.at);
        if !left.is_zero() {
            self.sleep.as_mut().reset(Instant::now() + left);
        }
        left.is_zero()
    }
}

fn until(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::now()).unwrap_or_default().min(SLEEP_MAX)
}

impl Session {
    /// Does what the time asks for.
    pub(super) fn pass_term(&mut self, out: &mut Vec<Bytes>) {
        let Some(term) = &mut self.term else { return };
        if !term.is_due() {
            return;
        }
        match term.stage {
            Stage::Warn(expires) => {
                let grace = self.node.auth.as_ref().map_or(Duration::ZERO, |auth| auth.settings.grace);
                self.term = Some(Term::new(Stage::End, expires.checked_add(grace).unwrap_or(expires)));
                self.reply(&ServerMessage::Expiring { expires_ms: since_1970(expires) });
            }
            Stage::End => self.expire(out),
            Stage::Leave => {
                self.term = None;
                let message = "no valid token was shown in time".to_owned();
                self.connected.queue.close(Closing { reason: UNAUTHENTICATED, message, retry_ms: 1000 });
            }
        }
    }

    fn expire(&mut self, out: &mut Vec<Bytes>) {
        let problem = Problem::new(Code::Unauthenticated, "the token has expired");
        for key in self.subscriptions.keys().copied().collect::<Vec<_>>() {
            self.fail(key, problem.clone(), out);
        }
        self.set_identity(Arc::new(self.identity.expired()));
    }
}
