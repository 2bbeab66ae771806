//! Names that people have and give: shown as text everywhere, and to everybody.

use rowcast::protocol::Problem;

use crate::problems;

/// So many characters has a name.
pub(crate) const NAME_MAX: usize = 80;

/// So many characters has what somebody says of himself.
const ABOUT_MAX: usize = 200;

/// What would turn the text around it: embeddings, overrides and isolates of writing directions.
fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

/// What nobody sees.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{00ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' | '\u{fe00}'..='\u{fe0f}')
}

/// A name as it is kept.
pub(crate) fn name(text: &str) -> Result<String, Problem> {
    let name = text.trim().chars().filter(|c| !turns(*c)).collect::<String>().trim().to_owned();
    let wrong = if name.chars().all(is_invisible) {
        "a name has at least one character that can be seen"
    } else if name.chars().count() > NAME_MAX {
        "a name has at most 80 characters"
    } else if name.chars().any(char::is_control) {
        "a name is on one line, without control characters"
    } else {
        return Ok(name);
    };
    Err(problems::bad(wrong))
}

/// What somebody says of himself, as it is kept. It may be empty.
pub(crate) fn about(text: &str) -> Result<String, Problem> {
    let about: String = text.trim().chars().filter(|c| !turns(*c)).collect();
    if about.chars().count() > ABOUT_MAX {
        return Err(problems::bad(format!("`about` has at most {ABOUT_MAX} characters")));
    }
    if about.chars().any(|c| c.is_control() && c != '\n') {
        return Err(problems::bad("`about` has no control characters"));
    }
    Ok(about)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_without_what_would_turn_its_neighbours() {
        for (text, kept) in [
            ("  Ann  ", "Ann"),
            ("evil\u{202e}gpj.exe", "evilgpj.exe"),
            ("שלום", "שלום"),
            ("<b>Ann</b>", "<b>Ann</b>"),
            ("👩‍👩‍👧", "👩‍👩‍👧"),
        ] {
            assert_eq!(name(text).expect(text), kept);
        }
        assert_eq!(name(&"ü".repeat(NAME_MAX)).expect("eighty").chars().count(), NAME_MAX);
        for text in ["", "   ", "\u{202e}", "\u{200b}\u{feff}", "a\nb", "a\0b", &"x".repeat(NAME_MAX + 1)] {
            assert!(name(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_said_of_oneself_may_have_lines() {
        assert_eq!(about(" one\ntwo ").expect("two lines"), "one\ntwo");
        assert!(about("a\tb").is_err() && about(&"x".repeat(ABOUT_MAX + 1)).is_err() && about("").is_ok());
    }
}
