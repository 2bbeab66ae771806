//! MySQL's binary JSON: its text as the server prints it, and the changes of a part of it.
//!
//! The format: MySQL's `json_binary.h`. What comes from there may be of any depth and size: both are limited.

pub(super) mod diff;

use std::fmt::Write as _;

use super::bytes::{Bytes, Malformed};
use super::value::{decimal, moment};

/// As deep as the server lets a document be.
const DEPTH_MAX: usize = 100;

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    /// A number, a literal, or a string with its quotes: as it is printed.
    Scalar(Box<str>),
    Array(Vec<Json>),
    Object(Vec<(Box<str>, Json)>),
}

/// The text of a document in its binary form.
pub(super) fn text(data: &[u8]) -> Result<String, Malformed> {
    let mut out = String::with_capacity(data.len());
    parse(data)?.write(&mut out);
    Ok(out)
}

/// Reads a document. What is empty stands for `null`.
pub(super) fn parse(data: &[u8]) -> Result<Json, Malformed> {
    match data.split_first() {
        None => Ok(Json::Scalar("null".into())),
        Some((kind, rest)) => {
            // A small document may name one part of itself over and over.
            let mut budget = data.len().saturating_mul(4) + 64;
            value(*kind, rest, 0, &mut budget)
        }
    }
}

fn value(kind: u8, data: &[u8], depth: usize, budget: &mut usize) -> Result<Json, Malformed> {
    *budget = budget.checked_sub(1).ok_or(Malformed("a JSON document that repeats itself"))?;
    let mut bytes = Bytes(data);
    Ok(match kind {
        0..=3 => container(data, kind >= 2, kind & 1 == 1, depth, budget)?,
        4 => literal(bytes.u8()?)?,
        5 => scalar(bytes.u16()? as i16),
        6 => scalar(bytes.u16()?),
        7 => scalar(bytes.u32()? as i32),
        8 => scalar(bytes.u32()?),
        9 => scalar(bytes.u64()? as i64),
        10 => scalar(bytes.u64()?),
        11 => Json::Scalar(double(f64::from_bits(bytes.u64()?)).into()),
        12 => {
            let length = length(&mut bytes)?;
            let text = bytes.take(length)?;
            *budget = budget.saturating_sub(length);
            Json::Scalar(quoted(&String::from_utf8_lossy(text)).into())
        }
        15 => opaque(&mut bytes)?,
        _ => return Err(Malformed("a JSON value of an unknown kind")),
    })
}

fn literal(byte: u8) -> Result<Json, Malformed> {
    let text = match byte {
        0 => "null",
        1 => "true",
        2 => "false",
        _ => return Err(Malformed("a JSON literal that is none")),
    };
    Ok(Json::Scalar(text.into()))
}

fn scalar(number: impl itoa::Integer) -> Json {
    Json::Scalar(itoa::Buffer::new().format(number).into())
}

/// An array or object. Its parts lie behind a table of where they are; the small ones are in the table.
fn container(data: &[u8], array: bool, large: bool, depth: usize, budget: &mut usize) -> Result<Json, Malformed> {
    if depth >= DEPTH_MAX {
        return Err(Malformed("a JSON document that is too deep"));
    }
    let width = if large { 4 } else { 2 };
    let mut head = Bytes(data);
    let count = head.little(width)? as usize;
    let size = head.little(width)? as usize;
    let data = data.get(..size).ok_or(Malformed("a JSON document that ends too early"))?;
    let mut head = Bytes(data);
    head.take(2 * width)?;
    let mut keys = Vec::new();
    if !array {
        for _ in 0..count {
            let at = head.little(width)? as usize;
            let length = usize::from(head.u16()?);
            let key = data.get(at..).and_then(|rest| rest.get(..length)).ok_or(Malformed("a JSON key out of place"))?;
            *budget = budget.checked_sub(1).ok_or(Malformed("a JSON document that repeats itself"))?;
            keys.push(String::from_utf8_lossy(key).into());
        }
    }
    let mut values = Vec::new();
    for _ in 0..count {
        let kind = head.u8()?;
        let inline = matches!(kind, 4..=6) || (large && matches!(kind, 7 | 8));
        let entry = head.take(width)?;
        let part = if inline {
            entry
        } else {
            let at = Bytes(entry).little(width)? as usize;
            data.get(at..).ok_or(Malformed("a JSON value out of place"))?
        };
        values.push(value(kind, part, depth + 1, budget)?);
    }
    Ok(if array { Json::Array(values) } else { Json::Object(keys.into_iter().zip(values).collect()) })
}

/// Seven bits in each byte, the lowest first.
fn length(bytes: &mut Bytes<'_>) -> Result<usize, Malformed> {
    let mut length = 0;
    for shift in (0..35).step_by(7) {
        let byte = bytes.u8()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(Malformed("a JSON length that is too large"))
}

/// A value of an SQL type that JSON lacks.
fn opaque(bytes: &mut Bytes<'_>) -> Result<Json, Malformed> {
    let kind = bytes.u8()?;
    let length = length(bytes)?;
    let data = bytes.take(length)?;
    let mut inside = Bytes(data);
    let text = match kind {
        246 => {
            let (precision, scale) = (inside.u8()?, inside.u8()?);
            return decimal::read(&mut inside, precision, scale, |text| Json::Scalar(text.into()));
        }
        7 | 12 => moment::packed(inside.u64()? as i64, false, false),
        10 => moment::packed(inside.u64()? as i64, false, true),
        11 => moment::packed(inside.u64()? as i64, true, false),
        _ => format!("base64:type{kind}:{}", base64(data)),
    };
    Ok(Json::Scalar(quoted(&text).into()))
}

fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(data.len().div_ceil(3) * 4);
    for chunk in data.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, n| bits << 8 | u32::from(chunk.get(n).copied().unwrap_or(0)));
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n) & 63) as usize];
            out.push(if n <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// With the digits that it needs, and a point or an exponent: `1.0`, `1e20`, `0.1`.
fn double(x: f64) -> String {
    let shortest = format!("{x:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-5..15).contains(&exponent) {
        let text = x.to_string();
        return if text.contains('.') { text } else { format!("{text}.0") };
    }
    format!("{digits}e{exponent}")
}

/// As the server quotes.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Json {
    /// Appends it as the server prints it.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Scalar(text) => out.push_str(text),
            Self::Array(values) => {
                out.push('[');
                for (n, value) in values.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(values) => {
                out.push('{');
                for (n, (key, value)) in values.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    out.push_str(&quoted(key));
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}
