//! A JSON body, element by element: finds where each ends and parses it alone.

use super::{Fields, Record, RecordError, Shape};

/// Reads one object, or the elements of one array.
#[derive(Debug, Default)]
pub(super) struct Elements {
    place: Place,
    /// The front of the element whose end has not come.
    held: Vec<u8>,
    too_long: bool,
    /// Elements that have ended.
    ended: u64,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    BeforeBody,
    /// In the one object of the body.
    InObject,
    /// In the array, in an element or beside one.
    InArray,
    AfterBody,
    /// Nothing more can be said about this body.
    Lost,
}

impl Elements {
    pub(super) fn feed(&mut self, mut chunk: &[u8], out: Shape, records: &mut Vec<Record>) {
        while !chunk.is_empty() {
            match self.place {
                Place::Lost => return,
                Place::BeforeBody | Place::AfterBody => {
                    let Some(start) = chunk.iter().position(|b| !is_space(*b)) else { return };
                    chunk = &chunk[start..];
                    let taken = self.at_top(chunk[0], out, records);
                    chunk = &chunk[taken..];
                }
                Place::InObject | Place::InArray => match self.scan(chunk) {
                    None => return self.hold(chunk, out),
                    Some(end) => {
                        self.end_element(chunk, end, out, records);
                        chunk = &chunk[end + 1..];
                    }
                },
            }
        }
    }

    pub(super) fn finish(&mut self, out: Shape, records: &mut Vec<Record>) {
        match self.place {
            Place::AfterBody | Place::Lost => {}
            Place::BeforeBody => {
                let error = RecordError::NotJson("the body is empty".into());
                records.push(out.record(1, &[], Err(error)));
            }
            Place::InObject | Place::InArray => {
                let error = if self.too_long { out.too_long() } else { RecordError::Truncated };
                records.push(out.record(self.ended + 1, &self.held, Err(error)));
            }
        }
        self.place = Place::Lost;
    }

    /// A byte outside of any row; returns how many bytes it uses up.
    fn at_top(&mut self, byte: u8, out: Shape, records: &mut Vec<Record>) -> usize {
        self.place = match (self.place, byte) {
            (Place::BeforeBody, b'[') => {
                self.place = Place::InArray;
                return 1;
            }
            (Place::BeforeBody, b'{') => Place::InObject,
            (place, _) => {
                let error = match place {
                    Place::AfterBody => RecordError::Trailing,
                    _ => RecordError::NotJson("expected an object or an array of objects".into()),
                };
                records.push(out.record(self.ended + 1, &[byte], Err(error)));
                Place::Lost
            }
        };
        0
    }

    /// Where the current element ends in the chunk: at its `}`, or at the `,` or `]` after it in an array.
    fn scan(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < chunk.len() {
            if self.in_string {
                at += self.scan_string(&chunk[at..]);
                continue;
            }
            match chunk[at] {
                b'"' => self.in_string = true,
                b',' | b']' if self.depth == 0 && self.place == Place::InArray => return Some(at),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 && self.place == Place::InObject {
                        return Some(at);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        None
    }

    /// Passes over a string's inside; returns how many bytes.
    fn scan_string(&mut self, chunk: &[u8]) -> usize {
        if std::mem::take(&mut self.escaped) {
            return 1;
        }
        let Some(at) = memchr::memchr2(b'"', b'\\', chunk) else { return chunk.len() };
        if chunk[at] == b'"' {
            self.in_string = false;
        } else {
            self.escaped = true;
        }
        at + 1
    }

    fn end_element(&mut self, chunk: &[u8], end: usize, out: Shape, records: &mut Vec<Record>) {
        let array = self.place == Place::InArray;
        let closed = chunk[end] != b',';
        if closed {
            self.place = Place::AfterBody;
        }
        self.depth = 0;
        let rest = if array { &chunk[..end] } else { &chunk[..=end] };
        let rest = if self.held.is_empty() { rest.trim_ascii_start() } else { rest };
        let held = std::mem::take(&mut self.held);
        let too_long = std::mem::take(&mut self.too_long) || held.len() + rest.len() > out.record_bytes_max;
        let joined;
        let bytes = if held.is_empty() {
            rest
        } else {
            joined = [held.as_slice(), rest].concat();
            joined.as_slice()
        };
        let empty = !too_long && bytes.iter().all(|b| is_space(*b));
        // `[]` has no element.
        if empty && closed && self.ended == 0 {
            return;
        }
        self.ended += 1;
        let fields = if too_long { Err(out.too_long()) } else { element(bytes) };
        records.push(out.record(self.ended, bytes, fields));
    }

    fn hold(&mut self, bytes: &[u8], out: Shape) {
        let bytes = if self.held.is_empty() { bytes.trim_ascii_start() } else { bytes };
        if self.too_long {
            return;
        }
        if self.held.len() + bytes.len() > out.record_bytes_max {
            self.too_long = true;
            let more = out.shown().saturating_sub(self.held.len()).min(bytes.len());
            self.held.extend_from_slice(&bytes[..more]);
            self.held.truncate(out.shown());
            self.held.shrink_to_fit();
        } else {
            self.held.extend_from_slice(bytes);
        }
    }
}

fn element(bytes: &[u8]) -> Result<Fields, RecordError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RecordError::NotUtf8)?;
    if text.bytes().all(is_space) {
        return Err(RecordError::NotJson("nothing between two commas".into()));
    }
    Fields::from_json(text)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
