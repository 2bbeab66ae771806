//! What a sensor measures at each moment.

use std::f64::consts::TAU;

use clap::ValueEnum;

use super::chance::{For, share};

/// How long a walk's wish lasts, in seconds.
const WISH_SECONDS: f64 = 8.0;

/// The shape of what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// Any value, each independent of the one before, as the original simulator has it
    Seed,
    /// Somebody drives: wants a value, gets there smoothly, and wants another one
    Walk,
    /// A sine of the given period
    Sine,
    /// A level for each period
    Step,
    /// From the least to the most in each period
    Drift,
    /// Always the middle
    Constant,
}

/// What sensors measure. A pure function of seed, sensor, record and moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wave {
    pub(super) shape: Shape,
    pub(super) min: f64,
    pub(super) max: f64,
    /// Seconds.
    pub(super) period: f64,
    /// Digits behind the point.
    pub(super) decimals: u8,
}

impl Wave {
    /// The original simulator's: 0 to 50, whole numbers.
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, min: 0.0, max: 50.0, period: 60.0, decimals: 0 }
    }

    /// What `sensor` measures in record `n`, so many seconds from the start.
    pub(super) fn value(&self, seed: u64, sensor: u64, n: u64, seconds: f64) -> f64 {
        let own = seed.wrapping_add(sensor.wrapping_mul(0x9E37_79B9));
        let phase = seconds / self.period + if sensor == 0 { 0.0 } else { share(own, 0, For::Phase) };
        let part = match self.shape {
            Shape::Seed => share(own, n, For::Value),
            Shape::Walk => walk(own, seconds),
            Shape::Sine => 0.5 + 0.5 * (TAU * phase).sin(),
            Shape::Step => share(own, phase.floor() as u64, For::Wish),
            Shape::Drift => phase.fract(),
            Shape::Constant => 0.5,
        };
        let scale = 10f64.powi(self.decimals.into());
        let (least, most) = ((self.min * scale).ceil(), (self.max * scale).floor());
        match self.shape {
            // Each of the values as often as any other, the first and the last, too.
            Shape::Seed => (least + (part * (most - least + 1.0)).floor()).min(most) / scale,
            _ => (least + part * (most - least)).round().clamp(least, most) / scale,
        }
    }
}

/// From 0 to 1, from one wish to the next along a curve without edges, with a little sway on the way.
fn walk(seed: u64, seconds: f64) -> f64 {
    let smooth = |seconds: f64, lasts: f64, what: For| {
        let at = seconds / lasts;
        let (from, way) = (at.floor() as u64, at.fract());
        let curve = way * way * (3.0 - 2.0 * way);
        let (before, after) = (share(seed, from, what), share(seed, from + 1, what));
        before + (after - before) * curve
    };
    let wish = smooth(seconds, WISH_SECONDS, For::Wish);
    let sway = smooth(seconds, WISH_SECONDS / 10.0, For::Sway) - 0.5;
    // Wished beyond the ends, so that it stands still there for a while, like a car.
    (wish * 1.2 - 0.1 + sway * 0.04).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(shape: Shape, count: u64) -> Vec<f64> {
        let wave = Wave::new(shape);
        (0..count).map(|n| wave.value(7, 0, n, n as f64)).collect()
    }

    fn ends(values: &[f64]) -> (f64, f64) {
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        (least, values.iter().copied().fold(f64::MIN, f64::max))
    }

    #[test]
    fn a_walk_stays_in_range_moves_and_never_jumps() {
        let speeds = values(Shape::Walk, 2_000);
        assert!(speeds.iter().all(|speed| (0.0..=50.0).contains(speed) && speed.fract() == 0.0));
        assert!(speeds.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= 25.0));
        let (least, most) = ends(&speeds);
        assert!(least < 10.0 && most > 40.0, "{least} {most}");
    }

    #[test]
    fn the_original_has_every_value_from_0_to_50() {
        let mut speeds = values(Shape::Seed, 10_000);
        speeds.sort_by(f64::total_cmp);
        speeds.dedup();
        assert_eq!(speeds, (0..=50).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn the_others_are_what_they_are_called() {
        assert_eq!(ends(&values(Shape::Sine, 120)), (0.0, 50.0));
        let drift = values(Shape::Drift, 60);
        assert!(drift.is_sorted() && drift[0] == 0.0 && drift[59] == 49.0);
        let step = values(Shape::Step, 600);
        assert!(step.chunks(60).all(|period| period.iter().all(|v| *v == period[0])));
        assert!(step.chunks(60).any(|period| period[0] != step[0]));
        assert!(values(Shape::Constant, 9).iter().all(|v| *v == 25.0));
    }

    #[test]
    fn digits_and_ends_are_as_asked() {
        let wave = Wave { min: -1.25, max: 1.25, decimals: 1, ..Wave::new(Shape::Sine) };
        let values: Vec<f64> = (0..600).map(|n| wave.value(1, 0, n, n as f64 / 10.0)).collect();
        assert_eq!(ends(&values), (-1.2, 1.2));
    }
}
