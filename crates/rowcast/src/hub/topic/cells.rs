//! Groups by hashed values: a few bytes for each, and no order.

use std::collections::BTreeSet;

use hashbrown::HashTable;
use slab::Slab;

use super::super::index::GroupKey;

/// Groups by marks. Two marks may share a place, so what is found are candidates.
#[derive(Default)]
pub(super) struct Cells {
    table: HashTable<Cell>,
    /// Of places with more than one group.
    lists: Slab<BTreeSet<GroupKey>>,
}

#[derive(Clone, Copy)]
struct Cell {
    tag: u32,
    groups: Groups,
}

/// A group, or a list of them.
#[derive(Clone, Copy)]
struct Groups(u32);

const LIST: u32 = 1 << 31;

impl Groups {
    fn list(self) -> Option<usize> {
        (self.0 & LIST != 0).then_some((self.0 & !LIST) as usize)
    }
}

impl Cells {
    pub(super) fn insert(&mut self, mark: u64, group: GroupKey) {
        let tag = tag(mark);
        let Some(cell) = self.table.find_mut(spread(tag), |cell| cell.tag == tag) else {
            self.table.insert_unique(spread(tag), Cell { tag, groups: Groups(group) }, |cell| spread(cell.tag));
            return;
        };
        match cell.groups.list() {
            Some(list) => {
                self.lists[list].insert(group);
            }
            None if cell.groups.0 == group => {}
            None => {
                let list = self.lists.insert([cell.groups.0, group].into());
                cell.groups = Groups(list as u32 | LIST);
            }
        }
    }

    pub(super) fn remove(&mut self, mark: u64, group: GroupKey) {
        let tag = tag(mark);
        let Ok(mut cell) = self.table.find_entry(spread(tag), |cell| cell.tag == tag) else { return };
        match cell.get().groups.list() {
            None if cell.get().groups.0 == group => {
                cell.remove();
            }
            None => {}
            Some(list) => {
                self.lists[list].remove(&group);
                if self.lists[list].len() == 1 {
                    let last = self.lists.remove(list).pop_first();
                    cell.get_mut().groups = Groups(last.unwrap_or_default());
                }
            }
        }
        // What a crowd has left behind is given back, by halves.
        if self.table.len() < self.table.capacity() / 8 {
            self.table.shrink_to(self.table.len() * 2, |cell| spread(cell.tag));
        }
    }

    /// How many groups are at a mark.
    pub(super) fn count(&self, mark: u64) -> usize {
        let tag = tag(mark);
        let cell = self.table.find(spread(tag), |cell| cell.tag == tag);
        cell.map_or(0, |cell| cell.groups.list().map_or(1, |list| self.lists[list].len()))
    }

    #[inline]
    pub(super) fn find(&self, mark: u64, found: &mut Vec<GroupKey>) {
        let tag = tag(mark);
        if let Some(cell) = self.table.find(spread(tag), |cell| cell.tag == tag) {
            self.push(cell.groups, found);
        }
    }

    pub(super) fn all(&self, found: &mut Vec<GroupKey>) {
        self.table.iter().for_each(|cell| self.push(cell.groups, found));
    }

    fn push(&self, groups: Groups, found: &mut Vec<GroupKey>) {
        match groups.list() {
            Some(list) => found.extend(&self.lists[list]),
            None => found.push(groups.0),
        }
    }
}

fn tag(mark: u64) -> u32 {
    (mark ^ (mark >> 32)) as u32
}

/// A hash of all bits for the table, out of the half that is kept.
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
