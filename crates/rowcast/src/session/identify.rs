//! Who a client says that it is, while it is connected: `auth`, and what waits until that is decided.
//!
//! Leaves what a token is worth to `auth`, and what is allowed to `access`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use super::expiry::Term;
use super::follow::{Sent, Step};
use super::revoke::{closing, is_trusted};
use super::rights::known;
use super::{REPLIES_MAX, Session};
use crate::auth::{Identity, Rejected};
use crate::hub::Closing;
use crate::protocol::{Auth, ClientMessage, Code, Problem, ServerMessage};

/// Messages that came while a token was looked at: what they ask for is judged by what comes of it.
#[derive(Default)]
pub(super) struct Held(VecDeque<ClientMessage>);

/// What came of a token.
#[derive(Debug)]
pub(super) struct Judged {
    found: Result<Arc<Identity>, Rejected>,
    reference: Option<String>,
}

impl Session {
    /// Looks at a token. What is said meanwhile waits.
    pub(super) fn authenticate(&mut self, auth: Auth) {
        let Auth { token, reference, .. } = auth;
        let Some(auth) = self.node.auth.clone() else {
            // Nobody is asked who he is here: whatever a client says about it is fine.
            return self.reply(&ServerMessage::Authenticated { reference, user: None, expires_ms: None, claims: None });
        };
        self.held = Some(Box::default());
        self.requests += 1;
        let steps = self.sender();
        tokio::spawn(async move {
            let found = auth.tokens.verify(&token, SystemTime::now()).await;
            // The client may have gone.
            let step = Step::Judged(Box::new(Judged { found, reference }));
            let _ = steps.send(Sent::to_session(step)).await;
        });
    }

    /// Holds a message back while a token is looked at. Returns it where nothing is.
    pub(super) fn hold(&mut self, message: ClientMessage) -> Option<ClientMessage> {
        let Some(held) = &mut self.held else { return Some(message) };
        // Doors do not read on meanwhile: there are few.
        if held.0.len() < REPLIES_MAX {
            held.0.push_back(message);
        } else {
            let problem = Problem::new(Code::RateLimited, "too much was said while a token is looked at");
            self.answer_no(message, problem.hint("wait for `authenticated`"));
        }
        None
    }

    /// A token has been looked at: what has waited is done.
    pub(super) fn judged(&mut self, judged: Judged) {
        self.requests -= 1;
        let held = self.held.take();
        let Judged { found, reference } = judged;
        match found.map_err(|rejected| refused(&rejected)).and_then(|identity| self.become_known(identity)) {
            Ok(()) => {
                let user = self.identity.user.as_deref().map(str::to_owned);
                let expires_ms = self.identity.expires.map(since_1970);
                self.reply(&ServerMessage::Authenticated { reference, user, expires_ms, claims: self.sealed() });
            }
            // Whoever tries one after the other has an end.
            Err(problem) => {
                if let Err(closing) = self.refuse(None, reference, problem) {
                    self.connected.queue.close(closing);
                }
            }
        }
        for message in held.into_iter().flat_map(|held| held.0) {
            self.accept(message);
        }
    }

    /// Goes on as somebody: as the same one with a newer token, or as the one that it turns out to be.
    pub fn become_known(&mut self, identity: Arc<Identity>) -> Result<(), Problem> {
        let identity = match &*self.identity.tenant {
            "" => Some(identity),
            tenant => identity.at(tenant),
        };
        let Some(identity) = identity.filter(|identity| self.identity.may_become(identity)) else {
            let problem = Problem::new(Code::Unauthenticated, "the token is not of the user who is connected");
            return Err(problem.hint("open another connection for another user"));
        };
        if let Err(problem) = self.change_payer(&identity) {
            // There is no room for it among those of who it is.
            let (message, retry_ms) = (problem.message.clone(), problem.retry_ms.unwrap_or(1_000));
            self.connected.queue.close(Closing { reason: "too_many_connections", message, retry_ms });
            return Err(problem);
        }
        self.set_identity(identity);
        // It may have been revoked since it was looked at, when this client was not known as its bearer yet.
        if self.node.auth.as_ref().is_some_and(|auth| !is_trusted(auth, &self.identity)) {
            self.connected.queue.close(closing(None));
        }
        Ok(())
    }

    /// What decides who may come in.
    pub(crate) fn auth(&self) -> Option<&Arc<crate::auth::Auth>> {
        self.node.auth.as_ref()
    }

    /// Whose client it is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    pub(super) fn set_identity(&mut self, identity: Arc<Identity>) {
        self.connected.identity.lock().clone_from(&identity);
        let before = std::mem::replace(&mut self.identity, identity);
        self.term = Term::of(&self.node, &self.identity);
        // The usual renewal changes nothing: nothing is read again for it.
        if !before.says_the_same(&self.identity) {
            self.identity_changed();
        }
    }

    /// Why a client that has not said who it is gets nothing, where it is one.
    pub(crate) fn is_known(&self) -> Result<(), Problem> {
        known(&self.identity)
    }

    /// What is known of who it is, for a client that compares it with what was known before.
    pub(super) fn sealed(&self) -> Option<String> {
        self.node.auth.as_ref()?.seal.of(&self.identity)
    }

    /// Refuses whatever a message asks for.
    pub(super) fn answer_no(&mut self, message: ClientMessage, problem: Problem) {
        let (id, reference) = message.into_addressee();
        self.reply(&ServerMessage::error(id, reference, problem));
    }
}

/// What a client hears of a token that is not accepted, on any door.
pub fn refused(rejected: &Rejected) -> Problem {
    Problem::new(Code::Unauthenticated, rejected.to_string())
}

/// In milliseconds.
pub(super) fn since_1970(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
