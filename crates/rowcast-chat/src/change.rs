//! One change of the chat's: writes that stand together or not at all, each with what it means where it is not met.
//!
//! What may be done is decided by what was read, and required again where it is written: so it still holds at the commit.

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rowcast::event::{Row, Table, Value};
use rowcast::filter::Predicate;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::{Conflict, Set, StoreError, ViolationKind, Write};
use serde_json::Value as Json;

use crate::house::House;
use crate::problems;
use crate::records::Record;

/// How often something is decided anew, because others have changed meanwhile what it was decided by.
const ATTEMPTS: usize = 6;

/// Exactly one row.
pub(crate) const ONE: RangeInclusive<u64> = 1..=1;

/// Some rows of a table: a condition in which `claims.x` stands for what is bound.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) table: &'static str,
    pub(crate) filter: &'static str,
    pub(crate) bound: Vec<(&'static str, Json)>,
}

impl Rows {
    pub(crate) fn new(table: &'static str, filter: &'static str, bound: &[(&'static str, Json)]) -> Self {
        Self { table, filter, bound: bound.to_vec() }
    }
}

/// A column and what it is to hold.
pub(crate) type Cell = (&'static str, Value);

/// Writes on their way.
pub(crate) struct Change<'h> {
    house: &'h House,
    writes: Vec<Write>,
    /// What is to be answered where a write is not met; without it, the matter is decided anew.
    unmet: Vec<Option<Problem>>,
}

/// Why a change does not stand.
#[derive(Debug)]
pub(crate) enum Broken {
    /// What it was decided by is not so any more.
    Moved,
    /// It may not be.
    Refused(Problem),
}

impl From<Problem> for Broken {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<Refusal> for Broken {
    fn from(Refusal(problem): Refusal) -> Self {
        Self::Refused(problem)
    }
}

/// What a change has made.
pub(crate) struct Made {
    tables: Vec<Arc<Table>>,
    rows: Vec<Option<Vec<Row>>>,
}

impl Made {
    /// The one row of a write that inserts or updates it.
    pub(crate) fn row(&self, write: usize) -> Result<Record, Problem> {
        let row = self.rows.get(write).and_then(Option::as_ref).and_then(|rows| rows.first());
        let row = row.cloned().ok_or_else(|| {
            tracing::error!(
                "the database does not tell a row of `{}` that the chat has written",
                self.tables[write].name
            );
            problems::internal()
        })?;
        Ok(Record::new(self.tables[write].clone(), row))
    }
}

/// Does something that is decided by what is read until nobody has changed that meanwhile.
pub(crate) async fn decided<T, F: Future<Output = Result<T, Broken>>>(once: impl Fn() -> F) -> Result<T, Refusal> {
    for _ in 0..ATTEMPTS {
        match once().await {
            Ok(done) => return Ok(done),
            Err(Broken::Refused(problem)) => return Err(problem.into()),
            Err(Broken::Moved) => {}
        }
    }
    Err(problems::unavailable("others change the same in this moment").into())
}

impl House {
    /// Nothing yet.
    pub(crate) fn change(&self) -> Change<'_> {
        Change { house: self, writes: Vec::new(), unmet: Vec::new() }
    }
}

impl Change<'_> {
    /// These rows have to be there at the commit, and stay as they are until then.
    pub(crate) async fn require(&mut self, rows: Rows, expect: RangeInclusive<u64>) -> Result<&mut Self, Problem> {
        let (table, filter) = self.condition(&rows).await?;
        Ok(self.push(Write::require(table, Some(filter)).expecting(expect)))
    }

    /// The same for a row that others who want it wait for.
    pub(crate) async fn claim(&mut self, rows: Rows) -> Result<&mut Self, Problem> {
        let (table, filter) = self.condition(&rows).await?;
        Ok(self.push(Write::require(table, Some(filter)).expecting(ONE).alone()))
    }

    pub(crate) async fn insert(&mut self, table: &'static str, cells: Vec<Cell>) -> Result<&mut Self, Problem> {
        let (table, cells) = self.cells(table, cells).await?;
        Ok(self.push(Write::insert(table, cells)))
    }

    /// The same where it may be there already, and is left as it is then.
    pub(crate) async fn insert_missing(&mut self, table: &'static str, cells: Vec<Cell>) -> Result<&mut Self, Problem> {
        let (table, cells) = self.cells(table, cells).await?;
        let key = table.key.clone();
        Ok(self.push(Write::insert(table, cells).on_conflict(Conflict::Ignore(key)).expecting(0..=1)))
    }

    /// The same where it may be there already, and becomes this then.
    pub(crate) async fn put(&mut self, table: &'static str, cells: Vec<Cell>) -> Result<&mut Self, Problem> {
        let (table, cells) = self.cells(table, cells).await?;
        Ok(self.push(Write::insert(table, cells).on_conflict(Conflict::Update(Vec::new())).expecting(0..=1)))
    }

    pub(crate) async fn update(
        &mut self,
        rows: Rows,
        set: Vec<(&'static str, Set)>,
        expect: RangeInclusive<u64>,
    ) -> Result<&mut Self, Problem> {
        let (table, filter) = self.condition(&rows).await?;
        let set = set.into_iter().map(|(name, set)| Ok((self.house.column(&table, name)?, set)));
        let set = set.collect::<Result<Vec<_>, Problem>>()?;
        Ok(self.push(Write::update(table, Some(filter), set).expecting(expect)))
    }

    pub(crate) async fn delete(&mut self, rows: Rows, expect: RangeInclusive<u64>) -> Result<&mut Self, Problem> {
        let (table, filter) = self.condition(&rows).await?;
        Ok(self.push(Write::delete(table, Some(filter)).expecting(expect)))
    }

    /// What is to be answered where the last of the writes is not met.
    pub(crate) fn or(&mut self, problem: Problem) -> &mut Self {
        if let Some(unmet) = self.unmet.last_mut() {
            *unmet = Some(problem);
        }
        self
    }

    /// This moment, for a `timestamp` column.
    pub(crate) fn now(&self) -> Value {
        self.house.now()
    }

    /// Whose change it is.
    pub(crate) fn house(&self) -> &House {
        self.house
    }

    /// Where a column of a table is.
    pub(crate) async fn column(&self, table: &str, name: &str) -> Result<usize, Problem> {
        let table = self.house.table(table).await?;
        self.house.column(&table, name)
    }

    /// The number of the write that comes next.
    pub(crate) fn next(&self) -> usize {
        self.writes.len()
    }

    /// Writes all of it, or nothing.
    pub(crate) async fn commit(self) -> Result<Made, Broken> {
        let Self { house, writes, mut unmet } = self;
        let tables = writes.iter().map(|write| write.table().clone()).collect();
        match house.store.write(writes).await {
            Ok(written) => Ok(Made { tables, rows: written.returned }),
            Err(StoreError::Unmet { write, .. }) => match unmet.swap_remove(write) {
                Some(problem) => Err(problem.into()),
                None => Err(Broken::Moved),
            },
            // Somebody else has just put it there.
            Err(StoreError::Violated(violation)) if violation.kind == ViolationKind::Unique => Err(Broken::Moved),
            Err(error) => Err(problems::of_store(error).into()),
        }
    }

    fn push(&mut self, write: Write) -> &mut Self {
        self.writes.push(write);
        self.unmet.push(None);
        self
    }

    async fn condition(&self, rows: &Rows) -> Result<(Arc<Table>, Arc<Predicate>), Problem> {
        let table = self.house.table(rows.table).await?;
        let filter = self.house.condition(&table, rows.filter, &rows.bound)?;
        Ok((table, filter))
    }

    async fn cells(&self, table: &str, cells: Vec<Cell>) -> Result<(Arc<Table>, Vec<(usize, Value)>), Problem> {
        let table = self.house.table(table).await?;
        let cells = cells.into_iter().map(|(name, value)| Ok((self.house.column(&table, name)?, value)));
        let cells = cells.collect::<Result<_, Problem>>()?;
        Ok((table, cells))
    }
}
