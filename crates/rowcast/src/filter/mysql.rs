//! The tests that MySQL and MariaDB make of a row: each type has its own comparison, text is compared by its bytes, and what
//! cannot be answered exactly is refused when the filter is bound.
//!
//! The pushed SQL is chosen so that both families, every `sql_mode` and every collation answer alike. It counts on connections
//! whose character set is utf8mb4 and whose time zone is UTC.

mod bind;
mod column;
mod constant;
mod datum;
mod input;
mod moment;
mod sql;
mod term;

use std::sync::Arc;

use super::expr::Op;
use super::like::Pattern;
use crate::event::{Row, Value};
use column::Column;
use constant::Constant;
use datum::By;

pub(super) use bind::{bind, comparable, is_text};
pub(super) use sql::push_sql;
pub(super) use term::Probe;

/// From this many constants on, IN searches instead of trying each.
const SEARCH_MIN: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Test {
    /// A number that is not 0.
    Bare(Column),
    Compare {
        op: Op,
        by: By,
        left: Column,
        right: Constant,
    },
    Columns {
        op: Op,
        by: By,
        sides: Box<(Column, Column)>,
    },
    /// `IS NOT DISTINCT FROM` a constant that is not NULL.
    Same {
        by: By,
        left: Column,
        right: Constant,
    },
    SameColumns {
        by: By,
        sides: Box<(Column, Column)>,
    },
    In(Box<Membership>),
    Like {
        subject: Column,
        pattern: Arc<Pattern>,
    },
    IsNull(Column),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Membership {
    subject: Column,
    by: By,
    /// In order, each once.
    constants: Box<[Constant]>,
}

impl Test {
    /// True, false, or `None` for SQL's unknown.
    #[inline]
    pub(super) fn truth(&self, row: &Row) -> Option<bool> {
        match self {
            Test::Bare(column) => {
                Some(By::Number.datum(&*column.value(row)?, &column.kind)?.order(&Constant::Int(0).datum()).is_ne())
            }
            Test::Compare { op, by, left, right } => {
                by.order(&*left.value(row)?, &left.kind, right).map(|order| op.holds(order))
            }
            Test::Columns { op, by, sides } => {
                let (a, b) = (sides.0.value(row)?, sides.1.value(row)?);
                Some(op.holds(by.datum(&a, &sides.0.kind)?.order(&by.datum(&b, &sides.1.kind)?)))
            }
            Test::Same { by, left, right } => match &*left.value(row)? {
                Value::Null => Some(false),
                value => by.order(value, &left.kind, right).map(|order| order.is_eq()),
            },
            Test::SameColumns { by, sides } => match (&*sides.0.value(row)?, &*sides.1.value(row)?) {
                (Value::Unchanged, _) | (_, Value::Unchanged) => None,
                (Value::Null, Value::Null) => Some(true),
                (Value::Null, _) | (_, Value::Null) => Some(false),
                (a, b) => Some(by.datum(a, &sides.0.kind)?.order(&by.datum(b, &sides.1.kind)?).is_eq()),
            },
            Test::In(membership) => membership.truth(row),
            Test::Like { subject, pattern } => match &*subject.value(row)? {
                Value::Text(text) => Some(pattern.matches(text)),
                _ => None,
            },
            Test::IsNull(column) => match &*column.value(row)? {
                Value::Unchanged => None,
                Value::Json(document) => Some(column.is_document() && document.trim_ascii() == "null"),
                value => Some(*value == Value::Null),
            },
        }
    }

    /// Whether it is never unknown for a row that is known.
    pub(super) fn is_two_valued(&self) -> bool {
        matches!(self, Test::IsNull(_) | Test::Same { .. } | Test::SameColumns { .. })
    }

    /// Calls `see` with every column that it reads.
    pub(super) fn visit(&self, see: &mut dyn FnMut(usize)) {
        match self {
            Test::Bare(only) | Test::IsNull(only) | Test::Like { subject: only, .. } => see(only.index),
            Test::Compare { left, .. } | Test::Same { left, .. } => see(left.index),
            Test::Columns { sides, .. } | Test::SameColumns { sides, .. } => {
                see(sides.0.index);
                see(sides.1.index);
            }
            Test::In(membership) => see(membership.subject.index),
        }
    }
}

impl Membership {
    fn truth(&self, row: &Row) -> Option<bool> {
        let value = self.subject.value(row)?;
        let value = self.by.datum(&value, &self.subject.kind)?;
        if self.constants.len() < SEARCH_MIN {
            return Some(self.constants.iter().any(|constant| value.order(&constant.datum()).is_eq()));
        }
        Some(self.constants.binary_search_by(|constant| constant.datum().order(&value)).is_ok())
    }
}
