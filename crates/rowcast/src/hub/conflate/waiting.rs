//! What waits for one client on subscriptions that conflate, beside the frames of its queue, and in the same budget.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Conflated, Flush, Part};
use crate::event::Position;
use crate::hub::SubscriptionKey;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::hub) struct Waiting {
    subscriptions: BTreeMap<SubscriptionKey, Slot>,
    bytes: usize,
    /// Something waits that the session has not looked at.
    news: bool,
}

#[derive(Debug, Default)]
struct Slot {
    conflated: Conflated,
    /// The session knows that it waits.
    announced: bool,
}

impl Waiting {
    /// Adds a change. Returns whether the session has to be woken.
    pub(in crate::hub) fn push(&mut self, subscription: SubscriptionKey, part: Arc<Part>, last: bool) -> bool {
        self.change(subscription, |conflated| conflated.push(part, last))
    }

    /// Ends the transaction that is open. Returns whether the session has to be woken.
    pub(in crate::hub) fn end(
        &mut self,
        subscription: SubscriptionKey,
        position: Position,
        tx: u64,
        commit: bool,
    ) -> bool {
        self.change(subscription, |conflated| conflated.end(position, tx, commit))
    }

    fn change(&mut self, subscription: SubscriptionKey, change: impl FnOnce(&mut Conflated)) -> bool {
        let slot = self.subscriptions.entry(subscription).or_default();
        let before = slot.conflated.bytes();
        change(&mut slot.conflated);
        self.bytes = self.bytes + slot.conflated.bytes() - before;
        let ready = !slot.conflated.is_open() && !slot.conflated.is_empty() && !slot.announced;
        slot.announced |= ready;
        self.news |= ready;
        ready
    }

    /// Takes what `is_due` says is due. What is not due is asked about again when the session looks again.
    pub(in crate::hub) fn take(
        &mut self,
        mut is_due: impl FnMut(SubscriptionKey, &Conflated) -> bool,
    ) -> Vec<(SubscriptionKey, Flush)> {
        self.news = false;
        let mut flushes = Vec::new();
        for (subscription, slot) in &mut self.subscriptions {
            slot.announced = !slot.conflated.is_open() && !slot.conflated.is_empty();
            if !slot.announced || !is_due(*subscription, &slot.conflated) {
                continue;
            }
            slot.announced = false;
            flushes.extend(slot.conflated.take().map(|flush| (*subscription, flush)));
        }
        self.bytes = self.subscriptions.values().map(|slot| slot.conflated.bytes()).sum();
        flushes
    }

    /// Drops what waits for a subscription. Returns the position of the oldest change.
    pub(in crate::hub) fn remove(&mut self, subscription: SubscriptionKey) -> Option<Position> {
        let slot = self.subscriptions.remove(&subscription)?;
        self.bytes -= slot.conflated.bytes();
        slot.conflated.oldest()
    }

    /// Leaves out what the classes leave out, where that is not done at once. Returns whether anything was.
    pub(in crate::hub) fn reduce(&mut self) -> bool {
        let mut smaller = false;
        for slot in self.subscriptions.values_mut() {
            smaller |= slot.conflated.reduce_to_class();
        }
        self.bytes = self.subscriptions.values().map(|slot| slot.conflated.bytes()).sum();
        smaller
    }

    /// The position of the oldest change of all.
    pub(in crate::hub) fn oldest(&self) -> Option<Position> {
        self.subscriptions.values().filter_map(|slot| slot.conflated.oldest()).min()
    }

    pub(in crate::hub) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::hub) fn has_news(&self) -> bool {
        self.news
    }
}
