//! What the hub and the store of MySQL count on.

use rowcast::event::{Column, Row, Table, TableName, Value};
use rowcast::filter::{Dialect, Filter, Predicate, Term, Wanted};
use serde_json::{Value as Json, json};

fn table() -> Table {
    let column = |(name, declared): (&str, &str)| Column { name: name.into(), declared: declared.into() };
    let columns = [
        ("id", "bigint"),
        ("big", "bigint unsigned"),
        ("city", "varchar(20)"),
        ("price", "decimal(10,2)"),
        ("made", "year"),
        ("at", "timestamp(3)"),
        ("local", "datetime(6)"),
        ("day", "date"),
        ("lap", "time(3)"),
        ("code", "char(5)"),
        ("done", "tinyint"),
        ("mood", "enum('sad','ok')"),
        ("heat", "double"),
        ("warm", "float"),
        ("raw", "varbinary(20)"),
        ("owner", "uuid"),
        ("host", "inet6"),
        ("payload", "json"),
        ("odd`name", "int"),
    ];
    Table { name: TableName::bare("orders"), columns: columns.map(column).into(), key: vec![0] }
}

#[track_caller]
fn bind_with(text: &str, claims: &Json) -> Predicate {
    let claims = claims.as_object().cloned().unwrap_or_default();
    Filter::parse(text).and_then(|filter| filter.bind(&table(), Dialect::Mysql, &claims)).expect(text)
}

#[track_caller]
fn bind(text: &str) -> Predicate {
    bind_with(text, &Json::Null)
}

/// The SQL with its parameters put in.
fn pushed(predicate: &Predicate) -> String {
    let (mut sql, mut params) = (String::new(), Vec::new());
    predicate.push_sql(&mut sql, &mut params);
    params.iter().fold(sql, |sql, param| match param {
        Value::Text(text) => sql.replacen('?', &format!("'{text}'"), 1),
        Value::Int(n) => sql.replacen('?', &n.to_string(), 1),
        Value::Real(x) => sql.replacen('?', &format!("{x:e}"), 1),
        other => panic!("not expected as a parameter: {other:?}"),
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
fn the_column_stands_bare_where_an_index_serves_and_every_value_is_a_parameter() {
    for (text, sql) in [
        ("id = 5", "(`id` = CAST(5 AS SIGNED))"),
        ("big > 9223372036854775808", "(`big` > CAST('9223372036854775808' AS DECIMAL(65,0)))"),
        ("price >= 9.90", "(`price` >= CAST('9.9' AS DECIMAL(65,1)))"),
        ("id < 5e-2", "(`id` < CAST('0.05' AS DECIMAL(65,2)))"),
        ("made = 2026", "((`made` + 0) = CAST(2026 AS SIGNED))"),
        ("heat = 0.1", "(`heat` = (1e-1 + 0e0))"),
        ("warm = 0.1", "(`warm` = (1.0000000149011612e-1 + 0e0))"),
        (
            "city = 'Oslo'",
            "(`city` = 'Oslo' AND CAST(CONVERT(`city` USING utf8mb4) AS BINARY) = CAST('Oslo' AS BINARY))",
        ),
        (
            "city = 'B%rgå'",
            "((`city` LIKE 'B_rg%') AND CAST(CONVERT(`city` USING utf8mb4) AS BINARY) = CAST('B%rgå' AS BINARY))",
        ),
        ("city = 'Århus'", "(CAST(CONVERT(`city` USING utf8mb4) AS BINARY) = CAST('Århus' AS BINARY))"),
        ("city < 'Oslo'", "(CAST(CONVERT(`city` USING utf8mb4) AS BINARY) < CAST('Oslo' AS BINARY))"),
        ("city like 'O%'", "(CONVERT(`city` USING utf8mb4) COLLATE utf8mb4_bin LIKE 'O%' ESCAPE '|')"),
        (
            "city ilike 'o!%|%n' escape '!'",
            "(REPLACE(REPLACE(CONVERT(`city` USING utf8mb4) COLLATE utf8mb4_bin, 'N', 'n'), 'O', 'o') \
             COLLATE utf8mb4_bin LIKE 'o|%||%n' ESCAPE '|')",
        ),
        ("at > '2026-11-21 12:00+02'", "(`at` > CAST('2026-11-21 10:00:00.000000' AS DATETIME(6)))"),
        ("local > '2026-11-21T12:00'", "(`local` > CAST('2026-11-21 12:00:00.000000' AS DATETIME(6)))"),
        ("local = '0000-00-00'", "((`local` + 0) = CAST('0000000.000000' AS DECIMAL(20,6)))"),
        ("day = '2026-01-05'", "(`day` = CAST('2026-01-05' AS DATE))"),
        ("day > '2026-01-00'", "((`day` + 0) > CAST('20260100' AS DECIMAL(20,6)))"),
        ("lap < '1:00:00'", "(`lap` < CAST(CAST('01:00:00.000000' AS CHAR) AS TIME(6)))"),
        ("done", "(`done` <> 0)"),
        ("not done", "(NOT (`done` <> 0))"),
        ("done is not true", "(NOT ((`done` <> 0) IS TRUE))"),
        ("done = true", "(`done` = CAST(1 AS SIGNED))"),
        ("raw = x'00ff'", "(`raw` = UNHEX('00FF'))"),
        (
            "payload -> 'a' -> 0 ->> 'b' < 'x'",
            "(CAST(CONVERT(CASE WHEN JSON_TYPE(JSON_EXTRACT(`payload`, '$.\"a\"')) = 'ARRAY' AND \
             JSON_TYPE(JSON_EXTRACT(`payload`, '$.\"a\"[0].\"b\"')) NOT IN ('OBJECT', 'ARRAY', 'NULL') THEN \
             JSON_UNQUOTE(JSON_EXTRACT(`payload`, '$.\"a\"[0].\"b\"')) END USING utf8mb4) AS BINARY) < CAST('x' AS BINARY))",
        ),
        ("payload is null", "(`payload` <=> NULL OR JSON_TYPE(`payload`) = 'NULL')"),
        ("id in (2, 1, 2)", "(`id` IN (CAST(1 AS SIGNED), CAST(2 AS SIGNED)))"),
        ("id in (2, 1.5)", "(`id` IN (CAST('1.5' AS DECIMAL(65,1))) OR `id` IN (CAST(2 AS SIGNED)))"),
        (
            "mood in ('ok', 'sad')",
            "(`mood` IN ('ok', 'sad') AND CAST(CONVERT(`mood` USING utf8mb4) AS BINARY) IN (CAST('ok' AS BINARY), CAST('sad' AS BINARY)))",
        ),
        ("id in ()", "(FALSE)"),
        ("id = null", "(NULL)"),
        ("id is not distinct from 5", "(`id` <=> CAST(5 AS SIGNED))"),
        ("id is distinct from null", "(NOT (`id` <=> NULL))"),
        ("id = price", "(`id` = `price`)"),
        ("heat < id", "((`heat` + 0e0) < (`id` + 0e0))"),
        ("day < local", "(((`day` + 0) * 1000000) < (`local` + 0))"),
        ("\"odd`name\" > 1", "(`odd``name` > CAST(1 AS SIGNED))"),
    ] {
        assert_eq!(pushed(&bind(text)), sql, "{text}");
    }
}

#[test]
fn parameters_are_in_the_order_of_their_placeholders() {
    let (mut sql, mut params) = ("SELECT 1 WHERE a = ? AND ".to_owned(), vec![Value::Int(0)]);
    bind("payload ->> 'a' = 'x' and city in ('Oslo', 'Ber''gen') and id > 40").push_sql(&mut sql, &mut params);
    let text = |text: &str| Value::Text(text.into());
    let expected = [
        Value::Int(0),
        text("$.\"a\""),
        text("$.\"a\""),
        text("x"),
        text("Ber'gen"),
        text("Oslo"),
        text("Ber'gen"),
        text("Oslo"),
        Value::Int(40),
    ];
    assert_eq!(params, expected);
    assert_eq!(sql.matches('?').count(), params.len());
}

#[test]
fn text_is_compared_by_its_bytes() {
    let oslo = row(&[("city", Value::Text("Oslo".into())), ("code", Value::Text("ab".into()))]);
    for (text, truth) in [
        ("city = 'Oslo'", true),
        ("city = 'oslo'", false),
        ("city = 'Oslo '", false),
        ("city = 'Øslo'", false),
        ("city < 'a'", true),
        ("city like 'o%'", false),
        ("city ilike 'o%'", true),
        ("code = 'ab'", true),
        ("code = 'ab   '", false),
    ] {
        assert_eq!(bind(text).truth(&oslo), Some(truth), "{text}");
    }
}

#[test]
fn equal_values_are_found_by_one_mark() {
    let text = |text: &str| Value::Text(text.into());
    for (filter, column, value) in [
        ("id = 5", "id", Value::Int(5)),
        ("5.0 = id", "id", Value::Int(5)),
        ("big = 18446744073709551615", "big", Value::Number("18446744073709551615".into())),
        ("price = 1", "price", Value::Number("1.00".into())),
        ("heat = 0", "heat", Value::Real(-0.0)),
        ("heat = 0.5", "heat", Value::Real(0.5)),
        ("city = 'Oslo' and id > 1", "city", text("Oslo")),
        ("at = '2026-11-21T12:00:00.5+02'", "at", text("2026-11-21 10:00:00.500+00")),
        ("local = '2026-11-21'", "local", text("2026-11-21 00:00:00.000000")),
        ("day = '2026-11-21'", "day", text("2026-11-21")),
        ("lap = '-1:00'", "lap", text("-01:00:00.000")),
        ("mood = 'ok'", "mood", text("ok")),
        ("owner = '6FA459EAEE8A3CA4894EDB77E160355E'", "owner", text("6fa459ea-ee8a-3ca4-894e-db77e160355e")),
        ("done = true", "done", Value::Int(1)),
        ("raw = x'00ff'", "raw", Value::Bytes([0, 255].as_slice().into())),
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
fn a_float_is_what_was_written() {
    let warm = row(&[("warm", Value::Real(f64::from(0.1f32)))]);
    assert!(bind("warm = 0.1").matches(&warm));
    assert!(bind("warm <> 0.2 and warm < 1e38").matches(&warm));
}

#[test]
fn zero_dates_come_before_all_others() {
    let zero =
        row(&[("day", Value::Text("0000-00-00".into())), ("at", Value::Text("0000-00-00 00:00:00.000+00".into()))]);
    for text in ["day = '0000-00-00'", "day < '0001-01-01'", "at < '1970-01-01T00:00:01Z'", "day is not null"] {
        assert!(bind(text).matches(&zero), "{text}");
    }
}

#[test]
fn claims_that_are_texts_are_read_as_the_columns_type() {
    let claims = json!({ "sub": "7", "n": 7, "at": "2026-11-21T10:00:00Z", "ids": [1, "7"], "role": "admin" });
    let seven = row(&[("id", Value::Int(7)), ("city", Value::Text("7".into()))]);
    for (text, truth) in [
        ("id = claims.sub", Some(true)),
        ("id = claims.n", Some(true)),
        ("city = claims.sub", Some(true)),
        ("id in claims.ids", Some(true)),
        ("id not in claims.ids", Some(false)),
        ("claims.role = 'admin'", Some(true)),
        ("claims.role like 'adm%'", Some(true)),
        ("claims.sub > 6", Some(true)),
        ("id = claims.missing", None),
        ("claims.missing is null", Some(true)),
        ("at = claims.at", None),
    ] {
        assert_eq!(bind_with(text, &claims).truth(&seven), truth, "{text}");
    }
}

#[test]
fn the_same_condition_is_equal_however_it_is_written() {
    let same = |a: &str, b: &str| assert_eq!(bind(a), bind(b));
    same("id = 5", "5.0 = ID");
    same("id in (1, 2)", "orders.id in (2, 1.0, 2)");
    same("price > 1.5", "1.50 < price");
    same("at > '2026-11-21T10:00:00Z'", "at > '2026-11-21 12:00:00.000+02:00'");
    same("lap = '10:00'", "lap = '10:00:00.0'");
}
