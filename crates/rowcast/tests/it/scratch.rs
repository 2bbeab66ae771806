//! One table in memory with a log that hears of each insert at once, and a switch that makes it unavailable.
//!
//! Stands in for the SQLite store in the tests of `ingest` only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use rowcast::event::{Batch, Column, Event, Message, Place, Position, Table, TableName, Value};
use rowcast::filter::Dialect;
use rowcast::log::{AppendError, Log, LogStatus, ReadError};
use rowcast::store::{Insert, Inserted, Select, Series, SeriesQuery, Snapshot, Store, StoreError};
use tokio::sync::{broadcast, watch};

/// The store and the log of one table `readings(id, time, speed, name)`.
pub(crate) struct Scratch {
    table: Mutex<Option<Arc<Table>>>,
    rows: Mutex<Vec<Vec<Option<Value>>>>,
    batches: Mutex<Vec<usize>>,
    /// While set, the database answers nothing else.
    error: Mutex<Option<fn() -> StoreError>>,
    attempts: watch::Sender<u64>,
    count: watch::Sender<usize>,
    heard: watch::Sender<u64>,
    place: AtomicU64,
    deaf: Mutex<bool>,
}

impl Scratch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::new(Some(readings(&["id", "time", "speed", "name"]))),
            rows: Mutex::default(),
            batches: Mutex::default(),
            error: Mutex::default(),
            attempts: watch::Sender::new(0),
            count: watch::Sender::new(0),
            heard: watch::Sender::new(0),
            place: AtomicU64::new(0),
            deaf: Mutex::new(false),
        })
    }

    pub(crate) fn fail_with(&self, error: Option<fn() -> StoreError>) {
        *self.error.lock() = error;
    }

    /// The log hears nothing of what is written.
    pub(crate) fn deafen(&self) {
        *self.deaf.lock() = true;
    }

    pub(crate) fn alter(&self, columns: Option<&[&str]>) {
        *self.table.lock() = columns.map(readings);
    }

    /// Waits for that many attempts to write from now on.
    pub(crate) async fn attempts(&self, more: u64) {
        let mut attempts = self.attempts.subscribe();
        let from = *attempts.borrow_and_update();
        attempts.wait_for(|n| *n >= from + more).await.expect("the store lives");
    }

    /// Waits until so many rows stand.
    pub(crate) async fn holds(&self, rows: usize) {
        self.count.subscribe().wait_for(|n| *n >= rows).await.expect("the store lives");
    }

    /// The values of one column, in the order they were stored; `-` for a default.
    pub(crate) fn column(&self, name: &str) -> Vec<String> {
        let table = self.table.lock().clone().expect("a table");
        let index = table.column(name).expect("a column");
        let json = |value: &Option<Value>| value.as_ref().map_or("-".into(), Value::to_json);
        self.rows.lock().iter().map(|row| json(&row[index])).collect()
    }

    pub(crate) fn batches(&self) -> Vec<usize> {
        self.batches.lock().clone()
    }
}

fn readings(columns: &[&str]) -> Arc<Table> {
    let declared = |name: &str| if name == "name" { "TEXT" } else { "INTEGER" };
    let columns = columns.iter().map(|name| Column { name: (*name).into(), declared: declared(name).into() }).collect();
    Arc::new(Table { name: TableName::bare("readings"), columns, key: vec![0] })
}

#[async_trait]
impl Store for Scratch {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        Ok(self.table.lock().iter().cloned().collect())
    }

    async fn table(&self, name: &TableName) -> Result<Arc<Table>, StoreError> {
        let table = self.table.lock().clone();
        table.filter(|table| table.name == *name).ok_or_else(|| StoreError::UnknownTable(name.clone()))
    }

    /// Refuses a row whose speed is negative, as a CHECK would.
    async fn insert(&self, insert: Insert) -> Result<Inserted, StoreError> {
        self.attempts.send_modify(|n| *n += 1);
        tokio::task::yield_now().await;
        if let Some(error) = *self.error.lock() {
            return Err(error());
        }
        let table = self.table(&insert.table.name).await?;
        if table != insert.table {
            return Err(StoreError::Altered(table.name.clone()));
        }
        let mut rejected = Vec::new();
        let mut rows = self.rows.lock();
        for (index, cells) in insert.rows.iter().enumerate() {
            let mut row = vec![None; table.columns.len()];
            cells.iter().for_each(|(column, value)| row[*column] = Some(value.clone()));
            if row.iter().flatten().any(|value| matches!(value, Value::Int(n) if *n < 0)) {
                rejected.push((index, "CHECK constraint failed: speed".into()));
            } else {
                rows.push(row);
            }
        }
        self.batches.lock().push(insert.rows.len());
        let place = self.place.fetch_add(1, Ordering::SeqCst) + 1;
        if !*self.deaf.lock() {
            self.heard.send_replace(place);
        }
        self.count.send_replace(rows.len());
        let count = (insert.rows.len() - rejected.len()) as u64;
        Ok(Inserted { count, place: Place(place.to_string().into()), rejected })
    }

    fn reached(&self, log: Option<&Place>, snapshot: &Place) -> bool {
        let number = |place: &Place| place.0.parse::<u64>().expect("a number");
        log.is_some_and(|log| number(log) >= number(snapshot))
    }

    async fn snapshot(&self, _: Select) -> Result<Snapshot, StoreError> {
        Err(StoreError::Refused("no snapshots here".into()))
    }

    async fn series(&self, _: SeriesQuery) -> Result<Series, StoreError> {
        Err(StoreError::Refused("no series here".into()))
    }
}

#[async_trait]
impl Log for Scratch {
    async fn append(&self, _: Batch) -> Result<Position, AppendError> {
        Err(AppendError::Moved { at: None })
    }

    fn head(&self) -> Position {
        Position::new(1, *self.heard.borrow())
    }

    fn oldest(&self) -> Position {
        Position::new(1, 0)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.heard.subscribe()
    }

    fn place(&self, source: &str) -> Option<Place> {
        (source == "main").then(|| Place(self.heard.borrow().to_string().into()))
    }

    async fn read(&self, _: Position, _: usize, _: usize) -> Result<Vec<Arc<Event>>, ReadError> {
        Ok(Vec::new())
    }

    async fn flush(&self) -> Result<(), AppendError> {
        Ok(())
    }

    fn send_ephemeral(&self, _: Message) {}

    fn ephemeral(&self) -> broadcast::Receiver<Arc<Message>> {
        broadcast::Sender::new(1).subscribe()
    }

    fn status(&self) -> LogStatus {
        LogStatus { head: String::new(), oldest: String::new(), events: 0, bytes: 0 }
    }
}
