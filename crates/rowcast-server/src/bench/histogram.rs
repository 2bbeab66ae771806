//! Delays as counts in buckets: a fixed size for any number of them, each known to within 1.6 %.

/// Values below this have buckets of their own; above, each doubling is cut into half as many.
const EXACT: u64 = 128;
const HALF: u64 = EXACT / 2;
/// About 12 days in microseconds. What is longer counts as this.
const MAX: u64 = (1 << 40) - 1;
const BUCKETS: usize = (EXACT + (40 - 7) * HALF) as usize;

/// How often each delay, in microseconds, was seen.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one delay.
    pub(crate) fn record(&mut self, value: u64) {
        let value = value.min(MAX);
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// The delay that `share` of all do not exceed: the upper end of its bucket. `None` when nothing was recorded.
    pub(crate) fn percentile(&self, share: f64) -> Option<u64> {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(upper(index).min(self.max));
            }
        }
        None
    }

    /// The same in milliseconds.
    pub(crate) fn percentile_ms(&self, share: f64) -> Option<f64> {
        self.percentile(share).map(|us| us as f64 / 1000.0)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        (self.total, self.max) = (0, 0);
    }
}

fn bucket(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let doubling = u64::from(value.ilog2());
    let shift = doubling - 6;
    (EXACT + (doubling - 7) * HALF + ((value >> shift) - HALF)) as usize
}

/// The greatest value of a bucket.
fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT {
        return index;
    }
    let (doubling, step) = ((index - EXACT) / HALF, (index - EXACT) % HALF);
    ((HALF + step + 1) << (doubling + 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_close_to_its_upper_end() {
        for value in (0..5_000).chain([1 << 20, (1 << 20) - 1, 999_999_937, MAX]) {
            let top = upper(bucket(value));
            assert!(top >= value && top - value <= value / 64, "{value} {top}");
            assert!(bucket(value) == 0 || upper(bucket(value) - 1) < value, "{value}");
        }
        assert_eq!(bucket(MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|value| histogram.record(value * 100));
        for (share, exact) in [(0.5, 50_000), (0.99, 99_000), (0.999, 99_900), (1.0, 100_000), (0.0, 100)] {
            let value = histogram.percentile(share).expect("values");
            assert!(value >= exact && value <= exact + exact / 64 + 1, "{share}: {value}");
        }
    }

    #[test]
    fn small_counts_and_none_are_exact() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(0.5), None);
        histogram.record(7);
        histogram.record(u64::MAX);
        assert_eq!((histogram.percentile(0.5), histogram.percentile(0.99)), (Some(7), Some(MAX)));
        histogram.clear();
        assert_eq!(histogram.percentile(1.0), None);
    }
}
