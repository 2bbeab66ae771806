//! The server's sums, by group and bucket, as a chart takes them.

use std::collections::BTreeMap;

use ahash::{HashMap, HashMapExt};
use serde_json::value::RawValue;
use tokio_postgres::Row;

use super::{Series, SeriesGroup, SeriesQuery};
use crate::event::Value;

/// Where the sums begin in a row, and how many there are for each column.
const SUMS: usize = 3;
const EACH: usize = 5;

/// Takes the server's sums.
pub(super) struct Buckets {
    from: f64,
    to: f64,
    width: f64,
    count: u32,
    values: usize,
    grouped: bool,
    groups: HashMap<String, BTreeMap<u32, Bucket>>,
}

struct Bucket {
    start: f64,
    rows: u64,
    sums: Box<[Sum]>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    last: f64,
}

impl Buckets {
    pub(super) fn new((from, to): (f64, f64), query: &SeriesQuery) -> Self {
        let count = query.buckets.max(1);
        Self {
            from,
            to,
            width: (to - from) / f64::from(count),
            count,
            values: query.values.len(),
            grouped: query.group_by.is_some(),
            groups: HashMap::new(),
        }
    }

    /// A row of the bucket's start, the group, the rows, and the sums of each column.
    pub(super) fn add(&mut self, group: &Value, row: &Row) {
        let Some(start) = row.get::<_, Option<f64>>(0) else { return };
        let place = self.place(start);
        let sums = (0..self.values).map(|n| Sum::of(row, SUMS + n * EACH)).collect();
        let bucket = Bucket { start, rows: count(row, 2), sums };
        match self.groups.entry(group.to_json()).or_default().entry(place) {
            std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(bucket)),
            std::collections::btree_map::Entry::Occupied(mut taken) => taken.get_mut().join(&bucket),
        }
    }

    /// Buckets are counted; the last time of an open window belongs to the last one.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between zero and the count")]
    fn place(&self, start: f64) -> u32 {
        if self.width <= 0.0 {
            return 0;
        }
        ((start - self.from) / self.width).round().clamp(0.0, f64::from(self.count - 1)) as u32
    }

    pub(super) fn into_series(self, exact: bool) -> Series {
        let mut groups: Vec<(String, BTreeMap<u32, Bucket>)> = self.groups.into_iter().collect();
        let rows = |buckets: &BTreeMap<u32, Bucket>| buckets.values().map(|bucket| bucket.rows).sum::<u64>();
        groups.sort_by(|(a, x), (b, y)| rows(y).cmp(&rows(x)).then_with(|| a.cmp(b)));
        if groups.is_empty() && !self.grouped {
            groups.push(("null".to_owned(), BTreeMap::new()));
        }
        let (from, width, values) = (self.from, self.width, self.values);
        let groups =
            groups.into_iter().map(|(json, buckets)| into_group(json, &buckets, from, width, values)).collect();
        Series { from, to: self.to, width, exact, groups }
    }
}

impl Bucket {
    /// Together with the one that the last moment has made for itself.
    fn join(&mut self, other: &Bucket) {
        let later = other.start > self.start;
        self.rows += other.rows;
        for (sum, other) in self.sums.iter_mut().zip(&other.sums) {
            *sum = match (sum.count, other.count) {
                (_, 0) => *sum,
                (0, _) => *other,
                _ => Sum {
                    count: sum.count + other.count,
                    sum: sum.sum + other.sum,
                    min: sum.min.min(other.min),
                    max: sum.max.max(other.max),
                    last: if later { other.last } else { sum.last },
                },
            };
        }
    }
}

impl Sum {
    fn of(row: &Row, at: usize) -> Self {
        let real = |n: usize| row.get::<_, Option<f64>>(at + n).unwrap_or_default();
        Self { count: count(row, at), sum: real(1), min: real(2), max: real(3), last: real(4) }
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53 rows")]
    fn average(&self) -> f64 {
        self.sum / self.count as f64
    }
}

fn count(row: &Row, at: usize) -> u64 {
    u64::try_from(row.get::<_, i64>(at)).unwrap_or_default()
}

fn into_group(json: String, buckets: &BTreeMap<u32, Bucket>, from: f64, width: f64, values: usize) -> SeriesGroup {
    let column = |of: fn(&Sum) -> f64| -> Vec<Vec<Option<f64>>> {
        let one = |n: usize| buckets.values().map(|b| (b.sums[n].count > 0).then(|| of(&b.sums[n]))).collect();
        (0..values).map(one).collect()
    };
    SeriesGroup {
        group: RawValue::from_string(json).expect("a value was written as JSON"),
        time: buckets.keys().map(|bucket| from + f64::from(*bucket) * width).collect(),
        count: buckets.values().map(|bucket| bucket.rows).collect(),
        min: column(|sum| sum.min),
        max: column(|sum| sum.max),
        avg: column(Sum::average),
        last: column(|sum| sum.last),
    }
}
