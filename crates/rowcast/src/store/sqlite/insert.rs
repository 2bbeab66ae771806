//! What is written: one thread does it, and commits together what arrives together.

use std::collections::HashMap;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::pool::place;
use super::statement::{Row, Statement, insert_row};
use super::{
    ColumnSpec, Insert, Inserted, StoreError, TableSpec, Write, Written, create, delivery, find_same, refused, write,
};
use crate::event::{Place, Table, TableName};
use crate::sqlite::bell;
use crate::sqlite::catalog::{self, Catalog, Described};
use crate::sqlite::file::DatabaseFile;
use crate::sqlite::name::quote;
use crate::sqlite::{SqliteSettings, delivered};
use crate::store::delivery::{KEYS_PRUNED_EVERY, no_dead_letter};

/// Rows in one transaction, about: a single insert is never divided.
const GROUP_ROWS: usize = 10_000;
/// How often a transaction is begun again because a row has ended it. After that, each row has its own.
const RESTARTS: usize = 8;

/// What is to be written, and who waits for it.
pub(crate) enum Job {
    Insert(Insert, Reply<Inserted>),
    Write(Vec<Write>, Reply<Written>),
    Create(Vec<TableSpec>, Reply<Vec<String>>),
    AddColumns(TableName, Vec<ColumnSpec>, Reply<Vec<String>>),
    Bury(Vec<u64>, Reply<u64>),
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Starts the thread. It ends when nobody can send any more.
pub(crate) fn start(
    file: DatabaseFile,
    connection: Connection,
    settings: SqliteSettings,
) -> Result<mpsc::Sender<Job>, StoreError> {
    let (sender, jobs) = mpsc::channel(super::INSERTS_WAITING);
    let writer = Writer { file, connection, settings, catalog: None, pruning: None, pruned: None };
    let spawned = std::thread::Builder::new().name("sqlite writer".to_owned()).spawn(move || writer.run(jobs));
    let failed = |error| StoreError::Unavailable(format!("no thread could be started to write to SQLite: {error}"));
    spawned.map(|_| sender).map_err(failed)
}

struct Writer {
    file: DatabaseFile,
    connection: Connection,
    settings: SqliteSettings,
    catalog: Option<(i64, Catalog)>,
    /// Where the search for old keys is, while there is one; nothing is searched for before the first delivery.
    pruning: Option<i64>,
    /// When it began.
    pruned: Option<Instant>,
}

/// Rows that the database has refused, by insert and row.
type Rejected = HashMap<(usize, usize), String>;

/// How much is done so that one row's refusal leaves the others alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Nothing: most rows are taken.
    None,
    /// Each row can be undone by itself.
    Rows,
    /// And those are found that a commit would be refused for.
    Commit,
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

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// What became of an insert of a transaction: how many rows were passed over.
type Outcome = Result<u64, StoreError>;

/// What became of the inserts of a transaction.
struct Committed {
    place: Place,
    outcomes: Vec<Outcome>,
}

impl Writer {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut next = jobs.blocking_recv();
        while let Some(job) = next.take() {
            match job {
                Job::Insert(insert, reply) => {
                    let (mut inserts, mut replies) = (vec![insert], vec![reply]);
                    let mut rows = inserts[0].rows.len();
                    while rows < GROUP_ROWS && next.is_none() {
                        match jobs.try_recv() {
                            Ok(Job::Insert(insert, reply)) => {
                                rows += insert.rows.len();
                                inserts.push(insert);
                                replies.push(reply);
                            }
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.write(&inserts, replies);
                }
                Job::Write(writes, reply) => {
                    let written = self.write_writes(&writes);
                    bell::ring(self.file.path());
                    let _ = reply.send(written);
                }
                Job::Create(tables, reply) => {
                    let made = create::create(&self.connection, &tables);
                    bell::ring(self.file.path());
                    let _ = reply.send(made);
                }
                Job::AddColumns(table, columns, reply) => {
                    let added = create::add_columns(&self.connection, &table, &columns);
                    bell::ring(self.file.path());
                    let _ = reply.send(added);
                }
                Job::Bury(ids, reply) => drop(reply.send(delivery::bury(&self.connection, &ids).map_err(refused))),
            }
            self.prune();
            next = next.or_else(|| jobs.blocking_recv());
        }
    }

    fn write(&mut self, inserts: &[Insert], replies: Vec<Reply<Inserted>>) {
        let mut rejected = Rejected::new();
        let written = self.write_together(inserts, &mut rejected);
        bell::ring(self.file.path());
        for (n, reply) in replies.into_iter().enumerate() {
            let outcome = match &written {
                Ok(committed) => answer(n, &inserts[n], committed, &rejected),
                Err(error) => Err(error.clone()),
            };
            // Who has gone does not want to know; the rows stand.
            let _ = reply.send(outcome);
        }
    }

    fn write_together(&mut self, inserts: &[Insert], rejected: &mut Rejected) -> Result<Committed, StoreError> {
        let mut care = Care::None;
        for _ in 0..RESTARTS {
            match self.attempt(inserts, rejected, care) {
                Ok(committed) => return Ok(committed),
                Err(Broken::ByRow) => {}
                Err(Broken::Careless) => care = Care::Rows,
                Err(Broken::ByCommit(_)) => break,
                Err(Broken::Failed(error)) => return Err(error),
            }
        }
        let mut outcomes = Vec::new();
        let mut last = None;
        for (n, insert) in inserts.iter().enumerate() {
            let (outcome, place) = if insert.delivery.is_some() || !insert.resolves.is_empty() {
                self.write_whole(n, insert, rejected)?
            } else {
                self.write_one_by_one(n, insert, rejected)?
            };
            last = place.or(last);
            outcomes.push(outcome);
        }
        let place = match last {
            Some(place) => place,
            None => place(&self.connection)?.to_place(),
        };
        Ok(Committed { place, outcomes })
    }

    /// Changes of several tables in one transaction, which is nobody else's.
    fn write_writes(&mut self, writes: &[Write]) -> Result<Written, StoreError> {
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(refused)?;
        let outcome = self.learn_catalog().and_then(|()| {
            let (_, catalog) = self.catalog.as_ref().expect("the catalog has just been read");
            write::all(&self.connection, catalog, writes)
        });
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction that failed could not be rolled back");
        }
        outcome
    }

    /// Every row in a transaction of its own, because rows end or spoil a common one.
    fn write_one_by_one(
        &mut self,
        n: usize,
        insert: &Insert,
        rejected: &mut Rejected,
    ) -> Result<(Outcome, Option<Place>), StoreError> {
        let (mut outcome, mut last) = (Ok(0), None);
        for (m, row) in insert.rows.iter().enumerate() {
            let one =
                Insert { conflict: insert.conflict.clone(), ..Insert::new(insert.table.clone(), vec![row.clone()]) };
            let mut refused = Rejected::new();
            let message = match self.attempt(std::slice::from_ref(&one), &mut refused, Care::Rows) {
                Ok(committed) => {
                    let this = committed.outcomes.into_iter().next().unwrap_or(Ok(0));
                    outcome = this.and_then(|repeated| outcome.map(|before| before + repeated));
                    last = Some(committed.place);
                    refused.remove(&(0, 0))
                }
                Err(Broken::ByCommit(message)) => Some(message),
                Err(Broken::ByRow | Broken::Careless) => refused.remove(&(0, 0)).or(Some("it was undone".to_owned())),
                Err(Broken::Failed(error)) => return Err(error),
            };
            rejected.extend(message.map(|message| ((n, m), message)));
        }
        Ok((outcome, last))
    }

    /// An insert whose rows belong into one transaction with what is remembered of them, however often it is begun again.
    fn write_whole(
        &mut self,
        n: usize,
        insert: &Insert,
        rejected: &mut Rejected,
    ) -> Result<(Outcome, Option<Place>), StoreError> {
        let mut mine: Rejected =
            rejected.iter().filter(|((m, _), _)| *m == n).map(|((_, row), why)| ((0, *row), why.clone())).collect();
        let mut care = Care::Rows;
        let committed = loop {
            match self.attempt(std::slice::from_ref(insert), &mut mine, care) {
                Ok(committed) => break committed,
                // There is one row less to insert each time.
                Err(Broken::ByRow | Broken::Careless) => {}
                Err(Broken::ByCommit(_)) if care != Care::Commit => care = Care::Commit,
                Err(Broken::ByCommit(message)) if mine.len() < insert.rows.len() => {
                    // It cannot be told which it was.
                    for row in 0..insert.rows.len() {
                        mine.entry((0, row)).or_insert_with(|| message.clone());
                    }
                }
                Err(Broken::ByCommit(message)) => return Ok((Err(StoreError::Refused(message)), None)),
                Err(Broken::Failed(error)) => return Err(error),
            }
        };
        rejected.extend(mine.into_iter().map(|((_, row), why)| ((n, row), why)));
        Ok((committed.outcomes.into_iter().next().unwrap_or(Ok(0)), Some(committed.place)))
    }

    /// One transaction with all rows that are not rejected.
    fn attempt(&mut self, inserts: &[Insert], rejected: &mut Rejected, care: Care) -> Result<Committed, Broken> {
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(refused)?;
        let outcome = self.all(inserts, rejected, care).and_then(|outcomes| {
            let place = place(&self.connection)?.to_place();
            match self.connection.execute_batch("COMMIT") {
                Ok(()) => Ok(Committed { place, outcomes }),
                Err(error) => match refused(error) {
                    StoreError::Refused(message) => Err(Broken::ByCommit(message)),
                    error => Err(Broken::Failed(error)),
                },
            }
        });
        if outcome.is_err() {
            // What was made in the transaction has changed the schema's number, which somebody else may make the same again.
            self.catalog = None;
        }
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction that failed could not be rolled back");
        }
        outcome
    }

    fn all(&mut self, inserts: &[Insert], rejected: &mut Rejected, care: Care) -> Result<Vec<Outcome>, Broken> {
        if inserts.iter().any(|insert| insert.delivery.is_some()) {
            self.pruned.get_or_insert_with(Instant::now);
            if !delivered::are_made(&self.connection).map_err(refused)? {
                delivered::make(&self.connection).map_err(refused)?;
            }
        }
        let mut outcomes = Vec::new();
        for (n, insert) in inserts.iter().enumerate() {
            self.learn_catalog()?;
            let (_, catalog) = self.catalog.as_ref().expect("the catalog has just been read");
            let outcome = match find_same(catalog, &insert.table) {
                Ok(described) => self.one(&described, n, insert, rejected, care)?,
                Err(error) => Err(error),
            };
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// One insert. An error in the answer means that nothing of it was written.
    fn one(
        &self,
        described: &Described,
        n: usize,
        insert: &Insert,
        rejected: &mut Rejected,
        care: Care,
    ) -> Result<Outcome, Broken> {
        let mut sql = match Statement::new(described, &insert.conflict) {
            Ok(sql) => sql,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(id) = delivery::missing(&self.connection, &insert.resolves).map_err(refused)? {
            return Ok(Err(StoreError::Refused(no_dead_letter(id))));
        }
        let passed_over = match insert.delivery.as_ref().map(|delivery| delivery::begin(&self.connection, delivery)) {
            None => Vec::new(),
            Some(Ok(passed_over)) => passed_over,
            Some(Err(moved @ StoreError::Moved { .. })) => return Ok(Err(moved)),
            Some(Err(error)) => return Err(error.into()),
        };
        let mut repeated = 0;
        let mut written = HashMap::new();
        for (m, row) in insert.rows.iter().enumerate() {
            if passed_over.get(m) == Some(&true) {
                rejected.remove(&(n, m));
                repeated += 1;
                continue;
            }
            if rejected.contains_key(&(n, m)) {
                continue;
            }
            if row.iter().any(|(column, _)| *column >= described.table.columns.len()) {
                rejected.insert((n, m), "the table has no such column".to_owned());
                continue;
            }
            match insert_row(&self.connection, sql.of(row), row, care != Care::None) {
                Row::Stands if care == Care::Commit => drop(written.insert(self.connection.last_insert_rowid(), m)),
                Row::Stands => {}
                Row::Repeated => repeated += 1,
                Row::Refused(message) => drop(rejected.insert((n, m), message)),
                Row::Ended(message) => {
                    rejected.insert((n, m), message);
                    return Err(Broken::ByRow);
                }
                Row::HalfDone => return Err(Broken::Careless),
                Row::Failed(error) => return Err(error.into()),
            }
        }
        if care == Care::Commit && self.reject_orphans(&described.table, n, &written, rejected).map_err(refused)? {
            return Err(Broken::ByRow);
        }
        let mut refusals: Vec<(usize, &str)> =
            rejected.iter().filter(|((m, _), _)| *m == n).map(|((_, row), why)| (*row, &**why)).collect();
        refusals.sort_unstable();
        if let Some(delivery) = &insert.delivery {
            delivery::keep_dead(&self.connection, insert, delivery, &refusals)?;
        }
        if refusals.is_empty() {
            delivery::resolve(&self.connection, &insert.resolves).map_err(refused)?;
        }
        Ok(Ok(repeated))
    }

    /// Rejects those of the written rows that refer to others which are not there. Returns whether there are any.
    fn reject_orphans(
        &self,
        table: &Table,
        n: usize,
        written: &HashMap<i64, usize>,
        rejected: &mut Rejected,
    ) -> rusqlite::Result<bool> {
        let mut check = self.connection.prepare(&format!("PRAGMA foreign_key_check({})", quote(&table.name.name)))?;
        let mut rows = check.query([])?;
        let before = rejected.len();
        while let Some(row) = rows.next()? {
            let (rowid, parent): (Option<i64>, String) = (row.get(1)?, row.get(2)?);
            if let Some(row) = rowid.and_then(|rowid| written.get(&rowid)) {
                rejected.insert((n, *row), format!("FOREIGN KEY constraint failed: `{parent}` has no such row"));
            }
        }
        Ok(rejected.len() > before)
    }

    fn learn_catalog(&mut self) -> Result<(), StoreError> {
        let version = catalog::schema_version(&self.connection).map_err(refused)?;
        if self.catalog.as_ref().is_none_or(|(known, _)| *known != version) {
            let catalog = catalog::read_all(&self.connection, &self.settings).map_err(refused)?;
            self.catalog = Some((version, catalog));
        }
        Ok(())
    }

    /// Forgets keys that are old, now and then, a few after each job.
    fn prune(&mut self) {
        if self.pruned.is_some_and(|began| began.elapsed() > KEYS_PRUNED_EVERY) {
            (self.pruned, self.pruning) = (Some(Instant::now()), Some(0));
        }
        let Some(from) = self.pruning else { return };
        self.pruning = delivery::prune(&self.connection, from).unwrap_or_else(|error| {
            tracing::debug!(%error, "old keys of records are forgotten later");
            None
        });
    }
}

fn answer(n: usize, insert: &Insert, committed: &Committed, rejected: &Rejected) -> Result<Inserted, StoreError> {
    let repeated = match &committed.outcomes[n] {
        Ok(repeated) => *repeated,
        Err(error) => return Err(error.clone()),
    };
    let mut rejected: Vec<(usize, String)> =
        rejected.iter().filter(|((m, _), _)| *m == n).map(|((_, row), message)| (*row, message.clone())).collect();
    rejected.sort_unstable();
    let count = (insert.rows.len() - rejected.len()) as u64 - repeated;
    Ok(Inserted { count, repeated, place: committed.place.clone(), rejected })
}
