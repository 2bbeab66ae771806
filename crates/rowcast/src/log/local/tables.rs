//! One `Arc` for equal tables, whether their events come from a source or from the disk.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::event::{Body, Change, Table};

/// Every table that somebody holds.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<HashSet<Arc<Table>, ahash::RandomState>>);

impl Tables {
    /// The one `Arc` that all tables equal to this one share.
    pub(crate) fn share(&self, table: Arc<Table>) -> Arc<Table> {
        let mut known = self.0.lock();
        if let Some(shared) = known.get(&*table) {
            return Arc::clone(shared);
        }
        known.insert(Arc::clone(&table));
        table
    }

    /// Lets the changes share their tables.
    pub(crate) fn share_all(&self, changes: &mut [Change]) {
        let mut latest: Option<(Arc<Table>, Arc<Table>)> = None;
        for change in changes {
            let Body::Row(row) = &mut change.body else { continue };
            let shared = match &latest {
                Some((given, shared)) if Arc::ptr_eq(given, &row.table) => Arc::clone(shared),
                _ => {
                    let shared = self.share(Arc::clone(&row.table));
                    latest = Some((Arc::clone(&row.table), Arc::clone(&shared)));
                    shared
                }
            };
            row.table = shared;
        }
    }

    /// Forgets those that nobody else holds.
    pub(crate) fn forget_unused(&self) {
        self.0.lock().retain(|table| Arc::strong_count(table) > 1);
    }
}
