//! Messages as the bytes that go out, for each wire format.
//!
//! The body of a change is written once for each projection and shared by every subscription that sees it; only the
//! envelope differs.

use std::sync::Arc;

use bytes::Bytes;

use super::deliver::Class;
use super::frame::{Opcode, Writing, deflated};
use super::named::{Named, Telling};
use super::{ColumnType, ServerMessage};
use crate::event::json::{write_document, write_text};
use crate::event::{Event, Message, Op, Position, Row, RowChange, Table};

/// How messages are put on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// One JSON object as it is, for a door that makes something else of it.
    Text,
    /// One JSON object in a text frame of RFC 6455.
    WebSocket,
    /// The same, compressed (RFC 7692).
    Deflate,
    /// An event of a stream: one subscription for each stream, so that messages have no `id`.
    Sse,
    /// An event of Socket.IO on its root namespace, `42["change",{…}]`, in a text frame: what WebSocket carries, and polling unpacks.
    SocketIo {
        /// The position is the event's last argument, as connection state recovery has it.
        offsets: bool,
    },
}

impl Wire {
    /// The same without positions as arguments.
    pub fn unplaced(self) -> Self {
        match self {
            Self::SocketIo { .. } => Self::SocketIo { offsets: false },
            other => other,
        }
    }

    /// Whether frames can be put behind one another, and are still told apart.
    pub fn is_framed(self) -> bool {
        self != Self::Text
    }
}

/// Which columns of a table a subscription sees, and whether it sees old rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Projection {
    /// Indexes of the table's columns, in the order of the client's wish.
    pub columns: Box<[usize]>,
    /// Changes carry the old row.
    pub old: bool,
    /// Changes are told under an application's own event name.
    pub named: Option<Arc<Named>>,
    /// Changes are conflated; `None`: every one is told.
    pub deliver: Option<Arc<Class>>,
    /// A rule decides which rows may be seen: what was not in the result is not told.
    pub ruled: bool,
}

/// A change as everybody with the same projection hears it.
#[derive(Debug)]
pub enum Told {
    /// Everything of a `change` after its `id`.
    Change(Vec<u8>),
    /// An application's own event.
    Named(Telling),
}

/// What a change is to those who see it through a projection. `None`: nothing.
pub fn tell(event: &Event, change: &RowChange, seen: Seen, projection: &Projection, last: bool) -> Option<Told> {
    match &projection.named {
        None => Some(Told::Change(change_body(event, change, seen, projection, last))),
        Some(named) => named.tell(event, seen, &change.table, change.row(), &projection.columns).map(Told::Named),
    }
}

impl Told {
    /// As a frame; `id` is the subscription's id as JSON.
    pub fn frame(&self, wire: Wire, id: &str, position: Position) -> Bytes {
        match self {
            Told::Change(body) => frame(wire, "change", id, Some(position), body),
            Told::Named(telling) => telling.frame(wire, id),
        }
    }
}

/// What a change of a table is to a subscription with a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen {
    /// What happened to the result.
    pub op: Op,
    /// What happened to the table, where that is something else.
    pub cause: Option<Op>,
}

/// Everything of a `change` after its `id`, closing brace included.
pub fn change_body(event: &Event, change: &RowChange, seen: Seen, projection: &Projection, last: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let row = match seen.op {
        Op::Delete => change.old.as_ref().unwrap_or_else(|| change.row()),
        Op::Insert | Op::Update => change.row(),
    };
    out.extend_from_slice(b"\"op\":\"");
    out.extend_from_slice(seen.op.as_str().as_bytes());
    out.extend_from_slice(b"\",\"row\":");
    // Of the old row, its key is known: the new one's other columns are none of who follows the old one.
    let is_known = |column: &usize| seen.op != Op::Delete || change.old.is_some() || change.table.key.contains(column);
    row.write_json(&change.table, projection.columns.iter().copied().filter(is_known), &mut out);
    let tells_old = projection.old && !(projection.ruled && seen.op == Op::Insert);
    if let (true, Some(old)) = (tells_old, &change.old) {
        out.extend_from_slice(b",\"old\":");
        old.write_json(&change.table, projection.columns.iter().copied(), &mut out);
    }
    out.extend_from_slice(b",\"key\":");
    write_key(&change.table, row, &mut out);
    if let Some(old) = moved_from(change, seen) {
        out.extend_from_slice(b",\"old_key\":");
        write_key(&change.table, old, &mut out);
    }
    if let Some(cause) = seen.cause {
        out.extend_from_slice(b",\"cause\":\"");
        out.extend_from_slice(cause.as_str().as_bytes());
        out.push(b'"');
    }
    write_tail(event, last, &mut out);
    out
}

/// The old row of an update that changed the key.
pub(crate) fn moved_from(change: &RowChange, seen: Seen) -> Option<&Row> {
    let (old, new) = (change.old.as_ref()?, change.new.as_ref()?);
    let same = change.table.key.iter().all(|&i| old.values[i] == new.values[i]);
    (seen.op == Op::Update && !same).then_some(old)
}

fn write_tail(event: &Event, last: bool, out: &mut Vec<u8>) {
    use std::io::Write;
    let last = if last { "true" } else { "false" };
    let (tx, time) = (event.change.tx, event.change.time_ms);
    write!(out, ",\"position\":\"{}\",\"tx\":{tx},\"last\":{last},\"time\":{time}}}", event.position)
        .expect("a vector takes all");
}

pub(crate) fn write_key(table: &Table, row: &Row, out: &mut Vec<u8>) {
    if table.key.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    for (i, &column) in table.key.iter().enumerate() {
        out.push(if i == 0 { b'[' } else { b',' });
        match &row.values[column] {
            crate::event::Value::Unchanged => out.extend_from_slice(b"null"),
            value => value.write_json(out),
        }
    }
    out.push(b']');
}

/// Everything of a `message` after its `id`. Without `position` it was ephemeral.
pub fn message_body(message: &Message, position: Option<Position>, time_ms: u64) -> Vec<u8> {
    use std::io::Write;
    let mut out = Vec::with_capacity(64 + message.json.len());
    out.extend_from_slice(b"\"event\":");
    write_text(&message.event, &mut out);
    out.extend_from_slice(b",\"data\":");
    write_document(&message.json, &mut out);
    if let Some(position) = position {
        write!(out, ",\"position\":\"{position}\"").expect("a vector takes all");
    }
    write!(out, ",\"time\":{time_ms}}}").expect("a vector takes all");
    out
}

/// A whole frame from a body: `kind` is the message's type, `id` the subscription's id as JSON.
pub fn frame(wire: Wire, kind: &str, id: &str, position: Option<Position>, body: &[u8]) -> Bytes {
    pack(wire, kind, position, body.len() + id.len() + 32, |out| {
        for part in ["{\"type\":\"", kind, "\","] {
            out.extend_from_slice(part.as_bytes());
        }
        if wire != Wire::Sse {
            for part in ["\"id\":", id, ","] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(body);
    })
}

/// One JSON value as a frame: `event` is its name where the wire format has one, `position` what a client that has got it goes on after.
pub fn pack(
    wire: Wire,
    event: &str,
    position: Option<Position>,
    bytes: usize,
    json: impl FnOnce(&mut Vec<u8>),
) -> Bytes {
    match wire {
        Wire::Text => {
            let mut out = Vec::with_capacity(bytes);
            json(&mut out);
            out.into()
        }
        Wire::WebSocket => {
            let mut writing = Writing::with_capacity(bytes);
            json(writing.payload());
            writing.finish(Opcode::Text)
        }
        Wire::Deflate => {
            let mut out = Vec::with_capacity(bytes);
            json(&mut out);
            deflated(&out)
        }
        Wire::Sse => {
            let mut out = Vec::with_capacity(bytes + event.len() + 64);
            open_sse(event, position, &mut out);
            json(&mut out);
            out.extend_from_slice(b"\n\n");
            out.into()
        }
        Wire::SocketIo { offsets } => {
            let mut writing = Writing::with_capacity(bytes + event.len() + 48);
            let out = writing.payload();
            out.extend_from_slice(b"42[");
            write_text(event, out);
            out.push(b',');
            json(out);
            if let (true, Some(position)) = (offsets, position) {
                use std::io::Write;
                write!(out, ",\"{position}\"").expect("a vector takes all");
            }
            out.push(b']');
            writing.finish(Opcode::Text)
        }
    }
}

fn open_sse(kind: &str, position: Option<Position>, out: &mut Vec<u8>) {
    use std::io::Write;
    if let Some(position) = position {
        writeln!(out, "id: {position}").expect("a vector takes all");
    }
    write!(out, "event: {kind}\ndata: ").expect("a vector takes all");
}

/// Any other message as a frame; `position` is the SSE event's `id:`.
pub fn reply(wire: Wire, message: &ServerMessage, position: Option<Position>) -> Bytes {
    match (wire, message) {
        // A block with only an id moves Last-Event-ID and is no event.
        (Wire::Sse, ServerMessage::Position { position }) => format!("id: {position}\n\n").into(),
        (Wire::Sse, _) => {
            let mut json = serde_json::to_value(message).expect("a message is always JSON");
            if let Some(fields) = json.as_object_mut() {
                fields.shift_remove("id");
            }
            pack(wire, message.kind(), position, 64, |out| out.extend_from_slice(json.to_string().as_bytes()))
        }
        _ => {
            let json = message.to_json();
            pack(wire, message.kind(), position, json.len(), |out| out.extend_from_slice(json.as_bytes()))
        }
    }
}

/// A `snapshot` frame. `head` has the columns and the key and goes into the first one; `rows` is what [`rows`] has written.
pub fn snapshot(wire: Wire, id: &str, head: Option<(&[ColumnType], &[String])>, rows: &[u8], done: bool) -> Bytes {
    let mut body = Vec::with_capacity(64 + rows.len());
    if let Some((columns, key)) = head {
        body.extend_from_slice(b"\"columns\":");
        serde_json::to_writer(&mut body, columns).expect("names are always JSON");
        body.extend_from_slice(b",\"key\":");
        serde_json::to_writer(&mut body, key).expect("names are always JSON");
        body.push(b',');
    }
    body.extend_from_slice(b"\"rows\":");
    body.extend_from_slice(rows);
    body.extend_from_slice(if done { b",\"done\":true}" } else { b",\"done\":false}" });
    frame(wire, "snapshot", id, None, &body)
}

/// Rows as a JSON array.
pub fn rows(table: &Table, projection: &Projection, rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + rows.len() * 64);
    out.push(b'[');
    for (i, row) in rows.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        row.write_json(table, projection.columns.iter().copied(), &mut out);
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Body, Change, Column, TableName, Value};

    fn table() -> Arc<Table> {
        let column = |name: &str, declared: &str| Column { name: name.into(), declared: declared.into() };
        Arc::new(Table {
            name: TableName::bare("t"),
            columns: vec![column("id", "INTEGER"), column("note", "TEXT")],
            key: vec![0],
        })
    }

    fn row(id: i64, note: &str) -> Row {
        vec![Value::Int(id), Value::Text(note.into())].into()
    }

    fn update(old: Row, new: Row) -> Event {
        let change = RowChange { table: table(), op: Op::Update, old: Some(old), new: Some(new) };
        let change = Change { tx: 7, last: true, time_ms: 9, body: Body::Row(change) };
        Event { position: Position::new(1, 2), change }
    }

    fn body(event: &Event, op: Op, cause: Option<Op>, projection: Projection) -> String {
        let Body::Row(change) = &event.change.body else { panic!("a row change") };
        String::from_utf8(change_body(event, change, Seen { op, cause }, &projection, true)).expect("UTF-8")
    }

    #[test]
    fn a_change_reads_back_as_the_protocol_message() {
        let event = update(row(1, "a"), row(2, "b\n"));
        let projection = Projection { columns: [1, 0].into(), old: true, named: None, deliver: None, ruled: false };
        let text = body(&event, Op::Update, None, projection);
        let bytes = frame(Wire::Text, "change", "\"x\"", Some(event.position), text.as_bytes());
        let message: ServerMessage = serde_json::from_slice(&bytes).expect("a server message");
        assert_eq!(serde_json::to_vec(&message).expect("JSON"), bytes, "the same spelling, field for field");
        let ServerMessage::Change { key, old_key, .. } = message else { panic!("a change") };
        assert_eq!((key, old_key), (serde_json::json!([2]), Some(serde_json::json!([1]))));
    }

    #[test]
    fn a_row_that_leaves_a_filter_is_told_with_its_old_values() {
        let event = update(row(1, "a"), row(1, "b"));
        let projection = Projection { columns: [0, 1].into(), old: false, named: None, deliver: None, ruled: false };
        let text = body(&event, Op::Delete, Some(Op::Update), projection);
        assert!(text.starts_with(r#""op":"delete","row":{"id":1,"note":"a"},"key":[1],"cause":"update","#), "{text}");
    }

    #[test]
    fn a_row_that_leaves_a_filter_and_is_known_by_key_is_told_with_nothing_of_the_new_one() {
        let mut event = update(row(1, "a"), row(1, "b"));
        if let Body::Row(change) = &mut event.change.body {
            change.old = None;
        }
        let projection = Projection { columns: [0, 1].into(), old: false, named: None, deliver: None, ruled: false };
        let text = body(&event, Op::Delete, Some(Op::Update), projection);
        assert!(text.starts_with(r#""op":"delete","row":{"id":1},"key":[1],"cause":"update","#), "{text}");
    }

    #[test]
    fn a_socket_io_event_has_the_message_and_the_offset_as_arguments() {
        let told =
            |offsets, position| frame(Wire::SocketIo { offsets }, "change", "\"x\"", position, b"\"op\":\"insert\"}");
        let payload = |frame: Bytes| crate::protocol::frame::messages(&frame).next().expect("a frame").1;
        let position = Some(Position::new(1, 2));
        let plain = r#"42["change",{"type":"change","id":"x","op":"insert"}]"#;
        assert_eq!(payload(told(true, position)), r#"42["change",{"type":"change","id":"x","op":"insert"},"1-2"]"#);
        assert_eq!(payload(told(false, position)), plain);
        assert_eq!(payload(told(true, None)), plain);
    }

    #[test]
    fn an_sse_frame_has_one_data_line_and_no_id_field() {
        let bytes = frame(Wire::Sse, "change", "\"x\"", Some(Position::new(1, 2)), b"\"op\":\"insert\"}");
        assert_eq!(&*bytes, b"id: 1-2\nevent: change\ndata: {\"type\":\"change\",\"op\":\"insert\"}\n\n");
        let message = ServerMessage::Commit { id: "x".into(), tx: 1, position: "1-2".into() };
        let bytes = reply(Wire::Sse, &message, Some(Position::new(1, 2)));
        assert_eq!(&*bytes, b"id: 1-2\nevent: commit\ndata: {\"type\":\"commit\",\"tx\":1,\"position\":\"1-2\"}\n\n");
    }
}
