//! One test as PostgreSQL's SQL. Every parameter is bound as text and cast, and the column stands bare where its index serves.

use super::super::expr::{Op, Step};
use super::super::sql::Sink;
use super::constant::Constant;
use super::datum::By;
use super::kind::Kind;
use super::{Column, Test};
use crate::event::Value;

/// The collation of all comparisons: byte by byte, whatever the column says.
const COLLATE: &str = " COLLATE \"C\"";

pub(in super::super) fn push_sql(test: &Test, sink: &mut Sink<'_>) {
    Writer { sink }.test(test);
}

struct Writer<'w, 's> {
    sink: &'w mut Sink<'s>,
}

impl Writer<'_, '_> {
    fn test(&mut self, test: &Test) {
        match test {
            Test::Bare(column) => self.reference(column),
            Test::IsNull(column) => self.is_null(column),
            Test::Compare { op, by, left, right } => {
                let right = self.constant(*by, left, right);
                self.compare(*by, left, symbol(*op), &right, *op == Op::Eq);
            }
            Test::Same { by, left, right } => {
                let right = self.constant(*by, left, right);
                self.compare(*by, left, " IS NOT DISTINCT FROM ", &right, false);
            }
            Test::In(membership) => {
                let by = membership.by;
                let constants: Vec<_> = membership
                    .constants
                    .iter()
                    .map(|constant| self.constant(by, &membership.subject, constant))
                    .collect();
                self.compare(by, &membership.subject, " IN ", &format!("({})", constants.join(", ")), true);
            }
            Test::Columns { op, by, sides } => self.columns(*by, symbol(*op), sides),
            Test::SameColumns { by, sides } => self.columns(*by, " IS NOT DISTINCT FROM ", sides),
            Test::Like { subject, pattern } => {
                let pattern_sql = self.param(Value::Text(pattern.to_text('\\')), "text");
                self.reference(subject);
                self.push(COLLATE);
                self.push(pattern.operator());
                self.push(&pattern_sql);
            }
        }
    }

    fn is_null(&mut self, column: &Column) {
        self.reference(column);
        // A composite value whose fields are all NULL "is null" to PostgreSQL, and is still a value.
        self.push(if matches!(column.kind, Kind::Own(_)) { " IS NOT DISTINCT FROM NULL" } else { " IS NULL" });
        if column.is_document() {
            self.push(if column.kind == Kind::Json { " OR json_typeof(" } else { " OR jsonb_typeof(" });
            self.reference(column);
            self.push(") = 'null'");
        }
    }

    /// Equality of texts is asked twice: as the column's index has it, and byte by byte, which a nondeterministic
    /// collation is not.
    fn compare(&mut self, by: By, column: &Column, symbol: &str, right: &str, is_equality: bool) {
        if is_equality && is_collated(by) {
            self.reference(column);
            self.push(symbol);
            self.push(right);
            self.push(" AND ");
        }
        self.column(by, column);
        self.push(symbol);
        self.push(right);
    }

    fn columns(&mut self, by: By, symbol: &str, (left, right): &(Column, Column)) {
        self.column(by, left);
        self.push(symbol);
        self.column(by, right);
    }

    fn column(&mut self, by: By, column: &Column) {
        match (by, &column.kind) {
            (By::Own, _) => {
                self.push("to_jsonb(");
                self.reference(column);
                self.push(")");
            }
            (By::Text, Kind::Bpchar(_)) => self.cast_column(column, "::text"),
            (By::Padded, Kind::Text | Kind::Varchar) => self.cast_column(column, "::bpchar"),
            _ => self.cast_column(column, ""),
        }
        if is_collated(by) {
            self.push(COLLATE);
        }
    }

    /// The column, or the element of its JSON.
    fn reference(&mut self, column: &Column) {
        let Some(path) = &column.path else { return self.sink.name(&column.name) };
        self.push("(");
        self.sink.name(&column.name);
        let last = path.steps.len().saturating_sub(1);
        for (i, step) in path.steps.iter().enumerate() {
            self.push(if i == last && path.as_text { " ->> " } else { " -> " });
            let step = match step {
                Step::Label(label) => self.param(Value::Text((**label).into()), "text"),
                Step::Index(n) => n.to_string(),
                Step::FromEnd(n) => format!("-{n}"),
            };
            self.push(&step);
        }
        self.push(")");
    }

    fn cast_column(&mut self, column: &Column, cast: &str) {
        self.reference(column);
        self.push(cast);
    }

    fn constant(&mut self, by: By, column: &Column, constant: &Constant) -> String {
        let sql = self.param(Value::Text(constant.to_text()), constant.sql_type(&column.kind));
        if by == By::Own { format!("to_jsonb({sql})") } else { sql }
    }

    /// The placeholder of a new parameter, cast to its type.
    fn param(&mut self, value: Value, sql_type: &str) -> String {
        self.sink.params.push(value);
        let cast = if sql_type == "text" { String::new() } else { format!("::{sql_type}") };
        format!("${}::text{cast}", self.sink.params.len())
    }

    fn push(&mut self, sql: &str) {
        self.sink.sql.push_str(sql);
    }
}

fn is_collated(by: By) -> bool {
    matches!(by, By::Text | By::Padded)
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
