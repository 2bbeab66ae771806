//! WebSocket frames (RFC 6455) as bytes: what a server writes, whole and unmasked, so that many clients share them. Pure.
//!
//! How the frames of a client are read is in [`read`].

mod deflate;
pub mod read;

pub use deflate::deflated;

use bytes::Bytes;

/// What a frame is, as its first byte says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with the message before it.
    Continuation,
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
    /// The end, with a code and a reason.
    Close,
    /// Is anybody there?
    Ping,
    /// Yes.
    Pong,
}

impl Opcode {
    /// `None` for those that RFC 6455 keeps for later.
    pub fn of(byte: u8) -> Option<Self> {
        Some(match byte & 0x0f {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it is about the connection, and may stand between the fragments of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn byte(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }
}

/// The first bit of a frame: nothing of its message follows.
const FINAL: u8 = 0x80;
/// The second bit: the message is compressed (RFC 7692).
const COMPRESSED: u8 = 0x40;
/// The longest header of a frame that is not masked.
const HEADER_MAX: usize = 10;
/// The longest reason of a close frame, beside its code.
const REASON_MAX: usize = 123;

/// A frame that is being written: its payload first, its header before it once the length is known.
#[derive(Debug)]
pub struct Writing(Vec<u8>);

impl Writing {
    /// With room for a payload of so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(HEADER_MAX + bytes);
        out.extend_from_slice(&[0; HEADER_MAX]);
        Self(out)
    }

    /// Where the payload goes: behind what is there.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// The frame of a whole message.
    pub fn finish(self, opcode: Opcode) -> Bytes {
        self.finish_as(FINAL | opcode.byte())
    }

    fn finish_as(self, first: u8) -> Bytes {
        let Self(mut out) = self;
        let length = out.len() - HEADER_MAX;
        let start = match length {
            0..126 => {
                out[HEADER_MAX - 1] = length as u8;
                HEADER_MAX - 2
            }
            126..=0xffff => {
                out[HEADER_MAX - 3] = 126;
                out[HEADER_MAX - 2..HEADER_MAX].copy_from_slice(&(length as u16).to_be_bytes());
                HEADER_MAX - 4
            }
            _ => {
                out[1] = 127;
                out[2..HEADER_MAX].copy_from_slice(&(length as u64).to_be_bytes());
                0
            }
        };
        out[start] = first;
        Bytes::from(out).slice(start..)
    }
}

/// A whole text message as one frame.
pub fn text(payload: &[u8]) -> Bytes {
    whole(Opcode::Text, payload)
}

/// A whole binary message as one frame.
pub fn binary(payload: &[u8]) -> Bytes {
    whole(Opcode::Binary, payload)
}

/// A ping, of at most 125 bytes.
pub fn ping(payload: &[u8]) -> Bytes {
    whole(Opcode::Ping, &payload[..payload.len().min(125)])
}

/// The answer to a ping.
pub fn pong(payload: &[u8]) -> Bytes {
    whole(Opcode::Pong, &payload[..payload.len().min(125)])
}

/// The end of a connection; a reason that is too long is cut.
pub fn close(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(REASON_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut writing = Writing::with_capacity(2 + end);
    writing.payload().extend_from_slice(&code.to_be_bytes());
    writing.payload().extend_from_slice(&reason.as_bytes()[..end]);
    writing.finish(Opcode::Close)
}

/// A message that is already compressed as RFC 7692 has it, as one frame.
pub fn compressed(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut writing = Writing::with_capacity(payload.len());
    writing.payload().extend_from_slice(payload);
    writing.finish_as(FINAL | COMPRESSED | opcode.byte())
}

fn whole(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut writing = Writing::with_capacity(payload.len());
    writing.payload().extend_from_slice(payload);
    writing.finish(opcode)
}

/// The messages in bytes that this module has written: one frame or several. What is not such a frame ends them.
pub fn messages(frames: &Bytes) -> impl Iterator<Item = (Opcode, Bytes)> {
    let mut rest = frames.clone();
    std::iter::from_fn(move || {
        let (header, length) = header(&rest)?;
        let opcode = Opcode::of(rest[0])?;
        let whole = header.checked_add(length).filter(|whole| *whole <= rest.len())?;
        let frame = rest.split_to(whole);
        Some((opcode, frame.slice(header..)))
    })
}

/// How long a frame's header and its payload are.
fn header(frame: &[u8]) -> Option<(usize, usize)> {
    Some(match *frame.get(1)? {
        126 => (4, u16::from_be_bytes(frame.get(2..4)?.try_into().ok()?).into()),
        127 => (HEADER_MAX, usize::try_from(u64::from_be_bytes(frame.get(2..10)?.try_into().ok()?)).ok()?),
        length if length < 126 => (2, length.into()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_as_the_messages_that_they_are() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let payload = vec![b'x'; length];
            let frame = text(&payload);
            let all: Vec<_> = messages(&frame).collect();
            assert_eq!(all, [(Opcode::Text, Bytes::from(payload))], "{length}");
        }
        let both = Bytes::from([text(b"a"), binary(b"bc")].concat());
        let all: Vec<_> = messages(&both).collect();
        assert_eq!(all, [(Opcode::Text, Bytes::from_static(b"a")), (Opcode::Binary, Bytes::from_static(b"bc"))]);
    }

    #[test]
    fn headers_are_those_of_the_rfc() {
        assert_eq!(&text(b"Hello")[..], b"\x81\x05Hello");
        assert_eq!(&binary(&[0; 256])[..4], b"\x82\x7e\x01\x00");
        assert_eq!(&binary(&[0; 65_536])[..10], b"\x82\x7f\0\0\0\0\0\x01\0\0");
        assert_eq!(&ping(b"Hello")[..], b"\x89\x05Hello");
        assert_eq!(&close(1000, "bye")[..], b"\x88\x05\x03\xe8bye");
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let frame = close(1000, &"ü".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
