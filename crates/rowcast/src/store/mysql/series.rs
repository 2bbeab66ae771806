//! A chart's history: rows of a window put into buckets by the server.
//!
//! Small windows are read whole. Of large ones, runs of rows at even distances are read: along the index of the time column
//! where there is one, along a whole primary key otherwise.

mod buckets;
mod time;

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row, Value as Raw};

use self::buckets::{Buckets, real};
use self::time::{Time, float, group, number};
use super::pool::Lent;
use super::{History, Series, SeriesQuery, Server, StoreError, quote, value};
use crate::mysql::Kind;
use crate::mysql::catalog::Described;

/// More buckets, times groups, times columns than this are not computed.
const CELLS: usize = 1_000_000;
/// How long the server may take over all of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many places of an index are looked up, how many of them in one statement, and how many rows are read in each.
const PLACES: usize = 1_000;
const PLACES_AT_ONCE: usize = 100;
const ROWS: usize = 100;
/// Digits of a time's place in the window, which stand before a value to find the last one.
const KEY_DIGITS: usize = 20;

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
    let moment = match server.begin_reading(&mut lent, &query.table).await {
        Ok(moment) => moment,
        Err(error) => {
            lent.end().await;
            return Err(error);
        }
    };
    let plan = Plan::new(server, &moment.described, &query)?;
    let late = |_| StoreError::Unavailable(format!("the chart has taken more than {} s", PATIENCE.as_secs()));
    let series = tokio::time::timeout(PATIENCE, plan.run(&mut lent)).await.map_err(late)??;
    lent.end().await;
    Ok(History { series, mark: moment.mark, place: moment.place })
}

/// What is known before the rows are read.
struct Plan<'a> {
    server: &'a Server,
    described: &'a Described,
    query: &'a SeriesQuery,
    time: Time,
    filter: Option<String>,
    params: Vec<Raw>,
}

/// Which rows are read.
#[derive(Debug, Clone, PartialEq)]
enum Reading {
    /// All of the window.
    Whole,
    /// Runs along the index of the time.
    Times,
    /// Runs along the primary key, between its ends.
    Keys { key: usize, first: i128, last: i128 },
}

impl<'a> Plan<'a> {
    fn new(server: &'a Server, described: &'a Described, query: &'a SeriesQuery) -> Result<Self, StoreError> {
        let time = Time::of(&described.table.columns[query.time])?;
        let mut params = Vec::new();
        let filter = query.filter.as_ref().map(|filter| {
            let mut sql = String::new();
            filter.push_sql(&mut sql, &mut params);
            format!("({sql})")
        });
        Ok(Self { server, described, query, time, filter, params: value::parameters(&params) })
    }

    async fn run(&self, lent: &mut Lent) -> Result<Series, StoreError> {
        let reading = self.reading(lent).await?;
        let range = self.range(lent, &reading).await?;
        let mut buckets = Buckets::new(range, self.query);
        for source in self.sources(&reading, range) {
            for row in self.rows(lent, self.sql(&reading, &source, range), true).await? {
                buckets.add(row.unwrap());
            }
        }
        Ok(buckets.into_series(reading == Reading::Whole))
    }

    async fn rows(&self, lent: &mut Lent, sql: String, filtered: bool) -> Result<Vec<Row>, StoreError> {
        let params =
            if filtered && !self.params.is_empty() { Params::Positional(self.params.clone()) } else { Params::Empty };
        let answer = lent.exec(sql, params).await;
        answer.map_err(|error| self.server.refused_on(&self.described.table.name, error))
    }

    fn table(&self) -> String {
        quote(&self.described.table.name.name)
    }

    /// How many rows there are is what the optimizer expects.
    async fn reading(&self, lent: &mut Lent) -> Result<Reading, StoreError> {
        let limit = self.server.settings.series_rows as f64;
        if self.query.exact || self.expected(lent, "TRUE").await? <= limit {
            return Ok(Reading::Whole);
        }
        if self.described.columns[self.query.time].indexed && self.time.is_indexable() {
            let window = self.time.between(self.query.from, self.query.to, false);
            let whole = self.expected(lent, &window).await? <= limit;
            return Ok(if whole { Reading::Whole } else { Reading::Times });
        }
        match self.described.table.key[..] {
            [key] if matches!(Kind::of(&self.described.table.columns[key].declared), Kind::Int { .. }) => {
                let name = quote(&self.described.table.columns[key].name);
                let sql = format!("SELECT min({name}), max({name}) FROM {}", self.table());
                let ends = self.rows(lent, sql, false).await?.pop().map(Row::unwrap);
                Ok(match ends.as_deref() {
                    Some([first, last]) => match (whole(first), whole(last)) {
                        (Some(first), Some(last)) => Reading::Keys { key, first, last },
                        _ => Reading::Whole,
                    },
                    _ => Reading::Whole,
                })
            }
            _ => Ok(Reading::Whole),
        }
    }

    async fn expected(&self, lent: &mut Lent, condition: &str) -> Result<f64, StoreError> {
        let sql = format!("EXPLAIN FORMAT=TRADITIONAL SELECT 1 FROM {} WHERE {condition}", self.table());
        let answer: Option<Row> = lent.query_first(sql).await.map_err(super::refused::refused)?;
        Ok(answer.and_then(|row| row.get_opt::<Option<f64>, _>("rows")?.ok()?).unwrap_or(0.0))
    }

    /// The range that was asked for; where it is open, the range of what is there.
    async fn range(&self, lent: &mut Lent, reading: &Reading) -> Result<(f64, f64), StoreError> {
        let finite = |bound: Option<f64>| bound.filter(|bound| bound.is_finite());
        let (from, to) = (finite(self.query.from), finite(self.query.to));
        let mut found: Option<(f64, f64)> = None;
        if from.is_none() || to.is_none() {
            let ends = format!("SELECT {}, {}", self.time.end("min"), self.time.end("max"));
            let sources = match reading {
                // The filter is left aside: it could make this slow.
                Reading::Times => {
                    vec![(format!("{} WHERE {}", self.table(), self.time.between(from, to, false)), false)]
                }
                _ => self
                    .sources(reading, (from.unwrap_or(f64::MIN), to.unwrap_or(f64::MAX)))
                    .into_iter()
                    .map(|source| (format!("{source} WHERE {}", self.condition(from, to, false)), true))
                    .collect(),
            };
            for (source, filtered) in sources {
                for row in self.rows(lent, format!("{ends} FROM {source}"), filtered).await? {
                    if let [first, last] = &row.unwrap()[..]
                        && let (Some(first), Some(last)) = (real(first), real(last))
                    {
                        let (least, greatest) = found.unwrap_or((first, last));
                        found = Some((least.min(first), greatest.max(last)));
                    }
                }
            }
        }
        let first = from.or(found.map(|(first, _)| first)).or(to).unwrap_or(0.0);
        let last = to.or(found.map(|(_, last)| last)).unwrap_or(first);
        // A window that holds one moment only has a width nevertheless.
        let last = if last > first || to.is_some() { last.max(first) } else { first + 1.0 };
        Ok((first, last))
    }

    fn condition(&self, from: Option<f64>, to: Option<f64>, through: bool) -> String {
        let window = self.time.between(from, to, through);
        self.filter.as_ref().map_or_else(|| window.clone(), |filter| format!("{window} AND {filter}"))
    }

    /// What stands behind FROM, statement by statement.
    fn sources(&self, reading: &Reading, (from, to): (f64, f64)) -> Vec<String> {
        let through = |last: bool| last && self.query.to.is_none();
        let runs: Vec<String> = match reading {
            Reading::Whole => return vec![self.table()],
            Reading::Times => {
                #[expect(clippy::cast_precision_loss, reason = "there are but a thousand places")]
                let edge = |n: usize| from + (to - from) * (n as f64 / PLACES as f64);
                let run = |n: usize| {
                    let condition = self.time.between(Some(edge(n)), Some(edge(n + 1)), through(n + 1 == PLACES));
                    self.run_of_rows(&condition, self.time.name())
                };
                (0..PLACES).map(run).collect()
            }
            Reading::Keys { key, first, last } => {
                let name = quote(&self.described.table.columns[*key].name);
                let edge = |n: usize| first + (last - first + 1) * n as i128 / PLACES as i128;
                let run =
                    |n: usize| self.run_of_rows(&format!("{name} >= {} AND {name} < {}", edge(n), edge(n + 1)), &name);
                (0..PLACES).map(run).collect()
            }
        };
        runs.chunks(PLACES_AT_ONCE).map(|runs| format!("({}) AS rc_runs", runs.join(" UNION ALL "))).collect()
    }

    /// Some rows: the filter is asked of them afterwards, so that it cannot make the run long.
    fn run_of_rows(&self, condition: &str, order: &str) -> String {
        let query = self.query;
        let mut needed: Vec<usize> = query.values.iter().copied().chain([query.time]).chain(query.group_by).collect();
        needed.extend(query.filter.iter().flat_map(|filter| filter.columns()).copied());
        needed.sort_unstable();
        needed.dedup();
        let columns: Vec<String> =
            needed.into_iter().map(|column| quote(&self.described.table.columns[column].name)).collect();
        format!("(SELECT {} FROM {} WHERE {condition} ORDER BY {order} LIMIT {ROWS})", columns.join(", "), self.table())
    }

    fn sql(&self, reading: &Reading, source: &str, (from, to): (f64, f64)) -> String {
        let columns = &self.described.table.columns;
        let group = self.query.group_by.map_or_else(|| "NULL".to_owned(), |column| group(&columns[column]));
        let (mut values, mut names, mut sums, mut sum_names) =
            (String::new(), String::new(), String::new(), String::new());
        for (n, &column) in self.query.values.iter().enumerate() {
            values.push_str(&format!(", {} AS v{n}", number(&columns[column])));
            names.push_str(&format!(", v{n}"));
            sums.push_str(&format!(
                ", COUNT(v{n}) AS n{n}, SUM(v{n}) AS s{n}, MIN(v{n}) AS a{n}, MAX(v{n}) AS z{n}, MAX(CONCAT(rc_k, v{n})) AS l{n}"
            ));
            sum_names.push_str(&format!(", n{n}, s{n}, a{n}, z{n}, l{n}"));
        }
        let count = self.query.buckets.max(1);
        // The part of the window that lies before a time.
        let part =
            if to > from { format!("((rc_at - {}) / {})", float(from), float(to - from)) } else { "0e0".to_owned() };
        let bin = format!("LEAST(FLOOR({part} * {count}), {})", count - 1);
        let key = format!("LPAD(CAST(GREATEST({part}, 0) * 1e18 AS UNSIGNED), {KEY_DIGITS}, '0')");
        let counted = format!(
            "SELECT rc_bin, rc_g, COUNT(*) AS rc_n{sums} FROM (SELECT {bin} AS rc_bin, {key} AS rc_k, rc_g{names} FROM \
             (SELECT {} AS rc_at, {group} AS rc_g{values} FROM {source} WHERE {}) AS rc_rows) AS rc_binned \
             GROUP BY rc_bin, rc_g",
            self.time.column(),
            self.condition(Some(from), Some(to), self.query.to.is_none()),
        );
        if self.query.group_by.is_none() || *reading != Reading::Whole {
            return counted;
        }
        format!(
            "WITH rc_counted AS ({counted}), \
             rc_summed AS (SELECT rc_counted.*, SUM(rc_n) OVER (PARTITION BY rc_g) AS rc_of_g FROM rc_counted), \
             rc_ranked AS (SELECT rc_summed.*, DENSE_RANK() OVER (ORDER BY rc_of_g DESC, rc_g) AS rc_place FROM rc_summed) \
             SELECT rc_bin, rc_g, rc_n{sum_names} FROM rc_ranked WHERE rc_place <= {}",
            self.query.groups_max
        )
    }
}

fn whole(raw: &Raw) -> Option<i128> {
    match raw {
        Raw::Int(n) => Some((*n).into()),
        Raw::UInt(n) => Some((*n).into()),
        _ => None,
    }
}
