//! What a filter does not do, said so that the reader knows what to write instead.

use sqlparser::tokenizer::Token;

use super::super::error::FilterError;
use super::super::token::Tokens;

/// The error for the next token, which cannot stand here; `expected` could.
pub(super) fn refuse(tokens: &Tokens<'_>, expected: &str) -> FilterError {
    if let Some(refusal) = refuse_word(tokens).or_else(|| refuse_operator(tokens)).or_else(|| refuse_sign(tokens)) {
        return refusal;
    }
    let span = tokens.span();
    match tokens.peek() {
        Token::EOF => FilterError::at(span, format!("the filter ends where {expected} should follow")),
        _ => FilterError::at(span, format!("`{}` cannot stand here", tokens.written(span)))
            .hint(format!("{expected} should follow")),
    }
}

/// The error for the next token if it is a word of SQL that filters do not have.
pub(super) fn refuse_word(tokens: &Tokens<'_>) -> Option<FilterError> {
    let Token::Word(word) = tokens.peek() else {
        let called = *tokens.peek() == Token::LParen && is_name(tokens);
        return called.then(|| function(tokens));
    };
    if word.quote_style.is_some() {
        return None;
    }
    if let Some(refusal) = refuse_subquery(tokens) {
        return Some(refusal);
    }
    let (what, hint) = match word.value.to_ascii_uppercase().as_str() {
        "CASE" if !ends_operand(tokens.peek_second()) => ("CASE is not supported", "write the cases with AND and OR"),
        "CAST" if *tokens.peek_second() == Token::LParen => {
            ("CAST is not supported", "compare with a value of the column's own type")
        }
        "WHERE" => ("a filter is written without WHERE", "write only the condition: `speed > 50`"),
        "GLOB" | "REGEXP" | "RLIKE" | "MATCH" | "SIMILAR" if !ends_operand(tokens.peek_second()) => {
            ("of the pattern operators only LIKE is supported", "write `LIKE 'a%'`: % is any text, _ any character")
        }
        "COLLATE" if !ends_operand(tokens.peek_second()) => {
            ("COLLATE is not supported", "text is compared byte by byte; LIKE ignores the case of a to z")
        }
        "ORDER" | "GROUP" if matches!(tokens.peek_second(), Token::Word(w) if w.value.eq_ignore_ascii_case("by")) => {
            ("a filter is only a condition", "sorting and limits have fields of their own")
        }
        "LIMIT" | "OFFSET" if matches!(tokens.peek_second(), Token::Number(..)) => {
            ("a filter is only a condition", "sorting and limits have fields of their own")
        }
        "AND" | "OR" | "NOT" | "IN" | "BETWEEN" | "LIKE" | "ILIKE" | "IS" | "ESCAPE" | "FROM" => {
            let written = tokens.written(tokens.span());
            return Some(
                FilterError::at(tokens.span(), format!("`{written}` cannot stand here"))
                    .hint(format!("a column of this name is written `\"{written}\"`")),
            );
        }
        _ if *tokens.peek_second() == Token::LParen => return Some(function(tokens)),
        _ if matches!(tokens.peek_second(), Token::SingleQuotedString(_)) => {
            ("typed values are not supported", "write the text alone: `day >= '2025-01-31'`")
        }
        _ => return None,
    };
    Some(FilterError::at(tokens.span(), what).hint(hint))
}

fn is_name(tokens: &Tokens<'_>) -> bool {
    tokens.written(tokens.last_span()).starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '"' | '`' | '['))
}

fn function(tokens: &Tokens<'_>) -> FilterError {
    let span = if *tokens.peek() == Token::LParen { tokens.last_span() } else { tokens.span() };
    let name = tokens.written(span);
    FilterError::at(span, format!("functions are not supported: `{name}(…)`")).hint(
        match name.to_ascii_lowercase().as_str() {
            "lower" | "upper" => "LIKE ignores the case of a to z",
            "json_extract" => "write `payload ->> 'a'`",
            "coalesce" | "ifnull" => "write `x IS NULL OR x = …`",
            _ => "compare columns with values: `speed > 50`",
        },
    )
}

/// The error for the next token if it begins a subquery.
pub(super) fn refuse_subquery(tokens: &Tokens<'_>) -> Option<FilterError> {
    let begins = ["select", "exists", "with", "values"].iter().any(|word| tokens.at_word(word));
    let goes_on = matches!(
        tokens.peek_second(),
        Token::Word(_) | Token::Mul | Token::LParen | Token::Number(..) | Token::SingleQuotedString(_)
    );
    (begins && goes_on && !ends_operand(tokens.peek_second())).then(|| {
        FilterError::at(tokens.span(), "subqueries are not supported").hint("a filter reads the columns of one row")
    })
}

/// Whether a token shows that the word before it was an operand's name: `case = 1`.
fn ends_operand(token: &Token) -> bool {
    match token {
        Token::Word(w) => {
            w.quote_style.is_none()
                && ["and", "or", "not", "in", "between", "like", "ilike", "is", "isnull", "notnull", "escape"]
                    .iter()
                    .any(|word| w.value.eq_ignore_ascii_case(word))
        }
        Token::EOF | Token::RParen | Token::Comma | Token::Arrow | Token::LongArrow | Token::Period => true,
        other => super::compare_op(other).is_some(),
    }
}

/// Operators of SQL, and of other languages, with what to write instead.
fn refuse_operator(tokens: &Tokens<'_>) -> Option<FilterError> {
    let (what, hint) = match tokens.peek() {
        Token::Overlap => ("`&&` is not an operator here", "write AND"),
        Token::Spaceship => ("`<=>` is not supported", "write `IS NOT DISTINCT FROM`"),
        Token::StringConcat => ("`||` is not supported: it joins texts", "for either of two conditions write OR"),
        Token::ExclamationMark | Token::DoubleExclamationMark => ("`!` is not supported", "write NOT"),
        Token::DoubleColon => ("casts are not supported", "compare with a value of the column's own type"),
        Token::RArrow => ("`=>` is not an operator", "write `>=`"),
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::DuckIntDiv => {
            ("filters do not calculate", "move the calculation to the value: `speed > 50`")
        }
        Token::Pipe | Token::Ampersand | Token::Caret | Token::ShiftLeft | Token::ShiftRight | Token::Sharp => {
            ("bit operators are not supported", "filters do not calculate")
        }
        Token::Tilde | Token::DoubleTilde | Token::ExclamationMarkTilde | Token::TildeAsterisk => {
            ("of the pattern operators only LIKE is supported", "write `LIKE 'a%'`: % is any text, _ any character")
        }
        Token::HashArrow | Token::HashLongArrow => ("`#>` is not supported", "write `payload -> 'a' ->> 'b'`"),
        Token::AtArrow | Token::ArrowAt | Token::Question => {
            ("of the JSON operators only `->` and `->>` are supported", "write `payload ->> 'a' = 'x'`")
        }
        _ => return None,
    };
    Some(FilterError::at(tokens.span(), what).hint(hint))
}

fn refuse_sign(tokens: &Tokens<'_>) -> Option<FilterError> {
    let (what, hint) = match tokens.peek() {
        Token::SemiColon => ("a filter is one condition, without `;`", "join conditions with AND and OR"),
        Token::Placeholder(_) | Token::Colon | Token::AtSign | Token::AtAt => {
            ("placeholders are not supported", "write the value itself, or `claims.x` for a claim")
        }
        Token::LBracket | Token::LBrace => ("lists are written in parentheses", "write `city IN ('Oslo', 'Bergen')`"),
        Token::DoubleQuotedString(_)
        | Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_) => ("text is written in single quotes", "like 'Oslo'"),
        Token::Char(_) => {
            ("this character has no meaning here", "names with special characters stand in double quotes")
        }
        _ => return None,
    };
    Some(FilterError::at(tokens.span(), what).hint(hint))
}
