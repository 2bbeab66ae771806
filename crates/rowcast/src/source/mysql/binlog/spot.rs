//! Where reading stands: a border between transactions, and how much of the next one the log has already.

use std::fmt::Write as _;

use crate::event::Place;
use crate::mysql::BinlogPlace;

/// A [`BinlogPlace`] with what only the reader needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) border: BinlogPlace,
    /// Seconds since 1970 when the server made the file: another file of the same name is of another time.
    pub(super) made: Option<u32>,
    /// Changes of the transaction after the border that the log has.
    pub(super) done: u64,
}

impl Spot {
    /// Reads what [`place`](Self::place) wrote, or what a snapshot did.
    pub(super) fn of(place: &Place) -> Option<Self> {
        let border = BinlogPlace::of(place)?;
        let part = |wanted: &str| {
            let mut parts = place.0.split(';').filter_map(|part| part.split_once('='));
            parts.find(|(name, _)| *name == wanted).map(|(_, value)| value)
        };
        let made = part("made").and_then(|made| made.parse().ok());
        let done = part("done").and_then(|done| done.parse().ok()).unwrap_or(0);
        Some(Self { border, made, done })
    }

    pub(super) fn place(&self) -> Place {
        let Place(text) = self.border.place();
        let mut text = String::from(text);
        if let Some(made) = self.made {
            let _ = write!(text, ";made={made}");
        }
        if self.done > 0 {
            let _ = write!(text, ";done={}", self.done);
        }
        Place(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_reads_what_it_writes() {
        for text in ["binlog.000012:3456", "binlog.000012:3456;server=a-b;made=1795169472;done=3"] {
            let spot = Spot::of(&Place(text.into())).expect("a spot");
            assert_eq!(&*spot.place().0, text);
        }
        assert_eq!(Spot::of(&Place("outbox:4".into())), None);
    }
}
