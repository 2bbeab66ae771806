//! Where a client is seen: what it says of itself on channels, in the order in which it says it.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::FutureExt;

use super::Session;
use super::channel;
use super::follow::{Sent, Step};
use super::node::Node;
use super::permit::{Permit, ask};
use super::seen::Seen;
use crate::auth::Identity;
use crate::presence::Key;
use crate::protocol::{self, Code, Problem, ServerMessage};

/// The longest name that a client gives itself, in characters.
const NAME_MAX: usize = 128;

/// See the module. A client that is seen nowhere has none.
#[derive(Debug, Default)]
pub(super) struct Here {
    /// What a client without a name is called.
    guest: Option<Arc<str>>,
    pub(super) seen: Vec<Seen>,
    /// What was asked for and not done yet; it is being found out whether the first may be done.
    waiting: VecDeque<Wanted>,
    /// Somebody else finds it out, and says so with [`Step::MayTrack`].
    is_asking: bool,
    /// The client shows another token than the one that it was asked with.
    is_outdated: bool,
}

#[derive(Debug)]
struct Wanted {
    key: Key,
    reference: Option<String>,
    /// The user and the state; `None`: to be seen no more.
    seen: Option<(Arc<str>, Option<Arc<str>>)>,
}

impl Here {
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What is being found out at the moment is no answer any more.
    pub(super) fn doubt(&mut self) {
        self.is_outdated = self.is_asking;
    }

    pub(super) fn find(&self, key: &Key) -> Option<usize> {
        self.seen.iter().position(|seen| seen.track.key() == key)
    }
}

impl Session {
    /// The client is to be seen on a channel, or says what else it is there.
    pub(super) fn track(&mut self, track: protocol::Track) {
        let reference = track.reference.clone();
        match self.wanted(track) {
            Ok(wanted) => self.want(wanted),
            Err(problem) => self.reply(&ServerMessage::error(None, reference, problem)),
        }
    }

    /// The client is to be seen there no more.
    pub(super) fn untrack(&mut self, untrack: protocol::Untrack) {
        let protocol::Untrack { channel, reference, .. } = untrack;
        match key(&self.node, &channel, &self.identity) {
            Ok(key) => self.want(Wanted { key, reference, seen: None }),
            Err(problem) => self.reply(&ServerMessage::error(None, reference, problem)),
        }
    }

    fn wanted(&mut self, track: protocol::Track) -> Result<Wanted, Problem> {
        let protocol::Track { channel, state, user, reference, .. } = track;
        let key = key(&self.node, &channel, &self.identity)?;
        let most = self.node.limits.presence_state_bytes;
        let state = state.map(|state| Arc::<str>::from(state.get()));
        if let Some(bytes) = state.as_ref().map(|state| state.len()).filter(|bytes| *bytes > most) {
            let message = format!("a state has at most {most} bytes; this one has {bytes}");
            return Err(Problem::new(Code::TooLarge, message)
                .hint("keep in it what others see at once, and publish or insert the rest"));
        }
        let user = self.user(user)?;
        Ok(Wanted { key, reference, seen: Some((user, state)) })
    }

    /// Who the client is, as others see it.
    fn user(&mut self, named: Option<String>) -> Result<Arc<str>, Problem> {
        let own = self.identity.user.clone();
        match (named, own) {
            (Some(named), Some(own)) if *named == *own => Ok(own),
            (Some(named), None) if self.identity.is_trusted() => {
                let fits = (1..=NAME_MAX).contains(&named.chars().count()) && !named.contains(char::is_control);
                let message = format!("`user` has 1 to {NAME_MAX} characters, and no control characters");
                if fits { Ok(named.into()) } else { Err(Problem::new(Code::BadMessage, message)) }
            }
            (Some(_), _) => Err(Problem::new(Code::Forbidden, "nobody is seen as another user than the token names")
                .hint("leave `user` out")),
            (None, Some(own)) => Ok(own),
            (None, None) => {
                let guest = || format!("guest-{:016x}", rand::random::<u64>()).into();
                Ok(self.here.get_or_insert_default().guest.get_or_insert_with(guest).clone())
            }
        }
    }

    fn want(&mut self, wanted: Wanted) {
        let here = self.here.get_or_insert_default();
        here.waiting.push_back(wanted);
        if !here.is_asking {
            self.do_wanted();
        }
    }

    /// Does what was asked for, up to where somebody has to be asked who does not answer at once.
    fn do_wanted(&mut self) {
        while let Some(here) = &self.here
            && let Some(Wanted { key, seen, .. }) = here.waiting.front()
        {
            // Who may be seen there may also say more, until somebody takes that away.
            if seen.is_none() || here.find(key).is_some() {
                self.do_first(Ok(Permit::default()));
                continue;
            }
            let (node, identity, channel) = (self.node.clone(), self.identity.clone(), key.channel.clone());
            let mut asking = Box::pin(async move { ask(&node, &identity, &channel).await });
            match (&mut asking).now_or_never() {
                Some(allowed) => self.do_first(allowed),
                None => return self.ask_and_go_on(asking),
            }
        }
    }

    fn ask_and_go_on(&mut self, asking: impl Future<Output = Result<Permit, Problem>> + Send + 'static) {
        let steps = self.sender();
        self.requests += 1;
        tokio::spawn(async move {
            let step = Step::MayTrack(asking.await);
            // The client may have gone.
            let _ = steps.send(Sent::to_session(step)).await;
        });
        self.here.get_or_insert_default().is_asking = true;
    }

    /// It was found out whether the client may be seen where it wants to be.
    pub(super) fn may_track(&mut self, allowed: Result<Permit, Problem>) {
        self.requests -= 1;
        let Some(here) = &mut self.here else { return };
        here.is_asking = false;
        if !std::mem::take(&mut here.is_outdated) {
            self.do_first(allowed);
        }
        self.do_wanted();
    }

    fn do_first(&mut self, allowed: Result<Permit, Problem>) {
        let Some(here) = &mut self.here else { return };
        let Some(Wanted { key, reference, seen }) = here.waiting.pop_front() else { return };
        let done = match (allowed, seen) {
            (Err(problem), _) => Err(problem),
            (Ok(_), None) => {
                self.stop_being_seen(&key);
                Ok(ServerMessage::Untracked { reference: reference.clone() })
            }
            (Ok(permit), Some((user, state))) => {
                let seen = self.be_seen(key, user, state, permit);
                seen.map(|()| ServerMessage::Tracked { reference: reference.clone() })
            }
        };
        let message = done.unwrap_or_else(|problem| ServerMessage::error(None, reference, problem));
        self.reply(&message);
    }
}

/// Whose channel a client means.
pub fn key(node: &Node, channel: &str, identity: &Identity) -> Result<Key, Problem> {
    Ok(Key { tenant: identity.tenant.clone(), channel: channel::named(node, identity, channel)? })
}
