//! MySQL and MariaDB as a store: snapshots at an exact place of the binlog, charts and inserts, over a few connections.

mod create;
mod delivery;
mod insert;
mod keys;
mod lock;
mod moment;
mod own;
mod pool;
mod refused;
mod select;
mod series;
mod value;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use self::keys::Keys;
use self::own::Own;
use self::pool::{Pool, within};
use super::{
    ColumnSpec, Conflict, DeadLetter, DeadLetters, Delivery, History, Insert, Inserted, NewDeadLetter, Progress,
    Select, Series, SeriesQuery, Snapshot, Store, StoreError, TableSpec, Write, Written,
};
use crate::event::{Place, Table, TableName};
use crate::filter::Dialect;
use crate::mysql::catalog::{self, Described};
use crate::mysql::{Address, Capture, Kind, Live, Mode, MysqlSettings, Server as About};

/// How long a table is taken to be as it was. A statement that finds it otherwise says so, and it is looked at again.
const FRESH: Duration = Duration::from_secs(1);

/// A database of a MySQL or MariaDB server to write rows to and to read them from.
///
/// Positions are those of the [`MysqlSource`](crate::source::mysql::MysqlSource) that shares its [`Live`].
#[derive(Debug)]
pub struct MysqlStore {
    server: Arc<Server>,
}

/// What all questions share.
#[derive(Debug)]
struct Server {
    pool: Arc<Pool>,
    database: Box<str>,
    settings: MysqlSettings,
    live: Arc<Live>,
    about: OnceCell<About>,
    /// The server's `max_allowed_packet`.
    packet: OnceCell<usize>,
    known: Mutex<Option<Known>>,
    keys: Keys,
    own: Own,
    /// When old keys of records were last forgotten.
    pruned: Mutex<Instant>,
    /// Held by who locks tables: one at a time is enough.
    locker: tokio::sync::Mutex<()>,
}

/// The tables as they were then.
#[derive(Debug, Clone)]
struct Known {
    since: Instant,
    tables: Arc<[Arc<Described>]>,
}

impl MysqlStore {
    /// A store that connects when it is first asked: the server may be away for the moment.
    pub fn open(address: Address, settings: MysqlSettings, live: Arc<Live>) -> Self {
        let database = address.database().into();
        let pool = Arc::new(Pool::new(address, settings.connections));
        let server = Server {
            pool,
            database,
            settings,
            live,
            about: OnceCell::new(),
            packet: OnceCell::new(),
            known: Mutex::default(),
            keys: Keys::default(),
            own: Own::default(),
            pruned: Mutex::new(Instant::now()),
            locker: tokio::sync::Mutex::default(),
        };
        Self { server: Arc::new(server) }
    }
}

impl Server {
    /// How changes are captured, or will be.
    fn mode(&self) -> Mode {
        let wished = match self.settings.capture {
            Capture::Outbox => Mode::Outbox,
            Capture::Auto | Capture::Binlog => Mode::Binlog,
        };
        self.live.mode().unwrap_or(wished)
    }

    /// Which server it is: another one never has the same URL while we run, but for its version.
    async fn about(&self) -> Result<&About, StoreError> {
        self.about
            .get_or_try_init(|| async {
                let mut lent = self.pool.for_a_moment().await?;
                let about = within(About::of(&mut lent)).await?;
                lent.back();
                Ok(about)
            })
            .await
    }

    /// How many bytes the server takes at once.
    async fn packet(&self, conn: &mut mysql_async::Conn) -> Result<usize, StoreError> {
        if let Some(packet) = self.packet.get() {
            return Ok(*packet);
        }
        let packet: Option<usize> = within(conn.query_first("SELECT @@max_allowed_packet")).await?;
        Ok(*self.packet.get_or_init(|| async { packet.unwrap_or(1 << 20) }).await)
    }

    async fn tables(&self) -> Result<Arc<[Arc<Described>]>, StoreError> {
        let since = Instant::now();
        let mut lent = self.pool.for_a_moment().await?;
        let mut tables = within(catalog::describe(&mut lent)).await?;
        lent.back();
        tables.retain(|described| self.settings.knows(&described.table.name));
        let tables: Arc<[Arc<Described>]> = tables.into();
        *self.known.lock() = Some(Known { since, tables: tables.clone() });
        Ok(tables)
    }

    async fn table(&self, name: &TableName) -> Result<Arc<Described>, StoreError> {
        let known = self.known.lock().clone().filter(|known| known.since.elapsed() < FRESH);
        let tables = match known {
            Some(known) => known.tables,
            None => self.tables().await?,
        };
        catalog::find(&tables, &self.database, name).ok_or_else(|| StoreError::UnknownTable(name.clone()))
    }

    /// The table as it was when it was last looked at, if that is as the question has it.
    async fn same(&self, asked: &Table) -> Result<Arc<Described>, StoreError> {
        match self.table(&asked.name).await {
            Ok(described) if *described.table == *asked => Ok(described),
            Ok(_) | Err(StoreError::UnknownTable(_)) => Err(self.altered(&asked.name)),
            Err(error) => Err(error),
        }
    }

    /// The table is not as it was: nothing that is remembered counts any more.
    fn altered(&self, table: &TableName) -> StoreError {
        *self.known.lock() = None;
        self.keys.forget();
        StoreError::Altered(table.clone())
    }

    /// What a statement's error means, and that nothing is remembered that caused it.
    fn refused_on(&self, table: &TableName, error: mysql_async::Error) -> StoreError {
        if refused::is_altered(&error) { self.altered(table) } else { refused::refused(error) }
    }
}

/// A name in backticks, whatever is in it.
fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The type of each column.
fn kinds(table: &Table) -> Box<[Kind]> {
    table.columns.iter().map(|column| Kind::of(&column.declared)).collect()
}

#[async_trait]
impl Store for MysqlStore {
    fn dialect(&self) -> Dialect {
        Dialect::Mysql
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

    async fn create(&self, tables: &[TableSpec]) -> Result<Vec<String>, StoreError> {
        create::create(&self.server, tables).await
    }

    async fn add_columns(&self, table: &TableName, columns: &[ColumnSpec]) -> Result<Vec<String>, StoreError> {
        create::add_columns(&self.server, table, columns).await
    }

    async fn progress(&self, source: &str) -> Result<Option<Progress>, StoreError> {
        self.server.progress(source).await
    }

    async fn dead_letters(&self, which: DeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.server.dead_letters(which).await
    }

    async fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.server.dead_letter_counts().await
    }

    async fn bury(&self, ids: &[u64]) -> Result<u64, StoreError> {
        self.server.bury(ids).await
    }
}
