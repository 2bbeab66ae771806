//! Clients who hear the same of something that is in no log: a frame is made once for all who get the very same bytes.
//!
//! Guarded by whoever has it, and so apart from the hub's own index and its lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;

use super::index::SessionKey;
use super::queue::{ItemKind, Pushed, Queue, SubscriptionKey};
use crate::protocol::encode::{Wire, frame};

/// A client's subscription.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Whose it is.
    pub session: SessionKey,
    /// Which of the session's.
    pub subscription: SubscriptionKey,
    /// Where its frames go.
    pub queue: Arc<Queue>,
    /// How they are written.
    pub wire: Wire,
    /// The client's name for the subscription, as JSON.
    pub id: Arc<str>,
}

type Members = BTreeMap<(SessionKey, SubscriptionKey), Arc<Queue>>;

/// See the module.
#[derive(Debug, Default)]
pub struct Audience {
    parts: AHashMap<(Wire, Arc<str>), Members>,
    count: usize,
}

/// What was queued, and is still to be written.
#[derive(Debug, Default)]
#[must_use = "clients whose queues were empty are not woken before it is flushed"]
pub struct Outgoing {
    first: Vec<Arc<Queue>>,
    /// Frames queued.
    pub frames: u64,
}

impl Audience {
    /// Tells it everything that is sent from now on.
    pub fn join(&mut self, listener: Listener) {
        let Listener { session, subscription, queue, wire, id } = listener;
        let before = self.parts.entry((wire, id)).or_default().insert((session, subscription), queue);
        self.count += usize::from(before.is_none());
    }

    /// Tells it nothing more.
    pub fn leave(&mut self, listener: &Listener) {
        let part = (listener.wire, listener.id.clone());
        let Some(members) = self.parts.get_mut(&part) else { return };
        self.count -= usize::from(members.remove(&(listener.session, listener.subscription)).is_some());
        if members.is_empty() {
            self.parts.remove(&part);
        }
    }

    /// Queues a message for everybody; `body` is everything after its `id`. A queue that is full counts it as skipped.
    pub fn send(&self, kind: &str, body: &[u8], outgoing: &mut Outgoing) {
        for ((wire, id), members) in &self.parts {
            let bytes = frame(*wire, kind, id, None, body);
            for ((_, subscription), queue) in members {
                match queue.push(*subscription, ItemKind::Ephemeral(bytes.clone())) {
                    Pushed::Dropped => continue,
                    Pushed::Queued => {}
                    Pushed::First => outgoing.first.push(queue.clone()),
                }
                outgoing.frames += 1;
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Outgoing {
    /// Writes what can be written at once, and wakes the others.
    pub fn flush(self) {
        super::flush(self.first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_told_until_it_leaves() {
        let mut audience = Audience::default();
        let listener = |session, id: &str| Listener {
            session: SessionKey(session),
            subscription: SubscriptionKey(1),
            queue: Arc::new(Queue::new(1 << 20)),
            wire: Wire::Text,
            id: id.into(),
        };
        let all = [listener(1, "\"a\""), listener(2, "\"a\""), listener(3, "\"b\"")];
        all.iter().for_each(|one| audience.join(one.clone()));
        let tell = |audience: &Audience| {
            let mut outgoing = Outgoing::default();
            audience.send("presence", b"\"full\":true}", &mut outgoing);
            let frames = outgoing.frames;
            outgoing.flush();
            frames
        };
        assert_eq!((audience.len(), tell(&audience)), (3, 3));
        audience.leave(&all[0]);
        audience.leave(&all[0]);
        assert_eq!((audience.len(), tell(&audience)), (2, 2));
        let heard = |one: &Listener| {
            let items = one.queue.take(usize::MAX).items;
            let text = |item: &super::super::Item| match &item.kind {
                ItemKind::Ephemeral(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                other => panic!("{other:?}"),
            };
            items.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(heard(&all[0]).len(), 1);
        assert_eq!(heard(&all[2]), vec![r#"{"type":"presence","id":"b","full":true}"#; 2]);
    }
}
