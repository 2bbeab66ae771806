//! Minimum, maximum, average and last value of rows, by group and bucket.

use ahash::{HashMap, HashMapExt};
use rusqlite::Row;
use serde_json::value::RawValue;

use super::time::Window;
use super::{GROUP, TIME, VALUES, number, write_group};
use crate::store::{Series, SeriesGroup, SeriesQuery};

/// Distinct groups that are kept apart before the largest are known.
const GROUPS_SEEN: usize = 100_000;

/// Takes rows and adds them up.
pub(super) struct Buckets {
    from: f64,
    to: f64,
    width: f64,
    count: usize,
    window: Window,
    values: usize,
    grouped: bool,
    groups_max: usize,
    /// Other groups than those that are known are not wanted.
    closed: bool,
    groups: HashMap<Vec<u8>, Group>,
    /// The group of the row at hand.
    key: Vec<u8>,
    /// Rows within the window.
    pub(super) rows: u64,
}

#[derive(Default)]
struct Group {
    rows: u64,
    buckets: HashMap<u32, Bucket>,
}

struct Bucket {
    rows: u64,
    values: Box<[Sum]>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    last: f64,
    last_time: f64,
}

impl Sum {
    fn add(&mut self, time: f64, value: f64) {
        if self.count == 0 {
            *self = Self { count: 1, sum: value, min: value, max: value, last: value, last_time: time };
            return;
        }
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if time >= self.last_time {
            (self.last, self.last_time) = (value, time);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53 rows")]
    fn average(&self) -> f64 {
        self.sum / self.count as f64
    }
}

impl Buckets {
    pub(super) fn new(window: Window, (from, to): (f64, f64), query: &SeriesQuery) -> Self {
        let count = query.buckets.max(1);
        Self {
            from,
            to,
            width: (to - from) / f64::from(count),
            count: count as usize,
            window,
            values: query.values.len(),
            grouped: query.group_by.is_some(),
            groups_max: query.groups_max,
            closed: false,
            groups: HashMap::new(),
            key: Vec::new(),
            rows: 0,
        }
    }

    /// Takes rows of these groups only.
    pub(super) fn only(&mut self, groups: Vec<Vec<u8>>) {
        self.groups = groups.into_iter().map(|group| (group, Group::default())).collect();
        self.closed = true;
    }

    pub(super) fn add(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let Some(time) = self.window.time(row.get_ref(TIME)?) else { return Ok(()) };
        let Some(bucket) = self.bucket(time) else { return Ok(()) };
        self.key.clear();
        if self.grouped {
            write_group(row.get_ref(GROUP)?, &mut self.key);
        } else {
            self.key.extend_from_slice(b"null");
        }
        let values = self.values;
        let Some(group) = self.group() else { return Ok(()) };
        group.rows += 1;
        let bucket = group
            .buckets
            .entry(bucket)
            .or_insert_with(|| Bucket { rows: 0, values: vec![Sum::default(); values].into() });
        bucket.rows += 1;
        for (n, sum) in bucket.values.iter_mut().enumerate() {
            if let Some(value) = number(row.get_ref(VALUES + n)?) {
                sum.add(time, value);
            }
        }
        self.rows += 1;
        Ok(())
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between zero and the count")]
    fn bucket(&self, time: f64) -> Option<u32> {
        let at = (time - self.from) / self.width;
        // The last time of an open window belongs to the last bucket.
        (at >= 0.0 && time <= self.to).then(|| (at as usize).min(self.count - 1) as u32)
    }

    fn group(&mut self) -> Option<&mut Group> {
        if !self.groups.contains_key(&self.key) {
            if self.closed || self.groups.len() >= GROUPS_SEEN {
                return None;
            }
            self.groups.insert(self.key.clone(), Group::default());
        }
        self.groups.get_mut(&self.key)
    }

    pub(super) fn into_series(self, exact: bool) -> Series {
        let mut groups: Vec<(Vec<u8>, Group)> = self.groups.into_iter().filter(|(_, group)| group.rows > 0).collect();
        groups.sort_by(|(a, x), (b, y)| y.rows.cmp(&x.rows).then_with(|| a.cmp(b)));
        if self.grouped {
            groups.truncate(self.groups_max);
        }
        if groups.is_empty() && !self.grouped {
            groups.push((b"null".to_vec(), Group::default()));
        }
        let (from, width, values) = (self.from, self.width, self.values);
        let groups = groups.into_iter().map(|(json, group)| group.into_series(json, from, width, values)).collect();
        Series { from, to: self.to, width, exact, groups }
    }
}

impl Group {
    fn into_series(self, json: Vec<u8>, from: f64, width: f64, values: usize) -> SeriesGroup {
        let mut buckets: Vec<(u32, Bucket)> = self.buckets.into_iter().collect();
        buckets.sort_unstable_by_key(|(bucket, _)| *bucket);
        let column = |of: fn(&Sum) -> f64| -> Vec<Vec<Option<f64>>> {
            let one =
                |n: usize| buckets.iter().map(|(_, b)| (b.values[n].count > 0).then(|| of(&b.values[n]))).collect();
            (0..values).map(one).collect()
        };
        let json = String::from_utf8(json).expect("JSON is UTF-8");
        SeriesGroup {
            group: RawValue::from_string(json).expect("a value was written as JSON"),
            time: buckets.iter().map(|(bucket, _)| from + f64::from(*bucket) * width).collect(),
            count: buckets.iter().map(|(_, bucket)| bucket.rows).collect(),
            min: column(|sum| sum.min),
            max: column(|sum| sum.max),
            avg: column(Sum::average),
            last: column(|sum| sum.last),
        }
    }
}
