//! One test as SQL for MySQL and MariaDB. Each value is a parameter that is cast to its type, and the column stands bare where
//! its index serves.

use std::fmt::Write as _;

use super::super::decimal::Decimal;
use super::super::expr::{Op, Step};
use super::super::like::Pattern;
use super::super::sql::Sink;
use super::column::Column;
use super::constant::Constant;
use super::datum::By;
use super::moment::time_text;
use super::{Membership, Test};
use crate::event::Value;
use crate::mysql::Kind;

/// Of LIKE: a backslash would mean different things in different `sql_mode`s.
const ESCAPE: char = '|';

pub(in super::super) fn push_sql(test: &Test, sink: &mut Sink<'_>) {
    Writer { sink }.test(test);
}

/// Placeholders have no numbers: a parameter is added when its `?` is written.
struct Writer<'w, 's> {
    sink: &'w mut Sink<'s>,
}

/// How a constant is cast, and so what its column is compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `CAST(? AS …)`
    Cast(&'static str),
    /// MySQL would read a parameter that becomes a time as a time of day first: 24 hours as none.
    Time,
    /// With so many digits behind the point.
    Decimal(i64),
    Double,
    /// A day with zeros, which is no value of its type in every `sql_mode`: compared as the number that it looks like.
    Digits,
    Bytes,
}

impl Writer<'_, '_> {
    fn test(&mut self, test: &Test) {
        match test {
            Test::Bare(column) => {
                self.column(By::Number, column);
                self.push(" <> 0");
            }
            Test::IsNull(column) => self.is_null(column),
            Test::Compare { op, by, left, right } => {
                if *op == Op::Eq {
                    self.for_index(*by, left, std::slice::from_ref(right));
                }
                self.compare(*by, left, symbol(*op), right);
            }
            Test::Same { by, left, right } => self.compare(*by, left, " <=> ", right),
            Test::In(membership) => self.membership(membership),
            Test::Columns { op, by, sides } => self.columns(*by, symbol(*op), sides),
            Test::SameColumns { by, sides } => self.columns(*by, " <=> ", sides),
            Test::Like { subject, pattern } => self.like(subject, pattern),
        }
    }

    /// `IS NULL` is true of `0000-00-00` in a DATE NOT NULL, in a WHERE clause only.
    fn is_null(&mut self, column: &Column) {
        self.reference(column);
        self.push(if column.kind == Kind::Bytes { " IS NULL" } else { " <=> NULL" });
        if column.is_document() {
            self.push(" OR JSON_TYPE(");
            self.reference(column);
            self.push(") = 'NULL'");
        }
    }

    fn compare(&mut self, by: By, column: &Column, symbol: &str, right: &Constant) {
        let form = form(right);
        self.column_in(by, column, form);
        self.push(symbol);
        self.constant(form, right);
    }

    /// One IN for each form that the constants have.
    fn membership(&mut self, membership: &Membership) {
        let (by, subject) = (membership.by, &membership.subject);
        self.for_index(by, subject, &membership.constants);
        let mut forms: Vec<(Form, Vec<&Constant>)> = Vec::new();
        for constant in &membership.constants {
            let form = form(constant);
            match forms.iter_mut().find(|(known, _)| *known == form) {
                Some((_, constants)) => constants.push(constant),
                None => forms.push((form, vec![constant])),
            }
        }
        for (i, (form, constants)) in forms.iter().enumerate() {
            self.push(if i == 0 { "" } else { " OR " });
            self.column_in(by, subject, *form);
            self.push(" IN (");
            for (i, constant) in constants.iter().enumerate() {
                self.push(if i == 0 { "" } else { ", " });
                self.constant(*form, constant);
            }
            self.push(")");
        }
    }

    /// Equality of texts is asked twice: as the column's index has it, and byte by byte, which a collation is not.
    ///
    /// What is not ASCII may have no place in the column's character set, which is an error of some servers: the letters
    /// before it guide to the index. Texts with none of these are searched for without.
    fn for_index(&mut self, by: By, column: &Column, constants: &[Constant]) {
        if by != By::Text || column.path.is_some() || !matches!(column.kind, Kind::Text | Kind::Enum(_)) {
            return;
        }
        let texts: Vec<&str> = constants.iter().map(text).collect();
        if texts.iter().all(|text| text.is_ascii()) {
            self.reference(column);
            self.push(if texts.len() == 1 { " = " } else { " IN (" });
            for (i, text) in texts.iter().enumerate() {
                self.push(if i == 0 { "" } else { ", " });
                self.value(Value::Text((*text).into()));
            }
            self.push(if texts.len() == 1 { " AND " } else { ") AND " });
        } else if texts.iter().all(|text| !ascii_prefix(text).is_empty()) {
            for (i, text) in texts.iter().enumerate() {
                self.push(if i == 0 { "(" } else { " OR " });
                self.reference(column);
                self.push(" LIKE ");
                let pattern = ascii_prefix(text).replace(['%', '\\'], "_") + "%";
                self.value(Value::Text(pattern.into()));
            }
            self.push(") AND ");
        }
    }

    fn columns(&mut self, by: By, symbol: &str, (left, right): &(Column, Column)) {
        let is_mixed = by == By::Moment && (left.kind == Kind::Date) != (right.kind == Kind::Date);
        self.side(by, left, is_mixed);
        self.push(symbol);
        self.side(by, right, is_mixed);
    }

    /// Doubles that are declared with a number of digits (`double(10,2)`) are equal when they nearly are; a sum is not declared.
    /// A day with zeros is no day when a date is made a datetime; its digits are.
    fn side(&mut self, by: By, column: &Column, is_mixed: bool) {
        match by {
            By::Double => self.reference_in("(", column, " + 0e0)"),
            By::Moment if is_mixed && column.kind == Kind::Date => self.reference_in("((", column, " + 0) * 1000000)"),
            By::Moment if is_mixed => self.reference_in("(", column, " + 0)"),
            _ => self.column(by, column),
        }
    }

    fn column_in(&mut self, by: By, column: &Column, form: Form) {
        match form {
            Form::Digits => self.reference_in("(", column, " + 0)"),
            _ => self.column(by, column),
        }
    }

    fn column(&mut self, by: By, column: &Column) {
        match (by, &column.kind) {
            (By::Text, _) => self.reference_in("CAST(CONVERT(", column, " USING utf8mb4) AS BINARY)"),
            // The year 26 is not 2026, and bits are no text.
            (By::Number, Kind::Year | Kind::Bit(_)) => self.reference_in("(", column, " + 0)"),
            _ => self.reference(column),
        }
    }

    /// The case of a to z is taken out of the value letter by letter: no collation does just that.
    fn like(&mut self, subject: &Column, pattern: &Pattern) {
        let letters = pattern.letters();
        self.push(&"REPLACE(".repeat(letters.len()));
        self.reference_in("CONVERT(", subject, " USING utf8mb4) COLLATE utf8mb4_bin");
        for letter in &letters {
            self.push(&format!(", '{}', '{letter}')", letter.to_ascii_uppercase()));
        }
        if !letters.is_empty() {
            self.push(" COLLATE utf8mb4_bin");
        }
        self.push(" LIKE ");
        self.value(Value::Text(pattern.to_text(ESCAPE)));
        self.push(&format!(" ESCAPE '{ESCAPE}'"));
    }

    fn reference_in(&mut self, before: &str, column: &Column, after: &str) {
        self.push(before);
        self.reference(column);
        self.push(after);
    }

    /// The column, or the text in its JSON.
    ///
    /// Positions are asked of arrays only: the servers would take `$[0]` of a scalar for the scalar.
    fn reference(&mut self, column: &Column) {
        let Some(path) = &column.path else { return self.name(&column.name) };
        self.push("CASE WHEN ");
        for (i, _) in path.iter().enumerate().filter(|(_, step)| matches!(step, Step::Index(_))) {
            self.json_type(column, &path[..i]);
            self.push(" = 'ARRAY' AND ");
        }
        self.json_type(column, path);
        self.push(" NOT IN ('OBJECT', 'ARRAY', 'NULL') THEN JSON_UNQUOTE(");
        self.extract(column, path);
        self.push(") END");
    }

    fn json_type(&mut self, column: &Column, path: &[Step]) {
        self.push("JSON_TYPE(");
        self.extract(column, path);
        self.push(")");
    }

    fn extract(&mut self, column: &Column, path: &[Step]) {
        self.push("JSON_EXTRACT(");
        self.name(&column.name);
        self.push(", ");
        let mut text = "$".to_owned();
        for step in path {
            // Nothing can go wrong when a String is written to.
            let _ = match step {
                Step::Label(label) => write!(text, ".\"{label}\""),
                Step::Index(n) | Step::FromEnd(n) => write!(text, "[{n}]"),
            };
        }
        self.value(Value::Text(text.into()));
        self.push(")");
    }

    fn constant(&mut self, form: Form, constant: &Constant) {
        match form {
            Form::Cast(sql_type) => {
                self.push("CAST(");
                self.param(constant);
                self.push(&format!(" AS {sql_type})"));
            }
            Form::Time => {
                self.push("CAST(CAST(");
                self.param(constant);
                self.push(" AS CHAR) AS TIME(6))");
            }
            Form::Decimal(scale) => {
                self.push("CAST(");
                self.param(constant);
                self.push(&format!(" AS DECIMAL(65,{scale}))"));
            }
            Form::Digits => {
                self.push("CAST(");
                self.value(Value::Text(digits(constant).into()));
                self.push(" AS DECIMAL(20,6))");
            }
            Form::Double => {
                self.push("(");
                self.param(constant);
                self.push(" + 0e0)");
            }
            Form::Bytes => {
                self.push("UNHEX(");
                self.param(constant);
                self.push(")");
            }
        }
    }

    fn param(&mut self, constant: &Constant) {
        self.value(match constant {
            Constant::Int(n) => Value::Int(*n),
            Constant::Number(text) => Value::Text(plain(text).into()),
            Constant::Double(x) => Value::Real(x.get()),
            Constant::Text(text) | Constant::Uuid(text) | Constant::Inet6(text) | Constant::Inet4(text) => {
                Value::Text(text.clone())
            }
            Constant::Date(moment) => Value::Text(moment.to_date().into()),
            Constant::DateTime(moment) | Constant::Timestamp(moment) => Value::Text(moment.to_text(6).into()),
            Constant::Time(micros) => Value::Text(time_text(*micros, 6).into()),
            Constant::Bytes(bytes) => {
                Value::Text(bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>().into())
            }
        });
    }

    fn value(&mut self, value: Value) {
        self.sink.params.push(value);
        self.push("?");
    }

    fn name(&mut self, name: &str) {
        self.push("`");
        self.push(&name.replace('`', "``"));
        self.push("`");
    }

    fn push(&mut self, sql: &str) {
        self.sink.sql.push_str(sql);
    }
}

fn form(constant: &Constant) -> Form {
    match constant {
        Constant::Int(_) => Form::Cast("SIGNED"),
        Constant::Number(text) => Form::Decimal(Decimal::read(text).map_or(0, |number| number.scale().max(0))),
        Constant::Double(_) => Form::Double,
        Constant::Text(_) => Form::Cast("BINARY"),
        Constant::Date(moment) | Constant::DateTime(moment) | Constant::Timestamp(moment) if moment.is_zero() => {
            Form::Digits
        }
        Constant::Date(_) => Form::Cast("DATE"),
        Constant::DateTime(_) | Constant::Timestamp(_) => Form::Cast("DATETIME(6)"),
        Constant::Time(_) => Form::Time,
        Constant::Bytes(_) => Form::Bytes,
        Constant::Uuid(_) => Form::Cast("UUID"),
        Constant::Inet6(_) => Form::Cast("INET6"),
        Constant::Inet4(_) => Form::Cast("INET4"),
    }
}

fn text(constant: &Constant) -> &str {
    match constant {
        Constant::Text(text) => text,
        _ => "",
    }
}

/// As much of a text as every character set has.
fn ascii_prefix(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii()).next().unwrap_or_default()
}

/// What `column + 0` gives of the moment.
fn digits(constant: &Constant) -> String {
    match constant {
        Constant::Date(moment) => moment.to_date().replace('-', ""),
        Constant::DateTime(moment) | Constant::Timestamp(moment) => moment.to_number(),
        _ => String::new(),
    }
}

/// A number's one spelling without exponent.
fn plain(text: &str) -> String {
    let Some((digits, exponent)) = text.split_once('e') else { return text.to_owned() };
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    match usize::try_from(exponent) {
        Ok(zeros) => format!("{sign}{digits}{}", "0".repeat(zeros)),
        Err(_) => {
            let places = usize::try_from(-exponent).unwrap_or(0);
            let digits = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = digits.split_at(digits.len() - places);
            format!("{sign}{whole}.{fraction}")
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_exponent() {
        for (text, expected) in
            [("5e-2", "0.05"), ("-15e-3", "-0.015"), ("1e50", &format!("1{}", "0".repeat(50))), ("1.5", "1.5")]
        {
            assert_eq!(plain(text), expected);
        }
    }
}
