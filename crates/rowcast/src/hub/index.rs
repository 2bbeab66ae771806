//! Who wants which events: subscriptions, shared as far as they are equal.
//!
//! Channel → table as it was → filter → columns → wire format and id → sessions. A filter is evaluated once for
//! everybody who has it, a change encoded once for everybody who sees the same columns, a frame made once for everybody
//! who calls the subscription the same. How a change finds its filters is `topic`; how a filter holds its subscribers,
//! `group`.

use std::sync::Arc;

use ahash::AHashMap;
use slab::Slab;

use super::conflate::Part;
use super::group::{Bucket, BucketKey, Group};
use super::held::{Chunk, Held};
use super::queue::{ItemKind, Pushed, Queue, SubscriptionKey};
use super::topic::{Topic, TopicKey, same_table};
use super::view::Run;
use super::watches::Watches;
use crate::event::{Body, Channel, Event, Message, Position, RowChange, Table};
use crate::filter::{Predicate, Selection};
use crate::protocol::ServerMessage;
use crate::protocol::encode::{Projection, Seen, Wire, frame, message_body, reply, tell};

/// Names a session in the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub u64);

/// A subscription as the hub needs it.
#[derive(Debug, Clone)]
pub struct Interest {
    /// What it follows.
    pub channel: Channel,
    /// For a table: its shape when the filter was bound. Events of another shape are not matched but evict.
    pub table: Option<Arc<Table>>,
    /// Bound to `table`.
    pub predicate: Option<Arc<Predicate>>,
    /// Columns of `table`.
    pub projection: Arc<Projection>,
    /// How the frame is written.
    pub wire: Wire,
    /// The client's name for the subscription, as JSON.
    pub id: Arc<str>,
    /// What its rule has read of other tables: when that changes, it reads the log itself from there.
    pub selections: Arc<[Arc<Selection>]>,
}

/// A subscription's place in the index.
#[derive(Debug, Clone)]
pub struct Member {
    /// Whose it is.
    pub session: SessionKey,
    /// Which of the session's.
    pub subscription: SubscriptionKey,
    /// Where its frames go.
    pub queue: Arc<Queue>,
}

/// Names a member, in few bytes.
pub(super) type MemberKey = ([u32; 2], SubscriptionKey);
pub(super) type GroupKey = u32;

/// Counts of what was carried, since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Frames queued for clients.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

#[derive(Default)]
pub(super) struct Index {
    channels: AHashMap<Channel, Vec<TopicKey>>,
    topics: Slab<Topic>,
    groups: Slab<Group>,
    /// Where each member is, for leaving.
    places: AHashMap<MemberKey, (GroupKey, BucketKey)>,
    /// Groups that saw part of a transaction whose end was not yet read; some may be gone.
    open: Vec<GroupKey>,
    /// Topics that no event finds any more, whose members are to read the log after a position.
    leaving: Vec<(TopicKey, Position)>,
    /// One of their groups, and those of its members who have not been told.
    parting: Option<(GroupKey, Parting)>,
    /// Frames that are still to be queued, within a dispatch.
    held: Held,
    sent: Sent,
    watches: Watches,
    /// Of members whose rules read other tables: what.
    selections: AHashMap<MemberKey, Arc<[Arc<Selection>]>>,
}

/// What has been queued.
#[derive(Default)]
pub(super) struct Sent {
    delivered: Delivered,
    /// Queues that are to be flushed.
    first: Vec<Arc<Queue>>,
}

/// The members of a group that ends.
type Parting = Box<dyn Iterator<Item = (MemberKey, Arc<Queue>)> + Send>;

/// What an event is to a group.
type Found = (GroupKey, Seen);

impl Index {
    /// Adds a member, or nothing if it is there.
    pub(super) fn join(&mut self, interest: Interest, member: Member, open: bool) {
        let key = member_key(member.session, member.subscription);
        if self.places.contains_key(&key) {
            return;
        }
        if !interest.selections.is_empty() {
            self.watches.join(key, &interest.selections);
            self.selections.insert(key, interest.selections.clone());
        }
        // Who follows no table has not seen a part of a transaction, and is not to be told of its end.
        let open = open && matches!(interest.channel, Channel::Table(_));
        let topic = self.topic_of(&interest);
        let place = match self.topics[topic as usize].group_of(interest.predicate.as_ref(), &self.groups) {
            Some(group) => (group, self.groups[group as usize].add(&interest, key, member.queue)),
            None => (self.add_group(&interest, topic, key, member.queue), 0),
        };
        if open {
            self.set_open(place.0);
        }
        self.places.insert(key, place);
    }

    pub(super) fn leave(&mut self, session: SessionKey, subscription: SubscriptionKey) {
        let key = member_key(session, subscription);
        let Some((group, bucket)) = self.places.remove(&key) else { return };
        self.forget_selections(key);
        let is_parting = self.parting.as_ref().is_some_and(|(parting, _)| *parting == group);
        if !is_parting && self.groups[group as usize].remove(bucket, key) {
            self.remove_group(group);
        }
        self.shrink();
    }

    fn forget_selections(&mut self, key: MemberKey) {
        if let Some(selections) = self.selections.remove(&key) {
            self.watches.leave(key, &selections);
        }
    }

    pub(super) fn watches(&mut self) -> &mut Watches {
        &mut self.watches
    }

    /// Sends those away whose rules read what a transaction changes: before it, so that nothing of it is told by what held until then.
    pub(super) fn note_selections(&mut self, run: Run<'_>) {
        if self.watches.is_empty() {
            return;
        }
        let over = self.watches.concerned(run);
        if over.is_empty() {
            return;
        }
        // What came before is told before.
        self.let_go();
        let start = run.events[0].position;
        let before = Position::new(start.epoch.0, start.offset.0 - 1);
        for member in over.iter().flat_map(|selection| self.watches.members(selection)).collect::<Vec<_>>() {
            self.send_one_away(member, before);
        }
    }

    /// Ends one membership; its queue says after which position it has to go on by itself.
    pub(super) fn send_member_away(&mut self, session: SessionKey, subscription: SubscriptionKey, after: Position) {
        self.let_go();
        self.send_one_away(member_key(session, subscription), after);
    }

    fn send_one_away(&mut self, member: MemberKey, before: Position) {
        let Some((group, bucket)) = self.places.get(&member).copied() else { return };
        let found = self.groups.get(group as usize).and_then(|group| group.bucket(bucket));
        let queue = found.and_then(|bucket| bucket.members().find(|(key, _)| **key == member).map(|(_, q)| q.clone()));
        // In a group that is parting, it will be told anyway, and of an earlier place.
        let Some(queue) = queue else { return };
        self.leave(SessionKey(u64::from(member.0[0]) << 32 | u64::from(member.0[1])), member.1);
        if queue.push(member.1, ItemKind::Evicted(before)) == Pushed::First {
            self.sent.first.push(queue);
        }
    }

    /// Subscriptions, and how many different filters they have.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.places.len(), self.groups.len())
    }

    /// Queues the frames of one transaction (or of a part of a very large one) for everybody whom it concerns.
    ///
    /// Returns false, and has queued nothing, where it found members to be sent away: `send_away` comes first.
    #[must_use]
    pub(super) fn dispatch(&mut self, run: Run<'_>) -> bool {
        let done = match run.events {
            [event] => self.dispatch_one(event, run.complete),
            _ => self.dispatch_many(run),
        };
        if done && run.complete && !self.open.is_empty() && !run.stands_alone() {
            self.close_open(&run.events[run.events.len() - 1]);
        }
        done
    }

    fn dispatch_one(&mut self, event: &Event, complete: bool) -> bool {
        match &event.change.body {
            Body::Row(change) => {
                let found = self.find(change, event.position);
                if !self.leaving.is_empty() {
                    return false;
                }
                for found in found {
                    self.deliver(event, change, found, complete, complete);
                }
            }
            Body::Message(message) => self.send_event(event, message),
            // Each session reads the reset from the log itself, and takes a fresh snapshot.
            Body::Reset { channel, .. } => self.evict(channel, event.position, |_| true),
        }
        self.leaving.is_empty()
    }

    /// Which events concern which filter is known before the first frame is made, so that each filter's last one can say
    /// that it is the last.
    ///
    /// Whoever is sent away by any of them is so before the first of them: it reads the whole run for itself, and what is
    /// queued stays in the log's order.
    fn dispatch_many(&mut self, run: Run<'_>) -> bool {
        let start = run.events[0].position;
        let mut matches: Vec<(usize, Found)> = Vec::new();
        let mut last_of: AHashMap<GroupKey, usize> = AHashMap::new();
        let mut messages = false;
        for (i, event) in run.events.iter().enumerate() {
            match &event.change.body {
                Body::Row(change) => {
                    for found in self.find(change, start) {
                        last_of.insert(found.0, i);
                        matches.push((i, found));
                    }
                }
                Body::Message(_) => messages = true,
                Body::Reset { channel, .. } => self.evict(channel, start, |_| true),
            }
        }
        if !self.leaving.is_empty() {
            return false;
        }
        let mut matches = matches.into_iter().peekable();
        // Without messages, events that concern nobody are not looked at again.
        for (i, event) in run.events.iter().enumerate().filter(|_| messages) {
            while let Some((_, found)) = matches.next_if(|(at, _)| *at == i) {
                self.deliver_one_of(run, i, found, &last_of);
            }
            if let Body::Message(message) = &event.change.body {
                self.send_event(event, message);
            }
        }
        for (i, found) in matches {
            self.deliver_one_of(run, i, found, &last_of);
        }
        true
    }

    fn deliver_one_of(&mut self, run: Run<'_>, i: usize, found: Found, last_of: &AHashMap<GroupKey, usize>) {
        let event = &run.events[i];
        let Body::Row(change) = &event.change.body else { return };
        let last = run.complete && last_of.get(&found.0) == Some(&i);
        self.deliver(event, change, found, last, run.complete);
    }

    fn send_event(&mut self, event: &Event, message: &Message) {
        // No subscription, no body.
        if self.channels.contains_key(&message.channel) {
            let body = message_body(message, Some(event.position), event.change.time_ms);
            self.send_message(&message.channel, Some(event.position), &body);
        }
    }

    /// Queues a message's frames; without a position it is ephemeral.
    pub(super) fn send_message(&mut self, channel: &Channel, position: Option<Position>, body: &[u8]) {
        let Some(topics) = self.channels.get(channel) else { return };
        let groups = topics.iter().flat_map(|topic| self.topics[*topic as usize].groups());
        let places = groups.flat_map(|group| self.groups[group as usize].places().map(move |place| (group, place)));
        for (group, (key, bucket)) in places {
            let bytes = frame(bucket.wire(), "message", bucket.id(), position, body);
            match position {
                Some(position) => {
                    let before = self.held.hold((group, key), bucket.wire(), position, bytes);
                    queue(&self.groups, before, &mut self.sent);
                }
                None => bucket.send(&ItemKind::Ephemeral(bytes), 1, &mut self.sent),
            }
        }
    }

    /// The groups that an event concerns. Those that are bound to other columns than it has are sent away, to read the log
    /// from just before `start`.
    fn find(&mut self, change: &RowChange, start: Position) -> Vec<Found> {
        // No subscription, no copy of the name.
        if self.channels.is_empty() {
            return Vec::new();
        }
        let channel = Channel::Table(change.table.name.clone());
        let Some(topics) = self.channels.get(&channel) else { return Vec::new() };
        let mut found = Vec::new();
        let mut others = false;
        for key in topics {
            let topic = &mut self.topics[*key as usize];
            match topic.is_of(&change.table) {
                true => topic.find(change, &self.groups, &mut found),
                false => others = true,
            }
        }
        if others {
            self.evict(&channel, start, |topic| !same_table(topic.table.as_ref(), Some(&change.table)));
        }
        found
    }

    fn deliver(&mut self, event: &Event, change: &RowChange, (key, seen): Found, last: bool, complete: bool) {
        let Some(group) = self.groups.get(key as usize) else { return };
        for shape in group.shapes() {
            if shape.projection().deliver.is_some() {
                let Some(part) = Part::new(event, change, seen, shape.projection()).map(Arc::new) else { continue };
                shape.into_buckets().for_each(|(_, bucket)| bucket.conflate(&part, last, &mut self.sent));
                continue;
            }
            let Some(told) = tell(event, change, seen, shape.projection(), last) else { continue };
            for (at, bucket) in shape.into_buckets() {
                let bytes = told.frame(bucket.wire(), bucket.id(), event.position);
                let before = self.held.hold((key, at), bucket.wire(), event.position, bytes);
                queue(&self.groups, before, &mut self.sent);
            }
        }
        if last {
            self.groups[key as usize].open = false;
        } else if !complete {
            self.set_open(key);
        }
    }

    /// Tells those who saw an earlier part of this transaction, and nothing of its last part, that it has ended.
    fn close_open(&mut self, event: &Event) {
        for key in std::mem::take(&mut self.open) {
            if !self.groups.get_mut(key as usize).is_some_and(|group| std::mem::take(&mut group.open)) {
                continue;
            }
            let group = &self.groups[key as usize];
            // An application's own event has no transaction.
            let changes = group.shapes().filter(|shape| !shape.projection().is_named());
            let buckets = changes.flat_map(|shape| {
                let conflates = shape.projection().deliver.is_some();
                shape.into_buckets().map(move |place| (place, conflates))
            });
            for ((at, bucket), conflates) in buckets {
                if conflates {
                    bucket.end(event);
                    continue;
                }
                let bytes = commit(bucket.wire(), bucket.id(), event);
                let before = self.held.hold((key, at), bucket.wire(), event.position, bytes);
                queue(&self.groups, before, &mut self.sent);
            }
        }
    }

    /// Queues what is held. To be called before anybody else sees the index.
    pub(super) fn let_go(&mut self) {
        while let Some(chunk) = self.held.take() {
            queue(&self.groups, Some(chunk), &mut self.sent);
        }
    }

    /// Counts of what was queued.
    pub(super) fn delivered(&self) -> Delivered {
        self.sent.delivered
    }

    /// Takes out the queues that are to be flushed.
    pub(super) fn take_first(&mut self) -> Vec<Arc<Queue>> {
        std::mem::take(&mut self.sent.first)
    }

    /// Takes some topics out of the index. Their members are still to be told.
    fn evict(&mut self, channel: &Channel, position: Position, which: impl Fn(&Topic) -> bool) {
        let Some(topics) = self.channels.get_mut(channel) else { return };
        let before = Position::new(position.epoch.0, position.offset.0 - 1);
        let gone = topics.extract_if(.., |key| which(&self.topics[*key as usize]));
        let first = self.leaving.len();
        self.leaving.extend(gone.map(|key| (key, before)));
        for (key, _) in &self.leaving[first..] {
            self.topics[*key as usize].is_leaving = true;
        }
        if topics.is_empty() {
            self.channels.remove(channel);
        }
    }

    /// Takes everybody out of the index, to read the log from just before `position`.
    pub(super) fn evict_all(&mut self, position: Position) {
        let channels: Vec<Channel> = self.channels.keys().cloned().collect();
        for channel in channels {
            self.evict(&channel, position, |_| true);
        }
    }

    /// Tells up to `most` of those who were taken out of the index. Returns whether there are more.
    pub(super) fn send_away(&mut self, most: usize) -> bool {
        // What came before is told before.
        self.let_go();
        let Some((topic, before)) = self.leaving.last().copied() else { return false };
        let mut left = most;
        if !self.tell_parting(before, &mut left) {
            return true;
        }
        let some: Vec<GroupKey> =
            self.topics.get(topic as usize).into_iter().flat_map(Topic::groups).take(left).collect();
        if some.is_empty() {
            self.leaving.pop();
        }
        for key in some {
            self.parting = Some((key, self.groups[key as usize].take_members()));
            if !self.tell_parting(before, &mut left) {
                return true;
            }
        }
        self.shrink();
        !self.leaving.is_empty()
    }

    /// Goes on with the members of one group. Returns whether all of them have been told.
    fn tell_parting(&mut self, before: Position, left: &mut usize) -> bool {
        let Some((group, members)) = &mut self.parting else { return true };
        for (member, queue) in members {
            // Whoever has left meanwhile is told nothing, even if it has joined another group since.
            if self.places.get(&member).is_some_and(|(of, _)| of == group) {
                self.places.remove(&member);
                if let Some(selections) = self.selections.remove(&member) {
                    self.watches.leave(member, &selections);
                }
                queue.push(member.1, ItemKind::Evicted(before));
            }
            *left = left.saturating_sub(1);
            if *left == 0 {
                return false;
            }
        }
        let group = *group;
        self.parting = None;
        self.remove_group(group);
        true
    }

    /// The topic of an interest, made if it is the first of its kind.
    fn topic_of(&mut self, interest: &Interest) -> TopicKey {
        let topics = self.channels.entry(interest.channel.clone()).or_default();
        let table = interest.table.as_ref();
        if let Some(key) = topics.iter().find(|key| same_table(self.topics[**key as usize].table.as_ref(), table)) {
            return *key;
        }
        let key = self.topics.insert(Topic::new(interest.channel.clone(), interest.table.clone())) as TopicKey;
        topics.push(key);
        key
    }

    fn add_group(&mut self, interest: &Interest, topic: TopicKey, member: MemberKey, queue: Arc<Queue>) -> GroupKey {
        let key = self.groups.insert(Group::new(interest, topic, member, queue)) as GroupKey;
        self.groups[key as usize].placing = self.topics[topic as usize].add(interest.predicate.as_ref(), key);
        key
    }

    fn remove_group(&mut self, key: GroupKey) {
        let group = self.groups.remove(key as usize);
        let topic = &mut self.topics[group.topic as usize];
        topic.remove(group.predicate.as_ref(), key, group.placing);
        if topic.is_empty() {
            let topic = self.topics.remove(group.topic as usize);
            self.leaving.retain(|(key, _)| *key != group.topic);
            if let Some(topics) = self.channels.get_mut(&topic.channel) {
                topics.retain(|key| *key != group.topic);
                if topics.is_empty() {
                    self.channels.remove(&topic.channel);
                }
            }
        }
    }

    fn set_open(&mut self, key: GroupKey) {
        let group = &mut self.groups[key as usize];
        if std::mem::replace(&mut group.open, true) {
            return;
        }
        // Of groups that are gone, something stays here until the transaction ends.
        if self.open.len() > 2 * self.groups.len() + 64 {
            self.open.sort_unstable();
            self.open.dedup();
            self.open.retain(|open| *open != key && self.groups.get(*open as usize).is_some_and(|group| group.open));
        }
        self.open.push(key);
    }

    /// Gives back what a crowd has left behind.
    fn shrink(&mut self) {
        let count = self.places.len();
        if count < self.places.capacity() / 8 {
            self.places.shrink_to(count * 2);
        }
        if self.groups.is_empty() {
            self.groups.shrink_to_fit();
        }
    }
}

fn member_key(session: SessionKey, subscription: SubscriptionKey) -> MemberKey {
    ([(session.0 >> 32) as u32, session.0 as u32], subscription)
}

/// Queues frames for those whose they are.
fn queue(groups: &Slab<Group>, chunk: Option<Chunk>, sent: &mut Sent) {
    let Some(chunk) = chunk else { return };
    let (group, bucket) = chunk.place;
    if let Some(bucket) = groups.get(group as usize).and_then(|group| group.bucket(bucket)) {
        let count = chunk.count;
        bucket.send(&chunk.into_kind(), count, sent);
    }
}

impl Sent {
    /// Returns whether it was queued.
    fn push(&mut self, queue: &Arc<Queue>, subscription: SubscriptionKey, kind: ItemKind) -> bool {
        let pushed = queue.push(subscription, kind);
        if pushed == Pushed::First {
            self.first.push(queue.clone());
        }
        pushed != Pushed::Dropped
    }
}

impl Bucket {
    fn send(&self, kind: &ItemKind, frames: u64, sent: &mut Sent) {
        let bytes = match kind {
            ItemKind::Frame(_, bytes) | ItemKind::Frames { bytes, .. } | ItemKind::Ephemeral(bytes) => {
                bytes.len() as u64
            }
            ItemKind::Evicted(_) => 0,
        };
        for ((_, subscription), queue) in self.members() {
            if sent.push(queue, *subscription, kind.clone()) {
                sent.delivered.frames += frames;
                sent.delivered.bytes += bytes;
            }
        }
    }
}

impl Bucket {
    /// Adds a change for those who conflate.
    fn conflate(&self, part: &Arc<Part>, last: bool, sent: &mut Sent) {
        for ((_, subscription), queue) in self.members() {
            if queue.conflate(*subscription, part.clone(), last) {
                sent.delivered.frames += 1;
                sent.delivered.bytes += part.bytes() as u64;
            }
        }
    }

    /// Ends, for those who conflate, the transaction that `event` ends.
    fn end(&self, event: &Event) {
        for ((_, subscription), queue) in self.members() {
            queue.end(*subscription, event.position, event.change.tx);
        }
    }
}

/// A `commit` frame for the transaction that `event` ends.
pub fn commit(wire: Wire, id: &str, event: &Event) -> bytes::Bytes {
    let id = serde_json::from_str(id).unwrap_or_default();
    let message = ServerMessage::Commit { id, tx: event.change.tx, position: event.position.to_string() };
    reply(wire, &message, Some(event.position))
}
