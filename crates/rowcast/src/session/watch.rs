//! Subscriptions to who is present: a whole list, then what changes; and again a whole list, where the client was too slow.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;

use super::follow::{Sent, Start, Step, Wish};
use super::permit::{Permit, ask, ask_again};
use super::phase::{Phase, Subscription};
use super::{Session, TAKE_BYTES, here};
use crate::hub::{Listener, SubscriptionKey};
use crate::presence::{Key, Watch};
use crate::protocol::deliver::Deliver;
use crate::protocol::encode::reply;
use crate::protocol::{Code, Problem, ServerMessage, Subscribe};

/// What stands before the channel's name.
pub(super) const PRESENCE: &str = "presence:";

/// A subscription that is told who is present, and what lets it be.
#[derive(Debug)]
pub(super) struct Watching {
    watch: Watch,
    permit: Permit,
}

impl Session {
    /// Follows who is on a channel, if the client may. Positions mean nothing here: it begins with the whole list.
    pub(super) fn begin_watch(&mut self, subscribe: Subscribe, start: Start) -> Result<(), Problem> {
        if subscribe.filter.is_some() || subscribe.columns.is_some() || subscribe.deliver != Deliver::Strict {
            let message = "who is present are no rows: `where`, `columns` and `deliver` are for tables";
            return Err(Problem::new(Code::BadMessage, message));
        }
        let channel = subscribe.channel.strip_prefix(PRESENCE).unwrap_or(&subscribe.channel);
        let channel = here::key(&self.node, channel, &self.identity)?.channel;
        let (node, identity, watched) = (self.node.clone(), self.identity.clone(), channel.clone());
        let mut asking = Box::pin(async move { ask(&node, &identity, &watched).await });
        let allowed = (&mut asking).now_or_never().transpose()?;
        let is_new = !matches!(start, Start::Quietly(_));
        let place = self.place()?;
        let key = self.new_key();
        let wish = Arc::new(Wish::plain(subscribe.id, &self.identity, channel, self.wire));
        let phase = match allowed {
            Some(permit) => self.watching(key, &wish, is_new, permit),
            None => self.asking(key, is_new, asking),
        };
        self.subscriptions.insert(key, Subscription { wish, phase, reached: None, _place: place });
        self.count_subscriptions();
        Ok(())
    }

    fn asking(
        &mut self,
        key: SubscriptionKey,
        is_new: bool,
        asking: impl Future<Output = Result<Permit, Problem>> + Send + 'static,
    ) -> Phase {
        let steps = self.sender();
        let asking = async move {
            let step = asking.await.map_or_else(Step::Failed, |permit| Step::MayWatch { is_new, permit });
            // The client may have gone.
            let _ = steps.send(Sent::by(key, step)).await;
        };
        Phase::Asking(tokio::spawn(asking).abort_handle())
    }

    /// It was found out that the client may watch.
    pub(super) fn may_watch(&mut self, key: SubscriptionKey, is_new: bool, permit: Permit) {
        let Some(wish) = self.subscriptions.get(&key).map(|subscription| subscription.wish.clone()) else { return };
        let phase = self.watching(key, &wish, is_new, permit);
        self.set_phase(key, phase);
    }

    fn watching(&mut self, key: SubscriptionKey, wish: &Wish, is_new: bool, permit: Permit) -> Phase {
        if is_new {
            let (id, position) = (wish.id.clone(), self.node.hub.dispatched().to_string());
            let said = ServerMessage::Subscribed { id, position, resumed: false, columns: None, key: None };
            self.replies.push_back(reply(self.wire, &said, None));
        }
        if !self.guard(key, &permit) {
            return self.ask_anew(key, wish);
        }
        let listener = Listener {
            session: self.key,
            subscription: key,
            queue: self.connected.queue.clone(),
            wire: self.wire,
            id: wish.id_json.clone(),
        };
        let whose = Key { tenant: self.identity.tenant.clone(), channel: wish.channel.clone() };
        self.listing = true;
        let watch = self.node.presence.watch(&whose, listener);
        Phase::Watching(Box::new(Watching { watch, permit }))
    }

    fn ask_anew(&mut self, key: SubscriptionKey, wish: &Wish) -> Phase {
        self.node.hub.leave(self.key, [key]);
        let (node, identity, channel) = (self.node.clone(), self.identity.clone(), wish.channel.clone());
        let message = format!("you may not see any more who is on `{}`", channel.as_said());
        let revoked = reply(self.wire, &ServerMessage::Revoked { id: wish.id.clone(), message }, None);
        let steps = self.sender();
        self.asking(key, false, async move {
            let allowed = ask_again(&node, &identity, &channel).await;
            if allowed.is_err() {
                // Before the error that ends it. The client may have gone.
                let _ = steps.send(Sent::by(key, Step::Frames(vec![(None, revoked)]))).await;
            }
            allowed
        })
    }

    /// What lets a subscription watch may be over: nothing more is told before that is known.
    pub(super) fn watch_anew(&mut self, key: SubscriptionKey) {
        let Some(Subscription { wish, phase, .. }) = self.subscriptions.get(&key) else { return };
        let is_new = match phase {
            Phase::Asking(task) => {
                task.abort();
                true
            }
            _ => false,
        };
        let wish = wish.clone();
        let phase = match is_new {
            true => {
                let (node, identity, channel) = (self.node.clone(), self.identity.clone(), wish.channel.clone());
                self.asking(key, true, async move { ask(&node, &identity, &channel).await })
            }
            false => self.ask_anew(key, &wish),
        };
        self.set_phase(key, phase);
        self.connected.queue.forget(key);
    }

    /// Tells the next pieces of whole lists. Nothing is taken from the queue before the last of them.
    pub(super) fn tell_lists(&mut self, out: &mut Vec<Bytes>) {
        if !self.listing {
            return;
        }
        self.listing = false;
        let mut bytes: usize = out.iter().map(Bytes::len).sum();
        for subscription in self.subscriptions.values_mut() {
            let Phase::Watching(watching) = &mut subscription.phase else { continue };
            while bytes < TAKE_BYTES
                && let Some(frame) = watching.watch.take()
            {
                bytes += frame.len();
                out.push(frame);
            }
            self.listing |= watching.watch.has_first();
        }
    }

    /// Begins a subscription anew that has missed something. Returns whether it is one of these.
    pub(super) fn watch_again(&mut self, key: SubscriptionKey) -> bool {
        let Some(Subscription { phase: Phase::Watching(watching), .. }) = self.subscriptions.get_mut(&key) else {
            return false;
        };
        watching.watch.again();
        self.listing = true;
        true
    }

    /// The queue was full and has been dropped, with everything that it held for those who watch.
    pub(super) fn watch_all_again(&mut self) {
        let is_lasting = |subscription: &Subscription| match &subscription.phase {
            Phase::Watching(watching) => Some(watching.permit.is_lasting()),
            _ => None,
        };
        let all: Vec<_> = self.subscriptions.iter().filter_map(|(key, s)| Some((*key, is_lasting(s)?))).collect();
        for (key, is_lasting) in all {
            match is_lasting {
                true => drop(self.watch_again(key)),
                // That it may be over may have been among what was dropped.
                false => self.watch_anew(key),
            }
        }
        self.look_at_tracks(|permit| !permit.is_lasting());
    }
}
