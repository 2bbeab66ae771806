//! A subscription that the database's own policies decide about: it reads the log for itself for good, and tells what they let be seen.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Broken, Follow, Gap, Gone, Way};
use crate::event::{Body, Channel, Event, Position, RowChange};
use crate::filter::Predicate;
use crate::hub::{seen, sides, told_as};
use crate::protocol::GapReason;
use crate::protocol::deliver::Deliver;
use crate::protocol::encode::Seen;
use crate::session::follow::Step;
use crate::session::node::Node;
use crate::session::policy::Over;

impl Way {
    /// Tells changes as they come, until something breaks what the client holds.
    pub(super) async fn stay(&mut self) -> Result<Broken, Gone> {
        let Some(judge) = self.follow.rights.judge.clone() else {
            return Ok(Broken::Gap(Gap::of_rights(self.follow.cursor, 0)));
        };
        loop {
            *self.follow.wish.told.lock() = Some(self.follow.cursor);
            tokio::select! {
                () = self.node.hub.reached(self.follow.cursor.next()) => {}
                () = judge.over() => return Ok(self.ends(Broken::Gap(Gap::of_rights(self.follow.cursor, 0)))),
                () = self.steps.closed() => return Err(Gone),
            }
            let until = self.node.hub.dispatched();
            let (frames, broken) = self.piece(until).await;
            let told = !frames.is_empty();
            if told {
                self.send(Step::Frames(frames)).await?;
            }
            if let Some(broken) = broken {
                return Ok(self.ends(broken));
            }
            if told {
                self.rest().await;
            }
        }
    }

    fn ends(&self, broken: Broken) -> Broken {
        *self.follow.wish.told.lock() = None;
        broken
    }

    /// One who wants to hear now and then only does; what happens meanwhile is folded when it is read.
    async fn rest(&self) {
        let pause = match &self.follow.wish.deliver {
            Deliver::Strict | Deliver::Latest => return,
            Deliver::Every(pause) => *pause,
            Deliver::Sample(sample) => {
                sample.rest(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
            }
        };
        tokio::time::sleep(pause).await;
    }

    /// Whether what a client has heard up to a position it has heard under the policies of now.
    pub(super) fn knows_policies(&self, position: Position) -> bool {
        self.follow.rights.judge.as_ref().is_none_or(|judge| judge.covers(position))
    }
}

impl Follow {
    /// Asks the database about the changes among these that may concern the client.
    pub(in crate::session) async fn ask_policies(&mut self, node: &Node, events: &[Arc<Event>]) -> Result<(), Broken> {
        let Some(judge) = self.rights.judge.clone() else { return Ok(()) };
        let Channel::Table(asked) = &self.wish.channel else { return Ok(()) };
        // What a transaction brings that changes what may be seen is not told.
        let until = self.rights.sets.iter().filter_map(|set| set.until()).min();
        let predicate = self.bound.as_ref().and_then(|bound| bound.predicate.clone());
        let mut changes = Vec::new();
        for event in events.iter().take_while(|event| until.is_none_or(|until| event.position < until)) {
            let Body::Row(change) = &event.change.body else { continue };
            let skipped = self.skip.as_ref().is_some_and(|skip| skip.covers(event));
            if skipped || !self.is_own(asked, &change.table.name) {
                continue;
            }
            if !judge.is_of(&change.table) {
                return Err(Broken::Gap(Gap {
                    reason: Some(GapReason::Schema),
                    message: "the table was altered".into(),
                    ..Gap::of_rights(self.cursor, 0)
                }));
            }
            if sides(predicate.as_deref(), change) != (false, false) {
                changes.push((event, change));
            }
        }
        match judge.judge(node, &changes).await {
            Ok(verdicts) => {
                self.verdicts = Some(verdicts);
                Ok(())
            }
            Err(Over) => Err(Broken::Gap(Gap::of_rights(self.cursor, 0))),
        }
    }

    /// What a change is to the subscription.
    pub(in crate::session) fn seen(
        &self,
        predicate: Option<&Predicate>,
        event: &Event,
        change: &RowChange,
    ) -> Option<Seen> {
        let Some(verdicts) = self.verdicts.as_ref().filter(|_| self.rights.judge.is_some()) else {
            return seen(predicate, change).filter(|_| self.rights.judge.is_none());
        };
        let (before, now) = verdicts.get(&event.position).copied()?;
        let sides = sides(predicate, change);
        told_as(change.op, || before && sides.0, || now && sides.1)
    }
}
