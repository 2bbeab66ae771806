//! What all clients have heard together.

use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memmem::Finder;

use super::super::histogram::Histogram;

/// Microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Counts deliveries, and how long each took.
pub(crate) struct Heard {
    pub(crate) deliveries: u64,
    /// Everything that was read, frames and heads included.
    pub(crate) bytes: u64,
    /// From when the schedule wanted the change made.
    pub(crate) from_schedule: Histogram,
    /// From just before its transaction was written.
    pub(crate) from_commit: Histogram,
    /// When the last one came.
    pub(crate) last_us: u64,
    at: Finder<'static>,
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            deliveries: 0,
            bytes: 0,
            from_schedule: Histogram::default(),
            from_commit: Histogram::default(),
            last_us: 0,
            at: Finder::new(b"\"at\":"),
        }
    }
}

impl Heard {
    /// Counts a message when it is a delivery: when it says at which microsecond it was due.
    pub(crate) fn message(&mut self, text: &[u8], now: u64) -> bool {
        let Some(place) = self.at.find(text) else { return false };
        let Some((at, rest)) = number(&text[place + 5..]) else { return false };
        let late = rest.strip_prefix(b",\"late\":").and_then(number).map_or(0, |(late, _)| late);
        let delay = now.saturating_sub(at);
        self.from_schedule.record(delay);
        self.from_commit.record(delay.saturating_sub(late));
        self.deliveries += 1;
        self.last_us = now;
        true
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        (self.deliveries, self.bytes, self.last_us) = (0, 0, 0);
        self.from_schedule.clear();
        self.from_commit.clear();
    }
}

/// The digits at the beginning, and what follows them.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    (!digits.is_empty()).then_some(())?;
    Some((digits.iter().try_fold(0, add)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_says_when_it_was_due_and_how_late_it_was_made() {
        let mut heard = Heard::default();
        assert!(heard.message(br#"42["change",{"row":{"id":1,"at":1000,"late":30,"pad":""}}]"#, 1100));
        assert!(heard.message(br#"{"at":1090}"#, 1100));
        for other in [&b"{}"[..], b"\"at\":\"x\"", b"\"at\":99999999999999999999999"] {
            assert!(!heard.message(other, 1100));
        }
        assert_eq!(heard.deliveries, 2);
        assert_eq!((heard.from_schedule.percentile(1.0), heard.from_commit.percentile(1.0)), (Some(100), Some(70)));
    }
}
