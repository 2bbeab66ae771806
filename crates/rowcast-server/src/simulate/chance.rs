//! Random numbers with a name instead of an order: the same seed, record and purpose give the same number, in any order.

/// What a number is drawn for.
#[derive(Debug, Clone, Copy)]
pub(super) enum For {
    Value = 1,
    Wish,
    Sway,
    Phase,
    Malformed,
    Kind,
    Place,
    Jitter,
}

/// 64 random bits.
pub(super) fn bits(seed: u64, n: u64, what: For) -> u64 {
    let mixed = mix(seed ^ mix(what as u64));
    mix(mixed ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// From 0 to below 1.
pub(super) fn share(seed: u64, n: u64, what: For) -> f64 {
    (bits(seed, n, what) >> 11) as f64 / (1u64 << 53) as f64
}

/// From 0 to below `count`.
pub(super) fn below(count: u64, seed: u64, n: u64, what: For) -> u64 {
    ((u128::from(bits(seed, n, what)) * u128::from(count)) >> 64) as u64
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input changes half of the output's.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_even_and_depend_on_everything() {
        let mean = (0..10_000).map(|n| share(1, n, For::Value)).sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
        let counted = (0..5_000).filter(|n| below(50, 7, *n, For::Kind) == 49).count();
        assert!((70..130).contains(&counted), "{counted}");
        assert_ne!(bits(1, 1, For::Value), bits(2, 1, For::Value));
        assert_ne!(bits(1, 1, For::Value), bits(1, 2, For::Value));
        assert_ne!(bits(1, 1, For::Value), bits(1, 1, For::Kind));
    }
}
