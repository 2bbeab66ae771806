//! The contract of `Log`, the same for every implementation.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use rowcast::event::{
    Batch, Body, Change, Channel, Column, Message, Op, Position, ResetCause, Room, Row, RowChange, Table, TableName,
    Value,
};
use rowcast::log::local::{LocalLog, LogSettings};
use rowcast::log::memory::MemoryLog;
use rowcast::log::{AppendError, Log, ReadError, Retention};
use tempfile::TempDir;
use tokio::sync::broadcast::error::RecvError;

use crate::log_events::{at, changes, messages, offsets, origin, read_after, read_all, rows, said};

/// A log, and where its files are as long as it is used.
struct Opened {
    log: Arc<dyn Log>,
    _dir: Option<TempDir>,
}

type Make = fn(Retention) -> Opened;

const EVERYTHING: Retention = Retention { age: None, events: None, bytes: None };

fn memory(retention: Retention) -> Opened {
    Opened { log: Arc::new(MemoryLog::new(retention)), _dir: None }
}

fn local(retention: Retention) -> Opened {
    on_disk(LogSettings { retain: retention, ..LogSettings::default() })
}

/// Every read goes to files, and there are many of them.
fn local_without_memory(retention: Retention) -> Opened {
    on_disk(LogSettings { retain: retention, window_bytes: 0, segment_bytes: 2_000, ..LogSettings::default() })
}

fn on_disk(settings: LogSettings) -> Opened {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = LocalLog::open(dir.path(), settings).expect("an empty directory can be opened");
    Opened { log: Arc::new(log), _dir: Some(dir) }
}

/// Makes a test of each fact for each implementation.
macro_rules! contract {
    ($($fact:ident),* $(,)?) => {
        mod of_memory { $(#[tokio::test] async fn $fact() { super::$fact(super::memory).await })* }
        mod of_local { $(#[tokio::test] async fn $fact() { super::$fact(super::local).await })* }
        mod of_local_without_memory { $(#[tokio::test] async fn $fact() { super::$fact(super::local_without_memory).await })* }
    };
}

contract! {
    positions_grow_by_one_from_one,
    a_batch_and_its_place_appear_together,
    a_batch_that_does_not_continue_is_refused_whole,
    an_empty_batch_moves_the_place_and_wakes_watchers,
    a_batch_without_anything_changes_nothing,
    a_read_keeps_its_limits,
    a_position_that_is_not_in_the_log_is_a_gap,
    what_left_the_log_is_a_gap,
    places_outlive_their_events,
    every_append_wakes_a_watcher,
    ephemeral_messages_reach_those_who_listen_and_are_not_stored,
    a_slow_listener_is_told_what_it_missed,
    readers_see_each_event_once_in_order_while_others_append,
    equal_tables_are_told_as_one,
    every_value_comes_back_exactly,
}

async fn positions_grow_by_one_from_one(make: Make) {
    let Opened { log, _dir } = make(EVERYTHING);
    let start = log.head();
    assert_eq!((start.offset.0, log.oldest()), (0, start));
    assert!(log.read(start, 10, 1_000).await.expect("the head is in the log").is_empty());
    assert_eq!(log.append(rows(1..=3)).await.expect("appended"), Position::new(start.epoch.0, 3));
    assert_eq!(log.append(rows(4..=4)).await.expect("appended"), Position::new(start.epoch.0, 4));
    let events = read_all(&*log).await;
    assert_eq!(offsets(&events), [1, 2, 3, 4]);
    assert!(events.iter().all(|event| event.position.epoch == start.epoch));
    assert_eq!(changes(&events), rows(1..=4).changes);
    assert_eq!((log.head().offset.0, log.status().events), (4, 4));
}

async fn a_batch_and_its_place_appear_together(make: Make) {
    let Opened { log, _dir } = make(EVERYTHING);
    assert_eq!(log.place("db"), None);
    log.append(Batch { origin: origin("db", None, 7), ..rows(1..=2) }).await.expect("appended");
    assert_eq!((log.place("db"), log.place("other")), (Some(at(7)), None));
    log.append(Batch { origin: origin("other", None, 1), ..rows(3..=3) }).await.expect("appended");
    assert_eq!((log.place("db"), log.place("other")), (Some(at(7)), Some(at(1))));
}

async fn a_batch_that_does_not_continue_is_refused_whole(make: Make) {
    let Opened { log, _dir } = make(EVERYTHING);
    log.append(Batch { origin: origin("db", None, 7), ..rows(1..=2) }).await.expect("appended");
    let head = log.head();
    for after in [None, Some(6), Some(8)] {
        let refused = log.append(Batch { origin: origin("db", after, 9), ..rows(3..=4) }).await;
        assert!(matches!(refused, Err(AppendError::Moved { at: Some(place) }) if place == at(7)));
    }
    let refused = log.append(Batch { origin: origin("new", Some(1), 2), ..rows(3..=4) }).await;
    assert!(matches!(refused, Err(AppendError::Moved { at: None })));
    assert_eq!((log.head(), log.place("db"), log.place("new")), (head, Some(at(7)), None));
    assert_eq!(read_all(&*log).await.len(), 2);
}

async fn an_empty_batch_moves_the_place_and_wakes_watchers(make: Make) {
    let Opened { log, _dir } = make(EVERYTHING);
    let mut watch = log.watch();
    watch.mark_unchanged();
    let head = log.head();
    let empty = Batch { origin: origin("db", None, 7), changes: Vec::new() };
    assert_eq!(log.append(empty).await.expect("appended"), head);
    watch.changed().await.expect("the log is open");
    assert_eq!(log.place("db"), Some(at(7)));
    log.append(Batch { origin: origin("db", Some(7), 8), ..rows(1..=1) }).await.expect("appended");
    assert_eq!(offsets(&read_all(&*log).await), [1]);
}

async fn a_batch_without_anything_changes_nothing(make: Make) {
    let Opened { log, _dir } = make(EVERYTHING);
    let status = log.status();
    log.append(Batch { origin: None, changes: Vec::new() }).await.expect("appended");
    assert_eq!(log.status(), status);
}

async fn a_read_keeps_its_limits(make: Make) {
    let Opened { log, _dir } = make(EVERYTHING);
    log.append(messages(20, 1_000)).await.expect("appended");
    let start = log.oldest();
    let read = async |events, bytes| log.read(start, events, bytes).await.expect("the start is in the log").len();
    assert_eq!(read(3, usize::MAX).await, 3);
    assert_eq!(read(0, usize::MAX).await, 0);
    assert_eq!(read(20, 1).await, 1, "at least one, however large");
    let some = read(20, 5_000).await;
    assert!((3..=5).contains(&some), "{some}");
    assert_eq!(offsets(&read_after(&*log, start, 7).await), (1..=20).collect::<Vec<_>>());
    let near_the_head = Position::new(start.epoch.0, 19);
    assert_eq!(offsets(&log.read(near_the_head, 7, usize::MAX).await.expect("in the log")), [20]);
}

async fn a_position_that_is_not_in_the_log_is_a_gap(make: Make) {
    let Opened { log, _dir } = make(EVERYTHING);
    log.append(rows(1..=3)).await.expect("appended");
    let Position { epoch, .. } = log.head();
    for (epoch, offset) in [(epoch.0, 4), (epoch.0, u64::MAX), (epoch.0 - 1, 2), (epoch.0 + 1, 2), (0, 0)] {
        let asked = Position::new(epoch, offset);
        let gap = log.read(asked, 10, 1_000).await.expect_err("not in the log");
        let ReadError::Gap { asked: told, oldest, head } = gap else { panic!("{gap}") };
        assert_eq!((told, oldest, head), (asked, log.oldest(), log.head()));
    }
}

async fn what_left_the_log_is_a_gap(make: Make) {
    let Opened { log, _dir } = make(Retention { events: Some(20), ..EVERYTHING });
    for n in 1..=200 {
        log.append(rows(n..=n)).await.expect("appended");
    }
    let (oldest, head) = (log.oldest(), log.head());
    assert_eq!(head.offset.0, 200);
    assert!((170..=180).contains(&oldest.offset.0), "{oldest}");
    assert_eq!(offsets(&read_all(&*log).await), (oldest.offset.0 + 1..=200).collect::<Vec<_>>());
    let too_old = Position::new(oldest.epoch.0, oldest.offset.0 - 1);
    assert!(matches!(log.read(too_old, 10, 1_000).await, Err(ReadError::Gap { .. })));
    assert_eq!(log.status().events, 200 - oldest.offset.0);
}

async fn places_outlive_their_events(make: Make) {
    let Opened { log, _dir } = make(Retention { events: Some(4), ..EVERYTHING });
    log.append(Batch { origin: origin("quiet", None, 7), ..rows(0..=0) }).await.expect("appended");
    for n in 1..=100 {
        log.append(rows(n..=n)).await.expect("appended");
    }
    assert!(log.oldest().offset.0 > 50);
    assert_eq!(log.place("quiet"), Some(at(7)));
}

async fn every_append_wakes_a_watcher(make: Make) {
    let Opened { log, _dir } = make(EVERYTHING);
    let mut watch = log.watch();
    let mut seen = *watch.borrow_and_update();
    for n in 1..=5 {
        log.append(rows(n..=n)).await.expect("appended");
        watch.changed().await.expect("the log is open");
        let now = *watch.borrow_and_update();
        assert_ne!(std::mem::replace(&mut seen, now), now);
        assert_eq!(log.head().offset.0, n.cast_unsigned());
    }
}

async fn ephemeral_messages_reach_those_who_listen_and_are_not_stored(make: Make) {
    let Opened { log, _dir } = make(EVERYTHING);
    log.send_ephemeral(said(1));
    let (mut one, mut two) = (log.ephemeral(), log.ephemeral());
    log.send_ephemeral(said(2));
    assert_eq!(*one.recv().await.expect("sent"), said(2));
    assert_eq!(*two.recv().await.expect("sent"), said(2));
    assert_eq!((log.head().offset.0, read_all(&*log).await.len()), (0, 0));
}

async fn a_slow_listener_is_told_what_it_missed(make: Make) {
    let Opened { log, _dir } = make(EVERYTHING);
    let mut slow = log.ephemeral();
    (0..4_096 + 10).for_each(|_| log.send_ephemeral(said(1)));
    assert_eq!(slow.recv().await, Err(RecvError::Lagged(10)));
    assert_eq!(*slow.recv().await.expect("the rest is there"), said(1));
}

async fn readers_see_each_event_once_in_order_while_others_append(make: Make) {
    const EVENTS: i64 = 3_000;
    let Opened { log, _dir } = make(EVERYTHING);
    let readers: Vec<_> =
        [1, 7, 1_000].map(|chunk| tokio::spawn(follow(Arc::clone(&log), EVENTS as usize, chunk))).into();
    let writer = Arc::clone(&log);
    let written = tokio::spawn(async move {
        let mut next = 1;
        while next <= EVENTS {
            let last = (next + next % 9).min(EVENTS);
            writer.append(rows(next..=last)).await.expect("appended");
            next = last + 1;
        }
    });
    written.await.expect("the writer ends");
    let all = changes(&read_all(&*log).await);
    assert_eq!(all, rows(1..=EVENTS).changes);
    for reader in readers {
        assert_eq!(reader.await.expect("the reader ends"), all);
    }
}

/// Reads until it has `count` events, waiting for the log whenever it is at the head.
async fn follow(log: Arc<dyn Log>, count: usize, chunk: usize) -> Vec<Change> {
    let mut watch = log.watch();
    let mut position = Position::new(log.head().epoch.0, 0);
    let mut seen = Vec::new();
    while seen.len() < count {
        watch.borrow_and_update();
        let events = log.read(position, chunk, usize::MAX).await.expect("nothing leaves the log");
        match events.last() {
            None => watch.changed().await.expect("the log is open"),
            Some(last) => {
                assert_eq!(last.position.offset.0, position.offset.0 + events.len() as u64);
                position = last.position;
                seen.extend(changes(&events));
            }
        }
    }
    seen
}

async fn equal_tables_are_told_as_one(make: Make) {
    let Opened { log, _dir } = make(EVERYTHING);
    let batch = rows(1..=2);
    let Body::Row(first) = &batch.changes[0].body else { panic!("rows are rows") };
    let table = Arc::clone(&first.table);
    log.append(batch).await.expect("appended");
    log.append(Batch { origin: None, changes: rows(3..=3).changes }).await.expect("appended");
    for event in read_all(&*log).await {
        let Body::Row(row) = &event.change.body else { panic!("rows are rows") };
        assert_eq!(row.table, table);
    }
}

async fn every_value_comes_back_exactly(make: Make) {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let Opened { log, _dir } = make(Retention { age: Some(Duration::from_secs(3_600)), ..EVERYTHING });
    for _ in 0..300 {
        let changes = proptest::collection::vec(change(), 1..8).new_tree(&mut runner).expect("values").current();
        let before = log.head();
        log.append(Batch { origin: None, changes: changes.clone() }).await.expect("appended");
        let events = read_after(&*log, before, 3).await;
        // Compared as text, in which NaN is NaN and -0 is not 0.
        let told: Vec<_> = events.iter().map(|event| format!("{:?}", event.change)).collect();
        assert_eq!(told, changes.iter().map(|change| format!("{change:?}")).collect::<Vec<_>>());
    }
}

fn change() -> impl Strategy<Value = Change> {
    let body = prop_oneof![6 => row_change().prop_map(Body::Row), 2 => message().prop_map(Body::Message), 1 => reset()];
    (any::<u64>(), any::<bool>(), any::<u64>(), body).prop_map(|(tx, last, time_ms, body)| Change {
        tx,
        last,
        time_ms,
        body,
    })
}

fn row_change() -> impl Strategy<Value = RowChange> {
    (table(), 0..4_usize).prop_flat_map(|(table, kind)| {
        let row = || proptest::collection::vec(value(), table.columns.len()).prop_map(Row::from);
        let op = [Op::Insert, Op::Update, Op::Update, Op::Delete][kind];
        let old = if kind >= 2 { row().prop_map(Some).boxed() } else { Just(None).boxed() };
        let new = if kind <= 2 { row().prop_map(Some).boxed() } else { Just(None).boxed() };
        let table = Arc::new(table.clone());
        (old, new).prop_map(move |(old, new)| RowChange { table: Arc::clone(&table), op, old, new })
    })
}

fn table() -> impl Strategy<Value = Table> {
    let column = (text(), text()).prop_map(|(name, declared)| Column { name: name.into(), declared: declared.into() });
    let columns = proptest::collection::vec(column, 0..6);
    (name(), columns, proptest::collection::vec(0..1_000_usize, 0..3)).prop_map(|(name, columns, key)| Table {
        name,
        columns,
        key,
    })
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(Value::Unchanged),
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -100..100_i64].prop_map(Value::Int),
        prop_oneof![any::<f64>(), Just(f64::NAN), Just(-0.0), Just(f64::INFINITY)].prop_map(Value::Real),
        "-?[0-9]{1,40}(\\.[0-9]{1,40})?".prop_map(|digits| Value::Number(digits.into())),
        text().prop_map(|text| Value::Text(text.into())),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Value::Bytes(bytes.into())),
        text().prop_map(|json| Value::Json(json.into())),
    ]
}

fn channel() -> impl Strategy<Value = Channel> {
    prop_oneof![
        name().prop_map(Channel::Table),
        (text(), text()).prop_map(|(tenant, name)| Channel::Room(Room { tenant: tenant.into(), name: name.into() })),
        text().prop_map(|name| Channel::Notify(name.into())),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (channel(), text(), text()).prop_map(|(channel, event, json)| Message {
        channel,
        event: event.into(),
        json: json.into(),
    })
}

fn reset() -> impl Strategy<Value = Body> {
    (channel(), text(), any::<bool>()).prop_map(|(channel, reason, missed)| {
        let cause = if missed { ResetCause::Missed } else { ResetCause::Altered };
        Body::Reset { channel, cause, reason: reason.into() }
    })
}

fn name() -> impl Strategy<Value = TableName> {
    (text(), text()).prop_map(|(schema, name)| TableName { schema: schema.into(), name: name.into() })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z]{1,8}", any::<String>()]
}
