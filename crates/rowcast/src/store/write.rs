//! Changes of several tables that stand together or not at all: what [`Store::write`](super::Store::write) takes and gives.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Conflict, StoreError};
use crate::event::{Place, Row, Table, Value};
use crate::filter::Predicate;

/// However many rows there are.
pub const ANY_NUMBER: RangeInclusive<u64> = 0..=u64::MAX;

/// One of the changes that stand together.
///
/// Tables are as [`Store::table`](super::Store::table) returned them, predicates are bound to them. `expect` is how many rows the
/// change has to concern: with any other number nothing at all is written, and [`StoreError::Unmet`] says so.
#[derive(Debug, Clone)]
pub enum Write {
    /// One row more.
    Insert {
        /// Where.
        table: Arc<Table>,
        /// The columns that it sets, which fit the columns' types already. Columns left out get their default.
        cells: Vec<(usize, Value)>,
        /// What to do where its key is there already.
        conflict: Conflict,
        /// What the row has to be as it stands then, its defaults and what triggers made of it included.
        check: Option<Arc<Predicate>>,
        /// `0` stands for a row that was passed over ([`Conflict::Ignore`]).
        expect: RangeInclusive<u64>,
    },
    /// The rows of a filter changed.
    Update {
        /// Where.
        table: Arc<Table>,
        /// Which rows, as they were. `None`: all.
        filter: Option<Arc<Predicate>>,
        /// What becomes of which column.
        set: Vec<(usize, Set)>,
        /// What each of the rows has to be as it stands then.
        check: Option<Arc<Predicate>>,
        /// Rows that were found, whether or not anything of them is another now.
        expect: RangeInclusive<u64>,
    },
    /// The rows of a filter gone.
    Delete {
        /// Where.
        table: Arc<Table>,
        /// Which rows. `None`: all.
        filter: Option<Arc<Predicate>>,
        /// Rows that were there.
        expect: RangeInclusive<u64>,
    },
    /// Rows that have to be there (`1..=1`), or must not (`0..=0`).
    ///
    /// What is there is held until the commit: nobody changes or removes it meanwhile. With `0..=0` nobody adds such a row, either;
    /// another upper bound is looked at, and not held. On PostgreSQL `0..=0` keeps all others from writing to the table until the commit.
    Require {
        /// Where.
        table: Arc<Table>,
        /// Which rows. `None`: all.
        filter: Option<Arc<Predicate>>,
        /// How many.
        expect: RangeInclusive<u64>,
        /// Whether nobody else holds what is there either: those who do come one after the other, before any of them has written.
        alone: bool,
    },
}

/// What becomes of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Set {
    /// This.
    Value(Value),
    /// So much more than there is, as the database adds; NULL stays NULL. Not for a column of the key.
    Add(Value),
    /// This, unless what is there is as great or greater, as the database compares: it never goes backwards. NULL is the smallest of
    /// all. Not for a column of the key.
    Greatest(Value),
    /// What an earlier insert or update of the same call has returned of its first row: a number that the database gave it.
    Returned {
        /// Which of the writes, from 0.
        write: usize,
        /// Index into the columns of its table.
        column: usize,
    },
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// For each of the writes, how many rows it has concerned. Of a [`Write::Require`], as many as were looked at.
    pub rows: Vec<u64>,
    /// For each insert and update its rows as they stand after it, with what the database gave them (on PostgreSQL, before what is done
    /// to them by triggers AFTER it). `None` for the others, and for a row that the database cannot name: on MySQL, one whose key is a
    /// default other than AUTO_INCREMENT, or made by a trigger.
    pub returned: Vec<Option<Vec<Row>>>,
    /// The source's place after the commit, for [`Store::reached`](super::Store::reached).
    pub place: Place,
}

/// A constraint that one of the writes does not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which of the writes. `None` where it was found at the commit only (a deferred constraint).
    pub write: Option<usize>,
    /// What is not kept.
    pub kind: ViolationKind,
    /// The constraint's (or unique index's) name, where the database says it.
    pub constraint: Option<Box<str>>,
    /// The columns that it is about, where the database knows them.
    pub columns: Vec<Box<str>>,
    /// The database's own words. They may show values.
    pub message: String,
}

/// What kind of constraint is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ViolationKind {
    /// There is such a row already.
    Unique,
    /// What it refers to is not there, or it is referred to.
    ForeignKey,
    /// A column may not be NULL.
    NotNull,
    /// A CHECK.
    Check,
    /// A value that does not fit its column, or what a trigger refuses.
    Value,
}

impl ViolationKind {
    /// `unique`, `foreign_key`, `not_null`, `check`, `value`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unique => "unique",
            Self::ForeignKey => "foreign_key",
            Self::NotNull => "not_null",
            Self::Check => "check",
            Self::Value => "value",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Write {
    /// One row, which has to be new.
    pub fn insert(table: Arc<Table>, cells: Vec<(usize, Value)>) -> Self {
        Self::Insert { table, cells, conflict: Conflict::Refuse, check: None, expect: 1..=1 }
    }

    /// However many rows there are of the filter.
    pub fn update(table: Arc<Table>, filter: Option<Arc<Predicate>>, set: Vec<(usize, Set)>) -> Self {
        Self::Update { table, filter, set, check: None, expect: ANY_NUMBER }
    }

    /// However many rows there are of the filter.
    pub fn delete(table: Arc<Table>, filter: Option<Arc<Predicate>>) -> Self {
        Self::Delete { table, filter, expect: ANY_NUMBER }
    }

    /// At least one row.
    pub fn require(table: Arc<Table>, filter: Option<Arc<Predicate>>) -> Self {
        Self::Require { table, filter, expect: 1..=u64::MAX, alone: false }
    }

    /// The same requirement, of rows that nobody else holds either. The other writes have their rows for themselves anyway.
    #[must_use]
    pub fn alone(mut self) -> Self {
        if let Self::Require { alone, .. } = &mut self {
            *alone = true;
        }
        self
    }

    /// The same with another number of rows.
    #[must_use]
    pub fn expecting(mut self, rows: RangeInclusive<u64>) -> Self {
        let (Self::Insert { expect, .. }
        | Self::Update { expect, .. }
        | Self::Delete { expect, .. }
        | Self::Require { expect, .. }) = &mut self;
        *expect = rows;
        self
    }

    /// The same insert or update, whose rows have to be so afterwards. The others have none.
    #[must_use]
    pub fn checked(mut self, predicate: Arc<Predicate>) -> Self {
        if let Self::Insert { check, .. } | Self::Update { check, .. } = &mut self {
            *check = Some(predicate);
        }
        self
    }

    /// The same insert, where its key may be there already.
    #[must_use]
    pub fn on_conflict(mut self, what: Conflict) -> Self {
        if let Self::Insert { conflict, .. } = &mut self {
            *conflict = what;
        }
        self
    }

    /// Whose rows.
    pub fn table(&self) -> &Arc<Table> {
        let (Self::Insert { table, .. }
        | Self::Update { table, .. }
        | Self::Delete { table, .. }
        | Self::Require { table, .. }) = self;
        table
    }

    /// How many rows it has to concern.
    pub fn expect(&self) -> &RangeInclusive<u64> {
        let (Self::Insert { expect, .. }
        | Self::Update { expect, .. }
        | Self::Delete { expect, .. }
        | Self::Require { expect, .. }) = self;
        expect
    }

    /// How many rows have to be looked at to know whether it is met.
    pub(super) fn looked_at(&self) -> u64 {
        let expect = self.expect();
        if *expect.end() == u64::MAX { *expect.start() } else { *expect.end() + 1 }
    }

    /// Whether there must be no such row.
    pub(super) fn forbids(&self) -> bool {
        matches!(self, Self::Require { expect, .. } if *expect.end() == 0)
    }

    /// Whether it keeps others from holding what it finds.
    pub(super) fn is_alone(&self) -> bool {
        !matches!(self, Self::Require { alone: false, .. })
    }

    /// The same with what earlier writes have returned; `row` is the first row that one of them has.
    pub(super) fn settled<'r>(&self, row: impl Fn(usize) -> Option<&'r Row>) -> Result<Cow<'_, Self>, StoreError> {
        let is_open = |(_, set): &(usize, Set)| matches!(set, Set::Returned { .. });
        let mut settled = match self {
            Self::Update { set, .. } if set.iter().any(is_open) => self.clone(),
            _ => return Ok(Cow::Borrowed(self)),
        };
        if let Self::Update { set, .. } = &mut settled {
            for (_, to) in set {
                if let Set::Returned { write, column } = to {
                    let found = row(*write).and_then(|row| row.values.get(*column)).cloned();
                    let none = || StoreError::Refused(format!("write {write} has returned no row to take a value of"));
                    *to = Set::Value(found.ok_or_else(none)?);
                }
            }
        }
        Ok(Cow::Owned(settled))
    }

    /// Whether its rows are returned, and have such a column.
    fn returns(&self, column: usize) -> bool {
        matches!(self, Self::Insert { .. } | Self::Update { .. }) && column < self.table().columns.len()
    }

    fn is_number(value: &Value) -> bool {
        matches!(value, Value::Int(_) | Value::Real(_) | Value::Number(_))
    }

    /// What no database could do, after these. The table is as it was asked for.
    fn problem(&self, earlier: &[Write]) -> Option<String> {
        let table = self.table();
        let missing = |column: &usize| (*column >= table.columns.len()).then(|| "it has no such column".to_owned());
        let name = |column: usize| &table.columns[column].name;
        match self {
            Self::Insert { cells, .. } => cells.iter().find_map(|(column, _)| missing(column)),
            Self::Update { set, .. } if set.is_empty() => Some("the update sets no column".to_owned()),
            Self::Update { set, .. } => set.iter().enumerate().find_map(|(n, (column, set_to))| {
                let twice = set[..n].iter().any(|(before, _)| before == column);
                missing(column).or_else(|| match set_to {
                    _ if twice => Some(format!("`{}` is set twice", name(*column))),
                    Set::Value(Value::Unchanged) | Set::Greatest(Value::Unchanged) => {
                        Some(format!("`{}` is set to nothing", name(*column)))
                    }
                    Set::Add(value) if !Self::is_number(value) => {
                        Some(format!("what is added to `{}` is no number", name(*column)))
                    }
                    Set::Returned { write, column }
                        if !earlier.get(*write).is_some_and(|write| write.returns(*column)) =>
                    {
                        Some(format!("no write before it returns what `{}` is set to", name(set[n].0)))
                    }
                    Set::Add(_) | Set::Greatest(_) if table.key.contains(column) => {
                        Some(format!("`{}` is of the key, which is set to a value only", name(*column)))
                    }
                    _ => None,
                })
            }),
            Self::Delete { .. } | Self::Require { .. } => None,
        }
    }
}

impl Set {
    /// What is set, added or compared.
    pub(super) fn value(&self) -> &Value {
        match self {
            Self::Value(value) | Self::Add(value) | Self::Greatest(value) => value,
            // A value takes its place before it is written (`Write::settled`).
            Self::Returned { .. } => &Value::Unchanged,
        }
    }
}

/// Refuses what no database could do.
pub(super) fn check(writes: &[Write]) -> Result<(), StoreError> {
    let found = writes.iter().enumerate().find_map(|(n, write)| Some((n, write, write.problem(&writes[..n])?)));
    match found {
        None => Ok(()),
        Some((n, write, problem)) => {
            Err(StoreError::Refused(format!("write {n}, of table `{}`: {problem}", write.table().name)))
        }
    }
}

/// Whether the rows are as many as were expected.
pub(super) fn met(n: usize, write: &Write, rows: u64) -> Result<(), StoreError> {
    if write.expect().contains(&rows) { Ok(()) } else { Err(StoreError::Unmet { write: n, rows }) }
}

/// The first row of what the writes have returned so far.
pub(super) fn first(returned: &[Option<Vec<Row>>], write: usize) -> Option<&Row> {
    returned.get(write)?.as_ref()?.first()
}
