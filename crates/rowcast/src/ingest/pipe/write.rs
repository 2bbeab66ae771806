//! The loop that takes the records of one body and writes batches, one at a time.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use super::Ingest;
use super::batch::{Queue, Waiting, rebind};
use super::prepare::{Keying, Prepare};
use super::tries::{Patience, Tries};
use crate::event::{Place, Table, TableName};
use crate::ingest::coerce::Extra;
use crate::ingest::decode::Record;
use crate::ingest::guard::Guard;
use crate::ingest::once::RecordKey;
use crate::ingest::shape::Shape;
use crate::store::{Delivery, Insert, Inserted, NewDeadLetter, Origin, StoreError};

/// A row that was refused.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct Reject {
    pub(in crate::ingest) line: u64,
    pub(in crate::ingest) column: Option<Box<str>>,
    pub(in crate::ingest) reason: String,
    pub(in crate::ingest) raw: Arc<str>,
}

impl Reject {
    pub(in crate::ingest) fn letter(&self) -> NewDeadLetter {
        let Self { line, column, reason, raw } = self.clone();
        NewDeadLetter { line, raw, column, reason }
    }
}

/// What is asked for a body beside its rows being stored.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    /// The name of the body: it may come again, and its records are stored once.
    pub(super) key: Option<Arc<str>>,
    /// Whether refused records are kept in the database.
    pub(super) dead_letters: bool,
    /// What to do with names that are no column's.
    pub(super) extra: Extra,
    /// What the rows have to satisfy.
    pub(super) guard: Option<Guard>,
}

/// Whose records those of bodies are.
pub(super) const PUSHED: &str = "http";

/// Rows on their way into one table.
pub(in crate::ingest) struct Pipe {
    to: Ingest,
    wish: Wish,
    prepare: Prepare,
    patience: Patience,
    waiting: Queue,
    writing: Option<BoxFuture<'static, Result<Written, StoreError>>>,
    rejects: Vec<Reject>,
    /// Refused before they came to the database, and not written to it yet.
    dead: Vec<NewDeadLetter>,
    place: Option<Place>,
}

/// What became of one batch.
struct Written {
    count: u64,
    repeated: u64,
    place: Option<Place>,
    rejects: Vec<Reject>,
    /// The table as it was at last: altered, perhaps, since the batch was made.
    table: Arc<Table>,
}

/// What a pipe tells after each step.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Told {
    /// Rows that stand now.
    pub(in crate::ingest) stored: u64,
    /// Rows of records that stood before.
    pub(in crate::ingest) repeated: u64,
    pub(in crate::ingest) rejects: Vec<Reject>,
}

impl Pipe {
    /// A pipe into a table.
    pub(super) async fn open(
        to: Ingest,
        table: &TableName,
        wish: Wish,
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
        let key = wish.key.clone().map_or(Keying::Record(RecordKey::None), Keying::Body);
        let shape = Shape { extra: wish.extra, ..Shape::default() };
        let prepare = Prepare::new(table, to.store.dialect(), shape, key).guarded(wish.guard.clone());
        Ok(Self {
            to,
            wish,
            prepare,
            patience,
            waiting: Queue::default(),
            writing: None,
            rejects: Vec::new(),
            dead: Vec::new(),
            place: None,
        })
    }

    /// Writes everything that comes, and returns when all of it stands or was refused.
    pub(super) async fn run(
        &mut self,
        records: impl Stream<Item = Vec<Record>>,
        mut told: impl FnMut(Told),
    ) -> Result<(), StoreError> {
        let mut records = std::pin::pin!(records.fuse());
        let mut ended = false;
        loop {
            let (mut stored, mut repeated) = (0, 0);
            tokio::select! {
                written = async { self.writing.as_mut().expect("a batch is under way").await }, if self.writing.is_some() => {
                    self.writing = None;
                    (stored, repeated) = self.settle(written?);
                }
                more = records.next(), if !ended && !self.waiting.is_full() => match more {
                    Some(more) => more.into_iter().for_each(|record| self.take(record)),
                    None => ended = true,
                },
            }
            told(Told { stored, repeated, rejects: std::mem::take(&mut self.rejects) });
            self.begin();
            if ended && self.writing.is_none() {
                return Ok(());
            }
        }
    }

    /// The database's place after the last batch that stands.
    pub(super) fn last_place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    fn take(&mut self, record: Record) {
        match self.prepare.row(record) {
            Ok(row) => self.waiting.push(row),
            Err(reject) => {
                if self.wish.dead_letters {
                    self.dead.push(reject.letter());
                }
                self.rejects.push(reject);
            }
        }
    }

    /// Starts to write what waits, unless a batch is under way.
    fn begin(&mut self) {
        if self.writing.is_none() && !(self.waiting.is_empty() && self.dead.is_empty()) {
            let batch = self.waiting.take_batch();
            let (to, table, dead) = (self.to.clone(), self.prepare.table().clone(), std::mem::take(&mut self.dead));
            let delivery = (self.wish.key.is_some() || self.wish.dead_letters).then(|| delivery(&batch, dead));
            self.writing =
                Some(Box::pin(write(to, table, batch, delivery, self.wish.dead_letters, self.patience.clone())));
        }
    }

    fn settle(&mut self, written: Written) -> (u64, u64) {
        self.rejects.extend(written.rejects);
        self.place = written.place.or(self.place.take());
        if !Arc::ptr_eq(&written.table, self.prepare.table()) {
            let gone = self.waiting.rebind(self.prepare.table(), &written.table);
            self.rejects.extend(gone.into_iter().map(column_gone));
            self.prepare.rebind(written.table);
        }
        (written.count, written.repeated)
    }
}

/// A batch in a life of its own: bodies that come at the same time do not wait for each other's numbers.
fn delivery(batch: &[Waiting], dead: Vec<NewDeadLetter>) -> Delivery {
    let life: Arc<str> = uuid::Uuid::new_v4().simple().to_string().into();
    Delivery { source: PUSHED.into(), life, after: 0, upto: 1, records: batch.iter().map(origin).collect(), dead }
}

pub(super) fn origin(row: &Waiting) -> Origin {
    Origin { line: row.line, raw: row.raw.clone(), key: row.key.clone() }
}

/// Writes one batch, again and again while that can help and patience lasts.
async fn write(
    to: Ingest,
    mut table: Arc<Table>,
    mut batch: Vec<Waiting>,
    mut delivery: Option<Delivery>,
    dead_letters: bool,
    patience: Patience,
) -> Result<Written, StoreError> {
    let begun = Instant::now();
    let mut tries = Tries::new(patience);
    let mut rejects = Vec::new();
    let inserted = loop {
        if batch.is_empty() && delivery.as_ref().is_none_or(|delivery| delivery.dead.is_empty()) {
            break None;
        }
        let rows = batch.iter().map(|row| row.cells.clone()).collect();
        let insert = Insert { delivery: delivery.clone(), ..Insert::new(Arc::clone(&table), rows) };
        match to.store.insert(insert).await {
            Ok(inserted) => break Some(inserted),
            // An answer was lost: it was this batch that moved it.
            Err(StoreError::Moved { at: Some(at) })
                if delivery.as_ref().is_some_and(|delivery| *delivery.life == *at.life) =>
            {
                break None;
            }
            Err(error) => {
                let altered = matches!(error, StoreError::Altered(_));
                tries.again(error).await?;
                if altered && let Ok(now) = to.store.table(&table.name).await {
                    let (bound, gone) = rebind(batch, &table, &now);
                    let gone: Vec<Reject> = gone.into_iter().map(column_gone).collect();
                    (batch, table) = (bound, now);
                    if let Some(delivery) = &mut delivery {
                        delivery.records = batch.iter().map(origin).collect();
                        if dead_letters {
                            delivery.dead.extend(gone.iter().map(Reject::letter));
                        }
                    }
                    rejects.extend(gone);
                }
            }
        }
    };
    tries.done();
    metrics::histogram!("rowcast_ingest_write_seconds").record(begun.elapsed().as_secs_f64());
    let Some(inserted) = inserted else {
        let count = batch.len() as u64;
        return Ok(Written { count, repeated: 0, place: None, rejects, table });
    };
    rejects.extend(refused(&batch, &inserted));
    Ok(Written { count: inserted.count, repeated: inserted.repeated, place: Some(inserted.place), rejects, table })
}

/// The rows that the database refused.
pub(super) fn refused(batch: &[Waiting], inserted: &Inserted) -> Vec<Reject> {
    let reject = |(index, reason): &(usize, String)| {
        let row = batch.get(*index)?;
        Some(Reject { line: row.line, column: None, reason: reason.clone(), raw: row.raw.clone() })
    };
    inserted.rejected.iter().filter_map(reject).collect()
}

pub(super) fn column_gone((row, column): (Waiting, Box<str>)) -> Reject {
    let reason = format!("{column}: the column was removed from the table meanwhile");
    Reject { line: row.line, column: Some(column), reason, raw: row.raw }
}
