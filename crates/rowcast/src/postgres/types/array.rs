//! Arrays: `{1,NULL,"a b"}` as JSON, and back.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::kind::Kind;

/// Appends the array as JSON. `None`: it is no array.
pub(super) fn write_json(text: &str, delimiter: u8, element: &Kind, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = without_bounds(text)?;
    let mut depth = 0_usize;
    loop {
        match *rest.as_bytes().first()? {
            b'{' => {
                depth += 1;
                out.push(b'[');
                rest = &rest[1..];
            }
            b'}' => {
                depth = depth.checked_sub(1)?;
                out.push(b']');
                rest = &rest[1..];
                if depth == 0 {
                    return rest.is_empty().then_some(());
                }
            }
            byte if byte == delimiter => {
                out.push(b',');
                rest = &rest[1..];
            }
            b'"' => {
                let (item, after) = quoted(&rest[1..])?;
                element.write_text_as_json(&item, out)?;
                rest = after;
            }
            _ if depth == 0 => return None,
            _ => {
                let end = rest.bytes().position(|b| b == delimiter || b == b'}')?;
                match &rest[..end] {
                    "NULL" => out.extend_from_slice(b"null"),
                    item => element.write_text_as_json(item, out)?,
                }
                rest = &rest[end..];
            }
        }
    }
}

/// Appends an int2vector or oidvector as JSON.
pub(super) fn write_vector(text: &str, element: &Kind, out: &mut Vec<u8>) -> Option<()> {
    out.push(b'[');
    for (n, item) in text.split_ascii_whitespace().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        element.write_text_as_json(item, out)?;
    }
    out.push(b']');
    Some(())
}

/// Appends the database's JSON of an array as this program writes it.
pub(super) fn write_json_again(raw: &str, element: &Arc<Kind>, out: &mut Vec<u8>) -> Option<()> {
    let leaf = leaf(element);
    let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    out.push(b'[');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        match item.get() {
            // A further dimension, or an element that is an array: both are written alike.
            nested if nested.starts_with('[') && !matches!(**leaf, Kind::Json) => {
                write_json_again(nested, element, out)?
            }
            item => leaf.write_json_again(item, out)?,
        }
    }
    out.push(b']');
    Some(())
}

/// What the innermost elements are: of an array of a domain over arrays, the domain's.
pub(super) fn leaf(element: &Arc<Kind>) -> &Arc<Kind> {
    match &**element {
        Kind::Array { element, .. } | Kind::Vector(element) => leaf(element),
        _ => element,
    }
}

/// `[0:1][1:2]={…}` without what stands before the brace.
fn without_bounds(text: &str) -> Option<&str> {
    if text.starts_with('[') { text.split_once('=').map(|(_, array)| array) } else { Some(text) }
}

/// A quoted item after its opening quote, and what follows its closing one.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut plain = String::new();
    let mut from = 0;
    loop {
        let end = from + memchr::memchr2(b'"', b'\\', &text.as_bytes()[from..])?;
        if text.as_bytes()[end] == b'"' {
            let after = &text[end + 1..];
            return Some(if plain.is_empty() {
                (Cow::Borrowed(&text[..end]), after)
            } else {
                plain.push_str(&text[from..end]);
                (Cow::Owned(plain), after)
            });
        }
        plain.push_str(&text[from..end]);
        let escaped = text[end + 1..].chars().next()?;
        plain.push(escaped);
        from = end + 1 + escaped.len_utf8();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Value;

    fn array(element: Kind) -> Kind {
        let delimiter = b',';
        Kind::Array { element: Arc::new(element), delimiter }
    }

    #[track_caller]
    fn check(kind: &Kind, text: &str, json: &str) {
        assert_eq!(kind.from_text(text), Value::Json(json.into()), "from text");
        assert_eq!(kind.from_json(json), Value::Json(json.into()), "from JSON");
    }

    #[test]
    fn arrays_become_json() {
        check(&array(Kind::Int), "{}", "[]");
        check(&array(Kind::Int), "{1,NULL,9007199254740993}", r#"[1,null,"9007199254740993"]"#);
        check(&array(Kind::Int), "[0:1][2:3]={{1,2},{3,4}}", "[[1,2],[3,4]]");
        check(&array(Kind::Text), r#"{a,"NULL","b \"c\\,}","",ü}"#, r#"["a","NULL","b \"c\\,}","","ü"]"#);
        check(&array(Kind::Bool), "{t,f}", "[true,false]");
        check(&array(Kind::Json), r#"{"{\"a\": [1, 2]}",1,"[[]]"}"#, r#"[{"a":[1,2]},1,[[]]]"#);
    }

    #[test]
    fn an_array_of_boxes_is_divided_by_semicolons() {
        let kind = Kind::Array { element: Arc::new(Kind::Text), delimiter: b';' };
        check(&kind, "{(1,1),(0,0);(2,2),(1,1)}", r#"["(1,1),(0,0)","(2,2),(1,1)"]"#);
    }

    #[test]
    fn an_array_of_arrays_looks_like_one_of_two_dimensions() {
        check(&array(array(Kind::Int)), r#"{"{1,2}","{3}"}"#, "[[1,2],[3]]");
    }

    #[test]
    fn what_is_no_array_stays_text() {
        for text in ["", "1", "{", "{1", "{\"a", "{\"a\\", "{1}}", "}", "[0:1", "{1}x"] {
            assert_eq!(array(Kind::Int).from_text(text), Value::Text(text.into()), "{text}");
        }
    }
}
