//! A chart's history: rows of a window put into buckets by the server.
//!
//! Small windows are read whole. Of large ones, an even sample is read: runs of rows along the index of the time column where
//! the window is a small part of the table, some of the table's pages otherwise.

mod buckets;
mod number;
mod time;

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::SimpleQueryMessage;

use self::buckets::Buckets;
use self::number::number;
use self::time::{Time, float};
use super::literal::{Literal, literals, typed};
use super::pool::{Lent, within};
use super::{History, Series, SeriesGroup, SeriesQuery, Server, StoreError};
use crate::event::Value;
use crate::postgres::catalog::Described;
use crate::postgres::name::quote;

/// More buckets, times groups, times columns than this are not computed.
const CELLS: usize = 1_000_000;
/// How long the server may take over one statement.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many places of an index are looked up, and how many rows are read in all of them, about.
const PLACES: usize = 6_000;
const ROWS: usize = 100_000;
/// How many pages are read for each bucket at least, where rows are sampled by pages.
const PAGES: f64 = 12.0;
/// A window that is less than this part of its table is sampled along the index.
const PART: f64 = 0.25;

/// Answers a chart's question.
pub(super) async fn series(server: &Arc<Server>, query: SeriesQuery) -> Result<History, StoreError> {
    let groups = if query.group_by.is_some() { query.groups_max.max(1) } else { 1 };
    if (query.buckets as usize).saturating_mul(groups).saturating_mul(query.values.len().max(1)) > CELLS {
        return Err(StoreError::Refused(format!(
            "{} buckets of {} columns for {groups} groups are too many; ask for fewer",
            query.buckets,
            query.values.len()
        )));
    }
    let mut lent = server.pool.for_reading().await?;
    let moment = server.begin_reading(&mut lent, &query.table, PATIENCE).await?;
    server.become_role(&lent, &moment.described, query.role.as_deref()).await?;
    let place = server.place(&moment).await?;
    let plan = Plan::new(server, &lent, &moment.described, &query)?;
    let series = plan.run().await?;
    lent.end().await;
    Ok(History { series, mark: moment.mark(), place })
}

/// What is known before the rows are read.
struct Plan<'a> {
    server: &'a Server,
    lent: &'a Lent,
    described: &'a Described,
    query: &'a SeriesQuery,
    time: Time,
    filter: Option<String>,
    params: Vec<Literal>,
}

/// Which rows are read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reading {
    /// All of the window.
    Whole,
    /// Those of some pages, of a hundred so many.
    Pages(f64),
    /// Runs along the index of the time.
    Runs,
}

impl<'a> Plan<'a> {
    fn new(
        server: &'a Server,
        lent: &'a Lent,
        described: &'a Described,
        query: &'a SeriesQuery,
    ) -> Result<Self, StoreError> {
        let time = Time::of(described, query.time)?;
        let mut params = Vec::new();
        let filter = query.filter.as_ref().map(|filter| {
            let mut sql = String::new();
            filter.push_sql(&mut sql, &mut params);
            sql
        });
        Ok(Self { server, lent, described, query, time, filter, params: literals(&params) })
    }

    async fn run(&self) -> Result<Series, StoreError> {
        let reading = self.reading().await?;
        let range = self.range(reading).await?;
        let mut buckets = Buckets::new(range, self.query);
        let kind = self.query.group_by.map(|group| self.server.types.get(self.described.columns[group].oid));
        for row in self.rows(&self.sql(reading, range), &self.params).await? {
            let group = match (&kind, row.get::<_, Option<&str>>(1)) {
                (Some(kind), Some(text)) => kind.from_text(text),
                _ => Value::Null,
            };
            buckets.add(&group, &row);
        }
        Ok(buckets.into_series(reading == Reading::Whole))
    }

    async fn rows(&self, sql: &str, params: &[Literal]) -> Result<Vec<Row>, StoreError> {
        let answer = self.lent.client().query_typed(sql, &typed(params)).await;
        answer.map_err(|error| self.server.refused_on(&self.described.table.name, error))
    }

    /// How many rows there are is what the planner expects.
    async fn reading(&self) -> Result<Reading, StoreError> {
        let limit = self.server.settings.series_rows as f64;
        if self.query.exact {
            return Ok(Reading::Whole);
        }
        let table = self.expected("true").await?;
        if table <= limit {
            return Ok(Reading::Whole);
        }
        let window = self.expected(&self.window(self.query.from, self.query.to, false)).await?.max(1.0);
        let indexed =
            self.described.columns[self.query.time].indexed && self.time.is_indexable(self.query.role.is_some());
        if indexed && window <= limit {
            return Ok(Reading::Whole);
        }
        if indexed && window < PART * table {
            return Ok(Reading::Runs);
        }
        // Rows of one page are mostly of one time: every bucket needs some pages.
        let pages = PAGES * f64::from(self.query.buckets) / self.pages().await?.max(1.0);
        let wanted = (limit / 2.0 / table).max(pages) * (table / window);
        // Without an index, as many rows as can be read in a moment, wherever they are.
        let part = if indexed { wanted } else { wanted.min((4.0 * limit / table).max(pages)) };
        Ok(if part < 0.5 { Reading::Pages(100.0 * part) } else { Reading::Whole })
    }

    /// How many pages the table has, with its partitions.
    async fn pages(&self) -> Result<f64, StoreError> {
        let sql = format!(
            "SELECT sum(pg_catalog.pg_relation_size(t.oid))::float8 / pg_catalog.current_setting('block_size')::float8 \
             FROM (SELECT {oid}::oid UNION SELECT relid FROM pg_catalog.pg_partition_tree({oid}::oid)) AS t (oid)",
            oid = self.described.oid
        );
        let rows = self.rows(&sql, &[]).await?;
        Ok(rows.first().and_then(|row| row.get::<_, Option<f64>>(0)).unwrap_or(0.0))
    }

    async fn expected(&self, condition: &str) -> Result<f64, StoreError> {
        let sql = format!("EXPLAIN (FORMAT JSON) SELECT 1 FROM {} WHERE {condition}", self.described.rows_of());
        let answer = within(self.lent.client().simple_query(&sql)).await?;
        let text: String = answer
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten(),
                _ => None,
            })
            .collect();
        let plan: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(plan[0]["Plan"]["Plan Rows"].as_f64().unwrap_or(0.0))
    }

    /// The range that was asked for; where it is open, the range of what is there.
    async fn range(&self, reading: Reading) -> Result<(f64, f64), StoreError> {
        let finite = |bound: Option<f64>| bound.filter(|bound| bound.is_finite());
        let (from, to) = (finite(self.query.from), finite(self.query.to));
        let mut found = None;
        if from.is_none() || to.is_none() {
            let column = self.time.column();
            let sql = match reading {
                // The filter is left aside: it could make this slow.
                Reading::Runs => self.ends(&self.window(from, to, false), ""),
                _ => self.ends(&self.condition(from, to, false), &sample(reading)),
            };
            let params = if reading == Reading::Runs { &[][..] } else { &self.params[..] };
            let row = self.rows(&sql.replace("{column}", &column), params).await?;
            found = row.first().and_then(|row| Some((row.get::<_, Option<f64>>(0)?, row.get::<_, Option<f64>>(1)?)));
        }
        let first = from.or(found.map(|(first, _)| first)).or(to).unwrap_or(0.0);
        let last = to.or(found.map(|(_, last)| last)).unwrap_or(first);
        // A window that holds one moment only has a width nevertheless.
        let last = if last > first || to.is_some() { last.max(first) } else { first + 1.0 };
        Ok((first, last))
    }

    fn ends(&self, condition: &str, sample: &str) -> String {
        let (first, last) = (self.time.of_sql("min({column})"), self.time.of_sql("max({column})"));
        format!("SELECT {first}, {last} FROM {}{sample} WHERE {condition}", self.described.rows_of())
    }

    /// Which times are wanted; an open end has none that are infinite. The last of an open window belongs to it.
    fn window(&self, from: Option<f64>, to: Option<f64>, through: bool) -> String {
        self.time.between(from, to, through)
    }

    fn condition(&self, from: Option<f64>, to: Option<f64>, through: bool) -> String {
        let window = self.window(from, to, through);
        self.filter.as_ref().map_or_else(|| window.clone(), |filter| format!("{window} AND {filter}"))
    }

    fn sql(&self, reading: Reading, (from, to): (f64, f64)) -> String {
        let through = self.query.to.is_none();
        let names = &self.described.table.columns;
        let group = self.query.group_by.map_or_else(|| "NULL::text".to_owned(), |n| quote(&names[n].name));
        let mut columns = vec![format!("{} AS at", self.time.column()), format!("{group} AS g")];
        let mut sums = Vec::new();
        let mut sum_names = Vec::new();
        for (n, &value) in self.query.values.iter().enumerate() {
            columns.push(format!("{} AS v{n}", number(&quote(&names[value].name), self.described.columns[value].base)));
            sums.push(format!(
                "count(v{n}) AS n{n}, sum(v{n}) AS s{n}, min(v{n}) AS a{n}, max(v{n}) AS z{n}, \
                 (max(ARRAY[{at}, v{n}]) FILTER (WHERE v{n} IS NOT NULL))[2] AS l{n}",
                at = self.time.of_sql("at")
            ));
            sum_names.push(format!("n{n}, s{n}, a{n}, z{n}, l{n}"));
        }
        let list = |items: &[String]| items.iter().map(|item| format!(", {item}")).collect::<String>();
        let bin = self.time.bin("at", from, (to - from) / f64::from(self.query.buckets.max(1)));
        format!(
            "WITH counted AS MATERIALIZED (SELECT {bin} AS bin, g, count(*) AS n{} FROM (SELECT {} FROM {}) AS rows GROUP BY 1, 2), \
             summed AS (SELECT *, sum(n) OVER (PARTITION BY g) AS of_g FROM counted), \
             ranked AS (SELECT *, dense_rank() OVER (ORDER BY of_g DESC, g) AS rank FROM summed) \
             SELECT {}, CASE WHEN g IS NULL THEN NULL ELSE pg_catalog.concat(g) END, n{} FROM ranked WHERE rank <= {}",
            list(&sums),
            columns.join(", "),
            self.rows_sql(reading, (from, to), through),
            self.time.of_sql("bin"),
            list(&sum_names),
            if self.query.group_by.is_some() { self.query.groups_max } else { 1 },
        )
    }

    fn rows_sql(&self, reading: Reading, (from, to): (f64, f64), through: bool) -> String {
        let table = self.described.rows_of();
        if reading != Reading::Runs {
            return format!("{table}{} WHERE {}", sample(reading), self.condition(Some(from), Some(to), through));
        }
        let step = float((to - from) / PLACES as f64);
        let (column, run) = (self.time.column(), ROWS.div_ceil(PLACES));
        let edge = |n: &str| self.time.to_sql(&format!("({} + ({n}) * {step})", float(from)));
        let filter = self.filter.as_ref().map_or_else(String::new, |filter| format!(" WHERE {filter}"));
        // Under policies an index is used only by what compares and does nothing else: the edges are made outside (OFFSET 0).
        format!(
            "(SELECT run.* FROM (SELECT {} AS low, {} AS high FROM pg_catalog.generate_series(0, {}) AS place OFFSET 0) AS places \
             CROSS JOIN LATERAL (SELECT {} FROM {table} WHERE {column} >= places.low AND {column} {} places.high \
             ORDER BY {column} LIMIT {run}) AS run) AS sampled{filter}",
            edge("place"),
            edge("place + 1"),
            PLACES - 1,
            self.readable(),
            if through { "<=" } else { "<" },
        )
    }

    /// All columns, or those that a role has been given.
    fn readable(&self) -> String {
        let Some(readable) = self.query.role.as_ref().and_then(|role| role.readable.as_deref()) else {
            return "*".to_owned();
        };
        let columns = &self.described.table.columns;
        readable.iter().map(|&n| quote(&columns[n].name)).collect::<Vec<_>>().join(", ")
    }
}

fn sample(reading: Reading) -> String {
    match reading {
        Reading::Pages(percent) => format!(" TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1)"),
        _ => String::new(),
    }
}
