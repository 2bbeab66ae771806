use super::*;
use crate::event::{Column, TableName};

fn coerce(extra: Extra) -> Coerce {
    let column = |(name, declared): &(&str, &str)| Column { name: (*name).into(), declared: (*declared).into() };
    let columns = [
        ("id", "INTEGER"),
        ("speed", "BIGINT"),
        ("ratio", "DOUBLE PRECISION"),
        ("price", "DECIMAL(20,4)"),
        ("on", "BOOLEAN"),
        ("name", "varchar(255)"),
        ("doc", "JSON"),
        ("raw", "BLOB"),
        ("at", "DATETIME"),
        ("any", ""),
        ("place", "POINT"),
    ];
    let columns = columns.iter().map(column).collect();
    Coerce::new(Arc::new(Table { name: TableName::bare("readings"), columns, key: vec![0] }), Dialect::Sqlite, extra)
}

fn row(extra: Extra, json: &str) -> Result<Cells, String> {
    coerce(extra).row(Fields::from_json(json).expect("an object")).map_err(|misfit| misfit.reason)
}

#[track_caller]
fn takes(json: &str, value: Value) {
    assert_eq!(
        row(Extra::Refuse, json).map(|cells| cells.into_iter().map(|(_, v)| v).collect()),
        Ok(vec![value]),
        "{json}"
    );
}

#[track_caller]
fn refuses(json: &str, reason: &str) {
    assert_eq!(row(Extra::Refuse, json), Err(reason.into()), "{json}");
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn integers_stay_exact() {
    takes(r#"{"speed":37}"#, Value::Int(37));
    takes(r#"{"speed":"37"}"#, Value::Int(37));
    takes(r#"{"speed":" 37 "}"#, Value::Int(37));
    takes(r#"{"speed":37.0}"#, Value::Int(37));
    takes(r#"{"speed":9007199254740993}"#, Value::Int(9_007_199_254_740_993));
    takes(r#"{"speed":true}"#, Value::Int(1));
    takes(r#"{"speed":null}"#, Value::Null);
    refuses(r#"{"speed":"abc"}"#, r#"speed: expected an integer, got "abc""#);
    refuses(r#"{"speed":37.5}"#, "speed: expected an integer, got 37.5");
    refuses(r#"{"speed":""}"#, r#"speed: expected an integer, got """#);
    refuses(r#"{"speed":"NaN"}"#, r#"speed: expected an integer, got "NaN""#);
    refuses(r#"{"speed":[1]}"#, "speed: expected an integer, got [1]");
    refuses(r#"{"speed":9223372036854775808}"#, "speed: 9223372036854775808 is beyond 64 bits");
}

#[test]
fn doubles_are_finite() {
    takes(r#"{"ratio":"12.5"}"#, Value::Real(12.5));
    takes(r#"{"ratio":3}"#, Value::Real(3.0));
    refuses(r#"{"ratio":"Infinity"}"#, r#"ratio: expected a number, got "Infinity""#);
    refuses(r#"{"ratio":1e400}"#, "ratio: 1e400 is beyond a double");
    refuses(r#"{"any":1e400}"#, "any: 1e400 is beyond a double");
}

#[test]
fn decimals_keep_their_digits() {
    takes(r#"{"price":"12"}"#, Value::Int(12));
    takes(r#"{"price":12.5}"#, Value::Real(12.5));
    takes(r#"{"price":1234567890123456.7891}"#, Value::Number("1234567890123456.7891".into()));
    refuses(r#"{"price":"1,5"}"#, r#"price: expected a number, got "1,5""#);
}

#[test]
fn booleans_are_ones_and_zeros() {
    takes(r#"{"on":true}"#, Value::Int(1));
    takes(r#"{"on":"False"}"#, Value::Int(0));
    takes(r#"{"on":"1"}"#, Value::Int(1));
    refuses(r#"{"on":"yes"}"#, r#"on: expected true, false or an integer, got "yes""#);
}

#[test]
fn text_takes_what_was_written() {
    takes(r#"{"name":"ü\u0000"}"#, text("ü\0"));
    takes(r#"{"name":1.50}"#, text("1.50"));
    takes(r#"{"name":true}"#, text("true"));
    takes(r#"{"name":{"a": 1}}"#, text(r#"{"a": 1}"#));
    takes(r#"{"doc":[1, 2]}"#, text("[1, 2]"));
    takes(r#"{"at":"2026-01-01T00:00:00Z"}"#, text("2026-01-01T00:00:00Z"));
    takes(r#"{"at":1718000000123}"#, Value::Int(1_718_000_000_123));
    takes(r#"{"place":"1 2"}"#, text("1 2"));
    takes(r#"{"any":"37"}"#, text("37"));
}

#[test]
fn bytes_are_hexadecimal() {
    takes(r#"{"raw":"\\x00aBff"}"#, Value::Bytes([0, 0xab, 0xff].as_slice().into()));
    takes(r#"{"raw":"\\x"}"#, Value::Bytes([].as_slice().into()));
    refuses(r#"{"raw":"\\x0"}"#, r#"raw: expected bytes as \x and hexadecimal digits, got "\\x0""#);
    refuses(r#"{"raw":"\\xzz"}"#, r#"raw: expected bytes as \x and hexadecimal digits, got "\\xzz""#);
    refuses(r#"{"raw":7}"#, r"raw: expected bytes as \x and hexadecimal digits, got 7");
}

#[test]
fn names_must_be_columns_once() {
    takes(r#"{"SPEED":1}"#, Value::Int(1));
    refuses(r#"{"sped":1}"#, "`readings` has no column `sped`; did you mean `speed`?");
    refuses(r#"{"humidity":1}"#, "`readings` has no column `humidity`");
    refuses(r#"{"speed":1,"speed":2}"#, "speed: given twice");
    refuses(r#"{"speed":1,"Speed":2}"#, "Speed: given twice");
}

#[test]
fn an_empty_object_is_a_row_of_defaults_unless_extra_fields_are_passed_over() {
    assert_eq!(row(Extra::Refuse, "{}"), Ok(vec![]));
    assert_eq!(row(Extra::Ignore, "{}"), Err("names no column of `readings`".into()));
    assert_eq!(row(Extra::Ignore, r#"{"x":1}"#), Err("names no column of `readings`".into()));
    assert_eq!(row(Extra::Ignore, r#"{"x":1,"speed":2}"#), Ok(vec![(1, Value::Int(2))]));
}

#[test]
fn reasons_show_only_the_front_of_a_value() {
    let long = "ü".repeat(100);
    let reason = row(Extra::Refuse, &format!(r#"{{"speed":"{long}"}}"#)).expect_err("no integer");
    assert_eq!(reason, format!("speed: expected an integer, got \"{}…\"", "ü".repeat(40)));
}
