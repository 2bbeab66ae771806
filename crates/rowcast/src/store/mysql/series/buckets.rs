//! The server's sums, by group and bucket, as a chart takes them.

use std::collections::BTreeMap;

use ahash::{HashMap, HashMapExt};
use mysql_async::Value as Raw;
use serde_json::value::RawValue;

use super::super::value;
use super::KEY_DIGITS;
use crate::event::Value;
use crate::mysql::Kind;
use crate::store::{Series, SeriesGroup, SeriesQuery};

/// Where the sums begin in a row, and how many there are for each column.
const SUMS: usize = 3;
const EACH: usize = 5;

/// Takes the server's sums.
pub(super) struct Buckets {
    from: f64,
    to: f64,
    width: f64,
    count: u32,
    /// Whether each value column has single precision.
    singles: Box<[bool]>,
    group: Option<Kind>,
    groups_max: usize,
    groups: HashMap<String, BTreeMap<u32, Bucket>>,
}

struct Bucket {
    rows: u64,
    sums: Box<[Sum]>,
}

#[derive(Clone, Default)]
struct Sum {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    last: f64,
    /// The time of the last one, as digits that compare.
    key: Vec<u8>,
}

impl Buckets {
    pub(super) fn new((from, to): (f64, f64), query: &SeriesQuery) -> Self {
        let count = query.buckets.max(1);
        let kind = |column: usize| Kind::of(&query.table.columns[column].declared);
        Self {
            from,
            to,
            width: (to - from) / f64::from(count),
            count,
            singles: query.values.iter().map(|&column| kind(column) == Kind::Float).collect(),
            group: query.group_by.map(kind),
            groups_max: query.groups_max,
            groups: HashMap::new(),
        }
    }

    /// A row of the bucket's number, the group, the rows, and the sums of each column.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between zero and the count")]
    pub(super) fn add(&mut self, row: Vec<Raw>) {
        let Some(place) = real(&row[0]) else { return };
        let place = place.clamp(0.0, f64::from(self.count - 1)) as u32;
        let group = match &self.group {
            // What was made bytes to be told apart is the text that it was.
            Some(kind) => value::read(kind, row[1].clone()),
            None => Value::Null,
        };
        let sums = (self.singles.iter().enumerate()).map(|(n, single)| Sum::of(&row[SUMS + n * EACH..], *single));
        let bucket = Bucket { rows: whole(&row[2]), sums: sums.collect() };
        match self.groups.entry(group.to_json()).or_default().entry(place) {
            std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(bucket)),
            std::collections::btree_map::Entry::Occupied(mut taken) => taken.get_mut().join(bucket),
        }
    }

    pub(super) fn into_series(self, exact: bool) -> Series {
        let mut groups: Vec<(String, BTreeMap<u32, Bucket>)> = self.groups.into_iter().collect();
        let rows = |buckets: &BTreeMap<u32, Bucket>| buckets.values().map(|bucket| bucket.rows).sum::<u64>();
        groups.sort_by(|(a, x), (b, y)| rows(y).cmp(&rows(x)).then_with(|| a.cmp(b)));
        if self.group.is_some() {
            groups.truncate(self.groups_max);
        } else if groups.is_empty() {
            groups.push(("null".to_owned(), BTreeMap::new()));
        }
        let (from, width, values) = (self.from, self.width, self.singles.len());
        let groups =
            groups.into_iter().map(|(json, buckets)| into_group(json, &buckets, from, width, values)).collect();
        Series { from, to: self.to, width, exact, groups }
    }
}

impl Bucket {
    /// Together with what another statement has found of it.
    fn join(&mut self, other: Bucket) {
        self.rows += other.rows;
        for (sum, other) in self.sums.iter_mut().zip(other.sums) {
            if sum.count == 0 {
                *sum = other;
            } else if other.count > 0 {
                sum.count += other.count;
                sum.sum += other.sum;
                sum.min = sum.min.min(other.min);
                sum.max = sum.max.max(other.max);
                if other.key >= sum.key {
                    (sum.last, sum.key) = (other.last, other.key);
                }
            }
        }
    }
}

impl Sum {
    fn of(row: &[Raw], single: bool) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "it was a float before")]
        let shown = |x: f64| if single { value::single(x as f32) } else { x };
        let number = |raw: &Raw| real(raw).unwrap_or_default();
        let (key, last) = match &row[4] {
            Raw::Bytes(bytes) if bytes.len() > KEY_DIGITS => bytes.split_at(KEY_DIGITS),
            _ => Default::default(),
        };
        let last = std::str::from_utf8(last).ok().and_then(|last| last.parse().ok()).unwrap_or_default();
        Self {
            count: whole(&row[0]),
            sum: number(&row[1]),
            min: shown(number(&row[2])),
            max: shown(number(&row[3])),
            last: shown(last),
            key: key.into(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53 rows")]
    fn average(&self) -> f64 {
        self.sum / self.count as f64
    }
}

/// A number, in whatever type the server has computed it.
#[expect(clippy::cast_precision_loss, reason = "a chart shows no more than a double holds")]
pub(super) fn real(raw: &Raw) -> Option<f64> {
    match raw {
        Raw::Int(n) => Some(*n as f64),
        Raw::UInt(n) => Some(*n as f64),
        Raw::Float(x) => Some(f64::from(*x)),
        Raw::Double(x) => Some(*x),
        Raw::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

fn whole(raw: &Raw) -> u64 {
    match raw {
        Raw::Int(n) => n.unsigned_abs(),
        Raw::UInt(n) => *n,
        Raw::Bytes(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or_default(),
        _ => 0,
    }
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
