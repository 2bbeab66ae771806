//! Inserts: all rows of an insert in one transaction, those that set the same columns in one statement.
//!
//! Where the database refuses a statement, its rows are halved until those that it refuses are found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::types::{ToSql, Type};

use super::literal::{quote, quote_table};
use super::pool::{Lent, within};
use super::refused::{in_words, is_altered, may_pass, refused};
use super::{Insert, Inserted, Server, StoreError};
use crate::event::Value;
use crate::postgres::catalog::Described;
use crate::postgres::types::Kind;

/// How long one statement may take, locks of others included.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows in one statement, at most.
const ROWS: usize = 5_000;
/// Statements sent before the first is answered.
const STATEMENTS: usize = 16;
/// How often a transaction is begun again that lost against another one.
const ATTEMPTS: usize = 4;
/// How long it is waited for to learn whether a commit was done whose answer was lost, and how often it is asked.
const DOUBT: Duration = Duration::from_secs(10);
const ASK: Duration = Duration::from_millis(200);

/// Writes the rows that the database takes.
pub(super) async fn insert(server: &Arc<Server>, insert: Insert) -> Result<Inserted, StoreError> {
    let mut attempt = 1;
    let rejected = loop {
        match write(server, &insert).await {
            Err(Broken::Again(error)) if attempt < ATTEMPTS => {
                tracing::debug!(table = %insert.table.name, %error, "an insert is tried again");
                attempt += 1;
            }
            Err(Broken::Again(error) | Broken::Failed(error)) => return Err(error),
            Ok(rejected) => break rejected,
        }
    };
    let place = server.place_after_commit().await?;
    Ok(Inserted { count: (insert.rows.len() - rejected.len()) as u64, place, rejected })
}

/// Why nothing was written.
enum Broken {
    /// It lost against another transaction: at once, it may win.
    Again(StoreError),
    Failed(StoreError),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

type Rejected = Vec<(usize, String)>;

async fn write(server: &Arc<Server>, insert: &Insert) -> Result<Rejected, Broken> {
    let mut lent = server.pool.for_writing().await?;
    let (described, transaction) = server.begin_writing(&mut lent, &insert.table, PATIENCE).await?;
    let writing = Writing { server, described, insert };
    let batches = writing.batches();
    let mut rejected = writing.misplaced();
    let together = writing.all(&lent, &batches).await;
    let committed = match together {
        Ok(()) => commit(&lent).await,
        Err(error) => Err(error),
    };
    if let Err(error) = committed {
        if writing.is_by_a_row(&error).await? {
            within(lent.client().batch_execute("ROLLBACK")).await?;
            let (_, transaction) = server.begin_writing(&mut lent, &insert.table, PATIENCE).await?;
            rejected.extend(writing.one_by_one(&lent, &batches).await?);
            if let Err(error) = commit(&lent).await {
                writing.settle(lent, error, &transaction).await?;
                rejected.sort_unstable();
                return Ok(rejected);
            }
        } else {
            writing.settle(lent, error, &transaction).await?;
            return Ok(rejected);
        }
    }
    lent.back();
    rejected.sort_unstable();
    Ok(rejected)
}

async fn commit(lent: &Lent) -> Result<(), tokio_postgres::Error> {
    lent.client().batch_execute("COMMIT").await
}

/// Rows that set the same columns: their places in [`Insert::rows`].
struct Batch {
    columns: Vec<usize>,
    rows: Vec<usize>,
}

struct Writing<'a> {
    server: &'a Server,
    described: Arc<Described>,
    insert: &'a Insert,
}

impl Writing<'_> {
    /// Neighbours that set the same columns go together, so that rows are written in their order.
    fn batches(&self) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        for (n, row) in self.insert.rows.iter().enumerate() {
            let mut columns: Vec<usize> =
                row.iter().filter(|(_, value)| *value != Value::Unchanged).map(|(column, _)| *column).collect();
            columns.sort_unstable();
            if columns.last().is_some_and(|last| *last >= self.described.columns.len()) {
                continue;
            }
            match batches.last_mut() {
                Some(batch) if batch.columns == columns && batch.rows.len() < ROWS => batch.rows.push(n),
                _ => batches.push(Batch { columns, rows: vec![n] }),
            }
        }
        batches
    }

    /// Rows that set a column which is not there.
    fn misplaced(&self) -> Rejected {
        let width = self.described.columns.len();
        let beyond = |row: &Vec<(usize, Value)>| row.iter().any(|(column, _)| *column >= width);
        let rows = self.insert.rows.iter().enumerate().filter(|(_, row)| beyond(row));
        rows.map(|(n, _)| (n, "the table has no such column".to_owned())).collect()
    }

    /// Everything at once, with what follows sent before what precedes is answered.
    async fn all(&self, lent: &Lent, batches: &[Batch]) -> Result<(), tokio_postgres::Error> {
        for some in batches.chunks(STATEMENTS) {
            let mut statements = Vec::with_capacity(some.len());
            for batch in some {
                statements.push(self.run(lent, &batch.columns, &batch.rows));
            }
            futures_util::future::try_join_all(statements).await?;
        }
        Ok(())
    }

    async fn run(&self, lent: &Lent, columns: &[usize], rows: &[usize]) -> Result<(), tokio_postgres::Error> {
        let table = quote_table(&self.described.table.name);
        if columns.is_empty() {
            let sql = format!("INSERT INTO {table} DEFAULT VALUES");
            for _ in rows {
                lent.client().execute_typed(&sql, &[]).await?;
            }
            return Ok(());
        }
        let kinds: Vec<Arc<Kind>> =
            columns.iter().map(|&column| self.server.types.get(self.described.columns[column].oid)).collect();
        let arrays: Vec<Vec<Option<String>>> = columns
            .iter()
            .zip(&kinds)
            .map(|(column, kind)| rows.iter().map(|&row| self.text(row, *column, kind)).collect())
            .collect();
        let params: Vec<(&(dyn ToSql + Sync), Type)> =
            arrays.iter().map(|array| (array as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect();
        lent.client().execute_typed(&self.sql(columns), &params).await.map(|_| ())
    }

    fn text(&self, row: usize, column: usize, kind: &Kind) -> Option<String> {
        // Given twice, the last one counts.
        let value = self.insert.rows[row].iter().rev().find(|(set, _)| *set == column).map(|(_, value)| value)?;
        kind.to_text(value)
    }

    /// The types are named without their modifiers: a cast to `varchar(3)` would cut off in silence what storing refuses.
    fn sql(&self, columns: &[usize]) -> String {
        let names: Vec<String> = columns.iter().map(|&n| quote(&self.described.table.columns[n].name)).collect();
        let casts: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(n, &column)| format!("c{n}::{}", self.described.columns[column].cast))
            .collect();
        let arrays: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
        let aliases: Vec<String> = (0..columns.len()).map(|n| format!("c{n}")).collect();
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM unnest({}) AS rows ({})",
            quote_table(&self.described.table.name),
            names.join(", "),
            casts.join(", "),
            arrays.join(", "),
            aliases.join(", ")
        )
    }

    /// Whether an error may be of some rows only.
    async fn is_by_a_row(&self, error: &tokio_postgres::Error) -> Result<bool, Broken> {
        let Some(answer) = error.as_db_error() else { return Ok(false) };
        if may_pass(answer) {
            return Ok(false);
        }
        if !is_altered(error) {
            return Ok(true);
        }
        // A trigger of the table may miss something just as well.
        self.server.known.lock().clear();
        let now = self.server.table(&self.described.table.name).await?;
        Ok(now.table == self.described.table)
    }

    /// Savepoint by savepoint, halving what is refused.
    async fn one_by_one(&self, lent: &Lent, batches: &[Batch]) -> Result<Rejected, Broken> {
        let client = lent.client();
        // What is checked at the commit only could not be told apart there.
        within(client.batch_execute("SET CONSTRAINTS ALL IMMEDIATE")).await?;
        let mut rejected = Rejected::new();
        let mut waiting: Vec<(&[usize], &[usize])> =
            batches.iter().rev().map(|batch| (&batch.columns[..], &batch.rows[..])).collect();
        while let Some((columns, rows)) = waiting.pop() {
            let (begun, written) =
                tokio::join!(client.batch_execute("SAVEPOINT rowcast_rows"), self.run(lent, columns, rows));
            begun.map_err(refused)?;
            let Err(error) = written else {
                client.batch_execute("RELEASE rowcast_rows").await.map_err(refused)?;
                continue;
            };
            let Some(answer) = error.as_db_error().filter(|answer| !may_pass(answer)) else {
                return Err(self.broken(error));
            };
            within(client.batch_execute("ROLLBACK TO rowcast_rows; RELEASE rowcast_rows")).await?;
            match rows {
                [row] => rejected.push((*row, in_words(answer))),
                rows => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    waiting.extend([(columns, second), (columns, first)]);
                }
            }
        }
        Ok(rejected)
    }

    /// After an error that is no row's: whether the transaction stands nevertheless.
    async fn settle(&self, lent: Lent, error: tokio_postgres::Error, transaction: &str) -> Result<(), Broken> {
        if error
            .as_db_error()
            .is_some_and(|answer| !answer.code().code().starts_with("57P") && !answer.code().code().starts_with("08"))
        {
            lent.end().await;
            return Err(self.broken(error));
        }
        drop(lent);
        let asked = Instant::now();
        while asked.elapsed() < DOUBT {
            if let Ok(client) = self.server.pool.shared().await {
                let sql = "SELECT pg_catalog.pg_xact_status($1::text::xid8)";
                let status = async { client.query_typed(sql, &[(&transaction, Type::TEXT)]).await };
                let status = self.server.pool.answer(&client, status).await;
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

    fn broken(&self, error: tokio_postgres::Error) -> Broken {
        let lost = error.code().is_some_and(|code| code.code().starts_with("40"));
        let error = self.server.refused_on(&self.described.table.name, error);
        if lost { Broken::Again(error) } else { Broken::Failed(error) }
    }
}
