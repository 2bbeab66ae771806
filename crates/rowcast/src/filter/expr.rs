//! What a filter's text says, before anything is known of tables and claims.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::Value as Json;

use super::error::Span;

/// A part of a filter with the characters that it was read from.
#[derive(Debug, Clone)]
pub(super) struct Expr {
    pub(super) kind: Kind,
    pub(super) span: Span,
    /// Levels of conditions, this one included.
    depth: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Literal(Literal),
    /// `speed`, `readings.speed`, `claims.org.id`.
    Name(Vec<Part>),
    /// `payload -> 'a' ->> 0`.
    Json {
        column: Box<Expr>,
        path: Vec<Step>,
        /// Whether the last arrow was `->>`.
        as_sql: bool,
    },
    Compare {
        op: Op,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `IS NOT DISTINCT FROM`.
    Same {
        left: Box<Expr>,
        right: Box<Expr>,
    },
    In {
        subject: Box<Expr>,
        list: Vec<Expr>,
    },
    /// `IN (SELECT …)`: which of the filter's selects.
    Within {
        subject: Box<Expr>,
        number: usize,
    },
    /// A list whose values are known.
    Values(Arc<[Json]>),
    Between {
        subject: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
    },
    Like {
        subject: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<char>,
        /// ILIKE.
        any_case: bool,
    },
    IsNull(Box<Expr>),
    /// `IS TRUE`, `IS FALSE`.
    Is {
        subject: Box<Expr>,
        truth: bool,
    },
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    /// With a fraction or an exponent, or beyond `i64`.
    Real {
        value: f64,
        /// As written, for databases that keep every digit.
        digits: String,
    },
    Text(String),
    Blob(Vec<u8>),
}

/// One part of a dotted name.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: String,
    /// The quote that it began with.
    pub(super) quote: Option<char>,
}

/// One step into a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Label(Box<str>),
    /// From the front, the first is 0.
    Index(u64),
    /// From the back, the last is 1.
    FromEnd(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Op {
    /// Whether it is true of two values in this order.
    #[inline]
    pub(super) fn holds(self, order: Ordering) -> bool {
        match self {
            Op::Eq => order.is_eq(),
            Op::Ne => order.is_ne(),
            Op::Lt => order.is_lt(),
            Op::Le => order.is_le(),
            Op::Gt => order.is_gt(),
            Op::Ge => order.is_ge(),
        }
    }

    /// The operator with its sides exchanged: `5 < x` is `x > 5`.
    pub(super) fn flipped(self) -> Self {
        match self {
            Op::Lt => Op::Gt,
            Op::Le => Op::Ge,
            Op::Gt => Op::Lt,
            Op::Ge => Op::Le,
            same => same,
        }
    }
}

impl Expr {
    pub(super) fn new(kind: Kind, span: Span) -> Self {
        let depth = 1 + kind.inner().iter().map(|inner| inner.depth).max().unwrap_or(0);
        Self { kind, span, depth }
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Whether it stands for a value, and not for a condition.
    pub(super) fn is_operand(&self) -> bool {
        matches!(self.kind, Kind::Literal(_) | Kind::Name(_) | Kind::Json { .. })
    }
}

impl Kind {
    /// The conditions that it is made of.
    fn inner(&self) -> &[Expr] {
        match self {
            Kind::And(terms) | Kind::Or(terms) => terms,
            Kind::Not(inner) | Kind::IsNull(inner) | Kind::Is { subject: inner, .. } => std::slice::from_ref(inner),
            _ => &[],
        }
    }
}
