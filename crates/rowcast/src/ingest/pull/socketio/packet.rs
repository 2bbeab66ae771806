//! Socket.IO's packets as a client that only listens needs them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::engineio::{self, Eio};
use crate::protocol::socketio::{self, Head, Kind, ROOT};

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// The server asks whether we are there, with something to be said back.
    Ping(&'a str),
    /// The namespace stands. `pid` where missed events can be asked for later.
    Connected {
        namespace: &'a str,
        pid: Option<String>,
    },
    /// It does not.
    Refused {
        namespace: &'a str,
        message: String,
    },
    /// The namespace is over.
    Disconnected {
        namespace: &'a str,
    },
    Event(Event<'a>),
    /// The connection is over.
    Closed,
    /// Nothing that matters here: a pong, an acknowledgement, a no-op.
    Other,
}

/// An event, its arguments as they came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub(super) namespace: &'a str,
    /// Binary messages that follow and belong to it.
    pub(super) attachments: usize,
    /// What the server calls its wish for an acknowledgement.
    pub(super) ack: Option<u64>,
    /// A JSON array: the name, and the arguments.
    pub(super) arguments: &'a str,
}

#[derive(Deserialize, Default)]
struct Connect {
    pid: Option<String>,
}

impl<'a> Packet<'a> {
    /// Never fails: what is not understood is [`Other`](Packet::Other).
    pub(super) fn parse(text: &'a str) -> Self {
        let text = match engineio::Packet::decode(text, Eio::V4) {
            Ok(engineio::Packet::Close) => return Packet::Closed,
            Ok(engineio::Packet::Ping(payload)) => return Packet::Ping(payload),
            Ok(engineio::Packet::Message(text)) => text,
            _ => return Packet::Other,
        };
        let Ok(Head { kind, attachments, namespace, id, json }) = Head::decode(text) else { return Packet::Other };
        // Engine.IO 3 lets a namespace have a query.
        let namespace = namespace.split('?').next().unwrap_or_default();
        let namespace = if namespace == ROOT { "" } else { namespace };
        match kind {
            Kind::Connect => {
                let Connect { pid } = serde_json::from_str(json).unwrap_or_default();
                Packet::Connected { namespace, pid }
            }
            Kind::Disconnect => Packet::Disconnected { namespace },
            Kind::Event | Kind::BinaryEvent => {
                Packet::Event(Event { namespace, attachments, ack: id, arguments: json })
            }
            Kind::ConnectError => Packet::Refused { namespace, message: refusal(json) },
            Kind::Ack | Kind::BinaryAck => Packet::Other,
        }
    }
}

/// The server's own words, as an object with a message or as a text.
fn refusal(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let message = value.get("message").unwrap_or(&value).as_str().unwrap_or("without a reason");
    message.chars().take(200).collect()
}

/// Asks for a namespace, with a payload.
pub(super) fn connect(namespace: &str, payload: &str) -> String {
    let mut out = String::from("4");
    socketio::connect(&mut out, in_full(namespace), payload);
    out
}

/// Acknowledges an event.
pub(super) fn ack(namespace: &str, id: u64) -> String {
    let mut out = String::from("4");
    socketio::ack(&mut out, in_full(namespace), id, 0, []);
    out
}

fn in_full(namespace: &str) -> &str {
    if namespace.is_empty() { ROOT } else { namespace }
}

/// The name of an event, and its arguments; or what is wrong.
pub(super) fn arguments(json: &str) -> Result<(Cow<'_, str>, Vec<&RawValue>), &'static str> {
    let mut all: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| "the event's arguments are not JSON")?;
    if all.is_empty() {
        return Err("the event has no name");
    }
    let name: String = serde_json::from_str(all.remove(0).get()).map_err(|_| "the event's name is not text")?;
    Ok((Cow::Owned(name), all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event<'a>(namespace: &'a str, attachments: usize, ack: Option<u64>, arguments: &'a str) -> Packet<'a> {
        Packet::Event(Event { namespace, attachments, ack, arguments })
    }

    #[test]
    fn packets_are_told_apart() {
        assert_eq!(Packet::parse("2probe"), Packet::Ping("probe"));
        assert_eq!(Packet::parse("40"), Packet::Connected { namespace: "", pid: None });
        let connected = Packet::Connected { namespace: "/a", pid: Some("p".into()) };
        assert_eq!(Packet::parse(r#"40/a,{"sid":"s","pid":"p"}"#), connected);
        assert_eq!(Packet::parse(r#"42["m",1]"#), event("", 0, None, r#"["m",1]"#));
        assert_eq!(Packet::parse(r#"42/a,17["m"]"#), event("/a", 0, Some(17), r#"["m"]"#));
        assert_eq!(
            Packet::parse(r#"451-3["m",{"_placeholder":true,"num":0}]"#),
            event("", 1, Some(3), r#"["m",{"_placeholder":true,"num":0}]"#)
        );
        assert_eq!(
            Packet::parse(r#"44/a,{"message":"no"}"#),
            Packet::Refused { namespace: "/a", message: "no".into() }
        );
        assert_eq!(Packet::parse(r#"44"no""#), Packet::Refused { namespace: "", message: "no".into() });
        assert_eq!(Packet::parse("41"), Packet::Disconnected { namespace: "" });
        for text in ["", "4", "4x", "6", "3", "45", "4ü", "ü"] {
            assert_eq!(Packet::parse(text), Packet::Other, "{text}");
        }
    }

    #[test]
    fn arguments_follow_a_name() {
        let (name, rest) = arguments(r#"["m",{"a":1},"x"]"#).expect("arguments");
        assert_eq!((name.as_ref(), rest[0].get(), rest.len()), ("m", r#"{"a":1}"#, 2));
        assert!(arguments("[]").is_err() && arguments("[1]").is_err() && arguments("{").is_err());
    }

    #[test]
    fn answers_name_their_namespace() {
        assert_eq!(
            (connect("", ""), connect("/a", "{}"), connect("/a", "")),
            ("40".into(), "40/a,{}".into(), "40/a,".into())
        );
        assert_eq!((ack("", 3), ack("/a", 3)), ("433[]".into(), "43/a,3[]".into()));
    }
}
