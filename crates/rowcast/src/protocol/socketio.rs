//! Socket.IO's packets, versions 5 (over Engine.IO 4) and 4 (over Engine.IO 3): `2/namespace,7["name",{…}]`. Pure.
//!
//! [`Head`] is the grammar alone; [`Packet`] knows what each type may carry; [`Assembler`] joins a packet with the binary messages that
//! belong to it. <https://github.com/socketio/socket.io-protocol>

mod binary;
mod packet;

pub use binary::{Assembler, Whole, check_placeholders, placeholder};
pub use packet::{Packet, RESERVED, ack, connect, disconnect, event, refuse};

pub use super::engineio::Malformed;

/// The namespace that a packet without one means.
pub const ROOT: &str = "/";

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Asks for a namespace, or says that it stands.
    Connect,
    /// Leaves a namespace.
    Disconnect,
    /// An event.
    Event,
    /// The answer to an event.
    Ack,
    /// A namespace is refused.
    ConnectError,
    /// An event with binary messages.
    BinaryEvent,
    /// An answer with binary messages.
    BinaryAck,
}

impl Kind {
    fn from_digit(digit: u8) -> Option<Self> {
        const ALL: [Kind; 7] = [
            Kind::Connect,
            Kind::Disconnect,
            Kind::Event,
            Kind::Ack,
            Kind::ConnectError,
            Kind::BinaryEvent,
            Kind::BinaryAck,
        ];
        ALL.get(usize::from(digit.checked_sub(b'0')?)).copied()
    }

    fn is_binary(self) -> bool {
        matches!(self, Self::BinaryEvent | Self::BinaryAck)
    }
}

/// How much one packet may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most binary messages that belong to one packet.
    pub attachments: usize,
    /// The most bytes in all of them.
    pub attachment_bytes: usize,
    /// The most arguments of an event or of an answer.
    pub arguments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // As many attachments as socket.io-parser 4.2 allows.
        Self { attachments: 10, attachment_bytes: 1_000_000, arguments: 1_000 }
    }
}

/// A packet cut into its parts, `<type>[<attachments>-][<namespace>,][<ack id>][<json>]`; nobody has looked into the JSON yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head<'a> {
    /// What it is for.
    pub kind: Kind,
    /// Binary messages that follow it.
    pub attachments: usize,
    /// Starts with a slash. A client of version 4 may have put a query behind it.
    pub namespace: &'a str,
    /// What the other side calls its wish for an answer.
    pub id: Option<u64>,
    /// The rest; empty when there is none.
    pub json: &'a str,
}

impl<'a> Head<'a> {
    /// Cuts the text of an Engine.IO message.
    pub fn decode(text: &'a str) -> Result<Self, Malformed> {
        let kind = text.bytes().next().and_then(Kind::from_digit).ok_or(Malformed("a packet of an unknown type"))?;
        let rest = &text[1..];
        let (attachments, rest) = match kind.is_binary() {
            false => (0, rest),
            true => rest
                .split_once('-')
                .and_then(|(count, rest)| Some((number(count)?, rest)))
                .and_then(|(count, rest)| Some((usize::try_from(count).ok()?, rest)))
                .ok_or(Malformed("a packet without its count of attachments"))?,
        };
        let (namespace, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => (ROOT, rest),
        };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (id, json) = rest.split_at(digits);
        let id = match id {
            "" => None,
            digits => Some(number(digits).ok_or(Malformed("an acknowledgement whose number is too large"))?),
        };
        Ok(Self { kind, attachments, namespace, id, json })
    }

    /// Appends it.
    pub fn encode(&self, out: &mut String) {
        let mut digits = itoa::Buffer::new();
        out.push(char::from(b'0' + self.kind as u8));
        if self.kind.is_binary() {
            out.push_str(digits.format(self.attachments));
            out.push('-');
        }
        if self.namespace != ROOT {
            out.push_str(self.namespace);
            out.push(',');
        }
        if let Some(id) = self.id {
            out.push_str(digits.format(id));
        }
        out.push_str(self.json);
    }
}

fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head<'a>(kind: Kind, attachments: usize, namespace: &'a str, id: Option<u64>, json: &'a str) -> Head<'a> {
        Head { kind, attachments, namespace, id, json }
    }

    #[test]
    fn packets_are_cut_as_the_protocol_shows_them() {
        let check = |text: &str, expected: Head<'_>| {
            assert_eq!(Head::decode(text), Ok(expected.clone()), "{text}");
            let mut out = String::new();
            expected.encode(&mut out);
            assert_eq!(out, text);
        };
        check("0", head(Kind::Connect, 0, "/", None, ""));
        check(r#"0/admin,{"sid":"x"}"#, head(Kind::Connect, 0, "/admin", None, r#"{"sid":"x"}"#));
        check(r#"212["m"]"#, head(Kind::Event, 0, "/", Some(12), r#"["m"]"#));
        check(r#"3/admin,456[]"#, head(Kind::Ack, 0, "/admin", Some(456), "[]"));
        check(r#"4"no""#, head(Kind::ConnectError, 0, "/", None, r#""no""#));
        check(r#"51-/admin,7["m",{}]"#, head(Kind::BinaryEvent, 1, "/admin", Some(7), r#"["m",{}]"#));
        assert_eq!(Head::decode("1/a"), Ok(head(Kind::Disconnect, 0, "/a", None, "")));
        for text in ["", "7", "abc", "ü", "5", "5[]", "5x-[]", "5--", "2999999999999999999999[]"] {
            assert!(Head::decode(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            kind in b'0'..b'7',
            attachments in 0..20_usize,
            namespace in "/[^,]{0,10}",
            id in any::<Option<u64>>(),
            json in r#"(|\[.*\]|\{.*\})"#,
        ) {
            let kind = Kind::from_digit(kind).expect("a kind");
            let attachments = if kind.is_binary() { attachments } else { 0 };
            let head = Head { kind, attachments, namespace: &namespace, id, json: &json };
            let mut out = String::new();
            head.encode(&mut out);
            prop_assert_eq!(Head::decode(&out), Ok(head));
        }

        #[test]
        fn nothing_that_is_read_panics(text in any::<String>(), like in r#"[0-7][0-9/,\-\[\]"{}ü]{0,20}"#) {
            let _ = Head::decode(&text);
            let _ = Head::decode(&like);
        }
    }
}
