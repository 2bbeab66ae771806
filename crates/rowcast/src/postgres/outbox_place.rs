//! How far an outbox has been read, as a [`Place`].

use std::fmt;
use std::str::FromStr;

use crate::event::{Place, Visible};

/// How far an outbox has been read: `outbox:10:20:10,14`, every transaction that this snapshot shows.
///
/// What stands behind a `+` is the source's own: how much of the next transaction it has read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutboxPlace {
    /// Which transactions have been read.
    pub visible: Visible,
    /// The source's own remark.
    pub part: Option<Box<str>>,
}

impl OutboxPlace {
    /// The place of a source that reads an outbox, unless it is of another kind.
    pub fn of(place: &Place) -> Option<Self> {
        place.0.parse().ok()
    }

    /// The place of a source that has read what a snapshot shows.
    pub fn of_snapshot(visible: &Visible) -> Self {
        Self { visible: visible.clone(), part: None }
    }

    /// As the log keeps it.
    pub fn to_place(&self) -> Place {
        Place(self.to_string().into())
    }

    /// Whether a log that stands here holds every transaction that `moment` shows.
    pub fn reached(&self, moment: &OutboxPlace) -> bool {
        self.visible.covers(&moment.visible)
    }
}

impl fmt::Display for OutboxPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "outbox:{}", self.visible)?;
        match &self.part {
            Some(part) => write!(f, "+{part}"),
            None => Ok(()),
        }
    }
}

/// A text that is no place of a source that reads an outbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a place in an outbox, which looks like `outbox:10:20:10,14`")]
pub struct OutboxPlaceError(pub String);

impl FromStr for OutboxPlace {
    type Err = OutboxPlaceError;

    fn from_str(text: &str) -> Result<Self, OutboxPlaceError> {
        let parse = || {
            let rest = text.strip_prefix("outbox:")?;
            let (visible, part) = match rest.split_once('+') {
                Some((visible, part)) => (visible, Some(part.into())),
                None => (rest, None),
            };
            Some(Self { visible: visible.parse().ok()?, part })
        };
        parse().ok_or_else(|| OutboxPlaceError(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> OutboxPlace {
        text.parse().expect(text)
    }

    #[test]
    fn reads_what_it_writes() {
        for text in ["outbox:10:20:10,14", "outbox:7:7:", "outbox:7:7:+2000@8"] {
            assert_eq!(place(text).to_string(), text);
        }
        for text in ["", "outbox:", "outbox:1", "wal:1/1/0/1", "10:20:"] {
            assert!(text.parse::<OutboxPlace>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_place_reaches_what_was_visible_before() {
        assert!(place("outbox:12:12:").reached(&place("outbox:10:12:10,11")));
        assert!(!place("outbox:10:12:10").reached(&place("outbox:12:12:")));
    }
}
