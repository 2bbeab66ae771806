//! What a door asks of a session that understands its client's messages itself, and gives positions back for it.

use super::follow::Start;
use super::phase::{Phase, Subscription};
use super::{Session, channel};
use crate::event::{Channel, Position, TableName};
use crate::protocol::deliver::Deliver;
use crate::protocol::{Code, Problem, Subscribe};

/// The subject of subscriptions that conflate.
pub const CONFLATED: &str = "*";

impl Session {
    /// Follows a channel no more. Nothing is said about it.
    pub fn unsubscribe(&mut self, id: &str) -> Result<(), Problem> {
        let found = self.subscriptions.iter().find(|(_, s)| s.wish.id == id).map(|(key, _)| *key);
        let key = found.ok_or_else(|| Problem::new(Code::UnknownId, format!("there is no subscription `{id}`")))?;
        self.end(key);
        Ok(())
    }

    /// Whether there is a subscription of this id.
    pub fn follows(&self, id: &str) -> bool {
        self.subscriptions.values().any(|subscription| subscription.wish.id == id)
    }

    /// Follows nothing any more.
    pub fn unsubscribe_all(&mut self) {
        for key in self.subscriptions.keys().copied().collect::<Vec<_>>() {
            self.end(key);
        }
    }

    /// Goes on with a channel after a position that the client has reached on an earlier connection. Nothing is said about it.
    pub fn resume(&mut self, subscribe: Subscribe, after: Position) -> Result<(), Problem> {
        self.begin(subscribe, Start::Quietly(after))
    }

    /// Where who follows something from now on begins: what is committed later comes after it.
    pub fn position(&self) -> Position {
        self.node.hub.dispatched()
    }

    /// Whether the log still has everything after a position.
    pub fn can_resume(&self, after: Position) -> bool {
        let (oldest, head) = (self.node.log.oldest(), self.node.log.head());
        after.epoch == head.epoch && oldest <= after && after <= head
    }

    /// What a subscription's messages are about: subscriptions of different subjects never hear of the same event. One that conflates tells
    /// of events when others have told of later ones: its subject is [`CONFLATED`].
    pub fn subject(&self, subscribe: &Subscribe) -> String {
        if subscribe.deliver != Deliver::Strict {
            return CONFLATED.to_owned();
        }
        let channel = &*subscribe.channel;
        let table = |name: &TableName| format!("table:{}", name.name.to_lowercase());
        match channel::named(&self.node, &self.identity, channel) {
            Ok(Channel::Table(name)) => table(&name),
            Ok(Channel::Event(name)) => match self.node.events.get(&*name) {
                Some(event) => table(&event.table),
                None => channel.to_owned(),
            },
            Ok(Channel::Room(_) | Channel::Notify(_)) | Err(_) => channel.to_owned(),
        }
    }

    /// How often a subscription has begun to read the log for itself.
    pub fn followed(&self) -> u32 {
        self.followed
    }

    /// The position up to which everything has been handed to the transport on every subscription, where there is one.
    pub fn settled(&self) -> Option<Position> {
        let mut position = self.node.hub.dispatched();
        for subscription in self.subscriptions.values().filter(|s| matches!(s.phase, Phase::Following(_))) {
            position = position.min((*subscription.wish.told.lock())?);
        }
        // What has been told so far has been taken from there.
        let taken = self.steps.as_ref().is_none_or(|steps| steps.first.is_none() && steps.receiver.is_empty());
        let (bytes, behind) = self.connected.queue.status();
        // A position that is older than what was sent already would take the client back.
        let is_settled = |s: &Subscription| {
            let carried = matches!(s.phase, Phase::Live | Phase::Watching(_) | Phase::Following(_));
            carried && s.reached.is_none_or(|reached| reached <= position)
        };
        (taken && self.subscriptions.values().all(is_settled) && bytes == 0 && !behind && !self.listing)
            .then_some(position)
    }
}
