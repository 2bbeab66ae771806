//! Subscriptions to who is present: a whole list, then what changes; and again a whole list, where the client was too slow.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;

use super::follow::{Start, Step, Wish};
use super::{Phase, Session, Subscription, TAKE_BYTES, access, here};
use crate::hub::{Listener, SubscriptionKey};
use crate::protocol::deliver::Deliver;
use crate::protocol::encode::reply;
use crate::protocol::{Code, Problem, ServerMessage, Subscribe};

/// What stands before the channel's name.
pub(super) const PRESENCE: &str = "presence:";

impl Session {
    /// Follows who is on a channel, if the client may. Positions mean nothing here: it begins with the whole list.
    pub(super) fn begin_watch(&mut self, subscribe: Subscribe, start: Start) -> Result<(), Problem> {
        if subscribe.filter.is_some() || subscribe.columns.is_some() || subscribe.deliver != Deliver::Strict {
            let message = "who is present are no rows: `where`, `columns` and `deliver` are for tables";
            return Err(Problem::new(Code::BadMessage, message));
        }
        let channel = subscribe.channel.strip_prefix(PRESENCE).unwrap_or(&subscribe.channel);
        let channel = here::key(channel, &self.identity)?.channel;
        let (node, identity, watched) = (self.node.clone(), self.identity.clone(), channel.clone());
        let mut asking = Box::pin(async move { access::may_watch(&node, &identity, &watched).await });
        let allowed = (&mut asking).now_or_never().transpose()?;
        let is_new = !matches!(start, Start::Quietly(_));
        let key = SubscriptionKey(self.next_key);
        self.next_key += 1;
        let wish = Arc::new(Wish::plain(subscribe.id, channel, self.wire));
        let phase = match allowed {
            Some(()) => self.watching(key, &wish, is_new),
            None => {
                let steps = self.sender();
                let asking = async move {
                    let step = asking.await.map_or_else(Step::Failed, |()| Step::Watch { is_new });
                    // The client may have gone.
                    let _ = steps.send(Box::new((key, step))).await;
                };
                Phase::Following(tokio::spawn(asking).abort_handle())
            }
        };
        self.subscriptions.insert(key, Subscription { wish, phase, reached: None });
        self.count_subscriptions();
        Ok(())
    }

    /// It was found out that the client may watch.
    pub(super) fn may_watch(&mut self, key: SubscriptionKey, is_new: bool) {
        let Some(wish) = self.subscriptions.get(&key).map(|subscription| subscription.wish.clone()) else { return };
        let phase = self.watching(key, &wish, is_new);
        self.set_phase(key, phase);
    }

    fn watching(&mut self, key: SubscriptionKey, wish: &Wish, is_new: bool) -> Phase {
        if is_new {
            let position = self.node.hub.dispatched();
            let (id, text) = (wish.id.clone(), position.to_string());
            let said = ServerMessage::Subscribed { id, position: text, resumed: false, columns: None, key: None };
            self.replies.push_back(reply(self.wire, &said, None));
        }
        let listener = Listener {
            session: self.key,
            subscription: key,
            queue: self.connected.queue.clone(),
            wire: self.wire,
            id: wish.id_json.clone(),
        };
        let whose = crate::presence::Key { tenant: self.identity.tenant.clone(), channel: wish.channel.clone() };
        self.listing = true;
        Phase::Watching(Box::new(self.node.presence.watch(&whose, listener)))
    }

    /// Tells the next pieces of whole lists. Nothing is taken from the queue before the last of them.
    pub(super) fn tell_lists(&mut self, out: &mut Vec<Bytes>) {
        if !self.listing {
            return;
        }
        let mut bytes: usize = out.iter().map(Bytes::len).sum();
        for subscription in self.subscriptions.values_mut() {
            let Phase::Watching(watch) = &mut subscription.phase else { continue };
            while bytes < TAKE_BYTES
                && let Some(frame) = watch.take()
            {
                bytes += frame.len();
                out.push(frame);
            }
        }
        let has_first =
            |subscription: &Subscription| matches!(&subscription.phase, Phase::Watching(watch) if watch.has_first());
        self.listing = self.subscriptions.values().any(has_first);
    }

    /// Begins a subscription anew that has missed something. Returns whether it is one of these.
    pub(super) fn watch_again(&mut self, key: SubscriptionKey) -> bool {
        let Some(Subscription { phase: Phase::Watching(watch), .. }) = self.subscriptions.get_mut(&key) else {
            return false;
        };
        watch.again();
        self.listing = true;
        true
    }
}
