//! How far the write-ahead log of a server has been read, as a [`Place`].

use std::fmt;
use std::str::FromStr;

use super::lsn::Lsn;
use crate::event::Place;

/// How far the write-ahead log has been read: `wal:7213456789012345678/1/16/B374D848`.
///
/// Within a transaction that is too large for one batch, how much of it is done is appended: `…+2000@741` is the first 2,000
/// changes of transaction 741, the next one to be committed after the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WalPlace {
    /// The server's history, as `IDENTIFY_SYSTEM` tells it: two servers that do not stem from each other differ in it.
    pub system: u64,
    /// The branch of the history: a standby that becomes the primary begins a new one.
    pub timeline: u32,
    /// Every transaction whose commit ends here or before has been read.
    pub lsn: Lsn,
    /// What has been read of the next transaction.
    pub part: Option<Part>,
}

/// The beginning of a transaction that comes in several batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    /// How many of its changes have been read.
    pub done: u64,
    /// Its number, as in [`Change::tx`](crate::event::Change::tx).
    pub tx: u64,
}

impl WalPlace {
    /// The place of a source that reads the write-ahead log, unless it is of another kind.
    pub fn of(place: &Place) -> Option<Self> {
        place.0.parse().ok()
    }

    /// As the log keeps it.
    pub fn to_place(self) -> Place {
        Place(self.to_string().into())
    }

    /// Whether a log that stands here holds every transaction that ended at `moment` or before.
    ///
    /// A history that has branched off is compared as if it were one: the source says so when what was read is not in it.
    pub fn reached(&self, moment: &WalPlace) -> bool {
        self.system == moment.system && self.lsn >= moment.lsn
    }
}

impl fmt::Display for WalPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wal:{}/{}/{}", self.system, self.timeline, self.lsn)?;
        match self.part {
            Some(Part { done, tx }) => write!(f, "+{done}@{tx}"),
            None => Ok(()),
        }
    }
}

/// A text that is no place of a source that reads the write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a place in a server's write-ahead log, which looks like `wal:7213456789012345678/1/16/B374D848`")]
pub struct WalPlaceError(pub String);

impl FromStr for WalPlace {
    type Err = WalPlaceError;

    fn from_str(text: &str) -> Result<Self, WalPlaceError> {
        let part = |text: &str| {
            let (done, tx) = text.split_once('@')?;
            Some(Part { done: done.parse().ok()?, tx: tx.parse().ok()? })
        };
        let parse = || {
            let mut fields = text.strip_prefix("wal:")?.splitn(3, '/');
            let (system, timeline, rest) = (fields.next()?, fields.next()?, fields.next()?);
            let (lsn, part) = match rest.split_once('+') {
                Some((lsn, rest)) => (lsn, Some(part(rest)?)),
                None => (rest, None),
            };
            Some(Self { system: system.parse().ok()?, timeline: timeline.parse().ok()?, lsn: lsn.parse().ok()?, part })
        };
        parse().ok_or_else(|| WalPlaceError(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["wal:7213456789012345678/1/16/B374D848", "wal:1/12/0/0+2000@4294967296741"] {
            assert_eq!(text.parse::<WalPlace>().expect(text).to_string(), text);
        }
        for text in
            ["", "wal:1/2", "wal:1/2/3", "wal:x/1/0/1", "outbox:1", "wal:1/1/0/1+", "wal:1/1/0/1+1", "wal:1/1/0/1/2"]
        {
            assert!(text.parse::<WalPlace>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_place_reaches_what_lies_behind_it_in_the_same_history() {
        let place = |text: &str| text.parse::<WalPlace>().expect(text);
        assert!(place("wal:1/1/0/20").reached(&place("wal:1/1/0/20")));
        assert!(place("wal:1/2/1/0").reached(&place("wal:1/1/0/FFFFFFFF")));
        assert!(!place("wal:1/1/0/1F").reached(&place("wal:1/1/0/20")));
        assert!(!place("wal:2/1/0/20").reached(&place("wal:1/1/0/20")));
    }
}
