//! CSV as RFC 4180 has it, with names in the first line.
//!
//! `csv-core` finds the fields. Whether one was quoted is seen here: it tells the empty text from NULL.

use super::{Field, Fields, Record, RecordError, Shape};

/// No database has a table this wide.
const NAMES_MAX: usize = 4096;

/// Reads records after a first one of names.
#[derive(Debug)]
pub(super) struct Records {
    reader: csv_core::Reader,
    names: Option<Box<[Box<str>]>>,
    /// The fields of the current record, one after another, and where each ends.
    text: Vec<u8>,
    ends: Vec<(usize, bool)>,
    too_long: bool,
    field: FieldState,
    line: u64,
    begun: u64,
    inside: bool,
    lost: bool,
}

/// How the current field looks in the body.
#[derive(Debug, Default, Clone, Copy)]
struct FieldState {
    begun: bool,
    quoted: bool,
    /// An odd number of quotes: inside them.
    open: bool,
}

impl Default for Records {
    fn default() -> Self {
        let mut reader = csv_core::Reader::new();
        // It would take a byte order mark for one only where the first chunk holds all of it; `Bom` did that already.
        reader.read_field(b"\n", &mut [0]);
        Self {
            reader,
            names: None,
            text: Vec::new(),
            ends: Vec::new(),
            too_long: false,
            field: FieldState::default(),
            line: 1,
            begun: 1,
            inside: false,
            lost: false,
        }
    }
}

impl Records {
    pub(super) fn feed(&mut self, mut chunk: &[u8], out: Shape, records: &mut Vec<Record>) {
        while !chunk.is_empty() && !self.lost {
            if !self.inside {
                chunk = self.skip_line_ends(chunk);
                self.begun = self.line;
                self.inside = !chunk.is_empty();
                continue;
            }
            if !std::mem::replace(&mut self.field.begun, true) {
                self.field.quoted = chunk[0] == b'"';
            }
            let taken = self.step(chunk, out, records);
            self.line += memchr::memchr_iter(b'\n', &chunk[..taken]).count() as u64;
            chunk = &chunk[taken..];
        }
    }

    pub(super) fn finish(&mut self, out: Shape, records: &mut Vec<Record>) {
        if self.inside && self.field.quoted && self.field.open {
            let error = if self.too_long { out.too_long() } else { RecordError::Truncated };
            records.push(out.record(self.begun, &self.text, Err(error)));
        } else {
            while self.inside && !self.lost {
                self.step(&[], out, records);
            }
        }
        self.lost = true;
    }

    fn skip_line_ends<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let end = chunk.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(chunk.len());
        self.line += memchr::memchr_iter(b'\n', &chunk[..end]).count() as u64;
        &chunk[end..]
    }

    /// Reads at most to the end of the field; returns how many bytes that took.
    fn step(&mut self, chunk: &[u8], out: Shape, records: &mut Vec<Record>) -> usize {
        let mut piece = [0; 1024];
        let (result, taken, written) = self.reader.read_field(chunk, &mut piece);
        if self.field.quoted {
            self.field.open ^= memchr::memchr_iter(b'"', &chunk[..taken]).count() % 2 == 1;
        }
        self.keep(&piece[..written], out);
        match result {
            csv_core::ReadFieldResult::InputEmpty | csv_core::ReadFieldResult::OutputFull => {}
            csv_core::ReadFieldResult::Field { record_end } => {
                if !self.too_long {
                    self.ends.push((self.text.len(), self.field.quoted));
                }
                self.field = FieldState::default();
                if record_end {
                    self.end_record(out, records);
                }
            }
            csv_core::ReadFieldResult::End => self.inside = false,
        }
        taken
    }

    fn keep(&mut self, piece: &[u8], out: Shape) {
        // A field costs its end, too: a line of nothing but commas must stay bounded.
        let cost = self.text.len() + piece.len() + self.ends.len();
        if self.too_long || cost > out.record_bytes_max {
            self.too_long = true;
            let more = out.shown().saturating_sub(self.text.len()).min(piece.len());
            self.text.extend_from_slice(&piece[..more]);
            self.text.truncate(out.shown());
            self.ends.clear();
        } else {
            self.text.extend_from_slice(piece);
        }
    }

    fn end_record(&mut self, out: Shape, records: &mut Vec<Record>) {
        self.inside = false;
        let too_long = std::mem::take(&mut self.too_long);
        if self.names.is_some() {
            let fields = if too_long { Err(out.too_long()) } else { self.fields() };
            records.push(out.record(self.begun, &self.shown(out), fields));
        } else {
            match if too_long { Err("it is too long".into()) } else { self.header() } {
                Ok(names) => self.names = Some(names),
                Err(message) => {
                    self.lost = true;
                    records.push(out.record(self.begun, &self.shown(out), Err(RecordError::Header(message))));
                }
            }
        }
        self.text.clear();
        self.ends.clear();
    }

    fn fields(&self) -> Result<Fields, RecordError> {
        let names = self.names.as_deref().unwrap_or_default();
        if self.ends.len() != names.len() {
            return Err(RecordError::FieldCount { expected: names.len(), found: self.ends.len() });
        }
        let value = |bytes: &[u8], quoted: bool| match std::str::from_utf8(bytes) {
            Ok("") if !quoted => Ok(Field::Null),
            Ok(text) => Ok(Field::Text(text.into())),
            Err(_) => Err(RecordError::NotUtf8),
        };
        let fields = names.iter().zip(self.pieces());
        fields
            .map(|(name, (bytes, quoted))| Ok((name.clone(), value(bytes, quoted)?)))
            .collect::<Result<_, _>>()
            .map(Fields)
    }

    fn header(&self) -> Result<Box<[Box<str>]>, String> {
        if self.ends.len() > NAMES_MAX {
            return Err(format!("more than {NAMES_MAX} names"));
        }
        let mut names: Vec<Box<str>> = Vec::with_capacity(self.ends.len());
        for (bytes, _) in self.pieces() {
            let name = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?.trim();
            if name.is_empty() {
                return Err(format!("name {} is empty", names.len() + 1));
            }
            if names.iter().any(|n| **n == *name) {
                return Err(format!("`{name}` is there twice"));
            }
            names.push(name.into());
        }
        Ok(names.into())
    }

    fn pieces(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        starts.zip(&self.ends).map(|(start, (end, quoted))| (&self.text[start..*end], *quoted))
    }

    /// The record's front, joined again with commas.
    fn shown(&self, out: Shape) -> Vec<u8> {
        if self.ends.is_empty() {
            return self.text.clone();
        }
        let mut shown = Vec::new();
        for (bytes, _) in self.pieces().take_while(|_| out.raw_bytes > 0) {
            if shown.len() >= out.raw_bytes {
                break;
            }
            if !shown.is_empty() {
                shown.push(b',');
            }
            shown.extend_from_slice(bytes);
        }
        shown
    }
}
