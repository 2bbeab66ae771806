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

fn digits_of(digits: &str) -> Value {
    Value::Number(digits.into())
}

#[test]
fn integers_have_their_size_and_sign() {
    takes("int", r#""37""#, Value::Int(37));
    takes("tinyint", "-128", Value::Int(-128));
    takes("tinyint", "true", Value::Int(1));
    takes("tinyint", r#""False""#, Value::Int(0));
    takes("tinyint unsigned", "255", Value::Int(255));
    takes("mediumint", "8388607.0", Value::Int(8_388_607));
    takes("bigint unsigned", "18446744073709551615", digits_of("18446744073709551615"));
    takes("bigint", "-9223372036854775808", Value::Int(i64::MIN));
    refuses("tinyint", "128", "128 is beyond 8 bits");
    refuses("mediumint", "8388608", "8388608 is beyond 24 bits");
    refuses("int unsigned", "-1", "-1 is beyond 32 bits without a sign");
    refuses("bigint unsigned", "18446744073709551616", "18446744073709551616 is beyond 64 bits without a sign");
    refuses("int", "1.5", "expected an integer, got 1.5");
    refuses("int", r#""true""#, r#"expected an integer, got "true""#);
    takes("year", "2026", Value::Int(2026));
    refuses("year", "26", "expected a year from 1901 to 2155, got 26");
    takes("bit(3)", "7", Value::Int(7));
    takes("bit(1)", "true", Value::Int(1));
    refuses("bit(3)", "8", "8 is beyond 3 bits without a sign");
    takes("bit(64)", "18446744073709551615", digits_of("18446744073709551615"));
}

#[test]
fn decimals_keep_every_digit_or_are_refused() {
    takes("decimal(5,2)", "123.45", digits_of("123.45"));
    takes("decimal(5,2)", r#"" -0123.4500 ""#, digits_of("-0123.4500"));
    takes("decimal(5,2)", "1.2345e2", digits_of("1.2345e2"));
    takes("decimal(5,2)", "0e99", digits_of("0e99"));
    refuses("decimal(5,2)", "1.234", "1.234 has more than 2 digits behind the point");
    refuses("decimal(5,2)", "1000", "1000 has more than 3 digits before the point");
    refuses("decimal(5,2)", "1e9999999999999999999", "1e9999999999999999999 has more than 3 digits before the point");
    refuses("decimal(5,2) unsigned", "-1", "expected a number without a sign, got -1");
    refuses("decimal(5,2)", r#""NaN""#, r#"expected a number, got "NaN""#);
    takes("double", r#""0.1""#, Value::Real(0.1));
    takes("float", "0.1", Value::Real(0.1));
    refuses("float", "1e39", "1e39 is beyond the type float");
    refuses("double", "1e400", "1e400 is beyond a double");
}

#[test]
fn moments_are_kept_in_utc() {
    takes("datetime(6)", r#""2026-11-21T05:13:56.123Z""#, text("2026-11-21 05:13:56.123000"));
    takes("datetime", r#""2026-11-21 05:13""#, text("2026-11-21 05:13:00"));
    takes("datetime", r#""2026-01-01T00:30:00+01:00""#, text("2025-12-31 23:30:00"));
    takes("timestamp(3)", r#""2024-02-28T23:30:00.5-0230""#, text("2024-02-29 02:00:00.500000+00"));
    takes("datetime", r#""0000-00-00 00:00:00""#, text("0000-00-00 00:00:00"));
    takes("datetime(3)", r#""2026-11-21T05:13:56.120000000Z""#, text("2026-11-21 05:13:56.120000"));
    refuses(
        "datetime",
        r#""2026-11-21T05:13:56.123Z""#,
        r#""2026-11-21T05:13:56.123Z" has more digits of a second than the column's 0"#,
    );
    for wrong in
        ["soon", "2026-02-30", "2026-11-21T24:00:00", "2026-11-21T10:00:60", "2026-11-21X", "2026-11-21T10:00+25:00"]
    {
        let json = format!("\"{wrong}\"");
        assert!(Kind::of("datetime").value(field(&json)).is_err(), "{wrong}");
    }
    refuses("datetime", "1718000000123", "expected a date and time like 2026-11-21T10:00:00Z, got 1718000000123");
    takes("date", r#""2026-11-21""#, text("2026-11-21"));
    takes("date", r#""2026-11-21T00:00:00Z""#, text("2026-11-21"));
    refuses("date", r#""2026-11-21T10:00""#, r#""2026-11-21T10:00" has a time of day, which a date does not keep"#);
    takes("time(3)", r#""-838:59:59.5""#, text("-838:59:59.500000"));
    takes("time", r#""10:00""#, text("10:00:00"));
    refuses("time", r#""839:00:00""#, r#"expected a time like 10:00:00, got "839:00:00""#);
}

#[test]
fn zones_move_dates_over_every_border() {
    for (given, wanted) in [
        ("2000-03-01T00:00+00:01", "2000-02-29 23:59:00"),
        ("1900-03-01T00:00+00:01", "1900-02-28 23:59:00"),
        ("1999-12-31T23:59-00:01", "2000-01-01 00:00:00"),
        ("0001-01-01T00:00+00:01", "0000-12-31 23:59:00"),
    ] {
        takes("datetime", &format!("\"{given}\""), text(wanted));
    }
    assert!(Kind::of("datetime").value(field(r#""9999-12-31T23:59-00:01""#)).is_err());
}

#[test]
fn texts_have_their_length_and_names_are_no_numbers() {
    takes("varchar(3)", r#""äöü""#, text("äöü"));
    refuses("varchar(3)", r#""äöü ""#, r#""äöü " is longer than 3 characters"#);
    takes("char(2)", r#""ab   ""#, text("ab   "));
    takes("varchar(13)", "1718000000123", text("1718000000123"));
    takes("text", "{\"a\":1}", text("{\"a\":1}"));
    takes("enum('a','b')", r#""B""#, text("B"));
    takes("enum('7')", "7", text("7"));
    refuses("enum('a','b')", "1", r#"expected one of its names, got "1""#);
    takes("set('a','b')", r#""a,b""#, text("a,b"));
}

#[test]
fn the_rest_is_what_it_is() {
    takes("json", "true", Value::Json("true".into()));
    takes("json", r#"{"a":1}"#, Value::Json(r#"{"a":1}"#.into()));
    takes("json", r#""{\"a\":1}""#, text(r#"{"a":1}"#));
    takes("blob", r#""\\x00ff""#, Value::Bytes([0, 255].as_slice().into()));
    refuses("blob", "7", "expected bytes as \\x and hexadecimal digits, got 7");
    takes("uuid", r#""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#, text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
    refuses("uuid", r#""42""#, r#"expected a uuid, got "42""#);
    takes("inet6", r#""::1""#, text("::1"));
    takes("int", "null", Value::Null);
}
