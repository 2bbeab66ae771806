//! Talks that have been looked up: what is known of them never changes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::talk::Talk;

/// How many are remembered before all are forgotten.
const TALKS_MAX: usize = 20_000;

/// Talks by their ids.
#[derive(Debug, Default)]
pub(crate) struct Talks(Mutex<HashMap<Arc<str>, Arc<Talk>>>);

impl Talks {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Talk>> {
        self.0.lock().get(id).cloned()
    }

    pub(crate) fn put(&self, talk: Arc<Talk>) {
        let mut talks = self.0.lock();
        if talks.len() >= TALKS_MAX {
            talks.clear();
        }
        talks.insert(talk.id.clone(), talk);
    }
}
