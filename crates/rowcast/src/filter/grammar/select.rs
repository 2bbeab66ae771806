//! `(SELECT column FROM table WHERE …)` behind IN.

use std::sync::Arc;

use sqlparser::tokenizer::Token;

use super::super::error::FilterError;
use super::super::expr::Part;
use super::super::select::Select;
use super::Grammar;
use super::refuse::refuse;
use crate::event::TableName;

/// Reads `table` or `table where …`.
pub(in crate::filter) fn parse_rows(text: &str) -> Result<Select, FilterError> {
    let mut grammar = Grammar::read(text, false)?;
    let start = grammar.tokens.span();
    let table = grammar.table()?;
    let filter = if grammar.tokens.eat_word("where") { Some(grammar.or()?) } else { None };
    if *grammar.tokens.peek() != Token::EOF {
        return Err(refuse(&grammar.tokens, "WHERE or the end").hint("write `memberships where user_id = claims.sub`"));
    }
    let span = start.to(grammar.tokens.last_span());
    Ok(Select { table, column: Part { name: String::new(), quote: None }, filter, span })
}

impl Grammar<'_> {
    /// Which of the filter's selects stands here; `None` where none does, or may.
    pub(super) fn select(&mut self) -> Result<Option<usize>, FilterError> {
        let begins = *self.tokens.peek() == Token::LParen && self.tokens.second_is_word("select");
        if !begins || self.selects.is_none() {
            return Ok(None);
        }
        self.tokens.skip();
        let start = self.tokens.span();
        self.tokens.skip();
        let column = self.part("a column")?;
        if !self.tokens.eat_word("from") {
            return Err(refuse(&self.tokens, "FROM").hint("write `IN (SELECT column FROM table WHERE …)`"));
        }
        let table = self.table()?;
        // What it reads is found out before rows are looked at, so that nothing else may be asked in it.
        let outer = self.selects.take();
        let filter = if self.tokens.eat_word("where") { Some(self.or()?) } else { None };
        self.selects = outer;
        self.close()?;
        let span = start.to(self.tokens.last_span());
        let selects = self.selects.get_or_insert_default();
        selects.push(Arc::new(Select { table, column, filter, span }));
        Ok(Some(selects.len() - 1))
    }

    fn part(&mut self, what: &str) -> Result<Part, FilterError> {
        match self.tokens.peek().clone() {
            Token::Word(word) => {
                self.tokens.skip();
                Ok(Part { name: word.value, quote: word.quote_style })
            }
            _ => Err(refuse(&self.tokens, what)),
        }
    }

    fn table(&mut self) -> Result<TableName, FilterError> {
        let first = self.part("a table")?;
        if !self.tokens.eat(&Token::Period) {
            return Ok(TableName::bare(&first.name));
        }
        let name = self.part("a table")?;
        Ok(TableName { schema: first.name.into(), name: name.name.into() })
    }
}
