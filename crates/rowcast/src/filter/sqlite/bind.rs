//! Ties one test to a table's columns and to a client's claims, by SQLite's rules.

use serde_json::Value as Json;

use super::super::condition::{Condition, join};
use super::super::error::FilterError;
use super::super::expr::{Expr, Kind, Literal, Op};
use super::super::names::{Named, Names, refuse_list};
use super::affinity::{self, Affinity};
use super::like::{PATTERN_CHARS_MAX, Pattern};
use super::operand::{Column, Element, Operand, Side};
use super::scalar::Constant;
use super::{Membership, Test, compare};

/// What a test means for SQLite.
pub(in super::super) fn bind(names: &mut Names<'_>, expr: &Expr) -> Result<Condition, FilterError> {
    let mut binder = Binder { names };
    Ok(match &expr.kind {
        Kind::Compare { op, left, right } => comparison(*op, binder.operand(left)?, binder.operand(right)?),
        Kind::Same { left, right } => same(binder.operand(left)?, binder.operand(right)?),
        Kind::In { subject, list } => binder.membership(subject, list)?,
        Kind::Between { subject, low, high } => {
            let subject = binder.operand(subject)?;
            let low = comparison(Op::Ge, subject.clone(), binder.operand(low)?);
            let high = comparison(Op::Le, subject, binder.operand(high)?);
            join([low, high].into_iter(), false)
        }
        Kind::Like { subject, pattern, escape, .. } => binder.like(subject, pattern, *escape)?,
        Kind::IsNull(subject) => is_null(binder.operand(subject)?),
        _ => bare(binder.operand(expr)?),
    })
}

struct Binder<'n, 'b> {
    names: &'n mut Names<'b>,
}

/// What a name or a literal stands for.
enum Bound {
    One(Operand),
    List(Vec<Constant>),
}

impl Binder<'_, '_> {
    fn membership(&mut self, subject: &Expr, list: &[Expr]) -> Result<Condition, FilterError> {
        let subject = self.operand(subject)?;
        let cast = Affinity::cast_of_elements(subject.affinity());
        let (mut constants, mut others) = (Vec::new(), Vec::new());
        for element in list {
            match self.bound(element)? {
                Bound::One(Operand::Constant(constant)) => constants.push(cast.apply_to(constant)),
                Bound::One(operand) => others.push(Side::new(operand, cast)),
                Bound::List(list) => constants.extend(list.into_iter().map(|constant| cast.apply_to(constant))),
            }
        }
        Ok(membership(subject, constants, others))
    }

    fn like(&mut self, subject: &Expr, pattern: &Expr, escape: Option<char>) -> Result<Condition, FilterError> {
        let subject = self.operand(subject)?;
        let wrong = |message: &str| {
            FilterError::at(pattern.span, message).hint("write the pattern as text: `LIKE 'a%'`, or as a claim")
        };
        let text = match self.operand(pattern)? {
            Operand::Constant(Constant::Null) => return Ok(Condition::Known(None)),
            Operand::Constant(Constant::Text(text)) => text,
            Operand::Constant(_) => return Err(wrong("a pattern is a text")),
            _ => return Err(wrong("a pattern cannot be read from the row")),
        };
        if text.chars().nth(PATTERN_CHARS_MAX).is_some() {
            return Err(wrong(&format!("a pattern has at most {PATTERN_CHARS_MAX} characters")));
        }
        let pattern = Box::new(Pattern::new(text, escape));
        Ok(match subject {
            Operand::Constant(constant) => Condition::Known(pattern.matches(constant.scalar())),
            subject => Condition::Sqlite(Test::Like { subject, pattern }),
        })
    }

    /// A single value.
    fn operand(&mut self, expr: &Expr) -> Result<Operand, FilterError> {
        match self.bound(expr)? {
            Bound::One(operand) => Ok(operand),
            Bound::List(_) => Err(refuse_list(expr)),
        }
    }

    fn bound(&mut self, expr: &Expr) -> Result<Bound, FilterError> {
        let operand = match &expr.kind {
            Kind::Literal(literal) => Operand::Constant(constant(literal)),
            Kind::Name(parts) => match self.names.find(parts, expr.span)? {
                Named::Column(index) => Operand::Column(self.column(index)),
                Named::Claim(value) => Operand::Constant(claim(value)),
                Named::Claims(list) => return Ok(Bound::List(list.iter().map(claim).collect())),
            },
            Kind::Values(list) => return Ok(Bound::List(list.iter().map(claim).collect())),
            Kind::Json { column, path, as_sql } => {
                let column = self.column(self.names.json_column(column)?);
                Operand::Json(Element { column, path: path.clone(), as_sql: *as_sql }.into())
            }
            _ => return Err(FilterError::at(expr.span, "a condition cannot be compared with something else")),
        };
        Ok(Bound::One(operand))
    }

    fn column(&self, index: usize) -> Column {
        let column = &self.names.table.columns[index];
        Column { index, name: (&*column.name).into(), affinity: Affinity::of(&column.declared) }
    }
}

/// A claim's value, which is no list and no object.
fn claim(value: &Json) -> Constant {
    match value {
        Json::Bool(truth) => Constant::Int(i64::from(*truth)),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Constant::real(number.as_f64().unwrap_or(f64::NAN)), Constant::Int)
        }
        Json::String(text) => Constant::Text(text.as_str().into()),
        Json::Null | Json::Array(_) | Json::Object(_) => Constant::Null,
    }
}

fn constant(literal: &Literal) -> Constant {
    match literal {
        Literal::Null => Constant::Null,
        Literal::Bool(truth) => Constant::Int(i64::from(*truth)),
        Literal::Int(n) => Constant::Int(*n),
        Literal::Real { value, .. } => Constant::real(*value),
        Literal::Text(text) => Constant::Text(text.as_str().into()),
        Literal::Blob(bytes) => Constant::Blob(bytes.as_slice().into()),
    }
}

fn bare(operand: Operand) -> Condition {
    match operand {
        Operand::Constant(constant) => Condition::Known(affinity::truth(&constant.scalar())),
        operand => Condition::Sqlite(Test::Bare(operand)),
    }
}

fn is_null(operand: Operand) -> Condition {
    match operand {
        Operand::Constant(constant) => Condition::Known(Some(constant == Constant::Null)),
        operand => Condition::Sqlite(Test::IsNull(operand)),
    }
}

fn sides(left: Operand, right: Operand) -> (Side, Side) {
    let (left_cast, right_cast) = Affinity::casts(left.affinity(), right.affinity());
    (Side::new(left, left_cast), Side::new(right, right_cast))
}

/// A constant goes to the right.
fn comparison(op: Op, left: Operand, right: Operand) -> Condition {
    let (left, right) = sides(left, right);
    match (left.operand.constant(), right.operand.constant()) {
        (Some(a), Some(b)) => Condition::Known(compare(op, &a.scalar(), &b.scalar())),
        (Some(Constant::Null), _) | (_, Some(Constant::Null)) => Condition::Known(None),
        (Some(_), None) => Condition::Sqlite(Test::Compare { op: op.flipped(), left: right, right: left }),
        _ => Condition::Sqlite(Test::Compare { op, left, right }),
    }
}

fn same(left: Operand, right: Operand) -> Condition {
    let (left, right) = sides(left, right);
    match (left.operand.constant(), right.operand.constant()) {
        (Some(a), Some(b)) => Condition::Known(Some(a.scalar().order(&b.scalar()).is_eq())),
        (Some(Constant::Null), None) => Condition::Sqlite(Test::IsNull(right.operand)),
        (None, Some(Constant::Null)) => Condition::Sqlite(Test::IsNull(left.operand)),
        (Some(_), None) => Condition::Sqlite(Test::Same { left: right, right: left }),
        (None, _) => Condition::Sqlite(Test::Same { left, right }),
    }
}

fn membership(subject: Operand, mut constants: Vec<Constant>, others: Vec<Side>) -> Condition {
    if constants.is_empty() && others.is_empty() {
        return Condition::Known(Some(false));
    }
    if constants.len() == 1 && others.is_empty() {
        return comparison(Op::Eq, subject, Operand::Constant(constants.remove(0)));
    }
    let count = constants.len();
    constants.retain(|constant| *constant != Constant::Null);
    let has_null = constants.len() < count;
    constants.sort_by(|a, b| a.scalar().order(&b.scalar()));
    constants.dedup_by(|a, b| a.scalar().order(&b.scalar()).is_eq());
    let is_known = others.is_empty() && subject.constant().is_some();
    let membership = Membership { subject, constants: constants.into(), others: others.into(), has_null };
    if is_known {
        return Condition::Known(membership.truth(&Vec::new().into()));
    }
    Condition::Sqlite(Test::In(membership.into()))
}
