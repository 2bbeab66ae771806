//! What the hub and the stores count on.

use std::hash::{DefaultHasher, Hash, Hasher};

use rowcast::event::{Column, Row, Table, TableName, Value};
use rowcast::filter::{Dialect, Filter, Predicate, Term, Wanted};
use serde_json::{Map, Value as Json, json};

fn table() -> Table {
    let column = |name: &str, declared: &str| Column { name: name.into(), declared: declared.into() };
    let columns = vec![
        column("id", "INTEGER"),
        column("speed", "REAL"),
        column("city", "TEXT COLLATE NOCASE"),
        column("any", ""),
    ];
    Table { name: TableName::bare("readings"), columns, key: vec![0] }
}

#[track_caller]
fn bind_with(text: &str, claims: &Json) -> Predicate {
    let claims = claims.as_object().cloned().unwrap_or_else(Map::new);
    Filter::parse(text).and_then(|filter| filter.bind(&table(), Dialect::Sqlite, &claims)).expect(text)
}

#[track_caller]
fn bind(text: &str) -> Predicate {
    bind_with(text, &Json::Null)
}

fn pushed(predicate: &Predicate) -> (String, Vec<Value>) {
    let (mut sql, mut params) = (String::new(), Vec::new());
    predicate.push_sql(&mut sql, &mut params);
    (sql, params)
}

fn row(id: Value, speed: Value, city: Value) -> Row {
    vec![id, speed, city, Value::Null].into()
}

#[test]
fn unknown_is_neither_true_nor_false() {
    let row = row(Value::Int(1), Value::Null, Value::Unchanged);
    for (text, truth) in [
        ("speed > 1", None),
        ("not speed > 1", None),
        ("speed > 1 or id = 1", Some(true)),
        ("speed > 1 and id = 2", Some(false)),
        ("speed is null", Some(true)),
        ("(speed > 1) is null", Some(true)),
        ("(speed > 1) is not true", Some(true)),
        ("id not in (2, null)", None),
        ("city = 'Oslo'", None),
        ("city is null", None),
        ("(city = 'Oslo') is not true", None),
        ("(city = 'Oslo') is null", None),
        ("city is distinct from null", None),
        ("city = 'Oslo' or id = 1", Some(true)),
    ] {
        assert_eq!(bind(text).truth(&row), truth, "{text}");
        assert_eq!(bind(text).matches(&row), truth == Some(true), "{text}");
    }
}

#[test]
fn values_are_parameters_and_names_are_quoted() {
    let (mut sql, mut params) = ("SELECT * FROM t WHERE a = ?1 AND ".to_owned(), vec![Value::Int(0)]);
    bind("speed > 40 and city in ('Oslo','Ber''gen')").push_sql(&mut sql, &mut params);
    let expected = r#"SELECT * FROM t WHERE a = ?1 AND (("speed" > ?2) AND ("city" COLLATE BINARY IN (?3, ?4)))"#;
    assert_eq!(sql, expected);
    let texts = ["Ber'gen", "Oslo"].map(|text| Value::Text(text.into()));
    assert_eq!(params[1..], [Value::Int(40), texts[0].clone(), texts[1].clone()]);
}

#[test]
fn what_the_claims_decide_is_decided_once() {
    let claims = json!({ "role": "admin", "city": "Oslo" });
    let admin = bind_with("claims.role = 'admin' or city = claims.city", &claims);
    assert_eq!(pushed(&admin).0, "(1)");
    assert!(admin.columns().is_empty());
    let user = bind_with("claims.role = 'chief' or city = claims.city", &claims);
    assert_eq!(pushed(&user), ("(\"city\" COLLATE BINARY = ?1)".to_owned(), vec![Value::Text("Oslo".into())]));
    let nobody = bind("claims.role = 'admin' or city = claims.city");
    assert_eq!(nobody.truth(&row(Value::Int(1), Value::Null, Value::Text("Oslo".into()))), None);
}

#[test]
fn a_missing_claim_never_matches() {
    let nobody = json!({});
    let row = row(Value::Int(1), Value::Real(1.0), Value::Text("x".into()));
    for text in [
        "city = claims.city",
        "city in claims.cities",
        "city not in claims.cities",
        "id = claims.a.b.c",
        "city <> claims.city",
    ] {
        assert!(!bind_with(text, &nobody).matches(&row), "{text}");
    }
}

#[test]
fn an_index_knows_values_and_ranges_of_every_match() {
    let terms = |text: &str| {
        let kind = |term: &Term| match &term.wanted {
            Wanted::OneOf(marks) => format!("{}:{}", term.probe.column(), marks.len()),
            Wanted::Between(0, _) => format!("{}:to", term.probe.column()),
            Wanted::Between(_, u128::MAX) => format!("{}:from", term.probe.column()),
            Wanted::Between(..) => format!("{}:between", term.probe.column()),
        };
        let way = |way: &Vec<Term>| way.iter().map(kind).collect::<Vec<_>>().join(" or ");
        bind(text).ways().iter().map(way).collect::<Vec<_>>().join(" and ")
    };
    for (text, expected) in [
        ("id = 5", "0:1"),
        ("'5' = id", "0:1"),
        ("speed > 1 and city = 37", "1:from and 2:1"),
        ("id in (7)", "0:1"),
        ("id in (7, 8, 9)", "0:3"),
        ("id = 5 or id = 6", "0:2"),
        ("id = 5 or city = 'a' or id in (6, 7)", "0:3 or 2:1"),
        ("id = 5 or id <> 6", ""),
        ("(id = 5 and speed > 1) or city = 'a'", "0:1 or 2:1"),
        ("speed > 1 and id > 2 and speed <= 5", "1:between and 0:from"),
        ("speed between 1 and 5", "1:between"),
        ("speed < 5", "1:to"),
        ("city is null and speed < 5", "2:1 and 1:to"),
        ("(id = 5) is true", "0:1"),
        ("\"any\" is not distinct from x'00'", "3:1"),
        ("id = null", ""),
        ("not id = 5", ""),
        ("id = speed", ""),
        ("id <> 5", ""),
    ] {
        assert_eq!(terms(text), expected, "{text}");
    }
    assert_eq!(bind("id = null").ways(), [vec![]], "nothing matches");
}

#[test]
fn the_same_condition_is_equal_however_it_is_written() {
    let hash = |predicate: &Predicate| {
        let mut hasher = DefaultHasher::new();
        predicate.hash(&mut hasher);
        hasher.finish()
    };
    let same = [
        "speed > 40 and city in ('Oslo', 'Bergen')",
        "SPEED>40  /* fast */ AND (\"city\" IN ('Bergen','Oslo','Oslo'))",
        "40 < readings.speed and (true and city = any(claims.cities))",
    ];
    let claims = json!({ "cities": ["Oslo", "Bergen"] });
    let bound: Vec<_> = same.iter().map(|text| bind_with(text, &claims)).collect();
    for other in &bound[1..] {
        assert_eq!(bound[0], *other);
        assert_eq!(hash(&bound[0]), hash(other));
    }
    assert_ne!(bound[0], bind("speed > 41 and city in ('Oslo', 'Bergen')"));
    assert_ne!(bind("speed = 1"), bind("id = 1"));
}

#[test]
fn columns_are_those_that_are_read() {
    assert_eq!(bind("speed > 40 and (city is null or speed < 1)").columns(), [1, 2]);
    assert!(bind("true or id = 1").columns().is_empty());
}
