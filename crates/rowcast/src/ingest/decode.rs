//! Bytes into records, wherever the bytes are cut.
//!
//! Knows formats and no tables: `coerce` makes a record fit one. Holds one record at a time, never a body, so that a body
//! may stream without end; a record that is wrong is told and the next one is read.

mod copy;
mod csv;
mod fields;
mod json;
mod line;
mod lines;
mod text;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

pub use fields::{Field, Fields};
pub use line::Point;

/// The longest record that is read, in bytes. A longer one is rejected, not held.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// How rows are written in a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Found out from the media type and the first bytes. Lines may be NDJSON and SSE, whatever the media type says.
    #[default]
    Auto,
    /// One JSON object on each line.
    Ndjson,
    /// One JSON object, or an array of them, which is read element by element.
    Json,
    /// RFC 4180 with a first line of column names. An empty field is NULL, and the empty text when it is quoted.
    Csv,
    /// Server-Sent Events; the data of each is one JSON object.
    Sse,
    /// PostgreSQL's COPY text format. Its columns are told beside it ([`Decoder::columns`]), or by a first line
    /// `COPY table (a, b) FROM stdin;`.
    Copy,
    /// InfluxDB's line protocol: tags and fields by their names, the time as `time`. The measurement is not kept.
    Line,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Auto, Self::Ndjson, Self::Json, Self::Csv, Self::Sse, Self::Copy, Self::Line];

    /// The format that a `Content-Type` names; `None` where it names another.
    pub fn from_media_type(content_type: &str) -> Option<Self> {
        match essence(content_type).to_ascii_lowercase().as_str() {
            "application/json" => Some(Format::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Some(Format::Ndjson)
            }
            "text/csv" => Some(Format::Csv),
            "text/event-stream" => Some(Format::Sse),
            _ => None,
        }
    }

    /// `auto`, `ndjson`, `json`, `csv`, `sse`, `copy` or `line`.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Auto => "auto",
            Format::Ndjson => "ndjson",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Sse => "sse",
            Format::Copy => "copy",
            Format::Line => "line",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a format; write auto, ndjson, json, csv, sse, copy or line")]
pub struct FormatError(pub String);

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| FormatError(text.chars().take(64).collect()))
    }
}

/// A media type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// One record of a body, or what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The line on which it begins, from 1; in JSON the element's number.
    pub line: u64,
    /// Its first bytes as they came, for people; empty unless [`Decoder::keep_raw`] asked for it.
    pub raw: Box<str>,
    /// Where its source says that it stands, by which it is known when it comes again: the id of a server-sent event, a
    /// file's line. `None` where a second connection would count anew.
    pub place: Option<Box<str>>,
    /// Names and values in the order they came.
    pub fields: Result<Fields, RecordError>,
}

/// What is wrong with a record. What follows it is read all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Longer than the limit.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// The bytes are no text.
    #[error("not UTF-8")]
    NotUtf8,
    /// Text, but no JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON, but not an object.
    #[error("expected an object, got {0}")]
    NotAnObject(&'static str),
    /// A CSV record with more or fewer fields than there are names.
    #[error("expected {expected} fields as in the first line, got {found}")]
    FieldCount {
        /// Names in the first line.
        expected: usize,
        /// Fields in this record.
        found: usize,
    },
    /// A COPY row with more or fewer columns than were told.
    #[error("expected {expected} columns, got {found}")]
    ColumnCount {
        /// Columns that were told.
        expected: usize,
        /// Columns in this row.
        found: usize,
    },
    /// A line that is none of InfluxDB's.
    #[error("not line protocol: {0}")]
    NotLineProtocol(String),
    /// The first line of a CSV body does not name columns: nothing after it can be read.
    #[error("the first line must name the columns: {0}")]
    Header(String),
    /// The body ended inside the record.
    #[error("the body ended too early")]
    Truncated,
    /// Bytes after the end of a JSON body.
    #[error("more after the end of the JSON; send several rows as an array, or as application/x-ndjson")]
    Trailing,
    /// Found before a restart; as it was said then.
    #[error("{0}")]
    Earlier(Box<str>),
}

/// Reads records from the chunks of one body.
#[derive(Debug)]
pub struct Decoder {
    content_type: Option<Box<str>>,
    bom: Bom,
    out: Shape,
    state: State,
}

/// What a record looks like on its way out.
#[derive(Debug, Clone, Copy)]
struct Shape {
    raw_bytes: usize,
    record_bytes_max: usize,
}

#[derive(Debug)]
enum State {
    Sniffing(Vec<u8>),
    Text(text::Text),
    Json(json::Elements),
    Csv(Box<csv::Records>),
    Copy(Box<copy::Rows>),
    Line(line::Points),
}

impl Decoder {
    /// A reader for one body. The media type matters to [`Format::Auto`] only.
    pub fn new(format: Format, content_type: Option<&str>) -> Self {
        let mut decoder = Self {
            content_type: content_type.map(|t| essence(t).to_ascii_lowercase().into()),
            bom: Bom::default(),
            out: Shape { raw_bytes: 0, record_bytes_max: RECORD_BYTES_MAX },
            state: State::Sniffing(Vec::new()),
        };
        match format {
            Format::Auto if decoder.content_type.as_deref() == Some("text/csv") => decoder.begin(Sniffed::Csv),
            Format::Auto => {}
            Format::Ndjson => decoder.begin(Sniffed::Text(text::Accept::Ndjson)),
            Format::Sse => decoder.begin(Sniffed::Text(text::Accept::Sse)),
            Format::Json => decoder.begin(Sniffed::Json),
            Format::Csv => decoder.begin(Sniffed::Csv),
            Format::Copy => decoder.state = State::Copy(Box::default()),
            Format::Line => decoder.state = State::Line(line::Points::default()),
        }
        decoder
    }

    /// The columns of a body of [`Format::Copy`], in its order. Others name their own.
    pub fn columns(mut self, names: Vec<String>) -> Self {
        if let State::Copy(rows) = &mut self.state {
            **rows = copy::Rows::named(names);
        }
        self
    }

    /// Keeps the first bytes of each record in [`Record::raw`].
    pub fn keep_raw(mut self, bytes: usize) -> Self {
        self.out.raw_bytes = bytes;
        self
    }

    /// Another limit than [`RECORD_BYTES_MAX`].
    pub fn record_bytes_max(mut self, bytes: usize) -> Self {
        self.out.record_bytes_max = bytes;
        self
    }

    /// Appends the records that end in this chunk to `records`.
    pub fn feed(&mut self, chunk: &[u8], records: &mut Vec<Record>) {
        let chunk = self.bom.strip(chunk);
        if !chunk.is_empty() {
            self.feed_plain(&chunk, records);
        }
    }

    /// Appends what the end of the body completes, or cuts off.
    pub fn finish(&mut self, records: &mut Vec<Record>) {
        let withheld = self.bom.withheld();
        if !withheld.is_empty() {
            self.feed_plain(withheld, records);
        }
        self.settle(true, records);
        match &mut self.state {
            State::Sniffing(_) => {}
            State::Text(text) => text.finish(self.out, records),
            State::Json(json) => json.finish(self.out, records),
            State::Csv(csv) => csv.finish(self.out, records),
            State::Copy(copy) => copy.finish(self.out, records),
            State::Line(line) => line.finish(self.out, records),
        }
    }

    /// The `id:` of the last complete SSE event.
    pub fn last_event_id(&self) -> Option<&str> {
        match &self.state {
            State::Text(text) => text.last_event_id(),
            _ => None,
        }
    }

    /// The last `retry:` of an SSE body.
    pub fn retry(&self) -> Option<std::time::Duration> {
        match &self.state {
            State::Text(text) => text.retry(),
            _ => None,
        }
    }

    /// Whether the body is one of lines, which may go on without end; `false` for JSON and CSV documents.
    pub fn is_stream(&self) -> bool {
        matches!(self.state, State::Text(_) | State::Line(_))
    }

    fn feed_plain(&mut self, chunk: &[u8], records: &mut Vec<Record>) {
        match &mut self.state {
            State::Sniffing(held) => {
                held.extend_from_slice(chunk);
                self.settle(false, records);
            }
            State::Text(text) => text.feed(chunk, self.out, records),
            State::Json(json) => json.feed(chunk, self.out, records),
            State::Csv(csv) => csv.feed(chunk, self.out, records),
            State::Copy(copy) => copy.feed(chunk, self.out, records),
            State::Line(line) => line.feed(chunk, self.out, records),
        }
    }

    /// Chooses the format as soon as the bytes held tell it.
    fn settle(&mut self, ended: bool, records: &mut Vec<Record>) {
        let State::Sniffing(held) = &mut self.state else { return };
        let Some(sniffed) = sniff(held, self.content_type.as_deref(), ended) else { return };
        let held = std::mem::take(held);
        self.begin(sniffed);
        self.feed_plain(&held, records);
    }

    fn begin(&mut self, sniffed: Sniffed) {
        self.state = match sniffed {
            Sniffed::Text(accept) => State::Text(text::Text::new(accept)),
            Sniffed::Json => State::Json(json::Elements::default()),
            Sniffed::Csv => State::Csv(Box::default()),
        };
    }
}

enum Sniffed {
    Text(text::Accept),
    Json,
    Csv,
}

/// A first line this long settles that a JSON body is no NDJSON.
const SNIFF_BYTES_MAX: usize = 64 << 10;

/// Tells the format from the first bytes; `None` while they do not tell.
fn sniff(held: &[u8], content_type: Option<&str>, ended: bool) -> Option<Sniffed> {
    let Some(start) = held.iter().position(|b| !b.is_ascii_whitespace()) else {
        return (held.len() > SNIFF_BYTES_MAX).then_some(Sniffed::Text(text::Accept::Either));
    };
    match held[start] {
        b'[' => Some(Sniffed::Json),
        // Endless NDJSON is often called application/json; a printed object has line breaks inside.
        b'{' if content_type == Some("application/json") => {
            let line = match memchr::memchr(b'\n', &held[start..]) {
                Some(end) => &held[start..start + end],
                None if ended || held.len() > SNIFF_BYTES_MAX => &held[start..],
                None => return None,
            };
            let whole = std::str::from_utf8(line).is_ok_and(|line| Fields::from_json(line).is_ok());
            Some(if whole { Sniffed::Text(text::Accept::Either) } else { Sniffed::Json })
        }
        _ => Some(Sniffed::Text(text::Accept::Either)),
    }
}

/// Takes the byte order mark from the front of a body.
#[derive(Debug, Default)]
struct Bom {
    /// Whether the front of the body is behind.
    passed: bool,
    /// Bytes of the mark seen so far.
    seen: usize,
}

impl Bom {
    const MARK: &[u8] = b"\xEF\xBB\xBF";

    /// The chunk without the mark; what is held back because it may be one comes with a later chunk.
    fn strip<'a>(&mut self, chunk: &'a [u8]) -> Cow<'a, [u8]> {
        if self.passed {
            return chunk.into();
        }
        let wanted = &Self::MARK[self.seen..];
        let equal = wanted.iter().zip(chunk).take_while(|(a, b)| a == b).count();
        if equal == wanted.len() {
            self.passed = true;
            return chunk[equal..].into();
        }
        if equal == chunk.len() {
            self.seen += equal;
            return Cow::Borrowed(&[]);
        }
        self.passed = true;
        let mut all = Self::MARK[..self.seen].to_vec();
        all.extend_from_slice(chunk);
        all.into()
    }

    /// The part of a mark with which a body ended: it was none.
    fn withheld(&mut self) -> &'static [u8] {
        let withheld = if self.passed { &[] } else { &Self::MARK[..self.seen] };
        self.passed = true;
        withheld
    }
}

impl Shape {
    fn record(self, line: u64, bytes: &[u8], fields: Result<Fields, RecordError>) -> Record {
        Record { line, raw: excerpt(bytes, self.raw_bytes), place: None, fields }
    }

    fn too_long(self) -> RecordError {
        RecordError::TooLong(self.record_bytes_max)
    }

    /// How much of an overlong record is kept: enough to be shown, and to tell what it was.
    fn shown(self) -> usize {
        self.raw_bytes.max(64).min(self.record_bytes_max)
    }
}

/// The first `limit` bytes as text, cut between characters.
pub(in crate::ingest) fn excerpt(bytes: &[u8], limit: usize) -> Box<str> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]);
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

#[cfg(test)]
mod tests;
