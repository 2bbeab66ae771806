//! The loop that takes records and writes batches, one at a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Ingest;
use super::batch::{Queue, Waiting, rebind};
use crate::event::{Place, Table, TableName};
use crate::ingest::coerce::{Coerce, Extra};
use crate::ingest::decode::Record;
use crate::store::{Insert, StoreError};

/// How long to try again while the database does not answer.
#[derive(Debug, Clone)]
pub(in crate::ingest) enum Patience {
    /// For so long from the first refusal.
    For(Duration),
    /// Until it answers, whatever it says; meanwhile the problem stands here for people.
    Forever(Problem),
}

/// What is wrong at the moment, in a sentence.
pub(in crate::ingest) type Problem = Arc<Mutex<Option<String>>>;

/// A row that was refused.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct Reject {
    pub(in crate::ingest) line: u64,
    pub(in crate::ingest) column: Option<Box<str>>,
    pub(in crate::ingest) reason: String,
    pub(in crate::ingest) raw: Box<str>,
}

/// Rows on their way into one table.
pub(in crate::ingest) struct Pipe {
    to: Ingest,
    extra: Extra,
    coerce: Coerce,
    patience: Patience,
    waiting: Queue,
    writing: Option<BoxFuture<'static, Result<Written, StoreError>>>,
    rejects: Vec<Reject>,
    place: Option<Place>,
}

/// What became of one batch.
struct Written {
    count: u64,
    place: Option<Place>,
    rejects: Vec<Reject>,
    /// The table as it was at last: altered, perhaps, since the batch was made.
    table: Arc<Table>,
}

impl Pipe {
    /// A pipe into a table.
    pub(in crate::ingest) async fn open(
        to: Ingest,
        table: &TableName,
        extra: Extra,
        patience: Patience,
    ) -> Result<Self, StoreError> {
        let mut tries = Tries::new(patience.clone());
        let table = loop {
            match to.store.table(table).await {
                Ok(table) => break table,
                Err(error) => tries.again(error).await?,
            }
        };
        tries.done();
        let coerce = Coerce::new(table, to.store.dialect(), extra);
        Ok(Self {
            to,
            extra,
            coerce,
            patience,
            waiting: Queue::default(),
            writing: None,
            rejects: Vec::new(),
            place: None,
        })
    }

    /// Writes everything that comes, and returns when all of it stands or was refused. After each step `told` hears how many
    /// rows were stored and which were refused.
    pub(in crate::ingest) async fn run(
        &mut self,
        records: impl Stream<Item = Vec<Record>>,
        mut told: impl FnMut(u64, Vec<Reject>),
    ) -> Result<(), StoreError> {
        let mut records = std::pin::pin!(records.fuse());
        let mut ended = false;
        loop {
            let mut stored = 0;
            tokio::select! {
                written = async { self.writing.as_mut().expect("a batch is under way").await }, if self.writing.is_some() => {
                    self.writing = None;
                    stored = self.settle(written?);
                }
                more = records.next(), if !ended && !self.waiting.is_full() => match more {
                    Some(more) => more.into_iter().for_each(|record| self.take(record)),
                    None => ended = true,
                },
            }
            told(stored, std::mem::take(&mut self.rejects));
            self.begin();
            if ended && self.writing.is_none() {
                return Ok(());
            }
        }
    }

    /// The database's place after the last batch that stands.
    pub(in crate::ingest) fn last_place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    fn take(&mut self, record: Record) {
        let Record { line, raw, fields } = record;
        let refused = match fields {
            Err(error) => (None, error.to_string()),
            Ok(fields) => match self.coerce.row(fields) {
                Ok(cells) => return self.waiting.push(Waiting { line, raw, cells }),
                Err(misfit) => (misfit.column, misfit.reason),
            },
        };
        self.rejects.push(Reject { line, raw, column: refused.0, reason: refused.1 });
    }

    /// Starts to write what waits, unless a batch is under way.
    fn begin(&mut self) {
        if self.writing.is_none() && !self.waiting.is_empty() {
            let batch = self.waiting.take_batch();
            let (to, table) = (self.to.clone(), Arc::clone(self.coerce.table()));
            self.writing = Some(Box::pin(write(to, table, batch, self.patience.clone())));
        }
    }

    fn settle(&mut self, written: Written) -> u64 {
        self.rejects.extend(written.rejects);
        self.place = written.place.or(self.place.take());
        if !Arc::ptr_eq(&written.table, self.coerce.table()) {
            let gone = self.waiting.rebind(self.coerce.table(), &written.table);
            self.rejects.extend(gone.into_iter().map(column_gone));
            self.coerce = Coerce::new(written.table, self.to.store.dialect(), self.extra);
        }
        written.count
    }
}

/// Writes one batch, again and again while that can help and patience lasts.
async fn write(
    to: Ingest,
    mut table: Arc<Table>,
    mut batch: Vec<Waiting>,
    patience: Patience,
) -> Result<Written, StoreError> {
    let begun = Instant::now();
    let mut tries = Tries::new(patience);
    let mut rejects = Vec::new();
    let inserted = loop {
        if batch.is_empty() {
            break None;
        }
        let rows = batch.iter().map(|row| row.cells.clone()).collect();
        match to.store.insert(Insert { table: Arc::clone(&table), rows }).await {
            Ok(inserted) => break Some(inserted),
            Err(error) => {
                let altered = matches!(error, StoreError::Altered(_));
                tries.again(error).await?;
                if altered && let Ok(now) = to.store.table(&table.name).await {
                    let (bound, gone) = rebind(batch, &table, &now);
                    rejects.extend(gone.into_iter().map(column_gone));
                    (batch, table) = (bound, now);
                }
            }
        }
    };
    tries.done();
    metrics::histogram!("rowcast_ingest_write_seconds").record(begun.elapsed().as_secs_f64());
    let Some(inserted) = inserted else { return Ok(Written { count: 0, place: None, rejects, table }) };
    rejects.extend(inserted.rejected.into_iter().filter_map(|(index, reason)| {
        let row = batch.get(index)?;
        Some(Reject { line: row.line, column: None, reason, raw: row.raw.clone() })
    }));
    Ok(Written { count: inserted.count, place: Some(inserted.place), rejects, table })
}

fn column_gone((row, column): (Waiting, Box<str>)) -> Reject {
    let reason = format!("{column}: the column was removed from the table meanwhile");
    Reject { line: row.line, column: Some(column), reason, raw: row.raw }
}

/// Attempts at one thing, with longer and longer pauses between them.
struct Tries {
    patience: Patience,
    since: Option<Instant>,
    pause: Duration,
}

const PAUSE_MAX: Duration = Duration::from_secs(1);

impl Tries {
    fn new(patience: Patience) -> Self {
        Self { patience, since: None, pause: Duration::from_millis(20) }
    }

    /// Waits before the next attempt, or gives the error back because another would not help or is too late.
    async fn again(&mut self, error: StoreError) -> Result<(), StoreError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        match &self.patience {
            Patience::Forever(problem) => {
                let message = error.to_string();
                let before = problem.lock().replace(message.clone());
                if before.as_ref() != Some(&message) {
                    tracing::warn!("the database takes no rows, which wait: {message}");
                }
            }
            Patience::For(limit) => {
                let may_help = matches!(error, StoreError::Unavailable(_) | StoreError::Altered(_));
                if !may_help || since.elapsed() + self.pause > *limit {
                    return Err(error);
                }
            }
        }
        metrics::counter!("rowcast_ingest_retries_total").increment(1);
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    fn done(&self) {
        if let (Patience::Forever(problem), Some(_)) = (&self.patience, self.since) {
            *problem.lock() = None;
            tracing::info!("the database takes rows again");
        }
    }
}
