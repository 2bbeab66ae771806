//! Values as JSON: the one spelling that every protocol uses.
//!
//! Lossless for a reader that parses numbers into doubles: what a double would change is written as a string.

use super::{Row, Table, Value};

/// The largest integer up to which every integer is a double: 2^53 - 1.
const SAFE_INTEGER: u64 = (1 << 53) - 1;

impl Value {
    /// Appends this value as JSON.
    ///
    /// Integers beyond ±(2^53−1) and exact decimals of more than 15 digits become strings; NaN and the infinities
    /// become `"NaN"`, `"Infinity"`, `"-Infinity"`; bytes become `"\\x…"` in hexadecimal as PostgreSQL prints them; a JSON
    /// document is put in as it is. `Unchanged` must not be asked for: it has no JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Unchanged => unreachable!("an unchanged column is left out of the row"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Int(n) => write_int(*n, out),
            Value::Real(x) => write_real(*x, out),
            Value::Number(digits) => write_number(digits, out),
            Value::Text(text) => write_text(text, out),
            Value::Bytes(bytes) => write_bytes(bytes, out),
            Value::Json(json) => write_document(json, out),
        }
    }

    /// This value as JSON text.
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        self.write_json(&mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }
}

impl Row {
    /// Appends the row as a JSON object with the columns at `columns`, in that order, leaving out unchanged ones.
    pub fn write_json(&self, table: &Table, columns: impl Iterator<Item = usize>, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        for index in columns {
            let value = &self.values[index];
            if matches!(value, Value::Unchanged) {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            write_text(&table.columns[index].name, out);
            out.push(b':');
            value.write_json(out);
        }
        out.push(b'}');
    }
}

/// Appends a JSON document on one line: line breaks in it are white space, for a string has none.
pub(crate) fn write_document(json: &str, out: &mut Vec<u8>) {
    out.extend(json.bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
}

/// Appends `text` as a JSON string.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string is always JSON");
}

fn write_int(n: i64, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(n).as_bytes();
    if n.unsigned_abs() <= SAFE_INTEGER {
        out.extend_from_slice(digits);
    } else {
        write_quoted(digits, out);
    }
}

fn write_real(x: f64, out: &mut Vec<u8>) {
    if x.is_finite() {
        serde_json::to_writer(out, &x).expect("a finite double is always JSON");
    } else {
        let name: &[u8] = if x.is_nan() {
            b"NaN"
        } else if x > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        };
        write_quoted(name, out);
    }
}

/// Fifteen significant digits are the most that every double keeps.
fn write_number(digits: &str, out: &mut Vec<u8>) {
    let significant = digits.bytes().filter(u8::is_ascii_digit).count();
    let plain = digits.strip_prefix('-').unwrap_or(digits);
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, "0"));
    let is_json = !whole.is_empty()
        && (whole == "0" || !whole.starts_with('0'))
        && !fraction.is_empty()
        && [whole, fraction].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    if is_json && significant <= 15 {
        out.extend_from_slice(digits.as_bytes());
    } else {
        write_quoted(digits.as_bytes(), out);
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\"\\\\x");
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
    out.push(b'"');
}

fn write_quoted(plain: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(plain);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Value, json: &str) {
        assert_eq!(value.to_json(), json);
    }

    #[test]
    fn integers_that_a_double_would_change_are_strings() {
        check(Value::Int(9_007_199_254_740_991), "9007199254740991");
        check(Value::Int(9_007_199_254_740_992), "\"9007199254740992\"");
        check(Value::Int(i64::MIN), "\"-9223372036854775808\"");
    }

    #[test]
    fn doubles_keep_every_digit() {
        check(Value::Real(0.1 + 0.2), "0.30000000000000004");
        check(Value::Real(37.0), "37.0");
        check(Value::Real(f64::NEG_INFINITY), "\"-Infinity\"");
    }

    #[test]
    fn decimals_are_numbers_while_a_double_holds_them() {
        check(Value::Number("12.50".into()), "12.50");
        check(Value::Number("0.1234567890123456".into()), "\"0.1234567890123456\"");
        check(Value::Number("NaN".into()), "\"NaN\"");
        check(Value::Number("18446744073709551615".into()), "\"18446744073709551615\"");
    }

    #[test]
    fn bytes_are_hexadecimal() {
        check(Value::Bytes([0, 171, 255].as_slice().into()), r#""\\x00abff""#);
    }

    #[test]
    fn text_is_escaped() {
        check(Value::Text("a\"\u{1}\\ü\u{2028}".into()), "\"a\\\"\\u0001\\\\ü\u{2028}\"");
    }
}
