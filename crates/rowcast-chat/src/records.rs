//! Rows of the chat's tables, read by the names of their columns.

use std::sync::Arc;

use rowcast::event::{Row, Table, TableName, Value};
use rowcast::filter::{Filter, Predicate};
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::{Select, Set};
use serde_json::{Map, Value as Json};

use crate::change::Rows;
use crate::house::House;
use crate::problems;

/// One row, with the names of its columns.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    table: Arc<Table>,
    row: Row,
}

/// What names in a filter stand for: `("user", id)` is `claims.user`.
pub(crate) type Bound<'b> = &'b [(&'b str, Json)];

impl House {
    /// A table of the chat's.
    pub(crate) async fn table(&self, name: &str) -> Result<Arc<Table>, Problem> {
        self.store.table(&TableName::bare(name)).await.map_err(problems::of_store)
    }

    /// Where a column of it is.
    pub(crate) fn column(&self, table: &Table, name: &str) -> Result<usize, Problem> {
        table.columns.iter().position(|column| *column.name == *name).ok_or_else(|| {
            tracing::error!("table `{}` has no column `{name}`: it is not the chat's", table.name);
            problems::internal()
        })
    }

    /// Columns of a table with their values, for a row to be inserted.
    pub(crate) fn cells<const N: usize>(
        &self,
        table: &Table,
        named: [(&str, Value); N],
    ) -> Result<Vec<(usize, Value)>, Problem> {
        named.into_iter().map(|(name, value)| Ok((self.column(table, name)?, value))).collect()
    }

    /// Columns of a table with what becomes of them.
    pub(crate) fn sets<const N: usize>(
        &self,
        table: &Table,
        named: [(&str, Set); N],
    ) -> Result<Vec<(usize, Set)>, Problem> {
        named.into_iter().map(|(name, set)| Ok((self.column(table, name)?, set))).collect()
    }

    /// A condition on a table's rows, in which `claims.x` stands for what is bound: nothing of a request is ever part of its text.
    pub(crate) fn condition(&self, table: &Table, filter: &str, bound: Bound<'_>) -> Result<Arc<Predicate>, Problem> {
        let bound: Map<String, Json> = bound.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let predicate = Filter::parse(filter).and_then(|filter| filter.bind(table, self.store.dialect(), &bound));
        predicate.map(Arc::new).map_err(|error| {
            tracing::error!("a condition on `{}` cannot be decided: {error}", table.name);
            problems::internal()
        })
    }

    /// All rows of a table for which a condition is true, by their key.
    pub(crate) async fn find(&self, table: &str, filter: &str, bound: Bound<'_>) -> Result<Vec<Record>, Refusal> {
        let table = self.table(table).await?;
        let filter = Some(self.condition(&table, filter, bound)?);
        let select = Select { table, filter, order_by: Vec::new(), limit: None, offset: 0, role: None };
        Ok(self.read(select).await?)
    }

    /// The same of rows that a change could be about.
    pub(crate) async fn find_rows(&self, rows: &Rows) -> Result<Vec<Record>, Refusal> {
        self.find(rows.table, rows.filter, &rows.bound).await
    }

    /// The rows of a question.
    pub(crate) async fn read(&self, select: Select) -> Result<Vec<Record>, Problem> {
        let mut snapshot = self.store.snapshot(select).await.map_err(problems::of_store)?;
        let mut records = Vec::new();
        while let Some(chunk) = snapshot.rows.recv().await {
            let rows = chunk.map_err(problems::of_store)?;
            records.extend(rows.into_iter().map(|row| Record { table: snapshot.table.clone(), row }));
        }
        Ok(records)
    }
}

/// A text as a value.
pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// A text, or NULL.
pub(crate) fn text_or_null(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.into()))
}

impl Record {
    pub(crate) fn new(table: Arc<Table>, row: Row) -> Self {
        Self { table, row }
    }

    /// The row as `/v1` shows it.
    pub(crate) fn json(&self) -> Result<Json, Problem> {
        let mut json = Vec::new();
        self.row.write_json(&self.table, 0..self.table.columns.len(), &mut json);
        serde_json::from_slice(&json).map_err(|error| {
            tracing::error!("a row of `{}` cannot be shown: {error}", self.table.name);
            problems::internal()
        })
    }

    /// A truth value, as the database has it: 1 and 0, where it has no type for it.
    pub(crate) fn truth(&self, column: &str) -> bool {
        matches!(self.value(column), Some(Value::Bool(true) | Value::Int(1)))
    }

    fn value(&self, column: &str) -> Option<&Value> {
        let index = self.table.columns.iter().position(|known| *known.name == *column)?;
        self.row.values.get(index)
    }

    /// A text; `None` where it is NULL.
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        match self.value(column)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number; `None` where it is NULL.
    pub(crate) fn integer(&self, column: &str) -> Option<i64> {
        match self.value(column)? {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }
}
