//! Changes on their way into batches, with the place that each batch ends at.
//!
//! A transaction stays whole where it fits. Of a larger one the place says how much the log has already.

use std::sync::Arc;

use super::spot::Spot;
use crate::event::{Batch, Body, Change, Origin, Place};
use crate::mysql::MysqlSettings;

/// What has been read and not handed out.
#[derive(Debug)]
pub(super) struct Collected {
    source: Arc<str>,
    /// What the log has, as far as was handed out.
    after: Option<Place>,
    spot: Spot,
    changes: Vec<Change>,
    weight: usize,
    /// How many of `changes` belong to complete transactions.
    complete: usize,
    open: Option<Open>,
    rows_max: usize,
    bytes_max: usize,
}

/// The transaction that is being told.
#[derive(Debug)]
struct Open {
    tx: u64,
    time_ms: u64,
    /// Changes of it, and those of them that the log has already.
    seen: u64,
    skip: u64,
}

impl Collected {
    /// Nothing yet, for a log that stands at `after`.
    pub(super) fn new(source: Arc<str>, after: Option<Place>, spot: Spot, settings: &MysqlSettings) -> Self {
        let (rows_max, bytes_max) = (settings.batch_rows.max(1), settings.batch_bytes);
        Self { source, after, spot, changes: Vec::new(), weight: 0, complete: 0, open: None, rows_max, bytes_max }
    }

    pub(super) fn spot(&self) -> &Spot {
        &self.spot
    }

    /// Begins a transaction of which the end is known.
    pub(super) fn begin(&mut self, tx: u64, time_ms: u64) {
        self.open = Some(Open { tx, time_ms, seen: 0, skip: self.spot.done });
    }

    /// Adds its next change. Returns a batch where one is full.
    pub(super) fn add(&mut self, body: Body) -> Option<Batch> {
        let Some(open) = &mut self.open else { return None };
        open.seen += 1;
        if open.seen <= open.skip {
            return None;
        }
        let change = Change { tx: open.tx, last: false, time_ms: open.time_ms, body };
        let full = self.changes.len() >= self.rows_max || (self.weight > self.bytes_max && !self.changes.is_empty());
        let done = open.seen - 1;
        let batch = full.then(|| {
            if self.complete == 0 {
                self.spot.done = done;
            }
            self.cut()
        });
        self.weight += weight(&change);
        self.changes.push(change);
        batch
    }

    /// Ends the transaction: from here on the log can go on.
    pub(super) fn commit(&mut self, file: &str, position: u64, made: Option<u32>) {
        if let Some(open) = self.open.take().filter(|open| open.seen > 0) {
            self.spot.done = 0;
            if open.seen > open.skip
                && let Some(last) = self.changes.last_mut()
            {
                last.last = true;
            }
        }
        self.complete = self.changes.len();
        let border = &mut self.spot.border;
        if *border.file != *file {
            border.file = file.into();
        }
        border.position = position;
        self.spot.made = made.or(self.spot.made);
    }

    /// Whether there is enough for a batch of whole transactions.
    pub(super) fn is_full(&self) -> bool {
        self.complete >= self.rows_max || self.weight > self.bytes_max
    }

    /// Whether a batch would hold changes.
    pub(super) fn has_changes(&self) -> bool {
        self.complete > 0
    }

    /// Whether the place has moved since the last batch.
    pub(super) fn has_moved(&self) -> bool {
        self.after.as_ref() != Some(&self.spot.place())
    }

    /// The complete transactions; where there is none, what there is of the one that is told.
    pub(super) fn cut(&mut self) -> Batch {
        let rest = if self.complete == 0 { Vec::new() } else { self.changes.split_off(self.complete) };
        let changes = std::mem::replace(&mut self.changes, rest);
        self.weight = self.changes.iter().map(weight).sum();
        self.complete = 0;
        let place = self.spot.place();
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

    fn body(name: &str) -> Body {
        let channel = Channel::Table(TableName::bare(name));
        Body::Reset { channel, cause: ResetCause::Altered, reason: "".into() }
    }

    fn collected(place: &str, rows_max: usize) -> Collected {
        let settings = MysqlSettings { batch_rows: rows_max, ..MysqlSettings::default() };
        let place = Place(place.into());
        Collected::new("test".into(), Some(place.clone()), Spot::of(&place).expect("a spot"), &settings)
    }

    fn text(batch: &Batch) -> String {
        let change = |change: &Change| match &change.body {
            Body::Reset { channel: Channel::Table(table), .. } => {
                format!("{}{}", table.name, if change.last { "." } else { "" })
            }
            other => format!("{other:?}"),
        };
        let changes: Vec<String> = batch.changes.iter().map(change).collect();
        let place = &batch.origin.as_ref().expect("an origin").place.0;
        format!("{}|{place}", changes.join(","))
    }

    fn read(collected: &mut Collected, names: &str, end: u64) -> Vec<String> {
        collected.begin(end, 0);
        let batches =
            names.chars().filter_map(|name| collected.add(body(&name.to_string()))).map(|b| text(&b)).collect();
        collected.commit("b.1", end, None);
        batches
    }

    #[test]
    fn transactions_stay_whole_where_they_fit() {
        let mut all = collected("b.1:1", 3);
        assert_eq!(read(&mut all, "ab", 2), Vec::<String>::new());
        assert_eq!(read(&mut all, "cde", 3), ["a,b.|b.1:2"]);
        assert_eq!(text(&all.cut()), "c,d,e.|b.1:3");
        assert!(!all.has_moved());
    }

    #[test]
    fn a_large_one_is_cut_and_goes_on_from_each_cut() {
        let mut whole = collected("b.1:1", 2);
        let mut batches = read(&mut whole, "abcde", 9);
        batches.push(text(&whole.cut()));
        assert_eq!(batches, ["a,b|b.1:1;done=2", "c,d|b.1:1;done=4", "e.|b.1:9"]);
        for (place, rest) in [("b.1:1;done=2", "c,d,e.|b.1:9"), ("b.1:1;done=4", "e.|b.1:9")] {
            let mut again = collected(place, 10);
            assert_eq!(read(&mut again, "", 4), Vec::<String>::new());
            assert_eq!(read(&mut again, "abcde", 9), Vec::<String>::new());
            assert_eq!(text(&again.cut()), rest);
        }
    }
}
