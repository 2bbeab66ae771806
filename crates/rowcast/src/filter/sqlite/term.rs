//! What an index can know of a test, by SQLite's rules: numbers before text before bytes.

use super::super::term::{self, Found, Source, Term, Wanted};
use super::operand::{Operand, Side};
use super::scalar::{Constant, Scalar};
use super::{Membership, Test};
use crate::event::{Row, Value};

/// What is read of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) enum Probe {
    /// A column, as it was stored.
    Column(usize),
    /// An element of JSON.
    Element(Side),
    /// Whether a test is true.
    Truth(Box<Test>),
}

/// The mark and the place of a test that is true.
const TRUE: (u64, u128) = (1, 1);

impl Test {
    /// What every row has of which the test is true.
    pub(in super::super) fn term(&self) -> Option<Term> {
        let (probe, wanted) = match self {
            Test::Compare { op, left, right } => {
                let (mark, place) = known(right.operand.constant()?)?;
                (Probe::of(left)?, term::compared(*op, mark, place)?)
            }
            Test::Same { left, right } => (Probe::of(left)?, Wanted::OneOf(vec![known(right.operand.constant()?)?.0])),
            Test::In(membership) => membership.term()?,
            Test::IsNull(_) | Test::Bare(_) => (Probe::Truth(Box::new(self.clone())), Wanted::OneOf(vec![TRUE.0])),
            Test::Like { .. } => return None,
        };
        Some(Term { probe: term::Probe(Source::Sqlite(probe)), wanted })
    }
}

impl Membership {
    fn term(&self) -> Option<(Probe, Wanted)> {
        let probe = match &self.subject {
            Operand::Column(column) if self.others.is_empty() => Probe::Column(column.index),
            _ => return None,
        };
        let marks = self.constants.iter().map(|constant| Some(known(constant)?.0)).collect::<Option<Vec<_>>>()?;
        Some((probe, Wanted::OneOf(marks)))
    }
}

impl Probe {
    /// No constant.
    fn of(side: &Side) -> Option<Self> {
        match &side.operand {
            Operand::Constant(_) => None,
            Operand::Column(column) => Some(Probe::Column(column.index)),
            Operand::Json(_) => Some(Probe::Element(side.clone())),
        }
    }

    pub(in super::super) fn read(&self, row: &Row) -> Found {
        let scalar = match self {
            Probe::Column(column) => row.values.get(*column).and_then(Scalar::of),
            Probe::Element(side) => side.read(row),
            Probe::Truth(test) => {
                let is_unsent = matches!(row.values.get(self.column()), None | Some(Value::Unchanged));
                return match test.truth(row) {
                    None if is_unsent => Found::Unsent,
                    Some(true) => Found::Value { mark: TRUE.0, place: TRUE.1 },
                    _ => Found::Nothing,
                };
            }
        };
        match scalar {
            None => Found::Unsent,
            Some(scalar) => located(&scalar).map_or(Found::Nothing, |(mark, place)| Found::Value { mark, place }),
        }
    }

    pub(in super::super) fn column(&self) -> usize {
        match self {
            Probe::Column(column) => *column,
            Probe::Element(side) => side.operand.column().unwrap_or_default(),
            Probe::Truth(test) => {
                let mut only = 0;
                test.visit(&mut |column| only = column);
                only
            }
        }
    }
}

fn known(constant: &Constant) -> Option<(u64, u128)> {
    located(&constant.scalar())
}

/// The mark and the place; `None` for NULL.
fn located(scalar: &Scalar<'_>) -> Option<(u64, u128)> {
    let (class, bytes) = match scalar {
        Scalar::Null => return None,
        Scalar::Int(n) => return Some(number(term::place_of_int(*n))),
        Scalar::Real(x) => return Some(number(term::place_of_real(*x))),
        Scalar::Text(text) => (2, text.as_ref()),
        Scalar::Blob(bytes) => (3, *bytes),
    };
    Some((term::mark((class, bytes)), class << 126 | term::place_of_bytes(bytes) >> 2))
}

/// Among all values.
fn number(place: u128) -> (u64, u128) {
    (term::mark(place), 1 << 126 | place)
}
