//! Messages compressed as RFC 7692 has it, each by itself (no context takeover), so that one compressed frame serves everybody.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

use super::{Opcode, compressed, text};

/// Shorter ones would hardly get smaller.
const BYTES_MIN: usize = 128;
/// What ends a block that is flushed; it is left out on the wire (RFC 7692, section 7.2.1).
const TAIL: &[u8] = &[0, 0, 0xff, 0xff];

thread_local! {
    // Its tables are large and take longer to make than most messages to compress.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// A text message, compressed if that makes it smaller.
pub fn deflated(payload: &[u8]) -> Bytes {
    if payload.len() < BYTES_MIN {
        return text(payload);
    }
    match deflate(payload) {
        Some(small) if small.len() < payload.len() => compressed(Opcode::Text, &small),
        _ => text(payload),
    }
}

fn deflate(payload: &[u8]) -> Option<Vec<u8>> {
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        let mut out = Vec::with_capacity(payload.len() / 2 + 64);
        loop {
            let read = compress.total_in() as usize;
            match compress.compress_vec(payload.get(read..)?, &mut out, FlushCompress::Sync).ok()? {
                Status::Ok | Status::BufError if out.len() == out.capacity() => out.reserve(out.len() + 64),
                _ => break,
            }
        }
        let done = compress.total_in() as usize == payload.len() && out.ends_with(TAIL);
        out.truncate(out.len().saturating_sub(TAIL.len()));
        done.then_some(out)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::frame::read::{Heard, Reader};

    /// Reads it as if a client had sent it.
    fn read(frame: &[u8]) -> String {
        let (header, length) = crate::protocol::frame::header(frame).expect("a header");
        let mut sent = vec![frame[0], frame[1] | 0x80];
        sent.extend_from_slice(&frame[2..header]);
        sent.extend_from_slice(&[0; 4]);
        sent.extend_from_slice(&frame[header..header + length]);
        let mut reader = Reader::new(1 << 20, true);
        reader.feed(&sent);
        match reader.next() {
            Ok(Some(Heard::Text(text))) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_repeats_gets_smaller() {
        let text = r#"{"type":"change","id":"a"}"#.repeat(40);
        let frame = deflated(text.as_bytes());
        assert!(frame.len() < text.len() / 5, "{}", frame.len());
        assert_eq!(read(&frame), text);
        assert_eq!(deflated(b"short"), super::text(b"short"));
    }

    proptest! {
        #[test]
        fn every_message_reads_back_by_itself(text in ".{0,2000}", times in 1usize..20) {
            let text = text.repeat(times);
            prop_assert_eq!(read(&deflated(text.as_bytes())), text);
        }
    }
}
