//! A filter's answer for a row is MariaDB's (or MySQL's) answer for the pushed SQL, in a select list and after WHERE, with
//! indexes, in a strict and in a lenient `sql_mode`.
//!
//! Random tables over all types that are compared, random rows and filters; `ROWCAST_SOAK=n` runs n times as many, and
//! `ROWCAST_TEST_MYSQL_BIN` asks a MySQL.

mod errors;
mod facts;
mod generate;
mod pools;
mod server;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Value as Cell};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rowcast::event::{Column, Row, Table, TableName, Value};
use rowcast::filter::{Dialect, Filter, Predicate, Term};
use rowcast::mysql::Kind;
use servers::MysqlDatabase;

use generate::{Case, NAMES, Schema, quoted};

/// Each case compares 8 rows with 12 filters.
const CASES: u32 = 48;

/// The modes in which the servers differ most: what is no date is an error in one, and NULL or zero in the other.
const MODES: [&str; 3] = [
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO",
    "",
    "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE,PIPES_AS_CONCAT,IGNORE_SPACE",
];

/// A table in a real database, and its rows as the database gives them back.
struct Stage {
    table: Table,
    rows: Vec<Row>,
}

impl Stage {
    async fn new(conn: &mut Conn, schema: &Schema, rows: &[Vec<Option<usize>>]) -> Self {
        run(conn, "SET sql_mode = 'ALLOW_INVALID_DATES'").await;
        run(conn, "DROP TABLE IF EXISTS t").await;
        run(conn, &schema.create()).await;
        for row in rows {
            run(conn, &schema.insert(row)).await;
        }
        let column =
            |(i, pool): (usize, &pools::Pool)| Column { name: NAMES[i].into(), declared: pool.declared.into() };
        let columns: Vec<_> = schema.types.iter().enumerate().map(column).collect();
        let kinds: Vec<_> = columns.iter().map(|column| Kind::of(&column.declared)).collect();
        let shown: Vec<_> = kinds.iter().enumerate().map(|(i, kind)| shown(kind, &quoted(i))).collect();
        let select = format!("SELECT {} FROM t ORDER BY n", shown.join(", "));
        let rows: Vec<mysql_async::Row> = conn.exec(&*select, ()).await.expect(&select);
        let row = |row: mysql_async::Row| {
            row.unwrap().into_iter().zip(&kinds).map(|(cell, kind)| value(cell, kind)).collect::<Vec<_>>().into()
        };
        Self {
            table: Table { name: TableName::bare("t"), columns, key: Vec::new() },
            rows: rows.into_iter().map(row).collect(),
        }
    }

    fn bind(&self, text: &str) -> Option<Predicate> {
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        filter.bind(&self.table, Dialect::Mysql, &serde_json::Map::new()).ok()
    }

    /// Everything that is promised of one filter; whether it could be bound.
    async fn check(&self, conn: &mut Conn, text: &str) -> Result<bool, TestCaseError> {
        let Some(predicate) = self.bind(text) else { return Ok(false) };
        let (mut sql, mut params) = (String::new(), Vec::new());
        predicate.push_sql(&mut sql, &mut params);
        let ours: Vec<_> = self.rows.iter().map(|row| predicate.truth(row)).collect();
        let context =
            || format!("\n filter {text}\n pushed {sql} {params:?}\n table {:?}\n rows {:#?}", self.table, self.rows);
        let given: Vec<Cell> = params.iter().map(cell).collect();
        let listed: Vec<Option<bool>> = ask(conn, &format!("SELECT {sql} FROM t ORDER BY n"), &given).await?;
        prop_assert_eq!(&ours, &listed, "listed{}", context());
        let kept: Vec<usize> = ask(conn, &format!("SELECT n FROM t WHERE {sql} ORDER BY n"), &given).await?;
        let matching: Vec<_> =
            (0..).zip(&ours).filter(|(_, truth)| **truth == Some(true)).map(|(n, _)| n + 1).collect();
        prop_assert_eq!(&matching, &kept, "kept{}", context());
        for row in &self.rows {
            check_ways(&predicate, row, &context)?;
            check_unsent(&predicate, row, &context)?;
        }
        Ok(true)
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

/// Without some of the columns, the answer is the same or unknown, and a row that matches may match.
fn check_unsent(predicate: &Predicate, row: &Row, context: &dyn Fn() -> String) -> Result<(), TestCaseError> {
    let full = predicate.truth(row);
    prop_assert_eq!(predicate.may_match(row), full == Some(true), "known{}", context());
    for column in 0..row.values.len() {
        let mut less = row.clone();
        less.values[column] = Value::Unchanged;
        let truth = predicate.truth(&less);
        prop_assert!(truth.is_none() || truth == full, "unsent {column}{}", context());
        prop_assert!(full != Some(true) || predicate.may_match(&less), "may match without {column}{}", context());
        if !predicate.columns().contains(&column) {
            prop_assert_eq!(truth, full, "not read {}{}", column, context());
        }
    }
    Ok(())
}

async fn run(conn: &mut Conn, sql: &str) {
    conn.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn ask<T>(conn: &mut Conn, sql: &str, params: &[Cell]) -> Result<Vec<T>, TestCaseError>
where
    T: mysql_async::prelude::FromRow + Send + 'static,
{
    let params = if params.is_empty() { Params::Empty } else { Params::Positional(params.to_vec()) };
    conn.exec(sql, params).await.map_err(|error| TestCaseError::fail(format!("{error}: {sql}")))
}

/// A parameter, as stores send it.
fn cell(value: &Value) -> Cell {
    match value {
        Value::Int(n) => Cell::Int(*n),
        Value::Real(x) => Cell::Double(*x),
        Value::Text(text) => Cell::Bytes(text.as_bytes().into()),
        other => panic!("not expected as a parameter: {other:?}"),
    }
}

/// The column in a select list, so that [`value`] reads it.
fn shown(kind: &Kind, column: &str) -> String {
    match kind {
        Kind::Bit(_) => format!("{column} + 0"),
        Kind::Text | Kind::Enum(_) | Kind::Set(_) => format!("CONVERT({column} USING utf8mb4)"),
        Kind::Int { .. } | Kind::Year | Kind::Float | Kind::Double | Kind::Bytes => column.to_owned(),
        _ => format!("CAST({column} AS CHAR)"),
    }
}

/// As `mysql/kind.rs` says that values come.
fn value(cell: Cell, kind: &Kind) -> Value {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    match (cell, kind) {
        (Cell::NULL, _) => Value::Null,
        (Cell::Int(n), _) => Value::Int(n),
        (Cell::UInt(n), _) => i64::try_from(n).map_or_else(|_| Value::Number(n.to_string().into()), Value::Int),
        (Cell::Float(x), _) => Value::Real(f64::from(x)),
        (Cell::Double(x), _) => Value::Real(x),
        (Cell::Bytes(bytes), Kind::Bytes) => Value::Bytes(bytes.into()),
        (Cell::Bytes(bytes), Kind::Decimal { .. }) => Value::Number(text(bytes).into()),
        (Cell::Bytes(bytes), Kind::Json) => Value::Json(text(bytes).into()),
        (Cell::Bytes(bytes), Kind::Timestamp(_)) => Value::Text(format!("{}+00", text(bytes)).into()),
        (Cell::Bytes(bytes), _) => Value::Text(text(bytes).into()),
        (other, kind) => panic!("{other:?} of {kind:?}"),
    }
}

/// A database, and a connection as Rowcast makes it.
async fn stage() -> (MysqlDatabase, Conn, bool) {
    let database = MysqlDatabase::new().await.expect("a database");
    let mut conn = database.connect().await.expect("a connection");
    run(&mut conn, "SET time_zone = '+00:00'").await;
    let version: Option<String> = conn.query_first("SELECT VERSION()").await.expect("a version");
    (database, conn, version.expect("a version").contains("MariaDB"))
}

#[test]
fn a_filter_answers_as_the_server_does() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (_database, conn, is_mariadb) = runtime.block_on(stage());
    let conn = std::cell::RefCell::new(conn);
    let soak: u32 = std::env::var("ROWCAST_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let config = Config { cases: CASES.saturating_mul(soak), failure_persistence: None, ..Config::default() };
    let tally = std::cell::Cell::new((0u32, 0u32));
    let run_case = |Case { schema, rows, filters }: Case| {
        let mut conn = conn.borrow_mut();
        runtime.block_on(async {
            let stage = Stage::new(&mut conn, &schema, &rows).await;
            for (filter, mode) in filters.iter().zip(MODES.iter().cycle()) {
                run(&mut conn, &format!("SET sql_mode = '{mode}'")).await;
                let is_bound = stage.check(&mut conn, &filter.spell(&schema)).await?;
                let (bound, all) = tally.get();
                tally.set((bound + u32::from(is_bound), all + 1));
            }
            Ok(())
        })
    };
    if let Err(error) = TestRunner::new(config).run(&generate::case(is_mariadb), run_case) {
        panic!("{error}");
    }
    let (bound, all) = tally.get();
    assert!(bound * 2 > all, "only {bound} of {all} filters could be bound");
}
