//! What stands for a value of the row: a column, or a text in its JSON.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::document::{Cursor, unescape};
use super::super::expr::Step;
use crate::event::{Row, Value};
use crate::mysql::Kind;

/// A column of the table that the filter is bound to, or a text in its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct Column {
    pub(super) index: usize,
    pub(super) name: Arc<str>,
    /// As the table says it.
    pub(super) declared: Arc<str>,
    /// Of the column, or of what is found in it.
    pub(super) kind: Kind,
    /// `-> 'a' ->> 0` behind the column.
    pub(super) path: Option<Arc<[Step]>>,
}

impl Column {
    /// As the row has it; `None` where the row has no such column.
    #[inline]
    pub(super) fn value<'r>(&self, row: &'r Row) -> Option<Cow<'r, Value>> {
        let value = row.values.get(self.index)?;
        Some(match &self.path {
            None => Cow::Borrowed(value),
            Some(path) => element(path, value),
        })
    }

    /// Whether it is a whole JSON document: triggers do not tell its null from NULL, so no filter does.
    pub(super) fn is_document(&self) -> bool {
        self.path.is_none() && self.kind == Kind::Json
    }

    /// Whether it is shapes or vectors, which the servers do not compare.
    pub(super) fn is_closed(&self) -> bool {
        let name = self.declared.split('(').next().unwrap_or_default();
        match self.kind {
            Kind::Bytes => !matches!(name, "binary" | "varbinary") && !name.ends_with("blob"),
            Kind::Other => true,
            _ => false,
        }
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Enum(_) | Kind::Set(_))
    }

    /// An exact number.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self.kind, Kind::Int { .. } | Kind::Decimal { .. } | Kind::Bit(_) | Kind::Year)
    }

    pub(super) fn is_float(&self) -> bool {
        matches!(self.kind, Kind::Float | Kind::Double)
    }
}

/// The text of a string, a number or a truth value in a document; NULL where there is none of these.
fn element<'v>(path: &[Step], value: &'v Value) -> Cow<'v, Value> {
    let Value::Json(document) = value else { return Cow::Borrowed(value) };
    // MariaDB keeps documents as they were written, and finds no label that has escapes there; MySQL writes none.
    let found = path.iter().try_fold(Cursor::at_value(document.as_bytes()), |at, step| at.step_as_written(step));
    Cow::Owned(match found.map(Cursor::value) {
        None | Some(b"null" | [b'{' | b'[', ..]) => Value::Null,
        Some([b'"', inside @ .., b'"']) => Value::Text(String::from_utf8_lossy(&unescape(inside)).into()),
        Some(element) => Value::Text(String::from_utf8_lossy(element).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, path: &[Step], expected: Value) {
        assert_eq!(*element(path, &Value::Json(document.into())), expected, "{document}");
    }

    #[test]
    fn scalars_are_texts_and_all_else_is_null() {
        let document = r#"{"a": [1.5, {"b c": "x\ny"}, null], "t": true}"#;
        let text = |text: &str| Value::Text(text.into());
        let a = || Step::Label("a".into());
        check(document, &[a(), Step::Index(0)], text("1.5"));
        check(document, &[a(), Step::Index(1), Step::Label("b c".into())], text("x\ny"));
        check(document, &[a(), Step::Index(1)], Value::Null);
        check(document, &[a(), Step::Index(2)], Value::Null);
        check(document, &[Step::Label("t".into())], text("true"));
        check(document, &[Step::Label("z".into())], Value::Null);
        check("5", &[Step::Index(0)], Value::Null);
        check(r#"{"\u0061": 1, "a": "\u00e9"}"#, &[a()], text("é"));
    }

    #[test]
    fn what_is_not_known_stays_unknown() {
        assert_eq!(*element(&[Step::Index(0)], &Value::Unchanged), Value::Unchanged);
        assert_eq!(*element(&[Step::Index(0)], &Value::Null), Value::Null);
    }
}
