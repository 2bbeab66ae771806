//! An even sample of a table that is too large to be read in a moment.

use super::buckets::Buckets;
use super::{Plan, Range};
use crate::event::Value;
use crate::sqlite::catalog::Identity;
use crate::store::Series;

/// How many places of the table are looked up, about.
const PLACES: usize = 6_000;
/// How many rows are read, about.
const ROWS: usize = 100_000;
/// How many places tell how times are spread along the rowid.
const PROBES: u32 = 2_048;
/// A sample with fewer rows than this says too little of a table with millions.
const ROWS_AT_LEAST: u64 = 2_000;

impl Plan<'_> {
    /// Along an index on the time: runs of rows at even distances of time.
    pub(super) fn sample_by_time(&self) -> rusqlite::Result<Option<Series>> {
        let range = self.indexed_range()?;
        let mut buckets = Buckets::new(self.window, range, self.query);
        let count = self.query.buckets.max(1) as usize;
        let each = PLACES.div_ceil(count);
        let run = (ROWS / (count * each)).max(4);
        let (column, mut params) = (self.time(), self.filter_params());
        let at = params.len();
        params.extend([Value::Null, Value::Null, Value::Int(i64::try_from(run).unwrap_or(i64::MAX))]);
        let condition = format!("{column} >= ?{} AND {column} < ?{}", at + 1, at + 2);
        let sql = self.run_of_rows(&condition, &format!("ORDER BY {column} LIMIT ?{}", at + 3));
        let (from, to) = range;
        #[expect(clippy::cast_precision_loss, reason = "there are but thousands of places")]
        let edge = |place: usize| from + (to - from) * (place as f64 / (count * each) as f64);
        for place in 0..count * each {
            let last = place + 1 == count * each && self.query.to.is_none();
            params[at] = Value::Real(edge(place));
            params[at + 1] = Value::Real(if last { f64::MAX } else { edge(place + 1) });
            self.each(&sql, &params, |row| buckets.add(row))?;
        }
        Ok(Some(buckets.into_series(false)))
    }

    /// The range, whose open ends the index gives at once. The filter is left aside: it could make that slow.
    fn indexed_range(&self) -> rusqlite::Result<(f64, f64)> {
        let (time, table) = (self.time(), self.table());
        let mut found = Range::default();
        for end in ["min", "max"] {
            let mut params = Vec::new();
            let condition = self.window.condition(&time, &mut params);
            let sql = format!("SELECT {end}({time}) FROM {table} WHERE {condition}");
            self.each(&sql, &params, |row| found.take_row(self.window, row))?;
        }
        Ok(self.range(found))
    }

    /// A statement for a run of rows: the filter is asked of them afterwards, so that it cannot make the run long.
    fn run_of_rows(&self, condition: &str, limit: &str) -> String {
        let (columns, table) = (self.columns(), self.table());
        match (&self.query.filter, self.filter()) {
            (Some(filter), Some(sql)) => {
                let query = self.query;
                let mut needed: Vec<usize> =
                    query.values.iter().copied().chain([query.time]).chain(query.group_by).collect();
                needed.extend(filter.columns());
                needed.sort_unstable();
                needed.dedup();
                let inner: Vec<String> =
                    needed.into_iter().map(|n| format!("{0} AS {0}", self.described.column_sql(n))).collect();
                format!(
                    "SELECT {columns} FROM (SELECT {} FROM {table} WHERE {condition} {limit}) WHERE {sql}",
                    inner.join(",")
                )
            }
            _ => format!("SELECT {columns} FROM {table} WHERE {condition} {limit}"),
        }
    }

    /// Along the rowid: where times lie is learnt from a few places, and those that may be in the window are read.
    ///
    /// `None` where that tells too little: the table has no rowid, or rowids that are far apart.
    pub(super) fn sample_by_rowid(&self) -> rusqlite::Result<Option<Series>> {
        let Identity::Rowid(rowid) = self.described.identity else { return Ok(None) };
        let probes = self.probe(rowid)?;
        let mut found = Range::default();
        probes.iter().for_each(|(_, time)| found.take(*time));
        let range = self.range(found);
        let spans = wanted(&probes, range);
        let mut buckets = Buckets::new(self.window, range, self.query);
        let mut params = self.filter_params();
        let at = params.len();
        params.extend([Value::Null, Value::Null, Value::Null]);
        let condition = format!("{rowid} >= ?{} AND {rowid} < ?{}", at + 1, at + 2);
        let sql = self.run_of_rows(&condition, &format!("ORDER BY {rowid} LIMIT ?{}", at + 3));
        for (first, end, run) in runs(&spans) {
            params[at] = Value::Int(first);
            params[at + 1] = Value::Int(end);
            params[at + 2] = Value::Int(run);
            self.each(&sql, &params, |row| buckets.add(row))?;
        }
        let few = buckets.rows < ROWS_AT_LEAST && self.query.filter.is_none() && spans.len() > probes.len() / 2;
        Ok((!few).then(|| buckets.into_series(false)))
    }

    /// Rowids at even distances, with the times there, from the first row to the last.
    fn probe(&self, rowid: &str) -> rusqlite::Result<Vec<(i64, Option<f64>)>> {
        let (time, table) = (self.time(), self.table());
        let mut ends = (0, 0);
        for (end, to) in [("min", &mut ends.0), ("max", &mut ends.1)] {
            self.each(&format!("SELECT {end}({rowid}) FROM {table}"), &[], |row| {
                *to = row.get::<_, Option<i64>>(0)?.unwrap_or(0);
                Ok(())
            })?;
        }
        let (first, last) = (i128::from(ends.0), i128::from(ends.1));
        let open = self.window.open();
        let sql = format!("SELECT {rowid}, {time} FROM {table} WHERE {rowid} >= ?1 ORDER BY {rowid} LIMIT 1");
        let mut probes: Vec<(i64, Option<f64>)> = Vec::new();
        for n in 0..=i128::from(PROBES) {
            let at = i64::try_from(first + (last - first) * n / i128::from(PROBES)).unwrap_or(i64::MAX);
            self.each(&sql, &[Value::Int(at)], |row| {
                let found: i64 = row.get(0)?;
                if probes.last().is_none_or(|(known, _)| *known < found) {
                    probes.push((found, open.time(row.get_ref(1)?)));
                }
                Ok(())
            })?;
        }
        Ok(probes)
    }
}

/// The spans between two probes which may hold rows of the range, each from its first rowid to before its end.
fn wanted(probes: &[(i64, Option<f64>)], (from, to): (f64, f64)) -> Vec<(i64, i64)> {
    let mut spans = Vec::new();
    for (n, (first, time)) in probes.iter().enumerate() {
        let (end, next) = probes.get(n + 1).map_or((first.saturating_add(1), *time), |(end, next)| (*end, *next));
        let inside = match (*time, next) {
            (Some(a), Some(b)) => a.min(b) <= to && a.max(b) >= from,
            // What lies there cannot be told.
            _ => true,
        };
        if inside {
            spans.push((*first, end));
        }
    }
    spans
}

/// Runs of rows over the spans: first rowid, end, and at most how many rows. All rows of the spans, if they are few.
fn runs(spans: &[(i64, i64)]) -> Vec<(i64, i64, i64)> {
    let total: i128 = spans.iter().map(|(first, end)| i128::from(*end) - i128::from(*first)).sum();
    if total <= 2 * ROWS as i128 {
        return spans.iter().map(|&(first, end)| (first, end, i64::MAX)).collect();
    }
    let each = i128::try_from(PLACES.div_ceil(spans.len())).unwrap_or(1);
    let places = each * spans.len() as i128;
    let run = i64::try_from((ROWS as i128 / places).max(4)).unwrap_or(4);
    let mut runs = Vec::new();
    for &(first, end) in spans {
        let (first, length) = (i128::from(first), i128::from(end) - i128::from(first));
        let edge = |n: i128| i64::try_from(first + length * n / each).unwrap_or(i64::MAX);
        runs.extend((0..each).map(|n| (edge(n), edge(n + 1), run)).filter(|(first, end, _)| first < end));
    }
    runs
}
