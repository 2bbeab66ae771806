//! How far an outbox has been read, also in the midst of what one look has found.

use crate::event::{Place, Visible};
use crate::postgres::OutboxPlace;

/// One row of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowId {
    pub(super) tx: u64,
    pub(super) id: i64,
}

/// How far an outbox has been read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spot {
    /// All of these transactions have been read.
    pub(super) visible: Visible,
    /// Which outbox it is.
    pub(super) outbox: Box<str>,
    /// The row that was read last. While it is there, the database's history is the one that was read.
    pub(super) last: Option<RowId>,
    /// What has been read beyond `visible`.
    pub(super) round: Option<RoundSpot>,
}

/// How far what one look has found has been read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RoundSpot {
    /// What the look showed.
    pub(super) upto: Visible,
    /// The last row of the last transaction that has been read to its end.
    pub(super) done: i64,
    /// The last row that has been read of the next one.
    pub(super) inside: Option<RowId>,
}

impl Spot {
    /// From a place, unless it is of another kind of source.
    pub(super) fn of(place: &Place) -> Option<Self> {
        let place = OutboxPlace::of(place)?;
        let part = place.part?;
        let mut fields = part.split('/');
        let (outbox, last) = (fields.next()?.into(), row_id(fields.next()?)?);
        let round = match fields.next() {
            Some(upto) => Some(RoundSpot {
                upto: upto.parse().ok()?,
                done: fields.next()?.parse().ok()?,
                inside: row_id(fields.next()?)?,
            }),
            None => None,
        };
        fields.next().is_none().then_some(Self { visible: place.visible, outbox, last, round })
    }

    /// As the log keeps it.
    pub(super) fn to_place(&self) -> Place {
        let mut part = format!("{}/{}", self.outbox, text(self.last));
        if let Some(RoundSpot { upto, done, inside }) = &self.round {
            part.push_str(&format!("/{upto}/{done}/{}", text(*inside)));
        }
        OutboxPlace { visible: self.visible.clone(), part: Some(part.into()) }.to_place()
    }
}

/// `-` for none.
fn text(row: Option<RowId>) -> String {
    row.map_or("-".to_owned(), |row| format!("{}.{}", row.tx, row.id))
}

fn row_id(text: &str) -> Option<Option<RowId>> {
    if text == "-" {
        return Some(None);
    }
    let (tx, id) = text.split_once('.')?;
    Some(Some(RowId { tx: tx.parse().ok()?, id: id.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "outbox:10:20:10,14+a-b/-",
            "outbox:10:20:10,14+a-b/13.77",
            "outbox:10:20:10,14+a-b/13.77/12:30:13/70/-",
            "outbox:7:7:+a-b/13.77/12:30:/-1/13.77",
        ] {
            assert_eq!(Spot::of(&Place(text.into())).expect(text).to_place().0, text.into());
        }
        for text in
            ["", "outbox:7:7:", "outbox:7:7:+a", "outbox:7:7:+a/-/7:8:", "outbox:7:7:+a/-/7:8:/1/-/1", "wal:1/1/0/1"]
        {
            assert_eq!(Spot::of(&Place(text.into())), None, "{text}");
        }
    }
}
