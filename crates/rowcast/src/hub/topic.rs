//! The filters of one channel, found by the values that they ask for.
//!
//! What is found are candidates, each of which is then evaluated as a whole: the index may name too many, and never too
//! few. Of several ways to find a filter, the one is taken that it shares with the fewest others.

mod cells;
mod facet;
mod spans;

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::{Arc, LazyLock};

use hashbrown::HashTable;
use slab::Slab;

use super::group::Group;
use super::index::GroupKey;
use super::seen::{row_before, seen_from};
use crate::event::{Channel, RowChange, Table};
use crate::filter::{Predicate, Probe, Term, Wanted};
use crate::protocol::encode::Seen;
use facet::Facet;

pub(super) type TopicKey = u32;

/// More than so many different things are not asked of each row: further filters are tried one after another.
const FACETS_MAX: usize = 64;

/// The groups of one channel whose filters are bound to the same columns.
pub(super) struct Topic {
    pub(super) channel: Channel,
    pub(super) table: Option<Arc<Table>>,
    /// No event finds it any more: nobody joins, and those who are here are sent away.
    pub(super) is_leaving: bool,
    by_predicate: HashTable<(u32, GroupKey)>,
    facets: Vec<Facet>,
    /// Filters that no value leads to, tried on every change.
    scanned: BTreeSet<GroupKey>,
}

/// Which of its filter's ways leads to a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Placing {
    #[default]
    Scanned,
    Way(u16),
}

impl Topic {
    pub(super) fn new(channel: Channel, table: Option<Arc<Table>>) -> Self {
        let (by_predicate, facets, scanned) = (HashTable::new(), Vec::new(), BTreeSet::new());
        Self { channel, table, is_leaving: false, by_predicate, facets, scanned }
    }

    /// Whether the filters are bound to this table's columns.
    pub(super) fn is_of(&mut self, table: &Arc<Table>) -> bool {
        let same = same_table(self.table.as_ref(), Some(table));
        if same {
            // Next time the pointers are equal, and the columns need not be compared.
            self.table = Some(table.clone());
        }
        same
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_predicate.is_empty()
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = GroupKey> {
        self.by_predicate.iter().map(|(_, group)| *group)
    }

    /// The group with this filter.
    pub(super) fn group_of(&self, predicate: Option<&Arc<Predicate>>, groups: &Slab<Group>) -> Option<GroupKey> {
        let hash = short(predicate);
        let is_it = |(other, key): &(u32, GroupKey)| {
            *other == hash && groups.get(*key as usize).is_some_and(|group| group.predicate.as_ref() == predicate)
        };
        self.by_predicate.find(spread(hash), is_it).map(|(_, key)| *key)
    }

    pub(super) fn add(&mut self, predicate: Option<&Arc<Predicate>>, group: GroupKey) -> Placing {
        let hash = short(predicate);
        self.by_predicate.insert_unique(spread(hash), (hash, group), |(hash, _)| spread(*hash));
        let ways = predicate.map_or_else(Vec::new, |predicate| predicate.ways());
        let best = ways.iter().enumerate().min_by_key(|(_, way)| self.cost(way));
        let Some((at, way)) = best.filter(|(at, way)| *at < usize::from(u16::MAX) && self.has_room(way)) else {
            self.scanned.insert(group);
            return Placing::Scanned;
        };
        for term in way {
            self.facet_of(&term.probe).insert(&term.wanted, group);
        }
        Placing::Way(at as u16)
    }

    pub(super) fn remove(&mut self, predicate: Option<&Arc<Predicate>>, group: GroupKey, placing: Placing) {
        let hash = short(predicate);
        if let Ok(entry) = self.by_predicate.find_entry(spread(hash), |(_, other)| *other == group) {
            entry.remove();
        }
        if self.by_predicate.len() < self.by_predicate.capacity() / 8 {
            self.by_predicate.shrink_to(self.by_predicate.len() * 2, |(hash, _)| spread(*hash));
        }
        if self.is_leaving {
            return;
        }
        let Placing::Way(at) = placing else {
            self.scanned.remove(&group);
            return;
        };
        let ways = predicate.map_or_else(Vec::new, |predicate| predicate.ways());
        for term in ways.get(usize::from(at)).into_iter().flatten() {
            if let Some(facet) = self.facets.iter_mut().find(|facet| facet.probe == term.probe) {
                facet.remove(&term.wanted, group);
            }
        }
        self.facets.retain(|facet| !facet.is_empty());
    }

    /// Appends the groups that a change concerns.
    pub(super) fn find(&self, change: &RowChange, groups: &Slab<Group>, found: &mut Vec<(GroupKey, Seen)>) {
        self.find_by(change, |key| groups.get(key as usize).map(|group| group.predicate.as_deref()), found);
    }

    /// The same for anything that has filters.
    pub(super) fn find_by<'p>(
        &self,
        change: &RowChange,
        predicate: impl Fn(GroupKey) -> Option<Option<&'p Predicate>>,
        found: &mut Vec<(GroupKey, Seen)>,
    ) {
        let old = row_before(change);
        let mut candidates = Vec::new();
        for facet in &self.facets {
            facet.find(old.as_deref(), change.new.as_ref(), &mut candidates);
        }
        if candidates.len() > 1 {
            candidates.sort_unstable();
            candidates.dedup();
        }
        for key in candidates.iter().chain(&self.scanned) {
            if let Some(seen) = predicate(*key).and_then(|predicate| seen_from(predicate, change, old.as_deref())) {
                found.push((*key, seen));
            }
        }
    }

    /// How many other filters are likely to be tried in vain with one that is found this way.
    fn cost(&self, way: &[Term]) -> (usize, bool) {
        let cost = |term: &Term| match &term.wanted {
            Wanted::OneOf(marks) => self.facet(&term.probe).map_or(0, |facet| facet.crowd(marks)),
            // A range is taken where a value would be shared by more than a few.
            Wanted::Between(0, _) | Wanted::Between(_, u128::MAX) => 1024,
            Wanted::Between(..) => 16,
        };
        let key = self.table.as_ref().map_or(&[][..], |table| &table.key);
        // A source may know of an old row only its key.
        let is_known = way.iter().all(|term| key.contains(&term.probe.column()));
        (way.iter().map(cost).max().unwrap_or(0), !is_known)
    }

    fn has_room(&self, way: &[Term]) -> bool {
        let new = way.iter().filter(|term| self.facet(&term.probe).is_none()).count();
        self.facets.len() + new <= FACETS_MAX
    }

    fn facet(&self, probe: &Probe) -> Option<&Facet> {
        self.facets.iter().find(|facet| facet.probe == *probe)
    }

    fn facet_of(&mut self, probe: &Probe) -> &mut Facet {
        let at = self.facets.iter().position(|facet| facet.probe == *probe).unwrap_or_else(|| {
            self.facets.push(Facet::new(probe.clone()));
            self.facets.len() - 1
        });
        &mut self.facets[at]
    }
}

/// Half a hash, which is all that is kept.
fn short(predicate: Option<&Arc<Predicate>>) -> u32 {
    hash(&predicate) as u32
}

/// A hash for a table, out of the half that is kept.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn hash(value: &impl Hash) -> u64 {
    static STATE: LazyLock<ahash::RandomState> = LazyLock::new(ahash::RandomState::new);
    STATE.hash_one(value)
}

/// Whether two tables have the same columns.
pub(super) fn same_table(one: Option<&Arc<Table>>, other: Option<&Arc<Table>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
