//! The parts of a message, one after the other.

use bytes::Bytes;

use super::{Malformed, Tuple};
use crate::postgres::Lsn;

/// What is left to read of a message.
pub(super) struct Frame<'a> {
    bytes: &'a Bytes,
    at: usize,
}

/// 2000-01-01, which PostgreSQL counts from, in milliseconds since 1970.
const EPOCH_MS: i64 = 946_684_800_000;

impl<'a> Frame<'a> {
    pub(super) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// A length or a count, which is sent with a sign.
    pub(super) fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.i32()?).map_err(|_| Malformed::new("a length is negative"))
    }

    pub(super) fn lsn(&mut self) -> Result<Lsn, Malformed> {
        self.array().map(u64::from_be_bytes).map(Lsn)
    }

    /// Microseconds since 2000 as milliseconds since 1970.
    pub(super) fn time_ms(&mut self) -> Result<u64, Malformed> {
        let micros = self.array().map(i64::from_be_bytes)?;
        Ok(u64::try_from(micros.div_euclid(1000).saturating_add(EPOCH_MS)).unwrap_or(0))
    }

    /// A text that ends with a zero byte.
    pub(super) fn text(&mut self) -> Result<Box<str>, Malformed> {
        let rest = &self.bytes[self.at..];
        let end = memchr::memchr(0, rest).ok_or_else(|| Malformed::new("a name has no end"))?;
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into())
    }

    /// A part of the message, which it shares.
    pub(super) fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        let from = self.at;
        self.skip(length)?;
        Ok(self.bytes.slice(from..self.at))
    }

    pub(super) fn skip(&mut self, length: usize) -> Result<(), Malformed> {
        if length > self.bytes.len() - self.at {
            return Err(cut());
        }
        self.at += length;
        Ok(())
    }

    /// A row's columns, checked, so that reading them cannot fail.
    pub(super) fn tuple(&mut self) -> Result<Tuple, Malformed> {
        let columns = usize::from(self.u16()?);
        let from = self.at;
        for _ in 0..columns {
            match self.u8()? {
                b'n' | b'u' => {}
                b't' => {
                    let length = self.length()?;
                    self.skip(length)?;
                }
                b'b' => return Err(Malformed::new("a value is sent in binary, which was not asked for")),
                _ => return Err(Malformed::new("a value is neither null, unchanged nor text")),
            }
        }
        Ok(Tuple::checked(self.bytes.slice(from..self.at), columns))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let array = self.bytes[self.at..].first_chunk().ok_or_else(cut)?;
        self.at += N;
        Ok(*array)
    }
}

fn cut() -> Malformed {
    Malformed::new("a message ends too early")
}
