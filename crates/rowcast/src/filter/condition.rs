//! A bound filter: tests of one row, joined in three-valued logic, which all databases share.

use std::sync::Arc;

use super::select::{Selection, Within};
use super::{mysql, postgres, sqlite};
use crate::event::{Row, Value};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Condition {
    /// Whatever the row.
    Known(Option<bool>),
    Sqlite(sqlite::Test),
    Postgres(postgres::Test),
    Mysql(mysql::Test),
    /// `(a > b) IS NULL`.
    IsUnknown(Box<Condition>),
    /// `IN (SELECT …)`, with what it comes to.
    Within {
        inner: Box<Condition>,
        within: Arc<Within>,
    },
    /// What may not be seen unless it is surely true.
    Rule(Box<Condition>),
    Is {
        inner: Box<Condition>,
        truth: bool,
    },
    Not(Box<Condition>),
    And(Box<[Condition]>),
    Or(Box<[Condition]>),
}

impl Condition {
    /// True, false, or `None` for SQL's unknown.
    #[inline]
    pub(super) fn truth(&self, row: &Row) -> Option<bool> {
        match self {
            Condition::Known(truth) => *truth,
            Condition::Sqlite(test) => test.truth(row),
            Condition::Postgres(test) => test.truth(row),
            Condition::Mysql(test) => test.truth(row),
            Condition::Within { inner, .. } | Condition::Rule(inner) => inner.truth(row),
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
        self.visit(&mut |column| lacks |= is_unsent(row, column));
        lacks
    }

    /// Which truths the row may have, its unsent columns holding anything.
    pub(super) fn possible(&self, row: &Row) -> Possible {
        match self {
            Condition::Known(truth) => Possible::only(*truth),
            Condition::Sqlite(test) if self.lacks_column(row) => Possible::any(test.is_two_valued()),
            Condition::Postgres(test) if self.lacks_column(row) => Possible::any(test.is_two_valued()),
            Condition::Mysql(test) if self.lacks_column(row) => Possible::any(test.is_two_valued()),
            Condition::Sqlite(_) | Condition::Postgres(_) | Condition::Mysql(_) => Possible::only(self.truth(row)),
            Condition::Within { inner, .. } => inner.possible(row),
            Condition::Rule(inner) => match inner.truth(row) {
                Some(true) => Possible::only(Some(true)),
                _ => Possible::only(Some(false)),
            },
            Condition::IsUnknown(inner) => {
                let inner = inner.possible(row);
                Possible { yes: inner.unknown, no: inner.yes || inner.no, unknown: false }
            }
            Condition::Is { inner, truth } => {
                let inner = inner.possible(row);
                let (asked, other) = if *truth { (inner.yes, inner.no) } else { (inner.no, inner.yes) };
                Possible { yes: asked, no: other || inner.unknown, unknown: false }
            }
            Condition::Not(inner) => inner.possible(row).not(),
            Condition::And(terms) => {
                terms.iter().map(|term| term.possible(row)).fold(Possible::only(Some(true)), Possible::and)
            }
            Condition::Or(terms) => {
                let none = terms.iter().map(|term| term.possible(row).not());
                none.fold(Possible::only(Some(true)), Possible::and).not()
            }
        }
    }

    /// Calls `see` with every column that it reads.
    fn visit(&self, see: &mut dyn FnMut(usize)) {
        match self {
            Condition::Known(_) => {}
            Condition::Sqlite(test) => test.visit(see),
            Condition::Postgres(test) => test.visit(see),
            Condition::Mysql(test) => test.visit(see),
            Condition::IsUnknown(inner)
            | Condition::Within { inner, .. }
            | Condition::Rule(inner)
            | Condition::Is { inner, .. }
            | Condition::Not(inner) => inner.visit(see),
            Condition::And(terms) | Condition::Or(terms) => terms.iter().for_each(|term| term.visit(see)),
        }
    }

    /// Whether more values in other tables make it true of more rows, and never of fewer.
    pub(super) fn grows(&self) -> bool {
        match self {
            Condition::Within { .. } => true,
            Condition::Rule(inner) => inner.grows(),
            Condition::And(terms) | Condition::Or(terms) => terms.iter().all(Condition::grows),
            other => {
                let mut read = Vec::new();
                other.selections(&mut read);
                read.is_empty()
            }
        }
    }

    /// Appends what it reads of other tables.
    pub(super) fn selections(&self, found: &mut Vec<Arc<Selection>>) {
        match self {
            Condition::Within { within, .. } => found.push(within.selection.clone()),
            Condition::IsUnknown(inner)
            | Condition::Rule(inner)
            | Condition::Is { inner, .. }
            | Condition::Not(inner) => inner.selections(found),
            Condition::And(terms) | Condition::Or(terms) => terms.iter().for_each(|term| term.selections(found)),
            Condition::Known(_) | Condition::Sqlite(_) | Condition::Postgres(_) | Condition::Mysql(_) => {}
        }
    }

    /// The columns that it reads, ascending.
    pub(super) fn columns(&self) -> Box<[usize]> {
        let mut columns = Vec::new();
        self.visit(&mut |column| columns.push(column));
        columns.sort_unstable();
        columns.dedup();
        columns.into()
    }
}

fn is_unsent(row: &Row, column: usize) -> bool {
    matches!(row.values.get(column), None | Some(Value::Unchanged))
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

/// The truths that a condition may have, as far as is known of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Possible {
    pub(super) yes: bool,
    pub(super) no: bool,
    pub(super) unknown: bool,
}

impl Possible {
    fn any(is_two_valued: bool) -> Self {
        Self { yes: true, no: true, unknown: !is_two_valued }
    }

    fn only(truth: Option<bool>) -> Self {
        Self { yes: truth == Some(true), no: truth == Some(false), unknown: truth.is_none() }
    }

    fn not(self) -> Self {
        Self { yes: self.no, no: self.yes, unknown: self.unknown }
    }

    fn and(self, other: Self) -> Self {
        let unknown = self.unknown && (other.yes || other.unknown) || other.unknown && self.yes;
        Self { yes: self.yes && other.yes, no: self.no || other.no, unknown }
    }
}

pub(super) fn not(inner: Condition) -> Condition {
    match inner {
        Condition::Known(truth) => Condition::Known(truth.map(|truth| !truth)),
        Condition::Not(inner) => *inner,
        inner => Condition::Not(Box::new(inner)),
    }
}

/// AND (`decisive` is false) or OR (true) of the terms: flat, without those that change nothing.
pub(super) fn join(terms: impl Iterator<Item = Condition>, decisive: bool) -> Condition {
    let mut kept = Vec::new();
    for term in terms {
        match term {
            Condition::Known(Some(truth)) if truth == decisive => return Condition::Known(Some(decisive)),
            Condition::Known(Some(_)) => {}
            Condition::And(inner) if !decisive => kept.extend(inner),
            Condition::Or(inner) if decisive => kept.extend(inner),
            term => kept.push(term),
        }
    }
    match (kept.len(), decisive) {
        (0, _) => Condition::Known(Some(!decisive)),
        (1, _) => kept.remove(0),
        (_, false) => Condition::And(kept.into()),
        (_, true) => Condition::Or(kept.into()),
    }
}
