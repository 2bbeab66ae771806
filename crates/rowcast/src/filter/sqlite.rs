//! The tests that SQLite makes of a row: storage classes, column affinity, LIKE ignoring ASCII case.
//!
//! Constants are converted and sorted beforehand; comparing them with a column allocates nothing.

mod affinity;
mod bind;
mod json;
mod like;
mod number;
mod operand;
mod scalar;
mod sql;
mod term;

use std::cmp::Ordering;

use super::expr::Op;
use crate::event::{Row, Value};
use like::Pattern;
use operand::{Operand, Side};
use scalar::{Constant, Scalar};

pub(super) use affinity::comparable;
pub(super) use bind::bind;
pub(super) use sql::push_sql;
pub(super) use term::Probe;

/// From this many constants on, IN searches instead of trying each.
const SEARCH_MIN: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Test {
    /// A value taken as true or false.
    Bare(Operand),
    Compare {
        op: Op,
        left: Side,
        right: Side,
    },
    /// `IS NOT DISTINCT FROM`.
    Same {
        left: Side,
        right: Side,
    },
    In(Box<Membership>),
    Like {
        subject: Operand,
        pattern: Box<Pattern>,
    },
    IsNull(Operand),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Membership {
    subject: Operand,
    /// In order, each once, without NULL.
    constants: Box<[Constant]>,
    others: Box<[Side]>,
    has_null: bool,
}

impl Test {
    /// True, false, or `None` for SQL's unknown.
    #[inline]
    pub(super) fn truth(&self, row: &Row) -> Option<bool> {
        match self {
            Test::Bare(operand) => affinity::truth(&operand.read(row)?),
            Test::Compare { op, left, right } => match (&left.operand, &right.operand) {
                (Operand::Column(column), Operand::Constant(constant)) => {
                    constant.order_of(column.value(row)?).map(|order| op.holds(order))
                }
                _ => compare(*op, &left.read(row)?, &right.read(row)?),
            },
            Test::Same { left, right } => Some(left.read(row)?.order(&right.read(row)?) == Ordering::Equal),
            Test::In(membership) => membership.truth(row),
            Test::Like { subject, pattern } => pattern.matches(subject.read(row)?),
            Test::IsNull(operand) => Some(operand.read(row)?.is_null()),
        }
    }

    /// Whether it is never unknown for a row that is known.
    pub(super) fn is_two_valued(&self) -> bool {
        matches!(self, Test::IsNull(_) | Test::Same { .. })
    }

    /// Calls `see` with every column that it reads.
    pub(super) fn visit(&self, see: &mut dyn FnMut(usize)) {
        let mut operand = |operand: &Operand| {
            if let Some(column) = operand.column() {
                see(column);
            }
        };
        match self {
            Test::Bare(only) | Test::IsNull(only) | Test::Like { subject: only, .. } => operand(only),
            Test::Compare { left, right, .. } | Test::Same { left, right } => {
                operand(&left.operand);
                operand(&right.operand);
            }
            Test::In(membership) => {
                operand(&membership.subject);
                membership.others.iter().for_each(|other| operand(&other.operand));
            }
        }
    }
}

#[inline]
fn compare(op: Op, left: &Scalar<'_>, right: &Scalar<'_>) -> Option<bool> {
    if left.is_null() || right.is_null() {
        return None;
    }
    Some(op.holds(left.order(right)))
}

impl Membership {
    fn truth(&self, row: &Row) -> Option<bool> {
        if let (Operand::Column(column), []) = (&self.subject, &*self.others) {
            let value = column.value(row).filter(|value| !matches!(value, Value::Null | Value::Unchanged))?;
            return self.found(self.search(|constant| constant.order_of(value)));
        }
        let subject = self.subject.read(row).filter(|subject| !subject.is_null())?;
        let found = self.found(self.search(|constant| Some(subject.order(&constant.scalar()))));
        self.others.iter().fold(found, |found, other| {
            let equal = other.read(row).and_then(|other| compare(Op::Eq, &subject, &other));
            match (found, equal) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            }
        })
    }

    /// Not to be found is unknown where NULL is in the list.
    fn found(&self, found: bool) -> Option<bool> {
        (found || !self.has_null).then_some(found)
    }

    /// `order` says how the value that is searched for stands to a constant.
    #[inline]
    fn search(&self, order: impl Fn(&Constant) -> Option<Ordering>) -> bool {
        if self.constants.len() < SEARCH_MIN {
            return self.constants.iter().any(|constant| order(constant) == Some(Ordering::Equal));
        }
        let at = |constant: &Constant| order(constant).map_or(Ordering::Less, Ordering::reverse);
        self.constants.binary_search_by(at).is_ok()
    }
}
