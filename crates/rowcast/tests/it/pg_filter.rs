//! A filter's answer for a row is PostgreSQL's answer for the pushed SQL, and for the same text as plain SQL.
//!
//! Random tables over all types that are compared, random rows and filters; `ROWCAST_SOAK=n` runs n times as many.

mod errors;
mod facts;
mod generate;
mod pools;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rowcast::event::{Column, Row, Table, TableName, Value};
use rowcast::filter::{Dialect, Filter, Predicate, Term};
use rowcast::postgres::types::Types;
use servers::Database;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use generate::{Case, Schema};

/// Each case compares 8 rows with 12 filters.
const CASES: u32 = 48;

/// How the connections of Rowcast are set: values look the same on each.
const SETTINGS: &str = "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; \
    SET extra_float_digits = 1; SET bytea_output = 'hex';";

/// Types of the database's own.
const OWN_TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE DOMAIN age AS integer; \
    CREATE TYPE pair AS (a integer, b text);";

/// A table in a real database, and its rows as the database gives them back.
struct Stage<'c> {
    client: &'c Client,
    table: Table,
    rows: Vec<Row>,
}

impl<'c> Stage<'c> {
    async fn new(client: &'c Client, schema: &Schema, rows: &[Vec<Option<usize>>]) -> Self {
        client.batch_execute(&schema.create()).await.expect("the table");
        for row in rows {
            client.batch_execute(&schema.insert(row)).await.expect("a row");
        }
        Self::read(client).await
    }

    /// What is in `t`, each row read as text and as JSON.
    async fn read(client: &'c Client) -> Self {
        let columns = "SELECT attname::text, format_type(atttypid, atttypmod), atttypid FROM pg_attribute \
            WHERE attrelid = 't'::regclass AND attnum > 1 AND NOT attisdropped ORDER BY attnum";
        let columns = client.query(columns, &[]).await.expect("the columns");
        let types = Types::new();
        let wanted: Vec<_> = columns.iter().map(|column| (column.get(2), -1)).collect();
        types.learn(client, &wanted).await.expect("the types");
        let kinds: Vec<_> = wanted.iter().map(|(oid, _)| types.get(*oid)).collect();
        let quoted = |column: &tokio_postgres::Row| format!("\"{}\"", column.get::<_, &str>(0).replace('"', "\"\""));
        let texts: Vec<_> =
            columns.iter().zip(&kinds).map(|(column, kind)| kind.select_text(&quoted(column))).collect();
        let select = format!("SELECT {} FROM t ORDER BY n", texts.join(", "));
        let rows = client.query(&select, &[]).await.expect("the rows");
        let value = |row: &tokio_postgres::Row, i: usize| {
            row.get::<_, Option<&str>>(i).map_or(Value::Null, |text| kinds[i].from_text(text))
        };
        let rows = rows.iter().map(|row| (0..kinds.len()).map(|i| value(row, i)).collect::<Vec<_>>().into()).collect();
        let column = |column: &tokio_postgres::Row| Column {
            name: column.get::<_, &str>(0).into(),
            declared: column.get::<_, &str>(1).into(),
        };
        let table =
            Table { name: TableName::bare("t"), columns: columns.iter().map(column).collect(), key: Vec::new() };
        Self { client, table, rows }
    }

    /// What PostgreSQL says for each row: true, false or unknown.
    async fn truths(&self, condition: &str, params: &[Value]) -> Result<Vec<Option<bool>>, TestCaseError> {
        let texts: Vec<_> = params
            .iter()
            .map(|value| match value {
                Value::Text(text) => &**text,
                other => panic!("a parameter is text, not {other:?}"),
            })
            .collect();
        let params: Vec<_> = texts.iter().map(|text| text as &(dyn ToSql + Sync)).collect();
        let sql = format!("SELECT {condition} FROM t ORDER BY n");
        let rows = self.client.query(&sql, &params).await;
        let fail = |error: tokio_postgres::Error| {
            let reason = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
            TestCaseError::fail(format!("{reason}: {sql} {texts:?}"))
        };
        Ok(rows.map_err(fail)?.iter().map(|row| row.get(0)).collect())
    }

    fn bind(&self, text: &str) -> Option<Predicate> {
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        filter.bind(&self.table, Dialect::Postgres, &serde_json::Map::new()).ok()
    }

    /// Everything that is promised of one filter; whether it could be bound.
    async fn check(&self, text: &str, plain: Option<&str>) -> Result<bool, TestCaseError> {
        let Some(predicate) = self.bind(text) else { return Ok(false) };
        let (mut sql, mut params) = (String::new(), Vec::new());
        predicate.push_sql(&mut sql, &mut params);
        let ours: Vec<_> = self.rows.iter().map(|row| predicate.truth(row)).collect();
        let context =
            || format!("\n filter {text}\n pushed {sql} {params:?}\n table {:?}\n rows {:#?}", self.table, self.rows);
        let pushed = self.truths(&sql, &params).await?;
        prop_assert_eq!(&ours, &pushed, "pushed{}", context());
        if let Some(plain) = plain {
            let asked = self.truths(plain, &[]).await?;
            prop_assert_eq!(&ours, &asked, "plain{}", context());
        }
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
            prop_assert_eq!(predicate.may_match(&less), full == Some(true), "not read {}{}", column, context());
        }
    }
    Ok(())
}

/// A database with types of its own, and a connection as Rowcast makes it.
async fn stage() -> (Database, Client) {
    let database = Database::new().await.expect("a database");
    let client = database.connect().await.expect("a connection");
    client.batch_execute(&format!("{SETTINGS}{OWN_TYPES}")).await.expect("settings");
    (database, client)
}

#[test]
fn a_filter_answers_as_postgres_does() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (_database, client) = runtime.block_on(stage());
    let soak: u32 = std::env::var("ROWCAST_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let config = Config { cases: CASES.saturating_mul(soak), failure_persistence: None, ..Config::default() };
    let (mut bound, mut all) = (0, 0);
    let tally = std::cell::RefCell::new((&mut bound, &mut all));
    let run = |Case { schema, rows, filters }: Case| {
        runtime.block_on(async {
            let stage = Stage::new(&client, &schema, &rows).await;
            for filter in &filters {
                let text = filter.spell(&schema);
                let plain = filter.is_plain(&schema).then_some(&*text);
                let is_bound = stage.check(&text, plain).await?;
                let mut tally = tally.borrow_mut();
                *tally.0 += u32::from(is_bound);
                *tally.1 += 1;
            }
            Ok(())
        })
    };
    if let Err(error) = TestRunner::new(config).run(&generate::case(), run) {
        panic!("{error}");
    }
    assert!(bound * 2 > all, "only {bound} of {all} filters could be bound");
}
