//! The moments at which snapshots were taken: each is between two transactions, whatever else is known of them.
//!
//! The reader of the outbox may not be able to tell where a transaction ends, and takes it and the next for one then. It must
//! not do so across a snapshot: the snapshot contains the first and not the second.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;

/// Snapshots that may wait for their reader. One that has waited for so many others has been given up.
const KEPT: usize = 1 << 16;

/// The last number of the outbox that each snapshot of a database contains, until the reader has heard of it.
#[derive(Debug, Default)]
pub(crate) struct Moments(Mutex<BTreeSet<u64>>);

static MOMENTS: LazyLock<Mutex<HashMap<PathBuf, Weak<Moments>>>> = LazyLock::new(Mutex::default);

impl Moments {
    /// Those of the database at this path, which is canonical, for everybody in this process.
    pub(crate) fn of(path: &Path) -> Arc<Self> {
        let mut all = MOMENTS.lock();
        if let Some(moments) = all.get(path).and_then(Weak::upgrade) {
            return moments;
        }
        all.retain(|_, moments| moments.strong_count() > 0);
        let moments = Arc::new(Self::default());
        all.insert(path.to_owned(), Arc::downgrade(&moments));
        moments
    }

    /// Begins a snapshot with `begin`, which returns what it contains. The reader does not look meanwhile.
    pub(crate) fn begin<T, E>(
        &self,
        begin: impl FnOnce() -> Result<T, E>,
        seq: impl FnOnce(&T) -> u64,
    ) -> Result<T, E> {
        let mut moments = self.0.lock();
        let begun = begin()?;
        moments.insert(seq(&begun));
        if moments.len() > KEPT {
            moments.pop_first();
        }
        Ok(begun)
    }

    /// Looks with `look` how far the outbox goes, and adds the moments up to there to the ends that it found.
    pub(crate) fn look<E>(&self, look: impl FnOnce() -> Result<(u64, Vec<u64>), E>) -> Result<(u64, Vec<u64>), E> {
        let mut moments = self.0.lock();
        let (upto, mut ends) = look()?;
        let later = moments.split_off(&(upto + 1));
        ends.extend(std::mem::replace(&mut *moments, later));
        ends.sort_unstable();
        Ok((upto, ends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshots_moment_is_an_end_for_the_reader() {
        let path = Path::new("/nowhere/moments");
        let (store, source) = (Moments::of(path), Moments::of(path));
        for seq in [7_u64, 3, 7, 20] {
            store.begin(|| Ok::<_, ()>(seq), |seq| *seq).expect("begun");
        }
        let found = source.look(|| Ok::<_, ()>((10, vec![5, 10])));
        assert_eq!(found, Ok((10, vec![3, 5, 7, 10])));
        assert_eq!(source.look(|| Ok::<_, ()>((20, vec![20]))), Ok((20, vec![20, 20])));
        assert_eq!(source.look(|| Ok::<_, ()>((21, vec![]))), Ok((21, vec![])));
    }
}
