//! Whether a text is one emoji (Unicode Technical Standard 51, section 1.4.9).

use unicode_properties::UnicodeEmoji;

/// The longest, in characters: what a reaction's column holds.
const CHARACTERS_MAX: usize = 32;

const JOINER: char = '\u{200d}';
const AS_PICTURE: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';
const LAST_TAG: char = '\u{e007f}';

/// Whether a text is one emoji: a picture, a flag, a key, or several that are joined.
pub(crate) fn is_emoji(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    if characters.is_empty() || characters.len() > CHARACTERS_MAX {
        return false;
    }
    if let [first, second] = characters[..]
        && is_flag_letter(first)
        && is_flag_letter(second)
    {
        return true;
    }
    characters.split(|character| *character == JOINER).all(is_element)
}

/// A picture, with what changes it.
fn is_element(characters: &[char]) -> bool {
    let Some((first, rest)) = characters.split_first() else { return false };
    if first.is_ascii() {
        return matches!(first, '0'..='9' | '#' | '*') && matches!(rest, [KEYCAP] | [AS_PICTURE, KEYCAP]);
    }
    if !first.is_emoji_char() || is_flag_letter(*first) {
        return false;
    }
    match rest {
        [] | [AS_PICTURE] | [AS_PICTURE, KEYCAP] => true,
        [tone] | [tone, AS_PICTURE] if is_tone(*tone) => true,
        [tags @ .., LAST_TAG] => !tags.is_empty() && tags.iter().all(|tag| matches!(tag, '\u{e0020}'..='\u{e007e}')),
        _ => false,
    }
}

fn is_flag_letter(character: char) -> bool {
    matches!(character, '\u{1f1e6}'..='\u{1f1ff}')
}

fn is_tone(character: char) -> bool {
    matches!(character, '\u{1f3fb}'..='\u{1f3ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_emoji_is_one() {
        let flag_of_wales = "🏴\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}";
        for emoji in ["👍", "👍🏽", "❤️", "❤", "🇳🇴", "1️⃣", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👩🏾‍🚀", "❤️‍🔥", flag_of_wales]
        {
            assert!(is_emoji(emoji), "{emoji:?}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for other in
            ["", "a", "1", "#", "👍👍", "👍a", " 👍", "🇳", "🇳🇴🇳🇴", "\u{200d}", "👩\u{200d}", "<b>", "\u{fe0f}", "é"]
        {
            assert!(!is_emoji(other), "{other:?}");
        }
    }
}
