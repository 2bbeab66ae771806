//! What clients get without asking: a channel's messages under a name and in a shape of the operator's, made once for all.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::settings::{Push, Shape, What};
use crate::event::json::write_text;
use crate::event::{Channel, Position};
use crate::protocol::encode::{Wire, frame as native_frame};
use crate::protocol::{SnapshotWish, Subscribe, frame};

/// Frames that are remembered: clients of the same speed ask for the same one within moments.
const REMEMBERED: usize = 64;
const REMEMBERED_BYTES: usize = 1 << 20;

/// What the ids of such subscriptions begin with. No client's may.
pub(super) const PUSHED: &str = "push:";

/// A configured push, ready to be shown.
pub(super) struct Pushed {
    pub(super) push: Push,
    /// The subscription's id.
    pub(super) id: String,
    /// What a message of the subscription begins with; empty where it is shown as it is.
    prefix: Vec<u8>,
    cache: Mutex<Cache>,
}

/// Frames by the memory in which the hub has them: whoever has the same subscription gets the very same bytes.
#[derive(Default)]
struct Cache {
    all: VecDeque<(Bytes, Bytes)>,
    bytes: usize,
}

impl Pushed {
    pub(super) fn new(push: Push) -> Self {
        let (id, prefix) = match &push.what {
            What::Data(_) => (String::new(), Vec::new()),
            What::Channel(channel, _) => {
                let id = format!("{PUSHED}{}:{channel}", push.event);
                let named = matches!(channel, Channel::Event(_));
                let prefix = if named { Vec::new() } else { prefix(&id) };
                (id, prefix)
            }
        };
        Self { push, id, prefix, cache: Mutex::default() }
    }

    /// The subscription; `None` for what is said once. `placed`: it is all that a client follows who keeps positions.
    pub(super) fn subscribe(&self, placed: bool) -> Option<Subscribe> {
        let What::Channel(channel, _) = &self.push.what else { return None };
        let mut subscribe = Subscribe::new(&self.id, &channel.to_string());
        (subscribe.snapshot, subscribe.placed) = (SnapshotWish::Simple(false), placed);
        Some(subscribe)
    }

    /// Whether none of the session's messages is shown in another way.
    pub(super) fn is_as_it_is(&self) -> bool {
        self.prefix.is_empty()
    }

    /// What a message of the session is to the client; `None` for one that is not of this push.
    ///
    /// `recovers` says that the client keeps positions: then it has to get one, or nothing that it would take for one.
    pub(super) fn show(&self, message: &Bytes, recovers: bool) -> Option<Bytes> {
        if self.prefix.is_empty() || !message.starts_with(&self.prefix) {
            return None;
        }
        if let Some(shown) = self.cache.lock().find(message) {
            return Some(shown);
        }
        let shown = self.render(message, recovers)?;
        self.cache.lock().keep(message.clone(), shown.clone());
        Some(shown)
    }

    fn render(&self, message: &Bytes, recovers: bool) -> Option<Bytes> {
        let What::Channel(channel, shape) = &self.push.what else { return None };
        let (_, native, offset): (Cow<'_, str>, Native<'_>, Option<Cow<'_, str>>) = read(message)?;
        let mut out = frame::Writing::with_capacity(message.len() + 64);
        let text = out.payload();
        text.extend_from_slice(b"42[");
        write_text(&self.push.event, text);
        text.push(b',');
        shape.write(channel, native.data, text);
        match offset {
            Some(offset) => text.extend_from_slice(format!(",\"{offset}\"").as_bytes()),
            None if recovers && text.ends_with(b"\"") => text.extend_from_slice(b",null"),
            None => {}
        }
        text.push(b']');
        Some(out.finish(frame::Opcode::Text))
    }
}

/// The text that every message of a subscription begins with.
fn prefix(id: &str) -> Vec<u8> {
    let id = serde_json::to_string(id).unwrap_or_default();
    let framed = native_frame(Wire::SocketIo { offsets: false }, "message", &id, None::<Position>, b"}");
    let mut prefix = frame::messages(&framed).next().map(|(_, message)| message.to_vec()).unwrap_or_default();
    // Without the end of the object and of the packet.
    prefix.truncate(prefix.len().saturating_sub(2));
    prefix
}

#[derive(Deserialize)]
struct Native<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Notified<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
    #[serde(default)]
    process_id: i64,
}

/// The parts of a message of the session: `42["name",{…},"position"]`.
fn read<'a>(message: &'a [u8]) -> Option<(Cow<'a, str>, Native<'a>, Option<Cow<'a, str>>)> {
    let json = message.get(2..)?;
    let parts: Vec<&RawValue> = serde_json::from_slice(json).ok()?;
    let name = serde_json::from_str(parts.first()?.get()).ok()?;
    let native = serde_json::from_str(parts.get(1)?.get()).ok()?;
    let offset = parts.get(2).and_then(|offset| serde_json::from_str(offset.get()).ok());
    Some((name, native, offset))
}

impl Shape {
    fn write(self, channel: &Channel, data: &RawValue, out: &mut Vec<u8>) {
        let Channel::Notify(name) = channel else { return out.extend_from_slice(data.get().as_bytes()) };
        // A durable message to the channel is any JSON; a notification is text in an object.
        let notified: Notified<'_> =
            serde_json::from_str(data.get()).unwrap_or(Notified { payload: Cow::Borrowed(data.get()), process_id: 0 });
        let Notified { payload, process_id } = notified;
        match self {
            Self::Plain => write_text(&payload, out),
            Self::Json => match serde_json::from_str::<&RawValue>(&payload) {
                Ok(json) => out.extend_from_slice(json.get().as_bytes()),
                Err(_) => write_text(&payload, out),
            },
            Self::Notification => {
                // Of PostgreSQL's message: its own four bytes, the process's four, and two texts that end with a zero.
                let length = 4 + 4 + name.len() + 1 + payload.len() + 1;
                out.extend_from_slice(b"{\"message\":{\"channel\":");
                write_text(name, out);
                out.extend_from_slice(b",\"payload\":");
                write_text(&payload, out);
                let rest = format!(",\"processId\":{process_id},\"length\":{length},\"name\":\"notification\"}}}}");
                out.extend_from_slice(rest.as_bytes());
            }
        }
    }
}

impl Cache {
    fn find(&self, message: &Bytes) -> Option<Bytes> {
        let same = |known: &&(Bytes, Bytes)| known.0.as_ptr() == message.as_ptr() && known.0.len() == message.len();
        self.all.iter().rev().find(same).map(|(_, shown)| shown.clone())
    }

    /// The message is kept, too, so that its memory is not given to another one.
    fn keep(&mut self, message: Bytes, shown: Bytes) {
        self.bytes += message.len() + shown.len();
        self.all.push_back((message, shown));
        while self.all.len() > REMEMBERED || self.bytes > REMEMBERED_BYTES {
            let Some((message, shown)) = self.all.pop_front() else { return };
            self.bytes -= message.len() + shown.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(channel: &str, shape: Shape, body: &str, recovers: bool, position: Option<Position>, expected: &str) {
        let what = What::Channel(Channel::of_client(channel, "").expect("a channel"), shape);
        let pushed = Pushed::new(Push { event: "update".into(), what, after: None, listeners: Vec::new() });
        let id = serde_json::to_string(&pushed.id).expect("JSON");
        let wire = Wire::SocketIo { offsets: recovers };
        let framed = native_frame(wire, "message", &id, position, body.as_bytes());
        let message = frame::messages(&framed).next().expect("a message").1;
        let shown = pushed.show(&message, recovers).expect("shown");
        assert_eq!(frame::messages(&shown).next().expect("a message").1, expected);
        let other = native_frame(wire, "message", "\"x\"", position, body.as_bytes());
        assert!(pushed.show(&frame::messages(&other).next().expect("a message").1, recovers).is_none());
    }

    #[test]
    fn a_notification_is_shown_in_each_shape() {
        let body = r#""event":"notify","data":{"payload":"a \"ü\"","process_id":7},"time":1}"#;
        let notification = r#"42["update",{"message":{"channel":"added","payload":"a \"ü\"","processId":7,"length":21,"name":"notification"}}]"#;
        check("notify:added", Shape::Notification, body, false, None, notification);
        check("notify:added", Shape::Plain, body, false, None, r#"42["update","a \"ü\""]"#);
        check("notify:added", Shape::Plain, body, true, Some(Position::new(1, 2)), r#"42["update","a \"ü\"","1-2"]"#);
        check("notify:added", Shape::Plain, body, true, None, r#"42["update","a \"ü\"",null]"#);
        let json = r#""event":"notify","data":{"payload":"{\"n\":1}","process_id":7},"time":1}"#;
        check("notify:added", Shape::Json, json, true, None, r#"42["update",{"n":1}]"#);
        check("notify:added", Shape::Json, body, false, None, r#"42["update","a \"ü\""]"#);
        check("room:a", Shape::Plain, r#""event":"e","data":[1],"time":1}"#, false, None, r#"42["update",[1]]"#);
    }
}
