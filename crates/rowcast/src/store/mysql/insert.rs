//! Inserts: all rows of an insert in one transaction, those that set the same columns in one statement.
//!
//! Where the database refuses a statement, its rows are halved until those that it refuses are found: a statement that
//! fails leaves nothing, and the transaction goes on.

mod statement;

use std::sync::Arc;
use std::time::Duration;

use mysql_async::Error;
use mysql_async::prelude::Queryable;

use self::statement::{Batch, Statement, batches};
use super::keys::ANOTHER_KEY;
use super::pool::Lent;
use super::refused::{in_words, is_lost, may_pass};
use super::{Insert, Inserted, Server, StoreError};
use crate::mysql::catalog::Described;

/// How long one insert may take, locks of others included.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How often a transaction is begun again that lost against another one.
pub(super) const ATTEMPTS: usize = 4;

/// Writes the rows that the database takes.
pub(super) async fn insert(server: &Arc<Server>, insert: Insert) -> Result<Inserted, StoreError> {
    if insert.delivery.is_some() {
        server.make_own_tables().await?;
    }
    let mut attempt = 1;
    loop {
        let late = || StoreError::Unavailable(format!("the insert has taken more than {} s", PATIENCE.as_secs()));
        // A connection that is dropped in between is closed, and its transaction undone.
        let written = tokio::time::timeout(PATIENCE, write(server, &insert)).await;
        match written.unwrap_or_else(|_| Err(Broken::Failed(late()))) {
            Err(Broken::Again(error)) if attempt < ATTEMPTS => {
                tracing::debug!(table = %insert.table.name, %error, "an insert is tried again");
                attempt += 1;
            }
            Err(Broken::Again(error) | Broken::Failed(error)) => return Err(error),
            Ok(inserted) => {
                if insert.delivery.is_some() {
                    server.prune_keys();
                }
                return Ok(inserted);
            }
        }
    }
}

/// Why nothing was written.
pub(super) enum Broken {
    /// It lost against another transaction: at once, it may win.
    Again(StoreError),
    Failed(StoreError),
}

impl Broken {
    pub(super) fn into_error(self) -> StoreError {
        let (Self::Again(error) | Self::Failed(error)) = self;
        error
    }
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

async fn write(server: &Server, insert: &Insert) -> Result<Inserted, Broken> {
    let described = server.same(&insert.table).await?;
    let mut lent = server.pool.for_writing().await?;
    let written = within_transaction(server, &mut lent, &described, insert).await;
    let done = match written {
        Ok(done) => done,
        Err(broken) => {
            lent.end().await;
            return Err(broken);
        }
    };
    let committed = lent.query_drop("COMMIT").await;
    committed.map_err(|error| broken(server, &described, error))?;
    let place = server.place_after_commit(&mut lent).await?;
    lent.back();
    let Done { count, repeated, rejected } = done;
    Ok(Inserted { count, repeated, place, rejected })
}

/// What an error of a whole statement means.
fn broken(server: &Server, described: &Described, error: Error) -> Broken {
    let lost = matches!(&error, Error::Server(answer) if is_lost(answer));
    let error = server.refused_on(&described.table.name, error);
    if lost { Broken::Again(error) } else { Broken::Failed(error) }
}

/// What was written.
#[derive(Debug, Default)]
struct Done {
    count: u64,
    repeated: u64,
    rejected: Vec<(usize, String)>,
}

async fn within_transaction(
    server: &Server,
    lent: &mut Lent,
    described: &Described,
    insert: &Insert,
) -> Result<Done, Broken> {
    let failed = |error| broken(server, described, error);
    let target = server.keys.target(lent, &described.table, &insert.conflict).await?;
    lent.query_drop("START TRANSACTION").await.map_err(failed)?;
    server.check(lent, described).await?;
    server.must_be_there(lent, &insert.resolves).await?;
    let repeated = match &insert.delivery {
        Some(delivery) => server.begin_delivery(lent, delivery).await?,
        None => Vec::new(),
    };
    let passed_over = |row: usize| repeated.get(row) == Some(&true);
    let mut done = Done { repeated: repeated.iter().filter(|known| **known).count() as u64, ..Done::default() };
    let (batches, misplaced) = batches(described, insert, server.packet(lent).await?, passed_over);
    done.rejected = misplaced;
    let mut statement = Statement::new(described, insert, target);
    let mut waiting: Vec<Batch> = batches.into_iter().rev().collect();
    while let Some(batch) = waiting.pop() {
        match statement.run(lent, &batch).await {
            Ok(counted) => {
                done.count += counted;
                done.repeated += batch.rows.len() as u64 - counted;
            }
            Err(error) => {
                let reason = by_a_row(&error).ok_or(error).map_err(failed)?;
                match batch.rows[..] {
                    [row] => done.rejected.push((row, reason)),
                    _ => waiting.extend(batch.halves()),
                }
            }
        }
    }
    statement.close(lent).await.map_err(failed)?;
    done.rejected.sort_unstable();
    if let Some(delivery) = &insert.delivery {
        server.keep_dead(lent, insert, delivery, &done.rejected).await?;
    }
    if done.rejected.is_empty() {
        server.bury_in(lent, &insert.resolves).await?;
    }
    Ok(done)
}

/// Why a row is refused, if the error may be of some rows only.
///
/// The table itself is as it was described, and stays so until the transaction ends: what is unknown here, a trigger misses.
fn by_a_row(error: &Error) -> Option<String> {
    match error {
        Error::Server(answer) if answer.code == ANOTHER_KEY => {
            Some("another unique key of the table has such a row already".to_owned())
        }
        // The packet was too large: the server goes on after it.
        Error::Server(answer) if !may_pass(answer) && !is_lost(answer) => Some(in_words(answer)),
        _ => None,
    }
}
