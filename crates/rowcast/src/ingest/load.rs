//! A body of a known beginning and end into a table, by whoever has the database at hand: no gateway, no log.
//!
//! With a [`Source`] it goes in once, however often it is tried: the database remembers, in the same transaction as the rows,
//! how many of its records are done, and a second run passes over those.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::coerce::{Cells, Coerce, Extra};
use super::decode::{Decoder, Format, Record};
use super::pipe::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, Rejected};
use crate::event::{Table, TableName};
use crate::store::{Delivery, Insert, Inserted, NewDeadLetter, Origin, Store, StoreError};

/// How many rejected records are listed.
const LISTED_MAX: usize = 10;

/// How much of a record is kept that becomes a dead letter.
const RAW_BYTES: usize = 64 << 10;

/// How long a database that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whose records they are.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name under which the database remembers them, and under which dead letters are kept.
    pub name: Arc<str>,
    /// What tells this content from any other under the same name.
    pub life: Arc<str>,
}

/// What to load, and where.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where rows go.
    pub table: TableName,
    /// How the body is written. [`Format::Copy`] has the table's columns, in their order, unless it names its own.
    pub format: Format,
    /// The columns of a [`Format::Copy`] body, where they are others than the table's.
    pub columns: Vec<String>,
    /// Makes each record go in once, and keeps dead letters.
    pub source: Option<Source>,
}

/// What became of the records so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Records read.
    pub read: u64,
    /// Rows that stand now and did not before.
    pub stored: u64,
    /// Records that an earlier run has settled.
    pub before: u64,
    /// Records that were rejected now.
    pub rejected: u64,
    /// The first of them.
    pub listed: Vec<Rejected>,
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database does not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else loads the same content at the same time.
    #[error("another run loads the same content at the same time; wait until it has ended and run this again")]
    Twice,
}

/// A load under way.
pub struct Load {
    store: Arc<dyn Store>,
    table: Arc<Table>,
    coerce: Coerce,
    decoder: Decoder,
    source: Option<Source>,
    /// Records that the database has already.
    done: u64,
    waiting: Waiting,
    loaded: Loaded,
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Load").field("table", &self.table.name).field("loaded", &self.loaded).finish_non_exhaustive()
    }
}

/// What is written next.
#[derive(Default)]
struct Waiting {
    rows: Vec<Cells>,
    origins: Vec<Origin>,
    dead: Vec<NewDeadLetter>,
    bytes: usize,
}

impl Load {
    /// Looks at the table, and how far an earlier run has come.
    pub async fn begin(store: Arc<dyn Store>, plan: Plan) -> Result<Self, LoadError> {
        let table = store.table(&plan.table).await?;
        let done = match &plan.source {
            None => 0,
            Some(source) => match store.progress(&source.name).await? {
                Some(progress) if progress.life[..] == source.life[..] => progress.upto,
                _ => 0,
            },
        };
        let columns = match plan.columns.is_empty() {
            true => table.columns.iter().map(|column| column.name.to_string()).collect(),
            false => plan.columns,
        };
        let raw_bytes = if plan.source.is_some() { RAW_BYTES } else { 0 };
        let decoder = Decoder::new(plan.format, None).keep_raw(raw_bytes).columns(columns);
        let coerce = Coerce::new(Arc::clone(&table), store.dialect(), Extra::Refuse);
        let (waiting, loaded) = (Waiting::default(), Loaded::default());
        Ok(Self { store, table, coerce, decoder, source: plan.source, done, waiting, loaded })
    }

    /// What became of the records so far.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Takes the next bytes, and writes as soon as a batch is full.
    pub async fn feed(&mut self, chunk: &[u8]) -> Result<(), LoadError> {
        let mut records = Vec::new();
        self.decoder.feed(chunk, &mut records);
        self.take(records).await
    }

    /// Takes the end, and writes what is left.
    pub async fn finish(mut self) -> Result<Loaded, LoadError> {
        let mut records = Vec::new();
        self.decoder.finish(&mut records);
        self.take(records).await?;
        self.write().await?;
        Ok(self.loaded)
    }

    async fn take(&mut self, records: Vec<Record>) -> Result<(), LoadError> {
        for record in records {
            self.loaded.read += 1;
            if self.loaded.read <= self.done {
                self.loaded.before += 1;
                continue;
            }
            self.waiting.bytes += record.raw.len() + 64;
            self.sort(record);
            let full = self.waiting.rows.len() + self.waiting.dead.len() >= BATCH_ROWS_MAX;
            if full || self.waiting.bytes >= BATCH_BYTES_MAX {
                self.write().await?;
            }
        }
        Ok(())
    }

    /// A row, or a dead letter.
    fn sort(&mut self, record: Record) {
        let Record { line, raw, fields, .. } = record;
        let fitted = match fields {
            Ok(fields) => {
                self.waiting.bytes += fields.0.iter().map(|(name, _)| name.len() + 32).sum::<usize>();
                self.coerce.row(fields).map_err(|misfit| (misfit.column, misfit.reason))
            }
            Err(error) => Err((None, error.to_string())),
        };
        match fitted {
            Ok(cells) => {
                self.waiting.rows.push(cells);
                self.waiting.origins.push(Origin { line, raw: raw.into(), key: None });
            }
            Err((column, reason)) => {
                self.list(line, column.clone(), reason.clone());
                self.waiting.dead.push(NewDeadLetter { line, raw: raw.into(), column, reason });
            }
        }
    }

    fn list(&mut self, line: u64, column: Option<Box<str>>, reason: String) {
        self.loaded.rejected += 1;
        if self.loaded.listed.len() < LISTED_MAX {
            self.loaded.listed.push(Rejected { line, reason, column });
        }
    }

    async fn write(&mut self) -> Result<(), LoadError> {
        let Waiting { rows, origins, dead, .. } = std::mem::take(&mut self.waiting);
        if rows.is_empty() && (dead.is_empty() || self.source.is_none()) {
            return Ok(());
        }
        let lines: Vec<u64> = origins.iter().map(|origin| origin.line).collect();
        let after = self.done;
        let upto = after + (rows.len() + dead.len()) as u64;
        let mut insert = Insert::new(Arc::clone(&self.table), rows);
        insert.delivery = self.source.as_ref().map(|source| Delivery {
            source: Arc::clone(&source.name),
            life: Arc::clone(&source.life),
            after,
            upto,
            records: origins,
            dead,
        });
        let inserted = self.insert(insert, upto).await?;
        self.done = upto;
        let Some(inserted) = inserted else { return Ok(()) };
        self.loaded.stored += inserted.count;
        for (row, reason) in inserted.rejected {
            self.list(lines.get(row).copied().unwrap_or_default(), None, reason);
        }
        Ok(())
    }

    /// Inserts, again and again while the database is away. `None`: an attempt whose answer was lost had done it.
    async fn insert(&self, insert: Insert, upto: u64) -> Result<Option<Inserted>, LoadError> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(50);
        let mut tried = false;
        loop {
            match self.store.insert(insert.clone()).await {
                Ok(inserted) => return Ok(Some(inserted)),
                Err(StoreError::Moved { at }) => {
                    let ours = self
                        .source
                        .as_ref()
                        .zip(at.as_ref())
                        .is_some_and(|(source, at)| source.life[..] == at.life[..]);
                    let stands = tried && ours && at.is_some_and(|at| at.upto == upto);
                    return if stands { Ok(None) } else { Err(LoadError::Twice) };
                }
                Err(StoreError::Unavailable(_)) if begun.elapsed() + pause < PATIENCE => {
                    tried = true;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
