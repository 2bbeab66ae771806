//! Which transactions one snapshot shows that an earlier one did not.

use crate::event::Visible;

/// Ranges of transaction ids, both ends included, that `now` shows and `before` did not.
///
/// Those that still run are left out between the ranges: whoever looks through them does not pass over the rows of a large
/// transaction that is not committed.
pub(super) fn between(before: &Visible, now: &Visible) -> Vec<(u64, u64)> {
    let ended = before.running.iter().copied().filter(|tx| now.contains(*tx));
    let mut ranges: Vec<(u64, u64)> = ended.map(|tx| (tx, tx)).collect();
    let mut from = before.xmax;
    for running in now.running.iter().copied().filter(|tx| *tx >= before.xmax) {
        if running > from {
            ranges.push((from, running - 1));
        }
        from = running + 1;
    }
    if from < now.xmax {
        ranges.push((from, now.xmax - 1));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot() -> impl Strategy<Value = (Visible, Visible)> {
        // Transactions begin and end in some order; two moments of that.
        (prop::collection::vec((0..20u8, 0..20u8), 1..12), 0..20u8, 0..20u8).prop_map(|(times, a, b)| {
            let mut times: Vec<(u8, u8)> = times.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect();
            times.sort_unstable();
            let at = |moment: u8| {
                let begun: Vec<(u64, u8)> = (100..)
                    .zip(&times)
                    .filter(|(_, (from, _))| *from <= moment)
                    .map(|(tx, (_, to))| (tx, *to))
                    .collect();
                let xmax = 100 + begun.len() as u64;
                let running: Vec<u64> = begun.iter().filter(|(_, to)| *to > moment).map(|(tx, _)| *tx).collect();
                Visible { xmin: running.first().copied().unwrap_or(xmax), xmax, running: running.into() }
            };
            (at(a.min(b)), at(a.max(b)))
        })
    }

    proptest! {
        #[test]
        fn what_became_visible_is_in_one_range_and_nothing_else((before, now) in snapshot()) {
            let ranges = between(&before, &now);
            for tx in 95..120 {
                let found = ranges.iter().filter(|(from, to)| (*from..=*to).contains(&tx)).count();
                prop_assert_eq!(found, usize::from(now.contains(tx) && !before.contains(tx)), "{}", tx);
            }
        }
    }
}
