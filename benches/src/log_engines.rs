//! The engines that `log` compares, each used as its documentation advises for a log.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use fjall::{Database as Fjall, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;
use redb::{Database as Redb, ReadableDatabase, ReadableTable, TableDefinition};
use rowcast::event::{
    Batch, Body, Change, Column, Op, Origin, Place, Position, Row, RowChange, Table, TableName, Value,
};
use rowcast::log::Log;
use rowcast::log::local::{Durability, LocalLog, LogSettings, Retention};
use rusqlite::Connection;
use tokio::sync::watch;

/// Events to append, for the log and as bytes.
pub(crate) struct Load {
    first: u64,
    batch: Batch,
    payloads: Vec<Vec<u8>>,
}

impl Load {
    /// `count` events of about 200 bytes from the offset `first` on.
    pub(crate) fn new(first: u64, count: u64) -> Self {
        let table = Arc::new(readings());
        let changes = (first..first + count).map(|n| change(&table, n, n + 1 == first + count)).collect();
        let after = (first > 1).then(|| place(first - 1));
        let origin = Some(Origin { source: "db".into(), after, place: place(first + count - 1) });
        let payloads = (first..first + count).map(|n| note(n, 200).into_bytes()).collect();
        Self { first, batch: Batch { origin, changes }, payloads }
    }

    fn last(&self) -> u64 {
        self.first + self.payloads.len() as u64 - 1
    }

    fn offsets(&self) -> impl Iterator<Item = (u64, &Vec<u8>)> {
        (self.first..).zip(&self.payloads)
    }
}

fn place(n: u64) -> Place {
    Place(n.to_string().into())
}

fn readings() -> Table {
    let column = |(name, declared): (&str, &str)| Column { name: name.into(), declared: declared.into() };
    let columns = [("id", "INTEGER"), ("device", "TEXT"), ("time", "INTEGER"), ("speed", "REAL"), ("note", "TEXT")];
    Table { name: TableName::bare("readings"), columns: columns.map(column).into(), key: vec![0] }
}

fn change(table: &Arc<Table>, n: u64, last: bool) -> Change {
    let time_ms = 1_763_678_422_123 + n;
    let values = vec![
        Value::Int(n.cast_signed()),
        Value::Text(format!("device-{:08}", n % 1_000).into()),
        Value::Int(time_ms.cast_signed()),
        Value::Real(n as f64 * 0.1),
        Value::Text(note(n, 156).into()),
    ];
    let row = RowChange { table: Arc::clone(table), op: Op::Insert, old: None, new: Some(Row::from(values)) };
    Change { tx: n / 1_000, last, time_ms, body: Body::Row(row) }
}

/// A text of this length that is not the same in every event.
fn note(n: u64, length: usize) -> String {
    format!("{n:020} {}", "what was seen on the road ".repeat(10))[..length].to_owned()
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Segments(Durability),
    /// `synchronous` is NORMAL or FULL.
    Sqlite(Durability),
    /// Without a sync a commit of redb does not survive the process either.
    Redb(Durability),
    Fjall(Durability),
}

impl Kind {
    pub(crate) const ALL: [Kind; 8] = {
        use Durability::{Machine, Process};
        [
            Kind::Segments(Process),
            Kind::Sqlite(Process),
            Kind::Redb(Process),
            Kind::Fjall(Process),
            Kind::Segments(Machine),
            Kind::Sqlite(Machine),
            Kind::Redb(Machine),
            Kind::Fjall(Machine),
        ]
    };

    pub(crate) fn survives_machine(self) -> bool {
        let (Kind::Segments(it) | Kind::Sqlite(it) | Kind::Redb(it) | Kind::Fjall(it)) = self;
        it == Durability::Machine
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Segments(_) => "segment files (ours)",
            Kind::Sqlite(Durability::Process) => "SQLite, WAL, NORMAL",
            Kind::Sqlite(Durability::Machine) => "SQLite, WAL, FULL",
            Kind::Redb(Durability::Process) => "redb, Durability::None (lost by kill -9)",
            Kind::Redb(Durability::Machine) => "redb, Durability::Immediate",
            Kind::Fjall(Durability::Process) => "fjall, Buffer",
            Kind::Fjall(Durability::Machine) => "fjall, SyncData",
        }
    }

    pub(crate) fn open(self, dir: &Path) -> anyhow::Result<Box<dyn Engine>> {
        Ok(match self {
            Kind::Segments(durability) => Box::new(open_segments(dir, durability)?),
            Kind::Sqlite(durability) => Box::new(Sqlite::open(dir, durability)?),
            Kind::Redb(durability) => Box::new(RedbLog { database: Redb::create(dir.join("log.redb"))?, durability }),
            Kind::Fjall(durability) => Box::new(FjallLog::open(dir, durability)?),
        })
    }
}

/// What a log needs of an engine.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// All of it and the source's place, or nothing.
    async fn append(&self, load: Load) -> anyhow::Result<()>;

    /// Reads at most `max` events after `after`. Returns how many there were.
    async fn read(&self, after: u64, max: usize) -> anyhow::Result<u64>;

    /// The last offset.
    fn head(&self) -> anyhow::Result<u64>;

    /// What wakes a reader, where the engine has it.
    fn watch(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// Whether an append wakes readers by itself.
    fn announces(&self) -> bool {
        false
    }
}

fn open_segments(dir: &Path, durability: Durability) -> anyhow::Result<LocalLog> {
    let retain = Retention { age: None, events: None, bytes: None };
    Ok(LocalLog::open(dir, LogSettings { durability, retain, ..LogSettings::default() })?)
}

#[async_trait]
impl Engine for LocalLog {
    async fn append(&self, load: Load) -> anyhow::Result<()> {
        Log::append(self, load.batch).await?;
        Ok(())
    }

    async fn read(&self, after: u64, max: usize) -> anyhow::Result<u64> {
        let after = Position::new(Log::head(self).epoch.0, after);
        Ok(Log::read(self, after, max, usize::MAX).await?.len() as u64)
    }

    fn head(&self) -> anyhow::Result<u64> {
        Ok(Log::head(self).offset.0)
    }

    fn watch(&self) -> Option<watch::Receiver<u64>> {
        Some(Log::watch(self))
    }

    fn announces(&self) -> bool {
        true
    }
}

struct Sqlite {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl Sqlite {
    fn open(dir: &Path, durability: Durability) -> anyhow::Result<Self> {
        let connect = || Connection::open(dir.join("log.db"));
        let writer = connect()?;
        let synchronous = if durability == Durability::Machine { "FULL" } else { "NORMAL" };
        writer.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};
             CREATE TABLE IF NOT EXISTS events (offset INTEGER PRIMARY KEY, payload BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS places (source TEXT PRIMARY KEY, place TEXT NOT NULL) WITHOUT ROWID;"
        ))?;
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(connect()?) })
    }
}

#[async_trait]
impl Engine for Sqlite {
    async fn append(&self, load: Load) -> anyhow::Result<()> {
        let mut writer = self.writer.lock();
        let transaction = writer.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO events VALUES (?1, ?2)")?;
            for (offset, payload) in load.offsets() {
                insert.execute((offset.cast_signed(), payload))?;
            }
            let mut place = transaction.prepare_cached("REPLACE INTO places VALUES ('db', ?1)")?;
            place.execute([load.last().to_string()])?;
        }
        Ok(transaction.commit()?)
    }

    async fn read(&self, after: u64, max: usize) -> anyhow::Result<u64> {
        let reader = self.reader.lock();
        let select = "SELECT offset, payload FROM events WHERE offset > ?1 ORDER BY offset LIMIT ?2";
        let mut select = reader.prepare_cached(select)?;
        let rows = select.query_map((after.cast_signed(), max.cast_signed()), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let events: Vec<(i64, Vec<u8>)> = rows.collect::<Result<_, _>>()?;
        Ok(events.len() as u64)
    }

    fn head(&self) -> anyhow::Result<u64> {
        let reader = self.reader.lock();
        let head: i64 = reader.query_row("SELECT coalesce(max(offset), 0) FROM events", [], |row| row.get(0))?;
        Ok(head.cast_unsigned())
    }
}

struct RedbLog {
    database: Redb,
    durability: Durability,
}

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const PLACES: TableDefinition<'_, &str, &str> = TableDefinition::new("places");

#[async_trait]
impl Engine for RedbLog {
    async fn append(&self, load: Load) -> anyhow::Result<()> {
        let mut transaction = self.database.begin_write()?;
        if self.durability == Durability::Process {
            transaction.set_durability(redb::Durability::None)?;
        }
        {
            let mut events = transaction.open_table(EVENTS)?;
            for (offset, payload) in load.offsets() {
                events.insert(offset, payload.as_slice())?;
            }
            transaction.open_table(PLACES)?.insert("db", load.last().to_string().as_str())?;
        }
        Ok(transaction.commit()?)
    }

    async fn read(&self, after: u64, max: usize) -> anyhow::Result<u64> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(EVENTS)?;
        let mut events = Vec::new();
        for entry in table.range(after + 1..)?.take(max) {
            let (offset, payload) = entry?;
            events.push((offset.value(), payload.value().to_vec()));
        }
        Ok(events.len() as u64)
    }

    fn head(&self) -> anyhow::Result<u64> {
        let transaction = self.database.begin_read()?;
        Ok(transaction.open_table(EVENTS)?.last()?.map_or(0, |(offset, _)| offset.value()))
    }
}

struct FjallLog {
    database: Fjall,
    events: Keyspace,
    places: Keyspace,
    mode: PersistMode,
}

impl FjallLog {
    fn open(dir: &Path, durability: Durability) -> anyhow::Result<Self> {
        let database = Fjall::builder(dir.join("log.fjall")).open()?;
        let events = database.keyspace("events", KeyspaceCreateOptions::default)?;
        let places = database.keyspace("places", KeyspaceCreateOptions::default)?;
        let mode = if durability == Durability::Machine { PersistMode::SyncData } else { PersistMode::Buffer };
        Ok(Self { database, events, places, mode })
    }
}

#[async_trait]
impl Engine for FjallLog {
    async fn append(&self, load: Load) -> anyhow::Result<()> {
        let mut batch = self.database.batch().durability(Some(self.mode));
        for (offset, payload) in load.offsets() {
            batch.insert(&self.events, offset.to_be_bytes(), payload.as_slice());
        }
        batch.insert(&self.places, "db", load.last().to_string());
        Ok(batch.commit()?)
    }

    async fn read(&self, after: u64, max: usize) -> anyhow::Result<u64> {
        let mut events = Vec::new();
        for entry in self.events.range((after + 1).to_be_bytes()..).take(max) {
            let (offset, payload) = entry.into_inner()?;
            events.push((offset.to_vec(), payload.to_vec()));
        }
        Ok(events.len() as u64)
    }

    fn head(&self) -> anyhow::Result<u64> {
        let Some(last) = self.events.last_key_value() else { return Ok(0) };
        let (offset, _) = last.into_inner()?;
        Ok(u64::from_be_bytes(offset.as_ref().try_into()?))
    }
}
