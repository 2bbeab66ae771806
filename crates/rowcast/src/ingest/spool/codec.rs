//! Records as bytes in a spool's file.

use super::super::decode::{Field, Fields, Record, RecordError};

/// What begins a segment's payloads.
const HEAD: u8 = 0;
const GROUP: u8 = 1;
/// The layout that this file writes.
const VERSION: u8 = 1;

/// What stands at the beginning of a file.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    pub(super) life: String,
    pub(super) salt: u32,
    pub(super) resume: Option<String>,
}

/// Records that were taken together.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    pub(super) first: u64,
    pub(super) time_ms: u64,
    pub(super) resume: Option<String>,
    pub(super) records: Vec<Record>,
}

/// The bytes are not what this file writes.
#[derive(Debug)]
pub(super) struct Malformed;

/// About the bytes that records take.
pub(super) fn weight(records: &[Record]) -> u64 {
    let field = |(name, field): &(Box<str>, Field)| {
        24 + name.len()
            + match field {
                Field::Null | Field::Bool(_) => 0,
                Field::Number(text) | Field::Text(text) | Field::Json(text) => text.len(),
            }
    };
    let record = |record: &Record| {
        64 + record.raw.len() + record.fields.as_ref().map_or(32, |fields| fields.0.iter().map(field).sum())
    };
    records.iter().map(record).sum::<usize>() as u64
}

impl Head {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend([HEAD, VERSION]);
        out.extend(self.salt.to_le_bytes());
        text(out, &self.life);
        optional(out, self.resume.as_deref());
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input(bytes);
        if input.byte()? != HEAD || input.byte()? != VERSION {
            return Err(Malformed);
        }
        let salt = u32::from_le_bytes(input.array()?);
        Ok(Self { salt, life: input.text()?.into(), resume: input.optional()?.map(str::to_owned) })
    }
}

/// Writes a group.
pub(super) fn write(out: &mut Vec<u8>, first: u64, time_ms: u64, resume: Option<&str>, records: &[Record]) {
    out.push(GROUP);
    out.extend(first.to_le_bytes());
    out.extend(time_ms.to_le_bytes());
    optional(out, resume);
    length(out, records.len());
    for record in records {
        out.extend(record.line.to_le_bytes());
        text(out, &record.raw);
        optional(out, record.place.as_deref());
        match &record.fields {
            Err(error) => {
                out.push(1);
                text(out, &error.to_string());
            }
            Ok(fields) => {
                out.push(0);
                length(out, fields.0.len());
                for (name, field) in &fields.0 {
                    text(out, name);
                    write_field(out, field);
                }
            }
        }
    }
}

fn write_field(out: &mut Vec<u8>, field: &Field) {
    let (tag, digits) = match field {
        Field::Null => return out.push(0),
        Field::Bool(false) => return out.push(1),
        Field::Bool(true) => return out.push(2),
        Field::Number(digits) => (3, digits),
        Field::Text(digits) => (4, digits),
        Field::Json(digits) => (5, digits),
    };
    out.push(tag);
    text(out, digits);
}

impl Group {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input(bytes);
        let (first, time_ms, resume, count) = input.group()?;
        let mut records = Vec::with_capacity(count.min(1 << 16));
        for _ in 0..count {
            records.push(input.record()?);
        }
        Ok(Self { first, time_ms, resume, records })
    }

    /// Only how many records there are.
    pub(super) fn count(bytes: &[u8]) -> Result<(u64, u64, u64, Option<String>), Malformed> {
        let (first, time_ms, resume, count) = Input(bytes).group()?;
        Ok((first, count as u64, time_ms, resume))
    }
}

fn length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).expect("a record has less than 4 GiB").to_le_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn optional(out: &mut Vec<u8>, this: Option<&str>) {
    out.push(u8::from(this.is_some()));
    if let Some(this) = this {
        text(out, this);
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        self.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)
    }

    fn optional(&mut self) -> Result<Option<&'a str>, Malformed> {
        if self.byte()? == 0 { Ok(None) } else { self.text().map(Some) }
    }

    fn group(&mut self) -> Result<(u64, u64, Option<String>, usize), Malformed> {
        if self.byte()? != GROUP {
            return Err(Malformed);
        }
        let (first, time_ms) = (u64::from_le_bytes(self.array()?), u64::from_le_bytes(self.array()?));
        Ok((first, time_ms, self.optional()?.map(str::to_owned), self.length()?))
    }

    fn record(&mut self) -> Result<Record, Malformed> {
        let line = u64::from_le_bytes(self.array()?);
        let raw = self.text()?.into();
        let place = self.optional()?.map(Into::into);
        let fields = match self.byte()? {
            0 => {
                let count = self.length()?;
                let mut fields = Vec::with_capacity(count.min(1 << 10));
                for _ in 0..count {
                    fields.push((self.text()?.into(), self.field()?));
                }
                Ok(Fields(fields))
            }
            _ => Err(RecordError::Earlier(self.text()?.into())),
        };
        Ok(Record { line, raw, place, fields })
    }

    fn field(&mut self) -> Result<Field, Malformed> {
        Ok(match self.byte()? {
            0 => Field::Null,
            1 => Field::Bool(false),
            2 => Field::Bool(true),
            3 => Field::Number(self.text()?.into()),
            4 => Field::Text(self.text()?.into()),
            5 => Field::Json(self.text()?.into()),
            _ => return Err(Malformed),
        })
    }
}
