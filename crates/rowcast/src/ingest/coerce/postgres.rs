//! What a column of PostgreSQL takes, by its type as `format_type` prints it.
//!
//! Refuses what certainly does not fit, so that one wrong row of many is found without asking the database. Where the
//! database knows better (dates in words, labels of an enum, addresses, ranges, domains), it is left to judge.

use super::number::{self, Integer};
use super::{expected, shown, written};
use crate::event::Value;
use crate::ingest::decode::Field;

/// What kind of value a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whole numbers of so many bits.
    Integer(u32),
    Real,
    Double,
    Numeric,
    Bool,
    /// Text of at most so many characters.
    Text(Option<usize>),
    Json,
    Bytes,
    Uuid,
    /// A date, with or without a time of day.
    Time,
    Array,
    /// Whatever the database makes of it.
    Any,
}

impl Kind {
    /// The kind of `character varying(20)`, `timestamp(3) with time zone`, `numeric(10,2)[]`…
    pub(super) fn of(declared: &str) -> Self {
        if declared.ends_with("[]") {
            return Kind::Array;
        }
        let (name, length) = match declared.split_once('(') {
            Some((name, rest)) => (name, rest.split_once(')').and_then(|(length, _)| length.parse().ok())),
            None => (declared, None),
        };
        match name {
            "smallint" => Kind::Integer(16),
            "integer" => Kind::Integer(32),
            "bigint" => Kind::Integer(64),
            "real" => Kind::Real,
            "double precision" => Kind::Double,
            "numeric" => Kind::Numeric,
            "boolean" => Kind::Bool,
            "text" | "character varying" => Kind::Text(length),
            // Blanks at its end do not count.
            "character" | "citext" | "public.citext" | "name" => Kind::Text(None),
            "json" | "jsonb" => Kind::Json,
            "bytea" => Kind::Bytes,
            "uuid" => Kind::Uuid,
            "date" => Kind::Time,
            _ if name.starts_with("timestamp") => Kind::Time,
            _ => Kind::Any,
        }
    }

    /// The value as this kind of column holds it, or what is wrong with it.
    pub(super) fn value(self, field: Field) -> Result<Value, String> {
        if let Field::Text(text) = &field
            && text.contains('\0')
        {
            return Err("PostgreSQL cannot store the character U+0000".to_owned());
        }
        match (self, field) {
            (_, Field::Null) => Ok(Value::Null),
            (Kind::Text(length), field) => text(written(field), length),
            (Kind::Json, Field::Text(text)) => Ok(Value::Text(text.into())),
            (Kind::Json, field) => Ok(Value::Json(written(field).into())),
            (Kind::Bytes, field) => {
                super::kind::bytes(&field).ok_or_else(|| expected("bytes as \\x and hexadecimal digits", &field))
            }
            (Kind::Bool, field) => truth(&field).map(Value::Bool).ok_or_else(|| expected("true or false", &field)),
            (Kind::Integer(bits), field) => integer(bits, &field),
            (Kind::Real | Kind::Double | Kind::Numeric, field) => self.number(&field),
            (Kind::Uuid, Field::Text(text)) if is_uuid(&text) => Ok(Value::Text(text.into())),
            (Kind::Uuid, field) => Err(expected("a uuid", &field)),
            (Kind::Time, Field::Text(text)) if may_be_time(&text) => Ok(Value::Text(text.into())),
            (Kind::Time, field) => Err(expected("a date like 2026-11-21T10:00:00Z", &field)),
            (Kind::Array, Field::Text(text)) if text.trim_ascii_start().starts_with(['{', '[']) => Ok(array(text)),
            (Kind::Array, Field::Json(json)) if json.trim_ascii_start().starts_with('[') => {
                Ok(Value::Json(json.into()))
            }
            (Kind::Array, field) => Err(expected("an array", &field)),
            (Kind::Any, Field::Number(digits)) => Ok(Value::Number(digits.into())),
            (Kind::Any, Field::Json(json)) => Ok(Value::Json(json.into())),
            (Kind::Any, field) => Ok(Value::Text(written(field).into())),
        }
    }

    fn number(self, field: &Field) -> Result<Value, String> {
        let text = match field {
            Field::Number(text) | Field::Text(text) => text.trim_ascii(),
            _ => return Err(expected("a number", field)),
        };
        if !number::is_number(text) {
            return Err(expected("a number", field));
        }
        let beyond = |what: &str| format!("{} is beyond {what}", shown(field));
        match self {
            Kind::Numeric => Ok(Value::Number(text.into())),
            Kind::Real => match text.parse::<f32>() {
                Ok(x) if x.is_finite() => Ok(Value::Number(text.into())),
                _ => Err(beyond("the type real")),
            },
            _ => number::real(text).map(Value::Real).ok_or_else(|| beyond("a double")),
        }
    }
}

fn text(text: Box<str>, length: Option<usize>) -> Result<Value, String> {
    // Blanks that are too many are cut off by PostgreSQL.
    match length {
        Some(length) if text.len() > length && text.trim_end_matches(' ').chars().count() > length => {
            Err(format!("{} is longer than {length} characters", shown(&Field::Text(text))))
        }
        _ => Ok(Value::Text(text.into())),
    }
}

fn integer(bits: u32, field: &Field) -> Result<Value, String> {
    let read = match field {
        Field::Number(text) | Field::Text(text) => number::integer(text.trim_ascii()),
        _ => Integer::IsNot,
    };
    let fits = |n: i64| n >= -1 << (bits - 1) && n <= i64::MAX >> (64 - bits);
    match read {
        Integer::Is(n) if fits(n) => Ok(Value::Int(n)),
        Integer::Is(_) | Integer::Beyond => Err(format!("{} is beyond {bits} bits", shown(field))),
        Integer::IsNot => Err(expected("an integer", field)),
    }
}

fn truth(field: &Field) -> Option<bool> {
    let text = match field {
        Field::Bool(truth) => return Some(*truth),
        Field::Number(text) | Field::Text(text) => text.trim_ascii(),
        _ => return None,
    };
    let is_one_of = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(&["true", "t", "yes", "y", "on", "1"]) {
        Some(true)
    } else {
        is_one_of(&["false", "f", "no", "n", "off", "0"]).then_some(false)
    }
}

/// In any of the spellings that PostgreSQL reads.
fn is_uuid(text: &str) -> bool {
    let text = text.trim_ascii();
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    inner.bytes().filter(u8::is_ascii_hexdigit).count() == 32
        && inner.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Whether there is something in it that a date has.
fn may_be_time(text: &str) -> bool {
    const WORDS: [&str; 8] = ["now", "today", "tomorrow", "yesterday", "epoch", "infinity", "-infinity", "+infinity"];
    let word = WORDS.iter().any(|word| text.trim_ascii().eq_ignore_ascii_case(word));
    // Milliseconds since 1970 are no date to PostgreSQL.
    let has_digits = text.bytes().any(|byte| byte.is_ascii_digit());
    word || (has_digits && !(text.len() > 8 && number::is_number(text.trim_ascii())))
}

/// A text may be PostgreSQL's own way to write an array, or JSON's.
fn array(text: Box<str>) -> Value {
    let is_json =
        text.trim_ascii_start().starts_with('[') && serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
    if is_json { Value::Json(text.into()) } else { Value::Text(text.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(json: &str) -> Field {
        match json.as_bytes() {
            b"null" => Field::Null,
            b"true" => Field::Bool(true),
            b"false" => Field::Bool(false),
            [b'"', ..] => Field::Text(serde_json::from_str::<String>(json).expect(json).into()),
            [b'{' | b'[', ..] => Field::Json(json.into()),
            _ => Field::Number(json.into()),
        }
    }

    #[track_caller]
    fn takes(declared: &str, json: &str, value: Value) {
        assert_eq!(Kind::of(declared).value(field(json)), Ok(value), "{declared} {json}");
    }

    #[track_caller]
    fn refuses(declared: &str, json: &str, reason: &str) {
        assert_eq!(Kind::of(declared).value(field(json)), Err(reason.to_owned()), "{declared} {json}");
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn integers_have_their_size() {
        takes("smallint", "32767", Value::Int(32_767));
        takes("smallint", r#"" -32768 ""#, Value::Int(-32_768));
        takes("integer", "37.0", Value::Int(37));
        takes("bigint", "9223372036854775807", Value::Int(i64::MAX));
        refuses("smallint", "32768", "32768 is beyond 16 bits");
        refuses("integer", "-2147483649", "-2147483649 is beyond 32 bits");
        refuses("bigint", "9223372036854775808", "9223372036854775808 is beyond 64 bits");
        refuses("integer", "1.5", "expected an integer, got 1.5");
        refuses("integer", "true", "expected an integer, got true");
        refuses("integer", r#""NaN""#, r#"expected an integer, got "NaN""#);
    }

    #[test]
    fn numbers_keep_their_digits() {
        let digits = "12345678901234567890.123456789";
        takes("numeric(40,9)", digits, Value::Number(digits.into()));
        takes("numeric", r#"" 1e400 ""#, Value::Number("1e400".into()));
        takes("double precision", r#""0.1""#, Value::Real(0.1));
        takes("real", "0.1", Value::Number("0.1".into()));
        refuses("real", "1e39", "1e39 is beyond the type real");
        refuses("double precision", "1e400", "1e400 is beyond a double");
        refuses("numeric", r#""Infinity""#, r#"expected a number, got "Infinity""#);
    }

    #[test]
    fn truth_has_many_words() {
        takes("boolean", "true", Value::Bool(true));
        takes("boolean", r#""OFF""#, Value::Bool(false));
        takes("boolean", "1", Value::Bool(true));
        refuses("boolean", "2", "expected true or false, got 2");
    }

    #[test]
    fn texts_have_their_length() {
        takes("character varying(3)", r#""äöü  ""#, text("äöü  "));
        takes("text", "37", text("37"));
        takes("character(2)", r#""ab   ""#, text("ab   "));
        refuses("character varying(3)", r#""abcd""#, r#""abcd" is longer than 3 characters"#);
        refuses("text", r#""a\u0000b""#, "PostgreSQL cannot store the character U+0000");
    }

    #[test]
    fn dates_and_uuids_look_like_some() {
        for date in ["2026-11-21T10:00:00Z", "Nov 21 2026", "now", "20261121", "infinity"] {
            takes("timestamp(3) with time zone", &format!("\"{date}\""), text(date));
        }
        refuses("date", r#""soon""#, r#"expected a date like 2026-11-21T10:00:00Z, got "soon""#);
        refuses(
            "timestamp with time zone",
            "1718000000123",
            "expected a date like 2026-11-21T10:00:00Z, got 1718000000123",
        );
        takes("uuid", r#""{A0EEBC99-9c0b4ef8bb6d6bb9bd380a11}""#, text("{A0EEBC99-9c0b4ef8bb6d6bb9bd380a11}"));
        refuses("uuid", r#""42""#, r#"expected a uuid, got "42""#);
    }

    #[test]
    fn documents_and_arrays_stay_what_they_are() {
        takes("jsonb", r#"{"a":1}"#, Value::Json(r#"{"a":1}"#.into()));
        takes("jsonb", "true", Value::Json("true".into()));
        takes("json", r#""{\"a\":1}""#, text(r#"{"a":1}"#));
        takes("integer[]", "[1,2]", Value::Json("[1,2]".into()));
        takes("integer[]", r#""{1,2}""#, text("{1,2}"));
        takes("text[]", r#""[\"a\"]""#, Value::Json(r#"["a"]"#.into()));
        refuses("text[]", "7", "expected an array, got 7");
    }

    #[test]
    fn the_database_judges_the_rest() {
        takes("public.mood", r#""glad""#, text("glad"));
        takes("interval", r#""1 day""#, text("1 day"));
        takes("money", "12.5", Value::Number("12.5".into()));
        takes("public.pair", r#"{"a":1}"#, Value::Json(r#"{"a":1}"#.into()));
        takes("bytea", r#""\\x00ff""#, Value::Bytes([0, 255].as_slice().into()));
        takes("smallint", "null", Value::Null);
    }
}
