//! A bound filter as SQL. Every value is a parameter, every name is quoted.

use super::condition::Condition;
use super::{Dialect, mysql, postgres, sqlite};
use crate::event::Value;

/// Where the SQL and its parameters go.
pub(super) struct Sink<'s> {
    pub(super) sql: &'s mut String,
    pub(super) params: &'s mut Vec<Value>,
    /// How the dialect writes true, false and unknown.
    pub(super) truths: [&'static str; 3],
    pub(super) dialect: Dialect,
    /// Whether what is read of other tables is held until the transaction ends.
    pub(super) holds: bool,
}

impl Sink<'_> {
    pub(super) fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::And(terms) => self.joined(terms, " AND "),
            Condition::Or(terms) => self.joined(terms, " OR "),
            other => {
                self.sql.push('(');
                self.simple(other);
                self.sql.push(')');
            }
        }
    }

    /// Halves in parentheses: a chain would be as deep as it is long, and SQLite stops at depth 1,000.
    fn joined(&mut self, terms: &[Condition], word: &str) {
        match terms {
            [] => {}
            [one] => self.condition(one),
            many => {
                let (left, right) = many.split_at(many.len() / 2);
                self.sql.push('(');
                self.joined(left, word);
                self.sql.push_str(word);
                self.joined(right, word);
                self.sql.push(')');
            }
        }
    }

    fn simple(&mut self, condition: &Condition) {
        match condition {
            Condition::Known(truth) => {
                let [yes, no, unknown] = self.truths;
                self.sql.push_str(truth.map_or(unknown, |truth| if truth { yes } else { no }));
            }
            Condition::Sqlite(test) => sqlite::push_sql(test, self),
            Condition::Postgres(test) => postgres::push_sql(test, self),
            Condition::Mysql(test) => mysql::push_sql(test, self),
            Condition::Within { within, .. } => within.push_sql(self),
            Condition::Rule(inner) => self.condition(inner),
            Condition::IsUnknown(inner) => {
                self.condition(inner);
                self.sql.push_str(" IS NULL");
            }
            Condition::Is { inner, truth } => {
                self.condition(inner);
                self.sql.push_str(if *truth { " IS TRUE" } else { " IS FALSE" });
            }
            Condition::Not(inner) => {
                self.sql.push_str("NOT ");
                self.condition(inner);
            }
            Condition::And(_) | Condition::Or(_) => self.condition(condition),
        }
    }

    pub(super) fn name(&mut self, name: &str) {
        let quote = if self.dialect == Dialect::Mysql { '`' } else { '"' };
        self.sql.push(quote);
        self.sql.push_str(&name.replace(quote, &format!("{quote}{quote}")));
        self.sql.push(quote);
    }

    /// Adds a text as a parameter.
    pub(super) fn text(&mut self, text: &str) {
        let value = Value::Text(text.into());
        match self.dialect {
            Dialect::Sqlite => self.param('?', value),
            Dialect::Postgres => {
                self.param('$', value);
                self.sql.push_str("::text");
            }
            Dialect::Mysql => {
                self.params.push(value);
                self.sql.push('?');
            }
        }
    }

    /// Adds a parameter; its placeholder is `sign` with its number.
    pub(super) fn param(&mut self, sign: char, value: Value) {
        self.params.push(value);
        self.sql.push(sign);
        self.sql.push_str(&self.params.len().to_string());
    }
}
