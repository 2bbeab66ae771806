//! What the hub and the store of PostgreSQL count on.

use rowcast::event::{Column, Row, Table, TableName, Value};
use rowcast::filter::{Dialect, Filter, Predicate, Term, Wanted};
use serde_json::{Value as Json, json};

fn table() -> Table {
    let column = |(name, declared): (&str, &str)| Column { name: name.into(), declared: declared.into() };
    let columns = [
        ("id", "bigint"),
        ("city", "character varying(20)"),
        ("price", "numeric(10,2)"),
        ("at", "timestamp with time zone"),
        ("code", "character(5)"),
        ("done", "boolean"),
        ("mood", "public.mood"),
        ("heat", "double precision"),
        ("warm", "real"),
        ("small", "smallint"),
        ("owner", "uuid"),
        ("raw", "bytea"),
        ("day", "date"),
        ("payload", "jsonb"),
    ];
    Table { name: TableName::bare("orders"), columns: columns.map(column).into(), key: vec![0] }
}

#[track_caller]
fn bind_with(text: &str, claims: &Json) -> Predicate {
    let claims = claims.as_object().cloned().unwrap_or_default();
    Filter::parse(text).and_then(|filter| filter.bind(&table(), Dialect::Postgres, &claims)).expect(text)
}

#[track_caller]
fn bind(text: &str) -> Predicate {
    bind_with(text, &Json::Null)
}

/// The SQL with its parameters put in.
fn pushed(predicate: &Predicate) -> String {
    let (mut sql, mut params) = (String::new(), Vec::new());
    predicate.push_sql(&mut sql, &mut params);
    params.iter().enumerate().rev().fold(sql, |sql, (i, param)| match param {
        Value::Text(text) => sql.replace(&format!("${}::text", i + 1), &format!("'{text}'")),
        other => panic!("a parameter is text, not {other:?}"),
    })
}

/// A row with these columns, the others unchanged.
fn row(values: &[(&str, Value)]) -> Row {
    let table = table();
    let mut row = vec![Value::Unchanged; table.columns.len()];
    for (name, value) in values {
        row[table.column(name).expect("a column")] = value.clone();
    }
    row.into()
}

#[test]
fn the_column_stands_bare_and_the_value_is_cast_to_its_type() {
    for (text, sql) in [
        ("id = 5", r#"("id" = '5'::bigint)"#),
        ("small = 5", r#"("small" = '5'::smallint)"#),
        ("small < 100000", r#"("small" < '100000'::integer)"#),
        ("id > 0.5", r#"("id" > '0.5'::numeric)"#),
        ("id < '5'", r#"("id" < '5'::bigint)"#),
        ("price >= 9.90", r#"("price" >= '9.9'::numeric)"#),
        ("heat = 0.1", r#"("heat" = '1e-1'::double precision)"#),
        ("warm = 0.1", r#"("warm" = '1e-1'::double precision)"#),
        ("warm = '0.1'", r#"("warm" = '1e-1'::real)"#),
        ("city = 'Oslo'", r#"("city" = 'Oslo' AND "city" COLLATE "C" = 'Oslo')"#),
        ("city < 'Oslo'", r#"("city" COLLATE "C" < 'Oslo')"#),
        ("city like 'O%'", r#"("city" COLLATE "C" LIKE 'O%')"#),
        ("city ilike 'o!%%' escape '!'", r#"("city" COLLATE "C" ILIKE 'o\%%')"#),
        ("code <> 'a  '", r#"("code" COLLATE "C" <> 'a'::bpchar)"#),
        ("at > '2026-11-21 12:00+02'", r#"("at" > '2026-11-21T10:00:00+00:00'::timestamp with time zone)"#),
        ("day = '2026-1-5'", r#"("day" = '2026-01-05'::date)"#),
        ("done", r#"("done")"#),
        ("not done", r#"(NOT ("done"))"#),
        ("done is not true", r#"(NOT (("done") IS TRUE))"#),
        ("done = 'yes'", r#"("done" = 'true'::boolean)"#),
        ("mood = 'ok'", r#"(to_jsonb("mood") = to_jsonb('ok'))"#),
        ("raw = x'00ff'", r#"("raw" = '\x00ff'::bytea)"#),
        ("payload -> 'a' -> 0 ->> -1 < 'x'", r#"(("payload" -> 'a' -> 0 ->> -1) COLLATE "C" < 'x')"#),
        ("payload is null", r#"("payload" IS NULL OR jsonb_typeof("payload") = 'null')"#),
        ("payload ->> 'a' is null", r#"(("payload" ->> 'a') IS NULL)"#),
        ("id in (2, 1, 2)", r#"("id" IN ('1'::bigint, '2'::bigint))"#),
        ("id in ()", "(FALSE)"),
        ("id = null", "(NULL::boolean)"),
        ("id is not distinct from 5", r#"("id" IS NOT DISTINCT FROM '5'::bigint)"#),
        ("id is distinct from null", r#"(NOT ("id" IS NULL))"#),
        ("id = price", r#"("id" = "price")"#),
        ("code = city", r#"("code" COLLATE "C" = "city"::bpchar COLLATE "C")"#),
    ] {
        assert_eq!(pushed(&bind(text)), sql, "{text}");
    }
}

#[test]
fn placeholders_follow_those_that_are_there() {
    let (mut sql, mut params) = ("SELECT 1 WHERE a = $1 AND ".to_owned(), vec![Value::Int(0)]);
    bind("id > 40 and city in ('Oslo', 'Ber''gen')").push_sql(&mut sql, &mut params);
    let expected = r#"SELECT 1 WHERE a = $1 AND (("id" > $2::text::bigint) AND ("city" IN ($3::text, $4::text) AND "city" COLLATE "C" IN ($3::text, $4::text)))"#;
    assert_eq!(sql, expected);
    assert_eq!(params[1..], ["40", "Ber'gen", "Oslo"].map(|text| Value::Text(text.into())));
}

#[test]
fn a_row_whose_columns_are_partly_known_may_match_what_nothing_denies() {
    let known = row(&[("id", Value::Int(5)), ("city", Value::Null)]);
    for (text, may) in [
        ("id = 5", true),
        ("id = 6", false),
        ("done", true),
        ("id = 5 and done", true),
        ("id = 6 and done", false),
        ("id = 6 or done", true),
        ("not (id = 5 or done)", false),
        ("not (id = 6 or done)", true),
        ("city = 'Oslo'", false),
        ("city = 'Oslo' or price > 1", true),
        ("city is null and price is null", true),
        ("city is not null and price is null", false),
        ("(price > 1) is null", true),
        ("(id = 6 and price > 1) is not false", false),
        ("(id = 5 and price > 1) is null", true),
        ("(id = 5) is null", false),
        ("(price is null) is null", false),
        ("price in (1, 2) and id in (4, 5)", true),
        ("mood is not distinct from 'ok'", true),
    ] {
        assert_eq!(bind(text).may_match(&known), may, "{text}");
        assert!(may || !bind(text).matches(&known), "{text}");
    }
}

#[test]
fn equal_values_are_found_by_one_mark() {
    let text = |text: &str| Value::Text(text.into());
    for (filter, column, value) in [
        ("id = 5", "id", Value::Int(5)),
        ("id = '5'", "id", Value::Int(5)),
        ("5.0 = id", "id", Value::Int(5)),
        ("price = 1", "price", Value::Number("1.00".into())),
        ("price = '1.5'", "price", Value::Number("1.50".into())),
        ("heat = 0", "heat", Value::Real(-0.0)),
        ("heat = 0.5", "heat", Value::Real(0.5)),
        ("city = 'Oslo' and id > 1", "city", text("Oslo")),
        ("code = 'ab'", "code", text("ab   ")),
        ("at = '2026-11-21T12:00:00.500+02'", "at", text("2026-11-21T10:00:00.5+00:00")),
        ("day = '2026-11-21 10:00'", "day", text("2026-11-21")),
        ("mood = 'ok'", "mood", text("ok")),
        ("owner = '6FA459EAEE8A3CA4894EDB77E160355E'", "owner", text("6fa459ea-ee8a-3ca4-894e-db77e160355e")),
        ("done = true", "done", Value::Bool(true)),
        ("raw = '\\x00ff'", "raw", Value::Bytes([0, 255].as_slice().into())),
    ] {
        let predicate = bind(filter);
        let row = row(&[(column, value), ("id", Value::Int(5))]);
        assert!(predicate.matches(&row), "{filter}");
        let is_by_value = |term: &Term| matches!(term.wanted, Wanted::OneOf(_)) && term.may_hold(&row);
        assert!(predicate.ways().iter().flatten().any(is_by_value), "{filter}");
    }
    for filter in ["id = price", "id <> 1", "not id = 1", "city like 'a%'", "id = 1 or id = price"] {
        assert!(bind(filter).ways().is_empty(), "{filter}");
    }
}

#[test]
fn claims_take_the_type_of_the_column() {
    let claims =
        json!({ "sub": "7", "n": 7, "at": "2026-11-21T10:00:00Z", "ids": [1, "7"], "on": true, "role": "admin" });
    let seven = row(&[("id", Value::Int(7)), ("done", Value::Bool(true))]);
    for (text, truth) in [
        ("id = claims.sub", Some(true)),
        ("id = claims.n", Some(true)),
        ("id in claims.ids", Some(true)),
        ("id not in claims.ids", Some(false)),
        ("id = any(claims.ids)", Some(true)),
        ("done = claims.on", Some(true)),
        ("claims.on", Some(true)),
        ("claims.role = 'admin'", Some(true)),
        ("claims.role like 'adm%'", Some(true)),
        ("claims.n > '6'", Some(true)),
        ("id = claims.missing", None),
        ("id in claims.missing", None),
        ("claims.missing is null", Some(true)),
        ("at = claims.at", None),
    ] {
        assert_eq!(bind_with(text, &claims).truth(&seven), truth, "{text}");
    }
}

#[test]
fn the_same_condition_is_equal_however_it_is_written() {
    let same = |a: &str, b: &str| assert_eq!(bind(a), bind(b));
    same("id = 5", "'5' = ID");
    same("id in (1, 2)", "orders.id in (2, 1.0, '2')");
    same("price > 1.5", "1.50 < price");
    same("at > '2026-11-21T10:00:00Z'", "at > '2026-11-21 12:00:00+02:00'");
    same("code = 'a'", "code = 'a  '");
    assert_ne!(bind("warm = 0.1"), bind("warm = '0.1'"));
}
