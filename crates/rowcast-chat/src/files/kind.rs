//! What a file is, by what is in it: never by what its sender says, nor by its name.

/// A type that is told when nothing is known.
const UNKNOWN: &str = "application/octet-stream";

/// How much of a file is looked at.
pub(crate) const HEAD: usize = 4096;

/// Types by how their files begin: bytes at a place.
const BEGINNINGS: &[(usize, &[u8], &str)] = &[
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"MZ", "application/x-msdownload"),
];

/// What a text that begins so is to a browser.
const MARKUP: &[(&str, &str)] = &[
    ("<svg", "image/svg+xml"),
    ("<!doctype html", "text/html"),
    ("<html", "text/html"),
    ("<head", "text/html"),
    ("<body", "text/html"),
    ("<script", "text/html"),
    ("<iframe", "text/html"),
    ("<?xml", "text/xml"),
];

/// The type of a file that begins so; `is_all` where there is no more of it. Of plain texts, it may be the one that was said.
pub(crate) fn kind(head: &[u8], is_all: bool, said: &str) -> &'static str {
    let found = BEGINNINGS.iter().find(|(at, bytes, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(bytes)));
    // A container that is called RIFF, and what it holds.
    let found = found.filter(|(at, ..)| *at != 8 || head.starts_with(b"RIFF"));
    match (found, text(head, is_all)) {
        (Some((.., kind)), _) => kind,
        (None, Some(text)) => kind_of_text(text, said),
        (None, None) => UNKNOWN,
    }
}

/// The text that it is, if it is one.
fn text(head: &[u8], is_all: bool) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut off at the end.
        Err(error) if !is_all && error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_plain = |character: char| !character.is_control() || matches!(character, '\n' | '\r' | '\t' | '\u{c}');
    text.chars().all(is_plain).then_some(text)
}

fn kind_of_text(text: &str, said: &str) -> &'static str {
    let lower = text.to_ascii_lowercase();
    let begins = lower.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    // An SVG may have a comment or a declaration before it.
    if lower.contains("<svg") {
        return "image/svg+xml";
    }
    if let Some((_, kind)) = MARKUP.iter().find(|(beginning, _)| begins.starts_with(beginning)) {
        return kind;
    }
    if begins.starts_with('<') && lower.contains("<script") {
        return "text/html";
    }
    match said.split(';').next().unwrap_or_default().trim() {
        "text/csv" => "text/csv",
        _ => "text/plain",
    }
}

/// Whether a type is among those that are taken: `image/png`, `text/*`, `*/*`.
pub(crate) fn is_taken(kind: &str, taken: &[String]) -> bool {
    let family = kind.split('/').next().unwrap_or_default();
    taken.iter().any(|pattern| {
        pattern == "*/*" || pattern == kind || pattern.strip_suffix("/*").is_some_and(|wanted| wanted == family)
    })
}

/// Whether a browser may show it in its place: pictures that have been decoded here, and nothing that could run.
pub(crate) fn is_shown(kind: &str) -> bool {
    matches!(kind, "image/png" | "image/jpeg" | "image/webp" | "image/gif")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &[u8], said: &str, expected: &str) {
        assert_eq!(kind(head, true, said), expected);
    }

    #[test]
    fn the_content_says_what_a_file_is() {
        check(b"\x89PNG\r\n\x1a\nmore", "text/html", "image/png");
        check(b"RIFF\0\0\0\0WEBPVP8 ", "", "image/webp");
        check(b"XXXX\0\0\0\0WEBPVP8 ", "image/webp", UNKNOWN);
        check(b"%PDF-1.7", "image/png", "application/pdf");
        check(b"\0\0\0\x18ftypmp42", "", "video/mp4");
        check(b"MZ\x90\0", "image/png", "application/x-msdownload");
        check(b"just words", "image/png", "text/plain");
        check(b"a,b\n1,2\n", "text/csv; charset=utf-8", "text/csv");
        check(b"a\0b", "text/plain", UNKNOWN);
        check(b"", "image/png", "text/plain");
        check("é".as_bytes(), "", "text/plain");
        check(&"é".as_bytes()[..1], "", UNKNOWN);
        // Its rest may be in what was not looked at.
        assert_eq!(kind(&"éé".as_bytes()[..3], false, ""), "text/plain");
    }

    #[test]
    fn markup_is_told_whatever_stands_before_it() {
        for svg in ["<svg onload=alert(1)>", "\u{feff}<?xml version='1.0'?>\n<!-- x --><SVG/>", "<!DOCTYPE svg><svg>"] {
            check(svg.as_bytes(), "text/plain", "image/svg+xml");
        }
        for html in ["<!DOCTYPE HTML><p>", " \n<html>", "<b>x</b><script>alert(1)</script>", "<script>"] {
            check(html.as_bytes(), "image/png", "text/html");
        }
    }

    #[test]
    fn types_are_taken_by_name_or_family() {
        let taken = ["image/png".to_owned(), "text/*".to_owned()];
        assert!(is_taken("image/png", &taken) && is_taken("text/csv", &taken));
        assert!(!is_taken("image/gif", &taken) && !is_taken(UNKNOWN, &taken));
        assert!(is_taken(UNKNOWN, &["*/*".to_owned()]));
    }
}
