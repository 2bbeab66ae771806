//! Which transactions a PostgreSQL snapshot sees.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A PostgreSQL snapshot as `pg_current_snapshot()` writes it: `xmin:xmax:xip,xip,…`.
///
/// 64-bit transaction ids, of top-level transactions only. The format is that of PostgreSQL's type `pg_snapshot`
/// (functions-info, "Transaction ID and Snapshot Information Functions").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Visible {
    /// Every transaction below this one has ended.
    pub xmin: u64,
    /// No transaction from this one on had ended.
    pub xmax: u64,
    /// Those between the two that had not ended, ascending.
    pub running: Arc<[u64]>,
}

impl Visible {
    /// Whether the snapshot shows what this transaction did, if it was committed. O(log n) in those that ran.
    pub fn contains(&self, tx: u64) -> bool {
        tx < self.xmin || (tx < self.xmax && self.running.binary_search(&tx).is_err())
    }

    /// Whether `self` shows everything that `earlier` shows.
    pub fn covers(&self, earlier: &Visible) -> bool {
        let shown_by_earlier = |tx: &&u64| **tx < earlier.xmax && earlier.contains(**tx);
        // Whatever `earlier` shows from here on, `self` cannot: it had not ended yet.
        let beyond = (self.xmax..earlier.xmax).any(|tx| earlier.contains(tx));
        !beyond && !self.running.iter().any(|tx| shown_by_earlier(&tx))
    }
}

impl fmt::Display for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (i, tx) in self.running.iter().enumerate() {
            write!(f, "{}{tx}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A text that is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a PostgreSQL snapshot, which looks like `10:20:10,14`")]
pub struct VisibleError(pub String);

impl FromStr for Visible {
    type Err = VisibleError;

    fn from_str(text: &str) -> Result<Self, VisibleError> {
        let wrong = || VisibleError(text.chars().take(64).collect());
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or_else(wrong);
        let (xmin, xmax, running) = (number(part()?)?, number(part()?)?, part()?);
        let mut running = match running {
            "" => Vec::new(),
            list => list.split(',').map(number).collect::<Result<_, _>>()?,
        };
        running.sort_unstable();
        if xmin > xmax {
            return Err(wrong());
        }
        Ok(Self { xmin, xmax, running: running.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(text: &str) -> Visible {
        text.parse().expect(text)
    }

    #[test]
    fn shows_what_had_ended() {
        let snapshot = visible("10:20:10,14");
        let shown: Vec<u64> = (8..22).filter(|tx| snapshot.contains(*tx)).collect();
        assert_eq!(shown, [8, 9, 11, 12, 13, 15, 16, 17, 18, 19]);
        assert_eq!(snapshot.to_string(), "10:20:10,14");
    }

    #[test]
    fn a_later_snapshot_covers_an_earlier_one() {
        for (later, earlier, covers) in [
            ("10:10:", "10:10:", true),
            ("12:12:", "10:12:10,11", true),
            ("10:12:10,11", "12:12:", false),
            ("10:13:10", "10:12:10,11", true),
            ("10:12:10", "10:14:10,12,13", true),
            ("10:12:10", "10:14:10,12", false),
        ] {
            assert_eq!(visible(later).covers(&visible(earlier)), covers, "{later} {earlier}");
        }
    }

    #[test]
    fn refuses_what_is_no_snapshot() {
        for text in ["", "1", "1:2", "2:1:", "1:2:x", "a:b:", "1:2:3:4"] {
            assert!(text.parse::<Visible>().is_err(), "{text}");
        }
    }
}
