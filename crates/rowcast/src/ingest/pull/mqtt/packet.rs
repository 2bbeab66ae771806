//! The packets of MQTT 3.1.1 and 5 that a subscriber sends and gets.
//!
//! Byte by byte as the OASIS standards have them (MQTT 3.1.1 chapter 3, MQTT 5 chapters 2 and 3). Pure: bytes in, packets out.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Which MQTT is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1, which every broker speaks.
    #[default]
    V311,
    /// 5.
    V5,
}

/// How often a message may come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// Once or not at all.
    AtMostOnce,
    /// Once, or again after a disconnect.
    #[default]
    AtLeastOnce,
    /// Once.
    ExactlyOnce,
}

/// The largest packet that is read.
pub(super) const PACKET_BYTES_MAX: usize = 16 << 20;

/// How many messages a broker may have under way to us, where it can be told (MQTT 5).
pub(super) const RECEIVE_MAX: u16 = 1_000;

/// How we introduce ourselves.
pub(super) struct Connect<'a> {
    pub(super) version: MqttVersion,
    pub(super) client_id: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a str>,
    pub(super) keep_alive_s: u16,
    /// Whether the broker forgets us when the connection ends.
    pub(super) clean: bool,
    /// How long it remembers us (MQTT 5).
    pub(super) expiry_s: u32,
}

/// What a broker sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Connected {
        session_present: bool,
        code: u8,
        keep_alive_s: Option<u16>,
        reason: Option<String>,
    },
    Subscribed {
        id: u16,
        codes: Vec<u8>,
    },
    Publish(Publish),
    /// The second half of the exactly-once handshake.
    Release {
        id: u16,
    },
    Pong,
    /// MQTT 5: the broker says why it goes.
    Goodbye {
        code: u8,
        reason: Option<String>,
    },
    Other,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: Qos,
    /// 0 where nothing has to be acknowledged.
    pub(super) id: u16,
    pub(super) retained: bool,
}

/// Bytes that are no MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the broker sent what is no MQTT: {}", self.0)
    }
}

/// Takes the next whole packet from what was read; `None` while it is not whole.
pub(super) fn take(buffer: &mut BytesMut, version: MqttVersion) -> Result<Option<Packet>, Malformed> {
    let Some((length, header)) = remaining_length(buffer)? else { return Ok(None) };
    if length > PACKET_BYTES_MAX {
        return Err(Malformed("a packet is larger than 16 MiB"));
    }
    if buffer.len() < header + length {
        buffer.reserve(header + length - buffer.len());
        return Ok(None);
    }
    let first = buffer[0];
    buffer.advance(header);
    Fields(buffer.split_to(length).freeze()).packet(first, version).map(Some)
}

/// The length behind the first byte, and how many bytes the two take.
fn remaining_length(buffer: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut length = 0;
    for (index, byte) in buffer.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((length, index + 2)));
        }
    }
    if buffer.len() > 4 { Err(Malformed("a length has more than four bytes")) } else { Ok(None) }
}

/// What is left of a packet's fields.
struct Fields(Bytes);

/// The properties that matter here.
#[derive(Default)]
struct Properties {
    keep_alive_s: Option<u16>,
    reason: Option<String>,
}

const SHORT: Malformed = Malformed("a packet ends too early");

impl Fields {
    fn packet(mut self, first: u8, version: MqttVersion) -> Result<Packet, Malformed> {
        let v5 = version == MqttVersion::V5;
        Ok(match first >> 4 {
            2 => {
                let (flags, code) = (self.u8()?, self.u8()?);
                let properties = if v5 { self.properties()? } else { Properties::default() };
                let Properties { keep_alive_s, reason } = properties;
                Packet::Connected { session_present: flags & 1 == 1, code, keep_alive_s, reason }
            }
            3 => Packet::Publish(self.publish(first, v5)?),
            6 => Packet::Release { id: self.u16()? },
            9 => {
                let id = self.u16()?;
                if v5 {
                    self.properties()?;
                }
                Packet::Subscribed { id, codes: self.0.to_vec() }
            }
            13 => Packet::Pong,
            14 => {
                let code = if self.0.is_empty() { 0 } else { self.u8()? };
                let reason = if self.0.is_empty() { None } else { self.properties()?.reason };
                Packet::Goodbye { code, reason }
            }
            _ => Packet::Other,
        })
    }

    fn publish(mut self, first: u8, v5: bool) -> Result<Publish, Malformed> {
        let qos = match (first >> 1) & 3 {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            2 => Qos::ExactlyOnce,
            _ => return Err(Malformed("a message with QoS 3")),
        };
        let topic = self.text()?;
        let id = if qos == Qos::AtMostOnce { 0 } else { self.u16()? };
        if v5 {
            self.properties()?;
        }
        if topic.is_empty() {
            return Err(Malformed("a message without a topic"));
        }
        Ok(Publish { topic, payload: self.0, qos, id, retained: first & 1 == 1 })
    }

    fn properties(&mut self) -> Result<Properties, Malformed> {
        let length = self.varint()?;
        if self.0.len() < length {
            return Err(SHORT);
        }
        let mut inside = Fields(self.0.split_to(length));
        let mut found = Properties::default();
        while !inside.0.is_empty() {
            match inside.varint()? {
                0x13 => found.keep_alive_s = Some(inside.u16()?),
                0x1f => found.reason = Some(inside.text()?.chars().take(200).collect()),
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => drop(inside.bytes(1)?),
                0x21..=0x23 => drop(inside.bytes(2)?),
                0x02 | 0x11 | 0x18 | 0x27 => drop(inside.bytes(4)?),
                0x0b => drop(inside.varint()?),
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c => inside.skip_text()?,
                0x26 => {
                    inside.skip_text()?;
                    inside.skip_text()?;
                }
                _ => return Err(Malformed("a property that does not exist")),
            }
        }
        Ok(found)
    }

    fn varint(&mut self) -> Result<usize, Malformed> {
        let mut number = 0;
        for index in 0..4 {
            let byte = self.u8()?;
            number |= usize::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed("a number has more than four bytes"))
    }

    fn bytes(&mut self, count: usize) -> Result<Bytes, Malformed> {
        if self.0.len() < count { Err(SHORT) } else { Ok(self.0.split_to(count)) }
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.bytes(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(self.bytes(2)?.get_u16())
    }

    fn skip_text(&mut self) -> Result<(), Malformed> {
        let length = usize::from(self.u16()?);
        self.bytes(length).map(drop)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let length = usize::from(self.u16()?);
        String::from_utf8(self.bytes(length)?.into()).map_err(|_| Malformed("a text that is not UTF-8"))
    }
}

/// A packet: its first byte, its length, its body.
fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    varint(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

fn varint(out: &mut Vec<u8>, mut number: usize) {
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

/// Longer texts than MQTT has room for are refused when the feed is opened.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

impl Connect<'_> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let v5 = self.version == MqttVersion::V5;
        let mut flags = 0;
        for (set, bit) in [(self.clean, 0x02), (self.password.is_some(), 0x40), (self.user.is_some(), 0x80)] {
            flags |= if set { bit } else { 0 };
        }
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        body.extend_from_slice(&[if v5 { 5 } else { 4 }, flags]);
        body.extend_from_slice(&self.keep_alive_s.to_be_bytes());
        if v5 {
            let mut properties = vec![0x11];
            properties.extend_from_slice(&self.expiry_s.to_be_bytes());
            properties.push(0x21);
            properties.extend_from_slice(&RECEIVE_MAX.to_be_bytes());
            properties.push(0x27);
            properties.extend_from_slice(&(PACKET_BYTES_MAX as u32).to_be_bytes());
            varint(&mut body, properties.len());
            body.extend_from_slice(&properties);
        }
        text(&mut body, self.client_id);
        [self.user, self.password].into_iter().flatten().for_each(|word| text(&mut body, word));
        framed(0x10, &body)
    }
}

/// Asks for topics.
pub(super) fn subscribe(id: u16, topics: &[String], qos: Qos, version: MqttVersion) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == MqttVersion::V5 {
        body.push(0);
    }
    for topic in topics {
        text(&mut body, topic);
        body.push(qos as u8);
    }
    framed(0x82, &body)
}

/// Acknowledges a message: it is safe.
pub(super) fn acknowledge(qos: Qos, id: u16) -> Option<[u8; 4]> {
    let [high, low] = id.to_be_bytes();
    match qos {
        Qos::AtMostOnce => None,
        Qos::AtLeastOnce => Some([0x40, 2, high, low]),
        Qos::ExactlyOnce => Some([0x50, 2, high, low]),
    }
}

/// Ends the exactly-once handshake.
pub(super) fn complete(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [0x70, 2, high, low]
}

/// Asks whether the broker is there.
pub(super) const PING: [u8; 2] = [0xc0, 0];

/// What a refused connection means.
pub(super) fn refusal(code: u8, version: MqttVersion) -> &'static str {
    match (version, code) {
        (MqttVersion::V311, 1) | (_, 0x84) => "the broker does not speak this version of MQTT: set `mqtt` to 4 or 5",
        (MqttVersion::V311, 2) | (_, 0x85) => "the broker does not take this client id",
        (MqttVersion::V311, 3) | (_, 0x88) => "the broker is not available",
        (MqttVersion::V311, 4) | (_, 0x86) => "the broker does not take this user and password",
        (MqttVersion::V311, 5) | (_, 0x87) => "the broker does not allow this client to connect",
        (_, 0x8a) => "the broker has banned this client",
        (_, 0x89) | (_, 0x97) => "the broker is busy",
        (_, 0x8b) => "the broker shuts down",
        (_, 0x8d) => "the broker did not hear of us in time",
        (_, 0x8e) => "another client with the same client id has connected",
        (_, 0x95) => "a packet was too large for the broker",
        _ => "the broker gave another reason",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], version: MqttVersion) -> Result<Option<Packet>, Malformed> {
        take(&mut BytesMut::from(bytes), version)
    }

    #[test]
    fn packets_of_the_standard_are_read() {
        let connected = Packet::Connected { session_present: true, code: 0, keep_alive_s: None, reason: None };
        assert_eq!(read(&[0x20, 2, 1, 0], MqttVersion::V311), Ok(Some(connected)));
        let v5 = [0x20, 9, 0, 0x87, 6, 0x13, 0, 30, 0x1f, 0, 0];
        let refused = Packet::Connected {
            session_present: false,
            code: 0x87,
            keep_alive_s: Some(30),
            reason: Some(String::new()),
        };
        assert_eq!(read(&v5, MqttVersion::V5), Ok(Some(refused)));
        let publish = Publish {
            topic: "a/b".into(),
            payload: Bytes::from_static(b"hi"),
            qos: Qos::AtLeastOnce,
            id: 10,
            retained: true,
        };
        let bytes = [0x33, 9, 0, 3, b'a', b'/', b'b', 0, 10, b'h', b'i'];
        assert_eq!(read(&bytes, MqttVersion::V311), Ok(Some(Packet::Publish(publish.clone()))));
        let bytes = [0x33, 12, 0, 3, b'a', b'/', b'b', 0, 10, 2, 0x01, 1, b'h', b'i'];
        assert_eq!(read(&bytes, MqttVersion::V5), Ok(Some(Packet::Publish(publish))));
        assert_eq!(
            read(&[0x90, 3, 0, 1, 0x80], MqttVersion::V311),
            Ok(Some(Packet::Subscribed { id: 1, codes: vec![0x80] }))
        );
        assert_eq!(read(&[0x62, 2, 1, 2], MqttVersion::V311), Ok(Some(Packet::Release { id: 258 })));
        assert_eq!(read(&[0xd0, 0], MqttVersion::V311), Ok(Some(Packet::Pong)));
        assert_eq!(read(&[0xe0, 1, 0x8e], MqttVersion::V5), Ok(Some(Packet::Goodbye { code: 0x8e, reason: None })));
        assert_eq!(read(&[0x36, 0], MqttVersion::V5), Err(Malformed("a message with QoS 3")));
        assert_eq!(
            read(&[0x30, 0x80, 0x80, 0x80, 0x80, 1], MqttVersion::V5),
            Err(Malformed("a length has more than four bytes"))
        );
    }

    #[test]
    fn packets_of_ours_are_as_the_standard_has_them() {
        let connect = Connect {
            version: MqttVersion::V311,
            client_id: "c",
            user: Some("u"),
            password: Some("p"),
            keep_alive_s: 60,
            clean: false,
            expiry_s: 0,
        };
        let expected = b"\x10\x13\x00\x04MQTT\x04\xc0\x00\x3c\x00\x01c\x00\x01u\x00\x01p";
        assert_eq!(connect.bytes(), expected);
        assert_eq!(
            subscribe(1, &["a/#".into()], Qos::ExactlyOnce, MqttVersion::V5),
            b"\x82\x09\x00\x01\x00\x00\x03a/#\x02"
        );
        let mut length = Vec::new();
        varint(&mut length, 321);
        assert_eq!(length, [0xc1, 2]);
    }

    proptest! {
        #[test]
        fn nothing_that_a_broker_sends_can_break_it(bytes in prop::collection::vec(any::<u8>(), 0..64), v5: bool) {
            let version = if v5 { MqttVersion::V5 } else { MqttVersion::V311 };
            let mut buffer = BytesMut::from(bytes.as_slice());
            while let Ok(Some(_)) = take(&mut buffer, version) {}
        }
    }
}
