//! What MySQL would convert with a loss, and what cannot be answered exactly, is refused at its place.

use rowcast::event::{Column, Table, TableName};
use rowcast::filter::{Dialect, Filter, FilterError, Predicate};
use serde_json::json;

fn bind(text: &str) -> Result<Predicate, FilterError> {
    let column = |(name, declared): (&str, &str)| Column { name: name.into(), declared: declared.into() };
    let columns = [
        ("id", "int"),
        ("price", "decimal(10,2)"),
        ("heat", "double"),
        ("warm", "float"),
        ("city", "varchar(20)"),
        ("done", "tinyint"),
        ("day", "date"),
        ("at", "timestamp"),
        ("local", "datetime"),
        ("lap", "time"),
        ("owner", "uuid"),
        ("host", "inet6"),
        ("raw", "blob"),
        ("mood", "enum('sad','ok')"),
        ("payload", "json"),
        ("place", "point"),
        ("thing", "strange"),
    ];
    let table = Table { name: TableName::bare("orders"), columns: columns.map(column).into(), key: vec![0] };
    let claims = json!({ "sub": "abc", "n": 7, "ids": [1, "x"] });
    Filter::parse(text)?.bind(&table, Dialect::Mysql, claims.as_object().expect("an object"))
}

/// `marks` has a `^` under each character that the error spans.
#[track_caller]
fn check(text: &str, marks: &str, message: &str, hint: &str) {
    let error = bind(text).expect_err(text);
    let found = format!("{}{}", " ".repeat(error.offset), "^".repeat(error.length));
    assert_eq!((found.as_str(), error.message.as_str()), (marks, message), "{text}");
    assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{text}: {:?}", error.hint);
}

#[test]
fn numbers_and_texts_are_not_mixed() {
    check("id = '5'", "     ^^^", "a text cannot be compared with type int", "without quotes");
    check("heat > '5'", "       ^^^", "a text cannot be compared with type double", "without quotes");
    check(
        "done and id in (1, 'x')",
        "                   ^^^",
        "a text cannot be compared with type int",
        "without quotes",
    );
    check("city = 5", "       ^", "a number cannot be compared with type varchar(20)", "single quotes");
    check("city = claims.n", "       ^^^^^^^^", "a number cannot be compared with type varchar(20)", "single quotes");
    check("city = true", "       ^^^^", "a truth value cannot be compared with type varchar(20)", "single quotes");
    check("mood = 1", "       ^", "a number cannot be compared with type enum('sad','ok')", "single quotes");
    check("id = claims.sub", "     ^^^^^^^^^^", "this is no value of type int", "5, -0.5 or 1e6");
    check("id in claims.ids", "      ^^^^^^^^^^", "this is no value of type int", "5, -0.5 or 1e6");
    check("price = true", "        ^^^^", "a truth value cannot be compared with type decimal(10,2)", "a number");
    check("raw = 'a'", "      ^^^", "a text cannot be compared with type blob", "X'00FF'");
    check("at > 5", "     ^", "a number cannot be compared with type timestamp", "2026-11-21T10:00:00Z");
    check("id = city", "^^^^^^^^^", "types int and varchar(20) cannot be compared with each other here", "same type");
    check("5 = 'a'", "    ^^^", "a text cannot be compared with type decimal", "without quotes");
}

#[test]
fn dates_and_times_are_read_strictly() {
    check("at > 'soon'", "     ^^^^^^", "this is no value of type timestamp", "2026-11-21T10:00:00Z");
    check("at > 'now'", "     ^^^^^", "a filter knows no time of its own", "2026-11-21T10:00:00Z");
    check("day = '21.11.2026'", "      ^^^^^^^^^^^^", "this is no value of type date", "2026-11-21");
    check("day = '2026-11-21 10:00'", "      ^^^^^^^^^^^^^^^^^^", "this is no value of type date", "2026-11-21");
    check("day = '2026-02-30'", "      ^^^^^^^^^^^^", "this is out of the range of type date", "2026-11-21");
    check("lap = '839:00:00'", "      ^^^^^^^^^^^", "this is out of the range of type time", "838:59:59");
    check(
        "local > '2026-11-21T10:00:00Z'",
        "        ^^^^^^^^^^^^^^^^^^^^^^",
        "type datetime has no time zone",
        "without zone",
    );
    check(
        "at = local",
        "^^^^^^^^^^",
        "types timestamp and datetime cannot be compared with each other here",
        "each with a value",
    );
    check(
        "local = '2026-11-21 10:00:00.1234567'",
        "        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "this is no value of type datetime",
        "123456",
    );
}

#[test]
fn what_cannot_be_exact_is_refused_with_what_to_do() {
    check("payload = '{}'", "          ^^^^", "json is not compared", "or IS NULL");
    check("payload ->> 'a' = 5", "                  ^", "a number cannot be compared with type text", "single quotes");
    check("payload -> 'a' = 'b'", "^^^^^^^^^^^^^^", "elements of JSON are compared as texts", "->>");
    check("payload ->> -1 = 'b'", "^^^^^^^^^^^^^^", "not every server counts positions from the end", "front");
    check("city ->> 'a' = 'b'", "^^^^", "`city` is of type varchar(20), and paths lead into json only", "json");
    check("place = x'00'", "        ^^^^^", "point is not compared", "IS NULL");
    check("thing = 'a'", "        ^^^", "strange is not compared", "IS NULL");
    check(
        "owner < '6fa459ea-ee8a-3ca4-894e-db77e160355e'",
        "        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "the order of type uuid is not known here",
        "IN",
    );
    check("owner = '123'", "        ^^^^^", "this is no value of type uuid", "6fa459ea");
    check("host = '123'", "       ^^^^^", "this is no value of type inet6", "2001:db8::1");
    check("id like '1%'", "^^", "LIKE is for texts, and `id` is of type int", "=");
    check("city", "^^^^", "`city` is of type varchar(20) and no condition by itself", "x <> 0");
    check("1", "^", "this is no condition by itself", "TRUE");
    check("warm < 1e39", "       ^^^^", "this is out of the range of type float", "");
    check("heat < 1e400", "       ^^^^^", "this is out of the range of type double", "");
    check("id < 1e-31", "     ^^^^^", "this number has more digits than the server compares exactly", "65 digits");
    check("id < 1e65", "     ^^^^", "this number has more digits than the server compares exactly", "65 digits");
    for text in
        ["payload is null", "place is not null", "thing is null", "done", "done is true", "id = 0.5", "mood < 'ok'"]
    {
        assert!(bind(text).is_ok(), "{text}");
    }
}
