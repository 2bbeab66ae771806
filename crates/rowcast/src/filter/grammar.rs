//! The grammar of a filter: tokens to an expression.
//!
//! Written out by hand over sqlparser's tokens: its own expression grammar takes far more than one row can answer,
//! loses where things stand, and builds trees as deep as the text is long. Here every part knows its characters, lists
//! of AND and OR are flat, and the only recursion is a parenthesis, which is counted.

mod refuse;
pub(super) mod select;
mod value;

use std::sync::Arc;

use sqlparser::tokenizer::Token;

use super::error::{FilterError, Span};
use super::expr::{Expr, Kind, Op};
use super::select::Select;
use super::token::Tokens;
use super::{DEPTH_MAX, LEVELS_MAX, NODES_MAX, TEXT_BYTES_MAX};
use refuse::refuse;

/// Reads a whole filter.
///
/// With `selects`, `IN (SELECT …)` may stand in it.
pub(super) fn parse(text: &str, selects: bool) -> Result<(Expr, Vec<Arc<Select>>), FilterError> {
    let mut grammar = Grammar::read(text, selects)?;
    if *grammar.tokens.peek() == Token::EOF {
        return Err(FilterError::at(grammar.tokens.span(), "the filter is empty").hint("leave it out to get every row"));
    }
    let root = grammar.or()?;
    match grammar.tokens.peek() {
        Token::EOF => Ok((root, grammar.selects.unwrap_or_default())),
        Token::RParen => Err(FilterError::at(grammar.tokens.span(), "`)` has no `(`")),
        _ => Err(refuse(&grammar.tokens, "AND, OR or the end of the filter")),
    }
}

fn too_long(text: &str) -> FilterError {
    let start = text.char_indices().take_while(|(byte, _)| *byte < TEXT_BYTES_MAX).count();
    let message = format!("the filter has {} bytes and may have {TEXT_BYTES_MAX}", text.len());
    FilterError::at(Span { start, end: start + 1 }, message)
}

struct Grammar<'t> {
    tokens: Tokens<'t>,
    depth: usize,
    nodes: usize,
    /// `None` where none may stand.
    selects: Option<Vec<Arc<Select>>>,
}

impl<'t> Grammar<'t> {
    fn read(text: &'t str, selects: bool) -> Result<Self, FilterError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(too_long(text));
        }
        Ok(Self { tokens: Tokens::read(text)?, depth: 0, nodes: 0, selects: selects.then(Vec::new) })
    }
}

impl Grammar<'_> {
    /// Counts a part, so that no filter is too much work.
    fn node(&mut self, kind: Kind, span: Span) -> Result<Expr, FilterError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message = format!("the filter has more than {NODES_MAX} columns, values and operators");
            return Err(FilterError::at(span, message));
        }
        let expr = Expr::new(kind, span);
        if expr.depth() > LEVELS_MAX {
            return Err(FilterError::at(span, format!("conditions on conditions, more than {LEVELS_MAX} deep")));
        }
        Ok(expr)
    }

    fn negated_if(&mut self, negated: bool, found: Expr) -> Result<Expr, FilterError> {
        let span = found.span;
        if negated { self.node(Kind::Not(Box::new(found)), span) } else { Ok(found) }
    }

    fn or(&mut self) -> Result<Expr, FilterError> {
        let first = self.and()?;
        let rest = self.chain("or", Self::and)?;
        self.joined(first, rest, Kind::Or)
    }

    fn and(&mut self) -> Result<Expr, FilterError> {
        let first = self.not()?;
        let rest = self.chain("and", Self::not)?;
        self.joined(first, rest, Kind::And)
    }

    fn chain(
        &mut self,
        word: &str,
        mut term: impl FnMut(&mut Self) -> Result<Expr, FilterError>,
    ) -> Result<Vec<Expr>, FilterError> {
        let mut terms = Vec::new();
        while self.tokens.eat_word(word) {
            terms.push(term(self)?);
        }
        Ok(terms)
    }

    fn joined(
        &mut self,
        first: Expr,
        mut rest: Vec<Expr>,
        kind: impl FnOnce(Vec<Expr>) -> Kind,
    ) -> Result<Expr, FilterError> {
        let Some(last) = rest.last() else { return Ok(first) };
        let span = first.span.to(last.span);
        rest.insert(0, first);
        self.node(kind(rest), span)
    }

    /// Any number of NOTs: two of them say as much as four, and one as much as three.
    fn not(&mut self) -> Result<Expr, FilterError> {
        let start = self.tokens.span();
        let mut count = 0;
        while self.tokens.eat_word("not") {
            count += 1;
        }
        let mut inner = self.predicate()?;
        for _ in 0..if count < 2 { count } else { 2 - count % 2 } {
            let span = start.to(inner.span);
            inner = self.node(Kind::Not(Box::new(inner)), span)?;
        }
        Ok(inner)
    }

    /// An operand and what is asked of it: `speed > 5`, `city IN (…)`, `done`, also `(a > 1) IS NOT TRUE`.
    fn predicate(&mut self) -> Result<Expr, FilterError> {
        let mut left = self.operand()?;
        loop {
            left = if let Some(op) = compare_op(self.tokens.peek()) {
                self.comparison(left, op)?
            } else if self.tokens.eat_word("is") {
                self.is(left)?
            } else if self.tokens.eat_word("isnull") {
                self.is_null(left, false)?
            } else if self.tokens.eat_word("notnull") {
                self.is_null(left, true)?
            } else if let Some((negated, form)) = self.form() {
                self.formed(left, negated, form)?
            } else {
                return Ok(left);
            };
        }
    }

    fn comparison(&mut self, left: Expr, op: Op) -> Result<Expr, FilterError> {
        self.want_operand(&left)?;
        let op_span = self.tokens.span();
        self.tokens.skip();
        if matches!(self.tokens.peek_second(), Token::LParen) {
            if self.tokens.at_word("any") || self.tokens.at_word("some") {
                return self.quantified(left, op == Op::Eq, false, op_span);
            }
            if self.tokens.at_word("all") {
                return self.quantified(left, op == Op::Ne, true, op_span);
            }
        }
        let right = self.value_operand()?;
        let span = left.span.to(right.span);
        self.node(Kind::Compare { op, left: Box::new(left), right: Box::new(right) }, span)
    }

    /// `= ANY(claims.groups)` is IN, `<> ALL(claims.groups)` is NOT IN.
    fn quantified(&mut self, subject: Expr, fits: bool, negated: bool, op: Span) -> Result<Expr, FilterError> {
        if !fits {
            return Err(FilterError::at(op, "only `= ANY(…)` and `<> ALL(…)` are supported")
                .hint("write `x IN claims.groups` or `x NOT IN claims.groups`"));
        }
        self.tokens.skip();
        self.tokens.skip();
        let list = self.value_operand()?;
        self.close()?;
        let span = subject.span.to(self.tokens.last_span());
        let found = self.node(Kind::In { subject: Box::new(subject), list: vec![list] }, span)?;
        self.negated_if(negated, found)
    }

    fn is(&mut self, subject: Expr) -> Result<Expr, FilterError> {
        let negated = self.tokens.eat_word("not");
        if self.tokens.eat_word("null") || self.tokens.eat_word("unknown") {
            return self.is_null(subject, negated);
        }
        for (word, truth) in [("true", true), ("false", false)] {
            if self.tokens.eat_word(word) {
                let span = subject.span.to(self.tokens.last_span());
                let found = self.node(Kind::Is { subject: Box::new(subject), truth }, span)?;
                return self.negated_if(negated, found);
            }
        }
        if self.tokens.eat_word("distinct") {
            return self.distinct(subject, negated);
        }
        Err(refuse(&self.tokens, "NULL, TRUE, FALSE or DISTINCT FROM")
            .hint("write `IS NULL`, `IS NOT NULL`, `IS TRUE`, `IS FALSE` or `IS [NOT] DISTINCT FROM x`"))
    }

    fn is_null(&mut self, subject: Expr, negated: bool) -> Result<Expr, FilterError> {
        let span = subject.span.to(self.tokens.last_span());
        let found = self.node(Kind::IsNull(Box::new(subject)), span)?;
        self.negated_if(negated, found)
    }

    /// `a IS DISTINCT FROM b`, the words up to DISTINCT being read.
    fn distinct(&mut self, left: Expr, same: bool) -> Result<Expr, FilterError> {
        if !self.tokens.eat_word("from") {
            return Err(refuse(&self.tokens, "FROM"));
        }
        self.want_operand(&left)?;
        let right = self.value_operand()?;
        let span = left.span.to(right.span);
        let found = self.node(Kind::Same { left: Box::new(left), right: Box::new(right) }, span)?;
        self.negated_if(!same, found)
    }

    /// Takes `[NOT]` and the word after it, if they begin IN, BETWEEN, LIKE or NOT NULL.
    fn form(&mut self) -> Option<(bool, Form)> {
        let negated = self.tokens.at_word("not");
        let forms = [
            ("in", Form::In),
            ("between", Form::Between),
            ("like", Form::Like),
            ("ilike", Form::Ilike),
            ("null", Form::Null),
        ];
        let (_, form) = forms.into_iter().find(|(word, form)| {
            if negated { self.tokens.second_is_word(word) } else { *form != Form::Null && self.tokens.at_word(word) }
        })?;
        for _ in 0..=usize::from(negated) {
            self.tokens.skip();
        }
        Some((negated, form))
    }

    fn formed(&mut self, subject: Expr, negated: bool, form: Form) -> Result<Expr, FilterError> {
        if form == Form::Null {
            return self.is_null(subject, true);
        }
        self.want_operand(&subject)?;
        let start = subject.span;
        let subject = Box::new(subject);
        let kind = match form {
            Form::In => match self.select()? {
                Some(number) => Kind::Within { subject, number },
                None => Kind::In { subject, list: self.list()? },
            },
            Form::Between => self.between(subject)?,
            Form::Like | Form::Ilike | Form::Null => self.like(subject, form == Form::Ilike)?,
        };
        let span = start.to(self.tokens.last_span());
        let found = self.node(kind, span)?;
        self.negated_if(negated, found)
    }

    /// `(1, 2)`, `()`, or a list of the claims without parentheses.
    fn list(&mut self) -> Result<Vec<Expr>, FilterError> {
        if !self.tokens.eat(&Token::LParen) {
            let list = self.value_operand()?;
            if !matches!(list.kind, Kind::Name(_)) {
                return Err(
                    FilterError::at(list.span, "IN wants a list").hint("write `IN (1, 2)` or `IN claims.groups`")
                );
            }
            return Ok(vec![list]);
        }
        let mut list = Vec::new();
        if self.tokens.eat(&Token::RParen) {
            return Ok(list);
        }
        loop {
            list.push(self.value_operand()?);
            if !self.tokens.eat(&Token::Comma) {
                break;
            }
        }
        self.close()?;
        Ok(list)
    }

    fn between(&mut self, subject: Box<Expr>) -> Result<Kind, FilterError> {
        let low = Box::new(self.value_operand()?);
        if !self.tokens.eat_word("and") {
            return Err(refuse(&self.tokens, "AND").hint("write `x BETWEEN 1 AND 9`"));
        }
        Ok(Kind::Between { subject, low, high: Box::new(self.value_operand()?) })
    }

    fn like(&mut self, subject: Box<Expr>, any_case: bool) -> Result<Kind, FilterError> {
        let pattern = Box::new(self.value_operand()?);
        let escape = if self.tokens.eat_word("escape") { Some(self.escape()?) } else { None };
        Ok(Kind::Like { subject, pattern, escape, any_case })
    }

    fn escape(&mut self) -> Result<char, FilterError> {
        let span = self.tokens.span();
        if let Token::SingleQuotedString(text) = self.tokens.take() {
            let mut chars = text.chars();
            if let (Some(escape), None) = (chars.next().filter(|c| *c != '\0'), chars.next()) {
                return Ok(escape);
            }
        }
        Err(FilterError::at(span, "ESCAPE wants one character").hint("write `LIKE '10\\%' ESCAPE '\\'`"))
    }

    fn close(&mut self) -> Result<(), FilterError> {
        if self.tokens.eat(&Token::RParen) { Ok(()) } else { Err(refuse(&self.tokens, "`)`")) }
    }

    /// An operand that is a value, and not a condition in parentheses.
    fn value_operand(&mut self) -> Result<Expr, FilterError> {
        let operand = self.operand()?;
        self.want_operand(&operand)?;
        Ok(operand)
    }

    fn want_operand(&self, found: &Expr) -> Result<(), FilterError> {
        if found.is_operand() {
            return Ok(());
        }
        Err(FilterError::at(found.span, "a condition cannot be compared with something else")
            .hint("join conditions with AND and OR: `a < b AND b < c`"))
    }

    /// What stands in parentheses; the `(` is read.
    fn nested(&mut self) -> Result<Expr, FilterError> {
        let start = self.tokens.last_span();
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(FilterError::at(start, format!("more than {DEPTH_MAX} parentheses inside each other")));
        }
        let mut inner = self.or()?;
        if *self.tokens.peek() == Token::Comma {
            return Err(FilterError::at(self.tokens.span(), "lists are only supported after IN")
                .hint("compare one column at a time and join with AND"));
        }
        self.close()?;
        self.depth -= 1;
        inner.span = start.to(self.tokens.last_span());
        Ok(inner)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    In,
    Between,
    Like,
    Ilike,
    /// `NOT NULL` behind an operand.
    Null,
}

fn compare_op(token: &Token) -> Option<Op> {
    Some(match token {
        Token::Eq | Token::DoubleEq => Op::Eq,
        Token::Neq => Op::Ne,
        Token::Lt => Op::Lt,
        Token::LtEq => Op::Le,
        Token::Gt => Op::Gt,
        Token::GtEq => Op::Ge,
        _ => return None,
    })
}
