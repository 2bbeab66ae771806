//! `x IN (SELECT y FROM t WHERE …)`: values that a rule reads from another table.
//!
//! A row is tried against the values as they are known at the moment; the database is given the question itself.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::bind::Binder;
use super::condition::Condition;
use super::error::{FilterError, Span};
use super::expr::{Expr, Kind, Part};
use super::names::{Named, Names};
use super::sql::Sink;
use super::{Dialect, Predicate, grammar, mysql, postgres, sqlite};
use crate::event::{Column, Row, Table, TableName, Value};

/// What stands in the parentheses.
#[derive(Debug, Clone)]
pub struct Select {
    pub(super) table: TableName,
    pub(super) column: Part,
    pub(super) filter: Option<Expr>,
    pub(super) span: Span,
}

/// The same, tied to its table and to a client's claims.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Where the values are.
    pub table: Arc<Table>,
    /// In which of its columns.
    pub column: usize,
    /// In which of its rows; `None`: in all.
    pub predicate: Option<Arc<Predicate>>,
}

/// The values that a selection finds at some moment.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// What was asked.
    pub selection: Arc<Selection>,
    /// What was found, NULL included.
    pub values: Arc<[Json]>,
}

impl Select {
    /// Reads `table`, or `table where …`: rows of which it only matters that they change. The condition names columns and claims.
    pub fn rows(text: &str) -> Result<Self, FilterError> {
        grammar::select::parse_rows(text)
    }

    /// Ties what [`rows`](Self::rows) has read to the table's columns, and `claims.x` to the claims.
    pub fn bind_rows(
        &self,
        table: &Arc<Table>,
        dialect: Dialect,
        claims: &Map<String, Json>,
    ) -> Result<Selection, FilterError> {
        let predicate = self.predicate(table, dialect, claims)?;
        Ok(Selection { table: table.clone(), column: 0, predicate })
    }

    /// The table that is read.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// Ties it to the table's columns, and `claims.x` to the claims.
    pub fn bind(
        &self,
        table: &Arc<Table>,
        dialect: Dialect,
        claims: &Map<String, Json>,
    ) -> Result<Selection, FilterError> {
        let names = Names::new(table, claims);
        let column = names.column(std::slice::from_ref(&self.column), self.span)?;
        Ok(Selection { table: table.clone(), column, predicate: self.predicate(table, dialect, claims)? })
    }

    fn predicate(
        &self,
        table: &Table,
        dialect: Dialect,
        claims: &Map<String, Json>,
    ) -> Result<Option<Arc<Predicate>>, FilterError> {
        let bind = |filter: &Expr| {
            let root = Binder { names: Names::new(table, claims), dialect, chosen: &[] }.condition(filter)?;
            Ok(Arc::new(Predicate::new(root, dialect)))
        };
        self.filter.as_ref().map(bind).transpose()
    }
}

impl Selection {
    /// The value that a row of the table contributes, if it does.
    pub fn value(&self, row: &Row) -> Json {
        match row.values.get(self.column) {
            None | Some(Value::Null | Value::Unchanged) => Json::Null,
            Some(Value::Bool(truth)) => Json::Bool(*truth),
            Some(Value::Int(n)) => (*n).into(),
            Some(Value::Real(x)) => serde_json::Number::from_f64(*x).map_or_else(|| x.to_string().into(), Json::Number),
            Some(Value::Number(text) | Value::Text(text) | Value::Json(text)) => Json::String((**text).to_owned()),
            Some(Value::Bytes(bytes)) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                Json::String(format!("\\x{hex}"))
            }
        }
    }

    fn of(&self) -> &Column {
        &self.table.columns[self.column]
    }
}

/// A bound `IN (SELECT …)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Within {
    subject: Subject,
    pub(super) selection: Arc<Selection>,
}

/// What is looked for among the values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Column(Box<str>),
    /// A part of the claims, as text; `None` for NULL.
    Claim(Option<Box<str>>),
}

impl Binder<'_> {
    /// `number` says which of the filter's selects it is.
    pub(super) fn within(&mut self, subject: &Expr, number: usize, span: Span) -> Result<Condition, FilterError> {
        let Some(Chosen { selection, values }) = self.chosen.get(number) else {
            return Err(FilterError::at(span, "subqueries are not supported here"));
        };
        let Kind::Name(parts) = &subject.kind else {
            return Err(FilterError::at(subject.span, "before IN (SELECT …) stands a column or a claim"));
        };
        let within = match self.names.find(parts, subject.span)? {
            Named::Column(column) => {
                let column = &self.names.table.columns[column];
                // The names of a channel are texts, whatever they are compared with.
                let is_row = !self.names.table.name.name.is_empty();
                if is_row && !comparable(self.dialect, column, selection.of()) {
                    let message = format!(
                        "`{}` is of type {} and `{}` of type {}",
                        column.name,
                        column.declared,
                        selection.of().name,
                        selection.of().declared
                    );
                    return Err(FilterError::at(span, message).hint("compare columns of the same type"));
                }
                Subject::Column((*column.name).into())
            }
            Named::Claim(Json::Null) => Subject::Claim(None),
            Named::Claim(Json::String(text)) => Subject::Claim(Some(text.as_str().into())),
            Named::Claim(other) => Subject::Claim(Some(other.to_string().into())),
            Named::Claims(_) => return Err(super::names::refuse_list(subject)),
        };
        let within = Arc::new(Within { subject: within, selection: selection.clone() });
        let list = vec![Expr::new(Kind::Values(values.clone()), span)];
        let list = Kind::In { subject: Box::new(subject.clone()), list };
        let inner = Box::new(self.condition(&Expr::new(list, span))?);
        Ok(Condition::Within { inner, within })
    }
}

/// Whether two columns are compared as one of them with the other's values.
fn comparable(dialect: Dialect, one: &Column, other: &Column) -> bool {
    match dialect {
        Dialect::Sqlite => sqlite::comparable(one, other),
        Dialect::Postgres => postgres::comparable(one, other),
        Dialect::Mysql => mysql::comparable(one, other),
    }
}

impl Within {
    pub(super) fn push_sql(&self, sink: &mut Sink<'_>) {
        let column = self.selection.of();
        let dialect = sink.dialect;
        let is_text = match dialect {
            Dialect::Sqlite => false,
            Dialect::Postgres => postgres::is_text(column),
            Dialect::Mysql => mysql::is_text(column),
        };
        match (dialect, is_text) {
            (Dialect::Sqlite, _) => self.pushed(sink, ["", " COLLATE BINARY"], ["", ""]),
            (Dialect::Postgres, true) => {
                // As an index has it, and byte by byte.
                self.pushed(sink, ["", ""], ["", ""]);
                sink.sql.push_str(" AND ");
                self.pushed(sink, ["", " COLLATE \"C\""], ["", " COLLATE \"C\""]);
            }
            (Dialect::Mysql, true) => {
                let bytes = ["CAST(CONVERT(", " USING utf8mb4) AS BINARY)"];
                self.pushed(sink, bytes, bytes);
            }
            (Dialect::Postgres | Dialect::Mysql, false) => self.pushed(sink, ["", ""], ["", ""]),
        }
    }

    /// Each side between two pieces of SQL.
    fn pushed(&self, sink: &mut Sink<'_>, left: [&str; 2], right: [&str; 2]) {
        let Selection { table, predicate, .. } = &*self.selection;
        sink.sql.push_str(left[0]);
        match &self.subject {
            Subject::Column(name) => sink.name(name),
            Subject::Claim(None) => sink.sql.push_str("NULL"),
            Subject::Claim(Some(text)) => {
                let cast = match sink.dialect {
                    Dialect::Postgres if !postgres::is_text(self.selection.of()) => {
                        format!("::{}", self.selection.of().declared)
                    }
                    _ => String::new(),
                };
                sink.text(text);
                sink.sql.push_str(&cast);
            }
        }
        sink.sql.push_str(left[1]);
        sink.sql.push_str(" IN (SELECT ");
        sink.sql.push_str(right[0]);
        sink.name(&self.selection.of().name);
        sink.sql.push_str(right[1]);
        sink.sql.push_str(" FROM ");
        if !table.name.schema.is_empty() {
            sink.name(&table.name.schema);
            sink.sql.push('.');
        }
        sink.name(&table.name.name);
        if let Some(predicate) = predicate {
            sink.sql.push_str(" WHERE ");
            sink.condition(&predicate.root);
        }
        if sink.holds {
            sink.sql.push_str(sink.dialect.hold());
        }
        sink.sql.push(')');
    }
}
