//! The channels on which a client is seen, for as long as it wants that and may.

use std::sync::Arc;

use super::Session;
use super::follow::{Sent, Step};
use super::permit::{Permit, ask_again};
use crate::hub::SubscriptionKey;
use crate::presence::{Key, Track};
use crate::protocol::{Code, Problem, ServerMessage};

/// A channel on which the client is seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) track: Track,
    permit: Permit,
    /// Evictions of this key say that the permission may be over.
    guard: SubscriptionKey,
}

impl Session {
    pub(super) fn be_seen(
        &mut self,
        key: Key,
        user: Arc<str>,
        state: Option<Arc<str>>,
        permit: Permit,
    ) -> Result<(), Problem> {
        let guard = self.new_key();
        let (most, presence) = (self.node.limits.presence_channels, self.node.presence.clone());
        let here = self.here.get_or_insert_default();
        if let Some(at) = here.find(&key) {
            let seen = &mut here.seen[at];
            if *seen.track.user() == user {
                seen.track.set(state);
            } else {
                std::mem::replace(&mut seen.track, presence.track(&key, user, state)).leave();
            }
            return Ok(());
        }
        if here.seen.len() >= most {
            let message = format!("this connection is seen on {most} channels, which is all that it may be");
            return Err(Problem::new(Code::RateLimited, message).hint("untrack one of them"));
        }
        if here.seen.is_empty() {
            here.seen.reserve_exact(1);
        }
        here.seen.push(Seen { track: presence.track(&key, user, state), permit: Permit::default(), guard });
        self.keep_seen(&key, permit);
        Ok(())
    }

    /// Keeps what lets the client be seen; asks again where that is over already.
    fn keep_seen(&mut self, key: &Key, permit: Permit) {
        let Some(here) = &mut self.here else { return };
        let Some(at) = here.find(key) else { return };
        let guard = here.seen[at].guard;
        self.node.hub.leave(self.key, [guard]);
        let holds = self.guard(guard, &permit);
        if let Some(here) = &mut self.here {
            here.seen[at].permit = permit;
        }
        if !holds {
            self.ask_about(key.clone());
        }
    }

    pub(super) fn stop_being_seen(&mut self, key: &Key) {
        let Some(here) = &mut self.here else { return };
        if let Some(at) = here.find(key) {
            let seen = here.seen.swap_remove(at);
            self.node.hub.leave(self.key, [seen.guard]);
            seen.track.leave();
        }
    }

    /// The client goes, and does not come back: nobody waits for it.
    pub fn depart(&mut self) {
        for seen in self.here.take().into_iter().flat_map(|here| here.seen) {
            self.node.hub.leave(self.key, [seen.guard]);
            seen.track.leave();
        }
    }

    /// An eviction of none of the subscriptions: what lets the client be seen somewhere may be over.
    pub(super) fn look_at_guard(&mut self, guard: SubscriptionKey) {
        let seen = self.here.as_ref().and_then(|here| here.seen.iter().find(|seen| seen.guard == guard));
        if let Some(key) = seen.map(|seen| seen.track.key().clone()) {
            self.ask_about(key);
        }
    }

    pub(super) fn guards(&self) -> impl Iterator<Item = SubscriptionKey> {
        self.here.iter().flat_map(|here| &here.seen).map(|seen| seen.guard)
    }

    /// Asks again whether the client may be seen where `which` says so.
    pub(super) fn look_at_tracks(&mut self, which: impl Fn(&Permit) -> bool) {
        let seen = self.here.iter().flat_map(|here| &here.seen).filter(|seen| which(&seen.permit));
        let keys: Vec<Key> = seen.map(|seen| seen.track.key().clone()).collect();
        keys.into_iter().for_each(|key| self.ask_about(key));
    }

    fn ask_about(&mut self, key: Key) {
        let (node, identity) = (self.node.clone(), self.identity.clone());
        let steps = self.sender();
        self.requests += 1;
        tokio::spawn(async move {
            let allowed = ask_again(&node, &identity, &key.channel).await;
            // The client may have gone.
            let _ = steps.send(Sent::to_session(Step::StillSeen(key, allowed))).await;
        });
    }

    /// It was found out whether the client may still be seen.
    pub(super) fn still_seen(&mut self, key: &Key, allowed: Result<Permit, Problem>) {
        self.requests -= 1;
        match allowed {
            Ok(permit) => self.keep_seen(key, permit),
            Err(problem) => self.hide(key, problem),
        }
    }

    fn hide(&mut self, key: &Key, mut problem: Problem) {
        if self.here.as_ref().is_some_and(|here| here.find(key).is_some()) {
            self.stop_being_seen(key);
            problem.message = format!("you are no longer seen on `{}`: {}", key.channel.as_said(), problem.message);
            self.reply(&ServerMessage::error(None, None, problem));
        }
    }

    /// Another token: whoever is another user by it, or another tenant's, is seen no more; of the others it is asked again.
    pub(super) fn tracks_of_another(&mut self) {
        if let Some(here) = &mut self.here {
            here.doubt();
        }
        let identity = self.identity.clone();
        let is_own = |seen: &Seen| {
            let same_user = identity.user.as_ref().is_none_or(|user| user == seen.track.user());
            same_user && seen.track.key().tenant == identity.tenant
        };
        let seen = self.here.iter().flat_map(|here| &here.seen).filter(|seen| !is_own(seen));
        for key in seen.map(|seen| seen.track.key().clone()).collect::<Vec<_>>() {
            let problem = Problem::new(Code::Forbidden, "the token names somebody else");
            self.hide(&key, problem.hint("track it again"));
        }
        self.look_at_tracks(|_| true);
    }
}
