//! Inserts: one thread writes, and commits together what arrives together.

use std::collections::HashMap;

use rusqlite::{Connection, params_from_iter};
use tokio::sync::{mpsc, oneshot};

use super::pool::place;
use super::{Insert, Inserted, StoreError, find_same, refused};
use crate::event::{Place, Value};
use crate::sqlite::SqliteSettings;
use crate::sqlite::bell;
use crate::sqlite::catalog::{self, Catalog, Described};
use crate::sqlite::file::DatabaseFile;
use crate::sqlite::name::quote;
use crate::sqlite::value::Bound;

/// Rows in one transaction, about: a single insert is never divided.
const GROUP_ROWS: usize = 10_000;
/// How often a transaction is begun again because a row has ended it. After that, each row has its own.
const RESTARTS: usize = 8;

/// An insert, and who waits for it.
pub(crate) struct Job {
    pub(crate) insert: Insert,
    pub(crate) reply: oneshot::Sender<Result<Inserted, StoreError>>,
}

/// Starts the thread. It ends when nobody can send any more.
pub(crate) fn start(
    file: DatabaseFile,
    connection: Connection,
    settings: SqliteSettings,
) -> Result<mpsc::Sender<Job>, StoreError> {
    let (sender, jobs) = mpsc::channel(super::INSERTS_WAITING);
    let writer = Writer { file, connection, settings, catalog: None };
    let spawned = std::thread::Builder::new().name("sqlite writer".to_owned()).spawn(move || writer.run(jobs));
    let failed = |error| StoreError::Unavailable(format!("no thread could be started to write to SQLite: {error}"));
    spawned.map(|_| sender).map_err(failed)
}

struct Writer {
    file: DatabaseFile,
    connection: Connection,
    settings: SqliteSettings,
    catalog: Option<(i64, Catalog)>,
}

/// Rows that the database has refused, by insert and row.
type Rejected = HashMap<(usize, usize), String>;

/// How a row went.
enum Row {
    Stands,
    Refused(String),
    /// It was refused, and the transaction with it.
    Ended(String),
    /// It was refused, and something of it stands nevertheless.
    HalfDone,
    /// The database cannot be written to.
    Failed(StoreError),
}

/// Why a transaction was not committed.
enum Broken {
    /// By a row, which is in the rejected ones now.
    ByRow,
    /// Rows have to be undone one by one.
    Careless,
    /// At its end: something that is only checked there.
    ByCommit(String),
    Failed(StoreError),
}

/// What became of the inserts of a transaction.
struct Committed {
    place: Place,
    outcomes: Vec<Result<(), StoreError>>,
}

impl Writer {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut rows = first.insert.rows.len();
            let mut group = vec![first];
            while rows < GROUP_ROWS
                && let Ok(job) = jobs.try_recv()
            {
                rows += job.insert.rows.len();
                group.push(job);
            }
            self.write(group);
        }
    }

    fn write(&mut self, group: Vec<Job>) {
        let (inserts, replies): (Vec<Insert>, Vec<_>) = group.into_iter().map(|job| (job.insert, job.reply)).unzip();
        let mut rejected = Rejected::new();
        let written = self.write_together(&inserts, &mut rejected);
        bell::ring(self.file.path());
        for (n, reply) in replies.into_iter().enumerate() {
            let outcome = match &written {
                Ok(committed) => answer(n, &inserts[n], committed, &rejected),
                Err(error) => Err(again(error)),
            };
            // Who has gone does not want to know; the rows stand.
            let _ = reply.send(outcome);
        }
    }

    fn write_together(&mut self, inserts: &[Insert], rejected: &mut Rejected) -> Result<Committed, StoreError> {
        let mut careful = false;
        for _ in 0..RESTARTS {
            match self.attempt(inserts, rejected, careful) {
                Ok(committed) => return Ok(committed),
                Err(Broken::ByRow) => {}
                Err(Broken::Careless) => careful = true,
                Err(Broken::ByCommit(_)) => break,
                Err(Broken::Failed(error)) => return Err(error),
            }
        }
        self.write_one_by_one(inserts, rejected)
    }

    /// Every row in a transaction of its own, because rows end or spoil a common one.
    fn write_one_by_one(&mut self, inserts: &[Insert], rejected: &mut Rejected) -> Result<Committed, StoreError> {
        let mut outcomes = Vec::new();
        let mut last = None;
        for (n, insert) in inserts.iter().enumerate() {
            let mut outcome = Ok(());
            for (m, row) in insert.rows.iter().enumerate() {
                let one = Insert { table: insert.table.clone(), rows: vec![row.clone()] };
                let mut refused = Rejected::new();
                let message = match self.attempt(std::slice::from_ref(&one), &mut refused, true) {
                    Ok(committed) => {
                        outcome = committed.outcomes.into_iter().next().unwrap_or(Ok(()));
                        last = Some(committed.place);
                        refused.remove(&(0, 0))
                    }
                    Err(Broken::ByCommit(message)) => Some(message),
                    Err(Broken::ByRow | Broken::Careless) => {
                        refused.remove(&(0, 0)).or(Some("it was undone".to_owned()))
                    }
                    Err(Broken::Failed(error)) => return Err(error),
                };
                rejected.extend(message.map(|message| ((n, m), message)));
            }
            outcomes.push(outcome);
        }
        let place = match last {
            Some(place) => place,
            None => place(&self.connection)?.to_place(),
        };
        Ok(Committed { place, outcomes })
    }

    /// One transaction with all rows that are not rejected. With `careful`, each row can be undone by itself.
    fn attempt(&mut self, inserts: &[Insert], rejected: &mut Rejected, careful: bool) -> Result<Committed, Broken> {
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| Broken::Failed(refused(error)))?;
        let outcome = self.rows(inserts, rejected, careful).and_then(|outcomes| {
            let place = place(&self.connection).map_err(Broken::Failed)?.to_place();
            match self.connection.execute_batch("COMMIT") {
                Ok(()) => Ok(Committed { place, outcomes }),
                Err(error) => match refused(error) {
                    StoreError::Refused(message) => Err(Broken::ByCommit(message)),
                    error => Err(Broken::Failed(error)),
                },
            }
        });
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction that failed could not be rolled back");
        }
        outcome
    }

    fn rows(
        &mut self,
        inserts: &[Insert],
        rejected: &mut Rejected,
        careful: bool,
    ) -> Result<Vec<Result<(), StoreError>>, Broken> {
        let mut outcomes = Vec::new();
        for (n, insert) in inserts.iter().enumerate() {
            self.learn_catalog().map_err(Broken::Failed)?;
            let (_, catalog) = self.catalog.as_ref().expect("the catalog has just been read");
            let described = match find_same(catalog, &insert.table) {
                Ok(described) => described,
                Err(error) => {
                    outcomes.push(Err(error));
                    continue;
                }
            };
            let mut sql = Statement::default();
            for (m, row) in insert.rows.iter().enumerate() {
                if rejected.contains_key(&(n, m)) {
                    continue;
                }
                if row.iter().any(|(column, _)| *column >= described.table.columns.len()) {
                    rejected.insert((n, m), "the table has no such column".to_owned());
                    continue;
                }
                match insert_row(&self.connection, sql.of(&described, row), row, careful) {
                    Row::Stands => {}
                    Row::Refused(message) => drop(rejected.insert((n, m), message)),
                    Row::Ended(message) => {
                        rejected.insert((n, m), message);
                        return Err(Broken::ByRow);
                    }
                    Row::HalfDone => return Err(Broken::Careless),
                    Row::Failed(error) => return Err(Broken::Failed(error)),
                }
            }
            outcomes.push(Ok(()));
        }
        Ok(outcomes)
    }

    fn learn_catalog(&mut self) -> Result<(), StoreError> {
        let version = catalog::schema_version(&self.connection).map_err(refused)?;
        if self.catalog.as_ref().is_none_or(|(known, _)| *known != version) {
            let catalog = catalog::read(&self.connection, &self.settings).map_err(refused)?;
            self.catalog = Some((version, catalog));
        }
        Ok(())
    }
}

fn answer(n: usize, insert: &Insert, committed: &Committed, rejected: &Rejected) -> Result<Inserted, StoreError> {
    if let Err(error) = &committed.outcomes[n] {
        return Err(again(error));
    }
    let mut rejected: Vec<(usize, String)> =
        rejected.iter().filter(|((m, _), _)| *m == n).map(|((_, row), message)| (*row, message.clone())).collect();
    rejected.sort_unstable();
    let count = (insert.rows.len() - rejected.len()) as u64;
    Ok(Inserted { count, place: committed.place.clone(), rejected })
}

/// The same error, for somebody else.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::UnknownTable(name) => StoreError::UnknownTable(name.clone()),
        StoreError::Altered(name) => StoreError::Altered(name.clone()),
        StoreError::Unavailable(message) => StoreError::Unavailable(message.clone()),
        StoreError::TooSlow(limit) => StoreError::TooSlow(*limit),
        StoreError::Refused(message) => StoreError::Refused(message.clone()),
    }
}

fn insert_row(connection: &Connection, sql: &str, row: &[(usize, Value)], careful: bool) -> Row {
    if careful && let Err(error) = connection.execute_batch("SAVEPOINT rowcast_row") {
        return Row::Failed(refused(error));
    }
    let before = connection.total_changes();
    let values = row.iter().map(|(_, value)| value).filter(|value| !is_left_out(value)).map(Bound);
    let inserted = connection.prepare_cached(sql).and_then(|mut insert| insert.execute(params_from_iter(values)));
    let ended = connection.is_autocommit();
    if careful && !ended {
        let undo = if inserted.is_ok() { "" } else { "ROLLBACK TO rowcast_row;" };
        if let Err(error) = connection.execute_batch(&format!("{undo} RELEASE rowcast_row")) {
            return Row::Failed(refused(error));
        }
    }
    match inserted.map_err(refused) {
        Ok(_) => Row::Stands,
        Err(StoreError::Refused(message)) if ended => Row::Ended(message),
        Err(StoreError::Refused(_)) if !careful && connection.total_changes() != before => Row::HalfDone,
        Err(StoreError::Refused(message)) => Row::Refused(message),
        Err(error) => Row::Failed(error),
    }
}

fn is_left_out(value: &Value) -> bool {
    matches!(value, Value::Unchanged)
}

/// The text of the last statement, which the next row most often needs, too.
#[derive(Default)]
struct Statement {
    columns: Vec<usize>,
    sql: String,
}

impl Statement {
    fn of(&mut self, described: &Described, row: &[(usize, Value)]) -> &str {
        let set = || row.iter().filter(|(_, value)| !is_left_out(value)).map(|(column, _)| *column);
        if self.sql.is_empty() || !set().eq(self.columns.iter().copied()) {
            self.columns = set().collect();
            self.sql = insert_sql(described, &self.columns);
        }
        &self.sql
    }
}

fn insert_sql(described: &Described, columns: &[usize]) -> String {
    let table = quote(&described.table.name.name);
    if columns.is_empty() {
        return format!("INSERT INTO {table} DEFAULT VALUES");
    }
    let names: Vec<String> = columns.iter().map(|&n| described.column_sql(n)).collect();
    let marks: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
    format!("INSERT INTO {table} ({}) VALUES ({})", names.join(","), marks.join(","))
}
