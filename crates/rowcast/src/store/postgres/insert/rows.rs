//! Rows as statements: neighbours that set the same columns go together.
//!
//! Where the database refuses a statement, its rows are halved until those that it refuses are found.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

use super::super::literal::quote_table;
use super::super::pool::{Lent, within};
use super::super::refused::{in_words, is_altered, may_pass, refused};
use super::super::{Insert, Server, StoreError};
use super::{Broken, Rejected};
use crate::event::Value;
use crate::postgres::catalog::Described;
use crate::postgres::name::quote;
use crate::postgres::types::Kind;
use crate::store::Conflict;

/// Rows in one statement, at most.
const ROWS: usize = 5_000;
/// Statements sent before the first is answered.
const STATEMENTS: usize = 16;

/// Rows that set the same columns: their places in [`Insert::rows`].
pub(super) struct Batch {
    columns: Vec<usize>,
    rows: Vec<usize>,
}

pub(super) struct Writing<'a> {
    pub(super) server: &'a Server,
    pub(super) described: Arc<Described>,
    pub(super) insert: &'a Insert,
    /// The columns of the unique key that a conflict is told by.
    target: Vec<usize>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(server: &'a Server, described: Arc<Described>, insert: &'a Insert) -> Result<Self, StoreError> {
        let target = target(&described, &insert.conflict);
        let writing = Self { server, described, insert, target };
        let is_there = |column: &usize| *column < writing.described.columns.len();
        let is_told = insert.conflict == Conflict::Refuse || !writing.target.is_empty();
        if is_told && writing.target.iter().all(is_there) { Ok(writing) } else { Err(writing.no_unique_key()) }
    }

    fn no_unique_key(&self) -> StoreError {
        let (Conflict::Ignore(columns) | Conflict::Update(columns)) = &self.insert.conflict else {
            return StoreError::Refused("there is no conflict to tell".into());
        };
        StoreError::Refused(crate::store::delivery::no_unique_key(&self.described.table, columns))
    }

    /// In the order of the rows, without those that are passed over.
    pub(super) fn batches(&self, passed_over: &[bool]) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        // No statement updates the same row twice.
        let mut keys = HashSet::new();
        for (n, row) in self.insert.rows.iter().enumerate() {
            if passed_over.get(n) == Some(&true) {
                continue;
            }
            let mut columns: Vec<usize> =
                row.iter().filter(|(_, value)| *value != Value::Unchanged).map(|(column, _)| *column).collect();
            columns.sort_unstable();
            if columns.last().is_some_and(|last| *last >= self.described.columns.len()) {
                continue;
            }
            let key = matches!(self.insert.conflict, Conflict::Update(_)).then(|| self.key(n));
            match batches.last_mut() {
                Some(batch)
                    if batch.columns == columns
                        && batch.rows.len() < ROWS
                        && key.as_ref().is_none_or(|key| !keys.contains(key)) =>
                {
                    batch.rows.push(n);
                }
                _ => {
                    keys.clear();
                    batches.push(Batch { columns, rows: vec![n] });
                }
            }
            keys.extend(key);
        }
        batches
    }

    fn key(&self, row: usize) -> Vec<Option<String>> {
        let kind = |column: usize| self.server.types.get(self.described.columns[column].oid);
        self.target.iter().map(|&column| self.text(row, column, &kind(column))).collect()
    }

    /// Rows that set a column which is not there.
    pub(super) fn misplaced(&self, passed_over: &[bool]) -> Rejected {
        let width = self.described.columns.len();
        let beyond = |row: &Vec<(usize, Value)>| row.iter().any(|(column, _)| *column >= width);
        let rows = self.insert.rows.iter().enumerate();
        let rows = rows.filter(|(n, row)| passed_over.get(*n) != Some(&true) && beyond(row));
        rows.map(|(n, _)| (n, "the table has no such column".to_owned())).collect()
    }

    /// Everything at once, with what follows sent before what precedes is answered; `last` is sent with the last of it.
    /// Returns how many rows were written.
    pub(super) async fn all(
        &self,
        lent: &Lent,
        batches: &[Batch],
        last: impl Future<Output = Result<(), Error>>,
    ) -> Result<u64, Error> {
        let mut count = 0;
        let (most, rest) = batches.split_at(batches.len().saturating_sub(1) / STATEMENTS * STATEMENTS);
        for some in most.chunks(STATEMENTS) {
            count += sum(self.some(lent, some).await)?;
        }
        // They fail together: the commit of what has failed undoes it.
        let (counts, last) = tokio::join!(self.some(lent, rest), last);
        count += sum(counts)?;
        last.map(|()| count)
    }

    async fn some(&self, lent: &Lent, batches: &[Batch]) -> Vec<Result<u64, Error>> {
        let mut runs = Vec::with_capacity(batches.len());
        for batch in batches {
            runs.push(self.run(lent, &batch.columns, &batch.rows));
        }
        futures_util::future::join_all(runs).await
    }

    async fn run(&self, lent: &Lent, columns: &[usize], rows: &[usize]) -> Result<u64, Error> {
        let table = quote_table(&self.described.table.name);
        if columns.is_empty() {
            let sql = format!("INSERT INTO {table} DEFAULT VALUES");
            for _ in rows {
                lent.client().execute_typed(&sql, &[]).await?;
            }
            return Ok(rows.len() as u64);
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
        lent.client().execute_typed(&self.sql(columns), &params).await
    }

    fn text(&self, row: usize, column: usize, kind: &Kind) -> Option<String> {
        // Given twice, the last one counts.
        let value = self.insert.rows[row].iter().rev().find(|(set, _)| *set == column).map(|(_, value)| value)?;
        kind.to_text(value)
    }

    /// The types are named without their modifiers: a cast to `varchar(3)` would cut off in silence what storing refuses.
    fn sql(&self, columns: &[usize]) -> String {
        let names: Vec<String> = columns.iter().map(|&n| self.name(n)).collect();
        let casts: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(n, &column)| format!("c{n}::{}", self.described.columns[column].cast))
            .collect();
        let arrays: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
        let aliases: Vec<String> = (0..columns.len()).map(|n| format!("c{n}")).collect();
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM unnest({}) AS rows ({}){}",
            quote_table(&self.described.table.name),
            names.join(", "),
            casts.join(", "),
            arrays.join(", "),
            aliases.join(", "),
            self.conflict(columns)
        )
    }

    fn name(&self, column: usize) -> String {
        quote(&self.described.table.columns[column].name)
    }

    fn conflict(&self, columns: &[usize]) -> String {
        on_conflict(&self.described, &self.insert.conflict, &self.target, columns)
    }

    /// Whether an error may be of some rows only.
    pub(super) async fn is_by_a_row(&self, error: &Error) -> Result<bool, Broken> {
        let Some(answer) = error.as_db_error() else { return Ok(false) };
        if may_pass(answer) {
            return Ok(false);
        }
        // No such key, or one that is deferrable.
        if self.insert.conflict != Conflict::Refuse && ["42P10", "55000"].contains(&answer.code().code()) {
            return Err(self.no_unique_key().into());
        }
        if !is_altered(error) {
            return Ok(true);
        }
        // A trigger of the table may miss something just as well.
        self.server.known.lock().clear();
        let now = self.server.table(&self.described.table.name).await?;
        Ok(now.table == self.described.table)
    }

    /// Savepoint by savepoint, halving what is refused. Returns how many rows were written, and those that were not.
    pub(super) async fn one_by_one(&self, lent: &Lent, batches: &[Batch]) -> Result<(u64, Rejected), Broken> {
        let client = lent.client();
        // What is checked at the commit only could not be told apart there.
        within(client.batch_execute("SET CONSTRAINTS ALL IMMEDIATE")).await?;
        let (mut count, mut rejected) = (0, Rejected::new());
        let mut waiting: Vec<(&[usize], &[usize])> =
            batches.iter().rev().map(|batch| (&batch.columns[..], &batch.rows[..])).collect();
        while let Some((columns, rows)) = waiting.pop() {
            let (begun, written) =
                tokio::join!(client.batch_execute("SAVEPOINT rowcast_rows"), self.run(lent, columns, rows));
            begun.map_err(refused)?;
            let error = match written {
                Ok(written) => {
                    client.batch_execute("RELEASE rowcast_rows").await.map_err(refused)?;
                    count += written;
                    continue;
                }
                Err(error) => error,
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
        Ok((count, rejected))
    }

    pub(super) fn broken(&self, error: Error) -> Broken {
        let lost = error.code().is_some_and(|code| code.code().starts_with("40"));
        let error = self.server.refused_on(&self.described.table.name, error);
        if lost { Broken::Again(error) } else { Broken::Failed(error) }
    }
}

/// The columns of the unique key that a conflict is told by.
pub(in super::super) fn target(described: &Described, conflict: &Conflict) -> Vec<usize> {
    match conflict {
        Conflict::Refuse => Vec::new(),
        Conflict::Ignore(columns) | Conflict::Update(columns) if columns.is_empty() => described.table.key.clone(),
        Conflict::Ignore(columns) | Conflict::Update(columns) => columns.clone(),
    }
}

/// `ON CONFLICT …` of a statement that sets these columns.
pub(in super::super) fn on_conflict(
    described: &Described,
    conflict: &Conflict,
    target: &[usize],
    columns: &[usize],
) -> String {
    let updates = match conflict {
        Conflict::Refuse => return String::new(),
        Conflict::Ignore(_) => false,
        Conflict::Update(_) => true,
    };
    let name = |column: usize| quote(&described.table.columns[column].name);
    let key: Vec<String> = target.iter().map(|&n| name(n)).collect();
    let set: Vec<String> = columns
        .iter()
        .filter(|&column| updates && !target.contains(column))
        .map(|&n| format!("{name} = EXCLUDED.{name}", name = name(n)))
        .collect();
    let action = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
    format!(" ON CONFLICT ({}) DO {action}", key.join(", "))
}

fn sum(counts: Vec<Result<u64, Error>>) -> Result<u64, Error> {
    counts.into_iter().sum()
}
