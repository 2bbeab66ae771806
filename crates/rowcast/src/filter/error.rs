//! What is wrong with a filter, and where.

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that is known.
    pub hint: Option<String>,
    /// Where it begins: characters (not bytes) from the start of the text.
    pub offset: usize,
    /// How many characters it spans, at least one.
    pub length: usize,
}

/// Characters `start..end` of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    /// From the start of this one to the end of the other.
    pub(super) fn to(self, other: Span) -> Self {
        Self { start: self.start, end: other.end.max(self.end) }
    }
}

impl FilterError {
    pub(super) fn at(span: Span, message: impl Into<String>) -> Self {
        let length = span.end.saturating_sub(span.start).max(1);
        Self { message: message.into(), hint: None, offset: span.start, length }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
