//! A chart's history: rows of a window put into buckets.
//!
//! Small windows are read whole. Of large ones, runs of rows at even distances are read: along the index of the time
//! column where there is one, along the rowid otherwise.

mod buckets;
mod sample;
mod time;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params_from_iter};

use self::buckets::Buckets;
use self::time::Window;
use super::pool::Pool;
use super::{History, Series, SeriesQuery, StoreError, find_same, refused};
use crate::event::{Mark, Value};
use crate::sqlite::catalog::{Described, Identity};
use crate::sqlite::name::quote;
use crate::sqlite::value::{self, Bound};

/// More buckets, times groups, times columns than this are not computed.
const CELLS: usize = 1_000_000;

/// Answers a chart's question, within the connection's transaction.
pub(crate) fn series(pool: &Pool, connection: &Connection, query: &SeriesQuery) -> Result<History, StoreError> {
    let now = pool.begin_snapshot(connection)?;
    let catalog = pool.catalog(connection)?;
    let described = find_same(&catalog, &query.table)?;
    let groups = if query.group_by.is_some() { query.groups_max.max(1) } else { 1 };
    if (query.buckets as usize).saturating_mul(groups).saturating_mul(query.values.len().max(1)) > CELLS {
        return Err(StoreError::Refused(format!(
            "{} buckets of {} columns for {groups} groups are too many; ask for fewer",
            query.buckets,
            query.values.len()
        )));
    }
    let plan = Plan::new(connection, &described, query, pool.settings.series_rows).map_err(refused)?;
    let series = plan.run().map_err(refused)?;
    Ok(History { series, mark: Mark::UpTo(now.seq), place: now.to_place() })
}

/// What is known before the rows are read.
struct Plan<'a> {
    connection: &'a Connection,
    described: &'a Described,
    query: &'a SeriesQuery,
    window: Window,
    /// A rowid, or an index whose first column is the time, finds a window's rows.
    indexed: bool,
    /// Rows beyond which they are sampled.
    rows_max: u64,
}

/// A row's place in the columns that [`Plan::columns`] names: the time, the group, the values.
const TIME: usize = 0;
const GROUP: usize = 1;
const VALUES: usize = 2;

impl<'a> Plan<'a> {
    fn new(
        connection: &'a Connection,
        described: &'a Described,
        query: &'a SeriesQuery,
        rows_max: u64,
    ) -> rusqlite::Result<Self> {
        let window = Window::new(connection, described, query)?;
        let indexed = window.is_numeric() && has_index(connection, described, query.time)?;
        Ok(Self { connection, described, query, window, indexed, rows_max })
    }

    fn run(&self) -> rusqlite::Result<Series> {
        if !self.query.exact && self.is_large()? {
            let sampled = if self.indexed { self.sample_by_time()? } else { self.sample_by_rowid()? };
            if let Some(series) = sampled {
                return Ok(series);
            }
        }
        let mut buckets = Buckets::new(self.window, self.whole_range()?, self.query);
        if let Some(group) = self.query.group_by {
            buckets.only(self.largest_groups(group)?);
        }
        let mut params = self.filter_params();
        let condition = self.window.condition(&self.time(), &mut params);
        let sql = format!("SELECT {} FROM {} WHERE {condition}{}", self.columns(), self.table(), self.and_filter());
        self.each(&sql, &params, |row| buckets.add(row))?;
        Ok(buckets.into_series(true))
    }

    fn table(&self) -> String {
        quote(&self.described.table.name.name)
    }

    fn time(&self) -> String {
        self.described.column_sql(self.query.time)
    }

    fn columns(&self) -> String {
        let group = self.query.group_by.map_or_else(|| "NULL".to_owned(), |n| self.described.column_sql(n));
        let mut columns = vec![self.time(), group];
        columns.extend(self.query.values.iter().map(|&n| self.described.column_sql(n)));
        columns.join(",")
    }

    /// The parameters of the filter, which are numbered first wherever it stands.
    fn filter_params(&self) -> Vec<Value> {
        let mut params = Vec::new();
        if let Some(filter) = &self.query.filter {
            filter.push_sql(&mut String::new(), &mut params);
        }
        params
    }

    fn filter(&self) -> Option<String> {
        let mut sql = String::new();
        self.query.filter.as_ref()?.push_sql(&mut sql, &mut Vec::new());
        Some(sql)
    }

    fn and_filter(&self) -> String {
        self.filter().map_or_else(String::new, |filter| format!(" AND ({filter})"))
    }

    /// Runs a query and hands over its rows.
    fn each(
        &self,
        sql: &str,
        params: &[Value],
        mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params_from_iter(params.iter().map(Bound)))?;
        while let Some(row) = rows.next()? {
            take(row)?;
        }
        Ok(())
    }

    /// Whether more rows than are read in a moment are in the window or, without an index, in the table.
    fn is_large(&self) -> rusqlite::Result<bool> {
        let limit = i64::try_from(self.rows_max).unwrap_or(i64::MAX).saturating_add(1);
        let mut params = vec![Value::Int(limit)];
        let condition = if self.indexed { self.window.condition(&self.time(), &mut params) } else { "1".to_owned() };
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {} WHERE {condition} LIMIT ?1)", self.table());
        let mut count = 0;
        self.each(&sql, &params, |row| row.get(0).map(|found: i64| count = found))?;
        Ok(count == limit)
    }

    /// The range that was asked for; where it is open, the range of what is there.
    fn whole_range(&self) -> rusqlite::Result<(f64, f64)> {
        let mut found = Range::default();
        if self.query.from.is_none() || self.query.to.is_none() {
            let time = self.time();
            let mut params = self.filter_params();
            let condition = self.window.condition(&time, &mut params);
            let (table, filter) = (self.table(), self.and_filter());
            if self.window.is_numeric() {
                for end in ["min", "max"] {
                    let sql = format!("SELECT {end}({time}) FROM {table} WHERE {condition}{filter}");
                    self.each(&sql, &params, |row| found.take_row(self.window, row))?;
                }
            } else {
                let sql = format!("SELECT {time} FROM {table} WHERE {condition}{filter}");
                self.each(&sql, &params, |row| found.take_row(self.window, row))?;
            }
        }
        Ok(self.range(found))
    }

    fn range(&self, found: Range) -> (f64, f64) {
        let (first, last) = found.0.unwrap_or((0.0, 0.0));
        let from = self.query.from.unwrap_or(if found.0.is_none() { self.query.to.unwrap_or(0.0) } else { first });
        let to = self.query.to.unwrap_or(last);
        // A window that holds one moment only has a width nevertheless.
        (
            from,
            if to > from {
                to
            } else if self.query.to.is_some() {
                from
            } else {
                from + 1.0
            },
        )
    }

    /// The groups with the most rows, as JSON.
    fn largest_groups(&self, group: usize) -> rusqlite::Result<Vec<Vec<u8>>> {
        let mut params = self.filter_params();
        let condition = self.window.condition(&self.time(), &mut params);
        params.push(Value::Int(i64::try_from(self.query.groups_max).unwrap_or(i64::MAX)));
        let (group, limit) = (self.described.column_sql(group), params.len());
        let sql = format!(
            "SELECT {group} FROM {} WHERE {condition}{} GROUP BY {group} COLLATE BINARY ORDER BY count(*) DESC LIMIT ?{limit}",
            self.table(),
            self.and_filter()
        );
        let mut groups = Vec::new();
        self.each(&sql, &params, |row| {
            let mut json = Vec::new();
            write_group(row.get_ref(0)?, &mut json);
            groups.push(json);
            Ok(())
        })?;
        Ok(groups)
    }
}

/// The least and the greatest of the times that were taken.
#[derive(Debug, Clone, Copy, Default)]
struct Range(Option<(f64, f64)>);

impl Range {
    /// Takes the time that a row begins with.
    fn take_row(&mut self, window: Window, row: &Row<'_>) -> rusqlite::Result<()> {
        self.take(window.time(row.get_ref(TIME)?));
        Ok(())
    }

    fn take(&mut self, time: Option<f64>) {
        if let Some(time) = time {
            let (first, last) = self.0.unwrap_or((time, time));
            self.0 = Some((first.min(time), last.max(time)));
        }
    }
}

/// Whether the rows between two numbers are found without reading the others.
fn has_index(connection: &Connection, described: &Described, column: usize) -> rusqlite::Result<bool> {
    if is_rowid(described, column) {
        return Ok(true);
    }
    let sql = "SELECT 1 FROM pragma_index_list(?1) i, pragma_index_info(i.name) c \
               WHERE i.partial = 0 AND c.seqno = 0 AND c.name = ?2 COLLATE NOCASE";
    let (table, column) = (&*described.table.name.name, &*described.table.columns[column].name);
    connection.prepare_cached(sql)?.exists([table, column])
}

/// Whether a column is the rowid by another name, which every `INTEGER PRIMARY KEY` is.
fn is_rowid(described: &Described, column: usize) -> bool {
    let declared = &described.table.columns[column].declared;
    matches!(described.identity, Identity::Rowid(_))
        && described.table.key == [column]
        && declared.eq_ignore_ascii_case("INTEGER")
        && described.uniques.iter().all(|unique| unique.columns.len() != 1 || unique.columns[0].0 != column)
}

/// A group's value as JSON. A double that is an integer is that integer, for SQL calls them equal.
fn write_group(group: ValueRef<'_>, json: &mut Vec<u8>) {
    match value::read(group) {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
        Value::Real(x) if x.trunc() == x && x.abs() < 1e15 => Value::Int(x as i64).write_json(json),
        other => other.write_json(json),
    }
}

fn number(value: ValueRef<'_>) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "a chart shows no more than a double holds")]
        ValueRef::Integer(n) => Some(n as f64),
        ValueRef::Real(x) if x.is_finite() => Some(x),
        _ => None,
    }
}
