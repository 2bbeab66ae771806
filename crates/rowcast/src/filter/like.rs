//! LIKE and ILIKE by code points, as PostgreSQL matches them with the collation "C" and MySQL with a binary one: `%` any text,
//! `_` any character.

use std::sync::Arc;

/// Characters of the longest pattern: matching costs the pattern's length times the text's at worst.
pub(super) const PATTERN_CHARS_MAX: usize = 1000;

/// A pattern, ready to match.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pattern {
    items: Box<[Item]>,
    /// Whether a to z are A to Z.
    any_case: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    Any,
    One,
    /// Folded, where case makes no difference.
    Char(char),
}

impl Pattern {
    /// `None` where the escape character has nothing behind it, on which databases fail.
    pub(super) fn new(text: &str, escape: char, any_case: bool) -> Option<Self> {
        let mut items = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            items.push(match c {
                c if c == escape => Item::Char(fold(chars.next()?, any_case)),
                '%' => Item::Any,
                '_' => Item::One,
                c => Item::Char(fold(c, any_case)),
            });
        }
        Some(Self { items: items.into(), any_case })
    }

    pub(super) fn operator(&self) -> &'static str {
        if self.any_case { " ILIKE " } else { " LIKE " }
    }

    /// The letters in it that stand for both their cases, as small ones, each once.
    pub(super) fn letters(&self) -> Vec<char> {
        let letter = |item: &Item| match item {
            Item::Char(c) if self.any_case && c.is_ascii_lowercase() => Some(*c),
            _ => None,
        };
        let mut letters: Vec<_> = self.items.iter().filter_map(letter).collect();
        letters.sort_unstable();
        letters.dedup();
        letters
    }

    /// The pattern with this escape character.
    pub(super) fn to_text(&self, escape: char) -> Arc<str> {
        let mut text = String::new();
        for item in &self.items {
            match item {
                Item::Any => text.push('%'),
                Item::One => text.push('_'),
                Item::Char(c) => {
                    if matches!(c, '%' | '_') || *c == escape {
                        text.push(escape);
                    }
                    text.push(*c);
                }
            }
        }
        text.into()
    }

    /// Goes back to the last `%` only, which suffices: O(text × pattern), without recursion.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (mut item, mut rest) = (0, text.chars());
        let mut retry = None;
        loop {
            let mut after = rest.clone();
            let c = after.next();
            let fits = match (self.items.get(item), c) {
                (None, None) => return true,
                (Some(Item::Any), _) => {
                    item += 1;
                    retry = Some((item, rest.clone()));
                    continue;
                }
                (Some(Item::One), Some(_)) => true,
                (Some(Item::Char(wanted)), Some(c)) => fold(c, self.any_case) == *wanted,
                _ => false,
            };
            if fits {
                (item, rest) = (item + 1, after);
                continue;
            }
            let Some((item_after_any, from)) = &mut retry else { return false };
            if *item_after_any == self.items.len() {
                return true;
            }
            if from.next().is_none() {
                return false;
            }
            (item, rest) = (*item_after_any, from.clone());
        }
    }
}

fn fold(c: char, any_case: bool) -> char {
    if any_case { c.to_ascii_lowercase() } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, pattern: &str, any_case: bool, expected: bool) {
        assert_eq!(
            Pattern::new(pattern, '\\', any_case).expect("a pattern").matches(text),
            expected,
            "{text} {pattern}"
        );
    }

    #[test]
    fn wildcards_go_by_characters() {
        check("größe", "gr__e", false, true);
        check("aXbXc", "%X_", false, true);
        check("", "%%", false, true);
        check("", "_", false, false);
        check("abc", "%b", false, false);
        check("abcabd", "%ab_", false, true);
        check("10%", "10\\%", false, true);
        check("100", "10\\%", false, false);
    }

    #[test]
    fn case_counts_unless_it_is_said_not_to() {
        check("Bergen", "b%", false, false);
        check("Bergen", "b%N", true, true);
        check("Ärger", "ärger", true, false);
    }

    #[test]
    fn an_escape_at_the_end_is_refused() {
        assert_eq!(Pattern::new("a\\", '\\', false), None);
        assert_eq!(Pattern::new("a!%", '!', false).expect("a pattern").to_text('\\'), "a\\%".into());
    }

    #[test]
    fn many_wildcards_take_no_longer_than_text_times_pattern() {
        check(&"a".repeat(100_000), &("%a".repeat(PATTERN_CHARS_MAX / 2) + "b"), false, false);
    }
}
