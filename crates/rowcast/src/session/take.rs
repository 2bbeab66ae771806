//! What the hub has queued for a client, in the order in which it is told.

use bytes::Bytes;

use super::follow::Start;
use super::pace::Pace;
use super::phase::{Phase, Subscription};
use super::read::{Broken, Frame};
use super::{Session, TAKE_BYTES, revoke};
use crate::hub::{Closing, Item, ItemKind, SubscriptionKey};
use crate::protocol::ServerMessage;
use crate::protocol::encode::{Wire, reply};

impl Session {
    /// Reads what lies between the log's part and the queue's. Nothing is taken from the queue before that.
    pub(super) async fn finish_joins(&mut self, out: &mut Vec<Bytes>) {
        let keys: Vec<_> = self.subscriptions.keys().copied().collect();
        for key in keys {
            while let Some(Subscription { phase: Phase::Joining(way, until), reached, .. }) =
                self.subscriptions.get_mut(&key)
            {
                let (frames, broken) = way.read(&self.node, *until).await;
                note_told(&mut self.pace, key, &frames);
                for (position, frame) in frames {
                    *reached = position.or(*reached);
                    out.push(frame);
                }
                match broken {
                    Some(Broken::Failed(problem)) => self.fail(key, problem, out),
                    Some(Broken::Gap(..)) => self.follow_again(key),
                    None if way.cursor >= *until => {
                        *reached = Some(way.cursor);
                        self.set_phase(key, Phase::Live);
                        self.joined = matches!(self.wire, Wire::SocketIo { .. });
                    }
                    None => {}
                }
            }
        }
        self.joining = self.subscriptions.values().any(|s| matches!(s.phase, Phase::Joining(..)));
    }

    pub(super) fn take_queue(&mut self, out: &mut Vec<Bytes>) -> Option<Closing> {
        if self.joining || self.listing {
            return None;
        }
        let mut taken = self.connected.queue.take(TAKE_BYTES);
        for (key, position) in taken.told {
            if let Some(subscription) = self.subscriptions.get_mut(&key) {
                subscription.reached = subscription.reached.max(Some(position));
            }
        }
        // Who is present is told anew, instead of what comes after something that was missed.
        let mut missed = Vec::new();
        taken.skipped.retain(|(key, _)| {
            let again = self.watch_again(*key);
            missed.extend(again.then_some(*key));
            !again
        });
        if !missed.is_empty() {
            taken.items.retain(|item| !missed.contains(&item.subscription));
        }
        out.reserve(taken.items.len());
        for item in taken.items {
            self.take_item(item, out);
        }
        self.take_conflated(out);
        for (key, count) in taken.skipped {
            if let Some(subscription) = self.subscriptions.get(&key) {
                let id = subscription.wish.id.clone();
                out.push(reply(self.wire, &ServerMessage::Skipped { id, count }, None));
            }
        }
        if let Some(position) = taken.behind {
            self.fall_behind(position);
        }
        if taken.closing.as_ref().is_some_and(|closing| closing.reason == revoke::REVOKED) {
            self.depart();
        }
        taken.closing
    }

    /// What is due of the subscriptions that conflate.
    fn take_conflated(&mut self, out: &mut Vec<Bytes>) {
        let Some(pace) = &mut self.pace else { return };
        let live = |s: &&Subscription| matches!(s.phase, Phase::Live);
        let class = |key| self.subscriptions.get(&key).filter(live).map(|s| &s.wish.deliver);
        for (key, flush) in pace.take(&self.connected.queue, class) {
            let Some(subscription) = self.subscriptions.get_mut(&key) else { continue };
            subscription.reached = Some(flush.newest());
            let mut frames = Vec::new();
            flush.write(self.wire, &subscription.wish.id_json, &mut frames);
            out.extend(frames.into_iter().map(|(_, frame)| frame));
        }
    }

    fn take_item(&mut self, item: Item, out: &mut Vec<Bytes>) {
        let Some(subscription) = self.subscriptions.get_mut(&item.subscription) else {
            return self.look_at_guard(item.subscription);
        };
        if !matches!(subscription.phase, Phase::Live | Phase::Watching(_)) {
            return;
        }
        match item.kind {
            ItemKind::Frame(position, frame) => {
                subscription.reached = Some(position);
                out.push(frame);
            }
            ItemKind::Frames { last, bytes, .. } => {
                subscription.reached = Some(last);
                out.push(bytes);
            }
            ItemKind::Ephemeral(frame) => out.push(frame),
            ItemKind::Evicted(_) if matches!(subscription.phase, Phase::Watching(_)) => {
                self.watch_anew(item.subscription)
            }
            ItemKind::Evicted(position) => {
                let start = Start::Quietly(position.max(subscription.reached.unwrap_or(position)));
                let wish = subscription.wish.clone();
                let phase = self.spawn_follow(item.subscription, wish, start);
                self.set_phase(item.subscription, phase);
            }
        }
    }
}

/// What comes of the log counts as told, too.
fn note_told(pace: &mut Option<Box<Pace>>, key: SubscriptionKey, frames: &[Frame]) {
    if let Some(pace) = pace.as_mut().filter(|_| !frames.is_empty()) {
        pace.told(key);
    }
}
