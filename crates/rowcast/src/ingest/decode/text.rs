//! NDJSON and Server-Sent Events: records that lines make.

use std::time::Duration;

use super::lines::{Line, Lines};
use super::{Fields, Record, RecordError, Shape};

/// What a line may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accept {
    Ndjson,
    Sse,
    /// Each line says itself: an object is NDJSON, a field is SSE.
    Either,
}

/// Reads records from lines.
#[derive(Debug)]
pub(super) struct Text {
    accept: Accept,
    lines: Lines,
    event: Event,
    last_event_id: Option<Box<str>>,
    retry: Option<Duration>,
}

/// The SSE event whose blank line has not come.
#[derive(Debug, Default)]
struct Event {
    data: Option<Vec<u8>>,
    line: u64,
    too_long: bool,
    id: Option<Box<str>>,
}

impl Text {
    pub(super) fn new(accept: Accept) -> Self {
        let lines = Lines::new(accept != Accept::Ndjson);
        Self { accept, lines, event: Event::default(), last_event_id: None, retry: None }
    }

    pub(super) fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    pub(super) fn feed(&mut self, chunk: &[u8], out: Shape, records: &mut Vec<Record>) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.feed(chunk, out.record_bytes_max, out.shown(), |line| self.line(line, out, records));
        self.lines = lines;
    }

    /// A last line without its end counts; an SSE event without its blank line does not, as the standard has it: the
    /// source sends it again after `Last-Event-ID`.
    pub(super) fn finish(&mut self, out: Shape, records: &mut Vec<Record>) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.finish(out.record_bytes_max, out.shown(), |line| self.line(line, out, records));
        self.event = Event::default();
    }

    fn line(&mut self, line: Line<'_>, out: Shape, records: &mut Vec<Record>) {
        let sse = match self.accept {
            Accept::Ndjson => false,
            Accept::Sse => true,
            Accept::Either => line.bytes.is_empty() || is_sse_field(line.bytes),
        };
        if sse {
            self.sse_line(line, out, records);
        } else if line.too_long {
            records.push(out.record(line.number, line.bytes, Err(out.too_long())));
        } else if !line.bytes.trim_ascii().is_empty() {
            records.push(out.record(line.number, line.bytes, object(line.bytes)));
        }
    }

    fn sse_line(&mut self, line: Line<'_>, out: Shape, records: &mut Vec<Record>) {
        if line.bytes.is_empty() && !line.too_long {
            return self.dispatch(out, records);
        }
        let (name, value) = split_field(line.bytes);
        match name {
            b"data" => self.event.push(line.number, value, line.too_long, out),
            // The standard ignores an id with a NUL in it.
            b"id" if !line.too_long && !value.contains(&0) => {
                self.event.id = Some(String::from_utf8_lossy(value).into());
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let ms = std::str::from_utf8(value).ok().and_then(|ms| ms.parse().ok());
                self.retry = ms.map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
    }

    /// The blank line that ends an event.
    fn dispatch(&mut self, out: Shape, records: &mut Vec<Record>) {
        let event = std::mem::take(&mut self.event);
        if let Some(id) = &event.id {
            self.last_event_id = Some(id.clone());
        }
        let Some(data) = event.data else { return };
        // The standard fires nothing for empty data; some sources keep a connection alive with it.
        if data.is_empty() {
            return;
        }
        let fields = if event.too_long { Err(out.too_long()) } else { object(&data) };
        records.push(Record { place: event.id.filter(|id| !id.is_empty()), ..out.record(event.line, &data, fields) });
    }
}

impl Event {
    fn push(&mut self, line: u64, value: &[u8], too_long: bool, out: Shape) {
        let data = match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data
            }
            none => {
                self.line = line;
                none.insert(Vec::new())
            }
        };
        if too_long || self.too_long || data.len() + value.len() > out.record_bytes_max {
            self.too_long = true;
            let more = out.shown().saturating_sub(data.len()).min(value.len());
            data.extend_from_slice(&value[..more]);
            data.truncate(out.shown());
        } else {
            data.extend_from_slice(value);
        }
    }
}

/// An object on one line, or on the lines of one event.
fn object(bytes: &[u8]) -> Result<Fields, RecordError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RecordError::NotUtf8)?;
    Fields::from_json(text)
}

/// The name before the colon and the value after it, less one space.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        Some(colon) => {
            let value = &line[colon + 1..];
            (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
        }
        None => (line, &[]),
    }
}

fn is_sse_field(line: &[u8]) -> bool {
    matches!(split_field(line).0, b"" | b"data" | b"id" | b"event" | b"retry")
}
