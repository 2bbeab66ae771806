//! WebSocket frames (RFC 6455) as a client of a server that one trusts needs them.

/// A whole frame of a server.
pub(crate) enum Frame<'a> {
    /// A text message, whole.
    Text(&'a [u8]),
    /// A part of a message, or binary: nothing that is measured.
    Other,
    Ping(&'a [u8]),
    /// The close code.
    Close(u16),
}

/// The first frame of `bytes` and its length, or `None` when its end is still to come.
pub(crate) fn frame(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (start, length): (usize, usize) = match second & 127 {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let end = start.checked_add(length)?;
    let payload = bytes.get(start..end)?;
    let frame = match first {
        0x81 => Frame::Text(payload),
        0x89 => Frame::Ping(payload),
        0x88 => Frame::Close(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))),
        _ => Frame::Other,
    };
    Some((frame, end))
}

/// Appends a frame as a client sends it, masked with zeros.
pub(crate) fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        long @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(long as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Appends a text frame as a server sends it.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    write(out, 1, text);
    // A server's frame has the same head without the mask.
    out[start + 1] &= 0x7f;
    let mask = out.len() - text.len() - 4;
    out.drain(mask..mask + 4);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_read_as_written() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let text = vec![b'x'; length];
            let mut bytes = Vec::new();
            write_text(&mut bytes, &text);
            let whole = bytes.len();
            assert!(frame(&bytes[..whole - 1]).is_none());
            bytes.push(0x89);
            let Some((Frame::Text(read), used)) = frame(&bytes) else { panic!("a text") };
            assert_eq!((read, used), (&text[..], whole));
        }
    }

    #[test]
    fn pings_and_close_codes_are_told() {
        assert!(matches!(frame(&[0x89, 1, 7]), Some((Frame::Ping([7]), 3))));
        assert!(matches!(frame(&[0x88, 2, 3, 0xe9]), Some((Frame::Close(1001), 4))));
        assert!(matches!(frame(&[0x88, 0]), Some((Frame::Close(1005), 2))));
        let mut bytes = Vec::new();
        write(&mut bytes, 10, b"ab");
        assert_eq!(bytes, [0x8a, 0x82, 0, 0, 0, 0, b'a', b'b']);
    }
}
