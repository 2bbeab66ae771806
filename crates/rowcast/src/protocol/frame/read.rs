//! The frames of a client, cut out of the bytes as they come, and put together to messages. Pure.
//!
//! Holds at most one message and one frame's header. Each violation has the close code of RFC 6455, section 7.4.

use bytes::Bytes;

use super::Opcode;

/// Fragments of one message: empty ones cost no memory, but time.
const FRAGMENTS_MAX: u32 = 1 << 14;
/// The longest payload of a control frame.
const CONTROL_MAX: usize = 125;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// To be answered with the same payload.
    Ping(Bytes),
    /// An answer to a ping.
    Pong,
    /// The client closes, with a code if it gives one.
    Close(Option<u16>),
}

/// What a client may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The close code: 1002 protocol, 1007 not UTF-8, 1008 policy, 1009 too big.
    pub code: u16,
    /// For people, at most 123 bytes.
    pub reason: &'static str,
}

const fn protocol(reason: &'static str) -> Violation {
    Violation { code: 1002, reason }
}

const TOO_BIG: Violation = Violation { code: 1009, reason: "the message is too large" };
const NOT_UTF8: Violation = Violation { code: 1007, reason: "a text message is not UTF-8" };

/// Reads the frames of one client.
#[derive(Debug)]
pub struct Reader {
    /// Bytes of a frame that is not whole yet. Without any, it holds no memory.
    rest: Vec<u8>,
    message: Option<Message>,
    message_max: usize,
    inflate: bool,
}

/// The fragments so far.
#[derive(Debug)]
struct Message {
    opcode: Opcode,
    compressed: bool,
    payload: Vec<u8>,
    fragments: u32,
}

struct Header {
    last: bool,
    compressed: bool,
    opcode: Opcode,
    mask: [u8; 4],
    length: usize,
    size: usize,
}

impl Reader {
    /// Takes messages of at most so many bytes, compressed ones (RFC 7692, no context takeover) if `inflate`.
    pub fn new(message_max: usize, inflate: bool) -> Self {
        Self { rest: Vec::new(), message: None, message_max, inflate }
    }

    /// Takes what has come. All of it is to be taken out by [`next`](Self::next) before more is given.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// Bytes that are held for the client.
    pub fn held(&self) -> usize {
        self.rest.capacity() + self.message.as_ref().map_or(0, |message| message.payload.capacity())
    }

    /// The next message, or `None` until more bytes have come.
    #[allow(clippy::should_implement_trait, reason = "it may go on after `None`")]
    pub fn next(&mut self) -> Result<Option<Heard>, Violation> {
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let whole = header.size + header.length;
            if self.rest.len() < whole {
                return Ok(None);
            }
            let mut payload = self.rest[header.size..whole].to_vec();
            self.drop_front(whole);
            unmask(&mut payload, header.mask);
            if let Some(heard) = self.take(&header, payload)? {
                return Ok(Some(heard));
            }
        }
    }

    fn drop_front(&mut self, bytes: usize) {
        if bytes == self.rest.len() {
            // An idle connection holds nothing.
            self.rest = Vec::new();
        } else {
            self.rest.drain(..bytes);
        }
    }

    fn header(&self) -> Result<Option<Header>, Violation> {
        let [first, second, rest @ ..] = &self.rest[..] else { return Ok(None) };
        let opcode = Opcode::of(*first).ok_or(protocol("a frame has an opcode that does not exist"))?;
        let last = first & 0x80 != 0;
        let compressed = first & 0x40 != 0;
        if first & 0x30 != 0 || (compressed && !(self.inflate && matches!(opcode, Opcode::Text | Opcode::Binary))) {
            return Err(protocol("a frame has a reserved bit set that nobody agreed on"));
        }
        if second & 0x80 == 0 {
            return Err(protocol("a client has to mask its frames"));
        }
        let short = usize::from(second & 0x7f);
        if opcode.is_control() && (!last || short > CONTROL_MAX) {
            return Err(protocol("a control frame is cut in fragments, or has more than 125 bytes"));
        }
        match (opcode, &self.message) {
            (Opcode::Continuation, None) => return Err(protocol("a fragment continues nothing")),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(protocol("a message begins within another that has not ended"));
            }
            _ => {}
        }
        let (length, extra) = match (short, rest) {
            (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                (usize::try_from(length).map_err(|_| TOO_BIG)?, 8)
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (short, 0),
        };
        let so_far = self.message.as_ref().map_or(0, |message| message.payload.len());
        if !opcode.is_control() && length.saturating_add(so_far) > self.message_max {
            return Err(TOO_BIG);
        }
        let Some(mask) = rest.get(extra..extra + 4) else { return Ok(None) };
        let mask = [mask[0], mask[1], mask[2], mask[3]];
        Ok(Some(Header { last, compressed, opcode, mask, length, size: 2 + extra + 4 }))
    }

    fn take(&mut self, header: &Header, payload: Vec<u8>) -> Result<Option<Heard>, Violation> {
        match header.opcode {
            Opcode::Ping => return Ok(Some(Heard::Ping(payload.into()))),
            Opcode::Pong => return Ok(Some(Heard::Pong)),
            Opcode::Close => return closing(&payload).map(|code| Some(Heard::Close(code))),
            Opcode::Text | Opcode::Binary if header.last => {
                return self.whole(header.opcode, header.compressed, payload).map(Some);
            }
            Opcode::Text | Opcode::Binary => {
                let (opcode, compressed) = (header.opcode, header.compressed);
                self.message = Some(Message { opcode, compressed, payload, fragments: 1 });
                return Ok(None);
            }
            Opcode::Continuation => {}
        }
        let Some(mut message) = self.message.take() else { return Err(protocol("a fragment continues nothing")) };
        message.fragments += 1;
        if message.fragments > FRAGMENTS_MAX {
            return Err(Violation { code: 1008, reason: "a message has too many fragments" });
        }
        message.payload.extend_from_slice(&payload);
        if header.last {
            return self.whole(message.opcode, message.compressed, message.payload).map(Some);
        }
        self.message = Some(message);
        Ok(None)
    }

    fn whole(&self, opcode: Opcode, compressed: bool, payload: Vec<u8>) -> Result<Heard, Violation> {
        let payload = if compressed { inflate(&payload, self.message_max)? } else { payload };
        match opcode {
            Opcode::Text => String::from_utf8(payload).map(Heard::Text).map_err(|_| NOT_UTF8),
            _ => Ok(Heard::Binary(payload.into())),
        }
    }
}

/// What a close frame says.
fn closing(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(protocol("a close frame has half a code")),
        [a, b, reason @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            // Those that may stand on the wire: RFC 6455, section 7.4, and what has been registered since.
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(protocol("a close frame has a code that may not be sent"));
            }
            std::str::from_utf8(reason).map_err(|_| NOT_UTF8)?;
            Ok(Some(code))
        }
    }
}

/// A compressed message's payload, of at most `max` bytes.
fn inflate(payload: &[u8], max: usize) -> Result<Vec<u8>, Violation> {
    use std::io::Read;
    const BROKEN: Violation = Violation { code: 1007, reason: "a compressed message cannot be read" };
    // RFC 7692, section 7.2.2: the end of every block is left out on the wire. The empty last block behind it ends the stream.
    let tail: &[u8] = &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];
    let mut out = Vec::new();
    let mut plain = flate2::read::DeflateDecoder::new(payload.chain(tail)).take(max as u64 + 1);
    plain.read_to_end(&mut out).map_err(|_| BROKEN)?;
    if out.len() > max { Err(TOO_BIG) } else { Ok(out) }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (eights, rest) = payload.as_chunks_mut::<8>();
    for eight in eights {
        *eight = (u64::from_ne_bytes(*eight) ^ wide).to_ne_bytes();
    }
    for (i, byte) in rest.iter_mut().enumerate() {
        *byte ^= mask[i % 4];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut out = vec![first];
        match payload.len() {
            length @ 0..126 => out.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&mask);
        out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
        out
    }

    /// Everything that the bytes say, given in pieces of `step`.
    fn read(bytes: &[u8], step: usize) -> Result<Vec<Heard>, Violation> {
        let mut reader = Reader::new(100_000, true);
        let mut all = Vec::new();
        for piece in bytes.chunks(step.max(1)) {
            reader.feed(piece);
            while let Some(heard) = reader.next()? {
                all.push(heard);
            }
        }
        Ok(all)
    }

    #[track_caller]
    fn refused(bytes: &[u8], code: u16) {
        assert_eq!(read(bytes, 7).expect_err("refused").code, code);
    }

    #[test]
    fn fragments_are_put_together_with_pings_between() {
        let bytes = [masked(0x01, b"Hel"), masked(0x89, b"?"), masked(0x80, b"lo"), masked(0x88, &[3, 232])].concat();
        let wanted = [Heard::Ping(Bytes::from_static(b"?")), Heard::Text("Hello".into()), Heard::Close(Some(1000))];
        assert_eq!(read(&bytes, 1).expect("messages"), wanted);
    }

    #[test]
    fn each_violation_has_its_code() {
        refused(&[0x81, 0x01, b'x'], 1002);
        refused(&masked(0x83, b""), 1002);
        refused(&masked(0x91, b""), 1002);
        refused(&masked(0x80, b""), 1002);
        refused(&[masked(0x01, b"a"), masked(0x81, b"b")].concat(), 1002);
        refused(&masked(0x09, b""), 1002);
        refused(&masked(0x89, &[0; 126]), 1002);
        refused(&masked(0x88, &[3]), 1002);
        refused(&masked(0x88, &[3, 237]), 1002);
        refused(&masked(0x81, &[0xff]), 1007);
        refused(&masked(0x82, &[0; 100_001]), 1009);
        refused(&[masked(0x02, &[0; 60_000]), masked(0x80, &[0; 60_000])].concat(), 1009);
        refused(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1009);
    }

    #[test]
    fn fragments_without_end_are_ended() {
        let bytes = [masked(0x01, b""), masked(0x00, b"").repeat(FRAGMENTS_MAX as usize)].concat();
        refused(&bytes, 1008);
    }

    #[test]
    fn what_grows_beyond_the_limit_when_it_is_inflated_is_refused() {
        use std::io::Write;
        let deflate = |plain: &[u8]| {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(plain).and_then(|()| encoder.flush()).expect("compressed");
            let mut out = encoder.get_ref().clone();
            out.truncate(out.len() - 4);
            out
        };
        let small = read(&masked(0xc1, &deflate(b"hello hello hello")), 5).expect("messages");
        assert_eq!(small, [Heard::Text("hello hello hello".into())]);
        refused(&masked(0xc2, &deflate(&vec![0; 10 << 20])), 1009);
        refused(&masked(0xc1, b"\xff\xff\xff"), 1007);
    }

    #[test]
    fn an_idle_reader_holds_nothing() {
        let mut reader = Reader::new(1 << 20, false);
        reader.feed(&masked(0x81, &[b'x'; 5000]));
        assert!(matches!(reader.next(), Ok(Some(Heard::Text(_)))));
        assert_eq!(reader.held(), 0);
    }

    proptest! {
        #[test]
        fn any_message_reads_back_however_it_is_cut(text in ".{0,300}", binary in prop::collection::vec(any::<u8>(), 0..300), step in 1usize..50) {
            let bytes = [masked(0x81, text.as_bytes()), masked(0x82, &binary)].concat();
            let all = read(&bytes, step).expect("messages");
            prop_assert_eq!(all, vec![Heard::Text(text), Heard::Binary(binary.into())]);
        }

        #[test]
        fn any_bytes_are_read_or_refused_and_hold_little(bytes in prop::collection::vec(any::<u8>(), 0..2000), step in 1usize..100) {
            let mut reader = Reader::new(1000, true);
            for piece in bytes.chunks(step) {
                reader.feed(piece);
                while let Ok(Some(_)) = reader.next() {}
            }
            prop_assert!(reader.held() < 16_000);
        }
    }
}
