//! Where a snapshot stands in a log whose transactions are seen in another order than they are written, as PostgreSQL's are.

use std::sync::Arc;

use rowcast::event::{
    Batch, Body, Change, Channel, Mark, Op, Origin, Place, Position, ResetCause, Row, RowChange, Table, Value,
};
use rowcast::hub::Hub;
use rowcast::log::memory::MemoryLog;
use rowcast::log::{Log, Retention};
use rowcast::session::{Database, Known, Limits, Node, Settled, Unsettled, settle};

use crate::snapshots::{Counted, table};

/// A node without clients, whose log is written by hand.
struct World {
    node: Node,
    log: Arc<MemoryLog>,
    table: Arc<Table>,
}

impl World {
    fn new(retention: Retention) -> Self {
        let log = Arc::new(MemoryLog::new(retention));
        let database = Database { store: Arc::new(Counted::default()), source: "db".into(), ears: None };
        let node = Node::new(Hub::new(log.clone()), log.clone(), database, Limits::default());
        Self { node, log, table: table() }
    }

    /// Appends one row for each transaction, all of them with one place.
    async fn commit(&self, place: u64, transactions: &[u64]) -> Position {
        let row = |tx: &u64| {
            let new = Some(Row::from(vec![Value::Int(*tx as i64), Value::Null]));
            let row = RowChange { table: self.table.clone(), op: Op::Insert, old: None, new };
            Change { tx: *tx, last: true, time_ms: 0, body: Body::Row(row) }
        };
        self.append(place, transactions.iter().map(row).collect()).await
    }

    async fn append(&self, place: u64, changes: Vec<Change>) -> Position {
        let origin = Origin { source: "db".into(), after: self.log.place("db"), place: at(place) };
        self.log.append(Batch { origin: Some(origin), changes }).await.expect("appended")
    }

    async fn settle(&self, known: &Known, visible: &str, place: u64) -> Result<Settled, Unsettled> {
        let mark = Mark::Visible(visible.parse().expect("a snapshot"));
        settle(&self.node, known, &mark, &at(place)).await
    }

    /// Offsets of where it stands, and of the last of it.
    async fn settled(&self, known: &Known, visible: &str, place: u64) -> (u64, u64) {
        let settled = self.settle(known, visible, place).await.expect("settled");
        (settled.position.offset.0, settled.until.offset.0)
    }
}

fn at(place: u64) -> Place {
    Place(place.to_string().into())
}

#[tokio::test]
async fn a_clean_cut_ends_before_the_first_that_is_not_contained() {
    let world = World::new(Retention::default());
    world.commit(1, &[10, 11]).await;
    let known = Known::now(&world.node);
    world.commit(2, &[13, 12, 14]).await;
    assert_eq!(world.settled(&known, "14:14:", 2).await, (4, 4));
    assert_eq!(world.settled(&known, "15:15:", 2).await, (5, 5));
    assert_eq!(world.settled(&known, "12:12:", 2).await, (2, 2));
}

#[tokio::test]
async fn it_waits_for_what_it_contains() {
    let world = World::new(Retention::default());
    let known = Known::now(&world.node);
    let (settled, _) = tokio::join!(world.settled(&known, "11:11:", 5), world.commit(5, &[10]));
    assert_eq!(settled, (1, 1));
}

#[tokio::test]
async fn transactions_that_are_seen_in_the_opposite_order_of_their_commits_are_no_clean_cut() {
    let world = World::new(Retention::default());
    let known = Known::now(&world.node);
    world.commit(1, &[10, 11, 12]).await;
    assert_eq!(world.settled(&known, "10:13:10", 1).await, (0, 3));
    assert_eq!(world.settled(&known, "11:13:11", 1).await, (1, 3));
    assert_eq!(world.settled(&known, "12:12:", 1).await, (2, 2));
}

#[tokio::test]
async fn what_stood_in_the_log_before_it_could_be_seen_is_found() {
    let world = World::new(Retention::default());
    world.commit(1, &[9, 10]).await;
    let known = Known::now(&world.node);
    assert_eq!(world.settled(&known, "10:11:10", 1).await, (1, 1), "the last one cannot be seen yet");
    world.commit(2, &[11]).await;
    let known = Known::now(&world.node);
    assert_eq!(world.settled(&known, "10:12:10", 2).await, (1, 3), "it is remembered, and another one can be seen");
    let known = Known::now(&world.node);
    assert_eq!(world.settled(&known, "12:12:", 2).await, (3, 3), "now it can");
}

#[tokio::test]
async fn a_transaction_without_an_id_yet_may_be_in_the_log_all_the_same() {
    let world = World::new(Retention::default());
    world.commit(1, &[10]).await;
    let known = Known::now(&world.node);
    // 10 is not below xmax: no transaction from 10 on had ended.
    assert_eq!(world.settled(&known, "10:10:", 1).await, (0, 0));
}

#[tokio::test]
async fn a_large_transaction_that_is_not_contained_is_found_from_its_beginning() {
    let world = World::new(Retention { age: None, events: None, bytes: None });
    world.commit(1, &[9]).await;
    let row = |last| {
        let new = Some(Row::from(vec![Value::Int(1), Value::Null]));
        let row = RowChange { table: world.table.clone(), op: Op::Insert, old: None, new };
        Change { tx: 10, last, time_ms: 0, body: Body::Row(row) }
    };
    // More than is looked back for others.
    for _ in 0..20 {
        world.append(2, (0..10_000).map(|_| row(false)).collect()).await;
    }
    let known = Known::now(&world.node);
    world.append(3, vec![row(true)]).await;
    assert_eq!(world.settled(&known, "10:11:10", 3).await, (1, 1));
}

#[tokio::test]
async fn an_older_snapshot_is_not_led_astray_by_what_a_newer_one_has_shown() {
    let world = World::new(Retention::default());
    world.commit(1, &[10, 11]).await;
    let older = Known::now(&world.node);
    let newer = Known::now(&world.node);
    assert_eq!(world.settled(&newer, "12:12:", 1).await, (2, 2));
    assert_eq!(world.settled(&older, "11:12:11", 1).await, (1, 1));
}

#[tokio::test]
async fn it_is_said_when_the_log_has_forgotten_what_follows() {
    let world = World::new(Retention { age: None, events: Some(1), bytes: Some(1) });
    let known = Known::now(&world.node);
    for tx in 10..30 {
        world.commit(tx, &[tx]).await;
    }
    let settled = world.settle(&known, "12:12:", 29).await;
    assert!(matches!(settled, Err(Unsettled::Outrun)), "{settled:?}");
}

#[tokio::test]
async fn what_is_of_another_database_counts_for_nothing() {
    let world = World::new(Retention::default());
    world.commit(1, &[50, 51, 52]).await;
    // The database was made anew, and counts its transactions from the beginning.
    let channel = Channel::Table(world.table.name.clone());
    let body = Body::Reset { channel, cause: ResetCause::Missed, reason: "another system".into() };
    world.append(2, vec![Change { tx: 10, last: true, time_ms: 0, body }]).await;
    world.commit(3, &[11]).await;
    let known = Known::now(&world.node);
    assert_eq!(world.settled(&known, "12:12:", 3).await, (5, 5));
    world.commit(4, &[12]).await;
    assert_eq!(world.settled(&Known::now(&world.node), "12:12:", 4).await, (5, 5));
}

#[tokio::test]
async fn a_message_of_no_transaction_counts_for_nothing() {
    let world = World::new(Retention::default());
    let message = || {
        let channel = Channel::Room("r".into());
        let message = rowcast::event::Message { channel, event: "e".into(), json: "1".into() };
        Change { tx: 0, last: true, time_ms: 0, body: Body::Message(message) }
    };
    let known = Known::now(&world.node);
    world.append(1, vec![message()]).await;
    world.commit(2, &[10]).await;
    world.append(3, vec![message()]).await;
    assert_eq!(world.settled(&known, "11:11:", 3).await, (3, 3));
    assert_eq!(world.settled(&known, "10:10:", 3).await, (1, 1));
}
