//! How far an outbox has been read, also in the midst of a transaction.

use crate::event::Place;
use crate::mysql::OutboxPlace;

/// How far an outbox has been read; as text `outbox:41;of=ab…;in=42.77`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    /// All transactions up to this number have been read.
    pub(super) done: u64,
    /// Which outbox it is.
    pub(super) outbox: Box<str>,
    /// The last row that has been read of the next transaction.
    pub(super) inside: Option<Inside>,
}

/// A row of a transaction that is not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inside {
    pub(super) seq: u64,
    pub(super) id: u64,
}

impl Spot {
    /// From a place, unless it is of another kind of source.
    pub(super) fn of(place: &Place) -> Option<Self> {
        let OutboxPlace(done) = OutboxPlace::of(place)?;
        let (mut outbox, mut inside) = (None, None);
        for part in place.0.split(';').skip(1) {
            match part.split_once('=')? {
                ("of", value) => outbox = Some(value.into()),
                ("in", value) => {
                    let (seq, id) = value.split_once('.')?;
                    inside = Some(Inside { seq: seq.parse().ok()?, id: id.parse().ok()? });
                }
                _ => return None,
            }
        }
        Some(Self { done, outbox: outbox?, inside })
    }

    /// As the log keeps it.
    pub(super) fn to_place(&self) -> Place {
        let inside = self.inside.map(|Inside { seq, id }| format!(";in={seq}.{id}")).unwrap_or_default();
        Place(format!("{};of={}{inside}", OutboxPlace(self.done).place().0, self.outbox).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["outbox:41;of=ab", "outbox:41;of=ab;in=42.77"] {
            let place = Place(text.into());
            assert_eq!(Spot::of(&place).expect(text).to_place(), place);
            assert_eq!(OutboxPlace::of(&place), Some(OutboxPlace(41)));
        }
        for text in ["outbox:41", "outbox:41;of=a;x=1", "binlog.000001:4", ""] {
            assert_eq!(Spot::of(&Place(text.into())), None, "{text}");
        }
    }
}
