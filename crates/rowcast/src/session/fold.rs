//! A subscription that conflates reads the log for itself: what is behind it is conflated, too.
//!
//! What is read is kept until the subscription has caught up, or as much waits as may wait for one client.

use std::sync::Arc;

use super::follow::BYTES_MAX;
use super::node::Node;
use super::read::{Broken, Follow, Frame};
use crate::event::{Event, Position, RowChange};
use crate::hub::Run;
use crate::hub::conflate::{Conflated, Part};
use crate::protocol::deliver::Deliver;
use crate::protocol::encode::{Projection, Seen};

/// A change that concerns the subscription, and how it is told.
pub(super) type Matched<'a> = (&'a Arc<Event>, &'a RowChange, Seen, Arc<Projection>);

/// What a subscription of this class keeps while it reads; nothing where every change is told.
pub(super) fn pending(class: &Deliver) -> Option<Box<Conflated>> {
    (*class != Deliver::Strict).then(Box::default)
}

impl Follow {
    /// Reads some of the log after the cursor, and not beyond `until`. Dropping the future loses nothing.
    pub(super) async fn read(&mut self, node: &Node, until: Position) -> (Vec<Frame>, Option<Broken>) {
        if self.pending.is_some() {
            // Nothing else may wait for long while nothing is sent.
            tokio::task::yield_now().await;
        }
        let (mut frames, broken) = self.read_events(node, until).await;
        let caught_up = self.cursor >= until || broken.is_some();
        let enough = node.limits.queue_bytes.max(BYTES_MAX);
        if let Some(pending) = &mut self.pending
            && (caught_up || pending.bytes() >= enough)
            && let Some(flush) = pending.take()
        {
            flush.write(self.wish.wire, &self.wish.id_json, &mut frames);
        }
        (frames, broken)
    }

    /// Keeps what a transaction brings.
    pub(super) fn fold(&mut self, run: Run<'_>, matched: &[Matched<'_>]) {
        let Some(pending) = &mut self.pending else { return };
        for (i, (event, change, seen, projection)) in matched.iter().enumerate() {
            let last = run.complete && i + 1 == matched.len();
            if let Some(part) = Part::new(event, change, *seen, projection) {
                pending.push(Arc::new(part), last);
            }
        }
        let Some(end) = run.events.last().filter(|_| !run.stands_alone()) else { return };
        if run.complete {
            if matched.is_empty() && self.open && self.wish.event.is_none() {
                pending.end(end.position, end.change.tx, true);
            }
            self.open = false;
        } else {
            self.open |= !matched.is_empty();
        }
    }

    /// After a resume, also of an earlier connection's subscription, the log may tell once more what the client has: up to here nothing is left out as unknown to it.
    pub(super) fn begin_unsure(&mut self, head: Position) {
        if let Some(pending) = &mut self.pending {
            **pending = Conflated::new(Some(head));
            self.unsure_until = Some(head);
        }
    }
}
