//! What a bound filter asks of a row, and the answer.
//!
//! Constants are converted and sorted beforehand; comparing them with a column allocates nothing.

use std::cmp::Ordering;

use super::affinity;
use super::expr::Op;
use super::like::Pattern;
use super::operand::{Operand, Side};
use super::scalar::{Constant, Scalar};
use crate::event::{Row, Value};

/// From this many constants on, IN searches instead of trying each.
const SEARCH_MIN: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Condition {
    /// Whatever the row.
    Known(Option<bool>),
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
    /// `(a > b) IS NULL`.
    IsUnknown(Box<Condition>),
    Is {
        inner: Box<Condition>,
        truth: bool,
    },
    Not(Box<Condition>),
    And(Box<[Condition]>),
    Or(Box<[Condition]>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Membership {
    pub(super) subject: Operand,
    /// In order, each once, without NULL.
    pub(super) constants: Box<[Constant]>,
    pub(super) others: Box<[Side]>,
    pub(super) has_null: bool,
}

impl Condition {
    /// True, false, or `None` for SQL's unknown.
    pub(super) fn truth(&self, row: &Row) -> Option<bool> {
        match self {
            Condition::Known(truth) => *truth,
            Condition::Bare(operand) => affinity::truth(&operand.read(row)?),
            Condition::Compare { op, left, right } => match (&left.operand, &right.operand) {
                (Operand::Column(column), Operand::Constant(constant)) => {
                    constant.order_of(column.value(row)?).map(|order| op.holds(order))
                }
                _ => compare(*op, &left.read(row)?, &right.read(row)?),
            },
            Condition::Same { left, right } => Some(left.read(row)?.order(&right.read(row)?) == Ordering::Equal),
            Condition::In(membership) => membership.truth(row),
            Condition::Like { subject, pattern } => pattern.matches(subject.read(row)?),
            Condition::IsNull(operand) => Some(operand.read(row)?.is_null()),
            Condition::IsUnknown(inner) => inner.settled(row).map(|truth| truth.is_none()),
            Condition::Is { inner, truth } => inner.settled(row).map(|found| found == Some(*truth)),
            Condition::Not(inner) => inner.truth(row).map(|truth| !truth),
            Condition::And(terms) => fold(terms, row, false),
            Condition::Or(terms) => fold(terms, row, true),
        }
    }

    /// The truth, unless it is unknown only because a column was not sent.
    fn settled(&self, row: &Row) -> Option<Option<bool>> {
        let truth = self.truth(row);
        (truth.is_some() || !self.lacks_column(row)).then_some(truth)
    }

    fn lacks_column(&self, row: &Row) -> bool {
        let mut lacks = false;
        self.visit(&mut |operand| lacks |= operand.read(row).is_none());
        lacks
    }

    /// Calls `see` with every operand.
    fn visit<'c>(&'c self, see: &mut dyn FnMut(&'c Operand)) {
        match self {
            Condition::Known(_) => {}
            Condition::Bare(operand) | Condition::IsNull(operand) | Condition::Like { subject: operand, .. } => {
                see(operand);
            }
            Condition::Compare { left, right, .. } | Condition::Same { left, right } => {
                see(&left.operand);
                see(&right.operand);
            }
            Condition::In(membership) => {
                see(&membership.subject);
                membership.others.iter().for_each(|other| see(&other.operand));
            }
            Condition::IsUnknown(inner) | Condition::Is { inner, .. } | Condition::Not(inner) => inner.visit(see),
            Condition::And(terms) | Condition::Or(terms) => terms.iter().for_each(|term| term.visit(see)),
        }
    }

    /// The columns that it reads, ascending.
    pub(super) fn columns(&self) -> Box<[usize]> {
        let mut columns = Vec::new();
        self.visit(&mut |operand| columns.extend(operand.column()));
        columns.sort_unstable();
        columns.dedup();
        columns.into()
    }

    /// A column and the constant that it equals in every matching row.
    ///
    /// Exact for any row, since neither the column's values nor (any more) the constant are converted.
    pub(super) fn equality(&self) -> Option<(usize, Constant)> {
        match self {
            Condition::And(terms) => terms.iter().find_map(Condition::equality),
            Condition::Compare { op: Op::Eq, left, right } | Condition::Same { left, right } => {
                match (&left.operand, right.operand.constant()?) {
                    (Operand::Column(_), Constant::Null) => None,
                    (Operand::Column(column), constant) => Some((column.index, constant.clone())),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// AND decides at the first false, OR at the first true; otherwise one unknown makes the whole unknown.
#[inline]
fn fold(terms: &[Condition], row: &Row, decisive: bool) -> Option<bool> {
    let mut result = Some(!decisive);
    for term in terms {
        match term.truth(row) {
            Some(truth) if truth == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

#[inline]
pub(super) fn compare(op: Op, left: &Scalar<'_>, right: &Scalar<'_>) -> Option<bool> {
    if left.is_null() || right.is_null() {
        return None;
    }
    Some(op.holds(left.order(right)))
}

impl Op {
    #[inline]
    fn holds(self, order: Ordering) -> bool {
        match self {
            Op::Eq => order.is_eq(),
            Op::Ne => order.is_ne(),
            Op::Lt => order.is_lt(),
            Op::Le => order.is_le(),
            Op::Gt => order.is_gt(),
            Op::Ge => order.is_ge(),
        }
    }
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
