//! What an index can know of a filter: values that every matching row has.
//!
//! An index knows values by marks (equal values have equal marks) and by places (a value that is not less has a place
//! that is not less). Different values may share both: what an index finds is evaluated nevertheless.

use std::hash::Hash;
use std::sync::LazyLock;

use super::condition::Condition;
use super::decimal::Decimal;
use super::expr::Op;
use super::{mysql, postgres, sqlite};
use crate::event::Row;

/// One thing that is read of a row: a column or something in it, as one comparison sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Probe(pub(super) Source);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Sqlite(sqlite::Probe),
    Postgres(postgres::Probe),
    Mysql(mysql::Probe),
}

/// What a probe reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The source did not send the column: it may be anything.
    Unsent,
    /// NULL, or what else no term is true of.
    Nothing,
    /// A value.
    Value {
        /// For equality.
        mark: u64,
        /// For order.
        place: u128,
    },
}

/// What a filter wants of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A value with one of these marks.
    OneOf(Vec<u64>),
    /// A value whose place is between these two, which belong to it. 0 and the greatest are no bounds.
    Between(u128, u128),
}

/// A condition on one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Of what.
    pub probe: Probe,
    /// Which values.
    pub wanted: Wanted,
}

impl Probe {
    /// Reads a row.
    pub fn read(&self, row: &Row) -> Found {
        match &self.0 {
            Source::Sqlite(probe) => probe.read(row),
            Source::Postgres(probe) => probe.read(row),
            Source::Mysql(probe) => probe.read(row),
        }
    }

    /// The column that is read, by its index in the table.
    pub fn column(&self) -> usize {
        match &self.0 {
            Source::Sqlite(probe) => probe.column(),
            Source::Postgres(probe) => probe.column(),
            Source::Mysql(probe) => probe.column(),
        }
    }
}

impl Term {
    /// Whether it may be true of the row.
    pub fn may_hold(&self, row: &Row) -> bool {
        match (self.probe.read(row), &self.wanted) {
            (Found::Unsent, _) => true,
            (Found::Nothing, _) => false,
            (Found::Value { mark, .. }, Wanted::OneOf(marks)) => marks.contains(&mark),
            (Found::Value { place, .. }, Wanted::Between(low, high)) => (*low..=*high).contains(&place),
        }
    }
}

/// `column op constant`, of the constant's mark and place.
pub(super) fn compared(op: Op, mark: u64, place: u128) -> Option<Wanted> {
    match op {
        Op::Eq => Some(Wanted::OneOf(vec![mark])),
        Op::Ne => None,
        Op::Lt | Op::Le => Some(Wanted::Between(0, place)),
        Op::Gt | Op::Ge => Some(Wanted::Between(place, u128::MAX)),
    }
}

impl Condition {
    /// Ways to find the rows that match: of each way, at least one term may hold for every such row.
    pub(super) fn ways(&self) -> Vec<Vec<Term>> {
        let one = |term: Option<Term>| term.into_iter().map(|term| vec![term]).collect();
        match self {
            Condition::Known(Some(true)) => Vec::new(),
            Condition::Known(_) => vec![Vec::new()],
            Condition::Sqlite(test) => one(test.term()),
            Condition::Postgres(test) => one(test.term()),
            Condition::Mysql(test) => one(test.term()),
            Condition::Is { inner, truth: true } | Condition::Within { inner, .. } | Condition::Rule(inner) => {
                inner.ways()
            }
            Condition::And(terms) => all(terms),
            Condition::Or(terms) => any(terms).into_iter().collect(),
            Condition::IsUnknown(_) | Condition::Is { .. } | Condition::Not(_) => Vec::new(),
        }
    }
}

/// Each term's ways are ways to all of them; two bounds of one thing are one.
fn all(terms: &[Condition]) -> Vec<Vec<Term>> {
    let mut ways: Vec<Vec<Term>> = Vec::new();
    for way in terms.iter().flat_map(Condition::ways) {
        if let [Term { probe, wanted: Wanted::Between(low, high) }] = &*way
            && let Some((low_before, high_before)) = ways.iter_mut().find_map(|way| bounds(way, probe))
            // Bounds that leave nothing between them stay two.
            && (*low_before).max(*low) <= (*high_before).min(*high)
        {
            (*low_before, *high_before) = ((*low_before).max(*low), (*high_before).min(*high));
        } else {
            ways.push(way);
        }
    }
    ways
}

fn bounds<'w>(way: &'w mut [Term], of: &Probe) -> Option<(&'w mut u128, &'w mut u128)> {
    match way {
        [Term { probe, wanted: Wanted::Between(low, high) }] if probe == of => Some((low, high)),
        _ => None,
    }
}

/// The best way of each, together; none if one of them has none.
fn any(terms: &[Condition]) -> Option<Vec<Term>> {
    let mut union: Vec<Term> = Vec::new();
    for term in terms {
        for term in term.ways().into_iter().min_by_key(|way| way.iter().map(rank).max())? {
            let before = union.iter_mut().find(|before| before.probe == term.probe);
            match (before.map(|before| &mut before.wanted), term.wanted) {
                (Some(Wanted::OneOf(marks)), Wanted::OneOf(more)) => marks.extend(more),
                (_, wanted) => union.push(Term { wanted, ..term }),
            }
        }
    }
    for term in &mut union {
        if let Wanted::OneOf(marks) = &mut term.wanted {
            marks.sort_unstable();
            marks.dedup();
        }
    }
    Some(union)
}

/// How little is to be expected of a term.
fn rank(term: &Term) -> u8 {
    match &term.wanted {
        Wanted::OneOf(_) => 1,
        Wanted::Between(0, _) | Wanted::Between(_, u128::MAX) => 3,
        Wanted::Between(..) => 2,
    }
}

/// The mark of what is alike where it is equal. Good for this process only.
pub(super) fn mark(value: impl Hash) -> u64 {
    static STATE: LazyLock<ahash::RandomState> = LazyLock::new(ahash::RandomState::new);
    STATE.hash_one(value)
}

/// Numbers in units of 10^-9, from the middle on; what is larger than any `i64` stands at its end.
const MIDDLE: u128 = 1 << 94;
const NANOS: u128 = 1_000_000_000;
/// The size of the least `i64`.
const WHOLE_MAX: u64 = 1 << 63;

pub(super) fn place_of_int(n: i64) -> u128 {
    place(n < 0, n.unsigned_abs(), 0)
}

/// The place of a number, which is no NaN, among integers.
pub(super) fn place_of_real(x: f64) -> u128 {
    let size = x.abs();
    if size >= WHOLE_MAX as f64 {
        return place(x < 0.0, WHOLE_MAX, 0);
    }
    place(x < 0.0, size as u64, (size.fract() * 1e9) as u64)
}

pub(super) fn place_of_decimal(number: &Decimal<'_>) -> u128 {
    let (negative, whole, nanos) = number.parts(WHOLE_MAX);
    place(negative, whole, nanos)
}

fn place(negative: bool, whole: u64, nanos: u64) -> u128 {
    let nanos = if whole >= WHOLE_MAX { 0 } else { u128::from(nanos).min(NANOS - 1) };
    let size = u128::from(whole) * NANOS + nanos;
    if negative { MIDDLE - size } else { MIDDLE + size }
}

/// The place of a double among doubles; 0 has no sign.
pub(super) fn place_of_double(x: f64) -> u128 {
    let bits = (x + 0.0).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    // Neither of the ends is a place of a number.
    u128::from(ordered) + 1
}

/// The place of bytes: as far as the first sixteen tell.
pub(super) fn place_of_bytes(bytes: &[u8]) -> u128 {
    let mut first = [0; 16];
    let count = bytes.len().min(16);
    first[..count].copy_from_slice(&bytes[..count]);
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_numbers_are_in_their_order() {
        let decimal = |text: &str| place_of_decimal(&Decimal::read(text).expect(text));
        let ascending = [
            place_of_int(i64::MIN),
            place_of_int(i64::MIN + 1),
            place_of_real(-1.5),
            place_of_int(-1),
            decimal("-0.25"),
            place_of_real(-1e-9),
            place_of_int(0),
            decimal("0.05"),
            place_of_real(0.5),
            decimal("0.500000001"),
            decimal("12.5e-1"),
            place_of_int(9_007_199_254_740_993),
            place_of_int(i64::MAX - 1),
            place_of_int(i64::MAX),
            place_of_real(1e300),
        ];
        assert!(ascending.is_sorted_by(|a, b| a < b), "{ascending:?}");
        for (a, b) in [
            (decimal("1.00"), place_of_int(1)),
            (decimal("-0"), place_of_real(-0.0)),
            (decimal("5e-1"), place_of_real(0.5)),
        ] {
            assert_eq!(a, b);
        }
        assert_eq!(decimal("-1e400"), place_of_int(i64::MIN));
        assert_eq!(decimal("1e-10"), decimal("0"));
        assert_eq!(decimal("12e18"), place_of_real(1e20));
    }

    #[test]
    fn places_of_doubles_are_in_their_order() {
        let ascending = [f64::NEG_INFINITY, -1e300, -1.0, -1e-300, 0.0, 1e-300, 1.0, 1e300, f64::INFINITY];
        assert!(ascending.map(place_of_double).is_sorted_by(|a, b| a < b));
        assert_eq!(place_of_double(-0.0), place_of_double(0.0));
    }
}
