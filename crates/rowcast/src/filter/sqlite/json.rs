//! Paths into JSON text: what SQLite's `->` and `->>` give, on documents that its `json_valid` accepts.
//!
//! Reads the text in place and builds no tree; allocates only for strings with escapes and documents with spaces.

mod valid;

use std::borrow::Cow;

use super::super::document::{Cursor, unescape};
use super::super::expr::Step;
use super::number;
use super::scalar::Scalar;

/// The element at `path` as an SQL value (`->>`) or as JSON (`->`).
///
/// NULL where there is no such element, and where the text is not JSON.
pub(super) fn extract<'t>(text: &'t [u8], path: &[Step], as_sql: bool) -> Scalar<'t> {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    let text = &text[..end];
    if !valid::is_json(text) {
        return Scalar::Null;
    }
    match path.iter().try_fold(Cursor::at_value(text), Cursor::step) {
        None => Scalar::Null,
        Some(found) if as_sql => sql_value(found.value()),
        Some(found) => Scalar::Text(compact(found.value())),
    }
}

/// The path in the one spelling that SQLite reads for every label.
pub(super) fn write_path(path: &[Step]) -> String {
    let mut text = String::from("$");
    for step in path {
        match step {
            Step::Label(label) => {
                text.push_str(".\"");
                text.push_str(&label.replace('\\', "\\\\").replace('"', "\\\""));
                text.push('"');
            }
            Step::Index(n) => text.push_str(&format!("[{n}]")),
            Step::FromEnd(n) => text.push_str(&format!("[#-{n}]")),
        }
    }
    text
}

/// The value without the spaces between its tokens.
fn compact(value: &[u8]) -> Cow<'_, [u8]> {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
    if value.first() == Some(&b'"') || !value.iter().any(is_space) {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut at = Cursor { text: value, at: 0 };
    while at.at < value.len() {
        let end = if at.peek() == b'"' { at.string_end() } else { at.at + 1 };
        out.extend_from_slice(&value[at.at..end]);
        at = Cursor { at: end, ..at }.spaces();
    }
    Cow::Owned(out)
}

fn sql_value(value: &[u8]) -> Scalar<'_> {
    match value[0] {
        b'"' => Scalar::Text(unescape(&value[1..value.len() - 1])),
        b'{' | b'[' => Scalar::Text(compact(value)),
        b't' => Scalar::Int(1),
        b'f' => Scalar::Int(0),
        b'n' => Scalar::Null,
        _ => number_value(value),
    }
}

fn number_value(digits: &[u8]) -> Scalar<'_> {
    let whole = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    whole.map_or_else(|| Scalar::Real(number::read(digits).value), Scalar::Int)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::types::Value;

    use super::super::super::path::parse_path;
    use super::*;

    #[track_caller]
    fn check(text: &str, path: &str, as_sql: bool, expected: Scalar<'_>) {
        let path = parse_path(path).expect("a path");
        assert_eq!(extract(text.as_bytes(), &path, as_sql), expected);
    }

    fn text(text: &str) -> Scalar<'_> {
        Scalar::Text(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    fn steps_into_objects_and_arrays() {
        let document = r#" { "a" : [1, {"b\u0020c" : "x\ny"} , -2.5e1] , "a" : 0 } "#;
        check(document, "$.a[0]", true, Scalar::Int(1));
        check(document, "$.a[1].\"b c\"", true, text("x\ny"));
        check(document, "$.a[1]", false, text(r#"{"b\u0020c":"x\ny"}"#));
        check(document, "$.a[#-1]", true, Scalar::Real(-25.0));
        check(document, "$.a[3]", true, Scalar::Null);
        check(document, "b", true, Scalar::Null);
    }

    #[test]
    fn null_is_text_to_one_arrow_and_null_to_the_other() {
        check("null", "$", false, text("null"));
        check("null", "$", true, Scalar::Null);
    }

    #[test]
    fn what_is_not_json_is_null() {
        for document in ["", " ", "{", "[1,]", "{a:1}", "'a'", "01", "1 2", "nul", "\"\u{1}\"", "{\"a\":1,}"] {
            check(document, "$", false, Scalar::Null);
        }
    }

    /// JSON, nearly JSON, and nonsense.
    fn documents() -> impl Strategy<Value = String> {
        let scraps = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"b c\"",
            "\"\\u0061\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud800\"",
            "\"é\\n\"",
            "1",
            "-0",
            "1.5e3",
            "01",
            "-",
            "1.",
            "true",
            "null",
            "nul",
            " ",
            "\n",
            "\u{b}",
            "'a'",
            "//",
            "\\",
            "\"",
            "Infinity",
            "+1",
        ];
        let leaf = proptest::sample::select(scraps.to_vec()).prop_map(str::to_owned);
        leaf.prop_recursive(4, 24, 5, |inner| {
            let list = proptest::collection::vec(inner.clone(), 0..5);
            let label = proptest::sample::select(vec!["\"a\"", "\"b c\"", "\"\\u0061\"", "\"a\\u0000\"", "a"]);
            let members = proptest::collection::vec((label, inner), 0..5);
            prop_oneof![
                2 => list.clone().prop_map(|list| format!("[{}]", list.join(" , "))),
                2 => members.prop_map(|members| {
                    format!("{{{}}}", members.into_iter().map(|(l, v)| format!("{l} : {v}")).collect::<Vec<_>>().join(","))
                }),
                1 => list.prop_map(|list| list.concat()),
            ]
        })
    }

    #[test]
    fn gives_what_sqlite_gives() {
        let database = rusqlite::Connection::open_in_memory().expect("a database");
        let paths = vec!["$", "a", "$.a.a", "$[0]", "$[#-1]", "b c", "$.a[1]", "$[1].a", "0"];
        proptest!(ProptestConfig { cases: 4096, failure_persistence: None, ..Default::default() },
            |(document in documents(), path in proptest::sample::select(paths), as_sql: bool)| {
            let path = parse_path(path).expect("a path");
            let arrow = if as_sql { "->>" } else { "->" };
            let found = format!("CASE WHEN json_valid(?1) THEN ?1 {arrow} ?2 END");
            // As bytes, since text from half a surrogate pair is no UTF-8.
            let sql = format!("SELECT CASE typeof({found}) WHEN 'text' THEN CAST({found} AS BLOB) ELSE {found} END");
            let asked: Value = database
                .query_row(&sql, (&document, write_path(&path)), |row| row.get(0))
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            let ours = match extract(document.as_bytes(), &path, as_sql) {
                Scalar::Null => Value::Null,
                Scalar::Int(n) => Value::Integer(n),
                Scalar::Real(x) => Value::Real(x),
                Scalar::Text(text) => Value::Blob(text.into_owned()),
                Scalar::Blob(_) => unreachable!("JSON has no bytes"),
            };
            prop_assert_eq!(ours, asked, "{}", document);
        });
    }
}
