//! One write as one statement, whose answer says how many rows it has concerned, how they stand, and whether they may.

use std::sync::Arc;

use tokio_postgres::{Error, Row as Answered};

use super::super::insert::rows::{on_conflict, target};
use super::super::literal::quote_table;
use super::super::{Server, StoreError};
use super::as_text;
use crate::event::{Row, Value};
use crate::filter::{Dialect, Predicate};
use crate::postgres::catalog::Described;
use crate::postgres::name::quote;
use crate::postgres::types::Kind;
use crate::store::delivery::no_unique_key;
use crate::store::{Conflict, Set, Write};

/// What is sent, and what the answer means.
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) params: Vec<Value>,
    /// Whether the answer has rows of the table, and how they are read. Otherwise it has one row, a number.
    kinds: Option<Box<[Arc<Kind>]>>,
}

pub(super) struct Answer {
    pub(super) count: u64,
    pub(super) rows: Option<Vec<Row>>,
    /// Whether all rows are as they have to be.
    pub(super) allowed: bool,
}

impl Statement {
    pub(super) fn of(server: &Server, described: &Described, write: &Write) -> Result<Self, StoreError> {
        let mut writer = Writer { server, described, params: Vec::new() };
        let sql = match write {
            Write::Insert { cells, conflict, check, .. } => writer.insert(cells, conflict, check.as_deref())?,
            Write::Update { filter, set, check, .. } => writer.update(write, filter.as_deref(), set, check.as_deref()),
            Write::Delete { filter, .. } => writer.delete(write, filter.as_deref()),
            Write::Require { filter, .. } => writer.require(write, filter.as_deref()),
        };
        let returns = matches!(write, Write::Insert { .. } | Write::Update { .. });
        let kinds = returns.then(|| described.columns.iter().map(|column| server.types.get(column.oid)).collect());
        Ok(Self { sql, params: writer.params, kinds })
    }

    /// Of rows: whether it is one or only says how many there would be; that number; whether it is allowed; its columns.
    pub(super) fn answer(&self, rows: &[Answered]) -> Result<Answer, Error> {
        let number = |n: i64| n.unsigned_abs();
        let Some(kinds) = &self.kinds else {
            let count = rows.first().map(|row| row.try_get::<_, i64>(0)).transpose()?;
            return Ok(Answer { count: count.map_or(0, number), rows: None, allowed: true });
        };
        let (mut found, mut allowed) = (Vec::with_capacity(rows.len()), true);
        for row in rows {
            if row.try_get::<_, Option<bool>>(0)?.is_none() {
                let would = row.try_get::<_, Option<i64>>(1)?.map_or(0, number);
                return Ok(Answer { count: would, rows: Some(Vec::new()), allowed: true });
            }
            allowed &= row.try_get::<_, bool>(2)?;
            let value = |(n, kind): (usize, &Arc<Kind>)| {
                Ok::<_, Error>(row.try_get::<_, Option<&str>>(3 + n)?.map_or(Value::Null, |text| kind.from_text(text)))
            };
            found.push(Row::from(kinds.iter().enumerate().map(value).collect::<Result<Vec<Value>, _>>()?));
        }
        Ok(Answer { count: found.len() as u64, rows: Some(found), allowed })
    }
}

struct Writer<'a> {
    server: &'a Server,
    described: &'a Described,
    params: Vec<Value>,
}

impl Writer<'_> {
    fn insert(
        &mut self,
        cells: &[(usize, Value)],
        conflict: &Conflict,
        check: Option<&Predicate>,
    ) -> Result<String, StoreError> {
        let told_by = target(self.described, conflict);
        if let Conflict::Ignore(columns) | Conflict::Update(columns) = conflict
            && (told_by.is_empty() || told_by.iter().any(|column| *column >= self.described.columns.len()))
        {
            return Err(StoreError::Refused(no_unique_key(&self.described.table, columns)));
        }
        let mut columns: Vec<usize> =
            cells.iter().filter(|(_, value)| *value != Value::Unchanged).map(|(column, _)| *column).collect();
        columns.sort_unstable();
        columns.dedup();
        let table = quote_table(&self.described.table.name);
        let insert = if columns.is_empty() {
            format!("INSERT INTO {table} DEFAULT VALUES")
        } else {
            // Given twice, the last one counts.
            let given =
                |column: usize| cells.iter().rev().find(|(set, value)| *set == column && *value != Value::Unchanged);
            let values: Vec<String> = columns
                .iter()
                .map(|&column| self.cast(column, given(column).map_or(&Value::Null, |(_, value)| value)))
                .collect();
            let names: Vec<String> = columns.iter().map(|&column| self.name(column)).collect();
            let conflict = on_conflict(self.described, conflict, &told_by, &columns);
            format!("INSERT INTO {table} ({}) VALUES ({}){conflict}", names.join(", "), values.join(", "))
        };
        let changed = format!("rowcast_changed AS ({insert} RETURNING {})", self.names().join(", "));
        Ok(format!("WITH {changed} {}", self.changed("NULL::bigint", check)))
    }

    fn update(
        &mut self,
        write: &Write,
        filter: Option<&Predicate>,
        set: &[(usize, Set)],
        check: Option<&Predicate>,
    ) -> String {
        let set: Vec<String> = set.iter().map(|(column, to)| self.set(*column, to)).collect();
        let (counted, condition) = self.guarded(write, filter);
        let update = format!("UPDATE {} SET {}{condition}", self.described.rows_of(), set.join(", "));
        let changed = format!("rowcast_changed AS ({update} RETURNING {})", self.names().join(", "));
        if counted.is_empty() {
            return format!("WITH {changed} {}", self.changed("NULL::bigint", check));
        }
        let rows = self.changed("(SELECT n FROM rowcast_count)", check);
        format!(
            "WITH {counted}, {changed} {rows} UNION ALL SELECT NULL, n, NULL{} FROM rowcast_count WHERE n > {}",
            ", NULL".repeat(self.described.columns.len()),
            bigint(*write.expect().end())
        )
    }

    fn delete(&mut self, write: &Write, filter: Option<&Predicate>) -> String {
        let (counted, condition) = self.guarded(write, filter);
        let deleted = format!(
            "rowcast_changed AS (DELETE FROM {}{condition} RETURNING 1), \
             rowcast_done AS (SELECT count(*) AS n FROM rowcast_changed)",
            self.described.rows_of()
        );
        if counted.is_empty() {
            return format!("WITH {deleted} SELECT n FROM rowcast_done");
        }
        // Where there are too many, none is gone, and how many there would be is told.
        let most = bigint(*write.expect().end());
        format!(
            "WITH {counted}, {deleted} SELECT CASE WHEN c.n > {most} THEN c.n ELSE d.n END FROM rowcast_count c, rowcast_done d"
        )
    }

    fn require(&mut self, write: &Write, filter: Option<&Predicate>) -> String {
        let condition = self.condition(filter);
        let hold = if write.is_alone() { " FOR UPDATE" } else { Dialect::Postgres.hold() };
        format!(
            "SELECT count(*) FROM (SELECT 1 FROM {}{condition} LIMIT {}{hold}) AS found",
            self.described.rows_of(),
            bigint(write.looked_at())
        )
    }

    /// Counts, before anything is changed, whether there are more rows than may be: the condition then keeps all of them out.
    fn guarded(&mut self, write: &Write, filter: Option<&Predicate>) -> (String, String) {
        let condition = self.condition(filter);
        let most = *write.expect().end();
        if most == u64::MAX {
            return (String::new(), condition);
        }
        let (rows, limit) = (self.described.rows_of(), bigint(write.looked_at()));
        let counted = format!(
            "rowcast_count AS MATERIALIZED (SELECT count(*) AS n FROM (SELECT 1 FROM {rows}{condition} LIMIT {limit}) AS found)"
        );
        let word = if condition.is_empty() { "WHERE" } else { "AND" };
        (counted, format!("{condition} {word} (SELECT n FROM rowcast_count) <= {}", bigint(most)))
    }

    fn condition(&mut self, filter: Option<&Predicate>) -> String {
        let mut sql = String::new();
        if let Some(filter) = filter {
            sql.push_str(" WHERE ");
            filter.push_holding_sql(&mut sql, &mut self.params);
        }
        sql
    }

    /// The changed rows: that they are, how many there were, whether they are allowed, and their columns as the types print them.
    fn changed(&mut self, count: &str, check: Option<&Predicate>) -> String {
        let mut allowed = String::new();
        match check {
            None => allowed.push_str("true"),
            Some(check) => {
                check.push_holding_sql(&mut allowed, &mut self.params);
                allowed.push_str(" IS TRUE");
            }
        }
        // A cast to text is not what the type prints: it adds to an inet, and takes from a char.
        let texts = self.names().into_iter().map(|name| {
            format!(", CASE WHEN {name} IS NOT DISTINCT FROM NULL THEN NULL ELSE pg_catalog.format('%s', {name}) END")
        });
        format!("SELECT true, {count}, {allowed}{} FROM rowcast_changed", texts.collect::<String>())
    }

    fn set(&mut self, column: usize, to: &Set) -> String {
        let (name, value) = (self.name(column), self.cast(column, to.value()));
        match to {
            Set::Value(_) | Set::Returned { .. } => format!("{name} = {value}"),
            Set::Add(_) => format!("{name} = {name} + {value}"),
            Set::Greatest(_) => {
                format!("{name} = CASE WHEN {name} IS NULL OR {name} < {value} THEN {value} ELSE {name} END")
            }
        }
    }

    /// A parameter as the column's type without its modifier: a cast to `varchar(3)` would cut off in silence what storing refuses.
    fn cast(&mut self, column: usize, value: &Value) -> String {
        self.params.push(as_text(self.server, self.described, column, value));
        format!("${}::text::{}", self.params.len(), self.described.columns[column].cast)
    }

    fn name(&self, column: usize) -> String {
        quote(&self.described.table.columns[column].name)
    }

    fn names(&self) -> Vec<String> {
        (0..self.described.columns.len()).map(|column| self.name(column)).collect()
    }
}

fn bigint(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
