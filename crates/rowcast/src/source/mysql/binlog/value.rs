//! Values of columns, as the binlog has them.
//!
//! A column's type in the binlog says how its bytes are laid out; what they mean is in its declared type. [`Cell`] is both, put
//! together once for each table, so that a row is read without thinking. The layouts: MySQL's `Field::pack`, MariaDB's likewise.

pub(super) mod decimal;
pub(super) mod moment;
mod own;

use std::sync::Arc;

use super::bytes::{Bytes, Malformed, inflate};
use super::charset::Charset;
use super::json;
use crate::event::Value;
use crate::mysql::Kind;

/// A column's type as a table map event has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) code: u8,
    pub(super) meta: u16,
}

pub(super) mod code {
    pub(crate) const TINY: u8 = 1;
    pub(crate) const SHORT: u8 = 2;
    pub(crate) const LONG: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const TIMESTAMP: u8 = 7;
    pub(crate) const LONGLONG: u8 = 8;
    pub(crate) const INT24: u8 = 9;
    pub(crate) const DATE: u8 = 10;
    pub(crate) const TIME: u8 = 11;
    pub(crate) const DATETIME: u8 = 12;
    pub(crate) const YEAR: u8 = 13;
    pub(crate) const NEWDATE: u8 = 14;
    pub(crate) const VARCHAR: u8 = 15;
    pub(crate) const BIT: u8 = 16;
    pub(crate) const TIMESTAMP2: u8 = 17;
    pub(crate) const DATETIME2: u8 = 18;
    pub(crate) const TIME2: u8 = 19;
    pub(crate) const BLOB_COMPRESSED: u8 = 140;
    pub(crate) const VARCHAR_COMPRESSED: u8 = 141;
    pub(crate) const VECTOR: u8 = 242;
    pub(crate) const JSON: u8 = 245;
    pub(crate) const NEWDECIMAL: u8 = 246;
    pub(crate) const ENUM: u8 = 247;
    pub(crate) const SET: u8 = 248;
    pub(crate) const TINY_BLOB: u8 = 249;
    pub(crate) const BLOB: u8 = 252;
    pub(crate) const VAR_STRING: u8 = 253;
    pub(crate) const STRING: u8 = 254;
    pub(crate) const GEOMETRY: u8 = 255;
}

/// How a column's bytes become its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Int {
        bytes: u8,
        unsigned: bool,
    },
    Year,
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Bit {
        bytes: u8,
    },
    /// Behind a length of so many bytes.
    Text {
        prefix: u8,
        charset: Charset,
    },
    /// Behind a length of so many bytes; filled up with zeros to `width`, which the binlog leaves out.
    Bytes {
        prefix: u8,
        width: u16,
    },
    /// A column that MariaDB compresses.
    Compressed {
        prefix: u8,
        text: Option<Charset>,
    },
    /// Names by number.
    Enum {
        bytes: u8,
        names: Arc<[Value]>,
    },
    Set {
        bytes: u8,
        names: Arc<[Box<str>]>,
    },
    /// In MySQL's binary form.
    Json {
        prefix: u8,
    },
    /// As text.
    JsonText {
        prefix: u8,
        charset: Charset,
    },
    Uuid {
        prefix: u8,
    },
    Inet6 {
        prefix: u8,
    },
    Inet4 {
        prefix: u8,
    },
    Date,
    Time(u8),
    DateTime(u8),
    Timestamp(u8),
    OldTime,
    OldDateTime,
    OldTimestamp,
}

impl Cell {
    /// Puts both halves together; `None` where they do not fit, because the column was altered since one of them was known.
    pub(super) fn new(wire: Wire, kind: &Kind, declared: &str, charset: &Charset) -> Option<Self> {
        let Wire { code, meta } = wire;
        let fsp = |cell: fn(u8) -> Self, digits: u8| (u16::from(digits) == meta).then(|| cell(digits));
        let old = |cell: Self, digits: u8| (digits == 0).then_some(cell);
        match (kind, code) {
            (Kind::Int { bytes, unsigned }, _) => {
                let wanted = match code {
                    code::TINY => 1,
                    code::SHORT => 2,
                    code::INT24 => 3,
                    code::LONG => 4,
                    code::LONGLONG => 8,
                    _ => return None,
                };
                (wanted == *bytes).then_some(Self::Int { bytes: *bytes, unsigned: *unsigned })
            }
            (Kind::Year, code::YEAR) => Some(Self::Year),
            (Kind::Float, code::FLOAT) => Some(Self::Float),
            (Kind::Double, code::DOUBLE) => Some(Self::Double),
            (Kind::Decimal { precision, scale, .. }, code::NEWDECIMAL) => {
                let same = meta.to_le_bytes() == [*precision, *scale];
                same.then_some(Self::Decimal { precision: *precision, scale: *scale })
            }
            (Kind::Bit(bits), code::BIT) => {
                let [over, bytes] = meta.to_le_bytes();
                let all = u16::from(bytes) * 8 + u16::from(over);
                (all == u16::from(*bits)).then_some(Self::Bit { bytes: bytes + u8::from(over > 0) })
            }
            (Kind::Enum(names), code::ENUM) => {
                let wanted = if names.len() < 256 { 1 } else { 2 };
                let values = std::iter::once("").chain(names.iter().map(|name| &**name));
                let names = values.map(|name| Value::Text(name.into())).collect();
                (meta == wanted).then_some(Self::Enum { bytes: meta as u8, names })
            }
            (Kind::Set(names), code::SET) => {
                let wanted = match names.len().div_ceil(8) {
                    bytes @ 0..=4 => bytes.max(1),
                    _ => 8,
                };
                let same = usize::from(meta) == wanted;
                same.then(|| Self::Set { bytes: meta as u8, names: names.iter().cloned().collect() })
            }
            (Kind::Date, code::DATE | code::NEWDATE) => Some(Self::Date),
            (Kind::Time(digits), code::TIME2) => fsp(Self::Time, *digits),
            (Kind::DateTime(digits), code::DATETIME2) => fsp(Self::DateTime, *digits),
            (Kind::Timestamp(digits), code::TIMESTAMP2) => fsp(Self::Timestamp, *digits),
            (Kind::Time(digits), code::TIME) => old(Self::OldTime, *digits),
            (Kind::DateTime(digits), code::DATETIME) => old(Self::OldDateTime, *digits),
            (Kind::Timestamp(digits), code::TIMESTAMP) => old(Self::OldTimestamp, *digits),
            (Kind::Json, code::JSON) => Some(Self::Json { prefix: 4 }),
            (Kind::Json, _) => wire.prefix().map(|prefix| Self::JsonText { prefix, charset: charset.clone() }),
            (Kind::Uuid, code::STRING) => wire.prefix().map(|prefix| Self::Uuid { prefix }),
            (Kind::Inet6, code::STRING) => wire.prefix().map(|prefix| Self::Inet6 { prefix }),
            (Kind::Inet4, code::STRING) => wire.prefix().map(|prefix| Self::Inet4 { prefix }),
            (Kind::Text, code::BLOB_COMPRESSED | code::VARCHAR_COMPRESSED) => {
                wire.prefix().map(|prefix| Self::Compressed { prefix, text: Some(charset.clone()) })
            }
            (Kind::Bytes, code::BLOB_COMPRESSED | code::VARCHAR_COMPRESSED) => {
                wire.prefix().map(|prefix| Self::Compressed { prefix, text: None })
            }
            (Kind::Text, _) if wire.is_string() && wire.may_be(declared) => {
                wire.prefix().map(|prefix| Self::Text { prefix, charset: charset.clone() })
            }
            (Kind::Bytes, _) if wire.may_be(declared) => {
                let width = if code == code::STRING { meta } else { 0 };
                wire.prefix().map(|prefix| Self::Bytes { prefix, width })
            }
            (Kind::Other, _) => wire.prefix().map(|prefix| Self::Text { prefix, charset: charset.clone() }),
            _ => None,
        }
    }

    /// Reads a value.
    #[inline]
    pub(super) fn read(&self, data: &mut Bytes<'_>) -> Result<Value, Malformed> {
        Ok(match self {
            Self::Int { bytes, unsigned } => {
                let bytes = usize::from(*bytes);
                let number = data.little(bytes)?;
                if *unsigned {
                    unsigned_value(number)
                } else {
                    let shift = 64 - 8 * bytes as u32;
                    Value::Int(((number << shift) as i64) >> shift)
                }
            }
            Self::Year => Value::Int(match data.u8()? {
                0 => 0,
                year => 1900 + i64::from(year),
            }),
            Self::Float => Value::Real(single(f32::from_bits(data.u32()?))),
            Self::Double => Value::Real(f64::from_bits(data.u64()?)),
            Self::Decimal { precision, scale } => {
                decimal::read(data, *precision, *scale, |text| Value::Number(text.into()))?
            }
            Self::Bit { bytes } => unsigned_value(data.big(usize::from(*bytes))?),
            Self::Text { prefix, charset } => Value::Text(match charset {
                Charset::Utf8 => utf8(data.prefixed(*prefix)?),
                charset => charset.text(data.prefixed(*prefix)?).into(),
            }),
            Self::Bytes { prefix, width } => {
                let bytes = data.prefixed(*prefix)?;
                if bytes.len() < usize::from(*width) {
                    let mut filled = bytes.to_vec();
                    filled.resize((*width).into(), 0);
                    Value::Bytes(filled.into())
                } else {
                    Value::Bytes(bytes.into())
                }
            }
            Self::Compressed { prefix, text } => {
                let stored = data.prefixed(*prefix)?;
                let bytes = match stored.first() {
                    None => Vec::new(),
                    Some(0) => stored[1..].to_vec(),
                    Some(_) => inflate(stored, u32::MAX as usize)?,
                };
                match text {
                    Some(charset) => Value::Text(charset.text(&bytes).into()),
                    None => Value::Bytes(bytes.into()),
                }
            }
            Self::Enum { bytes, names } => {
                let number = data.little((*bytes).into())? as usize;
                names.get(number).cloned().ok_or(Malformed("an enum has no such number"))?
            }
            Self::Set { bytes, names } => {
                let bits = data.little((*bytes).into())?;
                let chosen = names.iter().enumerate().filter(|(n, _)| *n < 64 && bits >> n & 1 == 1);
                Value::Text(chosen.map(|(_, name)| &**name).collect::<Vec<_>>().join(",").into())
            }
            Self::Json { prefix } => Value::Json(json::text(data.prefixed(*prefix)?)?.into()),
            Self::JsonText { prefix, charset } => Value::Json(charset.text(data.prefixed(*prefix)?).into()),
            Self::Uuid { prefix } => Value::Text(own::uuid(data.prefixed(*prefix)?).into()),
            Self::Inet6 { prefix } => Value::Text(own::inet6(data.prefixed(*prefix)?).into()),
            Self::Inet4 { prefix } => Value::Text(own::inet4(data.prefixed(*prefix)?).into()),
            Self::Date => moment::date(data)?,
            Self::Time(digits) => moment::time(data, *digits)?,
            Self::DateTime(digits) => moment::datetime(data, *digits)?,
            Self::Timestamp(digits) => moment::timestamp(data, *digits)?,
            Self::OldTime => moment::old_time(data)?,
            Self::OldDateTime => moment::old_datetime(data)?,
            Self::OldTimestamp => moment::old_timestamp(data)?,
        })
    }
}

impl Wire {
    /// Bytes of the length before a value that has one.
    fn prefix(self) -> Option<u8> {
        match self.code {
            code::VARCHAR | code::VAR_STRING | code::VARCHAR_COMPRESSED | code::STRING => {
                Some(if self.meta < 256 { 1 } else { 2 })
            }
            code::TINY_BLOB..=code::BLOB | code::BLOB_COMPRESSED | code::GEOMETRY | code::JSON | code::VECTOR => {
                (1..=4).contains(&self.meta).then_some(self.meta as u8)
            }
            _ => None,
        }
    }

    fn is_string(self) -> bool {
        matches!(self.code, code::VARCHAR | code::VAR_STRING | code::STRING | code::TINY_BLOB..=code::BLOB)
    }

    /// Whether a text or bytes that were declared so are laid out like this.
    fn may_be(self, declared: &str) -> bool {
        let name = declared.split('(').next().unwrap_or_default();
        let blob = |length: u16| (code::TINY_BLOB..=code::BLOB).contains(&self.code) && self.meta == length;
        match name {
            "char" => self.code == code::STRING,
            "binary" => self.code == code::STRING && format!("binary({})", self.meta) == declared,
            "varchar" => matches!(self.code, code::VARCHAR | code::VAR_STRING),
            "varbinary" => {
                matches!(self.code, code::VARCHAR | code::VAR_STRING) && format!("varbinary({})", self.meta) == declared
            }
            "tinytext" | "tinyblob" => blob(1),
            "text" | "blob" => blob(2),
            "mediumtext" | "mediumblob" => blob(3),
            "longtext" | "longblob" => blob(4),
            "vector" => matches!(self.code, code::VECTOR | code::VARCHAR | code::BLOB | code::STRING),
            _ => self.code == code::GEOMETRY,
        }
    }
}

/// An integer, exact.
#[inline]
fn unsigned_value(number: u64) -> Value {
    match i64::try_from(number) {
        Ok(number) => Value::Int(number),
        Err(_) => Value::Number(itoa::Buffer::new().format(number).into()),
    }
}

/// The double with the same shortest digits: `0.1` stays `0.1`.
fn single(x: f32) -> f64 {
    // Most are small integers or halves, which are the same in both.
    if x.abs() < 1e6 && (x * 8.0).fract() == 0.0 {
        return f64::from(x);
    }
    x.to_string().parse().unwrap_or(f64::from(x))
}

fn utf8(bytes: &[u8]) -> Arc<str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).into(),
    }
}
