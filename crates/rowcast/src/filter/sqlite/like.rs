//! LIKE, as SQLite matches it: `%` any text, `_` any character, a to z in either case.

use std::borrow::Cow;
use std::sync::Arc;

use super::affinity::to_text;
use super::scalar::Scalar;

/// Characters of the longest pattern: matching costs the pattern's length times the text's at worst.
pub(super) const PATTERN_CHARS_MAX: usize = 1000;

/// A pattern, ready to match.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct Pattern {
    /// As it was written, for the database.
    pub(super) text: Arc<str>,
    pub(super) escape: Option<char>,
    items: Box<[Item]>,
    /// Whether it ends in its escape character, which matches nothing.
    is_broken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    Any,
    One,
    /// Folded.
    Char(u32),
}

impl Pattern {
    pub(super) fn new(text: Arc<str>, escape: Option<char>) -> Self {
        let mut items = Vec::new();
        let mut is_broken = false;
        let mut chars = text.chars().take_while(|c| *c != '\0');
        while let Some(c) = chars.next() {
            let item = match c {
                c if Some(c) == escape => match chars.next() {
                    Some(escaped) => Item::Char(fold(escaped.into())),
                    None => {
                        is_broken = true;
                        break;
                    }
                },
                '%' => Item::Any,
                '_' => Item::One,
                c => Item::Char(fold(c.into())),
            };
            items.push(item);
        }
        Self { text, escape, items: items.into(), is_broken }
    }

    /// `None` where the value is NULL. Numbers match as text.
    pub(super) fn matches(&self, value: Scalar<'_>) -> Option<bool> {
        match to_text(value) {
            Scalar::Text(Cow::Borrowed(text)) | Scalar::Blob(text) => Some(self.matches_bytes(text)),
            Scalar::Text(Cow::Owned(text)) => Some(self.matches_bytes(&text)),
            _ => None,
        }
    }

    /// Goes back to the last `%` only, which suffices: O(text × pattern), without recursion.
    fn matches_bytes(&self, text: &[u8]) -> bool {
        let (mut item, mut at) = (0, 0);
        let mut retry = None;
        if self.is_broken {
            return false;
        }
        loop {
            let (c, after) = read_char(text, at);
            let fits = match self.items.get(item) {
                None if c == 0 => return true,
                None => false,
                Some(Item::Any) => {
                    item += 1;
                    retry = Some((item, at));
                    continue;
                }
                Some(Item::One) => c != 0,
                Some(Item::Char(wanted)) => c != 0 && fold(c) == *wanted,
            };
            if fits {
                (item, at) = (item + 1, after);
                continue;
            }
            let Some((item_after_any, from)) = retry else { return false };
            let (c, next) = read_char(text, from);
            if c == 0 {
                return false;
            }
            if item_after_any == self.items.len() {
                return true;
            }
            retry = Some((item_after_any, next));
            (item, at) = (item_after_any, next);
        }
    }
}

fn fold(c: u32) -> u32 {
    match u8::try_from(c) {
        Ok(ascii @ b'A'..=b'Z') => u32::from(ascii.to_ascii_lowercase()),
        _ => c,
    }
}

/// The character at `at` and where the next begins; 0 at the end, which a NUL is, too.
///
/// Bytes that are no UTF-8 are read as SQLite reads them: it trusts the first byte and takes what follows.
#[inline]
fn read_char(text: &[u8], at: usize) -> (u32, usize) {
    match text.get(at) {
        None => (0, at),
        Some(first @ 0..0xc0) => (u32::from(*first), at + 1),
        Some(first) => read_long(text, at, *first),
    }
}

fn read_long(text: &[u8], at: usize, first: u8) -> (u32, usize) {
    let mut c = u32::from(match first {
        0xc0..0xe0 => first & 0x1f,
        0xe0..0xf0 => first & 0x0f,
        0xf0..0xf8 => first & 0x07,
        0xf8..0xfc => first & 0x03,
        0xfc..0xfe => first & 0x01,
        _ => 0,
    });
    let mut end = at + 1;
    while let Some(next @ 0x80..0xc0) = text.get(end) {
        c = (c << 6).wrapping_add(u32::from(next & 0x3f));
        end += 1;
    }
    if c < 0x80 || c & 0xffff_f800 == 0xd800 {
        c = 0xfffd;
    }
    (c, end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, pattern: &str, escape: Option<char>, expected: bool) {
        let pattern = Pattern::new(pattern.into(), escape);
        assert_eq!(pattern.matches_bytes(text.as_bytes()), expected);
    }

    #[test]
    fn wildcards_go_by_characters_and_letters_ignore_case() {
        check("Bergen", "b%N", None, true);
        check("größe", "gr__e", None, true);
        check("größe", "GRÖSSE", None, false);
        check("aXbXc", "%x_", None, true);
        check("", "%%", None, true);
        check("", "_", None, false);
        check("abc", "%b", None, false);
    }

    #[test]
    fn escapes_are_literal_and_a_trailing_one_matches_nothing() {
        check("10%", "10\\%", Some('\\'), true);
        check("100", "10\\%", Some('\\'), false);
        check("a_", "a__", Some('_'), true);
        check("a", "a\\", Some('\\'), false);
    }

    #[test]
    fn many_wildcards_take_no_longer_than_text_times_pattern() {
        let pattern = "%a".repeat(PATTERN_CHARS_MAX / 2) + "b";
        check(&"a".repeat(100_000), &pattern, None, false);
    }

    #[test]
    fn matches_what_sqlite_matches() {
        let database = rusqlite::Connection::open_in_memory().expect("a database");
        let bytes = proptest::collection::vec(
            prop_oneof![4 => proptest::sample::select(b"abAB%_".to_vec()), 1 => any::<u8>()],
            0..12,
        );
        let pattern = prop_oneof!["[abA%_]{0,10}", "[abé%_\\\\\u{fffd}\0]{0,10}"];
        let escape = proptest::option::of(proptest::sample::select(vec!['\\', '%', '_', 'a', 'é']));
        proptest!(ProptestConfig { cases: 8192, failure_persistence: None, ..Default::default() },
            |(bytes in bytes, pattern in pattern, escape in escape)| {
            let ours = Pattern::new(pattern.as_str().into(), escape).matches(Scalar::Blob(&bytes));
            let asked: bool = match escape {
                Some(escape) => database
                    .query_row("SELECT ?1 LIKE ?2 ESCAPE ?3", (&bytes, &pattern, escape.to_string()), |row| row.get(0)),
                None => database.query_row("SELECT ?1 LIKE ?2", (&bytes, &pattern), |row| row.get(0)),
            }
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(ours, Some(asked));
        });
    }
}
