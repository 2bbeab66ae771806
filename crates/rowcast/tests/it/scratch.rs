//! A table `readings(id, time, speed, name)` in a SQLite file, its source pumped into a log in memory, and a switch that makes the
//! database fail: what a disk does when it is full no test can ask for.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use async_trait::async_trait;
use parking_lot::Mutex;
use rowcast::event::{Place, Table, TableName};
use rowcast::filter::Dialect;
use rowcast::ingest::Ingest;
use rowcast::log::memory::MemoryLog;
use rowcast::log::{Log, Retention};
use rowcast::source::Source;
use rowcast::source::sqlite::{SqliteSettings, SqliteSource};
use rowcast::store::sqlite::SqliteStore;
use rowcast::store::{
    DeadLetter, DeadLetters, History, Insert, Inserted, Progress, Select, SeriesQuery, Snapshot, Store, StoreError,
    TableSpec, Write, Written,
};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::watch;

const SCHEMA: &str =
    "CREATE TABLE readings (id INTEGER PRIMARY KEY, time INTEGER, speed INTEGER CHECK (speed >= 0), name TEXT)";

/// The database, and what was done to it.
pub(crate) struct Scratch {
    folder: TempDir,
    store: SqliteStore,
    log: Arc<MemoryLog>,
    /// While set, an insert gets no other answer.
    error: Mutex<Option<fn() -> StoreError>>,
    batches: Mutex<Vec<usize>>,
    /// So many of the next inserts stand, but their answers are lost.
    lost_answers: AtomicU64,
    attempts: watch::Sender<u64>,
    stored: watch::Sender<u64>,
}

impl Scratch {
    /// With a log that hears of every change.
    pub(crate) async fn new() -> Arc<Self> {
        let scratch = Self::deaf().await;
        let mut source = scratch.source();
        let log = Arc::clone(&scratch.log);
        source.start(None).await.expect("started");
        tokio::spawn(async move {
            while let Ok(batch) = source.next().await {
                log.append(batch).await.expect("appended");
            }
        });
        scratch
    }

    /// With a log that hears of nothing.
    pub(crate) async fn deaf() -> Arc<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("scratch.db");
        Connection::open(&path).and_then(|made| made.execute_batch(SCHEMA)).expect("a table");
        let mut source = SqliteSource::new("main", &path, SqliteSettings::default());
        source.setup().await.expect("set up");
        let store = SqliteStore::open(&path, SqliteSettings::default()).expect("opened");
        Arc::new(Self {
            folder,
            store,
            log: Arc::new(MemoryLog::new(Retention::default())),
            error: Mutex::default(),
            batches: Mutex::default(),
            lost_answers: AtomicU64::new(0),
            attempts: watch::Sender::new(0),
            stored: watch::Sender::new(0),
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("scratch.db")
    }

    fn source(&self) -> SqliteSource {
        SqliteSource::new("main", self.path(), SqliteSettings::default())
    }

    pub(crate) fn ingest(self: &Arc<Self>) -> Ingest {
        Ingest::new(Arc::clone(self) as Arc<dyn Store>, Arc::clone(&self.log) as Arc<dyn Log>, "main")
    }

    pub(crate) fn log(&self) -> &MemoryLog {
        &self.log
    }

    pub(crate) fn fail_with(&self, error: Option<fn() -> StoreError>) {
        *self.error.lock() = error;
    }

    pub(crate) fn lose_answers(&self, count: u64) {
        self.lost_answers.store(count, SeqCst);
    }

    /// Another program's statements.
    pub(crate) fn sql(&self, sql: &str) {
        let other = Connection::open(self.path()).expect("opened");
        other.busy_timeout(std::time::Duration::from_secs(30)).expect("a timeout");
        other.execute_batch(sql).expect(sql);
    }

    /// Waits for that many attempts to write from now on.
    pub(crate) async fn attempts(&self, more: u64) {
        let mut attempts = self.attempts.subscribe();
        let from = *attempts.borrow_and_update();
        attempts.wait_for(|n| *n >= from + more).await.expect("the store lives");
    }

    /// Waits until so many rows were stored.
    pub(crate) async fn holds(&self, rows: u64) {
        self.stored.subscribe().wait_for(|n| *n >= rows).await.expect("the store lives");
    }

    /// The values of one column as text, in the order they were stored; `-` for NULL.
    pub(crate) fn column(&self, name: &str) -> Vec<String> {
        let connection = Connection::open(self.path()).expect("opened");
        let sql = format!("SELECT coalesce(cast({name} AS text), '-') FROM readings ORDER BY id");
        let mut rows = connection.prepare(&sql).expect("a query");
        rows.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("texts")
    }

    pub(crate) fn batches(&self) -> Vec<usize> {
        self.batches.lock().clone()
    }
}

#[async_trait]
impl Store for Scratch {
    fn dialect(&self) -> Dialect {
        self.store.dialect()
    }

    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        self.store.tables().await
    }

    async fn table(&self, name: &TableName) -> Result<Arc<Table>, StoreError> {
        self.store.table(name).await
    }

    async fn snapshot(&self, select: Select) -> Result<Snapshot, StoreError> {
        self.store.snapshot(select).await
    }

    fn reached(&self, log: Option<&Place>, snapshot: &Place) -> bool {
        self.store.reached(log, snapshot)
    }

    async fn insert(&self, insert: Insert) -> Result<Inserted, StoreError> {
        self.attempts.send_modify(|n| *n += 1);
        let error = *self.error.lock();
        if let Some(error) = error {
            return Err(error());
        }
        let rows = insert.rows.len();
        let inserted = self.store.insert(insert).await?;
        if self.lost_answers.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(StoreError::Unavailable("the connection broke after the commit".into()));
        }
        self.batches.lock().push(rows);
        self.stored.send_modify(|n| *n += inserted.count);
        Ok(inserted)
    }

    async fn write(&self, writes: Vec<Write>) -> Result<Written, StoreError> {
        self.store.write(writes).await
    }

    async fn series(&self, query: SeriesQuery) -> Result<History, StoreError> {
        self.store.series(query).await
    }

    async fn create(&self, tables: &[TableSpec]) -> Result<Vec<String>, StoreError> {
        self.store.create(tables).await
    }

    async fn add_columns(
        &self,
        table: &TableName,
        columns: &[rowcast::store::ColumnSpec],
    ) -> Result<Vec<String>, StoreError> {
        self.store.add_columns(table, columns).await
    }

    async fn progress(&self, source: &str) -> Result<Option<Progress>, StoreError> {
        self.store.progress(source).await
    }

    async fn dead_letters(&self, which: DeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.store.dead_letters(which).await
    }

    async fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.store.dead_letter_counts().await
    }

    async fn bury(&self, ids: &[u64]) -> Result<u64, StoreError> {
        self.store.bury(ids).await
    }
}
