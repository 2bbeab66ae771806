//! A filter's answer for a row is SQLite's answer for the pushed SQL, and for the same text as plain SQL.
//!
//! Random tables, rows and filters; `ROWCAST_SOAK=n` runs n times as many.

mod errors;
mod facts;
mod generate;
mod pools;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};
use rowcast::event::{Column, Row, Table, TableName, Value};
use rowcast::filter::{Dialect, Filter, Predicate, Term};
use rusqlite::types::{ToSqlOutput, Value as Stored, ValueRef};
use rusqlite::{Connection, params_from_iter};

use generate::{Case, Schema, claims};

/// Each case compares about 8 rows with 12 filters.
const CASES: u32 = 320;

fn config(cases: u32) -> Config {
    let soak = std::env::var("ROWCAST_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    Config { cases: cases.saturating_mul(soak), failure_persistence: None, ..Config::default() }
}

fn to_stored(value: &Value) -> Stored {
    match value {
        Value::Null => Stored::Null,
        Value::Int(n) => Stored::Integer(*n),
        Value::Real(x) => Stored::Real(*x),
        Value::Text(text) => Stored::Text(text.to_string()),
        Value::Bytes(bytes) => Stored::Blob(bytes.to_vec()),
        other => panic!("SQLite has no {other:?}"),
    }
}

fn to_value(stored: ValueRef<'_>) -> Value {
    match stored {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Int(n),
        ValueRef::Real(x) => Value::Real(x),
        ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).expect("valid text was stored").into()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.into()),
    }
}

/// The table in a real database, and its rows as the database gives them back.
struct Stage {
    database: Connection,
    table: Table,
    rows: Vec<Row>,
}

impl Stage {
    fn new(schema: &Schema, rows: &[Vec<Value>]) -> Self {
        let database = Connection::open_in_memory().expect("a database");
        database.execute_batch(&schema.create()).expect("the table");
        for row in rows {
            // A STRICT table refuses some rows.
            let _ = database.execute(&schema.insert(), params_from_iter(row.iter().map(to_stored)));
        }
        let columns = schema
            .columns
            .iter()
            .enumerate()
            .map(|(i, c)| Column { name: generate::NAMES[i].into(), declared: c.declared.into() })
            .collect();
        let table = Table { name: TableName::bare("t"), columns, key: Vec::new() };
        let rows = Self::read(&database, table.columns.len());
        Self { database, table, rows }
    }

    fn read(database: &Connection, columns: usize) -> Vec<Row> {
        let mut select = database.prepare("SELECT * FROM t ORDER BY rowid").expect("a statement");
        let row = |row: &rusqlite::Row<'_>| {
            (0..columns).map(|i| row.get_ref(i).map(to_value)).collect::<Result<Vec<_>, _>>().map(Row::from)
        };
        select.query_map([], row).expect("rows").collect::<Result<_, _>>().expect("rows")
    }

    /// What SQLite says for each row: true, false or unknown.
    fn truths(&self, condition: &str, params: &[Value]) -> Result<Vec<Option<bool>>, String> {
        let sql = format!("SELECT ({condition}) IS TRUE, ({condition}) IS FALSE FROM t ORDER BY rowid");
        let mut select = self.database.prepare(&sql).map_err(|error| format!("{error}: {sql}"))?;
        let params = params_from_iter(params.iter().map(|value| ToSqlOutput::Owned(to_stored(value))));
        let truth = |row: &rusqlite::Row<'_>| {
            Ok(match (row.get(0)?, row.get(1)?) {
                (true, false) => Some(true),
                (false, true) => Some(false),
                _ => None,
            })
        };
        let rows = select.query_map(params, truth).map_err(|error| error.to_string())?;
        rows.collect::<Result<_, _>>().map_err(|error| format!("{error}: {sql}"))
    }

    /// The rows that a WHERE clause keeps.
    fn kept(&self, condition: &str, params: &[Value]) -> Result<Vec<usize>, String> {
        let sql = format!("SELECT rowid FROM t WHERE {condition} ORDER BY rowid");
        let mut select = self.database.prepare(&sql).map_err(|error| format!("{error}: {sql}"))?;
        let params = params_from_iter(params.iter().map(to_stored));
        let rows = select.query_map(params, |row| row.get::<_, i64>(0)).map_err(|error| error.to_string())?;
        let ids: Result<Vec<i64>, _> = rows.collect();
        Ok(ids.map_err(|error| error.to_string())?.into_iter().map(|id| usize::try_from(id).unwrap() - 1).collect())
    }

    fn bind(&self, text: &str) -> Result<Predicate, TestCaseError> {
        let fail = |error| TestCaseError::fail(format!("{text}: {error:?}"));
        Filter::parse(text).and_then(|filter| filter.bind(&self.table, Dialect::Sqlite, &claims())).map_err(fail)
    }

    /// Everything that is promised of one filter.
    fn check(&self, text: &str, plain: &str) -> Result<(), TestCaseError> {
        let predicate = self.bind(text)?;
        let (mut sql, mut params) = (String::new(), Vec::new());
        predicate.push_sql(&mut sql, &mut params);
        let ours: Vec<_> = self.rows.iter().map(|row| predicate.truth(row)).collect();
        let context = || format!("\n filter {text}\n pushed {sql} {params:?}\n plain {plain}\n rows {:?}", self.rows);
        let pushed = self.truths(&sql, &params).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&ours, &pushed, "pushed{}", context());
        let asked = self.truths(plain, &[]).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&ours, &asked, "plain{}", context());
        let matching: Vec<_> = (0..self.rows.len()).filter(|i| predicate.matches(&self.rows[*i])).collect();
        let kept = self.kept(&sql, &params).map_err(TestCaseError::fail)?;
        prop_assert_eq!(matching, kept, "kept{}", context());
        for row in &self.rows {
            check_ways(&predicate, row, &context)?;
            check_unsent(&predicate, row, &context)?;
        }
        Ok(())
    }
}

/// An index finds every row that matches, or that may match, by each of the filter's ways.
fn check_ways(predicate: &Predicate, row: &Row, context: &dyn Fn() -> String) -> Result<(), TestCaseError> {
    for (unsent, way) in
        (0..=row.values.len()).flat_map(|unsent| predicate.ways().into_iter().map(move |way| (unsent, way)))
    {
        let mut row = row.clone();
        if let Some(value) = row.values.get_mut(unsent) {
            *value = Value::Unchanged;
        }
        let is_found = way.iter().any(|term: &Term| term.may_hold(&row));
        prop_assert!(is_found || !predicate.may_match(&row), "way {way:?} of {row:?}{}", context());
    }
    Ok(())
}

/// Without one of the columns, the answer is the same or unknown.
fn check_unsent(predicate: &Predicate, row: &Row, context: &dyn Fn() -> String) -> Result<(), TestCaseError> {
    let full = predicate.truth(row);
    for column in 0..row.values.len() {
        let mut less = row.clone();
        less.values[column] = Value::Unchanged;
        let truth = predicate.truth(&less);
        prop_assert!(truth.is_none() || truth == full, "unsent {column}{}", context());
        if !predicate.columns().contains(&column) {
            prop_assert_eq!(truth, full, "not read {}{}", column, context());
        }
    }
    Ok(())
}

#[test]
fn a_filter_answers_as_sqlite_does() {
    proptest!(config(CASES), |(case in generate::case())| {
        let Case { schema, rows, filters } = &case;
        let stage = Stage::new(schema, rows);
        for filter in filters {
            stage.check(&filter.as_filter(schema), &filter.as_sql(schema))?;
        }
    });
}

#[test]
fn no_text_makes_the_parser_panic() {
    let soup = proptest::collection::vec(proptest::sample::select(pools::SCRAPS), 0..40).prop_map(|s| s.concat());
    proptest!(config(2048), |(text in prop_oneof![any::<String>(), soup])| {
        match Filter::parse(&text) {
            Ok(filter) => prop_assert_eq!(filter.as_str(), text),
            Err(error) => {
                let chars = text.chars().count();
                prop_assert!(error.length >= 1);
                prop_assert!(error.offset + error.length <= chars.max(error.offset + 1) && error.offset <= chars,
                    "{error:?} in {text:?}");
            }
        }
    });
}

/// What `Filter::parse` takes is SQL to sqlparser as well, but for `IN claims.x` without parentheses.
#[test]
fn a_filter_is_sql() {
    use sqlparser::{dialect::SQLiteDialect, parser::Parser};
    proptest!(config(64), |(case in generate::case())| {
        for filter in &case.filters {
            let text = filter.as_filter(&case.schema);
            if text.to_lowercase().contains("in claims.") {
                continue;
            }
            let mut parser = Parser::new(&SQLiteDialect {}).with_recursion_limit(200).try_with_sql(&text).expect("tokens");
            prop_assert!(parser.parse_expr().is_ok(), "{text}");
        }
    });
}

#[test]
fn lists_and_chains_of_thousands_are_pushed_down() {
    let schema = Schema::of(&["INTEGER"]);
    let stage = Stage::new(&schema, &[vec![Value::Int(3)], vec![Value::Int(5000)]]);
    let list = (0..2000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    for text in [
        format!("c0 in ({})", &list[..list[..8000].rfind(',').expect("a comma")]),
        vec!["c0<9"; 1000].join(" or "),
        vec!["c0<9"; 900].join(" and "),
        format!("{}c0<9{}", "(".repeat(64), ")".repeat(64)),
        format!("{}(c0<9)", "not ".repeat(2000)),
        format!("c0<9{}", " is true".repeat(95)),
        format!("{}c0<9{}", "(c0<9 or c0<9 or c0<9 and (".repeat(32), "))".repeat(32)),
    ] {
        stage.check(&text, &if text.starts_with("c0 in") { text.clone() } else { "c0 < 9".into() }).expect("equal");
    }
}
