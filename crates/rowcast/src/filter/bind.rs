//! Ties a filter to a table and to a client's claims.
//!
//! Here is how conditions are joined; what one test means is the dialect's (`sqlite/bind`, `postgres/bind`, `mysql/bind`). What does not
//! depend on the row is decided at once.

use super::condition::{Condition, join, not};
use super::error::FilterError;
use super::expr::{Expr, Kind};
use super::names::Names;
use super::{Chosen, Dialect, mysql, postgres, sqlite};

pub(super) struct Binder<'b> {
    pub(super) names: Names<'b>,
    pub(super) dialect: Dialect,
    pub(super) chosen: &'b [Chosen],
}

impl Binder<'_> {
    pub(super) fn condition(&mut self, expr: &Expr) -> Result<Condition, FilterError> {
        Ok(match &expr.kind {
            Kind::IsNull(subject) if !subject.is_operand() => match self.condition(subject)? {
                Condition::Known(truth) => Condition::Known(Some(truth.is_none())),
                inner => Condition::IsUnknown(Box::new(inner)),
            },
            Kind::Is { subject, truth } => match self.condition(subject)? {
                Condition::Known(found) => Condition::Known(Some(found == Some(*truth))),
                inner => Condition::Is { inner: Box::new(inner), truth: *truth },
            },
            Kind::Not(inner) => not(self.condition(inner)?),
            Kind::And(terms) => self.joined(terms, false)?,
            Kind::Or(terms) => self.joined(terms, true)?,
            Kind::Within { subject, number } => self.within(subject, *number, expr.span)?,
            _ => match self.dialect {
                Dialect::Sqlite => sqlite::bind(&mut self.names, expr)?,
                Dialect::Postgres => postgres::bind(&mut self.names, expr)?,
                Dialect::Mysql => mysql::bind(&mut self.names, expr)?,
            },
        })
    }

    fn joined(&mut self, terms: &[Expr], decisive: bool) -> Result<Condition, FilterError> {
        let terms = terms.iter().map(|term| self.condition(term)).collect::<Result<Vec<_>, _>>()?;
        Ok(join(terms.into_iter(), decisive))
    }
}
