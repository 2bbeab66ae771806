//! Changes on their way into batches, with the place that each batch ends at.
//!
//! Knows where transactions may be cut so that what follows a restart neither repeats nor skips; leaves the wire to others.

use std::sync::Arc;

use crate::event::{Batch, Body, Change, Origin, Place};
use crate::postgres::place::{Part, WalPlace};
use crate::postgres::{Lsn, PostgresSettings};

/// What has been read and not handed out.
#[derive(Debug)]
pub(super) struct Collected {
    source: Arc<str>,
    /// What the log has, as far as was handed out.
    after: Option<Place>,
    /// Where the last complete transaction, or what is between two, ends.
    at: WalPlace,
    /// A transaction of which the log has a part already, until it ends.
    part: Option<Part>,
    changes: Vec<Change>,
    weight: usize,
    /// How many of `changes` belong to complete transactions.
    complete: usize,
    open: Option<Open>,
    rows_max: usize,
    bytes_max: usize,
}

/// The transaction that is being read.
#[derive(Debug, Clone, Copy)]
struct Open {
    tx: u64,
    time_ms: u64,
    /// Messages of it that have come, and those of them that the log has already.
    seen: u64,
    skip: u64,
    /// The last message that changed something: it is held back, because it may be the last.
    held: Option<Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    /// Where its first change is.
    change: usize,
    /// Messages before it.
    seen: u64,
}

/// The log has a part of a transaction that does not go on.
#[derive(Debug)]
pub(super) struct Torn;

impl Collected {
    /// Nothing yet, for a log that stands at `after`; reading begins at `at`.
    pub(super) fn new(source: Arc<str>, after: Option<Place>, at: WalPlace, settings: &PostgresSettings) -> Self {
        let (rows_max, bytes_max) = (settings.batch_rows.max(1), settings.batch_bytes);
        let (part, at) = (at.part, WalPlace { part: None, ..at });
        let (changes, weight, complete, open) = (Vec::new(), 0, 0, None);
        Self { source, after, at, part, changes, weight, complete, open, rows_max, bytes_max }
    }

    /// Where the last complete transaction ends.
    pub(super) fn at(&self) -> WalPlace {
        self.at
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self, tx: u64, time_ms: u64) {
        let skip = self.part.filter(|part| part.tx == tx).map_or(0, |part| part.done);
        self.open = Some(Open { tx, time_ms, seen: 0, skip, held: None });
    }

    /// Counts the transaction's next message. Returns whether the log has it already.
    pub(super) fn count(&mut self) -> Result<bool, Torn> {
        let Some(open) = &mut self.open else { return Ok(false) };
        if self.part.is_some_and(|part| part.tx != open.tx) {
            return Err(Torn);
        }
        open.seen += 1;
        Ok(open.seen <= open.skip)
    }

    /// Takes what the message counted last has changed.
    pub(super) fn add(&mut self, bodies: impl IntoIterator<Item = Body>) {
        let Some(open) = &mut self.open else { return };
        let (tx, time_ms, first) = (open.tx, open.time_ms, self.changes.len());
        self.changes.extend(bodies.into_iter().map(|body| Change { tx, last: false, time_ms, body }));
        let added = &self.changes[first..];
        self.weight += added.iter().map(weight).sum::<usize>();
        if !added.is_empty() {
            open.held = Some(Held { change: first, seen: open.seen - 1 });
        }
    }

    /// Ends the transaction that was begun.
    pub(super) fn commit(&mut self, end: Lsn) {
        let open = self.open.take();
        if open.is_some_and(|open| open.held.is_some())
            && let Some(last) = self.changes.last_mut()
        {
            last.last = true;
        }
        // Others, that have nothing for us, may come before the one that the log has a part of.
        self.part = self.part.filter(|part| open.is_none_or(|open| open.tx != part.tx));
        self.complete = self.changes.len();
        self.at.lsn = self.at.lsn.max(end);
    }

    /// Takes what belongs to no transaction of rows.
    pub(super) fn outside(&mut self, tx: u64, time_ms: u64, bodies: impl IntoIterator<Item = Body>, end: Lsn) {
        self.begin(tx, time_ms);
        self.add_uncounted(bodies);
        self.commit(end);
    }

    fn add_uncounted(&mut self, bodies: impl IntoIterator<Item = Body>) {
        if let Some(open) = &mut self.open {
            open.seen += 1;
        }
        self.add(bodies);
    }

    /// Everything up to here has been read, and there was nothing.
    pub(super) fn idle(&mut self, end: Lsn) {
        if self.open.is_none() && self.part.is_none() {
            self.at.lsn = self.at.lsn.max(end);
        }
    }

    /// Whether there is enough for a batch.
    pub(super) fn is_full(&self) -> bool {
        self.changes.len() > self.rows_max || (self.weight > self.bytes_max && self.changes.len() > 1)
    }

    /// Whether a batch would hold changes of complete transactions.
    pub(super) fn has_complete(&self) -> bool {
        self.complete > 0
    }

    /// Whether the place has moved since the last batch.
    pub(super) fn has_moved(&self) -> bool {
        self.after.as_ref() != Some(&self.place())
    }

    fn place(&self) -> Place {
        WalPlace { part: self.part, ..self.at }.to_place()
    }

    /// The complete transactions; of one that is larger than a batch what there is, but for its last change.
    pub(super) fn take(&mut self) -> Batch {
        let held = self.open.and_then(|open| open.held);
        match held {
            Some(held) if self.complete == 0 && held.change > 0 => {
                let tx = self.open.map_or(0, |open| open.tx);
                self.take_until(held.change, Some(Part { done: held.seen, tx }))
            }
            _ => self.take_until(self.complete, None),
        }
    }

    /// Only the place, with nothing of a transaction that is being read.
    pub(super) fn take_place(&mut self) -> Batch {
        self.take_until(self.complete, None)
    }

    /// What comes before everything that is read.
    pub(super) fn begin_with(&mut self, changes: Vec<Change>) -> Batch {
        self.complete = changes.len();
        self.changes = changes;
        self.part = None;
        self.take_place()
    }

    fn take_until(&mut self, count: usize, part: Option<Part>) -> Batch {
        let rest = self.changes.split_off(count);
        let changes = std::mem::replace(&mut self.changes, rest);
        self.weight = self.changes.iter().map(weight).sum();
        self.complete = 0;
        if let Some(held) = self.open.as_mut().and_then(|open| open.held.as_mut()) {
            held.change -= count;
        }
        self.part = part.or(self.part);
        let place = self.place();
        let after = self.after.replace(place.clone());
        Batch { origin: Some(Origin { source: self.source.clone(), after, place }), changes }
    }
}

/// Roughly the bytes that a change takes.
fn weight(change: &Change) -> usize {
    let inside = match &change.body {
        Body::Row(row) => row.old.iter().chain(&row.new).map(crate::event::Row::weight).sum(),
        Body::Message(message) => message.json.len() + message.event.len(),
        Body::Reset { reason, .. } => reason.len(),
    };
    size_of::<Change>() + inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Channel, ResetCause, TableName};

    /// Something that can be told apart.
    fn body(name: &str) -> Body {
        let channel = Channel::Table(TableName::bare(name));
        Body::Reset { channel, cause: ResetCause::Altered, reason: "".into() }
    }

    fn collected(place: &str, rows_max: usize) -> Collected {
        let settings = PostgresSettings { batch_rows: rows_max, ..PostgresSettings::default() };
        let at = place.parse().expect(place);
        Collected::new("test".into(), Some(Place(place.into())), at, &settings)
    }

    /// `a,b|0/5`: changes, with `.` behind a last one, and the place after them.
    fn text(batch: &Batch) -> String {
        let change = |change: &Change| match &change.body {
            Body::Reset { channel: Channel::Table(table), .. } => {
                format!("{}{}", table.name, if change.last { "." } else { "" })
            }
            other => format!("{other:?}"),
        };
        let changes: Vec<String> = batch.changes.iter().map(change).collect();
        let place = &batch.origin.as_ref().expect("an origin").place.0;
        format!("{}|{}", changes.join(","), place.trim_start_matches("wal:1/1/"))
    }

    /// Reads one transaction; each letter is a message, `-` one that changes nothing.
    fn read(collected: &mut Collected, tx: u64, messages: &str, end: u64) -> Vec<String> {
        let mut batches = Vec::new();
        collected.begin(tx, 0);
        for message in messages.chars() {
            if !collected.count().expect("not torn") {
                collected.add((message != '-').then(|| body(&message.to_string())));
            }
            if collected.is_full() {
                batches.push(text(&collected.take()));
            }
        }
        collected.commit(Lsn(end));
        batches
    }

    #[test]
    fn transactions_stay_whole_where_they_fit() {
        let mut all = collected("wal:1/1/0/1", 3);
        assert_eq!(read(&mut all, 7, "ab", 2), Vec::<String>::new());
        assert_eq!(read(&mut all, 6, "cde", 3), ["a,b.|0/2"]);
        assert_eq!(text(&all.take()), "c,d,e.|0/3");
        assert!(!all.has_moved());
    }

    #[test]
    fn a_large_one_is_cut_and_goes_on_from_each_cut() {
        let mut whole = collected("wal:1/1/0/1", 2);
        let mut batches = read(&mut whole, 7, "ab-cde-", 9);
        batches.push(text(&whole.take()));
        assert_eq!(batches, ["a,b|0/1+3@7", "c,d|0/1+5@7", "e.|0/9"]);
        for (place, rest) in [("wal:1/1/0/1+3@7", "c,d,e.|0/9"), ("wal:1/1/0/1+5@7", "e.|0/9")] {
            let mut again = collected(place, 10);
            // One that has nothing for us.
            assert_eq!(read(&mut again, 5, "", 4), Vec::<String>::new());
            assert_eq!(read(&mut again, 7, "ab-cde-", 9), Vec::<String>::new());
            assert_eq!(text(&again.take()), rest);
        }
    }

    #[test]
    fn a_part_without_its_rest_is_noticed() {
        let mut torn = collected("wal:1/1/0/1+2@7", 2);
        torn.begin(8, 0);
        assert!(torn.count().is_err());
    }

    #[test]
    fn an_idle_place_moves_on_between_transactions_only() {
        let mut all = collected("wal:1/1/0/1", 2);
        all.idle(Lsn(5));
        assert!(all.has_moved());
        assert_eq!(text(&all.take()), "|0/5");
        all.begin(7, 0);
        all.idle(Lsn(6));
        assert!(!all.has_moved());
    }
}
