//! What two changes of one key are together, to a client that has heard of neither.

use std::sync::Arc;

use bytes::Bytes;

use super::part::Part;
use crate::event::{Op, Row, Value};
use crate::protocol::deliver::Class;
use crate::protocol::encode::Seen;

/// What a place in the buffer costs beside the part.
const PLACE: usize = 160;

/// What a client is to be told of one key.
#[derive(Debug)]
pub(super) struct Entry {
    /// The newest change.
    pub(super) part: Arc<Part>,
    /// The row, where the newest change does not repeat all of it.
    pub(super) row: Option<Row>,
    /// What the changes are together.
    pub(super) seen: Seen,
    /// The row that the client has, where old rows are asked for.
    pub(super) old: Option<Bytes>,
    /// The key that the client knows the row by, if that is another.
    pub(super) old_key: Option<Arc<[u8]>>,
    /// The client has no such row for certain.
    fresh: bool,
    pub(super) bytes: usize,
}

/// What an entry and a change are together.
pub(super) enum Merged {
    One(Entry),
    /// A row that has come and gone.
    Nothing(Arc<Part>),
}

impl Entry {
    /// `sure`: a row that is inserted is new to the client.
    pub(super) fn new(part: Arc<Part>, sure: bool) -> Self {
        let (seen, old, old_key) = (part.seen, part.old.clone(), part.old_key.clone());
        let fresh = sure && seen.op == Op::Insert;
        let bytes = PLACE + part.bytes();
        Self { part, row: None, seen, old, old_key, fresh, bytes }
    }

    pub(super) fn key(&self) -> Option<&Arc<[u8]>> {
        self.part.key()
    }

    pub(super) fn class(&self) -> Option<&Arc<Class>> {
        self.part.class()
    }

    /// The key that the row has left.
    pub(super) fn left(&self) -> Option<&Arc<[u8]>> {
        self.old_key.as_ref()
    }

    pub(super) fn is_moved(&self) -> bool {
        self.old_key.is_some()
    }

    /// Whether a change of the same key can be told together with this.
    ///
    /// A row that comes from another key stands for two, and what is known of one of them must not get lost: it takes only updates,
    /// and goes into nothing. A row that is back after it was gone may have changed in between: it has to be whole. And a table that
    /// has other columns now is another.
    pub(super) fn takes(&self, part: &Part) -> bool {
        let same_table = Arc::ptr_eq(&self.part.table, &part.table) || self.part.table == part.table;
        let same = same_table
            && (Arc::ptr_eq(&self.part.projection, &part.projection) || self.part.projection == part.projection);
        if part.is_named() {
            return same;
        }
        let back = self.seen.op == Op::Delete && part.seen.op != Op::Delete;
        same && (part.whole || !back) && part.old_key.is_none() && (!self.is_moved() || part.seen.op == Op::Update)
    }

    /// This, and a change that came after it.
    pub(super) fn merge(self, part: Arc<Part>) -> Merged {
        // An event is no state: the newest is told.
        if part.is_named() {
            return Merged::One(Self::new(part, false));
        }
        let now = part.seen;
        let seen = match (self.seen.op, now.op) {
            (Op::Insert, Op::Delete) if self.fresh => return Merged::Nothing(part),
            (_, Op::Delete) => now,
            (Op::Insert, _) => self.seen,
            // What the client has is replaced.
            (Op::Delete, _) => Seen { op: Op::Update, cause: None },
            (Op::Update, _) => Seen { op: Op::Update, cause: None },
        };
        let row = match (self.seen.op, now.op) {
            (Op::Delete, _) | (_, Op::Delete) => None,
            _ => filled(self.row.as_ref().unwrap_or(&self.part.row), &part.row),
        };
        let bytes = PLACE + part.bytes() + row.as_ref().map_or(0, Row::weight);
        let old = if self.seen.op == Op::Insert { None } else { self.old };
        Merged::One(Self { part, row, seen, old, old_key: self.old_key, fresh: self.fresh, bytes })
    }
}

/// The newer row with what it does not repeat from the older one; `None` where it is whole by itself.
fn filled(older: &Row, newer: &Row) -> Option<Row> {
    if !newer.values.contains(&Value::Unchanged) {
        return None;
    }
    let values = newer.values.iter().zip(&older.values);
    let value = |(new, old): (&Value, &Value)| if *new == Value::Unchanged { old.clone() } else { new.clone() };
    Some(values.map(value).collect::<Vec<_>>().into())
}
