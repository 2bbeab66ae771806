//! One test as SQLite's SQL.

use super::super::expr::Op;
use super::super::sql::Sink;
use super::affinity::Affinity;
use super::json::write_path;
use super::like::Pattern;
use super::operand::{Column, Element, Operand};
use super::scalar::Constant;
use super::{Membership, Test};
use crate::event::Value;

pub(in super::super) fn push_sql(test: &Test, sink: &mut Sink<'_>) {
    Writer { sink }.test(test);
}

struct Writer<'w, 's> {
    sink: &'w mut Sink<'s>,
}

impl Writer<'_, '_> {
    fn test(&mut self, test: &Test) {
        match test {
            Test::Bare(operand) => self.operand(operand),
            Test::Compare { op, left, right } => self.compare(&left.operand, symbol(*op), &right.operand),
            Test::Same { left, right } => self.compare(&left.operand, " IS ", &right.operand),
            Test::In(membership) => self.membership(membership),
            Test::Like { subject, pattern } => self.like(subject, pattern),
            Test::IsNull(operand) => {
                self.operand(operand);
                self.push(" IS NULL");
            }
        }
    }

    fn compare(&mut self, left: &Operand, symbol: &str, right: &Operand) {
        let is_number = |side: &Operand| matches!(side.constant(), Some(Constant::Int(_) | Constant::Real(_)));
        let collate = !is_number(left) && !is_number(right);
        self.compared(left, collate);
        self.push(symbol);
        self.compared(right, collate);
    }

    fn like(&mut self, subject: &Operand, pattern: &Pattern) {
        match subject {
            // SQLite would search an index for the pattern's first characters, where 1.0e+100 is no text.
            Operand::Column(column) if column.affinity != Affinity::Text => self.without_affinity(column),
            subject => self.operand(subject),
        }
        self.push(" LIKE ");
        self.param(Value::Text(pattern.text.clone()));
        if let Some(escape) = pattern.escape {
            self.push(" ESCAPE ");
            self.param(Value::Text(escape.to_string().into()));
        }
    }

    fn membership(&mut self, membership: &Membership) {
        self.compared(&membership.subject, true);
        self.push(" IN (");
        let mut separator = "";
        for constant in &membership.constants {
            self.push(separator);
            self.param(constant.to_value());
            separator = ", ";
        }
        for other in &membership.others {
            self.push(separator);
            self.operand(&other.operand);
            separator = ", ";
        }
        if membership.has_null {
            self.push(separator);
            self.push("NULL");
        }
        self.push(")");
    }

    /// Text is compared byte by byte whatever the column says. COLLATE on a column keeps its affinity.
    fn compared(&mut self, operand: &Operand, collate: bool) {
        self.operand(operand);
        if collate && matches!(operand, Operand::Column(_)) {
            self.push(" COLLATE BINARY");
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
        self.push("(+");
        self.name(column);
        self.push(")");
    }

    /// SQLite's arrows fail on what is not JSON, and a failing row would end the snapshot.
    fn element(&mut self, element: &Element) {
        self.push("CASE WHEN typeof(");
        self.name(&element.column);
        self.push(") = 'text' AND json_valid(");
        self.name(&element.column);
        self.push(") THEN ");
        self.name(&element.column);
        self.push(if element.as_sql { " ->> " } else { " -> " });
        self.param(Value::Text(write_path(&element.path).into()));
        self.push(" END");
    }

    fn name(&mut self, column: &Column) {
        self.sink.name(&column.name);
    }

    fn param(&mut self, value: Value) {
        self.sink.param('?', value);
    }

    fn push(&mut self, sql: &str) {
        self.sink.sql.push_str(sql);
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
