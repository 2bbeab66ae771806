//! Composite values: `(1,"a b",)` as a JSON object.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::kind::Field;
use crate::event::json::write_text;

/// Appends the record as a JSON object with its fields in their order. `None`: it is no record of these fields.
pub(super) fn write_json(text: &str, fields: &[Field], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text.strip_prefix('(')?;
    out.push(b'{');
    for (n, field) in fields.iter().enumerate() {
        if n > 0 {
            rest = rest.strip_prefix(',')?;
            out.push(b',');
        }
        write_text(&field.name, out);
        out.push(b':');
        let (item, after) = item(rest)?;
        match item {
            Some(item) => field.kind.write_text_as_json(&item, out)?,
            None => out.extend_from_slice(b"null"),
        }
        rest = after;
    }
    out.push(b'}');
    (rest == ")").then_some(())
}

/// Appends the database's JSON of a record as this program writes it.
pub(super) fn write_json_again(raw: &str, fields: &[Field], out: &mut Vec<u8>) -> Option<()> {
    let items: HashMap<String, &RawValue> = serde_json::from_str(raw).ok()?;
    out.push(b'{');
    for (n, field) in fields.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write_text(&field.name, out);
        out.push(b':');
        field.kind.write_json_again(items.get(&*field.name).map_or("null", |item| item.get()), out)?;
    }
    out.push(b'}');
    Some(())
}

/// The next field, and what follows it. Nothing at all is NULL; `""` is the empty text.
fn item(text: &str) -> Option<(Option<String>, &str)> {
    let mut plain = String::new();
    let (mut quoted, mut some) = (false, false);
    let mut chars = text.char_indices().peekable();
    while let Some(&(at, char)) = chars.peek() {
        match char {
            ',' | ')' if !quoted => return Some((some.then_some(plain), &text[at..])),
            '\\' => {
                chars.next();
                plain.push(chars.next()?.1);
            }
            '"' => {
                chars.next();
                if quoted && chars.peek().is_some_and(|(_, next)| *next == '"') {
                    chars.next();
                    plain.push('"');
                } else {
                    quoted = !quoted;
                }
            }
            char => {
                chars.next();
                plain.push(char);
            }
        }
        some = true;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::kind::Kind;
    use super::*;
    use crate::event::Value;

    fn record(fields: &[(&str, Kind)]) -> Kind {
        let field = |(name, kind): &(&str, Kind)| Field { name: (*name).into(), kind: Arc::new(kind.clone()) };
        Kind::Record(fields.iter().map(field).collect())
    }

    #[track_caller]
    fn check(kind: &Kind, text: &str, json: &str) {
        assert_eq!(kind.from_text(text), Value::Json(json.into()), "from text");
        assert_eq!(kind.from_json(json), Value::Json(json.into()), "from JSON");
    }

    #[test]
    fn records_become_objects() {
        let inner = record(&[("x", Kind::Int), ("y", Kind::Text)]);
        let numbers = Kind::Array { element: Arc::new(Kind::Int), delimiter: b',' };
        let outer = record(&[("n", Kind::Number), ("in", inner), ("list", numbers), ("ü\"", Kind::Bool)]);
        check(
            &outer,
            r#"(1.50,"(1,""a """"q"""" \\\\ ,)"")","{1,2}",t)"#,
            r#"{"n":1.50,"in":{"x":1,"y":"a \"q\" \\ ,)"},"list":[1,2],"ü\"":true}"#,
        );
        check(&outer, "(,,,)", r#"{"n":null,"in":null,"list":null,"ü\"":null}"#);
        check(&outer, r#"(,"(,"""")",{},)"#, r#"{"n":null,"in":{"x":null,"y":""},"list":[],"ü\"":null}"#);
    }

    #[test]
    fn fields_keep_their_order_whatever_the_order_of_the_json() {
        let kind = record(&[("long", Kind::Int), ("a", Kind::Int)]);
        assert_eq!(kind.from_json(r#"{"a": 1, "long": 2}"#), Value::Json(r#"{"long":2,"a":1}"#.into()));
    }

    #[test]
    fn what_is_no_record_stays_text() {
        let kind = record(&[("a", Kind::Int), ("b", Kind::Text)]);
        for text in ["", "(", "(1", "(1)", "(1,2,3)", "(1,\"", "(1,a\\", "1,2", "(1,2)x"] {
            assert_eq!(kind.from_text(text), Value::Text(text.into()), "{text}");
        }
    }
}
