//! Ranges of one column's values, found by a value within them.
//!
//! A range with two ends lies in one or two cells of the next larger power of two, so finding it is one look for each
//! size that there is. A range with one end is found in the order of its end.

use std::collections::BTreeSet;

use super::super::index::GroupKey;
use super::cells::Cells;

/// Ranges on one column.
pub(super) struct Spans {
    cells: Cells,
    /// How many ranges there are of each size: 2^0 to 2^128.
    sizes: [u32; SIZES],
    used: Sizes,
    /// From a value on.
    from: BTreeSet<(Place, GroupKey)>,
    /// Up to a value.
    to: BTreeSet<(Place, GroupKey)>,
}

const SIZES: usize = 129;

/// Sizes of which there are ranges, ascending.
type Sizes = Vec<u8>;

/// A place in the order of values, in an alignment that keeps entries small.
type Place = [u64; 2];

impl Default for Spans {
    fn default() -> Self {
        Self {
            cells: Cells::default(),
            sizes: [0; SIZES],
            used: Vec::new(),
            from: BTreeSet::new(),
            to: BTreeSet::new(),
        }
    }
}

impl Spans {
    pub(super) fn insert(&mut self, low: u128, high: u128, group: GroupKey) {
        match (low, high) {
            (low, u128::MAX) => drop(self.from.insert((place(low), group))),
            (0, high) => drop(self.to.insert((place(high), group))),
            (low, high) => {
                let size = size_of_range(low, high);
                for mark in cells_of(size, low, high) {
                    self.cells.insert(mark, group);
                }
                self.sizes[size as usize] += 1;
                if let Err(at) = self.used.binary_search(&size) {
                    self.used.insert(at, size);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, low: u128, high: u128, group: GroupKey) {
        match (low, high) {
            (low, u128::MAX) => drop(self.from.remove(&(place(low), group))),
            (0, high) => drop(self.to.remove(&(place(high), group))),
            (low, high) => {
                let size = size_of_range(low, high);
                for mark in cells_of(size, low, high) {
                    self.cells.remove(mark, group);
                }
                let count = &mut self.sizes[size as usize];
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.used.retain(|used| *used != size);
                }
            }
        }
    }

    pub(super) fn find(&self, value: u128, found: &mut Vec<GroupKey>) {
        for size in &self.used {
            self.cells.find(mark(*size, cell(*size, value)), found);
        }
        found.extend(self.from.range(..=(place(value), GroupKey::MAX)).map(|(_, group)| group));
        found.extend(self.to.range((place(value), 0)..).map(|(_, group)| group));
    }

    pub(super) fn all(&self, found: &mut Vec<GroupKey>) {
        self.cells.all(found);
        found.extend(self.from.iter().chain(&self.to).map(|(_, group)| group));
    }
}

/// The power of two that the range fits in.
fn size_of_range(low: u128, high: u128) -> u8 {
    (128 - (high - low).leading_zeros()) as u8
}

fn cell(size: u8, value: u128) -> u128 {
    value.checked_shr(u32::from(size)).unwrap_or(0)
}

/// The cells that a range touches: two neighbours at most.
fn cells_of(size: u8, low: u128, high: u128) -> impl Iterator<Item = u64> {
    let (first, last) = (cell(size, low), cell(size, high));
    std::iter::once(first).chain((last != first).then_some(last)).map(move |cell| mark(size, cell))
}

fn mark(size: u8, cell: u128) -> u64 {
    super::hash(&(size, cell))
}

fn place(value: u128) -> Place {
    [(value >> 64) as u64, value as u64]
}
