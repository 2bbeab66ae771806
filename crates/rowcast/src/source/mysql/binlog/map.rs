//! Table map events: what the binlog says of a table before its rows.
//!
//! The format: MySQL's `Table_map_event`. With `binlog_row_metadata=FULL` names and types are in it.

use super::bytes::{Bytes, Malformed, bit};
use super::value::{Wire, code};

/// A table as one statement saw it.
#[derive(Debug, Clone, Default)]
pub(super) struct Map {
    pub(super) table: Box<str>,
    pub(super) wires: Vec<Wire>,
    /// What `binlog_row_metadata=FULL` adds; `None` with less.
    pub(super) full: Option<Full>,
}

/// One of each for every column.
#[derive(Debug, Clone, Default)]
pub(super) struct Full {
    pub(super) names: Vec<Box<str>>,
    pub(super) unsigned: Vec<bool>,
    /// The number of a text's collation.
    pub(super) collations: Vec<Option<u64>>,
    /// The names of an enum or set, in the column's own character set.
    pub(super) labels: Vec<Vec<Box<[u8]>>>,
    pub(super) geometries: Vec<u64>,
    pub(super) dimensions: Vec<u64>,
    /// The primary key.
    pub(super) key: Vec<usize>,
}

/// The number by which a rows event names the map that it belongs to.
pub(super) fn number(body: &[u8]) -> Result<u64, Malformed> {
    Bytes(body).little(6)
}

/// The database and the table, without reading on.
pub(super) fn names(body: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut bytes = Bytes(body);
    bytes.take(8)?;
    let mut name = || {
        let length = bytes.u8()?;
        let name = bytes.take(length.into())?;
        bytes.u8()?;
        Ok(name)
    };
    Ok((name()?, name()?))
}

impl Map {
    /// From the inside of an event. The servers do not agree on which columns are texts.
    pub(super) fn parse(body: &[u8], mariadb: bool) -> Result<Self, Malformed> {
        let (_, table) = names(body)?;
        let table = String::from_utf8_lossy(table).into();
        let mut bytes = Bytes(body);
        bytes.take(8)?;
        for _ in 0..2 {
            let length = bytes.u8()?;
            bytes.take(usize::from(length) + 1)?;
        }
        let count = bytes.packed_length()?;
        let codes = bytes.take(count)?;
        let mut metas = Bytes(bytes.packed_bytes()?);
        let wires = codes.iter().map(|code| wire(*code, &mut metas)).collect::<Result<Vec<_>, _>>()?;
        bytes.take(count.div_ceil(8))?;
        let full = full(bytes, &wires, mariadb)?;
        Ok(Self { table, wires, full })
    }
}

fn wire(code: u8, metas: &mut Bytes<'_>) -> Result<Wire, Malformed> {
    let meta = match code {
        code::FLOAT
        | code::DOUBLE
        | code::BLOB_COMPRESSED
        | code::VECTOR
        | code::JSON
        | code::TINY_BLOB..=code::BLOB
        | code::GEOMETRY
        | code::TIMESTAMP2
        | code::DATETIME2
        | code::TIME2 => metas.u8()?.into(),
        code::VARCHAR | code::VARCHAR_COMPRESSED | code::VAR_STRING | code::BIT | code::NEWDECIMAL => metas.u16()?,
        code::STRING | code::ENUM | code::SET => {
            let (high, low) = (metas.u8()?, metas.u8()?);
            // The length's upper bits are hidden in the type.
            if high & 0x30 != 0x30 {
                let length = u16::from(low) | u16::from(high & 0x30 ^ 0x30) << 4;
                return Ok(Wire { code: high | 0x30, meta: length });
            }
            return Ok(Wire { code: high, meta: low.into() });
        }
        code::TINY
        | code::SHORT
        | code::LONG
        | 6
        | code::TIMESTAMP
        | code::LONGLONG
        | code::INT24
        | code::DATE
        | code::TIME
        | code::DATETIME
        | code::YEAR
        | code::NEWDATE => 0,
        _ => return Err(Malformed("a column of a type that is not known")),
    };
    Ok(Wire { code, meta })
}

fn is_numeric(wire: Wire) -> bool {
    matches!(
        wire.code,
        code::TINY
            | code::SHORT
            | code::INT24
            | code::LONG
            | code::LONGLONG
            | code::NEWDECIMAL
            | code::FLOAT
            | code::DOUBLE
            | code::YEAR
    )
}

fn is_text(wire: Wire) -> bool {
    matches!(
        wire.code,
        code::STRING
            | code::VAR_STRING
            | code::VARCHAR
            | code::VARCHAR_COMPRESSED
            | code::BLOB_COMPRESSED
            | code::TINY_BLOB..=code::BLOB
    )
}

fn is_choice(wire: Wire) -> bool {
    matches!(wire.code, code::ENUM | code::SET)
}

/// The parts behind the columns' types.
fn full(mut bytes: Bytes<'_>, wires: &[Wire], mariadb: bool) -> Result<Option<Full>, Malformed> {
    let count = wires.len();
    let mut full = Full {
        names: Vec::new(),
        unsigned: vec![false; count],
        collations: vec![None; count],
        labels: vec![Vec::new(); count],
        geometries: vec![0; count],
        dimensions: vec![0; count],
        key: Vec::new(),
    };
    let which = |wanted: fn(Wire) -> bool| {
        wires.iter().enumerate().filter(move |(_, wire)| wanted(**wire)).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let texts = match mariadb {
        // A geometry is a kind of blob there.
        true => which(|wire| is_text(wire) || wire.code == code::GEOMETRY),
        false => which(is_text),
    };
    while !bytes.is_empty() {
        let kind = bytes.u8()?;
        let mut part = Bytes(bytes.packed_bytes()?);
        match kind {
            1 => {
                for (n, column) in which(is_numeric).into_iter().enumerate() {
                    full.unsigned[column] = part.0.get(n / 8).is_some_and(|byte| byte << (n % 8) & 0x80 != 0);
                }
            }
            2 | 10 => {
                let chosen = if kind == 2 { texts.clone() } else { which(is_choice) };
                let most = part.packed()?;
                chosen.iter().for_each(|column| full.collations[*column] = Some(most));
                while !part.is_empty() {
                    let (at, collation) = (part.packed_length()?, part.packed()?);
                    let column = *chosen.get(at).ok_or(Malformed("a character set of no column"))?;
                    full.collations[column] = Some(collation);
                }
            }
            3 | 11 => {
                for column in if kind == 3 { texts.clone() } else { which(is_choice) } {
                    full.collations[column] = Some(part.packed()?);
                }
            }
            4 => {
                while !part.is_empty() {
                    full.names.push(String::from_utf8_lossy(part.packed_bytes()?).into());
                }
            }
            5 | 6 => {
                for column in
                    which(if kind == 5 { |wire| wire.code == code::SET } else { |wire| wire.code == code::ENUM })
                {
                    for _ in 0..part.packed_length()? {
                        full.labels[column].push(part.packed_bytes()?.into());
                    }
                }
            }
            7 => {
                for column in which(|wire| wire.code == code::GEOMETRY) {
                    full.geometries[column] = part.packed()?;
                }
            }
            8 | 9 => {
                while !part.is_empty() {
                    full.key.push(part.packed_length()?);
                    if kind == 9 {
                        part.packed()?;
                    }
                }
            }
            13 => {
                for column in which(|wire| wire.code == code::VECTOR) {
                    full.dimensions[column] = part.packed()?;
                }
            }
            // What is new is not needed: which columns are visible, for example.
            _ => {}
        }
    }
    if full.key.iter().any(|column| *column >= count) {
        return Err(Malformed("a key of a column that is none"));
    }
    Ok((count > 0 && full.names.len() == count).then_some(full))
}

/// Which columns are in an image, and how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Present<'a> {
    bits: &'a [u8],
    pub(super) count: usize,
}

impl<'a> Present<'a> {
    pub(super) fn take(bytes: &mut Bytes<'a>, columns: usize) -> Result<Self, Malformed> {
        let bits = bytes.take(columns.div_ceil(8))?;
        let count = (0..columns).filter(|column| bit(bits, *column)).count();
        Ok(Self { bits, count })
    }

    #[inline]
    pub(super) fn has(&self, column: usize) -> bool {
        bit(self.bits, column)
    }
}
