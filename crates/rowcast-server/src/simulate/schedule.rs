//! When each record is due: a steady rate, or cycles with a burst and a silence in them.

/// The nanoseconds of a second.
pub(super) const SECOND: u64 = 1_000_000_000;

/// When each record is due, in nanoseconds from the start. A pure function of the record's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schedule {
    /// Nanoseconds.
    cycle: u64,
    /// What a cycle begins with, in order; what is left of it is silent.
    phases: Vec<Phase>,
    /// Records of a cycle.
    records: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Phase {
    begins: u64,
    lasts: u64,
    records: u64,
}

/// What happens in each cycle. All in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cycle {
    pub(super) lasts: u64,
    /// How long the burst lasts.
    pub(super) burst: u64,
    /// How many times the rate it is.
    pub(super) times: f64,
    /// How long nothing is sent.
    pub(super) gap: u64,
}

impl Schedule {
    /// So many records a second, always.
    pub(super) fn steady(rate: f64) -> Self {
        let cycle = ((SECOND as f64 / rate) as u64).max(1);
        Self { cycle, phases: vec![Phase { begins: 0, lasts: cycle, records: 1 }], records: 1 }
    }

    /// So many records a second, then a burst, then nothing, and again. `None`: not one record fits into a cycle, or burst and
    /// gap do not.
    pub(super) fn cycles(rate: f64, cycle: Cycle) -> Option<Self> {
        let calm = cycle.lasts.checked_sub(cycle.burst)?.checked_sub(cycle.gap)?;
        let count = |lasts: u64, rate: f64| (lasts as f64 / SECOND as f64 * rate).round() as u64;
        let phases: Vec<Phase> = [
            Phase { begins: 0, lasts: calm, records: count(calm, rate) },
            Phase { begins: calm, lasts: cycle.burst, records: count(cycle.burst, rate * cycle.times) },
        ]
        .into_iter()
        .filter(|phase| phase.records > 0)
        .collect();
        let records = phases.iter().map(|phase| phase.records).sum();
        (records > 0).then_some(Self { cycle: cycle.lasts, phases, records })
    }

    /// When record `n` is due.
    pub(super) fn due(&self, n: u64) -> u64 {
        let mut left = n % self.records;
        for phase in &self.phases {
            if left < phase.records {
                let within = (u128::from(left) * u128::from(phase.lasts) / u128::from(phase.records)) as u64;
                return (n / self.records).saturating_mul(self.cycle).saturating_add(phase.begins + within);
            }
            left -= phase.records;
        }
        unreachable!("the phases have all records of a cycle")
    }

    /// How many records are due by then.
    pub(super) fn count_by(&self, elapsed: u64) -> u64 {
        let within = elapsed % self.cycle;
        let of = |phase: &Phase| match within.checked_sub(phase.begins) {
            None => 0,
            Some(at) if at >= phase.lasts => phase.records,
            Some(at) => {
                let (at, records, lasts) = (u128::from(at), u128::from(phase.records), u128::from(phase.lasts));
                // The largest k with k * lasts / records <= at, rounded down as `due` does.
                (((at + 1) * records - 1) / lasts + 1) as u64
            }
        };
        elapsed / self.cycle * self.records + self.phases.iter().map(of).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counting agrees with the moments, just before and at each of them.
    fn agrees(schedule: &Schedule) {
        for n in 0..5_000 {
            let due = schedule.due(n);
            assert_eq!(schedule.count_by(due), n + 1, "{n} of {schedule:?}");
            assert!(due == 0 || schedule.count_by(due - 1) == n, "{n} of {schedule:?}");
            assert!(schedule.due(n + 1) > due);
        }
    }

    #[test]
    fn a_steady_rate_is_steady() {
        for rate in [0.1, 1.0, 3.0, 977.0, 100_000.0] {
            let schedule = Schedule::steady(rate);
            agrees(&schedule);
            let hour = schedule.count_by(3_600 * SECOND) as f64;
            assert!((hour / (3_600.0 * rate) - 1.0).abs() < 0.01, "{rate}: {hour}");
        }
    }

    #[test]
    fn a_cycle_has_its_burst_and_its_gap() {
        let cycle = Cycle { lasts: 30 * SECOND, burst: 2 * SECOND, times: 10.0, gap: 5 * SECOND };
        let schedule = Schedule::cycles(7.0, cycle).expect("it fits");
        agrees(&schedule);
        let between = |from: u64, to: u64| schedule.count_by(to * SECOND - 1) - schedule.count_by(from * SECOND - 1);
        assert_eq!((between(30, 53), between(53, 55), between(55, 60)), (23 * 7, 140, 0));
        assert_eq!(Schedule::cycles(7.0, Cycle { gap: 29 * SECOND, ..cycle }), None);
        assert_eq!(Schedule::cycles(0.01, cycle), None);
    }
}
