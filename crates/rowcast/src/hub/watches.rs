//! Whether what a rule has read of another table still holds: the first change of it, at its own place in the log's order.
//!
//! Knows that something has changed, and for which members. What it is now, `session` reads again.

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;
use slab::Slab;

use super::index::{GroupKey, MemberKey};
use super::topic::{Placing, Topic};
use super::view::Run;
use crate::event::{Body, Channel, Position, TableName};
use crate::filter::Selection;

/// Watches what a selection finds, from the moment on at which it is made.
#[derive(Debug)]
pub struct Watch {
    /// What is watched.
    pub selection: Arc<Selection>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Up to here, what was found contains everything; `None` while it is being read.
    from: Option<Position>,
    /// Where transactions begin that have changed something meanwhile.
    changes: Vec<Position>,
    /// Where the first transaction begins that changes what was found.
    until: Option<Position>,
}

impl Watch {
    /// Where the transaction begins that changed what was found at `begin`.
    pub fn until(&self) -> Option<Position> {
        self.state.lock().until
    }

    /// What was found contains everything up to a position.
    pub(super) fn begin(&self, from: Position) {
        let mut state = self.state.lock();
        state.from = Some(from);
        state.until = std::mem::take(&mut state.changes).into_iter().find(|change| *change > from);
    }

    /// Something changes with the transaction that begins here. Returns whether what was found is over by that.
    fn note(&self, start: Position) -> bool {
        let mut state = self.state.lock();
        match state.from {
            None => state.changes.push(start),
            Some(from) if start > from && state.until.is_none() => state.until = Some(start),
            Some(_) => {}
        }
        state.until.is_some()
    }
}

/// All watches of a hub.
#[derive(Default)]
pub(super) struct Watches {
    tables: AHashMap<TableName, Vec<Topic>>,
    watches: Slab<(Arc<Watch>, Placing)>,
    /// How many there were when those that nobody asks any more were last taken out.
    pruned: usize,
    members: AHashMap<Arc<Selection>, Vec<MemberKey>>,
}

impl Watches {
    pub(super) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    pub(super) fn add(&mut self, selection: Arc<Selection>) -> (usize, Arc<Watch>) {
        if self.watches.len() > 2 * self.pruned + 64 {
            self.prune();
        }
        let watch = Arc::new(Watch { selection: selection.clone(), state: Mutex::default() });
        let key = self.watches.insert((watch.clone(), Placing::default()));
        let topics = self.tables.entry(selection.table.name.clone()).or_default();
        let at = topics.iter_mut().position(|topic| topic.is_of(&selection.table)).unwrap_or_else(|| {
            let channel = Channel::Table(selection.table.name.clone());
            topics.push(Topic::new(channel, Some(selection.table.clone())));
            topics.len() - 1
        });
        self.watches[key].1 = topics[at].add(selection.predicate.as_ref(), key as GroupKey);
        (key, watch)
    }

    fn prune(&mut self) {
        // The other is the session's; what is in the slab is one.
        let is_gone =
            |watch: &Arc<Watch>| Arc::strong_count(watch) == 1 && !self.members.contains_key(&watch.selection);
        let gone: Vec<usize> =
            self.watches.iter().filter(|(_, (watch, _))| is_gone(watch)).map(|(key, _)| key).collect();
        gone.into_iter().for_each(|key| self.remove(key));
        self.pruned = self.watches.len();
    }

    pub(super) fn remove(&mut self, key: usize) {
        let Some((watch, placing)) = self.watches.try_remove(key) else { return };
        let name = &watch.selection.table.name;
        let Some(topics) = self.tables.get_mut(name) else { return };
        for topic in topics.iter_mut() {
            if topic.is_of(&watch.selection.table) {
                topic.remove(watch.selection.predicate.as_ref(), key as GroupKey, placing);
            }
        }
        topics.retain(|topic| !topic.is_empty());
        if topics.is_empty() {
            self.tables.remove(name);
        }
    }

    /// The selections that a transaction changes. They are watched no more.
    pub(super) fn concerned(&mut self, run: Run<'_>) -> Vec<Arc<Selection>> {
        let start = run.events[0].position;
        let mut over = Vec::new();
        for event in run.events {
            for key in self.touched(&event.change.body) {
                if let Some((watch, _)) = self.watches.get(key)
                    && watch.note(start)
                {
                    over.push(watch.selection.clone());
                    self.remove(key);
                }
            }
        }
        over
    }

    fn touched(&mut self, body: &Body) -> Vec<usize> {
        let mut found = Vec::new();
        match body {
            Body::Row(change) => {
                let Some(topics) = self.tables.get_mut(&change.table.name) else { return Vec::new() };
                let mut seen = Vec::new();
                for topic in topics {
                    if topic.is_of(&change.table) {
                        let watches = &self.watches;
                        let predicate = |key: GroupKey| {
                            watches.get(key as usize).map(|(watch, _)| watch.selection.predicate.as_deref())
                        };
                        topic.find_by(change, predicate, &mut seen);
                    } else {
                        found.extend(topic.groups().map(|key| key as usize));
                    }
                }
                found.extend(seen.into_iter().map(|(key, _)| key as usize));
            }
            Body::Reset { channel: Channel::Table(name), .. } => {
                let topics = self.tables.get(name).into_iter().flatten();
                found.extend(topics.flat_map(|topic| topic.groups().map(|key| key as usize)));
            }
            Body::Reset { .. } | Body::Message(_) => {}
        }
        found
    }

    /// A member whose rows these selections decide about.
    pub(super) fn join(&mut self, member: MemberKey, selections: &[Arc<Selection>]) {
        for selection in selections {
            self.members.entry(selection.clone()).or_default().push(member);
        }
    }

    pub(super) fn leave(&mut self, member: MemberKey, selections: &[Arc<Selection>]) {
        for selection in selections {
            let Some(members) = self.members.get_mut(selection) else { continue };
            members.retain(|other| *other != member);
            if members.is_empty() {
                self.members.remove(selection);
            }
        }
    }

    /// Whose rows a selection decides about.
    pub(super) fn members(&self, selection: &Arc<Selection>) -> Vec<MemberKey> {
        self.members.get(selection).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Hub;
    use super::*;
    use crate::event::Table;
    use crate::log::Retention;
    use crate::log::memory::MemoryLog;

    fn selection() -> Arc<Selection> {
        let name = TableName::bare("members");
        let columns = Vec::new();
        let table = Arc::new(Table { name, columns, key: Vec::new() });
        Arc::new(Selection { table, column: 0, predicate: None })
    }

    #[test]
    fn a_watch_that_is_given_up_before_its_values_are_read_is_no_more() {
        let hub = Hub::new(Arc::new(MemoryLog::new(Retention::default())));
        let watched = || hub.state.lock().index.watches().watches.len();
        let (given_up, _) = hub.watch(selection());
        let (kept, position) = hub.watch(selection());
        assert_eq!(watched(), 2);
        drop(given_up);
        assert_eq!(watched(), 1);
        let watch = kept.begin(position);
        assert_eq!((watched(), watch.until()), (1, None));
    }
}
