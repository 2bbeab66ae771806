//! Elements of jsonb, as `->` and `->>` give them.

use std::borrow::Cow;

use super::super::document::{Cursor, unescape};
use super::super::expr::Step;
use crate::event::Value;

/// A way into a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct Path {
    pub(super) steps: Box<[Step]>,
    /// Whether the last arrow is `->>`: a text, and NULL for JSON's null.
    pub(super) as_text: bool,
}

impl Path {
    /// The element in a value of type jsonb; NULL where there is none.
    pub(super) fn read<'v>(&self, value: &'v Value) -> Cow<'v, Value> {
        let Value::Json(document) = value else { return Cow::Borrowed(value) };
        let found = self.steps.iter().try_fold(Cursor::at_value(document.as_bytes()), step);
        let element = match found.map(Cursor::value) {
            None => Value::Null,
            Some(element) if !self.as_text => Value::Json(String::from_utf8_lossy(element).into()),
            Some(b"null") => Value::Null,
            Some([b'"', inside @ .., b'"']) => Value::Text(String::from_utf8_lossy(&unescape(inside)).into()),
            Some(element) => Value::Text(String::from_utf8_lossy(element).into()),
        };
        Cow::Owned(element)
    }
}

/// A scalar is an array of itself, as PostgreSQL stores it: `'5'::jsonb -> 0` is 5.
fn step<'d>(at: Cursor<'d>, step: &Step) -> Option<Cursor<'d>> {
    let is_nest = matches!(at.peek(), b'{' | b'[');
    match step {
        Step::Index(0) | Step::FromEnd(1) if !is_nest => Some(at),
        _ => at.step(step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, steps: &[Step], as_text: bool, expected: Value) {
        let path = Path { steps: steps.into(), as_text };
        assert_eq!(*path.read(&Value::Json(document.into())), expected, "{document}");
    }

    #[test]
    fn elements_are_texts_or_documents() {
        let document = r#"{"a": [1.50, {"b c": "x\ny"}, null], "t": true}"#;
        let text = |text: &str| Value::Text(text.into());
        let a = || Step::Label("a".into());
        check(document, &[a(), Step::Index(0)], true, text("1.50"));
        check(document, &[a(), Step::Index(1), Step::Label("b c".into())], true, text("x\ny"));
        check(document, &[a(), Step::Index(1)], true, text(r#"{"b c": "x\ny"}"#));
        check(document, &[a(), Step::FromEnd(1)], true, Value::Null);
        check(document, &[a(), Step::FromEnd(1)], false, Value::Json("null".into()));
        check(document, &[Step::Label("t".into())], true, text("true"));
        check(document, &[Step::Label("z".into())], true, Value::Null);
        check(document, &[Step::Index(0)], true, Value::Null);
        check("5", &[Step::Index(0), Step::FromEnd(1)], true, text("5"));
    }

    #[test]
    fn what_is_not_known_stays_unknown() {
        let path = Path { steps: [Step::Index(0)].into(), as_text: true };
        assert_eq!(*path.read(&Value::Unchanged), Value::Unchanged);
        assert_eq!(*path.read(&Value::Null), Value::Null);
    }
}
