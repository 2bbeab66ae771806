//! PostgreSQL as a store: snapshots at an exact moment, charts and inserts, over a few connections.
//!
//! Every statement names tables with their schema and is prepared for one use, so that a pooler may stand in between.

mod create;
mod insert;
mod letters;
mod literal;
mod moment;
mod policies;
mod pool;
mod refused;
mod select;
mod series;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;

use self::pool::Pool;
use super::{
    AsRole, ColumnSpec, DeadLetter, DeadLetters, History, Insert, Inserted, Policies, Progress, Select, Series,
    SeriesGroup, SeriesQuery, Sight, Snapshot, Store, StoreError, TableSpec, Write, Written,
};
use crate::event::{Place, Table, TableName};
use crate::filter::Dialect;
use crate::postgres::catalog::{self, Described};
use crate::postgres::{Address, Live, Mode, PostgresSettings, Types};

/// How long a table is taken to be as it was. A statement that finds it otherwise says so, and it is looked at again.
const FRESH: Duration = Duration::from_secs(1);
/// Names that are remembered.
const NAMES_MAX: usize = 10_000;

/// A database of a PostgreSQL server to write rows to and to read them from.
///
/// Positions are those of the [`PostgresSource`](crate::source::postgres::PostgresSource) that shares its [`Live`].
#[derive(Debug)]
pub struct PostgresStore {
    server: Arc<Server>,
}

/// What all questions share.
#[derive(Debug)]
struct Server {
    pool: Arc<Pool>,
    settings: PostgresSettings,
    live: Arc<Live>,
    types: Types,
    known: Mutex<HashMap<TableName, (Instant, Arc<Described>)>>,
    /// When old keys of records were looked for.
    pruned: Mutex<Instant>,
}

impl PostgresStore {
    /// A store that connects when it is first asked: the server may be away for the moment.
    pub fn open(address: Address, settings: PostgresSettings, live: Arc<Live>) -> Self {
        let pool = Arc::new(Pool::new(address, &settings.instance, settings.connections));
        let pruned = Mutex::new(Instant::now());
        let server = Server { pool, settings, live, types: Types::new(), known: Mutex::default(), pruned };
        Self { server: Arc::new(server) }
    }
}

impl Server {
    /// How changes are captured, or will be.
    fn mode(&self) -> Mode {
        let wished = match self.settings.capture {
            crate::postgres::Capture::Outbox => Mode::Outbox,
            _ => Mode::Wal,
        };
        self.live.mode().unwrap_or(wished)
    }

    async fn tables(&self) -> Result<Vec<Arc<Described>>, StoreError> {
        let client = self.pool.shared().await?;
        let mut tables = self.pool.answer(&client, catalog::tables(&client, &self.types)).await?;
        tables.retain(|described| self.settings.knows(&described.table.name));
        let now = Instant::now();
        let mut known = self.known.lock();
        known.clear();
        known.extend(tables.iter().map(|described| (described.table.name.clone(), (now, described.clone()))));
        Ok(tables)
    }

    async fn table(&self, name: &TableName) -> Result<Arc<Described>, StoreError> {
        if let Some((since, described)) = self.known.lock().get(name)
            && since.elapsed() < FRESH
        {
            return Ok(described.clone());
        }
        let client = self.pool.shared().await?;
        let found = self.pool.answer(&client, catalog::find(&client, &self.types, name)).await?;
        let wanted = found.filter(|described| self.settings.knows(&described.table.name));
        let described = wanted.ok_or_else(|| StoreError::UnknownTable(name.clone()))?;
        let mut known = self.known.lock();
        if known.len() >= NAMES_MAX {
            known.clear();
        }
        known.insert(name.clone(), (Instant::now(), described.clone()));
        Ok(described)
    }

    /// The table is not as it was: nothing that is remembered counts any more.
    fn altered(&self, table: &TableName) -> StoreError {
        self.known.lock().clear();
        self.types.forget_all();
        StoreError::Altered(table.clone())
    }

    /// What a statement's error means, and that nothing is remembered that caused it.
    fn refused_on(&self, table: &TableName, error: tokio_postgres::Error) -> StoreError {
        if refused::is_altered(&error) { self.altered(table) } else { refused::refused(error) }
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        Ok(self.server.tables().await?.iter().map(|described| described.table.clone()).collect())
    }

    async fn table(&self, name: &TableName) -> Result<Arc<Table>, StoreError> {
        self.server.table(name).await.map(|described| described.table.clone())
    }

    async fn snapshot(&self, select: Select) -> Result<Snapshot, StoreError> {
        select::snapshot(&self.server, select).await
    }

    fn reached(&self, log: Option<&Place>, snapshot: &Place) -> bool {
        log.is_some_and(|log| moment::reached(log, snapshot))
    }

    async fn insert(&self, insert: Insert) -> Result<Inserted, StoreError> {
        insert::insert(&self.server, insert).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<Written, StoreError> {
        write::write(&self.server, writes).await
    }

    async fn series(&self, query: SeriesQuery) -> Result<History, StoreError> {
        series::series(&self.server, query).await
    }

    async fn policies(&self, table: &Table, role: &AsRole) -> Result<Policies, StoreError> {
        self.server.policies(table, role).await
    }

    async fn sees(&self, sight: &Sight) -> Result<Option<Vec<bool>>, StoreError> {
        self.server.sees(sight).await
    }

    async fn create(&self, tables: &[TableSpec]) -> Result<Vec<String>, StoreError> {
        self.server.create(tables).await
    }

    async fn add_columns(&self, table: &TableName, columns: &[ColumnSpec]) -> Result<Vec<String>, StoreError> {
        self.server.add_columns(table, columns).await
    }

    async fn progress(&self, source: &str) -> Result<Option<Progress>, StoreError> {
        self.server.ask_own(async |client| letters::progress(client, source).await).await
    }

    async fn dead_letters(&self, which: DeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.server.ask_own(async |client| letters::read(client, &which).await).await
    }

    async fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.server.ask_own(letters::counts).await
    }

    async fn bury(&self, ids: &[u64]) -> Result<u64, StoreError> {
        self.server.ask_own(async |client| letters::bury(client, ids).await).await
    }
}
