//! SQLite as a store: snapshots and charts from a few reading connections, inserts through one writing thread.

mod create;
mod delivery;
mod insert;
mod letters;
mod pool;
mod select;
mod series;
mod statement;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use self::insert::{Job, Reply};
use self::pool::Pool;
use super::{
    ColumnSpec, DeadLetter, DeadLetters, History, Insert, Inserted, Progress, Select, Series, SeriesQuery, Snapshot,
    Store, StoreError, TableSpec, Write, Written,
};
use crate::event::{Place, Table, TableName};
use crate::filter::Dialect;
pub use crate::sqlite::SqliteSettings;
use crate::sqlite::catalog::{Catalog, Described};
use crate::sqlite::file::{DatabaseFile, Failure, is_busy};
use crate::sqlite::outbox::{self, OutboxPlace};

/// How many inserts wait for the writing thread; more of them wait at the caller.
const INSERTS_WAITING: usize = 256;

/// How long a new table may take to be captured.
const CAPTURED_WITHIN: Duration = Duration::from_secs(1);

/// A SQLite database file to write rows to and to read them from.
///
/// Positions are those of the outbox that a [`SqliteSource`](crate::source::sqlite::SqliteSource) has set up in the same
/// file; without it there is nothing to say where a snapshot stands.
#[derive(Debug)]
pub struct SqliteStore {
    pool: Arc<Pool>,
    jobs: mpsc::Sender<Job>,
}

impl SqliteStore {
    /// Opens (and, if the settings allow it, makes) the database file at `path`. Blocks for as long as that takes.
    pub fn open(path: impl AsRef<Path>, settings: SqliteSettings) -> Result<Self, StoreError> {
        let (file, writer) = DatabaseFile::open(path.as_ref(), &settings)?;
        let jobs = insert::start(file.clone(), writer, settings.clone())?;
        Ok(Self { pool: Arc::new(Pool::new(file, settings)), jobs })
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let ended = || StoreError::Unavailable("the thread that writes to the SQLite database has ended".to_owned());
        self.jobs.send(job(reply)).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Waits until a source that reads the database has put its triggers on new tables. Where none does, but for a moment.
    async fn captured(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        while began.elapsed() < CAPTURED_WITHIN {
            let look = |_: &Pool, connection: &rusqlite::Connection| {
                let is_watched = outbox::id(connection).map_err(refused)?.is_some();
                Ok(!is_watched || outbox::is_current(connection).map_err(refused)?)
            };
            if self.pool.read(look).await? {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        if failure.retry { Self::Unavailable(failure.message) } else { Self::Refused(failure.message) }
    }
}

/// What a statement's error means to who asked.
fn refused(error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{CannotOpen, DiskFull, OperationInterrupted, OutOfMemory, SystemIoFailure};
    match error.sqlite_error_code() {
        _ if is_busy(&error) => Failure::from(error).into(),
        Some(DiskFull | SystemIoFailure | CannotOpen | OutOfMemory) => Failure::from(error).into(),
        Some(OperationInterrupted) => StoreError::Unavailable("nobody waits for the answer any more".to_owned()),
        _ => StoreError::Refused(error.to_string()),
    }
}

/// The table of this name, which may say that it is in `main`.
fn find(catalog: &Catalog, name: &TableName) -> Result<Arc<Described>, StoreError> {
    let here = name.schema.is_empty() || name.schema.eq_ignore_ascii_case("main");
    let found = here.then(|| catalog.get(&name.name.to_ascii_lowercase())).flatten();
    found.cloned().ok_or_else(|| StoreError::UnknownTable(name.clone()))
}

/// The table as it is now, if it is still what it was when the question was asked.
fn find_same(catalog: &Catalog, asked: &Table) -> Result<Arc<Described>, StoreError> {
    match find(catalog, &asked.name) {
        Ok(described) if *described.table == *asked => Ok(described),
        _ => Err(StoreError::Altered(asked.name.clone())),
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        let catalog = self.pool.read(Pool::catalog).await?;
        Ok(catalog.values().map(|described| described.table.clone()).collect())
    }

    async fn table(&self, name: &TableName) -> Result<Arc<Table>, StoreError> {
        let catalog = self.pool.read(Pool::catalog).await?;
        find(&catalog, name).map(|described| described.table.clone())
    }

    async fn snapshot(&self, select: Select) -> Result<Snapshot, StoreError> {
        select::snapshot(&self.pool, select).await
    }

    fn reached(&self, log: Option<&Place>, snapshot: &Place) -> bool {
        let place = |place: &Place| OutboxPlace::of(place).map(|place| (place.id, place.seq));
        match (log.and_then(place), place(snapshot)) {
            // An outbox that was made later has a greater id.
            (Some(log), Some(snapshot)) => log >= snapshot,
            _ => false,
        }
    }

    async fn insert(&self, insert: Insert) -> Result<Inserted, StoreError> {
        self.ask(|reply| Job::Insert(insert, reply)).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<Written, StoreError> {
        crate::store::write::check(&writes)?;
        self.ask(|reply| Job::Write(writes, reply)).await
    }

    async fn series(&self, query: SeriesQuery) -> Result<History, StoreError> {
        self.pool.read(move |pool, connection| series::series(pool, connection, &query)).await
    }

    async fn create(&self, tables: &[TableSpec]) -> Result<Vec<String>, StoreError> {
        let made = self.ask(|reply| Job::Create(tables.to_vec(), reply)).await?;
        if !made.is_empty() {
            self.captured().await?;
        }
        Ok(made)
    }

    async fn add_columns(&self, table: &TableName, columns: &[ColumnSpec]) -> Result<Vec<String>, StoreError> {
        let added = self.ask(|reply| Job::AddColumns(table.clone(), columns.to_vec(), reply)).await?;
        if !added.is_empty() {
            self.captured().await?;
        }
        Ok(added)
    }

    async fn progress(&self, source: &str) -> Result<Option<Progress>, StoreError> {
        let source = source.to_owned();
        self.pool.read(move |_, connection| letters::progress(connection, &source)).await
    }

    async fn dead_letters(&self, which: DeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.pool.read(move |_, connection| letters::read(connection, &which).map_err(refused)).await
    }

    async fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.pool.read(|_, connection| letters::counts(connection).map_err(refused)).await
    }

    async fn bury(&self, ids: &[u64]) -> Result<u64, StoreError> {
        self.ask(|reply| Job::Bury(ids.to_vec(), reply)).await
    }
}
