//! The groups that ask the same thing of a row: one column, compared in one way.

use super::super::index::GroupKey;
use super::cells::Cells;
use super::spans::Spans;
use crate::event::Row;
use crate::filter::{Found, Probe, Wanted};

/// What is read of a row, and who wants which values of it.
pub(super) struct Facet {
    pub(super) probe: Probe,
    equal: Cells,
    spans: Option<Box<Spans>>,
    /// Terms of groups: none, and the facet is of no use.
    terms: usize,
}

impl Facet {
    pub(super) fn new(probe: Probe) -> Self {
        Self { probe, equal: Cells::default(), spans: None, terms: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.terms == 0
    }

    pub(super) fn insert(&mut self, wanted: &Wanted, group: GroupKey) {
        self.terms += 1;
        match wanted {
            Wanted::OneOf(marks) => marks.iter().for_each(|mark| self.equal.insert(*mark, group)),
            Wanted::Between(low, high) => self.spans.get_or_insert_default().insert(*low, *high, group),
        }
    }

    pub(super) fn remove(&mut self, wanted: &Wanted, group: GroupKey) {
        self.terms -= 1;
        match (wanted, &mut self.spans) {
            (Wanted::OneOf(marks), _) => marks.iter().for_each(|mark| self.equal.remove(*mark, group)),
            (Wanted::Between(low, high), Some(spans)) => spans.remove(*low, *high, group),
            (Wanted::Between(..), None) => {}
        }
    }

    /// With how many others a value would be shared, at most.
    pub(super) fn crowd(&self, marks: &[u64]) -> usize {
        marks.iter().map(|mark| self.equal.count(*mark)).max().unwrap_or(0)
    }

    /// Adds the groups that may want one of two rows.
    pub(super) fn find(&self, old: Option<&Row>, new: Option<&Row>, found: &mut Vec<GroupKey>) {
        let old = old.map_or(Found::Nothing, |row| self.probe.read(row));
        if old == Found::Unsent {
            // It may have been any value.
            self.equal.all(found);
            return self.spans.iter().for_each(|spans| spans.all(found));
        }
        let new = new.map_or(Found::Nothing, |row| self.probe.read(row));
        self.at(old, found);
        if new != old {
            self.at(new, found);
        }
    }

    fn at(&self, value: Found, found: &mut Vec<GroupKey>) {
        let Found::Value { mark, place } = value else { return };
        self.equal.find(mark, found);
        if let Some(spans) = &self.spans {
            spans.find(place, found);
        }
    }
}
