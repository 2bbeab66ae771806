//! Changes of a table under an application's own event name: `newData` with the fields that it wants.

use bytes::Bytes;

use super::encode::{Projection, Seen, Wire, frame, message_body, pack};
use crate::event::json::write_text;
use crate::event::{Channel, Event, Message, Op, Position, Row, Table, Value};

/// How changes are told under an application's own event name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Named {
    /// The event's name.
    pub name: Box<str>,
    /// What has to happen to a row for it to be told.
    pub on: Box<[Op]>,
    /// Whether every value is told as text; NULL stays null.
    pub as_text: bool,
    /// Whether it is a `message` on event streams, too, and not an event of its own name.
    pub wrapped: bool,
}

/// An event, written once for everybody.
#[derive(Debug)]
pub struct Telling {
    name: Box<str>,
    wrapped: bool,
    data: String,
    position: Option<Position>,
    time_ms: u64,
}

impl Named {
    /// What a change is to those who follow the event. `None`: nothing.
    pub fn tell(&self, event: &Event, seen: Seen, table: &Table, row: &Row, columns: &[usize]) -> Option<Telling> {
        let happened = seen.cause.unwrap_or(seen.op);
        // A row that leaves the filter by an update is no update of what the filter keeps.
        let kept = happened == Op::Delete || seen.op != Op::Delete;
        let told = kept && self.on.contains(&happened);
        told.then(|| self.telling(table, row, columns, Some(event.position), event.change.time_ms))
    }

    /// A row of the history.
    pub fn recall(&self, table: &Table, row: &Row, columns: &[usize], time_ms: u64) -> Telling {
        self.telling(table, row, columns, None, time_ms)
    }

    fn telling(
        &self,
        table: &Table,
        row: &Row,
        columns: &[usize],
        position: Option<Position>,
        time_ms: u64,
    ) -> Telling {
        let mut data = Vec::with_capacity(64);
        match self.as_text {
            false => row.write_json(table, columns.iter().copied(), &mut data),
            true => write_texts(table, row, columns, &mut data),
        }
        let data = String::from_utf8(data).expect("JSON is UTF-8");
        Telling { name: self.name.clone(), wrapped: self.wrapped, data, position, time_ms }
    }
}

impl Telling {
    /// Roughly what it takes in memory beside itself.
    pub fn bytes(&self) -> usize {
        self.name.len() + self.data.len()
    }

    /// As a frame; `id` is the subscription's id as JSON. On an event stream and over Socket.IO it is an event of its own name, whose data are the fields.
    pub fn frame(&self, wire: Wire, id: &str) -> Bytes {
        match wire {
            Wire::Sse | Wire::SocketIo { .. } if !self.wrapped => {
                let data = self.data.as_bytes();
                pack(wire, &self.name, self.position, data.len(), |out| out.extend_from_slice(data))
            }
            _ => {
                let channel = Channel::Room((&*self.name).into());
                let message = Message { channel, event: self.name.clone(), json: self.data.as_str().into() };
                let body = message_body(&message, self.position, self.time_ms);
                frame(wire, "message", id, self.position, &body)
            }
        }
    }
}

impl Projection {
    /// Whether it tells events of an application's own, and no changes.
    pub fn is_named(&self) -> bool {
        self.named.is_some()
    }
}

/// The columns' values, each as the text that it is, NULL as null.
fn write_texts(table: &Table, row: &Row, columns: &[usize], out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for &index in columns {
        let value = &row.values[index];
        if *value == Value::Unchanged {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_text(&table.columns[index].name, out);
        out.push(b':');
        match value {
            Value::Text(text) | Value::Number(text) | Value::Json(text) => write_text(text, out),
            Value::Int(n) => write_text(itoa::Buffer::new().format(*n), out),
            Value::Null => out.extend_from_slice(b"null"),
            other => {
                let json = other.to_json();
                if json.starts_with('"') { out.extend_from_slice(json.as_bytes()) } else { write_text(&json, out) }
            }
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Body, Change, Column, RowChange, TableName};
    use std::sync::Arc;

    fn table() -> Arc<Table> {
        let column = |name: &str| Column { name: name.into(), declared: "".into() };
        let columns = ["id", "time", "speed", "ok"].map(column).into();
        Arc::new(Table { name: TableName::bare("Data"), columns, key: vec![0] })
    }

    fn tell(named: &Named, op: Op, cause: Option<Op>) -> Option<Telling> {
        let values = vec![Value::Int(1), Value::Int(1_718_000_000_123), Value::Real(37.5), Value::Null];
        let row: Row = values.into();
        let change = RowChange { table: table(), op, old: None, new: Some(row.clone()) };
        let change = Change { tx: 1, last: true, time_ms: 5, body: Body::Row(change) };
        let event = Event { position: Position::new(1, 2), change };
        named.tell(&event, Seen { op, cause }, &table(), &row, &[1, 2, 3])
    }

    #[test]
    fn chosen_fields_are_told_as_text() {
        let named = Named { name: "newData".into(), on: [Op::Insert].into(), as_text: true, wrapped: false };
        let told = tell(&named, Op::Insert, None).expect("told");
        let sse = "id: 1-2\nevent: newData\ndata: {\"time\":\"1718000000123\",\"speed\":\"37.5\",\"ok\":null}\n\n";
        assert_eq!(told.frame(Wire::Sse, "\"x\""), sse);
        let json = r#"{"type":"message","id":"x","event":"newData","data":{"time":"1718000000123","speed":"37.5","ok":null},"position":"1-2","time":5}"#;
        assert_eq!(told.frame(Wire::Text, "\"x\""), json);
    }

    #[test]
    fn an_update_that_makes_a_row_match_is_an_update() {
        let named = Named { name: "changed".into(), on: [Op::Update].into(), as_text: false, wrapped: false };
        assert!(tell(&named, Op::Insert, Some(Op::Update)).is_some());
        assert!(tell(&named, Op::Insert, None).is_none());
        assert!(tell(&named, Op::Delete, Some(Op::Update)).is_none());
    }
}
