//! A change as subscriptions that conflate keep it: written once for all of them, put together when it is told.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::event::{Event, Op, Position, Row, RowChange, Table, Value};
use crate::protocol::deliver::Class;
use crate::protocol::encode::{Projection, Seen, moved_from, write_key};
use crate::protocol::named::Telling;

/// See the module.
#[derive(Debug)]
pub struct Part {
    pub(super) position: Position,
    pub(super) tx: u64,
    pub(super) time_ms: u64,
    pub(super) seen: Seen,
    pub(super) table: Arc<Table>,
    pub(super) projection: Arc<Projection>,
    /// The new row; of a delete what is known of the old one.
    pub(super) row: Row,
    /// Whether no column that is shown was left out by the database.
    pub(super) whole: bool,
    /// As JSON; `None` where the table has no key.
    key: Option<Arc<[u8]>>,
    /// As JSON, of an update that changed the key.
    pub(super) old_key: Option<Arc<[u8]>>,
    /// The old row as JSON, where it is asked for and known.
    pub(super) old: Option<Bytes>,
    /// The application's own event that it is.
    pub(super) telling: Option<Telling>,
    json: OnceLock<Bytes>,
}

impl Part {
    /// `None` where those who see the change through this projection are told nothing.
    pub fn new(event: &Event, change: &RowChange, seen: Seen, projection: &Arc<Projection>) -> Option<Self> {
        let columns = &projection.columns;
        let telling = match &projection.named {
            Some(named) => Some(named.tell(event, seen, &change.table, change.row(), columns)?),
            None => None,
        };
        let row = told_row(change, seen);
        let json = |row: &Row| -> Bytes {
            let mut out = Vec::with_capacity(128);
            row.write_json(&change.table, columns.iter().copied(), &mut out);
            out.into()
        };
        let old = change.old.as_ref().filter(|_| projection.old && telling.is_none()).map(json);
        Some(Self {
            position: event.position,
            tx: event.change.tx,
            time_ms: event.change.time_ms,
            seen,
            key: (!change.table.key.is_empty()).then(|| key(&change.table, &row)),
            old_key: moved_from(change, seen).filter(|_| telling.is_none()).map(|old| key(&change.table, old)),
            old,
            telling,
            whole: !columns.iter().any(|&column| row.values[column] == Value::Unchanged),
            row,
            table: change.table.clone(),
            projection: projection.clone(),
            json: OnceLock::new(),
        })
    }

    /// Where it stands in the log.
    pub fn position(&self) -> Position {
        self.position
    }

    pub(super) fn key(&self) -> Option<&Arc<[u8]>> {
        self.key.as_ref()
    }

    /// Whether it is an application's own event, and no change.
    pub fn is_named(&self) -> bool {
        self.telling.is_some()
    }

    pub(super) fn class(&self) -> Option<&Arc<Class>> {
        self.projection.deliver.as_ref()
    }

    /// The row as JSON, written once for all who keep it.
    pub(super) fn json(&self) -> &Bytes {
        self.json.get_or_init(|| self.write(&self.row))
    }

    /// Another row in place of its own as JSON.
    pub(super) fn write(&self, row: &Row) -> Bytes {
        let mut out = Vec::with_capacity(128);
        row.write_json(&self.table, self.projection.columns.iter().copied(), &mut out);
        out.into()
    }

    /// Roughly what it takes in memory, its JSON included.
    pub fn bytes(&self) -> usize {
        let key = self.key.as_ref().map_or(0, |key| 2 * key.len());
        let old = self.old.as_ref().map_or(0, Bytes::len);
        let telling = self.telling.as_ref().map_or(0, Telling::bytes);
        size_of::<Self>() + 2 * self.row.weight() + key + old + telling
    }
}

fn key(table: &Table, row: &Row) -> Arc<[u8]> {
    let mut out = Vec::with_capacity(16);
    write_key(table, row, &mut out);
    out.into()
}

/// Of the old row, its key is known: the new one's other columns are none of who follows the old one.
fn told_row(change: &RowChange, seen: Seen) -> Row {
    match (seen.op, &change.old) {
        (Op::Delete, Some(old)) => old.clone(),
        (Op::Delete, None) => {
            let is_key = |column: &usize| change.table.key.contains(column);
            let values = change.row().values.iter().enumerate();
            let known = values.map(|(i, value)| if is_key(&i) { value.clone() } else { Value::Unchanged });
            known.collect::<Vec<_>>().into()
        }
        _ => change.row().clone(),
    }
}
