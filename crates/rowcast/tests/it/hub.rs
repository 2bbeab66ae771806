//! The hub alone: from the log into queues.

use std::sync::Arc;

use async_trait::async_trait;
use rowcast::event::{
    Batch, Body, Change, Channel, Column, Event, Message, Offset, Op, Place, Position, ResetCause, Row, RowChange,
    Table, TableName, Value,
};
use rowcast::filter::{Dialect, Filter};
use rowcast::hub::{Hub, Interest, ItemKind, Queue, SessionKey, SubscriptionKey};
use rowcast::log::memory::MemoryLog;
use rowcast::log::{AppendError, Log, LogStatus, ReadError, Retention};
use rowcast::protocol::ServerMessage;
use rowcast::protocol::encode::{Projection, Wire};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

struct World {
    log: Arc<dyn Log>,
    hub: Arc<Hub>,
    table: Arc<Table>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn world() -> World {
    let world = still_world(Arc::new(MemoryLog::new(Retention::default())));
    world.start();
    world
}

/// A world whose hub does not run yet.
fn still_world(log: Arc<dyn Log>) -> World {
    let hub = Hub::new(log.clone());
    let stop = CancellationToken::new();
    let column = |name: &str| Column { name: name.into(), declared: "INTEGER".into() };
    let table = Table { name: TableName::bare("t"), columns: vec![column("id"), column("a")], key: vec![0] };
    World { log, hub, table: Arc::new(table), stop }
}

impl World {
    fn start(&self) {
        tokio::spawn(self.hub.clone().run(self.stop.clone()));
    }

    fn join(&self, session: u64, filter: Option<&str>) -> Arc<Queue> {
        self.join_as(session, filter, "s")
    }

    fn join_as(&self, session: u64, filter: Option<&str>, id: &str) -> Arc<Queue> {
        let bind = |text: &str| Filter::parse(text)?.bind(&self.table, Dialect::Sqlite, &serde_json::Map::new());
        let interest = Interest {
            selections: [].into(),
            channel: Channel::Table(self.table.name.clone()),
            table: Some(self.table.clone()),
            predicate: filter.map(|text| Arc::new(bind(text).expect("a filter"))),
            projection: Arc::new(Projection {
                columns: [0, 1].into(),
                old: false,
                named: None,
                deliver: None,
                ruled: false,
            }),
            wire: Wire::Text,
            id: format!("\"{id}\"").into(),
        };
        let queue = Arc::new(Queue::new(1 << 24));
        self.hub.join(&queue, SessionKey(session), SubscriptionKey(0), interest, false);
        queue
    }

    fn insert(&self, tx: u64, id: i64, a: i64, last: bool) -> Change {
        let new = Some(Row::from(vec![Value::Int(id), Value::Int(a)]));
        let row = RowChange { table: self.table.clone(), op: Op::Insert, old: None, new };
        Change { tx, last, time_ms: 0, body: Body::Row(row) }
    }

    fn listen(&self, session: u64, room: &str) -> Arc<Queue> {
        self.listen_to(session, Channel::Room(room.into()))
    }

    /// Joins a channel that is no table's.
    fn listen_to(&self, session: u64, channel: Channel) -> Arc<Queue> {
        let interest = Interest {
            selections: [].into(),
            channel,
            table: None,
            predicate: None,
            projection: Arc::new(Projection {
                columns: [].into(),
                old: false,
                named: None,
                deliver: None,
                ruled: false,
            }),
            wire: Wire::Text,
            id: "\"s\"".into(),
        };
        let queue = Arc::new(Queue::new(1 << 24));
        self.hub.join(&queue, SessionKey(session), SubscriptionKey(0), interest, false);
        queue
    }

    /// A message to room `r`; of no transaction where `tx` is 0.
    fn say(&self, tx: u64, event: &str, last: bool) -> Change {
        let message = Message { channel: Channel::Room("r".into()), event: event.into(), json: "null".into() };
        Change { tx, last, time_ms: 0, body: Body::Message(message) }
    }

    fn reset(&self, tx: u64, table: &str, last: bool) -> Change {
        let body = Body::Reset {
            channel: Channel::Table(TableName::bare(table)),
            cause: ResetCause::Altered,
            reason: "the table was truncated".into(),
        };
        Change { tx, last, time_ms: 0, body }
    }

    async fn append(&self, changes: Vec<Change>) {
        let head = self.log.append(Batch { origin: None, changes }).await.expect("a log in memory takes all");
        self.hub.reached(head).await;
    }
}

/// What waits in a queue: the ids of changed rows, `!` after the last of a transaction, `commit`, `evicted`.
fn heard(queue: &Queue) -> String {
    let said = |kind: ItemKind| match kind {
        ItemKind::Evicted(_) => "evicted".to_owned(),
        ItemKind::Frame(_, frame) | ItemKind::Frames { bytes: frame, .. } | ItemKind::Ephemeral(frame) => {
            match serde_json::from_slice(&frame) {
                Ok(ServerMessage::Change { row, last, .. }) => format!("{}{}", row["id"], if last { "!" } else { "" }),
                Ok(ServerMessage::Commit { .. }) => "commit".to_owned(),
                Ok(ServerMessage::Message { event, .. }) => event,
                other => format!("{other:?}"),
            }
        }
    };
    queue.take(usize::MAX).items.into_iter().map(|item| said(item.kind)).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn each_filter_hears_its_rows_and_the_last_of_them() {
    let world = world();
    let (all, small) = (world.join(1, None), world.join(2, Some("a < 5")));
    let (seven, nine) = (world.join(3, Some("a = 7")), world.join(4, Some("a = 9 and id > 0")));
    world.append(vec![world.insert(1, 1, 3, false), world.insert(1, 2, 7, false), world.insert(1, 3, 8, true)]).await;
    world.append(vec![world.insert(2, 4, 4, true)]).await;
    assert_eq!(heard(&all), "1 2 3! 4!");
    assert_eq!(heard(&small), "1! 4!");
    assert_eq!(heard(&seven), "2!");
    assert_eq!(heard(&nine), "");
}

#[tokio::test]
async fn a_row_that_is_known_only_by_its_key_reaches_every_filter_that_may_hold_it() {
    let world = world();
    let (seven, eight, other) =
        (world.join(1, Some("a = 7")), world.join(2, Some("a = 8")), world.join(3, Some("id = 2")));
    let change = |op, old: Option<[Value; 2]>, new: Option<[Value; 2]>| {
        let row = |values: [Value; 2]| Row::from(values.to_vec());
        let body = Body::Row(RowChange { table: world.table.clone(), op, old: old.map(row), new: new.map(row) });
        vec![Change { tx: 1, last: true, time_ms: 0, body }]
    };
    world.append(change(Op::Update, None, Some([Value::Int(1), Value::Int(7)]))).await;
    world.append(change(Op::Delete, Some([Value::Int(1), Value::Unchanged]), None)).await;
    assert_eq!(heard(&seven), "1! 1!");
    assert_eq!(heard(&eight), "1! 1!", "it may have held the row before");
    assert_eq!(heard(&other), "");
}

#[tokio::test]
async fn a_transaction_waits_until_its_end_is_in_the_log() {
    let world = world();
    let all = world.join(1, None);
    let head = world.log.append(Batch { origin: None, changes: vec![world.insert(1, 1, 1, false)] }).await;
    head.expect("appended");
    tokio::task::yield_now().await;
    assert_eq!(heard(&all), "");
    world.append(vec![world.insert(1, 2, 1, true)]).await;
    assert_eq!(heard(&all), "1 2!");
}

#[tokio::test]
async fn a_transaction_too_large_to_hold_ends_with_commit_where_its_last_part_concerns_nobody() {
    let world = world();
    let (first, all) = (world.join(1, Some("id = 1")), world.join(2, None));
    let count = 10_000;
    let changes = (1..=count).map(|id| world.insert(1, id, 0, id == count)).collect();
    world.append(changes).await;
    assert_eq!(heard(&first), "1 commit");
    let all = heard(&all);
    assert_eq!(all.split(' ').count() as i64, count);
    assert!(all.ends_with("9999 10000!"), "{}", &all[all.len() - 40..]);
}

#[tokio::test]
async fn an_altered_table_sends_its_members_away() {
    let world = world();
    let all = world.join(1, None);
    let reset = Body::Reset {
        channel: Channel::Table(TableName::bare("t")),
        cause: ResetCause::Altered,
        reason: "the table was altered".into(),
    };
    world.append(vec![Change { tx: 1, last: true, time_ms: 0, body: reset }]).await;
    world.append(vec![world.insert(2, 1, 1, true)]).await;
    assert_eq!(heard(&all), "evicted");
    assert_eq!(world.hub.status().subscriptions, 0);
}

#[tokio::test]
async fn equal_filters_are_one() {
    let world = world();
    let _queues: Vec<_> = (0..10).map(|i| world.join(i, Some("a = 7"))).collect();
    let status = world.hub.status();
    assert_eq!((status.subscriptions, status.filters), (10, 1));
    world.hub.leave(SessionKey(3), [SubscriptionKey(0)]);
    assert_eq!(world.hub.status().subscriptions, 9);
}

#[tokio::test]
async fn equal_filters_under_different_names_have_their_own_frames() {
    let world = world();
    let name = |i: u64| format!("s{}", i % 3);
    let queues: Vec<_> = (0..12).map(|i| world.join_as(i, Some("a = 7"), &name(i))).collect();
    assert_eq!(world.hub.status().filters, 1);
    let named = |queue: &Queue| {
        let items = queue.take(usize::MAX).items.into_iter();
        let frame = items.map(|item| match item.kind {
            ItemKind::Frame(_, frame) => String::from_utf8_lossy(&frame).into_owned(),
            other => format!("{other:?}"),
        });
        frame.collect::<Vec<_>>().join(" ")
    };
    world.append(vec![world.insert(1, 1, 7, true)]).await;
    for (i, queue) in (0..).zip(&queues) {
        assert!(named(queue).contains(&format!("\"id\":\"{}\"", name(i))), "{i}");
    }
    // All of one name leave, and most of another.
    for i in [0, 3, 6, 9, 1, 4, 7] {
        world.hub.leave(SessionKey(i), [SubscriptionKey(0)]);
    }
    world.append(vec![world.insert(2, 2, 7, true)]).await;
    for (i, queue) in (0..).zip(&queues) {
        assert_eq!(!named(queue).is_empty(), [2, 5, 8, 11, 10].contains(&i), "{i}");
    }
}

#[tokio::test]
async fn a_crowd_is_sent_away_whole() {
    let world = world();
    let same: Vec<_> = (0..1500).map(|i| world.join_as(i, Some("a > 3"), &format!("{}", i % 7))).collect();
    let own: Vec<_> = (1500..2500).map(|i| world.join(i, Some(&format!("a = {i} or id = {i}")))).collect();
    world.hub.leave(SessionKey(3), [SubscriptionKey(0)]);
    world.append(vec![world.insert(1, 1, 5, false), world.reset(1, "t", true)]).await;
    for (i, queue) in (0..).zip(same.iter().chain(&own)) {
        assert_eq!(heard(queue), if i == 3 { "" } else { "evicted" }, "{i}");
    }
    let status = world.hub.status();
    assert_eq!((status.subscriptions, status.filters), (0, 0));
    let again = world.join(0, Some("a > 3"));
    world.append(vec![world.insert(2, 2, 5, true)]).await;
    assert_eq!(heard(&again), "2!");
}

/// A log that returns no more than three events at once, as one may whose file ends there.
struct Stingy(MemoryLog);

#[async_trait]
impl Log for Stingy {
    async fn append(&self, batch: Batch) -> Result<Position, AppendError> {
        self.0.append(batch).await
    }

    fn head(&self) -> Position {
        self.0.head()
    }

    fn oldest(&self) -> Position {
        self.0.oldest()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.0.watch()
    }

    fn place(&self, source: &str) -> Option<Place> {
        self.0.place(source)
    }

    async fn read(&self, after: Position, max_events: usize, max_bytes: usize) -> Result<Vec<Arc<Event>>, ReadError> {
        self.0.read(after, max_events.min(3), max_bytes).await
    }

    async fn flush(&self) -> Result<(), AppendError> {
        self.0.flush().await
    }

    fn send_ephemeral(&self, message: Message) {
        self.0.send_ephemeral(message);
    }

    fn ephemeral(&self) -> broadcast::Receiver<Arc<Message>> {
        self.0.ephemeral()
    }

    fn status(&self) -> LogStatus {
        self.0.status()
    }
}

#[tokio::test]
async fn a_transaction_that_one_read_does_not_return_is_dispatched_whole() {
    let world = still_world(Arc::new(Stingy(MemoryLog::new(Retention::default()))));
    world.start();
    let all = world.join(1, None);
    let changes = (1..=8).map(|id| world.insert(1, id, 0, id == 8)).collect();
    world.append(changes).await;
    world.append(vec![world.insert(2, 9, 0, true)]).await;
    assert_eq!(heard(&all), "1 2 3 4 5 6 7 8! 9!");
}

#[tokio::test]
async fn members_are_sent_away_when_the_log_forgets_what_they_have_not_heard() {
    let world = still_world(Arc::new(MemoryLog::new(Retention { age: None, events: Some(1), bytes: Some(1) })));
    let all = world.join(1, None);
    for tx in 1..100 {
        let batch = Batch { origin: None, changes: vec![world.insert(tx, 1, 1, true)] };
        world.log.append(batch).await.expect("appended");
    }
    world.start();
    world.append(vec![world.insert(100, 1, 1, true)]).await;
    assert_eq!(heard(&all), "evicted");
}

#[tokio::test]
async fn who_joins_in_the_midst_of_a_large_transaction_hears_of_its_end() {
    let world = world();
    let part: Vec<Change> = (1..=5_000).map(|id| world.insert(1, id, 0, false)).collect();
    let head = world.log.append(Batch { origin: None, changes: part }).await.expect("appended");
    world.hub.reached(Position { offset: Offset(4_096), ..head }).await;
    let first = world.join(1, Some("id = 1"));
    world.append(vec![world.insert(1, 5_001, 0, true)]).await;
    assert_eq!(heard(&first), "commit");
    assert_eq!(world.hub.between().await, world.log.head());
}

/// Those who only want to hear that what a rule has read has changed are on a channel without events: a word about it has no address.
#[tokio::test]
async fn only_who_follows_a_table_hears_of_the_end_of_a_transaction() {
    let world = world();
    let part: Vec<Change> = (1..=5_000).map(|id| world.insert(1, id, 0, false)).collect();
    let head = world.log.append(Batch { origin: None, changes: part }).await.expect("appended");
    world.hub.reached(Position { offset: Offset(4_096), ..head }).await;
    let (room, guard) = (world.listen(1, "r"), world.listen_to(2, Channel::Event("nothing".into())));
    world.append(vec![world.insert(1, 5_001, 0, true)]).await;
    world.append(vec![world.say(0, "m", true)]).await;
    assert_eq!((heard(&room), heard(&guard)), ("m".to_owned(), String::new()));
}

#[tokio::test]
async fn a_beginning_is_never_in_the_midst_of_a_transaction() {
    let world = world();
    world.append(vec![world.insert(1, 1, 0, true)]).await;
    let before = world.log.head();
    let part: Vec<Change> = (1..=5_000).map(|id| world.insert(2, id, 0, false)).collect();
    world.log.append(Batch { origin: None, changes: part }).await.expect("appended");
    world.hub.reached(Position { offset: Offset(4_096), ..before }).await;
    assert_eq!(world.hub.between().await, before);
}

#[tokio::test]
async fn rows_messages_and_resets_of_a_transaction_are_one() {
    let world = world();
    let (all, first, room) = (world.join(1, None), world.join(2, Some("id = 1")), world.listen(3, "r"));
    let changes = vec![
        world.insert(1, 1, 0, false),
        world.say(1, "a", false),
        world.reset(1, "another", false),
        world.insert(1, 2, 0, false),
        world.say(1, "b", true),
    ];
    world.append(changes).await;
    world.append(vec![world.insert(2, 3, 0, true)]).await;
    assert_eq!(heard(&all), "1 2! 3!");
    assert_eq!(heard(&first), "1!");
    assert_eq!(heard(&room), "a b");
    assert_eq!(world.hub.between().await, world.log.head());
}

#[tokio::test]
async fn a_transaction_that_ends_with_a_message_waits_for_it() {
    let world = world();
    let (all, room) = (world.join(1, None), world.listen(2, "r"));
    let part = vec![world.insert(1, 1, 0, false), world.say(1, "a", false)];
    world.log.append(Batch { origin: None, changes: part }).await.expect("appended");
    tokio::task::yield_now().await;
    assert_eq!((heard(&all), heard(&room)), (String::new(), String::new()));
    world.append(vec![world.say(1, "b", true)]).await;
    assert_eq!((heard(&all), heard(&room)), ("1!".to_owned(), "a b".to_owned()));
}

#[tokio::test]
async fn who_is_sent_away_within_a_transaction_reads_all_of_it_for_itself() {
    let world = world();
    let (all, room) = (world.join(1, None), world.listen(2, "r"));
    let before = world.log.head();
    let changes = vec![
        world.insert(1, 1, 0, false),
        world.say(1, "a", false),
        world.reset(1, "t", false),
        world.insert(1, 2, 0, true),
    ];
    world.append(changes).await;
    let items = all.take(usize::MAX).items;
    assert_eq!(items.len(), 1);
    assert!(matches!(items[0].kind, ItemKind::Evicted(position) if position == before), "{items:?}");
    assert_eq!(heard(&room), "a");
}

#[tokio::test]
async fn a_message_of_nobodys_transaction_neither_waits_for_an_open_one_nor_ends_it() {
    let world = world();
    let (all, first, room) = (world.join(1, None), world.join(2, Some("id = 1")), world.listen(3, "r"));
    let begin = world.log.head();
    world.append(vec![world.insert(7, 1, 0, false), world.insert(7, 2, 0, false), world.say(0, "m", true)]).await;
    assert_eq!(heard(&room), "m");
    assert_eq!((heard(&all), heard(&first)), ("1 2".to_owned(), "1".to_owned()));
    let joined = world.join(4, None);
    assert_eq!(world.hub.between().await, begin, "the transaction is still open");
    world.append(vec![world.say(0, "n", true), world.insert(7, 3, 0, true), world.say(0, "o", true)]).await;
    assert_eq!((heard(&all), heard(&first)), ("3!".to_owned(), "commit".to_owned()));
    assert_eq!((heard(&room), heard(&joined)), ("n o".to_owned(), "3!".to_owned()));
    assert_eq!(world.hub.between().await, world.log.head());
}

#[tokio::test]
async fn a_source_that_begins_anew_leaves_no_transaction_open() {
    let world = world();
    world.append(vec![world.insert(7, 1, 0, false), world.say(0, "m", true)]).await;
    world.append(vec![world.reset(0, "t", true)]).await;
    assert_eq!(world.hub.between().await, world.log.head());
}

#[tokio::test]
async fn what_is_open_at_a_position_is_known_behind_what_stands_alone() {
    let world = world();
    let open = |position| {
        let log = world.log.clone();
        async move { rowcast::hub::is_open(&*log, position).await }
    };
    assert_eq!(open(world.log.head()).await, Some(false), "an empty log");
    world.append(vec![world.say(0, "m", true)]).await;
    assert_eq!(open(world.log.head()).await, Some(false), "nothing but a message");
    world.append(vec![world.insert(7, 1, 0, false), world.say(0, "m", true), world.say(0, "m", true)]).await;
    let within = world.log.head();
    world.append(vec![world.insert(7, 2, 0, true), world.say(0, "m", true)]).await;
    assert_eq!(open(within).await, Some(true));
    assert_eq!(open(world.log.head()).await, Some(false));
    let many = (0..1000).map(|_| world.say(0, "m", true)).collect();
    world.append(many).await;
    assert_eq!(open(world.log.head()).await, None, "too far back to be looked for");
}
