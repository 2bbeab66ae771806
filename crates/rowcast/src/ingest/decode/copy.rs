//! PostgreSQL's COPY text format: columns between tabs, `\N` for NULL, escapes with a backslash, `\.` at the end.
//!
//! Its columns are those that it is told, or of a first line `COPY table (a, b) FROM stdin;` as pg_dump writes it.

use super::lines::{Line, Lines};
use super::{Field, Fields, Record, RecordError, Shape};

/// Reads rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    lines: Lines,
    names: Option<Box<[Box<str>]>>,
    /// A row whose line ended with a backslash: the next one belongs to it.
    held: Option<Held>,
    begun: bool,
    ended: bool,
}

#[derive(Debug)]
struct Held {
    number: u64,
    bytes: Vec<u8>,
    too_long: bool,
}

impl Rows {
    /// With these columns.
    pub(super) fn named(names: Vec<String>) -> Self {
        Self { names: Some(names.into_iter().map(String::into_boxed_str).collect()), ..Self::default() }
    }

    pub(super) fn feed(&mut self, chunk: &[u8], out: Shape, records: &mut Vec<Record>) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.feed(chunk, out.record_bytes_max, out.shown(), |line| self.line(&line, out, records));
        self.lines = lines;
    }

    pub(super) fn finish(&mut self, out: Shape, records: &mut Vec<Record>) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.finish(out.record_bytes_max, out.shown(), |line| self.line(&line, out, records));
        if let Some(held) = self.held.take() {
            records.push(out.record(held.number, &held.bytes, Err(RecordError::Truncated)));
        }
    }

    fn line(&mut self, line: &Line<'_>, out: Shape, records: &mut Vec<Record>) {
        if self.ended {
            return;
        }
        if self.held.is_none() {
            if line.bytes == b"\\." {
                self.ended = true;
                return;
            }
            if !std::mem::replace(&mut self.begun, true) && !line.too_long && line.bytes.starts_with(b"COPY ") {
                return self.header(line, out, records);
            }
        }
        let continued = !line.too_long && ends_open(line.bytes);
        if self.held.is_none() && !continued {
            return self.row(line.number, line.bytes, line.too_long, out, records);
        }
        let held = self.held.get_or_insert_with(|| Held { number: line.number, bytes: Vec::new(), too_long: false });
        held.too_long |= line.too_long || held.bytes.len() + line.bytes.len() >= out.record_bytes_max;
        if held.too_long {
            held.bytes.truncate(out.shown());
        } else {
            held.bytes.extend_from_slice(line.bytes);
        }
        if continued {
            held.bytes.push(b'\n');
        } else if let Some(held) = self.held.take() {
            self.row(held.number, &held.bytes, held.too_long, out, records);
        }
    }

    fn header(&mut self, line: &Line<'_>, out: Shape, records: &mut Vec<Record>) {
        let names = std::str::from_utf8(line.bytes).ok().and_then(columns);
        match names {
            Some(names) => self.names = self.names.take().or(Some(names)),
            None if self.names.is_some() => {}
            None => {
                self.ended = true;
                let error = RecordError::Header("it is no `COPY table (a, b) FROM stdin;`".into());
                records.push(out.record(line.number, line.bytes, Err(error)));
            }
        }
    }

    fn row(&mut self, number: u64, bytes: &[u8], too_long: bool, out: Shape, records: &mut Vec<Record>) {
        let fields = match &self.names {
            _ if too_long => Err(out.too_long()),
            None => {
                self.ended = true;
                Err(RecordError::Header("this format has none, so they must be told beside it".into()))
            }
            Some(names) => fields(names, bytes),
        };
        records.push(out.record(number, bytes, fields));
    }
}

/// Whether the line's end is part of a value: an odd number of backslashes stands before it.
fn ends_open(line: &[u8]) -> bool {
    line.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

/// The names between the parentheses of a COPY statement.
fn columns(statement: &str) -> Option<Box<[Box<str>]>> {
    let inside = statement.split_once('(')?.1;
    let (inside, rest) = inside.rsplit_once(')')?;
    if !rest.trim().to_ascii_lowercase().starts_with("from stdin") {
        return None;
    }
    let name = |name: &str| match name.trim().strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\"").into_boxed_str(),
        None => name.trim().into(),
    };
    Some(inside.split(',').map(name).collect())
}

fn fields(names: &[Box<str>], row: &[u8]) -> Result<Fields, RecordError> {
    // A tab within a value is written with a backslash, so that each tab here is between two.
    let found = memchr::memchr_iter(b'\t', row).count() + 1;
    if found != names.len() {
        return Err(RecordError::ColumnCount { expected: names.len(), found });
    }
    let field = |bytes: &[u8]| match bytes {
        b"\\N" => Ok(Field::Null),
        bytes => {
            String::from_utf8(unescaped(bytes)).map(|text| Field::Text(text.into())).map_err(|_| RecordError::NotUtf8)
        }
    };
    let values = row.split(|byte| *byte == b'\t');
    names
        .iter()
        .zip(values)
        .map(|(name, bytes)| Ok((name.clone(), field(bytes)?)))
        .collect::<Result<_, _>>()
        .map(Fields)
}

fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(&first) = rest.first() else {
            out.push(b'\\');
            return out;
        };
        let (byte, taken) = match first {
            b'b' => (8, 1),
            b'f' => (12, 1),
            b'n' => (b'\n', 1),
            b'r' => (b'\r', 1),
            b't' => (b'\t', 1),
            b'v' => (11, 1),
            b'0'..=b'7' => code(rest, 0, 3, 8),
            b'x' if rest.get(1).is_some_and(u8::is_ascii_hexdigit) => code(rest, 1, 2, 16),
            other => (other, 1),
        };
        out.push(byte);
        rest = &rest[taken..];
    }
    out.extend_from_slice(rest);
    out
}

/// A byte by its number: at most `most` digits from `from` on. Returns also where it ends.
fn code(rest: &[u8], from: usize, most: usize, radix: u32) -> (u8, usize) {
    let digits = rest[from..].iter().take(most).map_while(|b| char::from(*b).to_digit(radix));
    let (value, count) = digits.fold((0_u32, 0), |(value, count), digit| (value * radix + digit, count + 1));
    ((value & 0xff) as u8, from + count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_postgresql() {
        let text = |bytes: &[u8]| String::from_utf8(unescaped(bytes)).expect("text");
        assert_eq!(text(br"a\tb\nc\\d\Ne"), "a\tb\nc\\dNe");
        assert_eq!(text(br"\101\x42\x4\0603\q"), "AB\u{4}03q");
        assert_eq!(text(b"\\\n\\"), "\n\\");
    }

    #[test]
    fn columns_come_from_a_statement() {
        let names = |text: &str| columns(text).map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names("COPY public.t (a, \"B c\") FROM stdin;"), Some(vec!["a".into(), "B c".into()]));
        assert_eq!(names("COPY t FROM stdin;"), None);
        assert_eq!(names("COPY t (a) TO stdout;"), None);
    }
}
