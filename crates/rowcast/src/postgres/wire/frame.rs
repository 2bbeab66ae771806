//! The messages of a replication stream, in bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::super::Lsn;
use super::WireError;

/// What a replication stream carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A message of the output plugin.
    Data {
        /// Where in the write-ahead log it begins; zero for messages without a place.
        start: Lsn,
        /// The end of the write-ahead log at the server.
        end: Lsn,
        /// When the server sent it: milliseconds since 1970.
        time_ms: i64,
        /// The message. It shares its memory with its neighbours: copy what is to be kept.
        bytes: Bytes,
    },
    /// The server is alive, and there is nothing more to send up to `end`.
    KeepAlive {
        /// What the server has sent or skipped.
        end: Lsn,
        /// Whether the server wanted an answer. It has got one.
        reply: bool,
    },
}

/// PostgreSQL counts from 2000, in microseconds.
const EPOCH_MS: i64 = 946_684_800_000;

impl Frame {
    /// How much of the stream's memory it counts for.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Data { bytes, .. } => bytes.len() + 64,
            Self::KeepAlive { .. } => 64,
        }
    }

    /// From the content of a CopyData message.
    pub(super) fn read(mut bytes: Bytes) -> Result<Self, WireError> {
        let cut = || WireError::broken("the database sent a replication message that is cut off");
        match bytes.try_get_u8().map_err(|_| cut())? {
            b'w' if bytes.len() >= 24 => Ok(Self::Data {
                start: Lsn(bytes.get_u64()),
                end: Lsn(bytes.get_u64()),
                time_ms: bytes.get_i64() / 1000 + EPOCH_MS,
                bytes,
            }),
            b'k' if bytes.len() >= 17 => {
                let end = Lsn(bytes.get_u64());
                bytes.advance(8);
                Ok(Self::KeepAlive { end, reply: bytes.get_u8() != 0 })
            }
            b'w' | b'k' => Err(cut()),
            tag => Err(WireError::broken(format!("the database sent an unknown replication message, `{tag:#04x}`"))),
        }
    }
}

/// A standby status update: everything up to `lsn` is safe here.
pub(super) fn status(lsn: Lsn, now_ms: i64, reply: bool, out: &mut BytesMut) {
    out.put_u8(b'd');
    out.put_i32(4 + 1 + 8 * 4 + 1);
    out.put_u8(b'r');
    for _ in ["written", "flushed", "applied"] {
        out.put_u64(lsn.0);
    }
    out.put_i64((now_ms - EPOCH_MS) * 1000);
    out.put_u8(u8::from(reply));
}

/// The end of what we send, and of the session.
pub(super) fn goodbye(out: &mut BytesMut) {
    postgres_protocol::message::frontend::copy_done(out);
    postgres_protocol::message::frontend::terminate(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_data_and_keep_alives() {
        let mut bytes = BytesMut::from(&b"w"[..]);
        bytes.put_u64(1);
        bytes.put_u64(2);
        bytes.put_i64(1_500_000);
        bytes.put_slice(b"body");
        let data = Frame::read(bytes.freeze()).expect("a frame");
        let body = Bytes::from_static(b"body");
        assert_eq!(data, Frame::Data { start: Lsn(1), end: Lsn(2), time_ms: EPOCH_MS + 1500, bytes: body });
        let mut bytes = BytesMut::from(&b"k"[..]);
        bytes.put_u64(7);
        bytes.put_i64(0);
        bytes.put_u8(1);
        assert_eq!(Frame::read(bytes.freeze()).expect("a frame"), Frame::KeepAlive { end: Lsn(7), reply: true });
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_an_error() {
        for bytes in [&b""[..], b"w", b"wabcdefgh", b"k1234567", b"x"] {
            Frame::read(Bytes::copy_from_slice(bytes)).expect_err("an error");
        }
    }

    #[test]
    fn a_status_update_is_as_long_as_it_says() {
        let mut out = BytesMut::new();
        status(Lsn(5), EPOCH_MS + 1, true, &mut out);
        assert_eq!(out.len(), 1 + 38);
        assert_eq!(out[1..5], 38_i32.to_be_bytes());
        assert_eq!(out[30..38], 1000_i64.to_be_bytes());
        assert_eq!(out[38], 1);
    }
}
