//! A filter's text as tokens, each with the characters that it stands for.
//!
//! The tokens are sqlparser's, of its SQLite dialect.

use sqlparser::dialect::SQLiteDialect;
use sqlparser::tokenizer::{Location, Token, Tokenizer, TokenizerError};

use super::error::{FilterError, Span};

/// The tokens of a filter without spaces and comments, to be taken one after the other.
pub(super) struct Tokens<'t> {
    text: &'t str,
    tokens: Vec<(Token, Span)>,
    next: usize,
}

impl<'t> Tokens<'t> {
    pub(super) fn read(text: &'t str) -> Result<Self, FilterError> {
        let lines = Lines::of(text);
        let mut found = Vec::new();
        Tokenizer::new(&SQLiteDialect {}, text)
            .tokenize_with_location_into_buf(&mut found)
            .map_err(|error| explain(error, &lines))?;
        let end = lines.chars;
        let tokens = found
            .into_iter()
            .filter(|found| !matches!(found.token, Token::Whitespace(_)))
            .map(|found| {
                (found.token, Span { start: lines.offset(found.span.start), end: lines.offset(found.span.end) })
            })
            .chain([(Token::EOF, Span { start: end, end })])
            .collect();
        Ok(Self { text, tokens, next: 0 })
    }

    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    /// The token after the next one.
    pub(super) fn peek_second(&self) -> &Token {
        let second = (self.next + 1).min(self.tokens.len() - 1);
        &self.tokens[second].0
    }

    /// Where the next token stands; at the end, behind the last character.
    pub(super) fn span(&self) -> Span {
        self.tokens[self.next].1
    }

    /// The token just taken.
    pub(super) fn last_span(&self) -> Span {
        self.tokens[self.next.saturating_sub(1)].1
    }

    pub(super) fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.skip();
        token
    }

    /// Stays at the end.
    pub(super) fn skip(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    pub(super) fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.skip();
        }
        found
    }

    /// Whether the next token is this word, unquoted, in any case.
    pub(super) fn at_word(&self, word: &str) -> bool {
        is_word(self.peek(), word)
    }

    pub(super) fn second_is_word(&self, word: &str) -> bool {
        is_word(self.peek_second(), word)
    }

    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.skip();
        }
        found
    }

    /// The characters of a span, as they were written.
    pub(super) fn written(&self, span: Span) -> String {
        self.text.chars().skip(span.start).take(span.end - span.start).collect()
    }
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// Where each line begins, in characters.
struct Lines {
    starts: Vec<usize>,
    chars: usize,
}

impl Lines {
    fn of(text: &str) -> Self {
        let mut lines = Self { starts: vec![0], chars: 0 };
        for c in text.chars() {
            lines.chars += 1;
            if c == '\n' {
                lines.starts.push(lines.chars);
            }
        }
        lines
    }

    fn offset(&self, at: Location) -> usize {
        let line = usize::try_from(at.line).unwrap_or(usize::MAX).saturating_sub(1).min(self.starts.len() - 1);
        let column = usize::try_from(at.column).unwrap_or(usize::MAX).saturating_sub(1);
        self.starts[line].saturating_add(column).min(self.chars)
    }
}

/// The tokenizer's own words are about its insides; these are about the text.
fn explain(error: TokenizerError, lines: &Lines) -> FilterError {
    let start = lines.offset(error.location);
    let span = Span { start, end: start + 1 };
    if error.message.contains("string literal") {
        FilterError::at(span, "this text is not closed").hint("end it with `'`; a `'` inside a text is written `''`")
    } else if error.message.contains("close delimiter") {
        FilterError::at(span, "this name is not closed").hint("end it with the quote that it began with")
    } else if error.message.contains("comment") {
        FilterError::at(span, "a comment is not closed").hint("end it with `*/`")
    } else {
        FilterError::at(span, "this is not SQL")
            .hint("names with special characters stand in double quotes: `\"odd name\"`")
    }
}
