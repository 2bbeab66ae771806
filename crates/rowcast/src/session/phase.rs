//! Where a subscription is on its way, and what takes it back: something was missed, or what it may show has changed.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{AbortHandle, Id};

use super::Session;
use super::follow::{Start, Wish};
use super::quota::Place;
use super::read::Follow;
use super::watch::Watching;
use crate::event::Position;
use crate::hub::SubscriptionKey;
use crate::protocol::encode::reply;
use crate::protocol::{Problem, ServerMessage};

/// Who has a subscription in hand.
pub(super) enum Phase {
    /// A task is on the way to the present.
    Following(AbortHandle),
    /// The hub queues frames after this position; what lies before is still to be read from the log.
    Joining(Box<Follow>, Position),
    /// The hub carries it.
    Live,
    /// It is being found out whether the client may see who is present.
    Asking(AbortHandle),
    /// It follows who is present.
    Watching(Box<Watching>),
}

impl Phase {
    /// Whether a task is the one at work.
    pub(super) fn is_of(&self, task: Option<Id>) -> bool {
        matches!(self, Self::Following(own) | Self::Asking(own) if Some(own.id()) == task)
    }
}

/// One channel that the client follows.
pub(super) struct Subscription {
    pub(super) wish: Arc<Wish>,
    pub(super) phase: Phase,
    /// Everything up to here was handed to the transport.
    pub(super) reached: Option<Position>,
    /// Among what may be had of them.
    pub(super) _place: Place,
}

impl Session {
    pub(super) fn set_phase(&mut self, key: SubscriptionKey, phase: Phase) {
        if let Some(subscription) = self.subscriptions.get_mut(&key) {
            subscription.phase = phase;
        }
    }

    /// The hub cannot carry a subscription at the moment: it reads the log itself from where it is.
    pub(super) fn follow_again(&mut self, key: SubscriptionKey) {
        self.node.hub.leave(self.key, [key]);
        self.connected.queue.forget(key);
        let Some(Subscription { phase: Phase::Joining(way, _), wish, .. }) = self.subscriptions.get(&key) else {
            return;
        };
        let phase = self.spawn_follow(key, wish.clone(), Start::Quietly(way.cursor));
        self.set_phase(key, phase);
    }

    /// What a subscription may show has to be found out anew.
    pub(super) fn look_again(&mut self, key: SubscriptionKey) {
        let Some(subscription) = self.subscriptions.get(&key) else { return };
        match &subscription.phase {
            // What is queued was allowed; the way back begins behind it.
            Phase::Live | Phase::Joining(..) => self.node.hub.send_away(self.key, key),
            Phase::Following(task) => {
                task.abort();
                let wish = subscription.wish.clone();
                let phase = self.spawn_follow(key, wish, Start::Anew);
                self.set_phase(key, phase);
            }
            Phase::Asking(_) | Phase::Watching(_) => self.watch_anew(key),
        }
    }

    /// The queue was full and has been dropped: every subscription reads the log from there.
    pub(super) fn fall_behind(&mut self, position: Position) {
        let live: Vec<_> = self.subscriptions.iter().filter(|(_, s)| matches!(s.phase, Phase::Live)).collect();
        let live: Vec<_> = live.into_iter().map(|(key, s)| (*key, s.wish.clone(), s.reached)).collect();
        self.node.hub.abandon(&self.connected.queue, self.key, live.iter().map(|(key, ..)| *key));
        self.watch_all_again();
        for (key, wish, reached) in live {
            let from = position.max(reached.unwrap_or(position));
            let phase = self.spawn_follow(key, wish, Start::Quietly(from));
            self.set_phase(key, phase);
        }
    }

    pub(super) fn fail(&mut self, key: SubscriptionKey, problem: Problem, out: &mut Vec<Bytes>) {
        let Some(id) = self.subscriptions.get(&key).map(|s| s.wish.id.clone()) else { return };
        self.end(key);
        self.failure = Some(Box::new(problem.clone()));
        out.push(reply(self.wire, &ServerMessage::error(Some(id), None, problem), None));
    }
}
