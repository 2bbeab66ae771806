//! Wakes the reader of a database when something in this process has written to it, or any program writes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// What a reader waits for. A ring that nobody waits for is kept for the next wait.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    heard: Condvar,
}

/// What a reader is woken for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rung {
    /// The time is over.
    #[default]
    No,
    /// Something is being written; it may not be committed yet.
    Stirred,
    /// Something was committed, or is wanted.
    Written,
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
        *self.rung.lock() = Rung::Written;
        self.heard.notify_all();
    }

    /// Wakes who waits for hints.
    pub(crate) fn stir(&self) {
        let mut rung = self.rung.lock();
        *rung = Rung::Stirred.max(*rung);
        self.heard.notify_all();
    }

    /// Returns when the bell has been rung since the last wait, or after `longest`; for a hint at once only if `hints`.
    pub(crate) fn wait(&self, longest: Duration, hints: bool) -> Rung {
        let mut rung = self.rung.lock();
        let wakes = |rung: &mut Rung| *rung == Rung::No || (*rung == Rung::Stirred && !hints);
        self.heard.wait_while_for(&mut rung, wakes, longest);
        std::mem::take(&mut *rung)
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
        assert_eq!(bell.wait(Duration::from_secs(3600), false), Rung::Written);
    }
}
