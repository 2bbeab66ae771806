//! What stands in a segment's frames: one head, then the parts of batches.
//!
//! A batch is written as one or more parts, so that reading from its middle need not read all of it. It counts when its last
//! part is there: that one has the source's place.

use std::sync::Arc;

use super::codec::{Cursor, Malformed, Previous, put_change, put_table, put_text, put_u64};
use super::frame;
use crate::event::{Body, Change, Place, Table};

/// The layout that this program writes.
pub(crate) const FORMAT: u8 = 1;

const HEAD: u8 = 1;
const PART: u8 = 2;

const FIRST: u8 = 1 << 0;
const LAST: u8 = 1 << 1;
const PLACE: u8 = 1 << 2;

/// The first frame of a segment: all that is needed to stand alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// The offset of the segment's first event.
    pub(crate) first: u64,
    pub(crate) created_ms: u64,
    /// Goes into the checksums of all frames after this one.
    pub(crate) salt: u32,
    /// Every source's place before the segment's first event.
    pub(crate) places: Vec<(Box<str>, Place)>,
}

/// Why a head cannot be read.
#[derive(Debug)]
pub(crate) enum HeadError {
    /// Written by a later version.
    Format(u8),
    Malformed(Malformed),
}

impl From<Malformed> for HeadError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl Head {
    /// The head as a frame at the start of a file.
    pub(crate) fn to_frame(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let start = frame::begin(&mut out);
        out.extend_from_slice(&[HEAD, FORMAT]);
        out.extend_from_slice(&self.salt.to_le_bytes());
        [self.epoch, self.seq, self.first, self.created_ms].iter().for_each(|n| put_u64(&mut out, *n));
        put_u64(&mut out, self.places.len() as u64);
        for (source, place) in &self.places {
            put_text(&mut out, source);
            put_text(&mut out, &place.0);
        }
        frame::finish(&mut out, start, 0, 0);
        out
    }

    pub(crate) fn parse(payload: &[u8]) -> Result<Self, HeadError> {
        let mut cursor = Cursor::new(payload);
        if cursor.byte()? != HEAD {
            return Err(Malformed("not the head of a segment").into());
        }
        match cursor.byte()? {
            FORMAT => Ok(Self::parse_fields(&mut cursor)?),
            other => Err(HeadError::Format(other)),
        }
    }

    fn parse_fields(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            salt: u32::from_le_bytes(cursor.array()?),
            epoch: cursor.u64()?,
            seq: cursor.u64()?,
            first: cursor.u64()?,
            created_ms: cursor.u64()?,
            places: cursor.list(|cursor| Ok((cursor.text()?.into(), cursor.place()?)))?,
        })
    }
}

/// A part of a batch, its events not yet decoded.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// Whether its batch begins with it.
    pub(crate) begins: bool,
    /// Whether its batch ends with it.
    pub(crate) ends: bool,
    /// The offset of its first event; of the next one when it has none.
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// The batch's source and its place after the batch; only where it ends.
    pub(crate) place: Option<(&'a str, Place)>,
    /// Tables that get the next numbers of the segment.
    pub(crate) tables: Vec<Table>,
    changes: Cursor<'a>,
}

impl<'a> Part<'a> {
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(payload);
        if cursor.byte()? != PART {
            return Err(Malformed("not a part of a batch"));
        }
        let flags = cursor.byte()?;
        let first = cursor.u64()?;
        let count = cursor.u64()?;
        let place = (flags & PLACE != 0).then(|| Ok((cursor.text()?, cursor.place()?))).transpose()?;
        let tables = cursor.list(Cursor::table)?;
        Ok(Self { begins: flags & FIRST != 0, ends: flags & LAST != 0, first, count, place, tables, changes: cursor })
    }

    /// Its changes in order; `tables` are all that the segment has numbered up to here.
    pub(crate) fn changes(self, tables: &[Arc<Table>]) -> impl Iterator<Item = Result<Change, Malformed>> {
        let Self { count, mut changes, .. } = self;
        let mut previous = Previous::default();
        (1..=count).map(move |nth| {
            let change = changes.change(tables, &mut previous)?;
            if nth == count && !changes.is_empty() { Err(Malformed("more than its changes")) } else { Ok(change) }
        })
    }
}

/// Writes one part, change by change.
#[derive(Debug)]
pub(crate) struct PartWriter {
    first: u64,
    count: u64,
    table_count: u64,
    tables: Vec<u8>,
    changes: Vec<u8>,
    previous: Previous,
}

impl PartWriter {
    pub(crate) fn new(first: u64) -> Self {
        let (tables, changes) = (Vec::new(), Vec::new());
        Self { first, count: 0, table_count: 0, tables, changes, previous: Previous::default() }
    }

    /// Adds a change.
    pub(crate) fn push(&mut self, change: &Change, dictionary: &mut Dictionary) {
        let table = match &change.body {
            Body::Row(row) => self.number(&row.table, dictionary),
            Body::Message(_) | Body::Reset { .. } => 0,
        };
        put_change(&mut self.changes, change, table, &mut self.previous);
        self.count += 1;
    }

    /// How many bytes it has, without its place.
    pub(crate) fn bytes(&self) -> usize {
        self.tables.len() + self.changes.len()
    }

    fn number(&mut self, table: &Arc<Table>, dictionary: &mut Dictionary) -> usize {
        dictionary.number(table).unwrap_or_else(|| {
            put_table(&mut self.tables, table);
            self.table_count += 1;
            dictionary.add(table)
        })
    }

    /// The offset of its first event.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Appends the part as a frame that will stand at `at`, and begins the next one. `end` is there when the batch ends.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>, at: u64, salt: u32, begins: bool, end: Option<End<'_>>) {
        let start = frame::begin(out);
        let place = end.and_then(|end| end.place);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.extend_from_slice(&[PART, flag(begins, FIRST) | flag(end.is_some(), LAST) | flag(place.is_some(), PLACE)]);
        put_u64(out, self.first);
        put_u64(out, self.count);
        if let Some((source, place)) = place {
            put_text(out, source);
            put_text(out, &place.0);
        }
        put_u64(out, self.table_count);
        out.extend_from_slice(&self.tables);
        out.extend_from_slice(&self.changes);
        frame::finish(out, start, at, salt);
        self.restart();
    }

    fn restart(&mut self) {
        self.first += self.count;
        (self.count, self.table_count) = (0, 0);
        self.tables.clear();
        self.changes.clear();
        self.previous = Previous::default();
    }
}

/// How a batch ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) place: Option<(&'a str, &'a Place)>,
}

/// The numbers of the tables that one segment has described so far.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    tables: Vec<Arc<Table>>,
    numbers: std::collections::HashMap<Arc<Table>, usize, ahash::RandomState>,
    /// The one that was asked for last, because the next change is most often of the same table.
    latest: usize,
}

impl Dictionary {
    pub(crate) fn new(tables: Vec<Arc<Table>>) -> Self {
        let numbers = tables.iter().enumerate().map(|(number, table)| (Arc::clone(table), number)).collect();
        Self { tables, numbers, latest: 0 }
    }

    /// By number.
    pub(crate) fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    fn number(&mut self, table: &Arc<Table>) -> Option<usize> {
        if self.tables.get(self.latest).is_some_and(|latest| Arc::ptr_eq(latest, table)) {
            return Some(self.latest);
        }
        self.latest = *self.numbers.get(table)?;
        Some(self.latest)
    }

    fn add(&mut self, table: &Arc<Table>) -> usize {
        self.latest = self.tables.len();
        self.tables.push(Arc::clone(table));
        self.numbers.insert(Arc::clone(table), self.latest);
        self.latest
    }

    /// Forgets all but the first `count`: what was to describe the others was not written.
    pub(crate) fn truncate(&mut self, count: usize) {
        for table in self.tables.drain(count..) {
            self.numbers.remove(&table);
        }
    }
}
