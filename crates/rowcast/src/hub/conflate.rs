//! What a subscription that conflates has still to be told: the newest of each key, and how much that stands for.
//!
//! Pure. `hub` fills one for each subscription that is live, a session that reads the log for itself fills its own.

mod flush;
mod merge;
mod part;
mod sample;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;

pub use flush::{Flush, Told};
pub use part::Part;
pub(super) use waiting::Waiting;

use crate::event::Position;
use crate::protocol::deliver::Class;
use merge::{Entry, Merged};

/// Where a sampled subscription is first reduced before it is told.
const REDUCE_BYTES: usize = 64 << 10;

/// See the module.
#[derive(Debug, Default)]
pub struct Conflated {
    /// In the order in which they are told.
    entries: BTreeMap<u64, Entry>,
    next: u64,
    /// The entry that the next change of a key goes into.
    by_key: AHashMap<Arc<[u8]>, u64>,
    bytes: usize,
    /// Changes that the entries stand for.
    received: u64,
    span: Option<Span>,
    /// Part of a transaction is here whose end is still to come.
    open: bool,
    /// A transaction has ended of which earlier parts were told.
    ended: bool,
    /// A row that was inserted up to here may be one that the client has in its snapshot.
    unsure_until: Option<Position>,
    reduce_at: usize,
}

/// From where to where something reaches.
#[derive(Debug, Clone, Copy)]
struct Span {
    oldest: Position,
    newest: Position,
    tx: u64,
}

impl Conflated {
    /// Nothing yet. Rows that are inserted up to `unsure_until` may be in the client's hands already, as after a resume.
    pub fn new(unsure_until: Option<Position>) -> Self {
        Self { unsure_until, ..Self::default() }
    }

    /// Adds a change. `last`: its transaction has no more.
    pub fn push(&mut self, part: Arc<Part>, last: bool) {
        self.reach(part.position, part.tx);
        self.received += 1;
        self.open = !last && !part.is_named();
        let class = part.class().cloned();
        self.add(part);
        if let Some(Class::Sample(sampling)) = class.as_deref()
            && self.bytes > self.reduce_at.max(REDUCE_BYTES)
        {
            self.reduce(sampling);
            self.reduce_at = 2 * self.bytes;
        }
    }

    /// Ends the transaction that is open, where no change of it says so. `commit`: the client is told even if nothing waits.
    pub fn end(&mut self, position: Position, tx: u64, commit: bool) {
        self.open = false;
        if commit || self.span.is_some() {
            self.reach(position, tx);
        }
        self.ended |= commit;
    }

    fn reach(&mut self, position: Position, tx: u64) {
        let span = self.span.get_or_insert(Span { oldest: position, newest: position, tx });
        (span.newest, span.tx) = (position, tx);
    }

    fn add(&mut self, part: Arc<Part>) {
        let fresh = self.unsure_until.is_none_or(|until| part.position > until);
        let found = part.key().and_then(|key| self.by_key.get(key).copied());
        let found = found.filter(|at| self.entries[at].takes(&part));
        let Some(at) = found else {
            return self.append(Entry::new(part, fresh));
        };
        let Some(entry) = self.entries.remove(&at) else { return };
        self.bytes -= entry.bytes;
        match entry.merge(part) {
            // What was said of its old key stands before whatever is said of that key later.
            Merged::One(entry) if entry.is_moved() => self.insert(at, entry),
            Merged::One(entry) => self.append(entry),
            Merged::Nothing(part) => {
                if let Some(key) = part.key() {
                    self.by_key.remove(key);
                }
            }
        }
    }

    fn append(&mut self, entry: Entry) {
        let at = self.next;
        self.next += 1;
        // What comes next of the key that a row has left is another row's.
        if let Some(left) = entry.left() {
            self.by_key.remove(left);
        }
        self.insert(at, entry);
    }

    fn insert(&mut self, at: u64, entry: Entry) {
        self.bytes += entry.bytes;
        if let Some(key) = entry.key() {
            self.by_key.insert(key.clone(), at);
        }
        self.entries.insert(at, entry);
    }

    fn drop_entry(&mut self, at: u64) {
        let Some(entry) = self.entries.remove(&at) else { return };
        self.bytes -= entry.bytes;
        if let Some(key) = entry.key().filter(|key| self.by_key.get(*key) == Some(&at)) {
            self.by_key.remove(key);
        }
    }

    /// Roughly what it takes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is something to tell, or to count.
    pub fn is_empty(&self) -> bool {
        self.span.is_none()
    }

    /// Whether the end of a transaction is still to come.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The position of the oldest change that waits.
    pub fn oldest(&self) -> Option<Position> {
        self.span.map(|span| span.oldest)
    }

    /// The newest change, which knows the class.
    fn any(&self) -> Option<&Entry> {
        self.entries.last_key_value().map(|(_, entry)| entry)
    }

    /// Takes everything, `None` where there is nothing. Within a transaction that is open the flush does not say that it is whole.
    pub fn take(&mut self) -> Option<Flush> {
        self.reduce_to_class();
        let span = self.span.take()?;
        let entries: Vec<Entry> = std::mem::take(&mut self.entries).into_values().collect();
        let flush = Flush::new(entries, std::mem::take(&mut self.received), span, !self.open, self.ended);
        let (open, unsure_until) = (self.open, self.unsure_until);
        *self = Self { open, unsure_until, ..Self::default() };
        Some(flush)
    }

    /// Leaves out what the class leaves out. Returns whether it is smaller now.
    fn reduce_to_class(&mut self) -> bool {
        let class = self.any().and_then(|entry| entry.class().cloned());
        let before = self.bytes;
        if let Some(Class::Sample(sampling)) = class.as_deref() {
            self.reduce(sampling);
        }
        self.bytes < before
    }
}
