//! The values that a condition asks about: constants, columns, elements of JSON.

use std::sync::Arc;

use super::super::expr::Step;
use super::affinity::{Affinity, Cast};
use super::json;
use super::scalar::{Constant, Scalar};
use crate::event::{Row, Value};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) enum Operand {
    Constant(Constant),
    Column(Column),
    Json(Arc<Element>),
}

/// A column of the table that the filter is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct Column {
    pub(super) index: usize,
    pub(super) name: Arc<str>,
    pub(super) affinity: Affinity,
}

/// An element of a column's JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct Element {
    pub(super) column: Column,
    pub(super) path: Vec<Step>,
    /// As an SQL value, and not as JSON.
    pub(super) as_sql: bool,
}

/// A side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct Side {
    pub(super) operand: Operand,
    cast: Cast,
}

impl Operand {
    /// `None` where the source did not send the column.
    #[inline]
    pub(super) fn read<'r>(&'r self, row: &'r Row) -> Option<Scalar<'r>> {
        match self {
            Operand::Constant(constant) => Some(constant.scalar()),
            Operand::Column(column) => Scalar::of(column.value(row)?),
            Operand::Json(element) => element.read(row),
        }
    }

    /// `None` for what is no column.
    pub(super) fn affinity(&self) -> Option<Affinity> {
        match self {
            Operand::Column(column) => Some(column.affinity),
            _ => None,
        }
    }

    pub(super) fn constant(&self) -> Option<&Constant> {
        match self {
            Operand::Constant(constant) => Some(constant),
            _ => None,
        }
    }

    /// The index of the column that it reads.
    pub(super) fn column(&self) -> Option<usize> {
        match self {
            Operand::Constant(_) => None,
            Operand::Column(column) => Some(column.index),
            Operand::Json(element) => Some(element.column.index),
        }
    }
}

impl Column {
    /// As the row has it.
    #[inline]
    pub(super) fn value<'r>(&self, row: &'r Row) -> Option<&'r Value> {
        row.values.get(self.index)
    }
}

impl Element {
    fn read<'r>(&self, row: &'r Row) -> Option<Scalar<'r>> {
        match self.column.value(row)? {
            Value::Unchanged => None,
            Value::Text(text) | Value::Json(text) => Some(json::extract(text.as_bytes(), &self.path, self.as_sql)),
            _ => Some(Scalar::Null),
        }
    }
}

impl Side {
    /// A constant is converted here, once.
    pub(super) fn new(operand: Operand, cast: Cast) -> Self {
        match operand {
            Operand::Constant(constant) => {
                Self { operand: Operand::Constant(cast.apply_to(constant)), cast: Cast::Keep }
            }
            operand => Self { cast: cast.unless_stored(operand.affinity()), operand },
        }
    }

    #[inline]
    pub(super) fn read<'r>(&'r self, row: &'r Row) -> Option<Scalar<'r>> {
        self.operand.read(row).map(|value| self.cast.apply(value))
    }
}
