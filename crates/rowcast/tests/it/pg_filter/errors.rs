//! What PostgreSQL would refuse while it runs, and what cannot be answered exactly, is refused before, at its place.

use rowcast::event::{Column, Table, TableName};
use rowcast::filter::{Dialect, Filter, FilterError, Predicate};
use serde_json::json;

fn bind(text: &str) -> Result<Predicate, FilterError> {
    let column = |(name, declared): (&str, &str)| Column { name: name.into(), declared: declared.into() };
    let columns = [
        ("id", "integer"),
        ("small", "smallint"),
        ("price", "numeric"),
        ("heat", "double precision"),
        ("warm", "real"),
        ("city", "text"),
        ("done", "boolean"),
        ("day", "date"),
        ("at", "timestamp with time zone"),
        ("clock", "time without time zone"),
        ("owner", "uuid"),
        ("raw", "bytea"),
        ("mood", "public.mood"),
        ("payload", "jsonb"),
        ("tags", "text[]"),
        ("log", "json"),
        ("address", "inet"),
        ("span", "interval"),
    ];
    let table = Table { name: TableName::bare("orders"), columns: columns.map(column).into(), key: vec![0] };
    let claims = json!({ "sub": "abc", "n": 7, "ids": [1, "x"] });
    Filter::parse(text)?.bind(&table, Dialect::Postgres, claims.as_object().expect("an object"))
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
fn a_text_that_is_none_of_the_type_is_pointed_at() {
    check("id = 'abc'", "     ^^^^^", "this is no value of type integer", "a whole number");
    check("id = '5.0'", "     ^^^^^", "this is no value of type integer", "a whole number");
    check("id = ''", "     ^^", "this is no value of type integer", "a whole number");
    check("done and id in (1, 'x')", "                   ^^^", "this is no value of type integer", "a whole number");
    check("id = claims.sub", "     ^^^^^^^^^^", "this is no value of type integer", "a whole number");
    check("id in claims.ids", "      ^^^^^^^^^^", "this is no value of type integer", "a whole number");
    check("price > 'much'", "        ^^^^^^", "this is no value of type numeric", "5, -0.5 or 1e6");
    check("heat > '0x10'", "       ^^^^^^", "this is no value of type double precision", "5, -0.5 or 1e6");
    check("done = 'maybe'", "       ^^^^^^^", "this is no value of type boolean", "TRUE or FALSE");
    check("owner = '123'", "        ^^^^^", "this is no value of type uuid", "6fa459ea");
    check("raw = '\\xf'", "      ^^^^^", "this is no value of type bytea", "X'00FF'");
    check("at > 'soon'", "     ^^^^^^", "this is no value of type timestamp with time zone", "2026-11-21T10:00:00Z");
    check("day = '21.11.2026'", "      ^^^^^^^^^^^^", "this is no value of type date", "2026-11-21");
    check("clock = '10'", "        ^^^^", "this is no value of type time without time zone", "10:00:00");
    check("city = 'a\0'", "       ^^^^", "PostgreSQL's texts hold no NUL character", "");
}

#[test]
fn what_is_out_of_range_is_pointed_at() {
    check("id = '2147483648'", "     ^^^^^^^^^^^^", "this is out of the range of type integer", "");
    check("small = '-32769'", "        ^^^^^^^^", "this is out of the range of type smallint", "");
    check("heat < 1e400", "       ^^^^^", "this is out of the range of type double precision", "");
    check("heat > 1e-400", "       ^^^^^^", "this is out of the range of type double precision", "");
    check("warm < '1e39'", "       ^^^^^^", "this is out of the range of type real", "");
    check("price < 1e200000", "        ^^^^^^^^", "this is out of the range of type numeric", "");
    check("day = '2026-02-30'", "      ^^^^^^^^^^^^", "this is out of the range of type date", "2026-11-21");
    check(
        "at < '300000-01-01'",
        "     ^^^^^^^^^^^^^^",
        "this is out of the range of type timestamp with time zone",
        "",
    );
    for text in ["id < 5000000000", "small = 1e30", "price < 1e400", "warm < 1e39", "id = 0.5", "day < '300000-01-01'"]
    {
        assert!(bind(text).is_ok(), "{text}");
    }
}

#[test]
fn types_that_do_not_compare_are_named() {
    check("city = 5", "       ^", "a number cannot be compared with type text", "single quotes");
    check("city = claims.n", "       ^^^^^^^^", "a number cannot be compared with type text", "single quotes");
    check("id = true", "     ^^^^", "a truth value cannot be compared with type integer", "a number");
    check("done = 1", "       ^", "a number cannot be compared with type boolean", "TRUE or FALSE");
    check("at > 5", "     ^", "a number cannot be compared with type timestamp with time zone", "2026-11-21T10:00:00Z");
    check("raw = 5", "      ^", "a number cannot be compared with type bytea", "X'00FF'");
    check("id = city", "^^^^^^^^^", "types integer and text cannot be compared with each other here", "same type");
    check(
        "price = heat",
        "^^^^^^^^^^^^",
        "types numeric and double precision cannot be compared with each other here",
        "",
    );
    check("5 = true", "    ^^^^", "a truth value cannot be compared with type integer", "");
}

#[test]
fn only_a_truth_value_is_a_condition_by_itself() {
    check("id", "^^", "`id` is of type integer and no condition by itself", "x <> 0");
    check("not city", "    ^^^^", "`city` is of type text and no condition by itself", "");
    check("id is true", "^^", "`id` is of type integer and no condition by itself", "");
    check("1", "^", "this is no condition by itself", "TRUE");
    check("'abc'", "^^^^^", "this is no value of type boolean", "TRUE");
    for text in ["done", "true", "'yes'", "null", "done is true", "done is unknown"] {
        assert!(bind(text).is_ok(), "{text}");
    }
}

#[test]
fn what_cannot_be_exact_is_refused_with_what_to_do() {
    check("payload = '{}'", "          ^^^^", "jsonb is not compared", "or IS NULL");
    check("payload ->> 'a' = 5", "                  ^", "a number cannot be compared with type text", "single quotes");
    check("payload -> 'a' = 'b'", "                 ^^^", "jsonb is not compared", "payload ->> 'kind' = 'move'");
    check("city ->> 'a' = 'b'", "^^^^", "`city` is of type text, and paths lead into jsonb only", "jsonb");
    check("log = '{}'", "      ^^^^", "json is not compared", "of a document only IS NULL");
    check("log ->> 'a' = 'b'", "^^^", "`log` is of type json, and paths lead into jsonb only", "jsonb");
    check("tags = '{}'", "       ^^^^", "text[] is not compared", "of arrays only IS NULL");
    check("address = '10.0.0.1'", "          ^^^^^^^^^^", "inet is not compared", "another type");
    check("span > '1 day'", "       ^^^^^^^", "interval is not compared", "seconds");
    check("mood < 'ok'", "       ^^^^", "the order of type public.mood is not known here", "`=`, `<>` or IN");
    check("mood between 'a' and 'b'", "             ^^^", "the order of type public.mood is not known here", "");
    check("mood = 5", "       ^", "a number cannot be compared with type public.mood", "single quotes");
    check(
        "mood = mood",
        "^^^^^^^^^^^",
        "types public.mood and public.mood cannot be compared with each other here",
        "",
    );
    check("at > 'now'", "     ^^^^^", "a filter knows no time of its own", "2026-11-21T10:00:00Z");
    check("id like '1%'", "^^", "LIKE is for texts, and `id` is of type integer", "=");
    check("city like 'a\\'", "          ^^^^", "a pattern must not end with its escape character", "LIKE 'a%'");
    for text in ["payload is null", "tags is not null", "address is null", "span is null", "mood is null"] {
        assert!(bind(text).is_ok(), "{text}");
    }
}
