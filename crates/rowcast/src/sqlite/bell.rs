//! Wakes the reader of a database when something in this process has written to it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// What a reader waits for. A ring that nobody waits for is kept for the next wait.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

static BELLS: LazyLock<Mutex<HashMap<PathBuf, Vec<Weak<Bell>>>>> = LazyLock::new(Mutex::default);

/// Rings the bells of everybody who reads the database at this path, which is canonical.
pub(crate) fn ring(path: &Path) {
    let bells = BELLS.lock();
    bells.get(path).into_iter().flatten().filter_map(Weak::upgrade).for_each(|bell| bell.ring());
}

impl Bell {
    /// Has this bell rung when the database at this path is written to in this process.
    pub(crate) fn hang(self: &Arc<Self>, path: &Path) {
        let mut bells = BELLS.lock();
        bells.retain(|_, bells| {
            bells.retain(|bell| bell.strong_count() > 0);
            !bells.is_empty()
        });
        bells.entry(path.to_owned()).or_default().push(Arc::downgrade(self));
    }

    /// Wakes who waits.
    pub(crate) fn ring(&self) {
        *self.rung.lock() = true;
        self.heard.notify_all();
    }

    /// Returns when the bell has been rung since the last wait, or after `longest`.
    pub(crate) fn wait(&self, longest: Duration) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.heard.wait_for(&mut rung, longest);
        }
        *rung = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_before_the_wait_is_heard() {
        let bell = Arc::new(Bell::default());
        bell.hang(Path::new("/nowhere/bell"));
        ring(Path::new("/nowhere/bell"));
        bell.wait(Duration::from_secs(3600));
    }
}
