//! Paths into JSON text: what SQLite's `->` and `->>` give, on documents that its `json_valid` accepts.
//!
//! Reads the text in place and builds no tree; allocates only for strings with escapes and documents with spaces.

mod valid;

use std::borrow::Cow;

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

/// A place in a document that is known to be JSON.
#[derive(Debug, Clone, Copy)]
struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Cursor<'t> {
    fn at_value(text: &'t [u8]) -> Self {
        Self { text, at: 0 }.spaces()
    }

    fn peek(self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn spaces(mut self) -> Self {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self
    }

    /// Behind the current byte and the spaces after it.
    fn next(mut self) -> Self {
        self.at += 1;
        self.spaces()
    }

    fn step(self, step: &Step) -> Option<Self> {
        match (step, self.peek()) {
            (Step::Label(label), b'{') => self.member(label.as_bytes()),
            (Step::Index(n), b'[') => self.elements().nth(usize::try_from(*n).ok()?),
            (Step::FromEnd(n), b'[') => {
                let count = self.elements().count();
                let n = usize::try_from(*n).ok().filter(|n| (1..=count).contains(n))?;
                self.elements().nth(count - n)
            }
            _ => None,
        }
    }

    /// The value of the first member with this label.
    fn member(self, label: &[u8]) -> Option<Self> {
        let mut at = self.next();
        while at.peek() == b'"' {
            let end = at.string_end();
            let found = is_label(&at.text[at.at + 1..end - 1], label);
            let value = Self { at: end, ..at }.spaces().next();
            if found {
                return Some(value);
            }
            at = Self { at: value.end(), ..at }.spaces();
            if at.peek() != b',' {
                return None;
            }
            at = at.next();
        }
        None
    }

    fn elements(self) -> impl Iterator<Item = Self> {
        let first = Some(self.next()).filter(|at| at.peek() != b']');
        std::iter::successors(first, |value| {
            let after = Self { at: value.end(), ..*value }.spaces();
            (after.peek() == b',').then(|| after.next())
        })
    }

    fn value(self) -> &'t [u8] {
        &self.text[self.at..self.end()]
    }

    /// Behind the value that begins here.
    fn end(self) -> usize {
        match self.peek() {
            b'"' => self.string_end(),
            b'{' | b'[' => self.nest_end(),
            _ => {
                let rest = &self.text[self.at..];
                let ends = |b: &u8| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
                self.at + rest.iter().position(ends).unwrap_or(rest.len())
            }
        }
    }

    fn string_end(mut self) -> usize {
        loop {
            self.at += 1;
            match self.peek() {
                b'"' => return self.at + 1,
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }

    fn nest_end(mut self) -> usize {
        let mut depth = 0usize;
        loop {
            match self.peek() {
                b'"' => self.at = self.string_end() - 1,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return self.at;
            }
        }
    }
}

/// Whether a label as written in the document is this one. SQLite ends a label at an escaped NUL.
fn is_label(written: &[u8], label: &[u8]) -> bool {
    if !written.contains(&b'\\') {
        return written == label;
    }
    let plain = unescape(written);
    plain[..memchr::memchr(0, &plain).unwrap_or(plain.len())] == *label
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

/// The bytes that a string's inside stands for. Half a surrogate pair gives the three bytes of its number, as in SQLite.
fn unescape(inside: &[u8]) -> Cow<'_, [u8]> {
    if !inside.contains(&b'\\') {
        return Cow::Borrowed(inside);
    }
    let mut out = Vec::with_capacity(inside.len());
    let mut at = 0;
    while at < inside.len() {
        if inside[at] != b'\\' {
            out.push(inside[at]);
            at += 1;
            continue;
        }
        let (c, taken) = escape(&inside[at..]);
        push_char(&mut out, c);
        at += taken;
    }
    Cow::Owned(out)
}

/// The character of the escape that the text begins with, and how many bytes it takes.
fn escape(text: &[u8]) -> (u32, usize) {
    match text[1] {
        b'b' => (8, 2),
        b'f' => (12, 2),
        b'n' => (10, 2),
        b'r' => (13, 2),
        b't' => (9, 2),
        b'u' => {
            let high = hex4(text, 2).unwrap_or(0);
            let low = if text.get(6..8) == Some(b"\\u") { hex4(text, 8) } else { None };
            match low {
                Some(low) if high & 0xfc00 == 0xd800 && low & 0xfc00 == 0xdc00 => {
                    (((high & 0x3ff) << 10) + (low & 0x3ff) + 0x1_0000, 12)
                }
                _ => (high, 6),
            }
        }
        plain => (u32::from(plain), 2),
    }
}

fn hex4(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..at + 4)?.iter().try_fold(0, |n, b| Some(n << 4 | char::from(*b).to_digit(16)?))
}

fn push_char(out: &mut Vec<u8>, c: u32) {
    let tail = |shift: u32| 0x80 | (c >> shift & 0x3f) as u8;
    match c {
        0..0x80 => out.push(c as u8),
        0x80..0x800 => out.extend([0xc0 | (c >> 6) as u8, tail(0)]),
        0x800..0x1_0000 => out.extend([0xe0 | (c >> 12) as u8, tail(6), tail(0)]),
        _ => out.extend([0xf0 | (c >> 18) as u8, tail(12), tail(6), tail(0)]),
    }
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
