//! `sample`: of the rows that came in one bucket of time, those that a chart shows.

use ahash::{AHashMap, AHashSet};

use super::Conflated;
use super::merge::Entry;
use crate::event::{Op, Value};
use crate::protocol::deliver::Sampling;

/// One line of a chart in one bucket of time.
#[derive(Debug, Default)]
struct Bucket {
    /// For each value column, the entries of the least and the greatest value.
    least: Vec<Option<(f64, u64)>>,
    greatest: Vec<Option<(f64, u64)>>,
    last: u64,
}

impl Conflated {
    /// Leaves out the new rows that are neither the least nor the greatest in a value column, nor the last, of their bucket.
    pub(super) fn reduce(&mut self, sampling: &Sampling) {
        let mut buckets: AHashMap<(u64, Vec<u8>), Bucket> = AHashMap::new();
        for (at, entry) in self.entries.iter().filter(|(_, entry)| entry.is_sampled()) {
            let bucket = (sampling.bucket(entry.part.time_ms), entry.line(sampling));
            buckets.entry(bucket).or_default().take(*at, entry, sampling);
        }
        let kept: AHashSet<u64> = buckets.into_values().flat_map(Bucket::kept).collect();
        let dropped = self.entries.iter().filter(|(at, entry)| entry.is_sampled() && !kept.contains(at));
        for at in dropped.map(|(at, _)| *at).collect::<Vec<_>>() {
            self.drop_entry(at);
        }
    }
}

impl Bucket {
    fn take(&mut self, at: u64, entry: &Entry, sampling: &Sampling) {
        self.least.resize(sampling.values.len(), None);
        self.greatest.resize(sampling.values.len(), None);
        self.last = at;
        for (i, &column) in sampling.values.iter().enumerate() {
            let Some(value) = entry.value(column).and_then(number) else { continue };
            if self.least[i].is_none_or(|(least, _)| value < least) {
                self.least[i] = Some((value, at));
            }
            if self.greatest[i].is_none_or(|(greatest, _)| value > greatest) {
                self.greatest[i] = Some((value, at));
            }
        }
    }

    fn kept(self) -> impl Iterator<Item = u64> {
        let extremes = self.least.into_iter().chain(self.greatest);
        extremes.flatten().map(|(_, at)| at).chain([self.last])
    }
}

impl Entry {
    /// Whether it is a new point of a chart.
    fn is_sampled(&self) -> bool {
        self.part.is_named() || self.seen.op == Op::Insert
    }

    fn value(&self, column: usize) -> Option<&Value> {
        self.row.as_ref().unwrap_or(&self.part.row).values.get(column)
    }

    /// The chart's line that it is a point of.
    fn line(&self, sampling: &Sampling) -> Vec<u8> {
        let mut out = Vec::new();
        match sampling.group.and_then(|column| self.value(column)) {
            None | Some(Value::Unchanged) => {}
            Some(value) => value.write_json(&mut out),
        }
        out
    }
}

/// A value as a number, where it is one.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Int(n) => *n as f64,
        Value::Real(x) => *x,
        Value::Number(digits) => digits.parse().ok()?,
        _ => return None,
    };
    (!number.is_nan()).then_some(number)
}
