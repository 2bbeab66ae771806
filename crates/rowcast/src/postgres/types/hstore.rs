//! hstore: `"a"=>"1", "b"=>NULL` as a JSON object of strings.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use crate::event::json::write_text;

/// Appends the pairs as a JSON object. `None`: it is no hstore.
pub(super) fn write_json(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    out.push(b'{');
    while !rest.is_empty() {
        if rest.len() < text.len() {
            rest = rest.strip_prefix(", ")?;
            out.push(b',');
        }
        let (key, after) = quoted(rest)?;
        write_text(&key, out);
        out.push(b':');
        rest = after.strip_prefix("=>")?;
        if let Some(after) = rest.strip_prefix("NULL") {
            out.extend_from_slice(b"null");
            rest = after;
        } else {
            let (value, after) = quoted(rest)?;
            write_text(&value, out);
            rest = after;
        }
    }
    out.push(b'}');
    Some(())
}

/// Appends the database's JSON of an hstore as this program writes it.
pub(super) fn write_json_again(raw: &str, out: &mut Vec<u8>) -> Option<()> {
    let pairs: Map<String, Json> = serde_json::from_str(raw).ok()?;
    serde_json::to_writer(out, &pairs).ok()
}

/// A quoted text, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    let is_end = |byte: u8| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    };
    let end = inside.bytes().position(is_end)?;
    let (item, after) = (&inside[..end], &inside[end + 1..]);
    if !item.contains('\\') {
        return Some((Cow::Borrowed(item), after));
    }
    let mut plain = String::with_capacity(item.len());
    let mut chars = item.chars();
    while let Some(char) = chars.next() {
        plain.push(if char == '\\' { chars.next()? } else { char });
    }
    Some((Cow::Owned(plain), after))
}

#[cfg(test)]
mod tests {
    use super::super::kind::Kind;
    use crate::event::Value;

    #[test]
    fn pairs_become_an_object() {
        let check = |text: &str, json: &str| {
            assert_eq!(Kind::Hstore.from_text(text), Value::Json(json.into()), "from text");
            assert_eq!(Kind::Hstore.from_json(json), Value::Json(json.into()), "from JSON");
        };
        check("", "{}");
        check(r#""a"=>"1", "b"=>NULL"#, r#"{"a":"1","b":null}"#);
        check(r#""a\"\\"=>"NULL", ""=>", ""#, r#"{"a\"\\":"NULL","":", "}"#);
    }

    #[test]
    fn what_is_no_hstore_stays_text() {
        for text in ["a", "\"a", "\"a\"", "\"a\"=>", "\"a\"=>1", "\"a\"=>\"1\",", "\"a\"=>\"1\"x"] {
            assert_eq!(Kind::Hstore.from_text(text), Value::Text(text.into()), "{text}");
        }
    }
}
