//! Names with `*` (any characters) and `?` (one character).
//!
//! Not the patterns of table names: those ignore case, and NOTIFY channels that differ in case are different channels.

/// Whether the whole name fits the pattern. Upper and lower case differ.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last `*` does not fit.
    let mut again = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                again = Some((p + 1, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match again {
                Some((after, from)) => {
                    again = Some((after, from + 1));
                    (p, n) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_any_and_for_one() {
        for (pattern, name) in [("*", ""), ("*", "a"), ("a*c", "abbc"), ("a?c", "aéc"), ("*a*b", "xaxab"), ("ab", "ab")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("a?", "a"), ("a*c", "abcd"), ("A", "a"), ("?", "ab")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
