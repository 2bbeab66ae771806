//! Messages that a program has written into the write-ahead log with `pg_logical_emit_message`.

use bytes::{Buf, Bytes};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::json::write_text;
use crate::event::{Body, Channel, Message};
use crate::postgres::Lsn;

/// The prefix of what `rowcast.publish` and `rowcast.notify` write.
const OWN: &str = "rowcast";

/// A message as the stream has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logical {
    /// Whether it belongs to a transaction.
    pub(super) transactional: bool,
    /// Where it ends.
    pub(super) end: Lsn,
    prefix: String,
    content: Bytes,
}

/// What `rowcast.publish` writes.
#[derive(Deserialize)]
struct Published<'a> {
    channel: String,
    event: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Logical {
    /// Reads a message of kind `M`; within a transaction that has not committed, its number comes first.
    pub(super) fn read(mut message: Bytes, streamed: bool) -> Option<Self> {
        message.try_get_u8().ok()?;
        if streamed {
            message.try_get_u32().ok()?;
        }
        let (flags, end) = (message.try_get_u8().ok()?, Lsn(message.try_get_u64().ok()?));
        let zero = memchr::memchr(0, &message)?;
        let prefix = String::from_utf8(message.split_to(zero).to_vec()).ok()?;
        message.advance(1);
        let length = message.try_get_u32().ok()? as usize;
        if message.len() < length {
            return None;
        }
        Some(Self { transactional: flags & 1 == 1, end, prefix, content: message.split_to(length) })
    }

    /// The message for its channel; `None` where it is nothing for us.
    pub(super) fn body(&self) -> Option<Body> {
        let text = String::from_utf8_lossy(&self.content);
        if self.prefix == OWN {
            let published: Published<'_> = serde_json::from_str(&text).ok()?;
            let channel = channel(&published.channel)?;
            let json = published.data.get();
            return Some(message(channel, &published.event, json));
        }
        match channel(&self.prefix)? {
            Channel::Notify(name) => {
                let mut json = b"{\"payload\":".to_vec();
                write_text(&text, &mut json);
                json.extend_from_slice(b",\"process_id\":0}");
                Some(message(Channel::Notify(name), "notify", &String::from_utf8_lossy(&json)))
            }
            channel if serde_json::from_str::<&RawValue>(&text).is_ok() => {
                Some(message(channel, "message", text.trim()))
            }
            channel => {
                let mut json = Vec::new();
                write_text(&text, &mut json);
                Some(message(channel, "message", &String::from_utf8_lossy(&json)))
            }
        }
    }
}

/// A channel that is no table: what is said of tables comes from their rows.
fn channel(text: &str) -> Option<Channel> {
    Channel::of_operator(text).ok().filter(|channel| !matches!(channel, Channel::Table(_)))
}

fn message(channel: Channel, event: &str, json: &str) -> Body {
    Body::Message(Message { channel, event: event.into(), json: json.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the server sends it.
    fn bytes(flags: u8, prefix: &str, content: &str) -> Bytes {
        let length = u32::try_from(content.len()).expect("short").to_be_bytes();
        [b"M", [flags].as_slice(), &7u64.to_be_bytes(), prefix.as_bytes(), &[0], &length, content.as_bytes()]
            .concat()
            .into()
    }

    #[track_caller]
    fn check(prefix: &str, content: &str, expected: Option<[&str; 3]>) {
        let logical = Logical::read(bytes(1, prefix, content), false).expect("a message");
        assert_eq!((logical.transactional, logical.end), (true, Lsn(7)));
        let found = logical.body().map(|body| match body {
            Body::Message(message) => [message.channel.to_string(), message.event.into(), message.json.into()],
            other => panic!("{other:?}"),
        });
        assert_eq!(found, expected.map(|parts| parts.map(str::to_owned)));
    }

    #[test]
    fn what_was_published_goes_to_its_channel() {
        let content = r#"{"channel": "room:a", "event": "said", "data": {"n": 1.50}}"#;
        check("rowcast", content, Some(["room:a", "said", r#"{"n": 1.50}"#]));
        let content = r#"{"channel": "room@acme:a", "event": "said", "data": 1}"#;
        check("rowcast", content, Some(["room@acme:a", "said", "1"]));
        check("rowcast", r#"{"channel":"table:orders","event":"e","data":1}"#, None);
        check("rowcast", "no JSON", None);
        check("rowcast:settle", "", None);
    }

    #[test]
    fn a_prefix_that_is_a_channel_is_one() {
        check("room:a", r#" {"n":1} "#, Some(["room:a", "message", r#"{"n":1}"#]));
        check("room:a", "Grüße \"x\"", Some(["room:a", "message", r#""Grüße \"x\"""#]));
        check("notify:b", "7", Some(["notify:b", "notify", r#"{"payload":"7","process_id":0}"#]));
        check("somebody else's", "x", None);
    }

    #[test]
    fn what_is_cut_short_is_no_message() {
        let whole = bytes(0, "room:a", "x");
        assert!(!Logical::read(whole.clone(), false).expect("a message").transactional);
        for length in 0..whole.len() {
            assert_eq!(Logical::read(whole.slice(..length), false), None);
        }
    }
}
