//! Where an event stands in the log.

use std::fmt;
use std::str::FromStr;

/// One life of a log. A new epoch means that the log began anew, and older positions mean nothing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// The number of an event in its epoch. The first event has 1; 0 stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub u64);

/// Enough for a client to resume everything, over any protocol, after any restart.
///
/// As text `epoch-offset`, both decimal: `1763678422123-42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Which life of the log.
    pub epoch: Epoch,
    /// Which event of it.
    pub offset: Offset,
}

impl Position {
    /// The position `offset` events after the start of `epoch`.
    pub fn new(epoch: u64, offset: u64) -> Self {
        Self { epoch: Epoch(epoch), offset: Offset(offset) }
    }

    /// The one after this.
    pub fn next(self) -> Self {
        Self { epoch: self.epoch, offset: Offset(self.offset.0 + 1) }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch.0, self.offset.0)
    }
}

/// A text that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a position; a position looks like `1763678422123-42` and is given out by the server")]
pub struct PositionError(pub String);

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let digits = |part: &str| {
            let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| part.parse::<u64>().ok()).flatten()
        };
        text.split_once('-')
            .and_then(|(epoch, offset)| Some(Self::new(digits(epoch)?, digits(offset)?)))
            .ok_or_else(|| PositionError(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let position = Position::new(1_763_678_422_123, 42);
        assert_eq!(position.to_string(), "1763678422123-42");
        assert_eq!("1763678422123-42".parse(), Ok(position));
    }

    #[test]
    fn refuses_anything_else() {
        for text in ["", "-", "1", "1-", "-1", "+1-2", "1-2-3", "1-99999999999999999999", "a-b"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
