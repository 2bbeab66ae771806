//! What an index can know of a test, by PostgreSQL's rules.

use super::super::term::{self, Found, Source, Term, Wanted};
use super::constant::Constant;
use super::datum::{By, Datum, Number};
use super::{Column, Membership, Test};
use crate::event::{Row, Value};

/// What is read of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) enum Probe {
    /// A column, by one comparison.
    By(By, Column),
    /// Whether a test is true.
    Truth(Box<Test>),
}

/// The mark and the place of a test that is true.
const TRUE: (u64, u128) = (1, 1);

impl Test {
    /// What every row has of which the test is true.
    pub(in super::super) fn term(&self) -> Option<Term> {
        let (probe, wanted) = match self {
            Test::Compare { op, by, left, right } => {
                let (mark, place) = located(&right.datum());
                let wanted = term::compared(*op, mark, place)?;
                if matches!(wanted, Wanted::Between(..)) && !by.has_order() {
                    return None;
                }
                (Probe::By(*by, left.clone()), wanted)
            }
            Test::Same { by, left, right } => {
                (Probe::By(*by, left.clone()), Wanted::OneOf(vec![located(&right.datum()).0]))
            }
            Test::In(membership) => membership.term(),
            Test::IsNull(_) | Test::Bare(_) => (Probe::Truth(Box::new(self.clone())), Wanted::OneOf(vec![TRUE.0])),
            Test::Columns { .. } | Test::SameColumns { .. } | Test::Like { .. } => return None,
        };
        Some(Term { probe: term::Probe(Source::Postgres(probe)), wanted })
    }
}

impl Membership {
    fn term(&self) -> (Probe, Wanted) {
        let mark = |constant: &Constant| located(&constant.datum()).0;
        let probe = Probe::By(self.by, self.subject.clone());
        (probe, Wanted::OneOf(self.constants.iter().map(mark).collect()))
    }
}

impl Probe {
    pub(in super::super) fn read(&self, row: &Row) -> Found {
        match self {
            Probe::By(by, column) => match column.value(row).as_deref() {
                None | Some(Value::Unchanged) => Found::Unsent,
                Some(value) => by.datum(value, &column.kind).map_or(Found::Nothing, |datum| {
                    let (mark, place) = located(&datum);
                    Found::Value { mark, place }
                }),
            },
            Probe::Truth(test) => {
                let is_unsent = matches!(row.values.get(self.column()), None | Some(Value::Unchanged));
                match test.truth(row) {
                    None if is_unsent => Found::Unsent,
                    Some(true) => Found::Value { mark: TRUE.0, place: TRUE.1 },
                    _ => Found::Nothing,
                }
            }
        }
    }

    pub(in super::super) fn column(&self) -> usize {
        match self {
            Probe::By(_, column) => column.index,
            Probe::Truth(test) => {
                let mut only = 0;
                test.visit(&mut |column| only = column);
                only
            }
        }
    }
}

/// The mark and the place.
fn located(datum: &Datum<'_>) -> (u64, u128) {
    let place = match datum {
        Datum::Int(n) => term::place_of_int(*n),
        Datum::Number(Number::MinusInfinity) => 0,
        Datum::Number(Number::Finite(number)) => term::place_of_decimal(number),
        Datum::Number(Number::Infinity | Number::NaN) => u128::MAX,
        Datum::Double(x) if x.is_nan() => u128::MAX,
        Datum::Double(x) => term::place_of_double(*x),
        Datum::Bytes(bytes) => return (term::mark(bytes), term::place_of_bytes(bytes)),
        Datum::Moment(moment) => moment.place(),
        Datum::Odd => 0,
    };
    (term::mark(place), place)
}
