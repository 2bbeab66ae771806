//! Ties one test to a table's columns and to a client's claims, by PostgreSQL's rules.

use super::super::condition::{Condition, join};
use super::super::error::{FilterError, Span};
use super::super::expr::{Expr, Kind as ExprKind, Op, Step};
use super::super::like::{PATTERN_CHARS_MAX, Pattern};
use super::super::names::{Named, Names, refuse_list};
use super::constant::Constant;
use super::datum::By;
use super::input::Said;
use super::kind::Kind;
use super::path::Path;
use super::{Column, Membership, Test};
use crate::event;

/// What a test means for PostgreSQL.
pub(in super::super) fn bind(names: &mut Names<'_>, expr: &Expr) -> Result<Condition, FilterError> {
    let mut binder = Binder { names };
    match &expr.kind {
        ExprKind::Compare { op, left, right } => {
            comparison(Question::Is(*op), binder.operand(left)?, binder.operand(right)?)
        }
        ExprKind::Same { left, right } => comparison(Question::Same, binder.operand(left)?, binder.operand(right)?),
        ExprKind::In { subject, list } => binder.membership(subject, list),
        ExprKind::Between { subject, low, high } => {
            let subject = binder.operand(subject)?;
            let low = comparison(Question::Is(Op::Ge), subject.clone(), binder.operand(low)?)?;
            let high = comparison(Question::Is(Op::Le), subject, binder.operand(high)?)?;
            Ok(join([low, high].into_iter(), false))
        }
        ExprKind::Like { subject, pattern, escape, any_case } => {
            binder.like(subject, pattern, escape.unwrap_or('\\'), *any_case)
        }
        ExprKind::IsNull(subject) => Ok(match binder.operand(subject)?.what {
            What::Said(said) => Condition::Known(Some(matches!(said, Said::Null))),
            What::Column(column) => Condition::Postgres(Test::IsNull(column)),
        }),
        _ => bare(binder.operand(expr)?),
    }
}

struct Binder<'n, 'b> {
    names: &'n mut Names<'b>,
}

/// A value or a column, and where it stands.
#[derive(Clone)]
struct Operand {
    what: What,
    span: Span,
}

#[derive(Clone)]
enum What {
    Said(Said),
    Column(Column),
}

/// What is asked of two values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Is(Op),
    /// `IS NOT DISTINCT FROM`.
    Same,
}

/// What a name or a literal stands for.
enum Bound {
    One(Operand),
    List(Vec<Said>),
}

impl Binder<'_, '_> {
    /// A single value.
    fn operand(&mut self, expr: &Expr) -> Result<Operand, FilterError> {
        match self.bound(expr)? {
            Bound::One(operand) => Ok(operand),
            Bound::List(_) => Err(refuse_list(expr)),
        }
    }

    fn bound(&mut self, expr: &Expr) -> Result<Bound, FilterError> {
        let what = match &expr.kind {
            ExprKind::Literal(literal) => What::Said(Said::literal(literal)),
            ExprKind::Name(parts) => match self.names.find(parts, expr.span)? {
                Named::Column(index) => What::Column(self.column(index)),
                Named::Claim(value) => What::Said(Said::claim(value)),
                Named::Claims(list) => return Ok(Bound::List(list.iter().map(Said::claim).collect())),
            },
            ExprKind::Values(list) => return Ok(Bound::List(list.iter().map(Said::claim).collect())),
            ExprKind::Json { column, path, as_sql } => What::Column(self.element(column, path, *as_sql)?),
            _ => return Err(FilterError::at(expr.span, "a condition cannot be compared with something else")),
        };
        Ok(Bound::One(Operand { what, span: expr.span }))
    }

    fn column(&self, index: usize) -> Column {
        let column = &self.names.table.columns[index];
        Column { index, name: (&*column.name).into(), kind: Kind::of(&column.declared), path: None }
    }

    fn element(&self, column: &Expr, steps: &[Step], as_text: bool) -> Result<Column, FilterError> {
        let found = self.column(self.names.json_column(column)?);
        if found.kind != Kind::Jsonb {
            let message = format!("`{}` is of type {}, and paths lead into jsonb only", found.name, found.kind.name());
            return Err(FilterError::at(column.span, message).hint("change the column's type to jsonb"));
        }
        let is_far = |step: &Step| match step {
            Step::Index(n) | Step::FromEnd(n) => i32::try_from(*n).is_err(),
            Step::Label(_) => false,
        };
        if steps.is_empty() || steps.iter().any(is_far) {
            return Err(FilterError::at(column.span, "this path into JSON leads nowhere")
                .hint("a path has at least one label or position, and positions below 2^31"));
        }
        let kind = if as_text { Kind::Text } else { found.kind };
        Ok(Column { kind, path: Some(Path { steps: steps.into(), as_text }.into()), ..found })
    }

    /// `x IN (a, b)` is `x = a OR x = b`; constants that are compared alike are searched at once.
    fn membership(&mut self, subject: &Expr, list: &[Expr]) -> Result<Condition, FilterError> {
        let subject = self.operand(subject)?;
        let mut elements = Vec::new();
        for element in list {
            match self.bound(element)? {
                Bound::One(operand) => elements.push(operand),
                Bound::List(list) => {
                    elements
                        .extend(list.into_iter().map(|said| Operand { what: What::Said(said), span: element.span }));
                }
            }
        }
        let mut groups: Vec<(By, Vec<Constant>)> = Vec::new();
        let mut terms = Vec::new();
        for element in elements {
            match (&subject.what, &element.what) {
                (What::Column(column), What::Said(said)) if !matches!(said, Said::Null) => {
                    let (by, constant) = said.for_kind(&column.kind, element.span)?;
                    match groups.iter_mut().find(|(known, _)| *known == by) {
                        Some((_, constants)) => constants.push(constant),
                        None => groups.push((by, vec![constant])),
                    }
                }
                _ => terms.push(comparison(Question::Is(Op::Eq), subject.clone(), element)?),
            }
        }
        if let What::Column(column) = &subject.what {
            terms.extend(groups.into_iter().map(|(by, constants)| one_of(column, by, constants)));
        }
        Ok(join(terms.into_iter(), true))
    }

    fn like(&mut self, subject: &Expr, pattern: &Expr, escape: char, any_case: bool) -> Result<Condition, FilterError> {
        let subject = self.operand(subject)?;
        let wrong = |message: &str| {
            FilterError::at(pattern.span, message).hint("write the pattern as text: `LIKE 'a%'`, or as a claim")
        };
        let text = match self.operand(pattern)?.what {
            What::Said(Said::Text(text)) => Some(text),
            What::Said(Said::Null) => None,
            What::Said(_) => return Err(wrong("a pattern is a text")),
            What::Column(_) => return Err(wrong("a pattern cannot be read from the row")),
        };
        let text = match text {
            Some(text) if text.chars().nth(PATTERN_CHARS_MAX).is_some() => {
                return Err(wrong(&format!("a pattern has at most {PATTERN_CHARS_MAX} characters")));
            }
            Some(text) if text.contains('\0') => return Err(wrong("PostgreSQL's texts hold no NUL character")),
            text => text,
        };
        let pattern = match &text {
            Some(text) => Some(
                Pattern::new(text, escape, any_case)
                    .ok_or_else(|| wrong("a pattern must not end with its escape character"))?,
            ),
            None => None,
        };
        Ok(match (subject.what, pattern) {
            (What::Column(subject), pattern) if subject.kind.is_text() => match pattern {
                Some(pattern) => Condition::Postgres(Test::Like { subject, pattern: pattern.into() }),
                None => Condition::Known(None),
            },
            (What::Said(Said::Text(text)), Some(pattern)) => Condition::Known(Some(pattern.matches(&text))),
            (What::Said(Said::Text(_)), None) | (What::Said(Said::Null), _) => Condition::Known(None),
            (What::Column(column), _) => {
                let message = format!("LIKE is for texts, and `{}` is of type {}", column.name, column.kind.name());
                return Err(FilterError::at(subject.span, message).hint("compare it with `=` or IN"));
            }
            (What::Said(_), _) => return Err(FilterError::at(subject.span, "LIKE is for texts")),
        })
    }
}

fn bare(operand: Operand) -> Result<Condition, FilterError> {
    match operand.what {
        What::Column(column) if column.kind == Kind::Bool => Ok(Condition::Postgres(Test::Bare(column))),
        What::Column(column) => {
            let message = format!("`{}` is of type {} and no condition by itself", column.name, column.kind.name());
            Err(FilterError::at(operand.span, message)
                .hint("compare it with something: `x = 'a'`, `x <> 0`, `x IS NOT NULL`"))
        }
        What::Said(Said::Null) => Ok(Condition::Known(None)),
        What::Said(said @ (Said::Bool(_) | Said::Text(_))) => {
            let (_, constant) = said.for_kind(&Kind::Bool, operand.span)?;
            Ok(Condition::Known(Some(constant == Constant::Bool(true))))
        }
        What::Said(_) => {
            Err(FilterError::at(operand.span, "this is no condition by itself").hint("write TRUE or FALSE"))
        }
    }
}

/// A constant goes to the right.
fn comparison(question: Question, left: Operand, right: Operand) -> Result<Condition, FilterError> {
    let span = left.span.to(right.span);
    match (left.what, right.what) {
        (What::Column(left), What::Column(right)) => columns(question, left, right, span),
        (What::Column(column), What::Said(said)) => with_constant(question, column, &said, right.span),
        (What::Said(said), What::Column(column)) => with_constant(question.flipped(), column, &said, left.span),
        (What::Said(a), What::Said(b)) => constants(question, &a, &b, left.span, right.span),
    }
}

fn with_constant(question: Question, left: Column, said: &Said, span: Span) -> Result<Condition, FilterError> {
    if matches!(said, Said::Null) {
        return Ok(match question {
            Question::Is(_) => Condition::Known(None),
            Question::Same => Condition::Postgres(Test::IsNull(left)),
        });
    }
    let (by, right) = said.for_kind(&left.kind, span)?;
    question.want_order(by, &left.kind, span)?;
    Ok(Condition::Postgres(match question {
        Question::Is(op) => Test::Compare { op, by, left, right },
        Question::Same => Test::Same { by, left, right },
    }))
}

fn columns(question: Question, left: Column, right: Column, span: Span) -> Result<Condition, FilterError> {
    let by = both(&left.kind, &right.kind).ok_or_else(|| {
        let message =
            format!("types {} and {} cannot be compared with each other here", left.kind.name(), right.kind.name());
        FilterError::at(span, message).hint("compare columns of the same type, or a column with a value")
    })?;
    let sides = Box::new((left, right));
    Ok(Condition::Postgres(match question {
        Question::Is(op) => Test::Columns { op, by, sides },
        Question::Same => Test::SameColumns { by, sides },
    }))
}

/// Which operator PostgreSQL finds for two columns, if it is one that we answer exactly.
fn both(left: &Kind, right: &Kind) -> Option<By> {
    let is_exact = |kind: &Kind| matches!(kind, Kind::Int(_) | Kind::Numeric { .. });
    let is_double =
        |kind: &Kind| matches!(kind, Kind::Int(_) | Kind::Float4 | Kind::Float8 | Kind::Numeric { fits_double: true });
    match (left, right) {
        (a, b) if is_exact(a) && is_exact(b) => Some(By::Number),
        (Kind::Float4, Kind::Float4) => Some(By::Single),
        (a, b) if is_double(a) && is_double(b) => Some(By::Double),
        (Kind::Bpchar(_), Kind::Bpchar(_) | Kind::Varchar) | (Kind::Varchar, Kind::Bpchar(_)) => Some(By::Padded),
        (a, b) if a.is_text() && b.is_text() => Some(By::Text),
        (a, b) if a.is_moment() && b.is_moment() => Some(By::Moment),
        (Kind::Bool, Kind::Bool) => Some(By::Bool),
        (Kind::Time, Kind::Time) => Some(By::Time),
        (Kind::Uuid, Kind::Uuid) => Some(By::Uuid),
        (Kind::Bytea, Kind::Bytea) => Some(By::Bytes),
        _ => None,
    }
}

/// Whether two columns are compared as one of them with the other's values.
pub(in super::super) fn comparable(one: &event::Column, other: &event::Column) -> bool {
    one.declared == other.declared || both(&Kind::of(&one.declared), &Kind::of(&other.declared)).is_some()
}

/// Whether it is compared byte by byte.
pub(in super::super) fn is_text(column: &event::Column) -> bool {
    Kind::of(&column.declared).is_text()
}

/// The one of two constants that has a type gives it to the other.
fn constants(question: Question, a: &Said, b: &Said, a_span: Span, b_span: Span) -> Result<Condition, FilterError> {
    let nulls = [a, b].iter().filter(|said| matches!(said, Said::Null)).count();
    if nulls > 0 {
        return Ok(Condition::Known(match question {
            Question::Is(_) => None,
            Question::Same => Some(nulls == 2),
        }));
    }
    let kind = if matches!(a, Said::Text(_)) { b.kind() } else { a.kind() };
    let (_, a) = a.for_kind(&kind, a_span)?;
    let (_, b) = b.for_kind(&kind, b_span)?;
    let order = a.datum().order(&b.datum());
    Ok(Condition::Known(Some(match question {
        Question::Is(op) => op.holds(order),
        Question::Same => order.is_eq(),
    })))
}

fn one_of(subject: &Column, by: By, mut constants: Vec<Constant>) -> Condition {
    let subject = subject.clone();
    if constants.len() == 1 {
        let right = constants.remove(0);
        return Condition::Postgres(Test::Compare { op: Op::Eq, by, left: subject, right });
    }
    constants.sort_by(|a, b| a.datum().order(&b.datum()));
    constants.dedup_by(|a, b| a.datum().order(&b.datum()).is_eq());
    Condition::Postgres(Test::In(Membership { subject, by, constants: constants.into() }.into()))
}

impl Question {
    /// The question with its sides exchanged.
    fn flipped(self) -> Self {
        match self {
            Question::Is(op) => Question::Is(op.flipped()),
            Question::Same => Question::Same,
        }
    }

    fn want_order(self, by: By, kind: &Kind, span: Span) -> Result<(), FilterError> {
        match self {
            Question::Is(Op::Lt | Op::Le | Op::Gt | Op::Ge) if !by.has_order() => {
                Err(FilterError::at(span, format!("the order of type {} is not known here", kind.name()))
                    .hint("ask with `=`, `<>` or IN"))
            }
            _ => Ok(()),
        }
    }
}
