//! How subscriptions come by their rows: shared with others, and as of one position even where a database has none.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rowcast::auth::Identity;
use rowcast::event::{
    Batch, Body, Change, Channel, Column, Mark, Op, Origin, Place, ResetCause, Row, RowChange, Table, TableName, Value,
};
use rowcast::filter::Dialect;
use rowcast::hub::Hub;
use rowcast::log::memory::MemoryLog;
use rowcast::log::{Log, Retention};
use rowcast::protocol::ServerMessage;
use rowcast::protocol::encode::Wire;
use rowcast::session::{Database, Limits, Node, Session};
use rowcast::store::{History, Insert, Inserted, Select, SeriesQuery, Snapshot, Store, StoreError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The one table of [`Counted`].
pub(crate) fn table() -> Arc<Table> {
    let column = |name: &str| Column { name: name.into(), declared: "INTEGER".into() };
    Arc::new(Table { name: TableName::bare("t"), columns: vec![column("id"), column("a")], key: vec![0] })
}

/// A store that shows what it is told to, and counts how often it is asked. Places are numbers.
#[derive(Default)]
pub(crate) struct Counted {
    taken: AtomicUsize,
    /// The database cannot be reached.
    away: AtomicBool,
    /// What each snapshot contains, one after the other; the last one stays.
    marks: Mutex<VecDeque<String>>,
    rows: Mutex<Vec<Row>>,
}

#[async_trait]
impl Store for Counted {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        Ok(vec![table()])
    }

    async fn table(&self, _name: &TableName) -> Result<Arc<Table>, StoreError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("it is away".into())),
            false => Ok(table()),
        }
    }

    async fn snapshot(&self, select: Select) -> Result<Snapshot, StoreError> {
        self.taken.fetch_add(1, Ordering::SeqCst);
        let mark = {
            let mut marks = self.marks.lock();
            let first = marks.front().cloned().expect("a mark");
            if marks.len() > 1 {
                marks.pop_front();
            }
            Mark::Visible(first.parse().expect("a snapshot"))
        };
        let (send, rows) = mpsc::channel(1);
        let all = self.rows.lock().clone();
        tokio::spawn(async move {
            for chunk in all.chunks(100) {
                if send.send(Ok(chunk.to_vec())).await.is_err() {
                    return;
                }
            }
        });
        Ok(Snapshot { table: select.table, mark, place: Place("0".into()), rows })
    }

    fn reached(&self, log: Option<&Place>, snapshot: &Place) -> bool {
        let number = |place: &Place| place.0.parse::<u64>().expect("a number");
        log.map_or(0, number) >= number(snapshot)
    }

    async fn insert(&self, _insert: Insert) -> Result<Inserted, StoreError> {
        Err(StoreError::Refused("nothing is stored here".into()))
    }

    async fn write(&self, _writes: Vec<rowcast::store::Write>) -> Result<rowcast::store::Written, StoreError> {
        Err(StoreError::Refused("nothing is stored here".into()))
    }

    async fn series(&self, _query: SeriesQuery) -> Result<History, StoreError> {
        Err(StoreError::Refused("nothing is stored here".into()))
    }

    async fn create(&self, _tables: &[rowcast::store::TableSpec]) -> Result<Vec<String>, StoreError> {
        Err(StoreError::Refused("nothing is stored here".into()))
    }

    async fn add_columns(
        &self,
        _table: &TableName,
        _columns: &[rowcast::store::ColumnSpec],
    ) -> Result<Vec<String>, StoreError> {
        Err(StoreError::Refused("nothing is stored here".into()))
    }

    async fn progress(&self, _source: &str) -> Result<Option<rowcast::store::Progress>, StoreError> {
        Err(StoreError::Refused("nothing is stored here".into()))
    }

    async fn dead_letters(
        &self,
        _which: rowcast::store::DeadLetters,
    ) -> Result<Vec<rowcast::store::DeadLetter>, StoreError> {
        Err(StoreError::Refused("nothing is stored here".into()))
    }

    async fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        Err(StoreError::Refused("nothing is stored here".into()))
    }

    async fn bury(&self, _ids: &[u64]) -> Result<u64, StoreError> {
        Err(StoreError::Refused("nothing is stored here".into()))
    }
}

struct World {
    node: Arc<Node>,
    store: Arc<Counted>,
    log: Arc<MemoryLog>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    fn new(marks: &[&str], rows: Vec<Row>) -> Self {
        Self::with(marks, rows, Limits::default())
    }

    fn with(marks: &[&str], rows: Vec<Row>, limits: Limits) -> Self {
        let store = Arc::new(Counted::default());
        *store.marks.lock() = marks.iter().map(|mark| (*mark).to_owned()).collect();
        *store.rows.lock() = rows;
        let log = Arc::new(MemoryLog::new(Retention::default()));
        let hub = Hub::new(log.clone());
        let stop = CancellationToken::new();
        tokio::spawn(hub.clone().run(stop.clone()));
        let database = Database { store: store.clone(), source: "db".into(), ears: None };
        let node = Arc::new(Node::new(hub, log.clone(), database, limits));
        Self { node, store, log, stop }
    }

    fn taken(&self) -> usize {
        self.store.taken.load(Ordering::SeqCst)
    }

    async fn append(&self, changes: Vec<Change>) {
        let after = self.log.place("db");
        let place = after.as_ref().map_or(0, |place| place.0.parse().expect("a number")) + 1_u64;
        let origin = Origin { source: "db".into(), after, place: Place(place.to_string().into()) };
        self.log.append(Batch { origin: Some(origin), changes }).await.expect("appended");
    }

    fn subscribe(&self) -> Client {
        self.subscribe_to("t")
    }

    fn subscribe_to(&self, table: &str) -> Client {
        let remote = "127.0.0.1:1".to_owned();
        let mut session =
            Session::open(self.node.clone(), Wire::Text, "websocket", remote, Identity::trusted()).expect("let in");
        let message = format!(r#"{{"type":"subscribe","id":"s","channel":"table:{table}"}}"#);
        session.receive(&message).expect("understood");
        Client { session, waiting: VecDeque::new() }
    }
}

/// A client and what it has not looked at yet.
struct Client {
    session: Session,
    waiting: VecDeque<Bytes>,
}

impl Client {
    async fn hear(&mut self) -> ServerMessage {
        while self.waiting.is_empty() {
            let mut out = Vec::new();
            self.session.next(&mut out).await.expect("open");
            self.waiting.extend(out);
        }
        serde_json::from_slice(&self.waiting.pop_front().expect("a frame")).expect("a message")
    }

    /// What is heard up to and including the first message that is said to be the last, in a few words.
    async fn hear_until(&mut self, last: &str) -> Vec<String> {
        let mut heard = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            assert!(Instant::now() < deadline, "not heard in time: {last}; but {heard:?}");
            let said = match self.hear().await {
                ServerMessage::Snapshot { rows, .. } => format!("{} rows", rows.len()),
                ServerMessage::Subscribed { position, .. } => format!("subscribed {}", offset(&position)),
                ServerMessage::Change { row, last, .. } => format!("{}{}", row["id"], if last { "!" } else { "" }),
                ServerMessage::Gap { reason, .. } => format!("gap {reason:?}"),
                other => format!("{other:?}"),
            };
            let ends = said.starts_with(last);
            heard.push(said);
            if ends {
                return heard;
            }
        }
    }
}

fn offset(position: &str) -> &str {
    position.split_once('-').expect("a position").1
}

fn row(id: i64) -> Row {
    vec![Value::Int(id), Value::Null].into()
}

fn insert(tx: u64, id: i64, last: bool) -> Change {
    let change = RowChange { table: table(), op: Op::Insert, old: None, new: Some(row(id)) };
    Change { tx, last, time_ms: 0, body: Body::Row(change) }
}

fn truncate(tx: u64) -> Change {
    let channel = Channel::Table(TableName::bare("t"));
    let body = Body::Reset { channel, cause: ResetCause::Altered, reason: "the table was truncated".into() };
    Change { tx, last: true, time_ms: 0, body }
}

#[tokio::test]
async fn a_thousand_equal_subscriptions_cost_a_handful_of_snapshots() {
    let world = World::new(&["10:10:"], (0..50).map(row).collect());
    let mut clients = Vec::new();
    for i in 0..1000 {
        clients.push(world.subscribe());
        if i % 100 == 50 {
            world.append(vec![insert(9, 1, true)]).await;
        }
    }
    for client in &mut clients {
        let heard = client.hear_until("subscribed").await;
        let rows: usize = heard.iter().filter_map(|said| said.strip_suffix(" rows")?.parse::<usize>().ok()).sum();
        assert_eq!(rows, 50);
    }
    assert!(world.taken() <= 8, "{} snapshots", world.taken());
    world.append(vec![insert(11, 90_000, true)]).await;
    for client in &mut clients {
        assert!(client.hear_until("90000").await.ends_with(&["90000!".to_owned()]));
    }
}

#[tokio::test]
async fn a_slow_client_takes_a_snapshot_of_its_own_and_holds_up_nobody() {
    let long = Value::Text("x".repeat(50_000).into());
    let rows: Vec<Row> = (0..100).map(|id| vec![Value::Int(id), long.clone()].into()).collect();
    let world = World::new(&["10:10:"], rows);
    let (mut slow, mut quick) = (world.subscribe(), world.subscribe());
    let rows = |heard: &[String]| -> usize {
        heard.iter().filter_map(|s| s.strip_suffix(" rows")?.parse::<usize>().ok()).sum()
    };
    assert_eq!(rows(&quick.hear_until("subscribed").await), 100);
    assert_eq!(world.taken(), 1);
    let before = slow.hear_until("gap").await;
    assert!(rows(&before) < 100, "{before:?}");
    assert_eq!(rows(&slow.hear_until("subscribed").await), 100);
    assert_eq!(world.taken(), 2);
}

#[tokio::test]
async fn another_snapshot_is_taken_when_one_is_no_clean_cut() {
    let world = World::new(&["10:13:10", "13:13:"], vec![row(1)]);
    world.append(vec![insert(10, 1, true), insert(11, 2, true), insert(12, 3, true)]).await;
    let mut client = world.subscribe();
    assert_eq!(client.hear_until("subscribed").await, ["1 rows", "subscribed 3"]);
    assert_eq!(world.taken(), 2);
    world.append(vec![insert(13, 4, true)]).await;
    assert_eq!(client.hear_until("4").await, ["4!"]);
}

#[tokio::test]
async fn what_a_snapshot_shows_is_not_told_again_after_what_it_does_not() {
    // 10 is in the log and cannot be seen for as long as a standby does not answer.
    let world = World::new(&["10:13:10"], vec![row(2), row(3)]);
    world.append(vec![insert(10, 1, false), insert(10, 9, true), insert(11, 2, true), insert(12, 3, true)]).await;
    let mut client = world.subscribe();
    assert_eq!(client.hear_until("subscribed").await, ["2 rows", "subscribed 0"]);
    world.append(vec![insert(13, 4, true)]).await;
    assert_eq!(client.hear_until("4").await, ["1", "9!", "4!"]);
}

#[tokio::test]
async fn a_truncated_table_is_not_read_before_the_truncation_can_be_seen() {
    let world = World::new(&["10:10:"], vec![row(1)]);
    let mut client = world.subscribe();
    assert_eq!(client.hear_until("subscribed").await, ["1 rows", "subscribed 0"]);
    *world.store.marks.lock() = ["20:20:", "20:20:", "21:21:"].map(str::to_owned).into();
    world.store.rows.lock().clear();
    world.append(vec![insert(20, 5, false), truncate(20)]).await;
    world.append(vec![insert(21, 6, true)]).await;
    let heard = client.hear_until("6").await;
    assert_eq!(heard, ["5", "gap Schema", "0 rows", "subscribed 2", "6!"]);
}

#[tokio::test]
async fn who_falls_behind_while_the_database_is_away_misses_nothing() {
    let world = World::with(&["10:10:"], vec![row(1)], Limits { queue_bytes: 4 << 10, ..Limits::default() });
    // MySQL finds tables by names that are written otherwise: what is told of them has their own.
    let mut client = world.subscribe_to("T");
    assert_eq!(client.hear_until("subscribed").await, ["1 rows", "subscribed 0"]);
    world.append(vec![insert(10, 9, true)]).await;
    assert_eq!(client.hear_until("9").await, ["9!"]);
    world.append(vec![insert(11, 9, true)]).await;
    assert_eq!(client.hear_until("9").await, ["9!"], "the hub carries it");
    world.store.away.store(true, Ordering::SeqCst);
    for id in 100..500 {
        world.append(vec![insert(u64::try_from(id).expect("small"), id, true)]).await;
    }
    let expected: Vec<String> = (100..500).map(|id| format!("{id}!")).collect();
    assert_eq!(client.hear_until("499").await, expected);
}
