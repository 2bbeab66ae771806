//! Inserts: all rows of an insert in one transaction, with what is remembered of their delivery.

mod delivery;
pub(super) mod rows;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;

use self::rows::Writing;
use super::pool::{Lent, within};
use super::refused::refused;
use super::{Insert, Inserted, Server, StoreError};

/// How long one statement may take, locks of others included.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How often a transaction is begun again that lost against another one.
pub(super) const ATTEMPTS: usize = 4;
/// How long it is waited for to learn whether a commit was done whose answer was lost, and how often it is asked.
const DOUBT: Duration = Duration::from_secs(10);
const ASK: Duration = Duration::from_millis(200);

/// Writes the rows that the database takes.
pub(super) async fn insert(server: &Arc<Server>, insert: Insert) -> Result<Inserted, StoreError> {
    let (mut attempt, mut is_made) = (1, false);
    let done = loop {
        match write(server, &insert).await {
            Err(Broken::Again(error)) if attempt < ATTEMPTS => {
                tracing::debug!(table = %insert.table.name, %error, "an insert is tried again");
                attempt += 1;
            }
            Err(Broken::Unmade) if !is_made => {
                server.make_delivered().await?;
                is_made = true;
            }
            Err(Broken::Unmade) => {
                return Err(StoreError::Refused("the tables of schema rowcast vanish as soon as they are made".into()));
            }
            Err(Broken::Again(error) | Broken::Failed(error)) => return Err(error),
            Ok(done) => break done,
        }
    };
    if insert.delivery.is_some() {
        server.forget_old_keys();
    }
    let place = server.place_after_commit().await?;
    let repeated = (insert.rows.len() - done.rejected.len()) as u64 - done.written;
    Ok(Inserted { count: done.written, repeated, place, rejected: done.rejected })
}

/// Why nothing was written.
pub(super) enum Broken {
    /// It lost against another transaction: at once, it may win.
    Again(StoreError),
    /// What remembers deliveries is not there yet.
    Unmade,
    Failed(StoreError),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

type Rejected = Vec<(usize, String)>;

/// What was committed.
struct Done {
    written: u64,
    rejected: Rejected,
}

async fn write(server: &Arc<Server>, insert: &Insert) -> Result<Done, Broken> {
    let mut lent = server.pool.for_writing().await?;
    let (described, transaction) = server.begin_writing(&mut lent, &insert.table, PATIENCE).await?;
    let writing = match Writing::new(server, described, insert) {
        Ok(writing) => writing,
        Err(error) => return Err(ended(lent, error.into()).await),
    };
    let passed_over = match delivery::begin(&lent, insert).await {
        Ok(passed_over) => passed_over,
        Err(broken) => return Err(ended(lent, broken).await),
    };
    let batches = writing.batches(&passed_over);
    let mut rejected = writing.misplaced(&passed_over);
    let together = writing.all(&lent, &batches, delivery::end(&lent, insert, &rejected)).await;
    let error = match together {
        Ok(written) => {
            lent.back();
            return Ok(Done { written, rejected });
        }
        Err(error) => error,
    };
    if !writing.is_by_a_row(&error).await? {
        // What was passed over is known; of the others all stand, or none.
        let known = passed_over.iter().filter(|passed_over| **passed_over).count() + rejected.len();
        settle(&writing, lent, error, &transaction).await?;
        return Ok(Done { written: (insert.rows.len() - known) as u64, rejected });
    }
    // Where more statements were to follow, nobody has ended the transaction yet.
    within(lent.client().batch_execute("ROLLBACK")).await?;
    let (_, transaction) = server.begin_writing(&mut lent, &insert.table, PATIENCE).await?;
    let passed_over = match delivery::begin(&lent, insert).await {
        Ok(passed_over) => passed_over,
        Err(broken) => return Err(ended(lent, broken).await),
    };
    let (written, refusals) = writing.one_by_one(&lent, &writing.batches(&passed_over)).await?;
    rejected.extend(refusals);
    rejected.sort_unstable();
    if let Err(error) = delivery::end(&lent, insert, &rejected).await {
        settle(&writing, lent, error, &transaction).await?;
        return Ok(Done { written, rejected });
    }
    lent.back();
    Ok(Done { written, rejected })
}

/// Gives a connection back whose transaction was for nothing.
async fn ended(lent: Lent, broken: Broken) -> Broken {
    lent.end().await;
    broken
}

/// After an error that is no row's: whether the transaction stands nevertheless.
async fn settle(
    writing: &Writing<'_>,
    lent: Lent,
    error: tokio_postgres::Error,
    transaction: &str,
) -> Result<(), Broken> {
    if is_answer(&error) {
        lent.end().await;
        return Err(writing.broken(error));
    }
    drop(lent);
    stands(writing.server, error, transaction).await
}

/// Whether the database has said itself that it does not do it.
pub(super) fn is_answer(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|answer| !["57P", "08"].iter().any(|class| answer.code().code().starts_with(class)))
}

/// After a commit whose answer was lost: whether the transaction stands.
pub(super) async fn stands(server: &Server, error: tokio_postgres::Error, transaction: &str) -> Result<(), Broken> {
    let asked = Instant::now();
    let pool = &server.pool;
    while asked.elapsed() < DOUBT {
        if let Ok(client) = pool.shared().await {
            let sql = "SELECT pg_catalog.pg_xact_status($1::text::xid8)";
            let status = async { client.query_typed(sql, &[(&transaction, Type::TEXT)]).await };
            let status = pool.answer(&client, status).await;
            let status = status.ok().and_then(|rows| rows.first()?.get::<_, Option<String>>(0));
            match status.as_deref() {
                Some("committed") => return Ok(()),
                Some("aborted") => return Err(Broken::Again(refused(error))),
                _ => {}
            }
        }
        tokio::time::sleep(ASK).await;
    }
    Err(Broken::Failed(refused(error)))
}
