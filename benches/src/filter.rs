//! Evaluating a filter on a row: against the same condition written by hand, and against SQLite's own evaluation.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use rowcast::event::{Column, Row, Table as DbTable, TableName, Value};
use rowcast::filter::{Dialect, Filter};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql, params_from_iter};

use crate::Scale;
use crate::table::{Table, number, ratio};

const CITIES: [&str; 8] = ["Oslo", "Bergen", "Trondheim", "Stavanger", "Tromsø", "Bodø", "Ålesund", "Hamar"];
const STATES: [&str; 4] = ["new", "paid", "sent", "void"];
const ROWS: usize = 1024;

/// One condition, three times.
struct Case {
    name: &'static str,
    text: String,
    by_hand: Box<dyn Fn(&Row) -> bool>,
}

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let time = Duration::from_millis(scale.pick(500, 5));
    let (table, rows) = (orders(), rows());
    let database = Connection::open_in_memory()?;
    let head = ["filter", "keeps", "ns", "by hand ns", "× by hand", "SQLite ns", "× SQLite"];
    let mut out = Table::new("filter: one evaluation on a row of six columns", &head);
    for case in cases() {
        let predicate = Filter::parse(&case.text)?.bind(&table, Dialect::Sqlite, &serde_json::Map::new())?;
        let kept = rows.iter().filter(|row| predicate.matches(row)).count();
        anyhow::ensure!(kept == rows.iter().filter(|row| (case.by_hand)(row)).count(), "{} by hand differs", case.name);
        let ours = per_row(time, &rows, |row| predicate.matches(row));
        let by_hand = per_row(time, &rows, |row| (case.by_hand)(row));
        let sqlite = by_sqlite(&database, &case.text, time, &rows, kept)?;
        out.row([
            case.name.to_owned(),
            format!("{}%", kept * 100 / ROWS),
            number(ours),
            number(by_hand),
            ratio(ours, by_hand),
            number(sqlite),
            ratio(ours, sqlite),
        ]);
    }
    out.note("SQLite: the row's values bound to a prepared statement, which is stepped and reset.");
    println!("{out}");
    Ok(())
}

/// Nanoseconds for each row.
fn per_row(time: Duration, rows: &[Row], mut each: impl FnMut(&Row) -> bool) -> f64 {
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time {
        for row in rows {
            black_box(each(black_box(row)));
        }
        count += rows.len();
    }
    start.elapsed().as_nanos() as f64 / count as f64
}

fn by_sqlite(database: &Connection, text: &str, time: Duration, rows: &[Row], kept: usize) -> Result<f64> {
    let sql = format!(
        "with r(id, city, amount, state, note, customer) as (select ?1, ?2, ?3, ?4, ?5, ?6) select 1 from r where {text}"
    );
    let mut statement = database.prepare(&sql)?;
    let mut matches = |row: &Row| statement.exists(params_from_iter(row.values.iter().map(Bind))).unwrap_or(false);
    anyhow::ensure!(rows.iter().filter(|row| matches(row)).count() == kept, "SQLite does not agree about {text}");
    Ok(per_row(time, rows, matches))
}

struct Bind<'a>(&'a Value);

impl ToSql for Bind<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self.0 {
            Value::Int(n) => n.to_sql(),
            Value::Real(n) => n.to_sql(),
            Value::Text(text) => text.to_sql(),
            _ => Ok(rusqlite::types::Null.into()),
        }
    }
}

/// The table of all cases.
pub(crate) fn orders() -> Arc<DbTable> {
    let column = |(name, declared): (&str, &str)| Column { name: name.into(), declared: declared.into() };
    let columns = [
        ("id", "INTEGER"),
        ("city", "TEXT"),
        ("amount", "REAL"),
        ("state", "TEXT"),
        ("note", "TEXT"),
        ("customer", "INTEGER"),
    ];
    Arc::new(DbTable { name: TableName::bare("orders"), columns: columns.map(column).into(), key: vec![0] })
}

/// One row; equal numbers give equal rows.
pub(crate) fn order(i: u64) -> Row {
    // Enough disorder for branch predictors, and the same in every run.
    let random = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let text = |text: &str| Value::Text(text.into());
    vec![
        Value::Int(i as i64),
        text(CITIES[(random % 8) as usize]),
        Value::Real((random >> 3) as f64 % 100.0),
        text(STATES[(random >> 11) as usize % 4]),
        if random.is_multiple_of(5) { Value::Null } else { text("left at the door, rang twice") },
        Value::Int((random >> 13) as i64 % 10_000),
    ]
    .into()
}

fn rows() -> Vec<Row> {
    (0..ROWS as u64).map(order).collect()
}

fn cases() -> Vec<Case> {
    let case = |name, text: &str, by_hand: Box<dyn Fn(&Row) -> bool>| Case { name, text: text.to_owned(), by_hand };
    vec![
        case("simple", "amount > 50", Box::new(|row| amount(row) > 50.0)),
        case(
            "medium",
            "city = 'Oslo' and amount > 20 and state <> 'void'",
            Box::new(|row| text_of(row, 1) == "Oslo" && amount(row) > 20.0 && text_of(row, 3) != "void"),
        ),
        large(),
        like(),
        in_list(10),
        in_list(1000),
    ]
}

fn large() -> Case {
    let text = "(city = 'Oslo' or city = 'Bergen' or city = 'Bodø') and amount between 10 and 90 and state in ('new', 'paid', 'sent') \
                and not (customer < 100 or customer >= 9900) and (note is null or note like '%door%') \
                or (state = 'void' and amount > 95 and customer between 4000 and 6000) \
                or (id >= 1000 and id < 1010 and city <> 'Hamar')";
    let by_hand = |row: &Row| {
        let (city, state) = (text_of(row, 1), text_of(row, 3));
        let (amount, customer, id) = (amount(row), int(row, 5), int(row, 0));
        let noted = || matches!(&row.values[4], Value::Null) || contains_door(text_of(row, 4));
        (matches!(city, "Oslo" | "Bergen" | "Bodø")
            && (10.0..=90.0).contains(&amount)
            && matches!(state, "new" | "paid" | "sent")
            && (100..9900).contains(&customer)
            && noted())
            || (state == "void" && amount > 95.0 && (4000..=6000).contains(&customer))
            || ((1000..1010).contains(&id) && city != "Hamar")
    };
    Case { name: "large (17 terms)", text: text.to_owned(), by_hand: Box::new(by_hand) }
}

fn like() -> Case {
    let by_hand = |row: &Row| matches!(&row.values[4], Value::Text(text) if contains_door(text));
    Case { name: "LIKE '%door%'", text: "note like '%door%'".to_owned(), by_hand: Box::new(by_hand) }
}

fn in_list(length: i64) -> Case {
    let values: Vec<i64> = (0..length).map(|i| i * (10_000 / length)).collect();
    let listed: Vec<String> = values.iter().map(ToString::to_string).collect();
    let set: std::collections::HashSet<i64> = values.into_iter().collect();
    let name = if length == 10 { "IN of 10" } else { "IN of 1,000" };
    let text = format!("customer in ({})", listed.join(", "));
    Case { name, text, by_hand: Box::new(move |row| set.contains(&int(row, 5))) }
}

/// As LIKE does it: ASCII letters of either case.
fn contains_door(text: &str) -> bool {
    text.as_bytes().windows(4).any(|window| window.eq_ignore_ascii_case(b"door"))
}

fn amount(row: &Row) -> f64 {
    if let Value::Real(n) = row.values[2] { n } else { f64::NAN }
}

fn int(row: &Row, column: usize) -> i64 {
    if let Value::Int(n) = row.values[column] { n } else { i64::MIN }
}

fn text_of(row: &Row, column: usize) -> &str {
    if let Value::Text(text) = &row.values[column] { text } else { "" }
}
