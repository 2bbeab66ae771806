//! The filters of one channel, found by the values that they ask for.

use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use slab::Slab;

use super::index::{Group, GroupKey};
use super::seen::{old_value, seen};
use crate::event::{RowChange, Table, Value};
use crate::filter::{Key, Predicate};
use crate::protocol::encode::Seen;

/// The groups of one channel whose filters are bound to the same columns.
pub(super) struct Topic {
    pub(super) table: Option<Arc<Table>>,
    pub(super) by_predicate: AHashMap<Option<Arc<Predicate>>, GroupKey>,
    /// Filters with a `column = constant` term, by column and value.
    by_value: AHashMap<usize, AHashMap<Key, Vec<GroupKey>>>,
    /// The others, tried on every change.
    scanned: Vec<GroupKey>,
}

impl Topic {
    pub(super) fn new(table: Option<Arc<Table>>) -> Self {
        Self { table, by_predicate: AHashMap::new(), by_value: AHashMap::new(), scanned: Vec::new() }
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

    pub(super) fn groups(&self) -> impl Iterator<Item = GroupKey> {
        self.by_predicate.values().copied()
    }

    pub(super) fn add(&mut self, predicate: Option<Arc<Predicate>>, group: GroupKey) {
        match predicate.as_ref().and_then(|p| p.equality()) {
            Some((column, key)) => self.by_value.entry(column).or_default().entry(key).or_default().push(group),
            None => self.scanned.push(group),
        }
        self.by_predicate.insert(predicate, group);
    }

    pub(super) fn remove(&mut self, predicate: &Option<Arc<Predicate>>, group: GroupKey) {
        self.by_predicate.remove(predicate);
        let Some((column, key)) = predicate.as_ref().and_then(|p| p.equality()) else {
            self.scanned.retain(|other| *other != group);
            return;
        };
        let Some(values) = self.by_value.get_mut(&column) else { return };
        if let Some(groups) = values.get_mut(&key) {
            groups.retain(|other| *other != group);
            if groups.is_empty() {
                values.remove(&key);
            }
        }
        if values.is_empty() {
            self.by_value.remove(&column);
        }
    }

    /// Appends the groups that a change concerns.
    pub(super) fn find(&self, change: &RowChange, groups: &Slab<Group>, found: &mut Vec<(GroupKey, Seen)>) {
        let mut try_one = |key: GroupKey| {
            if let Some(seen) = groups.get(key).and_then(|group| seen(group.predicate.as_deref(), change)) {
                found.push((key, seen));
            }
        };
        self.scanned.iter().copied().for_each(&mut try_one);
        let mut tried = AHashSet::new();
        for (column, values) in &self.by_value {
            let new = change.new.as_ref().and_then(|row| row.values.get(*column));
            let old = old_value(change, *column);
            if matches!((old, new), (Some(Value::Unchanged), _) | (_, Some(Value::Unchanged))) {
                // It may have been any of them.
                values.values().flatten().filter(|group| tried.insert(**group)).copied().for_each(&mut try_one);
                continue;
            }
            for value in [new, old].into_iter().flatten() {
                let candidates = Key::of(value).and_then(|key| values.get(&key)).into_iter().flatten();
                candidates.filter(|group| tried.insert(**group)).copied().for_each(&mut try_one);
            }
        }
    }
}

/// Whether two tables have the same columns.
pub(super) fn same_table(one: Option<&Arc<Table>>, other: Option<&Arc<Table>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
        (None, None) => true,
        _ => false,
    }
}
