//! Changes as bytes and back: compact, and exact for every value.
//!
//! Numbers are varints (LEB128), signed ones in zigzag; texts have their length before them. Leaves framing and checksums to
//! `frame`, and batches to `record`.

use std::sync::Arc;

use crate::event::{
    Body, Change, Channel, Column, Message, Op, Place, ResetCause, Room, Row, RowChange, Table, TableName, Value,
};

/// Bytes that are not what this program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// What numbers are written relative to: the change before, in the same part.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Previous {
    tx: u64,
    time_ms: u64,
}

const LAST: u8 = 1 << 0;
const OLD: u8 = 1 << 1;
const NEW: u8 = 1 << 2;
const KIND: u8 = 3;
const INSERT: u8 = 0;
const UPDATE: u8 = 1;
const DELETE: u8 = 2;
const MESSAGE: u8 = 3;
const RESET: u8 = 4;

/// Appends a change; `table` is the number of a row change's table.
pub(crate) fn put_change(out: &mut Vec<u8>, change: &Change, table: usize, previous: &mut Previous) {
    let last = if change.last { LAST } else { 0 };
    match &change.body {
        Body::Row(row) => {
            out.push(last | row_shape(row));
            put_times(out, change, previous);
            put_u64(out, table as u64);
            row.old.iter().chain(&row.new).for_each(|row| put_row(out, row));
        }
        Body::Message(message) => {
            out.push(last | MESSAGE << KIND);
            put_times(out, change, previous);
            put_channel(out, &message.channel);
            put_text(out, &message.event);
            put_text(out, &message.json);
        }
        Body::Reset { channel, cause, reason } => {
            out.push(last | RESET << KIND);
            put_times(out, change, previous);
            put_channel(out, channel);
            out.push(match cause {
                ResetCause::Altered => 0,
                ResetCause::Missed => 1,
            });
            put_text(out, reason);
        }
    }
}

fn row_shape(row: &RowChange) -> u8 {
    let kind = match row.op {
        Op::Insert => INSERT,
        Op::Update => UPDATE,
        Op::Delete => DELETE,
    };
    let old = if row.old.is_some() { OLD } else { 0 };
    let new = if row.new.is_some() { NEW } else { 0 };
    kind << KIND | old | new
}

fn put_times(out: &mut Vec<u8>, change: &Change, previous: &mut Previous) {
    put_i64(out, change.tx.wrapping_sub(previous.tx).cast_signed());
    put_i64(out, change.time_ms.wrapping_sub(previous.time_ms).cast_signed());
    *previous = Previous { tx: change.tx, time_ms: change.time_ms };
}

/// Appends a table's name, columns and key.
pub(crate) fn put_table(out: &mut Vec<u8>, table: &Table) {
    put_name(out, &table.name);
    put_u64(out, table.columns.len() as u64);
    for column in &table.columns {
        put_text(out, &column.name);
        put_text(out, &column.declared);
    }
    put_u64(out, table.key.len() as u64);
    table.key.iter().for_each(|index| put_u64(out, *index as u64));
}

fn put_name(out: &mut Vec<u8>, name: &TableName) {
    put_text(out, &name.schema);
    put_text(out, &name.name);
}

fn put_channel(out: &mut Vec<u8>, channel: &Channel) {
    match channel {
        Channel::Table(name) => {
            out.push(0);
            put_name(out, name);
        }
        Channel::Room(Room { tenant, name }) if tenant.is_empty() => {
            out.push(1);
            put_text(out, name);
        }
        Channel::Room(Room { tenant, name }) => {
            out.push(4);
            put_text(out, tenant);
            put_text(out, name);
        }
        Channel::Notify(name) => {
            out.push(2);
            put_text(out, name);
        }
        Channel::Event(name) => {
            out.push(3);
            put_text(out, name);
        }
    }
}

fn put_row(out: &mut Vec<u8>, row: &Row) {
    put_u64(out, row.values.len() as u64);
    row.values.iter().for_each(|value| put_value(out, value));
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0),
        Value::Unchanged => out.push(1),
        Value::Bool(false) => out.push(2),
        Value::Bool(true) => out.push(3),
        Value::Int(n) => {
            out.push(4);
            put_i64(out, *n);
        }
        Value::Real(x) => {
            out.push(5);
            out.extend_from_slice(&x.to_bits().to_le_bytes());
        }
        Value::Number(digits) => put_tagged(out, 6, digits.as_bytes()),
        Value::Text(text) => put_tagged(out, 7, text.as_bytes()),
        Value::Bytes(bytes) => put_tagged(out, 8, bytes),
        Value::Json(json) => put_tagged(out, 9, json.as_bytes()),
    }
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_bytes(out, bytes);
}

/// Appends a text.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a number.
pub(crate) fn put_u64(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n.to_le_bytes()[0] | 0x80);
        n >>= 7;
    }
    out.push(n.to_le_bytes()[0]);
}

fn put_i64(out: &mut Vec<u8>, n: i64) {
    put_u64(out, (n << 1 ^ n >> 63).cast_unsigned());
}

/// Reads what the functions above wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A change; `tables` are those numbered so far.
    pub(crate) fn change(&mut self, tables: &[Arc<Table>], previous: &mut Previous) -> Result<Change, Malformed> {
        let shape = self.byte()?;
        let tx = previous.tx.wrapping_add(self.i64()?.cast_unsigned());
        let time_ms = previous.time_ms.wrapping_add(self.i64()?.cast_unsigned());
        *previous = Previous { tx, time_ms };
        let body = match shape >> KIND {
            MESSAGE => self.message()?,
            RESET => Body::Reset { channel: self.channel()?, cause: self.cause()?, reason: self.text()?.into() },
            kind => Body::Row(self.row_change(kind, shape, tables)?),
        };
        Ok(Change { tx, last: shape & LAST != 0, time_ms, body })
    }

    fn row_change(&mut self, kind: u8, shape: u8, tables: &[Arc<Table>]) -> Result<RowChange, Malformed> {
        let op = match kind {
            INSERT => Op::Insert,
            UPDATE => Op::Update,
            DELETE => Op::Delete,
            _ => return Err(Malformed("a change of an unknown kind")),
        };
        let table = tables.get(self.length()?).ok_or(Malformed("a table that is not described"))?;
        let old = (shape & OLD != 0).then(|| self.row()).transpose()?;
        let new = (shape & NEW != 0).then(|| self.row()).transpose()?;
        Ok(RowChange { table: Arc::clone(table), op, old, new })
    }

    fn cause(&mut self) -> Result<ResetCause, Malformed> {
        match self.byte()? {
            0 => Ok(ResetCause::Altered),
            1 => Ok(ResetCause::Missed),
            _ => Err(Malformed("a reset of an unknown kind")),
        }
    }

    fn channel(&mut self) -> Result<Channel, Malformed> {
        Ok(match self.byte()? {
            0 => Channel::Table(self.name()?),
            1 => Channel::Room(self.text()?.into()),
            2 => Channel::Notify(self.text()?.into()),
            3 => Channel::Event(self.text()?.into()),
            4 => Channel::Room(Room { tenant: self.text()?.into(), name: self.text()?.into() }),
            _ => return Err(Malformed("a channel of an unknown kind")),
        })
    }

    fn message(&mut self) -> Result<Body, Malformed> {
        let channel = self.channel()?;
        Ok(Body::Message(Message { channel, event: self.text()?.into(), json: self.text()?.into() }))
    }

    pub(crate) fn table(&mut self) -> Result<Table, Malformed> {
        let name = self.name()?;
        let column = |this: &mut Self| Ok(Column { name: this.text()?.into(), declared: this.text()?.into() });
        let columns = self.list(column)?;
        let key = self.list(Self::length)?;
        Ok(Table { name, columns, key })
    }

    fn name(&mut self) -> Result<TableName, Malformed> {
        Ok(TableName { schema: self.text()?.into(), name: self.text()?.into() })
    }

    fn row(&mut self) -> Result<Row, Malformed> {
        self.list(Self::value).map(Row::from)
    }

    fn value(&mut self) -> Result<Value, Malformed> {
        Ok(match self.byte()? {
            0 => Value::Null,
            1 => Value::Unchanged,
            2 => Value::Bool(false),
            3 => Value::Bool(true),
            4 => Value::Int(self.i64()?),
            5 => Value::Real(f64::from_bits(u64::from_le_bytes(self.array()?))),
            6 => Value::Number(self.text()?.into()),
            7 => Value::Text(self.text()?.into()),
            8 => Value::Bytes(self.bytes()?.into()),
            9 => Value::Json(self.text()?.into()),
            _ => return Err(Malformed("a value of an unknown kind")),
        })
    }

    /// A number of items and then the items.
    pub(crate) fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let count = self.length()?;
        // An item has at least one byte: what is left bounds what a wrong number can make us reserve.
        let mut items = Vec::with_capacity(count.min(self.rest.len()));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text that is not UTF-8"))
    }

    pub(crate) fn place(&mut self) -> Result<Place, Malformed> {
        Ok(Place(self.text()?.into()))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.length()?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(SHORT)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let (byte, rest) = self.rest.split_first().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.u64()?).map_err(|_| SHORT)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(Malformed("a number of more than 64 bits"))
    }

    fn i64(&mut self) -> Result<i64, Malformed> {
        let n = self.u64()?;
        Ok((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }
}

const SHORT: Malformed = Malformed("less than its length says");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_as_few_bytes_as_they_need() {
        for (n, bytes) in [(0, 1), (-1, 1), (63, 1), (64, 2), (i64::MAX, 10), (i64::MIN, 10)] {
            let mut out = Vec::new();
            put_i64(&mut out, n);
            assert_eq!((Cursor::new(&out).i64(), out.len()), (Ok(n), bytes));
        }
    }

    #[test]
    fn no_prefix_of_a_change_reads_as_one() {
        let mut out = Vec::new();
        let message = Message {
            channel: Channel::Room(Room { tenant: "acme".into(), name: "lobby".into() }),
            event: "said".into(),
            json: "{}".into(),
        };
        let change = Change { tx: 7, last: true, time_ms: 1_763_678_422_123, body: Body::Message(message) };
        put_change(&mut out, &change, 0, &mut Previous::default());
        assert_eq!(Cursor::new(&out).change(&[], &mut Previous::default()), Ok(change));
        for length in 0..out.len() {
            assert!(Cursor::new(&out[..length]).change(&[], &mut Previous::default()).is_err(), "{length}");
        }
    }

    #[test]
    fn a_wrong_length_reserves_no_memory() {
        let mut out = Vec::new();
        put_u64(&mut out, u64::MAX >> 8);
        assert!(Cursor::new(&out).row().is_err());
    }
}
