//! Single values between PostgreSQL's text, its JSON and ours.

use std::borrow::Cow;
use std::sync::Arc;

use crate::event::Value;

/// `t`, `true` and the opposite.
pub(super) fn boolean(text: &str) -> Option<Value> {
    match text {
        "t" | "true" => Some(Value::Bool(true)),
        "f" | "false" => Some(Value::Bool(false)),
        _ => None,
    }
}

/// `2026-11-21 10:00:00.5+00` as JSON has it: `2026-11-21T10:00:00.5+00:00`. `None` where it stays as it is.
pub(super) fn timestamp(text: &str) -> Option<Arc<str>> {
    let (date, rest) = text.split_once(' ')?;
    let (clock, era) = rest.find(' ').map_or((rest, ""), |at| rest.split_at(at));
    let zone = clock.bytes().rev().take_while(|b| !matches!(b, b'+' | b'-')).count();
    let minutes = if zone == 2 && clock.len() > 2 { ":00" } else { "" };
    let parts = [date, "T", clock, minutes, era];
    // The longest that there is has 41 bytes; put together here, it is allocated once.
    let (mut buffer, mut end) = ([0; 48], 0);
    for part in parts {
        buffer.get_mut(end..end + part.len())?.copy_from_slice(part.as_bytes());
        end += part.len();
    }
    std::str::from_utf8(&buffer[..end]).ok().map(Arc::from)
}

/// An inet is printed without the mask of a single address, but cast with it.
pub(super) fn without_full_mask(text: &str) -> &str {
    match text.rsplit_once('/') {
        Some((address, "32")) if !address.contains(':') => address,
        Some((address, "128")) => address,
        _ => text,
    }
}

/// Both of PostgreSQL's spellings: `\x00ff`, and `\000\377` with plain characters as they are.
pub(super) fn bytea(text: &str) -> Option<Arc<[u8]>> {
    match text.strip_prefix("\\x") {
        Some(hex) => from_hex(hex.as_bytes()),
        None => from_escapes(text.as_bytes()).map(Arc::from),
    }
}

fn from_hex(hex: &[u8]) -> Option<Arc<[u8]>> {
    let digit = |b: u8| (b & 15) + if b > b'9' { 9 } else { 0 };
    let (pairs, rest) = hex.as_chunks::<2>();
    let is_hex = rest.is_empty() && hex.iter().all(u8::is_ascii_hexdigit);
    is_hex.then(|| pairs.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect())
}

fn from_escapes(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    loop {
        text = match text {
            [] => return Some(bytes),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest
            }
            [b'\\', ..] => return None,
            [plain, rest @ ..] => {
                bytes.push(*plain);
                rest
            }
        };
    }
}

/// Without the white space around a document.
pub(super) fn trim_json(json: &str) -> &str {
    json.trim_matches([' ', '\t', '\n', '\r'])
}

/// The text of a JSON string.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') { serde_json::from_str(raw).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inside)) }
}

/// Appends a document without the white space between its parts.
pub(super) fn write_minified(json: &str, out: &mut Vec<u8>) {
    let (mut quoted, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' if !quoted => continue,
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && byte == b'\\' && !escaped;
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_json_has_them() {
        let check = |text: &str, iso: Option<&str>| assert_eq!(timestamp(text).as_deref(), iso, "{text}");
        check("2026-11-21 10:00:00.123+00", Some("2026-11-21T10:00:00.123+00:00"));
        check("2026-11-21 10:00:00", Some("2026-11-21T10:00:00"));
        check("2026-11-21 10:00:00-05:30", Some("2026-11-21T10:00:00-05:30"));
        check("0044-03-15 10:00:00+00 BC", Some("0044-03-15T10:00:00+00:00 BC"));
        check("0044-03-15 10:00:00 BC", Some("0044-03-15T10:00:00 BC"));
        check("infinity", None);
    }

    #[test]
    fn bytea_is_read_in_both_spellings() {
        assert_eq!(bytea("\\x00aBfF").as_deref(), Some([0, 0xab, 0xff].as_slice()));
        assert_eq!(bytea("a\\\\\\000\\377").as_deref(), Some([b'a', b'\\', 0, 0xff].as_slice()));
        assert_eq!(bytea("\\x0").as_deref(), None);
        assert_eq!(bytea("\\9").as_deref(), None);
    }

    #[test]
    fn white_space_stays_in_strings() {
        let mut out = Vec::new();
        write_minified("{ \"a \\\" b\\\\\" : [1, \"c d\"]\n}", &mut out);
        assert_eq!(String::from_utf8_lossy(&out), r#"{"a \" b\\":[1,"c d"]}"#);
    }
}
