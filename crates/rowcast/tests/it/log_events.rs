//! Events to put into a log, for the other tests of the log.

use std::sync::Arc;

use rowcast::event::{
    Batch, Body, Change, Channel, Column, Event, Message, Op, Origin, Place, Position, Row, RowChange, Table,
    TableName, Value,
};
use rowcast::log::Log;

/// A table of its own `Arc`, as each batch of a source may have it.
pub(crate) fn readings() -> Arc<Table> {
    let column = |name: &str| Column { name: name.into(), declared: "INTEGER".into() };
    Arc::new(Table { name: TableName::bare("readings"), columns: vec![column("id"), column("speed")], key: vec![0] })
}

/// An inserted row with this number.
pub(crate) fn row(table: &Arc<Table>, n: i64) -> Change {
    let row = Row::from(vec![Value::Int(n), Value::Text(format!("speed {n}").into())]);
    let change = RowChange { table: Arc::clone(table), op: Op::Insert, old: None, new: Some(row) };
    Change { tx: n.cast_unsigned(), last: true, time_ms: 1_763_678_422_123, body: Body::Row(change) }
}

/// A message with as many bytes as asked for, a little more.
pub(crate) fn said(bytes: usize) -> Message {
    let json = format!("\"{}\"", "x".repeat(bytes)).into();
    Message { channel: Channel::Room("lobby".into()), event: "said".into(), json }
}

/// A batch of `count` messages of `bytes` bytes, of no source.
pub(crate) fn messages(count: usize, bytes: usize) -> Batch {
    let change = || Change { tx: 1, last: true, time_ms: 2, body: Body::Message(said(bytes)) };
    Batch { origin: None, changes: (0..count).map(|_| change()).collect() }
}

/// The rows with these numbers, with no source.
pub(crate) fn rows(numbers: std::ops::RangeInclusive<i64>) -> Batch {
    let table = readings();
    Batch { origin: None, changes: numbers.map(|n| row(&table, n)).collect() }
}

/// The source's place from one number to another.
pub(crate) fn origin(source: &str, after: Option<u64>, place: u64) -> Option<Origin> {
    Some(Origin { source: source.into(), after: after.map(at), place: at(place) })
}

/// A place that is a number.
pub(crate) fn at(n: u64) -> Place {
    Place(n.to_string().into())
}

/// Everything that the log keeps.
pub(crate) async fn read_all(log: &dyn Log) -> Vec<Arc<Event>> {
    read_after(log, log.oldest(), 1_000).await
}

/// Everything after `position`, read in chunks.
pub(crate) async fn read_after(log: &dyn Log, mut position: Position, chunk: usize) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    loop {
        let more = log.read(position, chunk, usize::MAX).await.expect("the position is in the log");
        let Some(last) = more.last() else { return events };
        position = last.position;
        events.extend(more);
    }
}

/// The changes of events, whatever their positions.
pub(crate) fn changes(events: &[Arc<Event>]) -> Vec<Change> {
    events.iter().map(|event| event.change.clone()).collect()
}

/// The offsets of events.
pub(crate) fn offsets(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.position.offset.0).collect()
}
