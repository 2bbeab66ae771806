//! A client that is told conflated flushes ends with the rows of one that is told everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::event::{Body, Change, Column, Event, Op, Row, RowChange, Table, TableName, Value};
use crate::filter::{Dialect, Filter, Predicate};
use crate::hub::seen;
use crate::protocol::ServerMessage;
use crate::protocol::deliver::Sampling;
use crate::protocol::encode::{Projection, Wire, tell};
use crate::protocol::named::Named;

fn table() -> Arc<Table> {
    let column = |name: &str| Column { name: name.into(), declared: "INTEGER".into() };
    Arc::new(Table { name: TableName::bare("t"), columns: ["id", "a", "b"].map(column).into(), key: vec![0] })
}

fn row(values: [Option<i64>; 3]) -> Row {
    values.map(|n| n.map_or(Value::Unchanged, Value::Int)).to_vec().into()
}

fn projection(deliver: Option<Class>) -> Arc<Projection> {
    Arc::new(Projection {
        columns: [0, 1, 2].into(),
        old: false,
        named: None,
        deliver: deliver.map(Arc::new),
        ruled: false,
    })
}

type Values = [Option<i64>; 3];

/// Events one after the other, each with the end of its transaction or without.
#[derive(Default)]
struct History {
    events: Vec<Arc<Event>>,
}

impl History {
    fn add(&mut self, op: Op, old: Option<Values>, new: Option<Values>, last: bool) {
        let at = self.events.len() as u64 + 1;
        let change = RowChange { table: table(), op, old: old.map(row), new: new.map(row) };
        let change = Change { tx: at, last, time_ms: at, body: Body::Row(change) };
        self.events.push(Arc::new(Event { position: Position::new(1, at), change }));
    }

    fn insert(&mut self, id: i64, a: i64) {
        self.add(Op::Insert, None, Some([Some(id), Some(a), Some(0)]), true);
    }

    fn update(&mut self, id: i64, a: i64) {
        self.add(Op::Update, None, Some([Some(id), Some(a), None]), true);
    }

    fn delete(&mut self, id: i64) {
        self.add(Op::Delete, Some([Some(id), None, None]), None, true);
    }

    fn moved(&mut self, from: i64, to: i64, a: i64) {
        self.add(Op::Update, Some([Some(from), None, None]), Some([Some(to), Some(a), None]), true);
    }
}

/// What one hears: the events of a history through a class, in one flush.
fn flushed(history: &History, projection: &Arc<Projection>, conflated: &mut Conflated) -> Vec<ServerMessage> {
    for event in &history.events {
        push(conflated, event, projection, None);
    }
    told(conflated)
}

fn push(conflated: &mut Conflated, event: &Event, projection: &Arc<Projection>, predicate: Option<&Predicate>) {
    let Body::Row(change) = &event.change.body else { return };
    let part = seen(predicate, change).and_then(|seen| Part::new(event, change, seen, projection));
    if let Some(part) = part {
        conflated.push(Arc::new(part), event.change.last);
    }
}

fn told(conflated: &mut Conflated) -> Vec<ServerMessage> {
    let mut frames = Vec::new();
    if let Some(flush) = conflated.take() {
        flush.write(Wire::Text, "\"s\"", &mut frames);
    }
    assert_eq!((conflated.bytes(), conflated.is_empty()), (0, true));
    frames.iter().map(|(_, frame)| serde_json::from_slice(frame).expect("a message")).collect()
}

/// A flush on one line: `2 skipped`, `insert 1 a=5`, `!` after the last.
fn line(messages: &[ServerMessage]) -> String {
    let said = |message: &ServerMessage| match message {
        ServerMessage::Skipped { count, .. } => format!("{count} skipped"),
        ServerMessage::Commit { position, .. } => format!("commit {position}"),
        ServerMessage::Message { data, .. } => data.to_string(),
        ServerMessage::Change { op, key, old_key, row, last, .. } => {
            let a = row.get("a").map(|a| format!(" a={a}")).unwrap_or_default();
            let from = old_key.as_ref().map(|old| format!(" from {}", old[0])).unwrap_or_default();
            format!("{op} {}{from}{a}{}", key[0], if *last { "!" } else { "" })
        }
        other => format!("{other:?}"),
    };
    messages.iter().map(said).collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn check(build: impl FnOnce(&mut History), expected: &str) {
    let mut history = History::default();
    build(&mut history);
    let messages = flushed(&history, &projection(Some(Class::Latest)), &mut Conflated::default());
    assert_eq!(line(&messages), expected);
}

#[test]
fn the_newest_of_each_key_is_told() {
    check(|h| h.insert(1, 5), "insert 1 a=5!");
    check(
        |h| {
            h.update(1, 5);
            h.update(2, 6);
            h.update(1, 7);
        },
        "1 skipped, update 2 a=6, update 1 a=7!",
    );
}

#[test]
fn an_insert_stays_an_insert_and_a_delete_wins() {
    check(
        |h| {
            h.insert(1, 5);
            h.update(1, 6);
        },
        "1 skipped, insert 1 a=6!",
    );
    check(
        |h| {
            h.update(1, 6);
            h.delete(1);
        },
        "1 skipped, delete 1!",
    );
    check(
        |h| {
            h.delete(1);
            h.insert(1, 5);
        },
        "1 skipped, update 1 a=5!",
    );
}

#[test]
fn a_row_that_comes_and_goes_is_counted_and_moves_the_position() {
    check(
        |h| {
            h.insert(1, 5);
            h.update(1, 6);
            h.delete(1);
        },
        "3 skipped, commit 1-3",
    );
    check(
        |h| {
            h.insert(1, 5);
            h.delete(1);
            h.insert(1, 7);
        },
        "2 skipped, insert 1 a=7!",
    );
}

#[test]
fn after_a_resume_a_delete_is_told_even_of_a_row_that_seems_new() {
    let mut history = History::default();
    history.insert(1, 5);
    history.delete(1);
    history.insert(2, 5);
    history.delete(2);
    let mut conflated = Conflated::new(Some(Position::new(1, 2)));
    let messages = flushed(&history, &projection(Some(Class::Latest)), &mut conflated);
    assert_eq!(line(&messages), "3 skipped, delete 1!");
}

#[test]
fn a_row_that_changes_its_key_is_followed() {
    check(
        |h| {
            h.update(1, 5);
            h.moved(1, 2, 6);
            h.update(2, 7);
            h.insert(1, 8);
            h.update(2, 9);
        },
        "2 skipped, update 1 a=5, update 2 from 1 a=9, insert 1 a=8!",
    );
    check(
        |h| {
            h.moved(1, 2, 6);
            h.delete(2);
        },
        "update 2 from 1 a=6, delete 2!",
    );
}

#[test]
fn a_row_that_is_back_in_part_is_not_taken_for_the_one_that_was_gone() {
    check(
        |h| {
            h.delete(1);
            h.add(Op::Insert, None, Some([Some(1), Some(5), None]), true);
        },
        "delete 1, insert 1 a=5!",
    );
}

#[test]
fn a_flush_within_a_transaction_does_not_say_that_it_is_whole() {
    let mut history = History::default();
    history.add(Op::Update, None, Some([Some(1), Some(5), None]), false);
    let mut conflated = Conflated::default();
    assert_eq!(line(&flushed(&history, &projection(Some(Class::Latest)), &mut conflated)), "update 1 a=5");
    assert!(conflated.is_open());
    conflated.end(Position::new(1, 9), 1, true);
    assert_eq!(line(&told(&mut conflated)), "commit 1-9");
}

#[test]
fn within_a_flush_positions_are_those_before_it() {
    let mut history = History::default();
    (1..=4).for_each(|id| history.update(id, 0));
    history.events.remove(0);
    let messages = flushed(&history, &projection(Some(Class::Latest)), &mut Conflated::default());
    let told = |message: &ServerMessage| match message {
        ServerMessage::Change { position, tx, .. } => (position.clone(), *tx),
        other => panic!("{other:?}"),
    };
    let told: Vec<_> = messages.iter().map(told).collect();
    assert_eq!(told, [("1-1".into(), 4), ("1-1".into(), 4), ("1-4".into(), 4)]);
}

#[test]
fn rows_without_a_key_are_all_told() {
    let keyless = Arc::new(Table { key: vec![], ..(*table()).clone() });
    let mut history = History::default();
    history.insert(1, 5);
    history.insert(1, 5);
    let mut conflated = Conflated::default();
    for event in &history.events {
        let Body::Row(change) = &event.change.body else { panic!("a row") };
        let change = RowChange { table: keyless.clone(), ..change.clone() };
        let seen = seen(None, &change).expect("seen");
        let part = Part::new(event, &change, seen, &projection(Some(Class::Latest))).expect("told");
        conflated.push(Arc::new(part), true);
    }
    let messages = told(&mut conflated);
    assert_eq!(messages.len(), 2);
}

#[test]
fn an_applications_own_event_is_told_by_its_newest() {
    let named = Named { name: "e".into(), on: [Op::Insert, Op::Update].into(), as_text: false, wrapped: false };
    let own = Arc::new(Projection { named: Some(Arc::new(named)), ..(*projection(Some(Class::Latest))).clone() });
    let mut history = History::default();
    history.insert(1, 1);
    history.insert(2, 2);
    history.add(Op::Update, None, Some([Some(1), Some(3), Some(0)]), false);
    history.delete(2);
    let messages = flushed(&history, &own, &mut Conflated::default());
    assert_eq!(line(&messages), r#"1 skipped, {"id":2,"a":2,"b":0}, {"id":1,"a":3,"b":0}"#);
}

/// One write, as a database would do it.
#[derive(Debug, Clone)]
enum Write {
    Put(i64, i64, i64),
    Delete(i64),
    Move(i64, i64, i64),
}

#[derive(Debug, Clone)]
struct Step {
    write: Write,
    /// The source knows all of the old row; otherwise its key at most.
    knows: bool,
    /// What did not change is not repeated.
    partial: bool,
    last: bool,
    flush: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..6i64;
    let write = prop_oneof![
        6 => (id(), 0..8i64, 0..3i64).prop_map(|(id, a, b)| Write::Put(id, a, b)),
        2 => id().prop_map(Write::Delete),
        2 => (id(), id(), 0..8i64).prop_map(|(from, to, a)| Write::Move(from, to, a)),
    ];
    let step = |(write, knows, partial, last, flush)| Step { write, knows, partial, last, flush };
    (write, any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.2)).prop_map(step)
}

/// A database that does what it can of the steps.
fn history(steps: &[Step]) -> (History, Vec<bool>) {
    let mut rows: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let (mut history, mut flushes) = (History::default(), Vec::new());
    for Step { write, knows, partial, last, flush } in steps {
        let old = |id: i64, row: (i64, i64)| match knows {
            true => [Some(id), Some(row.0), Some(row.1)],
            false => [Some(id), None, None],
        };
        match *write {
            Write::Put(id, a, b) => match rows.insert(id, (a, b)) {
                None => history.add(Op::Insert, None, Some([Some(id), Some(a), Some(b)]), *last),
                Some(row) => {
                    let told = (!*partial || row.1 != b).then_some(b);
                    let old = knows.then(|| old(id, row));
                    history.add(Op::Update, old, Some([Some(id), Some(a), told]), *last);
                }
            },
            Write::Delete(id) => {
                let Some(row) = rows.remove(&id) else { continue };
                history.add(Op::Delete, Some(old(id, row)), None, *last);
            }
            Write::Move(from, to, a) => {
                if rows.contains_key(&to) {
                    continue;
                }
                let Some(row) = rows.remove(&from) else { continue };
                rows.insert(to, (a, row.1));
                let told = (!*partial).then_some(row.1);
                history.add(Op::Update, Some(old(from, row)), Some([Some(to), Some(a), told]), *last);
            }
        }
        flushes.push(*flush);
    }
    (history, flushes)
}

/// The id and the value of a point of a chart.
type Point = (i64, Option<i64>);

/// A client's rows, by key.
#[derive(Debug, Default, PartialEq)]
struct Client(BTreeMap<String, Map<String, Json>>);

impl Client {
    fn hear(&mut self, message: &ServerMessage) {
        let ServerMessage::Change { op, key, old_key, row, .. } = message else { return };
        let known = self.0.remove(&old_key.as_ref().unwrap_or(key).to_string());
        if op == "delete" {
            self.0.remove(&key.to_string());
            return;
        }
        let mut now = known.filter(|_| op == "update").unwrap_or_default();
        now.extend(row.as_object().expect("a row").clone());
        self.0.insert(key.to_string(), now);
    }
}

proptest! {
    #[test]
    fn any_history_ends_with_the_rows_of_one_who_is_told_everything(
        steps in vec(step(), 0..60),
        filtered in any::<bool>(),
        every in any::<bool>(),
    ) {
        let filter = Filter::parse("a < 5").expect("a filter");
        let predicate = filter.bind(&table(), Dialect::Sqlite, &Map::new()).expect("bound");
        let predicate = filtered.then_some(&predicate);
        let class = if every { Class::Every(std::time::Duration::from_millis(250)) } else { Class::Latest };
        let (strictly, conflating) = (projection(None), projection(Some(class)));
        let (history, flushes) = history(&steps);
        let (mut strict, mut client) = (Client::default(), Client::default());
        let mut conflated = Conflated::default();
        let (mut received, mut heard, mut pending) = (0, 0, 0);
        for (event, flush) in history.events.iter().zip(flushes) {
            let Body::Row(change) = &event.change.body else { continue };
            if let Some(seen) = seen(predicate, change) {
                let told = tell(event, change, seen, &strictly, event.change.last).expect("told");
                let frame = told.frame(Wire::Text, "\"s\"", event.position);
                strict.hear(&serde_json::from_slice(&frame).expect("a change"));
                received += 1;
            }
            push(&mut conflated, event, &conflating, predicate);
            pending += 1;
            // Within a transaction only where the memory is full.
            if flush && (!conflated.is_open() || pending % 3 == 0) {
                heard += hear(&mut client, &told(&mut conflated));
                prop_assert_eq!(&client, &strict);
            }
        }
        heard += hear(&mut client, &told(&mut conflated));
        prop_assert_eq!(client, strict);
        prop_assert_eq!(heard, received, "each change is told or counted");
    }

    #[test]
    fn of_each_bucket_the_least_the_greatest_and_the_last_are_told(
        points in vec((0..40u64, 0..3i64, prop::option::of(-9..9i64)), 1..120),
        flush_each in 1..60usize,
    ) {
        let sampling = Sampling { width_us: 10_000, values: [2].into(), group: Some(1) };
        let sampled = projection(Some(Class::Sample(sampling)));
        let mut conflated = Conflated::default();
        let mut time = 0;
        for (n, chunk) in points.chunks(flush_each).enumerate() {
            let mut lines: BTreeMap<(u64, i64), Vec<Point>> = BTreeMap::new();
            for (i, (wait, group, value)) in chunk.iter().enumerate() {
                time += wait / 8;
                let (id, at) = ((n * 1000 + i) as i64, (n * 1000 + i) as u64 + 1);
                let new = Row::from(vec![Value::Int(id), Value::Int(*group), value.map_or(Value::Null, Value::Int)]);
                let change = RowChange { table: table(), op: Op::Insert, old: None, new: Some(new) };
                let change = Change { tx: at, last: true, time_ms: time, body: Body::Row(change) };
                push(&mut conflated, &Event { position: Position::new(1, at), change }, &sampled, None);
                lines.entry((time / 10, *group)).or_default().push((id, *value));
                if i % 7 == 0 {
                    conflated.reduce_to_class();
                }
            }
            let mut kept: Vec<i64> = Vec::new();
            for points in lines.values() {
                let known = || points.iter().filter_map(|(id, value)| value.map(|value| (value, *id)));
                kept.extend(known().min().map(|(_, id)| id));
                let greatest = known().map(|(value, _)| value).max();
                kept.extend(known().find(|(value, _)| Some(*value) == greatest).map(|(_, id)| id));
                kept.extend(points.last().map(|(id, _)| *id));
            }
            kept.sort_unstable();
            kept.dedup();
            let messages = told(&mut conflated);
            let id = |message: &ServerMessage| match message {
                ServerMessage::Change { key, .. } => key[0].as_i64(),
                _ => None,
            };
            let mut ids: Vec<i64> = messages.iter().filter_map(id).collect();
            prop_assert!(ids.is_sorted(), "in the order of the log");
            ids.sort_unstable();
            prop_assert_eq!(&ids, &kept);
            let skipped = chunk.len() - ids.len();
            let counted = messages.iter().any(|m| *m == ServerMessage::Skipped { id: "s".into(), count: skipped as u64 });
            prop_assert_eq!(counted, skipped > 0);
        }
    }
}

/// How many changes it was told of, those that were only counted included.
fn hear(client: &mut Client, messages: &[ServerMessage]) -> u64 {
    let count = |message: &ServerMessage| match message {
        ServerMessage::Change { .. } => 1,
        ServerMessage::Skipped { count, .. } => *count,
        _ => 0,
    };
    messages.iter().for_each(|message| client.hear(message));
    messages.iter().map(count).sum()
}

#[test]
fn an_updates_old_row_is_the_one_that_the_client_has() {
    let with_old = Arc::new(Projection { old: true, ..(*projection(Some(Class::Latest))).clone() });
    let mut history = History::default();
    let values = |a| [Some(1), Some(a), Some(0)];
    history.add(Op::Update, Some(values(1)), Some(values(2)), true);
    history.add(Op::Update, Some(values(2)), Some(values(3)), true);
    let messages = flushed(&history, &with_old, &mut Conflated::default());
    let Some(ServerMessage::Change { row, old, .. }) = messages.last() else { panic!("{messages:?}") };
    assert_eq!((row["a"].clone(), old.as_ref().expect("old")["a"].clone()), (json!(3), json!(1)));
}
