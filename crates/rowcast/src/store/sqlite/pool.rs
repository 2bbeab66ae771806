//! A few reading connections, each used by one question at a time, on threads that may block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{StoreError, refused};
use crate::sqlite::SqliteSettings;
use crate::sqlite::catalog::{self, Catalog};
use crate::sqlite::file::{DatabaseFile, Outcome};
use crate::sqlite::moments::Moments;
use crate::sqlite::outbox::{self, OutboxPlace};

/// How many of SQLite's steps are taken between two looks whether anybody still waits.
const STEPS: i32 = 10_000;

/// The connections.
#[derive(Debug)]
pub(crate) struct Pool {
    file: DatabaseFile,
    pub(crate) settings: SqliteSettings,
    idle: Mutex<Vec<Connection>>,
    /// Who gets none waits for one.
    permits: Arc<Semaphore>,
    /// What the reader of the outbox must know of snapshots.
    moments: Arc<Moments>,
    /// The catalog as of a version of the schema.
    catalog: Mutex<Option<(i64, Arc<Catalog>)>>,
}

impl Pool {
    pub(crate) fn new(file: DatabaseFile, settings: SqliteSettings) -> Self {
        let permits = Arc::new(Semaphore::new(settings.readers.max(1)));
        let moments = Moments::of(file.path());
        Self { file, settings, idle: Mutex::default(), permits, moments, catalog: Mutex::default() }
    }

    /// Runs `work` in a read transaction. It is interrupted when nobody waits for it any more.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self, &Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let waited_for = Waited::default();
        let abandoned = waited_for.0.clone();
        let stop = move || abandoned.load(Ordering::Relaxed);
        self.run(stop, work)
            .await
            .unwrap_or_else(|| Err(StoreError::Unavailable("a reading thread has ended".to_owned())))
    }

    /// As [`read`](Self::read), interrupted when `stop` says so. `None` when `work` has panicked.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        stop: impl FnMut() -> bool + Send + 'static,
        work: impl FnOnce(&Self, &Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<Result<T, StoreError>> {
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        let pool = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let outcome = pool.in_transaction(stop, work);
            drop(permit);
            outcome
        });
        done.await.ok()
    }

    fn in_transaction<T>(
        &self,
        stop: impl FnMut() -> bool + Send + 'static,
        work: impl FnOnce(&Self, &Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection()?;
        connection.execute_batch("BEGIN").map_err(refused)?;
        connection.progress_handler(STEPS, Some(stop)).map_err(refused)?;
        let outcome = work(self, &connection);
        connection.progress_handler(0, None::<fn() -> bool>).map_err(refused)?;
        // A connection that cannot end its transaction is not used again.
        if connection.execute_batch("ROLLBACK").is_ok() {
            self.idle.lock().push(connection);
        }
        outcome
    }

    fn connection(&self) -> Outcome<Connection> {
        if let Some(connection) = self.idle.lock().pop() {
            return Ok(connection);
        }
        let connection = self.file.connect(self.settings.busy_timeout)?;
        connection.execute_batch("PRAGMA query_only=ON; PRAGMA cache_size=-8192")?;
        Ok(connection)
    }

    /// Begins a snapshot: how far the outbox goes for the rest of the connection's transaction, which has read nothing yet.
    pub(crate) fn begin_snapshot(&self, connection: &Connection) -> Result<OutboxPlace, StoreError> {
        self.moments.begin(|| place(connection), |place| place.seq)
    }

    /// The catalog as the connection's transaction sees it.
    pub(crate) fn catalog(&self, connection: &Connection) -> Result<Arc<Catalog>, StoreError> {
        let version = catalog::schema_version(connection).map_err(refused)?;
        if let Some((known, catalog)) = &*self.catalog.lock()
            && *known == version
        {
            return Ok(catalog.clone());
        }
        let catalog = Arc::new(catalog::read_all(connection, &self.settings).map_err(refused)?);
        *self.catalog.lock() = Some((version, catalog.clone()));
        Ok(catalog)
    }
}

/// How far the outbox goes, as the connection's transaction sees it.
pub(crate) fn place(connection: &Connection) -> Result<OutboxPlace, StoreError> {
    let id = outbox::id(connection).map_err(refused)?.ok_or_else(|| {
        StoreError::Unavailable("capture is not set up in this SQLite database; run `rowcast setup` first".to_owned())
    })?;
    Ok(OutboxPlace::new(&id, outbox::last_seq(connection).map_err(refused)?))
}

/// Tells the thread when the future that waits for it is dropped.
#[derive(Default)]
struct Waited(Arc<AtomicBool>);

impl Drop for Waited {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
