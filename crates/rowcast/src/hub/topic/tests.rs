//! What the index finds is what is found by trying every filter, whatever the filters, the changes and the database.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::event::{Column, Op, Row, TableName, Value};
use crate::filter::{Dialect, Filter};
use crate::hub::seen::seen;
use crate::hub::{Interest, Queue, SubscriptionKey};
use crate::protocol::encode::{Projection, Wire};

/// A column: its declaration, what filters say of it, and what rows have there.
type Pool = (&'static str, &'static [&'static str], fn() -> Vec<Value>);

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn json(text: &str) -> Value {
    Value::Json(text.into())
}

const NUMBERS: &[&str] =
    &["0", "1", "-1", "5", "7", "10", "0.5", "-0.25", "5.5", "9007199254740993", "9223372036854775807", "1e3"];
const TEXTS: &[&str] =
    &["''", "'a'", "'B'", "'b'", "'é'", "'a long text, and more'", "'a long text, and less'", "'5'", "'10'"];

fn ints() -> Vec<Value> {
    [0, 1, -1, 5, 7, 10, 1000, i64::MAX, i64::MIN, 9_007_199_254_740_993].map(Value::Int).to_vec()
}

fn decimals() -> Vec<Value> {
    let numbers = ["0", "0.50", "-0.25", "5.5", "5.50001", "1000.0", "9223372036854775808", "1e-12"];
    numbers.map(|digits| Value::Number(digits.into())).into_iter().chain(ints()).collect()
}

fn doubles() -> Vec<Value> {
    [0.0, -0.0, 0.5, -0.25, 5.0, 5.5, 10.0, 1e3, 1e300, 9_007_199_254_740_992.0, f64::INFINITY]
        .map(Value::Real)
        .to_vec()
}

fn texts() -> Vec<Value> {
    ["", "a", "B", "b", "é", "a long text, and more", "a long text, and less", "5", "10", "a\0"].map(text).to_vec()
}

fn anything() -> Vec<Value> {
    let bytes = [&[][..], &[0], &[97]].map(|bytes| Value::Bytes(bytes.into()));
    let odd = [Value::Bool(true), Value::Real(f64::NAN), Value::Number("0.5".into()), Value::Number("5.0".into())];
    [ints(), doubles(), texts()].into_iter().flatten().chain(bytes).chain(odd).collect()
}

const SQLITE: &[Pool] = &[
    ("INTEGER", NUMBERS, ints),
    ("REAL", NUMBERS, doubles),
    ("TEXT", TEXTS, texts),
    ("", &["1", "0.5", "5", "'5'", "'a'", "x'61'", "x''"], anything),
    ("JSON", &["'{\"a\": 5}'", "'5'"], || ["{\"a\": 5}", "{\"a\": \"5\"}", "{\"a\": 0.5}", "[]"].map(text).to_vec()),
    ("NUMERIC", &["'5'", "5", "'a'", "0.5"], anything),
];

const POSTGRES: &[Pool] = &[
    ("bigint", NUMBERS, ints),
    ("numeric", &["0", "1", "0.5", "-0.25", "5.5", "'NaN'", "9223372036854775808", "1e3"], || {
        let odd = ["NaN", "Infinity", "-Infinity"].map(|digits| Value::Number(digits.into()));
        decimals().into_iter().chain(odd).collect()
    }),
    ("double precision", &["0", "0.5", "-0.25", "5.5", "'NaN'", "'Infinity'", "1e300"], || {
        doubles().into_iter().chain([Value::Real(f64::NAN)]).collect()
    }),
    ("real", &["0", "0.5", "0.1", "5.5"], || [0.0, 0.5, 0.1, f64::from(0.1f32), 5.5].map(Value::Real).to_vec()),
    ("text", TEXTS, texts),
    ("character(5)", &["'a'", "'a  '", "'b'"], || ["a    ", "b    ", "     "].map(text).to_vec()),
    ("boolean", &["TRUE", "FALSE"], || vec![Value::Bool(true), Value::Bool(false)]),
    ("timestamp with time zone", &["'2026-11-21T10:00:00Z'", "'2026-11-21 12:00:00.5+02'", "'infinity'"], || {
        ["2026-11-21T10:00:00+00:00", "2026-11-21T10:00:00.5+00:00", "-infinity", "infinity"].map(text).to_vec()
    }),
    ("jsonb", &["'{\"a\": 5}'"], || ["{\"a\": 5}", "{\"a\": \"5\"}", "null", "[]"].map(json).to_vec()),
];

const MYSQL: &[Pool] = &[
    ("bigint", NUMBERS, ints),
    ("decimal(30,5)", &["0", "1", "0.5", "-0.25", "5.5", "9223372036854775808"], decimals),
    ("double", &["0", "0.5", "-0.25", "5.5", "1e300"], doubles),
    ("float", &["0", "0.5", "5.5"], || [0.0, 0.5, 0.1, f64::from(0.1f32), 5.5].map(Value::Real).to_vec()),
    ("varchar(20)", TEXTS, texts),
    ("datetime(3)", &["'2026-11-21 10:00:00'", "'2026-11-21T10:00:00.5'"], || {
        ["2026-11-21 10:00:00.000", "2026-11-21 10:00:00.500", "2026-11-22 00:00:00.000"].map(text).to_vec()
    }),
    ("time(3)", &["'10:00:00'", "'-1:00'"], || ["10:00:00.000", "-01:00:00.000", "100:00:00.000"].map(text).to_vec()),
    ("json", &["'{\"a\": 5}'"], || ["{\"a\": 5}", "{\"a\": \"5\"}", "null"].map(json).to_vec()),
];

/// The last column is a group's: known in every old row, as part of the key.
fn table(pools: &[Pool]) -> Arc<Table> {
    let column = |(i, pool): (usize, &Pool)| Column { name: format!("c{i}").into(), declared: pool.0.into() };
    Arc::new(Table {
        name: TableName::bare("t"),
        columns: pools.iter().enumerate().map(column).collect(),
        key: vec![0],
    })
}

fn test(pools: &'static [Pool]) -> BoxedStrategy<String> {
    let op = select(&["=", "=", "=", "<", "<=", ">", ">=", "<>", "is not distinct from"][..]);
    (0..pools.len(), op, 0usize..9, vec(0usize..20, 4))
        .prop_map(move |(column, op, form, picks)| {
            let said = |i: usize| pools[column].1[picks[i] % pools[column].1.len()];
            match form {
                0..5 => format!("c{column} {op} {}", said(0)),
                5 => format!("c{column} in ({}, {}, {})", said(0), said(1), said(2)),
                6 => format!("c{column} between {} and {}", said(0), said(1)),
                7 => format!("c{column} is {}null", if picks[0] % 3 == 0 { "not " } else { "" }),
                _ => format!("c{column} ->> 'a' {op} '5'"),
            }
        })
        .boxed()
}

fn filter(pools: &'static [Pool]) -> impl Strategy<Value = String> {
    test(pools).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 2..4).prop_map(|terms| format!("({})", terms.join(" and "))),
            2 => vec(inner.clone(), 2..4).prop_map(|terms| format!("({})", terms.join(" or "))),
            1 => inner.clone().prop_map(|term| format!("(not {term})")),
            1 => inner.clone().prop_map(|term| format!("(({term}) is true)")),
            1 => inner.prop_map(|term| format!("(({term}) is null)")),
        ]
    })
}

fn row(pools: &'static [Pool], unsent: bool) -> impl Strategy<Value = Row> {
    let value = move |pool: &Pool| {
        prop_oneof![
            8 => select((pool.2)()),
            1 => Just(Value::Null),
            u32::from(unsent) => Just(Value::Unchanged),
        ]
    };
    pools.iter().map(value).collect::<Vec<_>>().prop_map(Row::from)
}

fn change(pools: &'static [Pool]) -> impl Strategy<Value = RowChange> {
    let table = table(pools);
    let old = prop_oneof![2 => row(pools, true).prop_map(Some), 1 => Just(None)];
    (select(&[Op::Insert, Op::Update, Op::Update, Op::Delete][..]), old, row(pools, true)).prop_map(
        move |(op, old, new)| {
            let old = if op == Op::Insert { None } else { old };
            RowChange { table: table.clone(), op, old, new: (op != Op::Delete).then_some(new) }
        },
    )
}

/// Filters, which of them leave again, and changes before and after that.
fn case(pools: &'static [Pool]) -> impl Strategy<Value = (Vec<(String, bool)>, Vec<RowChange>)> {
    (vec((filter(pools), any::<bool>()), 1..40), vec(change(pools), 1..12))
}

#[track_caller]
fn check(pools: &'static [Pool], dialect: Dialect, texts: &[(String, bool)], changes: &[RowChange]) {
    let table = table(pools);
    let mut topic = Topic::new(Channel::Table(table.name.clone()), Some(table.clone()));
    let mut groups = Slab::new();
    let bind =
        |text: &str| Filter::parse(text).and_then(|filter| filter.bind(&table, dialect, &serde_json::Map::new()));
    let mut present: Vec<(GroupKey, bool, String)> = Vec::new();
    for (text, leaves) in texts {
        let Ok(predicate) = bind(text).map(Arc::new) else { continue };
        if topic.group_of(Some(&predicate), &groups).is_some() {
            continue;
        }
        let interest = Interest {
            selections: [].into(),
            channel: topic.channel.clone(),
            table: Some(table.clone()),
            predicate: Some(predicate.clone()),
            projection: Arc::new(Projection {
                columns: [].into(),
                old: false,
                named: None,
                deliver: None,
                ruled: false,
            }),
            wire: Wire::WebSocket,
            id: "1".into(),
        };
        let member = ([0, 0], SubscriptionKey(0));
        let key = groups.insert(Group::new(&interest, 0, member, Arc::new(Queue::new(0)))) as GroupKey;
        groups[key as usize].placing = topic.add(Some(&predicate), key);
        present.push((key, *leaves, text.clone()));
    }
    compare(&topic, &groups, &present, changes);
    for (key, ..) in present.extract_if(.., |(_, leaves, _)| *leaves) {
        let group: Group = groups.remove(key as usize);
        topic.remove(group.predicate.as_ref(), key, group.placing);
    }
    compare(&topic, &groups, &present, changes);
    for (key, ..) in present {
        let group: Group = groups.remove(key as usize);
        topic.remove(group.predicate.as_ref(), key, group.placing);
    }
    assert!(topic.is_empty() && topic.facets.is_empty() && topic.scanned.is_empty(), "nothing is left behind");
}

#[track_caller]
fn compare(topic: &Topic, groups: &Slab<Group>, present: &[(GroupKey, bool, String)], changes: &[RowChange]) {
    for change in changes {
        let mut found = Vec::new();
        topic.find(change, groups, &mut found);
        let mut found: Vec<_> = found.into_iter().map(|(key, seen)| (key, format!("{seen:?}"))).collect();
        found.sort();
        let tried = |(key, ..): &(GroupKey, bool, String)| {
            let predicate = groups[*key as usize].predicate.as_deref();
            seen(predicate, change).map(|seen| (*key, format!("{seen:?}")))
        };
        let mut tried: Vec<_> = present.iter().filter_map(tried).collect();
        tried.sort();
        assert_eq!(found, tried, "{change:?} {present:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_trying_each_finds_in_sqlite((filters, changes) in case(SQLITE)) {
        check(SQLITE, Dialect::Sqlite, &filters, &changes);
    }

    #[test]
    fn the_index_finds_what_trying_each_finds_in_postgres((filters, changes) in case(POSTGRES)) {
        check(POSTGRES, Dialect::Postgres, &filters, &changes);
    }

    #[test]
    fn the_index_finds_what_trying_each_finds_in_mysql((filters, changes) in case(MYSQL)) {
        check(MYSQL, Dialect::Mysql, &filters, &changes);
    }
}
