//! Ties a filter's names to a table's columns and to a client's claims.
//!
//! What does not depend on the row is decided here: constants are converted, comparisons of constants are answered.

use serde_json::{Map, Value as Json};

use super::affinity::{self, Affinity};
use super::condition::{Condition, Membership, compare};
use super::error::{FilterError, Span};
use super::expr::{Expr, Kind, Literal, Op, Part};
use super::like::{PATTERN_CHARS_MAX, Pattern};
use super::operand::{Column, Element, Operand, Side};
use super::scalar::Constant;
use super::{NODES_MAX, suggest};
use crate::event::Table;

pub(super) struct Binder<'b> {
    table: &'b Table,
    claims: &'b Map<String, Json>,
    /// Constants that lists in the claims brought in.
    listed: usize,
}

/// What a name or a literal stands for.
enum Bound {
    One(Operand),
    List(Vec<Constant>),
}

impl<'b> Binder<'b> {
    pub(super) fn new(table: &'b Table, claims: &'b Map<String, Json>) -> Self {
        Self { table, claims, listed: 0 }
    }

    pub(super) fn condition(&mut self, expr: &Expr) -> Result<Condition, FilterError> {
        Ok(match &expr.kind {
            Kind::Literal(_) | Kind::Name(_) | Kind::Json { .. } => bare(self.operand(expr)?),
            Kind::Compare { op, left, right } => comparison(*op, self.operand(left)?, self.operand(right)?),
            Kind::Same { left, right } => same(self.operand(left)?, self.operand(right)?),
            Kind::In { subject, list } => self.membership(subject, list)?,
            Kind::Between { subject, low, high } => {
                let subject = self.operand(subject)?;
                let low = comparison(Op::Ge, subject.clone(), self.operand(low)?);
                let high = comparison(Op::Le, subject, self.operand(high)?);
                join([low, high].into_iter(), false)
            }
            Kind::Like { subject, pattern, escape } => self.like(subject, pattern, *escape)?,
            Kind::IsNull(subject) if subject.is_operand() => is_null(self.operand(subject)?),
            Kind::IsNull(subject) => match self.condition(subject)? {
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
        })
    }

    fn joined(&mut self, terms: &[Expr], decisive: bool) -> Result<Condition, FilterError> {
        let terms = terms.iter().map(|term| self.condition(term)).collect::<Result<Vec<_>, _>>()?;
        Ok(join(terms.into_iter(), decisive))
    }

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
            subject => Condition::Like { subject, pattern },
        })
    }

    /// A single value.
    fn operand(&mut self, expr: &Expr) -> Result<Operand, FilterError> {
        match self.bound(expr)? {
            Bound::One(operand) => Ok(operand),
            Bound::List(_) => {
                let message = format!("`{}` is a list", written(expr));
                Err(FilterError::at(expr.span, message).hint(format!("write `x IN {}`", written(expr))))
            }
        }
    }

    fn bound(&mut self, expr: &Expr) -> Result<Bound, FilterError> {
        let operand = match &expr.kind {
            Kind::Literal(literal) => Operand::Constant(constant(literal)),
            Kind::Name(parts) if self.is_claim(parts) => return self.claim(parts, expr.span),
            Kind::Name(parts) => Operand::Column(self.column(parts, expr.span)?),
            Kind::Json { column, path, as_sql } => {
                let column = self.json_column(column)?;
                Operand::Json(Element { column, path: path.clone(), as_sql: *as_sql }.into())
            }
            _ => return Err(FilterError::at(expr.span, "a condition cannot be compared with something else")),
        };
        Ok(Bound::One(operand))
    }

    fn json_column(&self, expr: &Expr) -> Result<Column, FilterError> {
        match &expr.kind {
            Kind::Name(parts) if !self.is_claim(parts) => self.column(parts, expr.span),
            _ => Err(FilterError::at(expr.span, "a JSON path begins at a column")
                .hint("a part of the claims is written `claims.org.id`")),
        }
    }

    fn column(&self, parts: &[Part], span: Span) -> Result<Column, FilterError> {
        let (qualifiers, name) = parts.split_at(parts.len() - 1);
        let (table, part) = (&self.table.name, &name[0]);
        let is = |part: &Part, name: &str| part.name.eq_ignore_ascii_case(name);
        let fits = match qualifiers {
            [] => true,
            [name] => is(name, &table.name),
            [schema, name] => is(schema, &table.schema) && is(name, &table.name),
            _ => false,
        };
        if !fits {
            return Err(FilterError::at(span, format!("this is not a column of `{}`", table.name))
                .hint("a filter reads one row of one table, and `claims.x`"));
        }
        let index = self.table.column(&part.name).ok_or_else(|| self.unknown(part, span))?;
        let column = &self.table.columns[index];
        Ok(Column { index, name: (&*column.name).into(), affinity: Affinity::of(&column.declared) })
    }

    fn unknown(&self, part: &Part, span: Span) -> FilterError {
        let mut hint = suggest::columns(&part.name, self.table.columns.iter().map(|column| &*column.name));
        if part.quote == Some('"') {
            hint = format!("text stands in single quotes: '{}'; {hint}", part.name);
        }
        FilterError::at(span, format!("`{}` has no column `{}`", self.table.name, part.name)).hint(hint)
    }

    /// In quotes, or where there is a column of that name, `claims` alone is no claim.
    fn is_claim(&self, parts: &[Part]) -> bool {
        let first = &parts[0];
        first.quote.is_none()
            && first.name.eq_ignore_ascii_case("claims")
            && (parts.len() > 1 || self.table.column(&first.name).is_none())
    }

    fn claim(&mut self, parts: &[Part], span: Span) -> Result<Bound, FilterError> {
        let [_, first, rest @ ..] = parts else {
            return Err(FilterError::at(span, "`claims` is not a value").hint("write a claim: `claims.sub`"));
        };
        let value = self.claims.get(&first.name);
        let value = rest.iter().try_fold(value, |value, part| match value {
            Some(Json::Object(inner)) => Some(inner.get(&part.name)),
            _ => None,
        });
        match value.flatten() {
            None => Ok(Bound::One(Operand::Constant(Constant::Null))),
            Some(Json::Array(list)) => self.claims_list(list, span),
            Some(value) => claim_value(value, span).map(|constant| Bound::One(Operand::Constant(constant))),
        }
    }

    fn claims_list(&mut self, list: &[Json], span: Span) -> Result<Bound, FilterError> {
        self.listed += list.len();
        if self.listed > NODES_MAX {
            return Err(FilterError::at(span, format!("the claims have lists of more than {NODES_MAX} values")));
        }
        list.iter().map(|value| claim_value(value, span)).collect::<Result<_, _>>().map(Bound::List)
    }
}

fn written(expr: &Expr) -> String {
    match &expr.kind {
        Kind::Name(parts) => parts.iter().map(|part| &*part.name).collect::<Vec<_>>().join("."),
        _ => String::new(),
    }
}

fn claim_value(value: &Json, span: Span) -> Result<Constant, FilterError> {
    Ok(match value {
        Json::Null => Constant::Null,
        Json::Bool(truth) => Constant::Int(i64::from(*truth)),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Constant::real(number.as_f64().unwrap_or(f64::NAN)), Constant::Int)
        }
        Json::String(text) => Constant::Text(text.as_str().into()),
        Json::Array(_) | Json::Object(_) => {
            return Err(
                FilterError::at(span, "this claim is not a single value").hint("name a part of it: `claims.org.id`")
            );
        }
    })
}

fn constant(literal: &Literal) -> Constant {
    match literal {
        Literal::Null => Constant::Null,
        Literal::Bool(truth) => Constant::Int(i64::from(*truth)),
        Literal::Int(n) => Constant::Int(*n),
        Literal::Real(x) => Constant::real(*x),
        Literal::Text(text) => Constant::Text(text.as_str().into()),
        Literal::Blob(bytes) => Constant::Blob(bytes.as_slice().into()),
    }
}

fn bare(operand: Operand) -> Condition {
    match operand {
        Operand::Constant(constant) => Condition::Known(affinity::truth(&constant.scalar())),
        operand => Condition::Bare(operand),
    }
}

fn is_null(operand: Operand) -> Condition {
    match operand {
        Operand::Constant(constant) => Condition::Known(Some(constant == Constant::Null)),
        operand => Condition::IsNull(operand),
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
        (Some(_), None) => Condition::Compare { op: op.flipped(), left: right, right: left },
        _ => Condition::Compare { op, left, right },
    }
}

fn same(left: Operand, right: Operand) -> Condition {
    let (left, right) = sides(left, right);
    match (left.operand.constant(), right.operand.constant()) {
        (Some(a), Some(b)) => Condition::Known(Some(a.scalar().order(&b.scalar()).is_eq())),
        (Some(Constant::Null), None) => Condition::IsNull(right.operand),
        (None, Some(Constant::Null)) => Condition::IsNull(left.operand),
        (Some(_), None) => Condition::Same { left: right, right: left },
        (None, _) => Condition::Same { left, right },
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
        return Condition::Known(Condition::In(membership.into()).truth(&Vec::new().into()));
    }
    Condition::In(membership.into())
}

fn not(inner: Condition) -> Condition {
    match inner {
        Condition::Known(truth) => Condition::Known(truth.map(|truth| !truth)),
        Condition::Not(inner) => *inner,
        inner => Condition::Not(Box::new(inner)),
    }
}

/// AND (`decisive` is false) or OR (true) of the terms: flat, without those that change nothing.
fn join(terms: impl Iterator<Item = Condition>, decisive: bool) -> Condition {
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
