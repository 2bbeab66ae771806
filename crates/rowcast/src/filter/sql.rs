//! A bound filter as SQLite's SQL. Every value is a parameter, every name is quoted.

use super::affinity::Affinity;
use super::condition::{Condition, Membership};
use super::expr::Op;
use super::json;
use super::like::Pattern;
use super::operand::{Column, Element, Operand};
use super::scalar::Constant;
use crate::event::Value;

/// Where the SQL and its parameters go.
pub(super) struct Sink<'s> {
    pub(super) sql: &'s mut String,
    pub(super) params: &'s mut Vec<Value>,
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
            Condition::Known(truth) => self.sql.push_str(match truth {
                Some(true) => "1",
                Some(false) => "0",
                None => "NULL",
            }),
            Condition::Bare(operand) => self.operand(operand),
            Condition::Compare { op, left, right } => self.compare(&left.operand, symbol(*op), &right.operand),
            Condition::Same { left, right } => self.compare(&left.operand, " IS ", &right.operand),
            Condition::In(membership) => self.membership(membership),
            Condition::Like { subject, pattern } => self.like(subject, pattern),
            Condition::IsNull(operand) => {
                self.operand(operand);
                self.sql.push_str(" IS NULL");
            }
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

    fn compare(&mut self, left: &Operand, symbol: &str, right: &Operand) {
        let is_number = |side: &Operand| matches!(side.constant(), Some(Constant::Int(_) | Constant::Real(_)));
        let collate = !is_number(left) && !is_number(right);
        self.compared(left, collate);
        self.sql.push_str(symbol);
        self.compared(right, collate);
    }

    fn like(&mut self, subject: &Operand, pattern: &Pattern) {
        match subject {
            // SQLite would search an index for the pattern's first characters, where 1.0e+100 is no text.
            Operand::Column(column) if column.affinity != Affinity::Text => self.without_affinity(column),
            subject => self.operand(subject),
        }
        self.sql.push_str(" LIKE ");
        self.param(Value::Text(pattern.text.clone()));
        if let Some(escape) = pattern.escape {
            self.sql.push_str(" ESCAPE ");
            self.param(Value::Text(escape.to_string().into()));
        }
    }

    fn membership(&mut self, membership: &Membership) {
        self.compared(&membership.subject, true);
        self.sql.push_str(" IN (");
        let mut separator = "";
        for constant in &membership.constants {
            self.sql.push_str(separator);
            self.param(constant.to_value());
            separator = ", ";
        }
        for other in &membership.others {
            self.sql.push_str(separator);
            self.operand(&other.operand);
            separator = ", ";
        }
        if membership.has_null {
            self.sql.push_str(separator);
            self.sql.push_str("NULL");
        }
        self.sql.push(')');
    }

    /// Text is compared byte by byte whatever the column says. COLLATE on a column keeps its affinity.
    fn compared(&mut self, operand: &Operand, collate: bool) {
        self.operand(operand);
        if collate && matches!(operand, Operand::Column(_)) {
            self.sql.push_str(" COLLATE BINARY");
        }
    }

    fn operand(&mut self, operand: &Operand) {
        match operand {
            Operand::Constant(constant) => self.param(constant.to_value()),
            Operand::Column(column) if column.affinity == Affinity::Unknown => self.without_affinity(column),
            Operand::Column(column) => self.name(column),
            Operand::Json(element) => self.element(element),
        }
    }

    /// A sign makes an expression of a column: without affinity, and without an index.
    fn without_affinity(&mut self, column: &Column) {
        self.sql.push_str("(+");
        self.name(column);
        self.sql.push(')');
    }

    /// SQLite's arrows fail on what is not JSON, and a failing row would end the snapshot.
    fn element(&mut self, element: &Element) {
        self.sql.push_str("CASE WHEN typeof(");
        self.name(&element.column);
        self.sql.push_str(") = 'text' AND json_valid(");
        self.name(&element.column);
        self.sql.push_str(") THEN ");
        self.name(&element.column);
        self.sql.push_str(if element.as_sql { " ->> " } else { " -> " });
        self.param(Value::Text(json::write_path(&element.path).into()));
        self.sql.push_str(" END");
    }

    fn name(&mut self, column: &Column) {
        self.sql.push('"');
        self.sql.push_str(&column.name.replace('"', "\"\""));
        self.sql.push('"');
    }

    fn param(&mut self, value: Value) {
        self.params.push(value);
        self.sql.push('?');
        self.sql.push_str(&self.params.len().to_string());
    }
}

fn symbol(op: Op) -> &'static str {
    match op {
        Op::Eq => " = ",
        Op::Ne => " <> ",
        Op::Lt => " < ",
        Op::Le => " <= ",
        Op::Gt => " > ",
        Op::Ge => " >= ",
    }
}
