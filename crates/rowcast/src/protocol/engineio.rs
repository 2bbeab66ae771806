//! Engine.IO's packets, versions 3 and 4: what is below Socket.IO. Pure.
//!
//! One packet is one WebSocket frame; over HTTP several make a [payload]. <https://github.com/socketio/engine.io-protocol>

pub mod payload;

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// As Node reads it: with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What a message's type is, in front of binary data in version 3.
pub const BINARY_MESSAGE: u8 = 4;

/// Which Engine.IO is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Eio {
    /// By Socket.IO's clients 1.x and 2.x. The client pings.
    V3,
    /// By Socket.IO's clients 3.x and 4.x. The server pings.
    V4,
}

impl Eio {
    /// From the `EIO` of a query.
    pub fn from_query(text: &str) -> Option<Self> {
        match text {
            "3" => Some(Self::V3),
            "4" => Some(Self::V4),
            _ => None,
        }
    }
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The session stands; a JSON object says how.
    Open(&'a str),
    /// The session is over.
    Close,
    /// Is the other side there? With `probe` on a transport that is to be taken.
    Ping(&'a str),
    /// It is.
    Pong(&'a str),
    /// A text message.
    Message(&'a str),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// From now on this transport is used.
    Upgrade,
    /// Nothing: ends a poll.
    Noop,
}

/// What is no packet, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

impl<'a> Packet<'a> {
    /// Reads a text packet: a text frame, or one of a payload. `b` announces base64 in both.
    pub fn decode(text: &'a str, eio: Eio) -> Result<Self, Malformed> {
        let kind = *text.as_bytes().first().ok_or(Malformed("an empty packet"))?;
        if kind == b'b' {
            return Self::decode_base64(&text[1..], eio);
        }
        if !kind.is_ascii_digit() {
            return Err(Malformed("a packet of an unknown type"));
        }
        let data = &text[1..];
        match kind {
            b'0' => Ok(Self::Open(data)),
            b'1' => Ok(Self::Close),
            b'2' => Ok(Self::Ping(data)),
            b'3' => Ok(Self::Pong(data)),
            b'4' => Ok(Self::Message(data)),
            b'5' => Ok(Self::Upgrade),
            b'6' => Ok(Self::Noop),
            _ => Err(Malformed("a packet of an unknown type")),
        }
    }

    fn decode_base64(text: &str, eio: Eio) -> Result<Self, Malformed> {
        let text = match eio {
            Eio::V4 => text,
            Eio::V3 => text.strip_prefix('4').ok_or(Malformed("a binary packet that is no message"))?,
        };
        BASE64.decode(text).map(|data| Self::Binary(data.into())).map_err(|_| Malformed("a packet that is not base64"))
    }

    /// Reads a binary frame, or a binary packet of a payload.
    pub fn decode_binary(data: &'a [u8], eio: Eio) -> Result<Self, Malformed> {
        match (eio, data) {
            (Eio::V4, data) => Ok(Self::Binary(data.into())),
            (Eio::V3, [BINARY_MESSAGE, data @ ..]) => Ok(Self::Binary(data.into())),
            (Eio::V3, _) => Err(Malformed("a binary packet that is no message")),
        }
    }

    /// Appends it as text; binary as base64.
    pub fn encode(&self, eio: Eio, out: &mut String) {
        let (kind, data) = match self {
            Self::Open(data) => ('0', *data),
            Self::Close => ('1', ""),
            Self::Ping(data) => ('2', *data),
            Self::Pong(data) => ('3', *data),
            Self::Message(data) => ('4', *data),
            Self::Upgrade => ('5', ""),
            Self::Noop => ('6', ""),
            Self::Binary(data) => return encode_base64(data, eio, out),
        };
        out.push(kind);
        out.push_str(data);
    }

    /// As text.
    pub fn to_text(&self, eio: Eio) -> String {
        let mut out = String::new();
        self.encode(eio, &mut out);
        out
    }
}

/// Appends a binary message as a text packet.
pub fn encode_base64(data: &[u8], eio: Eio, out: &mut String) {
    out.push_str(match eio {
        Eio::V3 => "b4",
        Eio::V4 => "b",
    });
    BASE64.encode_string(data, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: [Eio; 2] = [Eio::V3, Eio::V4];

    #[test]
    fn packets_are_told_apart() {
        for eio in BOTH {
            assert_eq!(Packet::decode("2probe", eio), Ok(Packet::Ping("probe")));
            assert_eq!(Packet::decode("4", eio), Ok(Packet::Message("")));
            assert_eq!(Packet::decode("6", eio), Ok(Packet::Noop));
            for text in ["", "7", "abc", "ü", " 4", "-1", "b!"] {
                assert!(Packet::decode(text, eio).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn binary_is_written_as_each_version_does() {
        let data = Packet::Binary(Cow::Borrowed(&[1, 2, 3, 4]));
        assert_eq!(data.to_text(Eio::V4), "bAQIDBA==");
        assert_eq!(data.to_text(Eio::V3), "b4AQIDBA==");
        assert_eq!(Packet::decode("bAQIDBA", Eio::V4), Ok(data.clone()));
        assert_eq!(Packet::decode_binary(&[4, 1, 2, 3, 4], Eio::V3), Ok(data.clone()));
        assert_eq!(Packet::decode_binary(&[1, 2, 3, 4], Eio::V4), Ok(data));
        assert!(Packet::decode_binary(&[], Eio::V3).is_err() && Packet::decode("b", Eio::V3).is_err());
    }

    fn packet() -> impl Strategy<Value = (u8, String, Vec<u8>)> {
        (0..8_u8, any::<String>(), proptest::collection::vec(any::<u8>(), 0..64))
    }

    fn made<'a>((kind, text, data): &'a (u8, String, Vec<u8>)) -> Packet<'a> {
        match kind {
            0 => Packet::Open(text),
            1 => Packet::Close,
            2 => Packet::Ping(text),
            3 => Packet::Pong(text),
            4 => Packet::Message(text),
            5 => Packet::Upgrade,
            6 => Packet::Noop,
            _ => Packet::Binary(data.into()),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(parts in packet()) {
            for eio in BOTH {
                let packet = made(&parts);
                let text = packet.to_text(eio);
                prop_assert_eq!(Packet::decode(&text, eio), Ok(packet.clone()));
            }
        }

        #[test]
        fn nothing_that_is_read_panics(text in any::<String>(), data in proptest::collection::vec(any::<u8>(), 0..64)) {
            for eio in BOTH {
                let _ = Packet::decode(&text, eio);
                let _ = Packet::decode_binary(&data, eio);
            }
        }
    }
}
