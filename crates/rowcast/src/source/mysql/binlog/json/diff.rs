//! Changes of a part of a JSON document: what MySQL writes with `binlog_row_value_options=PARTIAL_JSON`.

use super::{Json, Malformed, parse};
use crate::source::mysql::binlog::bytes::Bytes;

const REPLACE: u8 = 0;
const INSERT: u8 = 1;
const REMOVE: u8 = 2;

/// A step of a path.
enum Leg {
    Key(String),
    Place(usize),
}

/// Applies changes to a document.
pub(in super::super) fn apply(document: &mut Json, diffs: &[u8]) -> Result<(), Malformed> {
    let mut bytes = Bytes(diffs);
    while !bytes.is_empty() {
        let operation = bytes.u8()?;
        let path = std::str::from_utf8(bytes.packed_bytes()?).map_err(|_| Malformed("a JSON path that is no text"))?;
        let value = if operation == REMOVE { None } else { Some(parse(bytes.packed_bytes()?)?) };
        let mut legs = legs(path)?;
        let Some(last) = legs.pop() else {
            *document = value.ok_or(Malformed("a whole JSON document is removed"))?;
            continue;
        };
        let mut inside = &mut *document;
        for leg in &legs {
            inside = step(inside, leg).ok_or(Malformed("a JSON path that leads nowhere"))?;
        }
        change(inside, &last, operation, value)?;
    }
    Ok(())
}

fn step<'a>(inside: &'a mut Json, leg: &Leg) -> Option<&'a mut Json> {
    match (inside, leg) {
        (Json::Object(values), Leg::Key(key)) => {
            values.iter_mut().find(|(known, _)| **known == **key).map(|(_, value)| value)
        }
        (Json::Array(values), Leg::Place(place)) => values.get_mut(*place),
        // A single value counts as an array of one.
        (single, Leg::Place(0)) => Some(single),
        _ => None,
    }
}

fn change(inside: &mut Json, leg: &Leg, operation: u8, value: Option<Json>) -> Result<(), Malformed> {
    let nowhere = Malformed("a JSON path that leads nowhere");
    match (operation, value) {
        (REPLACE, Some(value)) => *step(inside, leg).ok_or(nowhere)? = value,
        (INSERT, Some(value)) => match (inside, leg) {
            (Json::Object(values), Leg::Key(key)) => {
                // The server keeps the keys by length, then by bytes.
                let before = |known: &str| (known.len(), known.as_bytes()) < (key.len(), key.as_bytes());
                let at = values.partition_point(|(known, _)| before(known));
                values.insert(at, (key.as_str().into(), value));
            }
            (Json::Array(values), Leg::Place(place)) => {
                let at = (*place).min(values.len());
                values.insert(at, value);
            }
            _ => return Err(nowhere),
        },
        (REMOVE, _) => match (inside, leg) {
            (Json::Object(values), Leg::Key(key)) => values.retain(|(known, _)| **known != **key),
            (Json::Array(values), Leg::Place(place)) if *place < values.len() => {
                values.remove(*place);
            }
            _ => return Err(nowhere),
        },
        _ => return Err(Malformed("a change of a JSON document that is not known")),
    }
    Ok(())
}

/// `$.a[1]."b c"` as its steps.
fn legs(path: &str) -> Result<Vec<Leg>, Malformed> {
    let wrong = Malformed("a JSON path that cannot be read");
    let mut rest = path.strip_prefix('$').ok_or(wrong)?;
    let mut legs = Vec::new();
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (place, after) = inside.split_once(']').ok_or(wrong)?;
            legs.push(Leg::Place(place.trim().parse().map_err(|_| wrong)?));
            rest = after;
        } else if let Some(quoted) = rest.strip_prefix(".\"") {
            let mut parts = serde_json::Deserializer::from_str(&rest[1..]).into_iter::<String>();
            let key = parts.next().and_then(Result::ok).ok_or(wrong)?;
            legs.push(Leg::Key(key));
            rest = &quoted[parts.byte_offset() - 1..];
        } else if let Some(plain) = rest.strip_prefix('.') {
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            legs.push(Leg::Key(plain[..end].to_owned()));
            rest = &plain[end..];
        } else {
            return Err(wrong);
        }
    }
    Ok(legs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_steps() {
        let text = |path: &str| {
            let legs = legs(path).map_err(|error| error.to_string())?;
            let texts = legs.iter().map(|leg| match leg {
                Leg::Key(key) => format!("<{key}>"),
                Leg::Place(place) => place.to_string(),
            });
            Ok::<_, String>(texts.collect::<String>())
        };
        assert_eq!(text("$").as_deref(), Ok(""));
        assert_eq!(text(r#"$.a[10]."b \"c".d"#).as_deref(), Ok(r#"<a>10<b "c><d>"#));
        assert!(text("a").is_err() && text("$[x]").is_err() && text("$x").is_err());
    }
}
