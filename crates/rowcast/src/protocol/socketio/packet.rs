//! What each type of packet carries: read with all checks, written as the clients of both versions expect it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Head, Kind, Limits, Malformed};
use crate::protocol::engineio::Eio;

/// Names that no event has: they mean something on one side or the other.
pub const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// What came, its arguments as they are.
#[derive(Debug, Clone)]
pub enum Packet<'a> {
    /// A namespace is asked for, with what the client has to say for itself: a JSON object.
    Connect {
        /// Which.
        namespace: &'a str,
        /// What a client of version 3 wrote behind the namespace, without the question mark.
        query: Option<&'a str>,
        /// What a client of version 4 sent.
        auth: Option<&'a RawValue>,
    },
    /// A namespace is left.
    Disconnect {
        /// Which.
        namespace: &'a str,
    },
    /// An event.
    Event {
        /// Where.
        namespace: &'a str,
        /// It is to be answered under this number.
        id: Option<u64>,
        /// What happened.
        name: Cow<'a, str>,
        /// The rest of the array.
        arguments: Vec<&'a RawValue>,
    },
    /// An answer.
    Ack {
        /// Where.
        namespace: &'a str,
        /// To what.
        id: u64,
        /// The array.
        arguments: Vec<&'a RawValue>,
    },
    /// A namespace is refused: a text or an object. Only servers say so.
    ConnectError {
        /// Which.
        namespace: &'a str,
        /// Why.
        why: &'a RawValue,
    },
}

impl<'a> Packet<'a> {
    /// Reads the text of a message; its attachments are counted only.
    pub fn decode(text: &'a str, eio: Eio, limits: &Limits) -> Result<Self, Malformed> {
        Self::read(Head::decode(text)?, eio, limits)
    }

    pub(super) fn read(head: Head<'a>, eio: Eio, limits: &Limits) -> Result<Self, Malformed> {
        let Head { kind, attachments, namespace, id, json } = head;
        if kind.is_binary() && attachments == 0 && eio == Eio::V4 {
            return Err(Malformed("a binary packet without attachments"));
        }
        if attachments > limits.attachments {
            return Err(Malformed("a packet with too many attachments"));
        }
        let (namespace, query) = match (eio, namespace.split_once('?')) {
            (Eio::V3, Some((namespace, query))) => (namespace, Some(query)),
            _ => (namespace, None),
        };
        match kind {
            Kind::Connect => Ok(Self::Connect { namespace, query, auth: auth(json, eio)? }),
            Kind::Disconnect if json.is_empty() => Ok(Self::Disconnect { namespace }),
            Kind::Disconnect => Err(Malformed("a disconnect that carries something")),
            Kind::Event | Kind::BinaryEvent => {
                let mut arguments = array(json, limits)?;
                if arguments.is_empty() {
                    return Err(Malformed("an event without a name"));
                }
                Ok(Self::Event { namespace, id, name: name(arguments.remove(0))?, arguments })
            }
            Kind::Ack | Kind::BinaryAck => {
                let id = id.ok_or(Malformed("an answer without its number"))?;
                Ok(Self::Ack { namespace, id, arguments: array(json, limits)? })
            }
            Kind::ConnectError => {
                let why: &RawValue = serde_json::from_str(json).map_err(|_| Malformed("an error that is not JSON"))?;
                match why.get().starts_with(['"', '{']) {
                    true => Ok(Self::ConnectError { namespace, why }),
                    false => Err(Malformed("an error that is neither text nor object")),
                }
            }
        }
    }
}

fn auth(json: &str, eio: Eio) -> Result<Option<&RawValue>, Malformed> {
    // Version 3 has none; what its clients send is of no use.
    if json.is_empty() || eio == Eio::V3 {
        return Ok(None);
    }
    let auth: &RawValue = serde_json::from_str(json).map_err(|_| Malformed("a payload that is not JSON"))?;
    match auth.get().starts_with('{') {
        true => Ok(Some(auth)),
        false => Err(Malformed("a payload that is no object")),
    }
}

fn array<'a>(json: &'a str, limits: &Limits) -> Result<Vec<&'a RawValue>, Malformed> {
    let all: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| Malformed("arguments that are no JSON array"))?;
    match all.len() > limits.arguments + 1 {
        true => Err(Malformed("too many arguments")),
        false => Ok(all),
    }
}

fn name(json: &RawValue) -> Result<Cow<'_, str>, Malformed> {
    let text = json.get();
    if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Ok(text.into());
    }
    let plain = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).filter(|text| !text.contains('\\'));
    let name = match plain {
        Some(plain) => Cow::Borrowed(plain),
        None => serde_json::from_str::<String>(text).map_err(|_| Malformed("an event whose name is no text"))?.into(),
    };
    match RESERVED.contains(&&*name) {
        true => Err(Malformed("an event with a reserved name")),
        false => Ok(name),
    }
}

/// Appends an event: its name, and arguments that are JSON already.
pub fn event<'a>(
    out: &mut String,
    namespace: &str,
    id: Option<u64>,
    attachments: usize,
    name: &str,
    arguments: impl IntoIterator<Item = &'a str>,
) {
    let kind = if attachments == 0 { Kind::Event } else { Kind::BinaryEvent };
    Head { kind, attachments, namespace, id, json: "[" }.encode(out);
    out.push_str(&serde_json::to_string(name).unwrap_or_default());
    for argument in arguments {
        out.push(',');
        out.push_str(argument);
    }
    out.push(']');
}

/// Appends an answer.
pub fn ack<'a>(
    out: &mut String,
    namespace: &str,
    id: u64,
    attachments: usize,
    arguments: impl IntoIterator<Item = &'a str>,
) {
    let kind = if attachments == 0 { Kind::Ack } else { Kind::BinaryAck };
    Head { kind, attachments, namespace, id: Some(id), json: "[" }.encode(out);
    for (n, argument) in arguments.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        out.push_str(argument);
    }
    out.push(']');
}

/// Appends the wish for a namespace, or the word that it stands; with a JSON object, or nothing.
pub fn connect(out: &mut String, namespace: &str, json: &str) {
    Head { kind: Kind::Connect, attachments: 0, namespace, id: None, json }.encode(out);
}

/// Appends the end of a namespace.
pub fn disconnect(out: &mut String, namespace: &str) {
    Head { kind: Kind::Disconnect, attachments: 0, namespace, id: None, json: "" }.encode(out);
}

/// Appends the refusal of a namespace. A client of version 3 is told the data alone where there is some, as Socket.IO's own server does.
pub fn refuse(out: &mut String, eio: Eio, namespace: &str, message: &str, data: Option<&RawValue>) {
    let message = serde_json::to_string(message).unwrap_or_default();
    let json = match (eio, data) {
        (Eio::V3, Some(data)) => data.get().to_owned(),
        (Eio::V3, None) => message,
        (Eio::V4, Some(data)) => format!(r#"{{"message":{message},"data":{}}}"#, data.get()),
        (Eio::V4, None) => format!(r#"{{"message":{message}}}"#),
    };
    Head { kind: Kind::ConnectError, attachments: 0, namespace, id: None, json: &json }.encode(out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(text: &str) -> Result<Packet<'_>, Malformed> {
        Packet::decode(text, Eio::V4, &Limits::default())
    }

    #[test]
    fn an_event_has_a_name_and_arguments() {
        let Ok(Packet::Event { namespace, id, name, arguments }) = decode(r#"2/a,7["m",1,"2",{"3":[true]}]"#) else {
            panic!("no event");
        };
        let arguments: Vec<&str> = arguments.iter().map(|argument| argument.get()).collect();
        assert_eq!((namespace, id, &*name), ("/a", Some(7), "m"));
        assert_eq!(arguments, ["1", r#""2""#, r#"{"3":[true]}"#]);
        let names = [(r#"2["\u0061\n"]"#, "a\n"), ("2[17]", "17"), (r#"2[""]"#, "")];
        for (text, expected) in names {
            assert!(matches!(decode(text), Ok(Packet::Event { name, .. }) if name == expected), "{text}");
        }
    }

    #[test]
    fn what_a_type_may_not_carry_is_refused() {
        let wrong = [
            "0[]",
            "0null",
            "0{",
            "1{}",
            "2",
            "2{}",
            "2[]",
            "2[null]",
            "2[{}]",
            r#"2["m""#,
            r#"2["m"]x"#,
            r#"2abc["m"]"#,
            r#"2["connect"]"#,
            r#"2["newListener"]"#,
            r#"2["\u0063onnect"]"#,
            r#"50-["m"]"#,
            r#"511-["m"]"#,
            "3[]",
            "31{}",
            "4[]",
            "4",
            "41",
            "7",
        ];
        for text in wrong {
            assert!(decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_of_version_3_may_have_a_query_in_the_namespace() {
        let limits = Limits::default();
        let packet = Packet::decode("0/a?token=x,", Eio::V3, &limits);
        assert!(matches!(packet, Ok(Packet::Connect { namespace: "/a", query: Some("token=x"), auth: None })));
        assert!(matches!(decode("0/a?b"), Ok(Packet::Connect { namespace: "/a?b", query: None, auth: None })));
    }

    #[test]
    fn refusals_read_as_each_version_has_them() {
        let refusal = |eio, namespace, data: Option<&str>| {
            let data: Option<&RawValue> = data.map(|data| serde_json::from_str(data).expect("JSON"));
            let mut out = String::new();
            refuse(&mut out, eio, namespace, "no", data);
            out
        };
        assert_eq!(refusal(Eio::V4, "/a", None), r#"4/a,{"message":"no"}"#);
        assert_eq!(refusal(Eio::V4, "/", Some("[1]")), r#"4{"message":"no","data":[1]}"#);
        assert_eq!(refusal(Eio::V3, "/", None), r#"4"no""#);
        assert_eq!(refusal(Eio::V3, "/a", Some(r#"{"b":1}"#)), r#"4/a,{"b":1}"#);
    }

    #[test]
    fn arguments_are_limited() {
        let many = format!(r#"2["m"{}]"#, ",1".repeat(1_000));
        assert!(decode(&many).is_ok());
        assert!(decode(&many.replacen(",1", ",1,1", 1)).is_err());
        // Nested as deeply as there is room for: read without recursion.
        let deep = format!(r#"2["m",{}{}]"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(decode(&deep).is_ok());
    }

    proptest! {
        #[test]
        fn an_event_that_is_written_is_read_again(
            namespace in "(/|/[a-z?]{1,8})",
            id in any::<Option<u64>>(),
            name in any::<String>(),
            texts in proptest::collection::vec(any::<String>(), 0..5),
        ) {
            let json: Vec<String> = texts.iter().map(|text| serde_json::to_string(text).expect("JSON")).collect();
            let mut out = String::new();
            event(&mut out, &namespace, id, 0, &name, json.iter().map(String::as_str));
            let reserved = RESERVED.contains(&&*name);
            match decode(&out) {
                Ok(Packet::Event { namespace: n, id: i, name: m, arguments }) => {
                    prop_assert_eq!((n, i, &*m), (&*namespace, id, &*name));
                    prop_assert_eq!(arguments.iter().map(|a| a.get().to_owned()).collect::<Vec<_>>(), json);
                }
                _ => prop_assert!(reserved),
            }
        }

        #[test]
        fn nothing_that_is_read_panics(text in any::<String>(), like in r#"[0-7]([0-9]-)?(/[a?]*,)?[0-9]{0,3}[\[\]"{}:,a1\\]{0,20}"#) {
            for eio in [Eio::V3, Eio::V4] {
                let _ = Packet::decode(&text, eio, &Limits::default());
                let _ = Packet::decode(&like, eio, &Limits::default());
            }
        }
    }
}
