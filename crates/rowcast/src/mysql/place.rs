//! How far a MySQL or MariaDB has been read, as text for the log.

use crate::event::Place;

/// Where a transaction ends in the binlog: a file's number and the position behind its last event.
///
/// As text `mariadb-bin.000012:3456`, then optional parts `;name=value` (`gtid`, `server`) that say more of the same point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogPlace {
    /// The file's name: `mariadb-bin.000012`.
    pub file: Box<str>,
    /// Bytes from the file's start. Counted by the reader: an event's own 32-bit position wraps in large files.
    pub position: u64,
    /// The GTIDs executed up to here, as the server writes them, where it has any.
    pub gtid: Option<Box<str>>,
    /// Which server it is, as far as that can be known: MySQL's `server_uuid`.
    pub server: Option<Box<str>>,
}

impl BinlogPlace {
    /// Bits of a transaction's number that hold the position in the file: 64 GiB.
    const POSITION_BITS: u32 = 36;

    /// Reads what [`place`](Self::place) wrote; `None` where it is of another kind.
    pub fn of(place: &Place) -> Option<Self> {
        let mut parts = place.0.split(';');
        let (file, position) = parts.next()?.rsplit_once(':')?;
        let mut read = Self { file: file.into(), position: position.parse().ok()?, gtid: None, server: None };
        read.number()?;
        for part in parts {
            match part.split_once('=')? {
                ("gtid", value) => read.gtid = Some(value.into()),
                ("server", value) => read.server = Some(value.into()),
                _ => {}
            }
        }
        Some(read)
    }

    /// As the log keeps it.
    pub fn place(&self) -> Place {
        let mut text = format!("{}:{}", self.file, self.position);
        for (name, value) in [("gtid", &self.gtid), ("server", &self.server)] {
            if let Some(value) = value {
                text.push_str(&format!(";{name}={}", value.replace([';', '\n', ' '], "")));
            }
        }
        Place(text.into())
    }

    /// The file's number: 12 for `mariadb-bin.000012`.
    fn number(&self) -> Option<u64> {
        self.file.rsplit_once('.')?.1.parse().ok()
    }

    /// The number of the transaction that ends here: it grows from one to the next while the server's binlog is one and the
    /// same. A snapshot that was taken here contains the transactions up to it.
    pub fn tx(&self) -> u64 {
        let limit = (1 << Self::POSITION_BITS) - 1;
        (self.number().unwrap_or(0) << Self::POSITION_BITS) | self.position.min(limit)
    }
}

/// How far the outbox has been read: the number of the last transaction, as text `outbox:42`. The source that reads it says
/// more of the same point behind a `;`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutboxPlace(pub u64);

impl OutboxPlace {
    /// Reads what [`place`](Self::place) wrote; `None` where it is of another kind.
    pub fn of(place: &Place) -> Option<Self> {
        place.0.strip_prefix("outbox:")?.split(';').next()?.parse().ok().map(Self)
    }

    /// As the log keeps it.
    pub fn place(self) -> Place {
        Place(format!("outbox:{}", self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_what_they_write_and_their_numbers_grow() {
        let text = "mariadb-bin.000012:3456;gtid=0-1-17;server=a-b";
        let place = BinlogPlace::of(&Place(text.into())).expect("a place");
        assert_eq!(&*place.place().0, text);
        let later = BinlogPlace::of(&Place("mariadb-bin.000013:4".into())).expect("a place");
        assert!(place.tx() < later.tx());
        for text in ["outbox:42", "mariadb-bin:3", "mariadb-bin.000012", ""] {
            assert_eq!(BinlogPlace::of(&Place(text.into())), None, "{text}");
        }
        assert_eq!(OutboxPlace::of(&OutboxPlace(42).place()), Some(OutboxPlace(42)));
    }
}
