//! Operands: literals, names, paths into JSON.

use sqlparser::tokenizer::{Token, Word};

use super::super::error::{FilterError, Span};
use super::super::expr::{Expr, Kind, Literal, Part, Step};
use super::super::{DEPTH_MAX, path};
use super::Grammar;
use super::refuse::{refuse, refuse_subquery, refuse_word};

impl Grammar<'_> {
    /// A value, or a condition in parentheses.
    pub(super) fn operand(&mut self) -> Result<Expr, FilterError> {
        let span = self.tokens.span();
        match self.tokens.peek() {
            Token::Minus | Token::Plus => self.signed(),
            Token::Word(word) => {
                let word = word.clone();
                self.word(&word)
            }
            Token::LParen => {
                self.tokens.skip();
                if let Some(refusal) = refuse_subquery(&self.tokens) {
                    return Err(refusal);
                }
                let nested = self.nested()?;
                self.arrows(nested)
            }
            Token::Number(..) | Token::HexStringLiteral(_) | Token::SingleQuotedString(_) => {
                let literal = self.literal(false)?;
                let literal = self.node(Kind::Literal(literal), span)?;
                self.arrows(literal)
            }
            _ => Err(refuse(&self.tokens, "a column or a value")),
        }
    }

    /// `-5`, `- -5`, `+5`.
    fn signed(&mut self) -> Result<Expr, FilterError> {
        let start = self.tokens.span();
        let mut negative = false;
        loop {
            match self.tokens.peek() {
                Token::Minus => negative = !negative,
                Token::Plus => {}
                _ => break,
            }
            self.tokens.skip();
        }
        let is_number = match self.tokens.peek() {
            Token::Number(..) => true,
            Token::HexStringLiteral(_) => self.is_hex_integer(),
            _ => false,
        };
        if !is_number {
            return Err(FilterError::at(start, "a sign is only supported before a number")
                .hint("filters do not calculate: move the calculation to the value"));
        }
        let literal = self.literal(negative)?;
        self.node(Kind::Literal(literal), start.to(self.tokens.last_span()))
    }

    /// `0x1F`; the tokenizer does not tell it from `X'1F'`.
    fn is_hex_integer(&self) -> bool {
        self.tokens.written(self.tokens.span()).starts_with('0')
    }

    fn literal(&mut self, negative: bool) -> Result<Literal, FilterError> {
        let hex_integer = self.is_hex_integer();
        let span = self.tokens.span();
        match self.tokens.take() {
            Token::SingleQuotedString(text) => Ok(Literal::Text(text)),
            Token::HexStringLiteral(digits) if hex_integer => hex_integer_literal(&digits, negative)
                .ok_or_else(|| FilterError::at(span, "a hexadecimal number has 1 to 16 digits")),
            Token::HexStringLiteral(digits) => blob(&digits).ok_or_else(|| {
                FilterError::at(span, "bytes are written as an even number of hexadecimal digits")
                    .hint("like `X'00FF'`")
            }),
            Token::Number(digits, false) => number(&digits, negative)
                .ok_or_else(|| FilterError::at(span, "this is not a number").hint("numbers look like 5, -0.5 or 1e6")),
            _ => Err(FilterError::at(span, "this is not a number").hint("numbers look like 5, -0.5 or 1e6")),
        }
    }

    /// A keyword's literal, or a name.
    fn word(&mut self, word: &Word) -> Result<Expr, FilterError> {
        if word.quote_style.is_none() {
            let literal = match word.value.to_ascii_lowercase().as_str() {
                "null" => Some(Literal::Null),
                "true" => Some(Literal::Bool(true)),
                "false" => Some(Literal::Bool(false)),
                _ => None,
            };
            if let Some(literal) = literal {
                self.tokens.skip();
                return self.node(Kind::Literal(literal), self.tokens.last_span());
            }
            if let Some(refusal) = refuse_word(&self.tokens) {
                return Err(refusal);
            }
        }
        let name = self.name()?;
        self.arrows(name)
    }

    fn name(&mut self) -> Result<Expr, FilterError> {
        let start = self.tokens.span();
        let mut parts = Vec::new();
        loop {
            match self.tokens.peek() {
                Token::Word(word) => parts.push(Part { name: word.value.clone(), quote: word.quote_style }),
                _ => return Err(refuse(&self.tokens, "a name")),
            }
            self.tokens.skip();
            if !self.tokens.eat(&Token::Period) {
                break;
            }
        }
        if *self.tokens.peek() == Token::LParen {
            return Err(refuse(&self.tokens, "an operator"));
        }
        self.node(Kind::Name(parts), start.to(self.tokens.last_span()))
    }

    /// `-> 'a' -> 0 ->> 'b'` behind a column.
    fn arrows(&mut self, column: Expr) -> Result<Expr, FilterError> {
        let mut path = Vec::new();
        let mut as_sql = None;
        while matches!(self.tokens.peek(), Token::Arrow | Token::LongArrow) {
            if !matches!(column.kind, Kind::Name(_)) {
                return Err(FilterError::at(column.span, "a JSON path begins at a column"));
            }
            if as_sql == Some(true) {
                return Err(FilterError::at(self.tokens.span(), "only the last arrow may be `->>`")
                    .hint("write `payload -> 'a' ->> 'b'`"));
            }
            as_sql = Some(*self.tokens.peek() == Token::LongArrow);
            self.tokens.skip();
            path.append(&mut self.steps()?);
            if path.len() > DEPTH_MAX {
                let span = column.span.to(self.tokens.last_span());
                return Err(FilterError::at(span, format!("a JSON path of more than {DEPTH_MAX} steps")));
            }
        }
        match as_sql {
            None => Ok(column),
            Some(as_sql) => {
                let span = column.span.to(self.tokens.last_span());
                self.node(Kind::Json { column: Box::new(column), path, as_sql }, span)
            }
        }
    }

    /// What stands right of an arrow: `'label'`, `'$.a[0]'`, `0`, `-1`.
    fn steps(&mut self) -> Result<Vec<Step>, FilterError> {
        let span = self.tokens.span();
        let negative = self.tokens.eat(&Token::Minus);
        let number_span = self.tokens.span();
        let wrong = |span: Span| {
            FilterError::at(span, "this is not a path into JSON")
                .hint("a path is a label, a position or a path: `-> 'a'`, `-> 0`, `->> '$.a[0]'`")
        };
        match self.tokens.take() {
            Token::Number(digits, false) => {
                let position = digits.parse().map_err(|_| wrong(span.to(number_span)))?;
                // -0 is 0 to SQLite.
                Ok(vec![if negative && position > 0 { Step::FromEnd(position) } else { Step::Index(position) }])
            }
            Token::SingleQuotedString(text) if !negative => path::parse_path(&text).ok_or_else(|| wrong(span)),
            _ => Err(wrong(span)),
        }
    }
}

/// Digits with an optional fraction and exponent. A whole number that `i64` does not hold is a double, as in SQLite.
fn number(digits: &str, negative: bool) -> Option<Literal> {
    let text: String = if negative { "-" } else { "" }.chars().chain(digits.chars().filter(|c| *c != '_')).collect();
    if let Ok(n) = text.parse() {
        return Some(Literal::Int(n));
    }
    text.parse().ok().map(|value| Literal::Real { value, digits: text })
}

/// The 64 bits that the digits spell, the highest being the sign.
fn hex_integer_literal(digits: &str, negative: bool) -> Option<Literal> {
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    let significant = digits.trim_start_matches('0');
    if digits.is_empty() || significant.len() > 16 {
        return None;
    }
    let bits = if significant.is_empty() { 0 } else { u64::from_str_radix(significant, 16).ok()? };
    let n = bits.cast_signed();
    Some(match n.checked_neg() {
        _ if !negative => Literal::Int(n),
        Some(n) => Literal::Int(n),
        None => Literal::Real { value: -(n as f64), digits: n.unsigned_abs().to_string() },
    })
}

fn blob(digits: &str) -> Option<Literal> {
    let nibbles: Option<Vec<u8>> = digits.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let nibbles = nibbles.filter(|n| n.len() % 2 == 0)?;
    Some(Literal::Blob(nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
}
