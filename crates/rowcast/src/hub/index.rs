//! Who wants which events: subscriptions, shared as far as they are equal.
//!
//! Channel → table as it was → filter → columns → wire format and id → sessions. A filter is evaluated once for
//! everybody who has it, a change encoded once for everybody who sees the same columns, a frame made once for everybody
//! who calls the subscription the same. Filters with a `column = constant` term are found by the value, not by trying.

use std::sync::Arc;

use ahash::AHashMap;
use slab::Slab;

use super::queue::{ItemKind, Queue, SubscriptionKey};
use super::topic::{Topic, same_table};
use super::view::Run;
use crate::event::{Body, Channel, Event, Message, Position, RowChange, Table};
use crate::filter::Predicate;
use crate::protocol::ServerMessage;
use crate::protocol::encode::{Projection, Seen, Wire, change_body, frame, message_body, reply};

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

type MemberKey = (SessionKey, SubscriptionKey);
pub(super) type GroupKey = usize;

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
    channels: AHashMap<Channel, Vec<Topic>>,
    groups: Slab<Group>,
    /// Where each member is, for leaving.
    places: AHashMap<MemberKey, GroupKey>,
    /// Groups that saw part of a transaction whose end was not yet read.
    open: Vec<GroupKey>,
    pub(super) delivered: Delivered,
}

/// Everybody with the same filter over the same columns.
pub(super) struct Group {
    channel: Channel,
    table: Option<Arc<Table>>,
    pub(super) predicate: Option<Arc<Predicate>>,
    shapes: AHashMap<Arc<Projection>, Vec<Bucket>>,
    open: bool,
}

/// Everybody who gets the very same bytes.
struct Bucket {
    wire: Wire,
    id: Arc<str>,
    members: AHashMap<MemberKey, Arc<Queue>>,
}

/// What an event is to a group.
type Found = (GroupKey, Seen);

impl Index {
    /// Adds a member, or nothing if it is there.
    pub(super) fn join(&mut self, interest: Interest, member: Member, open: bool) {
        let key = (member.session, member.subscription);
        if self.places.contains_key(&key) {
            return;
        }
        let group_key = self.group_of(&interest);
        let group = &mut self.groups[group_key];
        if open && !group.open {
            group.open = true;
            self.open.push(group_key);
        }
        group.add(&interest, key, member.queue);
        self.places.insert(key, group_key);
    }

    pub(super) fn leave(&mut self, session: SessionKey, subscription: SubscriptionKey) {
        let key = (session, subscription);
        let Some(group_key) = self.places.remove(&key) else { return };
        let group = &mut self.groups[group_key];
        group.remove(key);
        if group.shapes.is_empty() {
            self.remove_group(group_key);
        }
    }

    /// Subscriptions, and how many different filters they have.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.places.len(), self.groups.len())
    }

    /// Queues the frames of one transaction (or of a part of a very large one) for everybody whom it concerns.
    pub(super) fn dispatch(&mut self, run: Run<'_>) {
        match run.events {
            [event] => self.dispatch_one(event, run.complete),
            _ => self.dispatch_many(run),
        }
        if run.complete && !self.open.is_empty() && !run.stands_alone() {
            self.close_open(&run.events[run.events.len() - 1]);
        }
    }

    fn dispatch_one(&mut self, event: &Event, complete: bool) {
        match &event.change.body {
            Body::Row(change) => {
                for found in self.find(change, event.position) {
                    self.deliver(event, change, found, complete, complete);
                }
            }
            Body::Message(message) => self.send_event(event, message),
            // Each session reads the reset from the log itself, and takes a fresh snapshot.
            Body::Reset { channel, .. } => self.evict(channel, event.position, |_| true),
        }
    }

    /// Which events concern which filter is known before the first frame is made, so that each filter's last one can say
    /// that it is the last.
    ///
    /// Whoever is sent away by any of them is so before the first of them: it reads the whole run for itself, and what is
    /// queued stays in the log's order.
    fn dispatch_many(&mut self, run: Run<'_>) {
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
        for bucket in topics.iter().flat_map(Topic::groups).flat_map(|g| self.groups[g].shapes.values()).flatten() {
            let bytes = frame(bucket.wire, "message", &bucket.id, position, body);
            let kind = match position {
                Some(position) => ItemKind::Frame(position, bytes),
                None => ItemKind::Ephemeral(bytes),
            };
            bucket.send(&kind, &mut self.delivered);
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
        let Some(topics) = self.channels.get_mut(&channel) else { return Vec::new() };
        let mut found = Vec::new();
        let mut others = false;
        for topic in topics {
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
        let Some(group) = self.groups.get_mut(key) else { return };
        for (projection, buckets) in &group.shapes {
            let body = change_body(event, change, seen, projection, last);
            for bucket in buckets {
                let bytes = frame(bucket.wire, "change", &bucket.id, Some(event.position), &body);
                bucket.send(&ItemKind::Frame(event.position, bytes), &mut self.delivered);
            }
        }
        if last {
            group.open = false;
        } else if !complete && !group.open {
            group.open = true;
            self.open.push(key);
        }
    }

    /// Tells those who saw an earlier part of this transaction, and nothing of its last part, that it has ended.
    fn close_open(&mut self, event: &Event) {
        for key in std::mem::take(&mut self.open) {
            let Some(group) = self.groups.get_mut(key) else { continue };
            if !std::mem::take(&mut group.open) {
                continue;
            }
            for bucket in group.shapes.values().flatten() {
                let bytes = commit(bucket.wire, &bucket.id, event);
                bucket.send(&ItemKind::Frame(event.position, bytes), &mut self.delivered);
            }
        }
    }

    /// Sends the members of some topics away, to read the log from just before `position`.
    fn evict(&mut self, channel: &Channel, position: Position, which: impl Fn(&Topic) -> bool) {
        let Some(topics) = self.channels.get(channel) else { return };
        let before = Position::new(position.epoch.0, position.offset.0 - 1);
        let gone: Vec<GroupKey> = topics.iter().filter(|topic| which(topic)).flat_map(Topic::groups).collect();
        for key in gone {
            for (member, queue) in self.groups[key].shapes.values().flatten().flat_map(|bucket| &bucket.members) {
                self.places.remove(member);
                queue.push(member.1, ItemKind::Evicted(before));
            }
            self.remove_group(key);
        }
    }

    /// Sends everybody away, to read the log from just before `position`.
    pub(super) fn evict_all(&mut self, position: Position) {
        let channels: Vec<Channel> = self.channels.keys().cloned().collect();
        for channel in channels {
            self.evict(&channel, position, |_| true);
        }
    }

    /// The group of an interest, made if it is the first of its kind.
    fn group_of(&mut self, interest: &Interest) -> GroupKey {
        let topics = self.channels.entry(interest.channel.clone()).or_default();
        let at = topics.iter().position(|topic| same_table(topic.table.as_ref(), interest.table.as_ref()));
        let topic = match at {
            Some(i) => &mut topics[i],
            None => topics.push_mut(Topic::new(interest.table.clone())),
        };
        if let Some(&key) = topic.by_predicate.get(&interest.predicate) {
            return key;
        }
        let key = self.groups.insert(Group {
            channel: interest.channel.clone(),
            table: interest.table.clone(),
            predicate: interest.predicate.clone(),
            shapes: AHashMap::new(),
            open: false,
        });
        topic.add(interest.predicate.clone(), key);
        key
    }

    fn remove_group(&mut self, key: GroupKey) {
        let group = self.groups.remove(key);
        self.open.retain(|open| *open != key);
        let Some(topics) = self.channels.get_mut(&group.channel) else { return };
        for topic in topics.iter_mut().filter(|topic| same_table(topic.table.as_ref(), group.table.as_ref())) {
            topic.remove(&group.predicate, key);
        }
        topics.retain(|topic| !topic.by_predicate.is_empty());
        if topics.is_empty() {
            self.channels.remove(&group.channel);
        }
    }
}

impl Group {
    fn add(&mut self, interest: &Interest, key: MemberKey, queue: Arc<Queue>) {
        let buckets = self.shapes.entry(interest.projection.clone()).or_default();
        let at = buckets.iter().position(|bucket| bucket.wire == interest.wire && bucket.id == interest.id);
        let bucket = match at {
            Some(i) => &mut buckets[i],
            None => buckets.push_mut(Bucket { wire: interest.wire, id: interest.id.clone(), members: AHashMap::new() }),
        };
        bucket.members.insert(key, queue);
    }

    fn remove(&mut self, key: MemberKey) {
        for buckets in self.shapes.values_mut() {
            for bucket in &mut *buckets {
                bucket.members.remove(&key);
            }
            buckets.retain(|bucket| !bucket.members.is_empty());
        }
        self.shapes.retain(|_, buckets| !buckets.is_empty());
    }
}

impl Bucket {
    fn send(&self, kind: &ItemKind, delivered: &mut Delivered) {
        let bytes = match kind {
            ItemKind::Frame(_, bytes) | ItemKind::Ephemeral(bytes) => bytes.len() as u64,
            ItemKind::Evicted(_) => 0,
        };
        for ((_, subscription), queue) in &self.members {
            if queue.push(*subscription, kind.clone()) {
                delivered.frames += 1;
                delivered.bytes += bytes;
            }
        }
    }
}

/// A `commit` frame for the transaction that `event` ends.
pub fn commit(wire: Wire, id: &str, event: &Event) -> bytes::Bytes {
    let id = serde_json::from_str(id).unwrap_or_default();
    let message = ServerMessage::Commit { id, tx: event.change.tx, position: event.position.to_string() };
    reply(wire, &message, Some(event.position))
}
