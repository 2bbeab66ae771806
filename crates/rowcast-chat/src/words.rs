//! What may be written as text. Markup is text like any other: nothing here reads it, and nothing is taken out of it.

use rowcast::protocol::{Code, Problem};

use crate::problems;
use crate::public::TEXT_MAX;

/// The longest name of a file, in characters.
const FILE_NAME_MAX: usize = 255;
/// The longest nonce.
const NONCE_MAX: usize = 36;

/// What somebody says. It may be empty beside a file.
pub(crate) fn body(text: &str, beside_file: bool) -> Result<String, Problem> {
    let text = text.replace("\r\n", "\n");
    if text.trim().is_empty() && !beside_file {
        return Err(problems::bad("the message is empty"));
    }
    let characters = text.chars().count();
    if characters > TEXT_MAX {
        let message = format!("the message has {characters} characters; the longest may have {TEXT_MAX}");
        return Err(Problem::new(Code::TooLarge, message));
    }
    match text.chars().find(|character| character.is_control() && !matches!(character, '\n' | '\t')) {
        Some(control) => {
            Err(problems::bad(format!("the message has the control character U+{:04X} in it", u32::from(control))))
        }
        None => Ok(text),
    }
}

/// What a client calls a message of its own, so that it is one however often it is sent.
pub(crate) fn nonce(text: &str) -> Result<(), Problem> {
    let is = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=NONCE_MAX).contains(&text.len()) && text.bytes().all(is) {
        return Ok(());
    }
    Err(problems::bad(format!("`nonce` has 1 to {NONCE_MAX} letters, digits, `-` and `_`; a UUID is a good one")))
}

/// Whether a text can be an id of a person, a talk or a file. What cannot is not looked for.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=36).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What a file is called: the last part of a path, without what could make it look like another name.
pub(crate) fn file_name(text: &str) -> String {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown = last.chars().filter(|character| !character.is_control() && !turns_around(*character));
    let name: String = shown.take(FILE_NAME_MAX).collect();
    match name.trim() {
        "" | "." | ".." => "file".to_owned(),
        name => name.to_owned(),
    }
}

/// Whether a character changes the direction in which others are shown: `gpj.exe` would be `exe.jpg`.
fn turns_around(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_as_it_is_but_for_control_characters() {
        assert_eq!(body("<b>&amp;\n\t👩‍👩‍👧 שלום", false).as_deref(), Ok("<b>&amp;\n\t👩‍👩‍👧 שלום"));
        assert_eq!(body("a\r\nb", false).as_deref(), Ok("a\nb"));
        assert_eq!(body("", true).as_deref(), Ok(""));
        for refused in [" \n ", "a\0b", "a\u{1b}[31m", "a\rb", "\u{85}x"] {
            assert!(body(refused, false).is_err(), "{refused:?}");
        }
        // Characters, not bytes.
        assert!(body(&"é".repeat(TEXT_MAX), false).is_ok());
        assert!(body(&"é".repeat(TEXT_MAX + 1), false).is_err());
    }

    #[track_caller]
    fn check_file(sent: &str, kept: &str) {
        assert_eq!(file_name(sent), kept);
    }

    #[test]
    fn a_file_has_a_name_and_no_path() {
        check_file("report.pdf", "report.pdf");
        check_file("../../etc/passwd", "passwd");
        check_file("C:\\Users\\a\\b.txt", "b.txt");
        check_file("..", "file");
        check_file("a/", "file");
        check_file("photo\u{202e}gpj.exe", "photogpj.exe");
        check_file("a\"\r\nX-Evil: 1", "a\"X-Evil: 1");
        assert_eq!(file_name(&"ü".repeat(300)).chars().count(), 255);
    }

    #[test]
    fn a_nonce_is_short_and_plain() {
        assert!(nonce("0b9e3f7a-7c1e-4a52-9a59-6a6c2f7f4c11").is_ok());
        for refused in ["", "a b", "ä", &"a".repeat(37)] {
            assert!(nonce(refused).is_err(), "{refused:?}");
        }
    }
}
