//! Ties one test to a table's columns and to a client's claims, by MySQL's rules.

use super::super::condition::{Condition, join};
use super::super::error::{FilterError, Span};
use super::super::expr::{Expr, Kind as ExprKind, Op, Step};
use super::super::like::{PATTERN_CHARS_MAX, Pattern};
use super::super::names::{Named, Names, refuse_list};
use super::column::Column;
use super::constant::Constant;
use super::datum::By;
use super::input::Said;
use super::{Membership, Test};
use crate::event;
use crate::mysql::Kind;

/// What a test means for MySQL.
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
            What::Column(column) => Condition::Mysql(Test::IsNull(column)),
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
            ExprKind::Json { column, path, as_sql } => What::Column(self.element(expr.span, column, path, *as_sql)?),
            _ => return Err(FilterError::at(expr.span, "a condition cannot be compared with something else")),
        };
        Ok(Bound::One(Operand { what, span: expr.span }))
    }

    fn column(&self, index: usize) -> Column {
        let column = &self.names.table.columns[index];
        let kind = Kind::of(&column.declared);
        Column { index, name: (&*column.name).into(), declared: (&*column.declared).into(), kind, path: None }
    }

    fn element(&self, span: Span, column: &Expr, steps: &[Step], as_text: bool) -> Result<Column, FilterError> {
        let found = self.column(self.names.json_column(column)?);
        if found.kind != Kind::Json {
            let message = format!("`{}` is of type {}, and paths lead into json only", found.name, found.declared);
            return Err(FilterError::at(column.span, message).hint("change the column's type to json"));
        }
        if !as_text {
            return Err(FilterError::at(span, "elements of JSON are compared as texts")
                .hint("let the last arrow be `->>`: `payload ->> 'kind' = 'move'`"));
        }
        let is_odd = |label: &str| label.is_empty() || label.chars().any(|c| matches!(c, '"' | '\\') || c < ' ');
        for step in steps {
            let (wrong, hint) = match step {
                Step::Label(label) if is_odd(label) => (
                    "the servers do not agree on how such a label is written in a path",
                    "quotes, backslashes and control characters cannot be asked for",
                ),
                Step::FromEnd(_) => {
                    ("not every server counts positions from the end", "count from the front: `-> 0` is the first")
                }
                Step::Index(n) if u32::try_from(*n).is_err() => {
                    ("this path into JSON leads nowhere", "positions are below 2^32")
                }
                _ => continue,
            };
            return Err(FilterError::at(span, wrong).hint(hint));
        }
        if steps.is_empty() {
            return Err(FilterError::at(span, "this path into JSON leads nowhere")
                .hint("a path has at least one label or position"));
        }
        Ok(Column { kind: Kind::Text, declared: "text".into(), path: Some(steps.into()), ..found })
    }

    /// `x IN (a, b)` is `x = a OR x = b`; constants are searched at once.
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
        let (mut constants, mut compared) = (Vec::new(), None);
        let mut terms = Vec::new();
        for element in elements {
            match (&subject.what, &element.what) {
                (What::Column(column), What::Said(said)) if !matches!(said, Said::Null) => {
                    let (by, constant) = constant(column, said, element.span)?;
                    compared = Some((column, by));
                    constants.push(constant);
                }
                _ => terms.push(comparison(Question::Is(Op::Eq), subject.clone(), element)?),
            }
        }
        terms.extend(compared.map(|(column, by)| one_of(column, by, constants)));
        Ok(join(terms.into_iter(), true))
    }

    fn like(&mut self, subject: &Expr, pattern: &Expr, escape: char, any_case: bool) -> Result<Condition, FilterError> {
        let subject = self.operand(subject)?;
        let wrong = |message: &str| {
            FilterError::at(pattern.span, message).hint("write the pattern as text: `LIKE 'a%'`, or as a claim")
        };
        let text = match self.operand(pattern)?.what {
            What::Said(Said::Text(text) | Said::Claim(text)) => Some(text),
            What::Said(Said::Null) => None,
            What::Said(_) => return Err(wrong("a pattern is a text")),
            What::Column(_) => return Err(wrong("a pattern cannot be read from the row")),
        };
        let pattern = match &text {
            Some(text) if text.chars().nth(PATTERN_CHARS_MAX).is_some() => {
                return Err(wrong(&format!("a pattern has at most {PATTERN_CHARS_MAX} characters")));
            }
            Some(text) => Some(
                Pattern::new(text, escape, any_case)
                    .ok_or_else(|| wrong("a pattern must not end with its escape character"))?,
            ),
            None => None,
        };
        Ok(match (subject.what, pattern) {
            (What::Column(subject), pattern) if subject.is_text() => match pattern {
                Some(pattern) => Condition::Mysql(Test::Like { subject, pattern: pattern.into() }),
                None => Condition::Known(None),
            },
            (What::Said(Said::Text(text) | Said::Claim(text)), Some(pattern)) => {
                Condition::Known(Some(pattern.matches(&text)))
            }
            (What::Said(Said::Text(_) | Said::Claim(_)), None) | (What::Said(Said::Null), _) => Condition::Known(None),
            (What::Column(column), _) => {
                let message = format!("LIKE is for texts, and `{}` is of type {}", column.name, column.declared);
                return Err(FilterError::at(subject.span, message).hint("compare it with `=` or IN"));
            }
            (What::Said(_), _) => return Err(FilterError::at(subject.span, "LIKE is for texts")),
        })
    }
}

/// Truth values are integers here.
fn bare(operand: Operand) -> Result<Condition, FilterError> {
    match operand.what {
        What::Column(column) if matches!(column.kind, Kind::Int { .. } | Kind::Bit(_)) => {
            Ok(Condition::Mysql(Test::Bare(column)))
        }
        What::Column(column) => {
            let message = format!("`{}` is of type {} and no condition by itself", column.name, column.declared);
            Err(FilterError::at(operand.span, message)
                .hint("compare it with something: `x = 'a'`, `x <> 0`, `x IS NOT NULL`"))
        }
        What::Said(Said::Null) => Ok(Condition::Known(None)),
        What::Said(Said::Bool(truth)) => Ok(Condition::Known(Some(truth))),
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

/// A value as the constant that it is beside the column.
fn constant(column: &Column, said: &Said, span: Span) -> Result<(By, Constant), FilterError> {
    if column.is_closed() {
        return Err(FilterError::at(span, format!("{} is not compared", column.declared))
            .hint("only IS NULL and IS NOT NULL can be asked"));
    }
    said.for_kind(&column.kind, &column.declared, span)
}

fn with_constant(question: Question, left: Column, said: &Said, span: Span) -> Result<Condition, FilterError> {
    if matches!(said, Said::Null) {
        return Ok(match question {
            Question::Is(_) => Condition::Known(None),
            Question::Same => Condition::Mysql(Test::IsNull(left)),
        });
    }
    let (by, right) = constant(&left, said, span)?;
    question.want_order(by, &left, span)?;
    Ok(Condition::Mysql(match question {
        Question::Is(op) => Test::Compare { op, by, left, right },
        Question::Same => Test::Same { by, left, right },
    }))
}

fn columns(question: Question, left: Column, right: Column, span: Span) -> Result<Condition, FilterError> {
    let by = both(&left, &right).ok_or_else(|| {
        let message = format!("types {} and {} cannot be compared with each other here", left.declared, right.declared);
        let is_zoned = |column: &Column| matches!(column.kind, Kind::Timestamp(_));
        FilterError::at(span, message).hint(if is_zoned(&left) != is_zoned(&right) {
            "a timestamp is a moment in UTC, and a datetime has no time zone: compare each with a value"
        } else {
            "compare columns of the same type, or a column with a value"
        })
    })?;
    question.want_order(by, &left, span)?;
    let sides = Box::new((left, right));
    Ok(Condition::Mysql(match question {
        Question::Is(op) => Test::Columns { op, by, sides },
        Question::Same => Test::SameColumns { by, sides },
    }))
}

/// Which comparison two columns make, if it is one that is answered exactly.
fn both(left: &Column, right: &Column) -> Option<By> {
    if left.is_closed() || right.is_closed() {
        return None;
    }
    // MariaDB makes a negative double of 64 bits.
    let is_number = |column: &Column| column.is_float() || column.is_exact() && !matches!(column.kind, Kind::Bit(_));
    match (&left.kind, &right.kind) {
        _ if left.is_exact() && right.is_exact() => Some(By::Number),
        _ if is_number(left) && is_number(right) => Some(By::Double),
        _ if left.is_text() && right.is_text() => Some(By::Text),
        (Kind::Date | Kind::DateTime(_), Kind::Date | Kind::DateTime(_)) => Some(By::Moment),
        (Kind::Timestamp(_), Kind::Timestamp(_)) => Some(By::Moment),
        (Kind::Time(_), Kind::Time(_)) => Some(By::Time),
        (Kind::Bytes, Kind::Bytes) => Some(By::Bytes),
        (Kind::Uuid, Kind::Uuid) => Some(By::Uuid),
        (Kind::Inet6, Kind::Inet6) | (Kind::Inet4, Kind::Inet4) => Some(By::Inet),
        _ => None,
    }
}

fn column(column: &event::Column) -> Column {
    let kind = Kind::of(&column.declared);
    Column { index: 0, name: (&*column.name).into(), declared: (&*column.declared).into(), kind, path: None }
}

/// Whether two columns are compared as one of them with the other's values.
pub(in super::super) fn comparable(one: &event::Column, other: &event::Column) -> bool {
    one.declared == other.declared || both(&column(one), &column(other)).is_some()
}

/// Whether it is compared byte by byte.
pub(in super::super) fn is_text(of: &event::Column) -> bool {
    column(of).is_text()
}

/// The one of two constants that is no text gives its type to the other.
fn constants(question: Question, a: &Said, b: &Said, a_span: Span, b_span: Span) -> Result<Condition, FilterError> {
    let nulls = [a, b].iter().filter(|said| matches!(said, Said::Null)).count();
    if nulls > 0 {
        return Ok(Condition::Known(match question {
            Question::Is(_) => None,
            Question::Same => Some(nulls == 2),
        }));
    }
    let (kind, name) = match (a, b) {
        (Said::Bool(_), Said::Number(_)) => a.kind(),
        (_, Said::Bool(_)) => b.kind(),
        _ if a.is_text() => b.kind(),
        _ => a.kind(),
    };
    let (_, a) = a.for_kind(&kind, name, a_span)?;
    let (_, b) = b.for_kind(&kind, name, b_span)?;
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
        return Condition::Mysql(Test::Compare { op: Op::Eq, by, left: subject, right });
    }
    constants.sort_by(|a, b| a.datum().order(&b.datum()));
    constants.dedup_by(|a, b| a.datum().order(&b.datum()).is_eq());
    Condition::Mysql(Test::In(Membership { subject, by, constants: constants.into() }.into()))
}

impl Question {
    /// The question with its sides exchanged.
    fn flipped(self) -> Self {
        match self {
            Question::Is(op) => Question::Is(op.flipped()),
            Question::Same => Question::Same,
        }
    }

    fn want_order(self, by: By, column: &Column, span: Span) -> Result<(), FilterError> {
        match self {
            Question::Is(Op::Lt | Op::Le | Op::Gt | Op::Ge) if !by.has_order() => {
                Err(FilterError::at(span, format!("the order of type {} is not known here", column.declared))
                    .hint("ask with `=`, `<>` or IN"))
            }
            _ => Ok(()),
        }
    }
}
