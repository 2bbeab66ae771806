//! Rows events: rows inserted, changed and deleted by one statement.
//!
//! The format: MySQL's `Rows_event`, versions 1 and 2; MariaDB's compressed ones; MySQL's partial updates of JSON.

use std::borrow::Cow;

use super::bytes::{Bytes, Malformed, bit, inflate};
use super::json::{self, diff};
use super::map::Present;
use super::tables::Shape;
use super::value::Cell;
use crate::event::{Op, Row, Value};

/// Of which kind an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowsKind {
    pub(super) op: Op,
    second: bool,
    compressed: bool,
    partial: bool,
}

impl RowsKind {
    /// By the number of an event's type; `None`: it holds no rows.
    pub(super) fn of(kind: u8) -> Option<Self> {
        let (op, second, compressed) = match kind {
            23 => (Op::Insert, false, false),
            24 => (Op::Update, false, false),
            25 => (Op::Delete, false, false),
            30 => (Op::Insert, true, false),
            31 | 39 => (Op::Update, true, false),
            32 => (Op::Delete, true, false),
            166 => (Op::Insert, false, true),
            167 => (Op::Update, false, true),
            168 => (Op::Delete, false, true),
            169 => (Op::Insert, true, true),
            170 => (Op::Update, true, true),
            171 => (Op::Delete, true, true),
            _ => return None,
        };
        Some(Self { op, second, compressed, partial: kind == 39 })
    }
}

/// The rows of an event, one after the other.
pub(super) struct Rows<'a> {
    kind: RowsKind,
    shape: &'a Shape,
    old: Option<Present<'a>>,
    new: Option<Present<'a>>,
    data: Cow<'a, [u8]>,
    read: usize,
}

/// A row that the binlog does not tell enough of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incomplete;

/// What a row of an event is.
pub(super) type Change = (Option<Row>, Option<Row>);

impl<'a> Rows<'a> {
    pub(super) fn parse(kind: RowsKind, body: &'a [u8], shape: &'a Shape) -> Result<Self, Malformed> {
        let mut bytes = Bytes(body);
        bytes.take(8)?;
        if kind.second {
            let more = bytes.u16()?;
            bytes.take(usize::from(more).checked_sub(2).ok_or(Malformed("a length that is too small"))?)?;
        }
        let count = bytes.packed_length()?;
        if count != shape.cells.len() {
            return Err(Malformed("a row that has other columns than its table"));
        }
        let first = Present::take(&mut bytes, count)?;
        let (old, new) = match kind.op {
            Op::Insert => (None, Some(first)),
            Op::Update => (Some(first), Some(Present::take(&mut bytes, count)?)),
            Op::Delete => (Some(first), None),
        };
        let data: Cow<'a, [u8]> =
            if kind.compressed { inflate(bytes.0, u32::MAX as usize)?.into() } else { bytes.0.into() };
        if old.or(new).is_none_or(|image| image.count == 0)
            && new.is_none_or(|image| image.count == 0)
            && !data.is_empty()
        {
            return Err(Malformed("rows of no columns"));
        }
        Ok(Self { kind, shape, old, new, data, read: 0 })
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<Result<Change, Incomplete>>, Malformed> {
        let mut bytes = Bytes(self.data.get(self.read..).unwrap_or_default());
        if bytes.is_empty() {
            return Ok(None);
        }
        let before = bytes.0.len();
        let mut raw = Vec::new();
        let keep = self.kind.partial.then_some(&mut raw);
        let mut old = match &self.old {
            Some(present) => Some(image(self.shape, present, &mut bytes, keep)?),
            None => None,
        };
        let mut new = match &self.new {
            Some(present) if self.kind.partial => partial(self.shape, present, &mut bytes, &raw)?,
            Some(present) => Ok(Some(image(self.shape, present, &mut bytes, None)?)),
            None => Ok(None),
        };
        self.read += before - bytes.0.len();
        if self.read == 0 || before == bytes.0.len() {
            return Err(Malformed("a row of no bytes"));
        }
        if let Ok(new) = &mut new {
            complete(self.shape, old.as_mut(), new.as_mut());
            let enough = match (&old, &*new) {
                (_, Some(new)) if self.kind.op == Op::Insert => {
                    (new.iter().enumerate()).all(|(at, value)| *value != Value::Unchanged || self.shape.may_lack[at])
                }
                _ => [old.as_ref(), new.as_ref()].into_iter().flatten().all(|row| has_key(self.shape, row)),
            };
            if !enough {
                return Ok(Some(Err(Incomplete)));
            }
        }
        let row = |values: Vec<Value>| Row { values: values.into() };
        Ok(Some(new.map(|new| (old.map(row), new.map(row)))))
    }
}

/// The columns that a table has for everybody, from the image of a row.
fn image(
    shape: &Shape,
    present: &Present<'_>,
    bytes: &mut Bytes<'_>,
    keep: Option<&mut Vec<(usize, Vec<u8>)>>,
) -> Result<Vec<Value>, Malformed> {
    let nulls = bytes.take(present.count.div_ceil(8))?;
    let (mut seen, mut keep) = (0, keep);
    let mut values = Vec::with_capacity(shape.table.columns.len());
    for (at, cell) in shape.cells.iter().enumerate() {
        seen += usize::from(present.has(at));
        let value = if !present.has(at) {
            Value::Unchanged
        } else if bit(nulls, seen - 1) {
            Value::Null
        } else {
            if let (Some(keep), Cell::Json { prefix }) = (&mut keep, cell) {
                let mut copy = *bytes;
                keep.push((at, copy.prefixed(*prefix)?.to_vec()));
            }
            cell.read(bytes)?
        };
        if shape.shown(at) {
            values.push(value);
        }
    }
    Ok(values)
}

/// An image in which JSON documents may be told by what has changed in them.
fn partial(
    shape: &Shape,
    present: &Present<'_>,
    bytes: &mut Bytes<'_>,
    old: &[(usize, Vec<u8>)],
) -> Result<Result<Option<Vec<Value>>, Incomplete>, Malformed> {
    let options = bytes.packed()?;
    let documents = shape.cells.iter().filter(|cell| matches!(cell, Cell::Json { .. })).count();
    let partial = if options & 1 == 1 { bytes.take(documents.div_ceil(8))? } else { &[] };
    let nulls = bytes.take(present.count.div_ceil(8))?;
    let (mut seen, mut document, mut lost) = (0, 0, false);
    let mut values = Vec::with_capacity(shape.table.columns.len());
    for (at, cell) in shape.cells.iter().enumerate() {
        let is_document = matches!(cell, Cell::Json { .. });
        document += usize::from(is_document);
        let is_partial = is_document && bit(partial, document - 1);
        seen += usize::from(present.has(at));
        let value = if !present.has(at) {
            Value::Unchanged
        } else if bit(nulls, seen - 1) {
            Value::Null
        } else if is_partial {
            let diffs = bytes.prefixed(4)?;
            match old.iter().find(|(column, _)| *column == at) {
                Some((_, stored)) => {
                    let mut document = json::parse(stored)?;
                    diff::apply(&mut document, diffs)?;
                    let mut text = String::new();
                    document.write(&mut text);
                    Value::Json(text.into())
                }
                None => {
                    lost = true;
                    Value::Unchanged
                }
            }
        } else {
            cell.read(bytes)?
        };
        if shape.shown(at) {
            values.push(value);
        }
    }
    Ok(if lost { Err(Incomplete) } else { Ok(Some(values)) })
}

/// What is in neither image did not change; what is only in the old one is the same in the new one.
fn complete(_shape: &Shape, old: Option<&mut Vec<Value>>, new: Option<&mut Vec<Value>>) {
    let (Some(old), Some(new)) = (old, new) else { return };
    for (old, new) in old.iter().zip(new) {
        if *new == Value::Unchanged {
            new.clone_from(old);
        }
    }
}

fn has_key(shape: &Shape, row: &[Value]) -> bool {
    let missing = |column: &usize| row.get(*column).is_none_or(|value| *value == Value::Unchanged);
    if shape.table.key.is_empty() {
        return !row.contains(&Value::Unchanged);
    }
    !shape.table.key.iter().any(missing)
}
