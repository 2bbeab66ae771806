//! A place in PostgreSQL's write-ahead log.

use std::fmt;
use std::str::FromStr;

/// A byte position in the write-ahead log, written as PostgreSQL's `pg_lsn`: `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

/// The size of a page of the write-ahead log, and of the headers of a page and of a segment's first page.
const PAGE: u64 = 8192;
const PAGE_HEADER: u64 = 24;
const SEGMENT_HEADER: u64 = 40;

impl Lsn {
    /// The end of what was written before, where a server names the place behind the next page's header.
    ///
    /// `pg_current_wal_insert_lsn()` points behind the header when a record ended with its page; what has been read
    /// or flushed ends before it. Without this the two would never be equal.
    pub fn end_of_record(self) -> Self {
        match self.0 % PAGE {
            header @ (PAGE_HEADER | SEGMENT_HEADER) => Self(self.0 - header),
            _ => self,
        }
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// A text that is no place in the write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a place in PostgreSQL's write-ahead log, which looks like `16/B374D848`")]
pub struct LsnError(pub String);

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        let half = |part: &str| {
            let hex = !part.is_empty() && part.len() <= 8 && part.bytes().all(|b| b.is_ascii_hexdigit());
            hex.then(|| u64::from_str_radix(part, 16).ok()).flatten()
        };
        let whole = text.split_once('/').and_then(|(high, low)| Some(half(high)? << 32 | half(low)?));
        whole.map(Lsn).ok_or_else(|| LsnError(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Lsn>().expect(text).to_string(), text);
        }
        for text in ["", "16", "16/", "/1", "16/G", "123456789/0", "+1/2"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_record_that_ends_with_its_page_ends_before_the_next_header() {
        let lsn = |text: &str| text.parse::<Lsn>().expect(text);
        assert_eq!(lsn("0/3000028").end_of_record(), lsn("0/3000000"));
        assert_eq!(lsn("0/3002018").end_of_record(), lsn("0/3002000"));
        assert_eq!(lsn("0/3002020").end_of_record(), lsn("0/3002020"));
    }
}
