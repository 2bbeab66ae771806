//! Several packets in the body of one HTTP request or answer.
//!
//! Version 4 joins them by `\x1e`. Version 3 says how long each is, in UTF-16 units; or, where one is binary and the other side can take it,
//! in bytes: `\x00` for text or `\x01` for binary, the digits of the length as bytes, `\xff`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::str;

use super::{BINARY_MESSAGE, Eio, Malformed, Packet, encode_base64};

/// The most packets in one payload of ours: python-engineio refuses more.
pub const PACKETS_MAX: usize = 16;

const SEPARATOR: char = '\x1e';
/// No length has more digits.
const DIGITS_MAX: usize = 10;

/// A packet that goes out, its type in front if it is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// A whole text packet: `4…`.
    Text(&'a str),
    /// The data of a binary message.
    Binary(&'a [u8]),
}

/// A body that is written.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// `text/plain; charset=UTF-8`
    Text(String),
    /// `application/octet-stream`
    Binary(Vec<u8>),
}

/// Writes packets. `takes_binary` is what a client of version 3 without `b64=1` says; version 4 never does.
pub fn encode<'a>(parts: impl Iterator<Item = Part<'a>> + Clone, eio: Eio, takes_binary: bool) -> Body {
    if eio == Eio::V3 && takes_binary && parts.clone().any(|part| matches!(part, Part::Binary(_))) {
        return Body::Binary(encode_lengths_in_bytes(parts));
    }
    let mut out = String::new();
    let mut base64 = String::new();
    for part in parts {
        let packet = match part {
            Part::Text(text) if eio == Eio::V3 => in_ascii(text),
            Part::Text(text) => text.into(),
            Part::Binary(data) => {
                base64.clear();
                encode_base64(data, eio, &mut base64);
                base64.as_str().into()
            }
        };
        match eio {
            Eio::V3 => {
                out.push_str(itoa::Buffer::new().format(utf16_units(&packet)));
                out.push(':');
            }
            Eio::V4 if out.is_empty() => {}
            Eio::V4 => out.push(SEPARATOR),
        }
        out.push_str(&packet);
    }
    Body::Text(out)
}

fn encode_lengths_in_bytes<'a>(parts: impl Iterator<Item = Part<'a>>) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        let (mark, length) = match part {
            Part::Text(text) => (0, text.len()),
            Part::Binary(data) => (1, data.len() + 1),
        };
        out.push(mark);
        out.extend(itoa::Buffer::new().format(length).bytes().map(|digit| digit - b'0'));
        out.push(0xff);
        match part {
            Part::Text(text) => out.extend_from_slice(text.as_bytes()),
            Part::Binary(data) => {
                out.push(BINARY_MESSAGE);
                out.extend_from_slice(data);
            }
        }
    }
    out
}

/// The JSON of a packet in ASCII. Clients 1.x read UTF-8 twice in such a body, those of 2.x once; this, both read as it is meant.
fn in_ascii(packet: &str) -> Cow<'_, str> {
    let start = packet.find(['[', '{', '"']).unwrap_or(packet.len());
    let (head, json) = packet.split_at(start);
    if json.is_ascii() {
        return packet.into();
    }
    let mut out = String::from(head);
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out.into()
}

/// What a client 1.x has meant: it writes UTF-8 twice in a text body. `None` where that cannot be; a client 2.x that means the doubled
/// text itself, which is text that somebody has read wrongly already, is misunderstood.
pub fn read_twice(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<_>>()?;
    String::from_utf8(bytes).ok()
}

fn utf16_units(text: &str) -> usize {
    let continued = text.bytes().filter(|byte| byte & 0xc0 == 0x80).count();
    let pairs = text.bytes().filter(|byte| *byte >= 0xf0).count();
    text.len() - continued + pairs
}

/// The packets of a body, one after another. After an error there is no more.
#[derive(Debug)]
pub struct Packets<'a> {
    eio: Eio,
    rest: Rest<'a>,
}

#[derive(Debug)]
enum Rest<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Over,
}

/// Reads a body. `binary` is what its Content-Type says; only version 3 knows it.
pub fn decode(body: &[u8], eio: Eio, binary: bool) -> Packets<'_> {
    let rest = match (binary, str::from_utf8(body)) {
        (true, _) => Rest::Binary(body),
        (false, Ok(text)) => Rest::Text(text),
        // Read as a packet of an unknown type.
        (false, Err(_)) => Rest::Text("\u{fffd}"),
    };
    Packets { eio, rest }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = match (&mut self.rest, self.eio) {
            (Rest::Over, _) => None,
            (Rest::Binary(_), Eio::V4) => Some(Err(Malformed("a binary body"))),
            (Rest::Binary(rest), Eio::V3) => next_of_bytes(rest).transpose(),
            (Rest::Text(rest), Eio::V3) => next_of_units(rest).transpose(),
            (Rest::Text(rest), Eio::V4) => {
                let packet = match rest.split_once(SEPARATOR) {
                    Some((packet, after)) => {
                        *rest = after;
                        packet
                    }
                    None => {
                        let packet = *rest;
                        self.rest = Rest::Over;
                        packet
                    }
                };
                Some(Packet::decode(packet, Eio::V4))
            }
        };
        if matches!(found, None | Some(Err(_))) {
            self.rest = Rest::Over;
        }
        found
    }
}

fn next_of_units<'a>(rest: &mut &'a str) -> Result<Option<Packet<'a>>, Malformed> {
    while !rest.is_empty() {
        let (length, after) = rest.split_once(':').ok_or(Malformed("a packet without a length"))?;
        if length.is_empty() || length.len() > DIGITS_MAX || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Malformed("a length that is no number"));
        }
        let units: usize = length.parse().map_err(|_| Malformed("a length that is no number"))?;
        let at = bytes_of_units(after, units).ok_or(Malformed("a packet that is shorter than its length"))?;
        let (packet, after) = after.split_at(at);
        *rest = after;
        // As the original does: nothing is no packet.
        if !packet.is_empty() {
            return Packet::decode(packet, Eio::V3).map(Some);
        }
    }
    Ok(None)
}

fn bytes_of_units(text: &str, units: usize) -> Option<usize> {
    if units > text.len() {
        return None;
    }
    let (mut counted, mut at) = (0, 0);
    for c in text.chars() {
        if counted >= units {
            break;
        }
        counted += c.len_utf16();
        at += c.len_utf8();
    }
    (counted == units).then_some(at)
}

fn next_of_bytes<'a>(rest: &mut &'a [u8]) -> Result<Option<Packet<'a>>, Malformed> {
    let Some((&mark, after)) = rest.split_first() else { return Ok(None) };
    let digits = after.iter().take(DIGITS_MAX + 1).position(|&byte| byte == 0xff);
    let digits = digits.filter(|&digits| digits > 0).ok_or(Malformed("a packet without a length"))?;
    let mut length = 0_usize;
    for &digit in &after[..digits] {
        if digit > 9 {
            return Err(Malformed("a length that is no number"));
        }
        length = length * 10 + usize::from(digit);
    }
    let after = &after[digits + 1..];
    let packet = after.get(..length).ok_or(Malformed("a packet that is shorter than its length"))?;
    *rest = &after[length..];
    match mark {
        0 => Packet::decode(str::from_utf8(packet).map_err(|_| Malformed("a text that is not UTF-8"))?, Eio::V3),
        1 => Packet::decode_binary(packet, Eio::V3),
        _ => Err(Malformed("a packet that is neither text nor binary")),
    }
    .map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(parts: &[Part<'_>], eio: Eio) -> String {
        match encode(parts.iter().copied(), eio, false) {
            Body::Text(text) => text,
            Body::Binary(_) => panic!("binary"),
        }
    }

    fn read(body: &[u8], eio: Eio, binary: bool) -> Result<Vec<Packet<'_>>, Malformed> {
        decode(body, eio, binary).collect()
    }

    #[test]
    fn payloads_are_written_as_the_protocol_shows_them() {
        let parts = [Part::Text("4hello"), Part::Text("2"), Part::Binary(&[1, 2, 3, 4])];
        assert_eq!(text(&parts, Eio::V4), "4hello\x1e2\x1ebAQIDBA==");
        assert_eq!(text(&parts, Eio::V3), "6:4hello1:210:b4AQIDBA==");
        assert_eq!(text(&[Part::Text("4€😀")], Eio::V3), "4:4€😀");
        let binary = encode([Part::Text("4€"), Part::Binary(&[1, 2])].into_iter(), Eio::V3, true);
        assert_eq!(binary, Body::Binary(b"\x00\x04\xff4\xe2\x82\xac\x01\x03\xff\x04\x01\x02".to_vec()));
    }

    #[test]
    fn payloads_are_read() {
        assert_eq!(read("4:4€😀1:2".as_bytes(), Eio::V3, false), Ok(vec![Packet::Message("€😀"), Packet::Ping("")]));
        assert_eq!(read(b"0:1:6", Eio::V3, false), Ok(vec![Packet::Noop]));
        assert_eq!(read(b"4a\x1e4b", Eio::V4, false), Ok(vec![Packet::Message("a"), Packet::Message("b")]));
    }

    #[test]
    fn what_is_no_payload_is_refused() {
        let texts: [&[u8]; 9] =
            [b"abc", b"6:4hell", b":4", b"-1:4", b"99999999999:4", b"3:\xf0\x9f\x98\x80", b"1:7", b"\xff", b"1"];
        for body in texts {
            assert!(read(body, Eio::V3, false).is_err(), "{body:?}");
        }
        let texts: [&[u8]; 5] = [b"", b"abc", b"4a\x1e", b"\x1e4a", b"\xff"];
        for body in texts {
            assert!(read(body, Eio::V4, false).is_err(), "{body:?}");
        }
        let binaries: [&[u8]; 6] =
            [b"\x00", b"\x00\xff", b"\x00\x0a\xff", b"\x02\x01\xff4", b"\x01\x02\xff\x04", b"\x00\x02\xff4\xff"];
        for body in binaries {
            assert!(read(body, Eio::V3, true).is_err(), "{body:?}");
        }
        assert!(read(b"4a", Eio::V4, true).is_err());
    }

    #[test]
    fn clients_1_and_2_read_the_same_in_version_3() {
        assert_eq!(text(&[Part::Text(r#"42["ü😀"]"#)], Eio::V3), r#"24:42["\u00fc\ud83d\ude00"]"#);
        let twice: String = r#"2["ü😀"]"#.bytes().map(char::from).collect();
        assert_eq!(read_twice(&twice).as_deref(), Some(r#"2["ü😀"]"#));
        for once in ["plain", "ü", "ü😀", "Ãb"] {
            assert_eq!(read_twice(once), None, "{once}");
        }
    }

    #[derive(Debug, Clone)]
    enum Owned {
        Text(String),
        Binary(Vec<u8>),
    }

    fn part() -> impl Strategy<Value = Owned> {
        // The separator cannot be in the JSON that messages are.
        let text = "[^\u{1e}\\[{\"]{0,20}".prop_map(|text| Owned::Text(format!("4{text}")));
        prop_oneof![text, proptest::collection::vec(any::<u8>(), 0..40).prop_map(Owned::Binary)]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(owned in proptest::collection::vec(part(), 1..20)) {
            let parts = owned.iter().map(|part| match part {
                Owned::Text(text) => Part::Text(text),
                Owned::Binary(data) => Part::Binary(data),
            });
            for (eio, takes_binary) in [(Eio::V3, false), (Eio::V3, true), (Eio::V4, false)] {
                let (body, binary) = match encode(parts.clone(), eio, takes_binary) {
                    Body::Text(text) => (text.into_bytes(), false),
                    Body::Binary(data) => (data, true),
                };
                let expected: Vec<Packet<'_>> = owned.iter().map(|part| match part {
                    Owned::Text(text) => Packet::Message(&text[1..]),
                    Owned::Binary(data) => Packet::Binary(data.into()),
                }).collect();
                prop_assert_eq!(read(&body, eio, binary), Ok(expected));
            }
        }

        #[test]
        fn nothing_that_is_read_panics(body in proptest::collection::vec(any::<u8>(), 0..200), text in "[0-9:b\u{1e}😀\u{0}]{0,40}") {
            for (eio, binary) in [(Eio::V3, false), (Eio::V3, true), (Eio::V4, false), (Eio::V4, true)] {
                let _ = read(&body, eio, binary);
                let _ = read(text.as_bytes(), eio, binary);
            }
        }
    }
}
