//! The hub alone: from the log into queues.

use std::sync::Arc;

use rowcast::event::{Batch, Body, Change, Channel, Column, Op, ResetCause, Row, RowChange, Table, TableName, Value};
use rowcast::filter::{Dialect, Filter};
use rowcast::hub::{Hub, Interest, ItemKind, Queue, SessionKey, SubscriptionKey};
use rowcast::log::memory::MemoryLog;
use rowcast::log::{Log, Retention};
use rowcast::protocol::ServerMessage;
use rowcast::protocol::encode::{Projection, Wire};
use tokio_util::sync::CancellationToken;

struct World {
    log: Arc<MemoryLog>,
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
    let log = Arc::new(MemoryLog::new(Retention::default()));
    let hub = Hub::new(log.clone());
    let stop = CancellationToken::new();
    tokio::spawn(hub.clone().run(stop.clone()));
    let column = |name: &str| Column { name: name.into(), declared: "INTEGER".into() };
    let table = Table { name: TableName::bare("t"), columns: vec![column("id"), column("a")], key: vec![0] };
    World { log, hub, table: Arc::new(table), stop }
}

impl World {
    fn join(&self, session: u64, filter: Option<&str>) -> Arc<Queue> {
        let bind = |text: &str| Filter::parse(text)?.bind(&self.table, Dialect::Sqlite, &serde_json::Map::new());
        let interest = Interest {
            channel: Channel::Table(self.table.name.clone()),
            table: Some(self.table.clone()),
            predicate: filter.map(|text| Arc::new(bind(text).expect("a filter"))),
            projection: Arc::new(Projection { columns: [0, 1].into(), old: false }),
            wire: Wire::WebSocket,
            id: "\"s\"".into(),
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

    async fn append(&self, changes: Vec<Change>) {
        let head = self.log.append(Batch { origin: None, changes }).await.expect("a log in memory takes all");
        self.hub.reached(head).await;
    }
}

/// What waits in a queue: the ids of changed rows, `!` after the last of a transaction, `commit`, `evicted`.
fn heard(queue: &Queue) -> String {
    let said = |kind: ItemKind| match kind {
        ItemKind::Evicted(_) => "evicted".to_owned(),
        ItemKind::Frame(_, frame) | ItemKind::Ephemeral(frame) => match serde_json::from_slice(&frame) {
            Ok(ServerMessage::Change { row, last, .. }) => format!("{}{}", row["id"], if last { "!" } else { "" }),
            Ok(ServerMessage::Commit { .. }) => "commit".to_owned(),
            other => format!("{other:?}"),
        },
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
    let reset =
        Body::Reset { table: TableName::bare("t"), cause: ResetCause::Altered, reason: "the table was altered".into() };
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
