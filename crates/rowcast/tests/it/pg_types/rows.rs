//! Every type, in every way.

use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rowcast::event::Value;
use rowcast::postgres::Kind;
use serde_json::value::RawValue;
use tokio_postgres::types::ToSql;

use super::exact::same;
use super::{Captured, random};

const ROWS: usize = 48;

/// An array of a domain over arrays: its JSON does not tell where the dimensions end and the elements begin.
const AMBIGUOUS: &str = "numbers[]";

type Typed = (String, BoxedStrategy<String>);

/// NaN is NaN.
fn equal(one: &Value, other: &Value) -> bool {
    matches!((one, other), (Value::Real(a), Value::Real(b)) if a.is_nan() && b.is_nan()) || one == other
}

/// What one column of one row is in each way.
struct Cell<'a> {
    declared: &'a str,
    stream: &'a Value,
    row_json: &'a str,
    jsonb: &'a str,
    text: Option<&'a str>,
}

impl Cell<'_> {
    /// What is wrong, in words.
    fn check(&self, kind: &Kind) -> Vec<String> {
        let Self { declared, stream, row_json, jsonb, text } = self;
        let all = format!("{declared}: {stream:?}, as JSON {row_json}, as jsonb {jsonb}, as text {text:?}");
        let mut wrong = Vec::new();
        let mut check = |good: bool, what: &str| {
            if !good {
                wrong.push(format!("{what}: {all}, written as {}", stream.to_json()));
            }
        };
        check(equal(stream, &kind.from_json(row_json)), "row_to_json gives another value");
        let from_text = text.map_or(Value::Null, |text| kind.from_text(text));
        check(equal(stream, &from_text), "a query's text gives another value");
        check(same(&stream.to_json(), jsonb), "to_jsonb is something else");
        // Of a document of type json, jsonb drops blanks and repeated keys.
        if !row_json.contains(['{', '[']) && *declared != "json" {
            check(equal(stream, &kind.from_json(jsonb)), "to_jsonb gives another value");
        }
        wrong
    }
}

/// Everything from one table with a column of each type.
#[tokio::test]
async fn a_value_of_any_type_is_the_same_whichever_way_it_comes_and_as_to_jsonb_prints_it() {
    let types = random::types();
    let columns: Vec<String> = types.iter().enumerate().map(|(n, (name, _))| format!("c{n} {name}")).collect();
    let again = columns.join(", ");
    let table =
        format!("create table t (id int primary key, {again}); create table again (id int primary key, {again})");
    let captured = Captured::new(&format!("{}\n{table}", random::TYPES)).await;
    let mut runner = TestRunner::default();
    for id in 0..ROWS {
        let mut value = |texts: &BoxedStrategy<String>| texts.new_tree(&mut runner).expect("a value").current();
        // The first row has nothing but nulls.
        let values: Vec<Option<String>> = types.iter().map(|(_, texts)| (id > 0).then(|| value(texts))).collect();
        insert(&captured, "t", id, &types, &values).await;
    }

    let changes = captured.changes().await;
    assert_eq!(changes.len(), ROWS);
    let names: Vec<(u32, String)> = described(&captured).await;
    let kinds: Vec<_> = names.iter().map(|(oid, _)| captured.types.get(*oid)).collect();
    let mut wrong = Vec::new();
    for (change, row) in changes.iter().zip(read(&captured, &kinds).await) {
        let new = change.new.as_ref().expect("a new row");
        for (n, kind) in kinds.iter().enumerate() {
            let cell = Cell {
                declared: &names[n].1,
                stream: &new.values[n + 1],
                row_json: row.json[n].get(),
                jsonb: row.jsonb[n].get(),
                text: row.texts[n].as_deref(),
            };
            wrong.extend(cell.check(kind));
        }
        let columns = kinds.iter().zip(&new.values[1..]).zip(&types);
        let values: Vec<_> = columns
            .map(|((kind, value), (name, _))| if name == AMBIGUOUS { None } else { kind.to_text(value) })
            .collect();
        let id = new.values[0].to_json().parse().expect("a number");
        insert(&captured, "again", id, &types, &values).await;
    }
    assert!(wrong.is_empty(), "{} wrong values:\n{}", wrong.len(), wrong.join("\n"));
    written_values_are_the_same(&captured, &types).await;
    captured.end().await;
}

async fn insert(captured: &Captured, table: &str, id: usize, types: &[Typed], values: &[Option<String>]) {
    let casts: Vec<_> = types.iter().enumerate().map(|(n, (name, _))| format!("${}::text::{name}", n + 1)).collect();
    let sql = format!("insert into {table} values ({id}, {})", casts.join(", "));
    let params: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
    if captured.client.execute(&sql, &params).await.is_ok() {
        return;
    }
    let mut wrong = Vec::new();
    for ((name, _), value) in types.iter().zip(values) {
        if let Err(error) = captured.client.query(&format!("select ($1::text::{name}) is null"), &[value]).await {
            wrong
                .push(format!("{name} does not read {value:?}: {}", error.as_db_error().expect("an answer").message()));
        }
    }
    panic!("row {id} was not inserted:\n{}", wrong.join("\n"));
}

/// The types of the columns as the catalog has them, learned.
async fn described(captured: &Captured) -> Vec<(u32, String)> {
    let sql = "select atttypid, atttypmod, format_type(atttypid, atttypmod) from pg_attribute
        where attrelid = 't'::regclass and attnum > 1 order by attnum";
    let rows = captured.client.query(sql, &[]).await.expect("columns");
    rows.iter()
        .map(|row| {
            let (oid, typmod, printed): (u32, i32, String) = (row.get(0), row.get(1), row.get(2));
            assert!(captured.types.is_known(oid), "{printed} was not learned");
            let declared = captured.types.declared(oid, typmod);
            assert!(*declared == *printed || *declared == format!("public.{printed}"), "{declared} is not {printed}");
            (oid, printed)
        })
        .collect()
}

/// A row without its id, as `row_to_json`, `to_jsonb` and a query print its columns.
struct Printed {
    json: Vec<Box<RawValue>>,
    jsonb: Vec<Box<RawValue>>,
    texts: Vec<Option<String>>,
}

async fn read(captured: &Captured, kinds: &[std::sync::Arc<Kind>]) -> Vec<Printed> {
    let texts: Vec<_> = kinds.iter().enumerate().map(|(n, kind)| kind.select_text(&format!("c{n}"))).collect();
    let jsonb: Vec<_> = (0..kinds.len()).map(|n| format!("coalesce(to_jsonb(c{n}), 'null')::text")).collect();
    let (texts, jsonb) = (texts.join(", "), jsonb.join(", "));
    let sql = format!("select row_to_json(t)::text, array[{jsonb}], array[{texts}] from t order by id");
    let rows = captured.client.query(&sql, &[]).await.expect("rows");
    let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
    let printed = |row: &tokio_postgres::Row| {
        let whole: std::collections::HashMap<String, Box<RawValue>> = serde_json::from_str(row.get(0)).expect("JSON");
        Printed {
            json: (0..kinds.len()).map(|n| whole[&format!("c{n}")].clone()).collect(),
            jsonb: row.get::<_, Vec<&str>>(1).into_iter().map(raw).collect(),
            texts: row.get(2),
        }
    };
    rows.iter().map(printed).collect()
}

/// Values that were written back are what they were; of an array the bounds are not kept.
async fn written_values_are_the_same(captured: &Captured, types: &[Typed]) {
    for (n, (name, _)) in types.iter().enumerate().filter(|(_, (name, _))| name != AMBIGUOUS) {
        let sql = format!(
            "select to_jsonb(t.c{n})::text, to_jsonb(again.c{n})::text from t join again using (id)
             where to_jsonb(t.c{n}) is distinct from to_jsonb(again.c{n})"
        );
        let wrong = captured.client.query(&sql, &[]).await.expect("compared");
        let shown: Vec<(Option<&str>, Option<&str>)> = wrong.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert!(shown.is_empty(), "{name} came back as something else: {shown:?}");
    }
}

#[tokio::test]
async fn a_numeric_keeps_all_the_digits_that_postgresql_has() {
    let captured = Captured::new("create table t (id int primary key, n numeric)").await;
    captured
        .run("insert into t values (1, repeat('9', 131072)::numeric), (2, ('0.' || repeat('7', 16383))::numeric)")
        .await;
    let values: Vec<Value> = captured.changes().await.iter().map(|change| change.row().values[1].clone()).collect();
    let digits = |whole: &str, digit: &str, count| Value::Number((whole.to_owned() + &digit.repeat(count)).into());
    assert!(values == [digits("", "9", 131_072), digits("0.", "7", 16_383)]);
    captured.end().await;
}

/// What is built in and known without asking is spelled as the server spells it.
#[tokio::test]
async fn types_are_declared_as_format_type_prints_them() {
    let captured = Captured::new(random::TYPES).await;
    let sql =
        "select oid, typmod, format_type(oid, typmod) from pg_type, unnest(array[-1, 9, 655366, 1319420]) as typmod
        where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm')
          and (typmod = -1 or typname in ('varchar', 'bpchar', 'numeric', 'bit', 'time', '_varchar'))";
    let rows = captured.client.query(sql, &[]).await.expect("types");
    let pairs: Vec<(u32, i32)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    captured.types.learn(&captured.client, &pairs).await.expect("learned");
    for row in &rows {
        assert_eq!(*captured.types.declared(row.get(0), row.get(1)), *row.get::<_, &str>(2));
    }
    assert!(rows.len() > 100, "{} types", rows.len());
    let own = "select 'mood[]'::regtype::oid, '\"Odd schema\".\"Pair\"'::regtype::oid, 'small'::regtype::oid";
    let own = captured.client.query_one(own, &[]).await.expect("types");
    for (n, declared) in ["public.mood[]", "\"Odd schema\".\"Pair\"", "public.small"].into_iter().enumerate() {
        captured.types.learn(&captured.client, &[(own.get(n), -1)]).await.expect("learned");
        assert_eq!(*captured.types.declared(own.get(n), -1), *declared);
    }
    captured.end().await;
}
