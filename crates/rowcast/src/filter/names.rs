//! What the names of a filter stand for: columns of its table, and parts of a client's claims.

use serde_json::{Map, Value as Json};

use super::error::{FilterError, Span};
use super::expr::{Expr, Kind, Part};
use super::{NODES_MAX, suggest};
use crate::event::Table;

/// The table and the claims that a filter is bound to.
pub(super) struct Names<'b> {
    pub(super) table: &'b Table,
    claims: &'b Map<String, Json>,
    /// The columns that may be named; `None`: all.
    readable: Option<&'b [usize]>,
    /// Values that lists in the claims brought in.
    listed: usize,
}

/// What a name stands for.
pub(super) enum Named<'b> {
    /// The column with this index.
    Column(usize),
    /// A claim: null (also where it is missing), a truth value, a number or a text.
    Claim(&'b Json),
    /// Such values in a list.
    Claims(&'b [Json]),
}

impl<'b> Names<'b> {
    pub(super) fn new(table: &'b Table, claims: &'b Map<String, Json>) -> Self {
        Self { table, claims, readable: None, listed: 0 }
    }

    /// Where only some columns may be named.
    pub(super) fn readable(self, readable: Option<&'b [usize]>) -> Self {
        Self { readable, ..self }
    }

    pub(super) fn find(&mut self, parts: &[Part], span: Span) -> Result<Named<'b>, FilterError> {
        if self.is_claim(parts) { self.claim(parts, span) } else { self.column(parts, span).map(Named::Column) }
    }

    /// The column that a JSON path begins at.
    pub(super) fn json_column(&self, expr: &Expr) -> Result<usize, FilterError> {
        match &expr.kind {
            Kind::Name(parts) if !self.is_claim(parts) => self.column(parts, expr.span),
            _ => Err(FilterError::at(expr.span, "a JSON path begins at a column")
                .hint("a part of the claims is written `claims.org.id`")),
        }
    }

    pub(super) fn column(&self, parts: &[Part], span: Span) -> Result<usize, FilterError> {
        let (qualifiers, name) = parts.split_at(parts.len() - 1);
        let (table, part) = (&self.table.name, &name[0]);
        let is = |part: &Part, name: &str| part.name.eq_ignore_ascii_case(name);
        let fits = match qualifiers {
            [] => true,
            [name] => is(name, &table.name),
            [schema, name] => is(schema, &table.schema) && is(name, &table.name),
            _ => false,
        };
        if !fits {
            return Err(FilterError::at(span, format!("this is not a column of `{}`", table.name))
                .hint("a filter reads one row of one table, and `claims.x`"));
        }
        let found = self.table.column(&part.name).filter(|column| self.is_readable(*column));
        found.ok_or_else(|| self.unknown(part, span))
    }

    fn is_readable(&self, column: usize) -> bool {
        self.readable.is_none_or(|readable| readable.contains(&column))
    }

    fn unknown(&self, part: &Part, span: Span) -> FilterError {
        let mut hint = {
            let columns = self.table.columns.iter().enumerate();
            let readable = columns.filter(|(column, _)| self.is_readable(*column));
            suggest::columns(&part.name, readable.map(|(_, column)| &*column.name))
        };
        if part.quote == Some('"') {
            hint = format!("text stands in single quotes: '{}'; {hint}", part.name);
        }
        FilterError::at(span, format!("`{}` has no column `{}`", self.table.name, part.name)).hint(hint)
    }

    /// In quotes, or where there is a column of that name, `claims` alone is no claim.
    fn is_claim(&self, parts: &[Part]) -> bool {
        let first = &parts[0];
        first.quote.is_none()
            && first.name.eq_ignore_ascii_case("claims")
            && (parts.len() > 1 || self.table.column(&first.name).is_none())
    }

    fn claim(&mut self, parts: &[Part], span: Span) -> Result<Named<'b>, FilterError> {
        let [_, first, rest @ ..] = parts else {
            return Err(FilterError::at(span, "`claims` is not a value").hint("write a claim: `claims.sub`"));
        };
        let value = self.claims.get(&first.name);
        let value = rest.iter().try_fold(value, |value, part| match value {
            Some(Json::Object(inner)) => Some(inner.get(&part.name)),
            _ => None,
        });
        match value.flatten() {
            None => Ok(Named::Claim(&Json::Null)),
            Some(Json::Array(list)) => self.list(list, span),
            Some(value) => single(value, span).map(|()| Named::Claim(value)),
        }
    }

    fn list(&mut self, list: &'b [Json], span: Span) -> Result<Named<'b>, FilterError> {
        self.listed += list.len();
        if self.listed > NODES_MAX {
            return Err(FilterError::at(span, format!("the claims have lists of more than {NODES_MAX} values")));
        }
        list.iter().try_for_each(|value| single(value, span))?;
        Ok(Named::Claims(list))
    }
}

/// Why a list does not stand where one value should.
pub(super) fn refuse_list(expr: &Expr) -> FilterError {
    let written = match &expr.kind {
        Kind::Name(parts) => parts.iter().map(|part| &*part.name).collect::<Vec<_>>().join("."),
        _ => String::new(),
    };
    FilterError::at(expr.span, format!("`{written}` is a list")).hint(format!("write `x IN {written}`"))
}

fn single(value: &Json, span: Span) -> Result<(), FilterError> {
    match value {
        Json::Array(_) | Json::Object(_) => {
            Err(FilterError::at(span, "this claim is not a single value").hint("name a part of it: `claims.org.id`"))
        }
        _ => Ok(()),
    }
}
