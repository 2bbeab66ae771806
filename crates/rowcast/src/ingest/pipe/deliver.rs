//! The loop that brings a spool's records to the database, each once.
//!
//! The database remembers how far it has them, in the transaction of their rows. So it is asked at the start where to go on, and
//! answers [`Moved`](StoreError::Moved) when an answer of it was lost; what stands is passed over. It is waited for without end.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{Waiting, rebind};
use super::prepare::{Keying, Prepare};
use super::tries::{Patience, Problem, Tries};
use super::write::{Reject, Told, column_gone, origin, refused};
use super::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, Ingest};
use crate::event::Table;
use crate::ingest::flow::Flow;
use crate::ingest::once::OnConflict;
use crate::ingest::spool::{Part, Spool};
use crate::store::{Conflict, Delivery, Insert, NewDeadLetter, Progress, StoreError};

/// Brings everything that is in the spool, and comes into it, to the database; returns when the spool is closed and empty, or
/// when `stop` comes before there is a table.
pub(in crate::ingest) async fn deliver(
    to: Ingest,
    flow: Arc<Flow>,
    spool: Spool,
    problem: Problem,
    stop: CancellationToken,
    mut told: impl FnMut(Told),
) {
    let opened = stop.run_until_cancelled(Deliver::open(to, flow, spool, problem)).await;
    if let Some(mut deliver) = opened {
        deliver.run(&mut told).await;
    }
}

struct Deliver {
    to: Ingest,
    flow: Arc<Flow>,
    spool: Spool,
    problem: Problem,
    prepare: Prepare,
    /// The last record that stands, or is on its way, of the spool's lives.
    at: Option<Progress>,
    ready: VecDeque<Ready>,
    ready_bytes: usize,
}

/// A record that was looked at.
struct Ready {
    life: Arc<str>,
    number: u64,
    bytes: usize,
    row: Result<Waiting, Reject>,
}

/// Records of one life that are written in one transaction.
struct Batch {
    life: Arc<str>,
    after: u64,
    upto: u64,
    rows: Vec<(u64, Waiting)>,
    dead: Vec<(u64, Reject)>,
}

struct Written {
    told: Told,
    life: Arc<str>,
    upto: u64,
    table: Arc<Table>,
}

impl Deliver {
    async fn open(to: Ingest, flow: Arc<Flow>, spool: Spool, problem: Problem) -> Self {
        let mut tries = Tries::new(Patience::Forever(problem.clone()));
        let (table, at) = loop {
            let table = to.store.table(&flow.table).await;
            let found = match table {
                Ok(table) => conflict(&flow.once.conflict, &table).map(|_| table),
                Err(error) => Err(error),
            };
            let found = match found {
                Ok(table) => to.store.progress(&flow.source).await.map(|at| (table, at)),
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => break found,
                // With a patience without end it waits, and never fails.
                Err(error) => {
                    let _ = tries.again(error).await;
                }
            }
        };
        tries.done();
        // What the database knows of another life is of no use here: that life's records are gone.
        let at = at.filter(|at| spool.forget(&at.life, at.upto));
        let key = Keying::Record(flow.once.key.clone());
        let prepare = Prepare::new(table, to.store.dialect(), flow.shape.clone(), key);
        Self { to, flow, spool, problem, prepare, at, ready: VecDeque::new(), ready_bytes: 0 }
    }

    async fn run(&mut self, told: &mut impl FnMut(Told)) {
        let mut writing: Option<BoxFuture<'static, Written>> = None;
        let mut fetching: Option<BoxFuture<'static, Option<Part>>> = None;
        let mut ended = false;
        loop {
            if fetching.is_none() && !ended && !self.is_full() {
                let spool = self.spool.clone();
                fetching = Some(Box::pin(async move { spool.fetch().await }));
            }
            if writing.is_none() {
                writing = self.batch().map(|batch| self.write(batch));
            }
            if ended && writing.is_none() {
                return;
            }
            tokio::select! {
                written = async { writing.as_mut().expect("a batch is under way").await }, if writing.is_some() => {
                    writing = None;
                    told(self.settle(written));
                }
                part = async { fetching.as_mut().expect("records are fetched").await }, if fetching.is_some() => {
                    fetching = None;
                    match part {
                        Some(part) => self.look_at(part),
                        None => ended = true,
                    }
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        self.ready.len() >= BATCH_ROWS_MAX || self.ready_bytes >= BATCH_BYTES_MAX
    }

    fn look_at(&mut self, part: Part) {
        let Part { life, first, records } = part;
        // What was taken together may stand in part.
        let stands = self.at.as_ref().filter(|at| at.life[..] == life[..]).map_or(0, |at| at.upto);
        for (number, record) in (first..).zip(records) {
            if number > stands {
                let row = self.prepare.row(record);
                let bytes = row.as_ref().map_or_else(|reject| reject.raw.len(), Waiting::size);
                self.ready_bytes += bytes;
                self.ready.push_back(Ready { life: life.clone(), number, bytes, row });
            }
        }
    }

    /// The next batch: at least one record where there is one.
    fn batch(&mut self) -> Option<Batch> {
        let (life, first) = self.ready.front().map(|ready| (ready.life.clone(), ready.number))?;
        let after = match &self.at {
            Some(at) if at.life[..] == life[..] => at.upto,
            _ => 0,
        };
        let mut batch = Batch { life, after, upto: first, rows: Vec::new(), dead: Vec::new() };
        let (mut count, mut bytes) = (0, 0);
        while let Some(ready) = self.ready.front() {
            let full = count >= BATCH_ROWS_MAX || bytes + ready.bytes > BATCH_BYTES_MAX;
            if ready.life != batch.life || (full && count > 0) {
                break;
            }
            let Some(Ready { number, bytes: its, row, .. }) = self.ready.pop_front() else { break };
            (count, bytes) = (count + 1, bytes + its);
            self.ready_bytes -= its;
            batch.upto = number;
            match row {
                Ok(row) => batch.rows.push((number, row)),
                Err(reject) => batch.dead.push((number, reject)),
            }
        }
        self.at = Some(Progress { life: (*batch.life).into(), upto: batch.upto });
        Some(batch)
    }

    fn write(&self, batch: Batch) -> BoxFuture<'static, Written> {
        let (to, flow, problem, table) =
            (self.to.clone(), self.flow.clone(), self.problem.clone(), self.prepare.table().clone());
        Box::pin(write(to, flow, problem, table, batch))
    }

    fn settle(&mut self, written: Written) -> Told {
        // It stands: only now may it be forgotten.
        self.spool.forget(&written.life, written.upto);
        if !Arc::ptr_eq(&written.table, self.prepare.table()) {
            self.follow(written.table);
        }
        written.told
    }

    /// Ties what is ready to the table as it is now.
    fn follow(&mut self, now: Arc<Table>) {
        let before = self.prepare.table().clone();
        for ready in &mut self.ready {
            let Ok(row) = &ready.row else { continue };
            let (mut bound, mut gone) = rebind(vec![row.clone()], &before, &now);
            match (bound.pop(), gone.pop()) {
                (Some(row), _) => ready.row = Ok(row),
                (None, Some(gone)) => ready.row = Err(column_gone(gone)),
                (None, None) => {}
            }
        }
        self.prepare.rebind(now);
    }
}

impl Batch {
    fn insert(&self, flow: &Flow, table: &Arc<Table>) -> Result<Insert, StoreError> {
        let delivery = Delivery {
            source: flow.source.clone(),
            life: self.life.clone(),
            after: self.after,
            upto: self.upto,
            records: self.rows.iter().map(|(_, row)| origin(row)).collect(),
            dead: self.dead.iter().map(|(_, reject)| reject.letter()).collect::<Vec<NewDeadLetter>>(),
        };
        Ok(Insert {
            table: table.clone(),
            rows: self.rows.iter().map(|(_, row)| row.cells.clone()).collect(),
            conflict: conflict(&flow.once.conflict, table)?,
            delivery: Some(delivery),
            resolves: Vec::new(),
        })
    }

    /// Goes on from where the database stands. Returns how many rows stood already.
    fn go_on_from(&mut self, at: Option<Progress>, told: &mut Told) {
        match at {
            Some(at) if at.life[..] == self.life[..] => {
                if at.upto < self.after {
                    let (from, upto) = (at.upto + 1, self.after);
                    tracing::error!(
                        "the database was set back: the records {from} to {upto} stood in it, and stand nowhere now"
                    );
                }
                let before = self.rows.len();
                self.rows.retain(|(number, _)| *number > at.upto);
                told.stored += (before - self.rows.len()) as u64;
                let (stood, dead) =
                    std::mem::take(&mut self.dead).into_iter().partition(|(number, _)| *number <= at.upto);
                self.dead = dead;
                told.rejects.extend(Vec::into_iter(stood).map(|(_, reject): (u64, Reject)| reject));
                self.after = at.upto;
            }
            other => {
                if self.after > 0 {
                    let who = other.map_or("nobody", |_| "another program, or an earlier spool");
                    tracing::warn!("the database knows this source from {who}; it goes on with what is here");
                }
                self.after = 0;
            }
        }
    }
}

/// Writes one batch, again and again until it stands.
async fn write(to: Ingest, flow: Arc<Flow>, problem: Problem, mut table: Arc<Table>, mut batch: Batch) -> Written {
    let begun = Instant::now();
    let mut tries = Tries::new(Patience::Forever(problem));
    let mut told = Told::default();
    let inserted = loop {
        if batch.after >= batch.upto {
            break None;
        }
        let inserted = match batch.insert(&flow, &table) {
            Ok(insert) => to.store.insert(insert).await,
            Err(error) => Err(error),
        };
        match inserted {
            Ok(inserted) => break Some(inserted),
            Err(StoreError::Moved { at }) => {
                let after = batch.after;
                batch.go_on_from(at.clone(), &mut told);
                if batch.after == after {
                    // It says the same again: there is nothing to be done but to ask later.
                    let _ = tries.again(StoreError::Moved { at }).await;
                }
            }
            Err(error) => {
                let altered = matches!(error, StoreError::Altered(_));
                let _ = tries.again(error).await;
                if altered && let Ok(now) = to.store.table(&flow.table).await {
                    let mut rows = Vec::with_capacity(batch.rows.len());
                    for (number, row) in std::mem::take(&mut batch.rows) {
                        let (bound, gone) = rebind(vec![row], &table, &now);
                        rows.extend(bound.into_iter().map(|row| (number, row)));
                        batch.dead.extend(gone.into_iter().map(|gone| (number, column_gone(gone))));
                    }
                    (batch.rows, table) = (rows, now);
                }
            }
        }
    };
    tries.done();
    metrics::histogram!("rowcast_ingest_write_seconds").record(begun.elapsed().as_secs_f64());
    if let Some(inserted) = inserted {
        let rows: Vec<Waiting> = batch.rows.into_iter().map(|(_, row)| row).collect();
        told.stored += inserted.count;
        told.repeated += inserted.repeated;
        told.rejects.extend(batch.dead.into_iter().map(|(_, reject)| reject));
        told.rejects.extend(refused(&rows, &inserted));
    }
    Written { told, life: batch.life, upto: batch.upto, table }
}

/// The configured columns, as the store takes them.
pub(in crate::ingest) fn conflict(conflict: &OnConflict, table: &Table) -> Result<Conflict, StoreError> {
    let columns = |names: &[String]| {
        let column = |name: &String| {
            let unknown = || {
                StoreError::Refused(format!("`{}` has no column `{name}`, which is named by `conflict`", table.name))
            };
            table.column(name).ok_or_else(unknown)
        };
        names.iter().map(column).collect::<Result<Vec<usize>, _>>()
    };
    Ok(match conflict {
        OnConflict::Refuse => Conflict::Refuse,
        OnConflict::Ignore(names) => Conflict::Ignore(columns(names)?),
        OnConflict::Update(names) => Conflict::Update(columns(names)?),
    })
}
