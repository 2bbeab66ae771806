//! The database as a place to write rows to and to read snapshots from.
//!
//! Leaves live changes to `source`: what is written here comes back from there, like anyone's.

mod delivery;
pub mod mysql;
mod policies;
pub mod postgres;
mod spec;
pub mod sqlite;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::event::{Mark, Place, Row, Table, TableName, Value};
use crate::filter::{Dialect, Predicate};

pub use delivery::{Conflict, DeadLetter, DeadLetters, Delivery, NewDeadLetter, Origin, Progress};
pub use policies::{AsRole, Policies, Sight};
pub use spec::{ColumnDefault, ColumnKind, ColumnSpec, TableSpec};
pub use write::{ANY_NUMBER, Set, Violation, ViolationKind, Write, Written};

/// A database's tables, to read and to write.
///
/// The contract is checked by `tests/it/store_contract.rs` on every implementation.
#[async_trait]
pub trait Store: Send + Sync {
    /// Whose rules of comparison the database follows.
    fn dialect(&self) -> Dialect;

    /// Every table that can be followed, by name.
    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError>;

    /// One table, by any spelling that the database accepts.
    async fn table(&self, name: &TableName) -> Result<Arc<Table>, StoreError>;

    /// Rows as of one moment, with the moment.
    ///
    /// The rows arrive in chunks while they are read; one that is not taken for 30 s ends the snapshot.
    async fn snapshot(&self, select: Select) -> Result<Snapshot, StoreError>;

    /// Whether a log that has the source at `log` holds everything that a snapshot taken at `snapshot` contains.
    fn reached(&self, log: Option<&Place>, snapshot: &Place) -> bool;

    /// Inserts rows in one transaction. A row that the database refuses is reported and the others stand.
    async fn insert(&self, insert: Insert) -> Result<Inserted, StoreError>;

    /// Changes of several tables that stand together or not at all, done in their order in one transaction.
    ///
    /// What a filter or a check reads of other tables (`IN (SELECT …)`) is held until the commit as it was read, so that it is still so
    /// then; on PostgreSQL the role needs UPDATE on those tables for it. A transaction that loses against another one is begun again a
    /// few times. Costs the rows that it returns in memory: bound what may be many with `expect`.
    ///
    /// Errors, all of which leave nothing: [`Unmet`](StoreError::Unmet), [`Forbidden`](StoreError::Forbidden),
    /// [`Violated`](StoreError::Violated), and those of every question. After [`Unavailable`](StoreError::Unavailable) it is not known
    /// whether it stands, if it was the commit whose answer was lost.
    async fn write(&self, writes: Vec<Write>) -> Result<Written, StoreError>;

    /// Minimum, maximum, average of columns over buckets of a time column, computed by the database.
    async fn series(&self, query: SeriesQuery) -> Result<History, StoreError>;

    /// The policies of a table that hold for a role. [`StoreError::Refused`] where they cannot be asked, which has been tried, or would not
    /// be obeyed.
    async fn policies(&self, _table: &Table, _role: &AsRole) -> Result<Policies, StoreError> {
        Err(StoreError::Refused(NO_POLICIES.into()))
    }

    /// For each row, whether the policies let the role see it; `None` where they are no longer the table's. A row at which they fail is not seen.
    async fn sees(&self, _sight: &Sight) -> Result<Option<Vec<bool>>, StoreError> {
        Err(StoreError::Refused(NO_POLICIES.into()))
    }

    /// Makes the tables that are not there; leaves the others as they are, but says [`StoreError::Refused`] where one lacks a
    /// column. Returns the SQL that it ran.
    async fn create(&self, tables: &[TableSpec]) -> Result<Vec<String>, StoreError>;

    /// Adds those columns to a table that it does not have yet, whatever they are like where they are there. Its rows have their
    /// defaults in them, or NULL. Returns the SQL that it ran.
    ///
    /// [`StoreError::Refused`] where the rows that are there could not have one: an id, a moment of now, or what may not be NULL and has
    /// no default.
    async fn add_columns(&self, table: &TableName, columns: &[ColumnSpec]) -> Result<Vec<String>, StoreError>;

    /// How far the database has the records of a source that [`Insert::delivery`] brings. `None`: nothing of it.
    async fn progress(&self, source: &str) -> Result<Option<Progress>, StoreError>;

    /// Records that did not become rows, newest first.
    async fn dead_letters(&self, which: DeadLetters) -> Result<Vec<DeadLetter>, StoreError>;

    /// How many there are of each source.
    async fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, StoreError>;

    /// Removes dead letters. Returns how many there were.
    async fn bury(&self, ids: &[u64]) -> Result<u64, StoreError>;
}

/// What is said of policies where there are none.
const NO_POLICIES: &str = "row-level security is PostgreSQL's";

/// Which rows a snapshot holds, and in what order.
#[derive(Debug, Clone)]
pub struct Select {
    /// As [`Store::table`] returned it.
    pub table: Arc<Table>,
    /// Bound to `table`. `None`: all rows.
    pub filter: Option<Arc<Predicate>>,
    /// Empty: by key.
    pub order_by: Vec<OrderBy>,
    /// `None`: all.
    pub limit: Option<u64>,
    /// Rows to pass over.
    pub offset: u64,
    /// Who reads; `None`: the gateway itself.
    pub role: Option<Arc<AsRole>>,
}

/// One term of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderBy {
    /// Index into the table's columns.
    pub column: usize,
    /// Largest first. NULL is the smallest of all.
    pub descending: bool,
}

/// Rows as of one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The table as it was at that moment; rows have these columns.
    pub table: Arc<Table>,
    /// Which transactions the rows contain.
    pub mark: Mark,
    /// The source's place at that moment, for [`Store::reached`].
    pub place: Place,
    /// The rows, in chunks, ended by `None`.
    pub rows: mpsc::Receiver<Result<Vec<Row>, StoreError>>,
}

/// Rows to insert.
#[derive(Debug, Clone)]
pub struct Insert {
    /// As [`Store::table`] returned it.
    pub table: Arc<Table>,
    /// For each row, the columns that it sets (indexes into the table's columns) with their values, which fit the columns'
    /// types already. Columns left out get their default.
    pub rows: Vec<Vec<(usize, Value)>>,
    /// What to do with a row whose key is there already.
    pub conflict: Conflict,
    /// Makes each row stand once, across lost answers and repeated records. It may come without rows.
    pub delivery: Option<Delivery>,
    /// Dead letters that the rows were made of: removed in the same transaction, unless one of the rows is refused. Where one
    /// is not there any more, nothing is written and [`StoreError::Refused`] says so: somebody else has resolved it.
    pub resolves: Vec<u64>,
}

impl Insert {
    /// Plain rows.
    pub fn new(table: Arc<Table>, rows: Vec<Vec<(usize, Value)>>) -> Self {
        Self { table, rows, conflict: Conflict::Refuse, delivery: None, resolves: Vec::new() }
    }
}

/// What became of an [`Insert`].
#[derive(Debug, Clone, PartialEq)]
pub struct Inserted {
    /// Rows that stand now and did not before (or, with [`Conflict::Update`], not like this).
    pub count: u64,
    /// Rows that were passed over because their key, or their record's, was there already.
    pub repeated: u64,
    /// The source's place after the commit, for [`Store::reached`].
    pub place: Place,
    /// Rows refused by the database: index into [`Insert::rows`], and the reason.
    pub rejected: Vec<(usize, String)>,
}

/// What a chart asks for.
#[derive(Debug, Clone)]
pub struct SeriesQuery {
    /// As [`Store::table`] returned it.
    pub table: Arc<Table>,
    /// Bound to `table`.
    pub filter: Option<Arc<Predicate>>,
    /// The time column (numbers: as they are; text: dates and times as SQLite reads them, in milliseconds since 1970).
    pub time: usize,
    /// The numeric columns.
    pub values: Vec<usize>,
    /// One series for each value of this column, at most `groups_max`, those with the most rows.
    pub group_by: Option<usize>,
    /// See `group_by`.
    pub groups_max: usize,
    /// Only times at least this; `None`: from the first.
    pub from: Option<f64>,
    /// Only times below this; `None`: to the last.
    pub to: Option<f64>,
    /// How many buckets between `from` and `to`.
    pub buckets: u32,
    /// Who reads; `None`: the gateway itself.
    pub role: Option<Arc<AsRole>>,
    /// Count every row, however long it takes. Otherwise a table too large to read in a moment is sampled.
    pub exact: bool,
}

/// A chart's history as of one moment.
#[derive(Debug, Clone)]
pub struct History {
    /// What was read.
    pub series: Series,
    /// Which transactions it contains.
    pub mark: Mark,
    /// The source's place at that moment, for [`Store::reached`].
    pub place: Place,
}

/// The buckets of a chart's history.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Series {
    /// The first time of the first bucket.
    pub from: f64,
    /// The end of the last bucket.
    pub to: f64,
    /// A bucket's width, in the time column's unit.
    pub width: f64,
    /// Whether every row was counted; otherwise minima, maxima and averages are of an even sample.
    pub exact: bool,
    /// For each group (one, `null`, without `group_by`) its non-empty buckets.
    pub groups: Vec<SeriesGroup>,
}

/// The buckets of one group.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SeriesGroup {
    /// The value of the group-by column as JSON text.
    pub group: Box<serde_json::value::RawValue>,
    /// The start of each non-empty bucket, ascending.
    pub time: Vec<f64>,
    /// Rows counted in each bucket.
    pub count: Vec<u64>,
    /// For each value column, for each bucket (NULL where no row had a number).
    pub min: Vec<Vec<Option<f64>>>,
    /// As `min`.
    pub max: Vec<Vec<Option<f64>>>,
    /// As `min`.
    pub avg: Vec<Vec<Option<f64>>>,
    /// As `min`: the value with the greatest time.
    pub last: Vec<Vec<Option<f64>>>,
}

/// Why the database did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No such table, or it cannot be followed (a view, an internal table).
    #[error("there is no table `{0}`")]
    UnknownTable(TableName),
    /// The table is not as it was when the question was asked.
    #[error("table `{0}` was altered meanwhile")]
    Altered(TableName),
    /// The records that an [`Insert::delivery`] brings do not continue what the database has of their source.
    #[error("the database has the source's records up to {}, not up to where these begin", .at.as_ref().map_or(0, |at| at.upto))]
    Moved {
        /// What it has.
        at: Option<Progress>,
    },
    /// It may work when tried again: busy, away, restarting.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// The reader did not take the rows in time.
    #[error("the snapshot was not read for {0:?} and was given up")]
    TooSlow(std::time::Duration),
    /// One of the [writes](Store::write) has found more or fewer rows than it expects: nothing is written.
    #[error("write {write} concerns {rows} rows, which is not what it expects")]
    Unmet {
        /// Which of them, from 0.
        write: usize,
        /// How many it has found: of too many, one more than the most that it expects.
        rows: u64,
    },
    /// A row is not what the check of one of the [writes](Store::write) says afterwards: nothing is written.
    #[error("write {write} would leave a row that it may not leave")]
    Forbidden {
        /// Which of them, from 0.
        write: usize,
    },
    /// One of the [writes](Store::write) does not keep a constraint: nothing is written.
    #[error("{0}")]
    Violated(Box<Violation>),
    /// The database refused, in its own words.
    #[error("{0}")]
    Refused(String),
}
