//! Elements of JSON text, found by their paths.
//!
//! Reads the text in place and builds no tree; allocates only for strings with escapes.

use std::borrow::Cow;

use super::expr::Step;

/// A place in a document that is known to be JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'t> {
    pub(super) text: &'t [u8],
    pub(super) at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn at_value(text: &'t [u8]) -> Self {
        Self { text, at: 0 }.spaces()
    }

    pub(super) fn peek(self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    pub(super) fn spaces(mut self) -> Self {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self
    }

    /// Behind the current byte and the spaces after it.
    fn next(mut self) -> Self {
        self.at += 1;
        self.spaces()
    }

    pub(super) fn step(self, step: &Step) -> Option<Self> {
        match (step, self.peek()) {
            (Step::Label(label), b'{') => self.member(|written| is_label(written, label.as_bytes())),
            (Step::Index(n), b'[') => self.elements().nth(usize::try_from(*n).ok()?),
            (Step::FromEnd(n), b'[') => {
                let count = self.elements().count();
                let n = usize::try_from(*n).ok().filter(|n| (1..=count).contains(n))?;
                self.elements().nth(count - n)
            }
            _ => None,
        }
    }

    /// Like [`step`](Self::step), by labels as they are written: one with escapes is not found.
    pub(super) fn step_as_written(self, step: &Step) -> Option<Self> {
        match (step, self.peek()) {
            (Step::Label(label), b'{') => self.member(|written| written == label.as_bytes()),
            _ => self.step(step),
        }
    }

    /// The value of the first member whose label, as it is written, is the one.
    fn member(self, is_label: impl Fn(&[u8]) -> bool) -> Option<Self> {
        let mut at = self.next();
        while at.peek() == b'"' {
            let end = at.string_end();
            let found = is_label(&at.text[at.at + 1..end - 1]);
            let value = Self { at: end, ..at }.spaces().next();
            if found {
                return Some(value);
            }
            at = Self { at: value.end(), ..at }.spaces();
            if at.peek() != b',' {
                return None;
            }
            at = at.next();
        }
        None
    }

    fn elements(self) -> impl Iterator<Item = Self> {
        let first = Some(self.next()).filter(|at| at.peek() != b']');
        std::iter::successors(first, |value| {
            let after = Self { at: value.end(), ..*value }.spaces();
            (after.peek() == b',').then(|| after.next())
        })
    }

    pub(super) fn value(self) -> &'t [u8] {
        &self.text[self.at..self.end()]
    }

    /// Behind the value that begins here.
    fn end(self) -> usize {
        match self.peek() {
            b'"' => self.string_end(),
            b'{' | b'[' => self.nest_end(),
            _ => {
                let rest = &self.text[self.at..];
                let ends = |b: &u8| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
                self.at + rest.iter().position(ends).unwrap_or(rest.len())
            }
        }
    }

    pub(super) fn string_end(mut self) -> usize {
        loop {
            self.at += 1;
            match self.peek() {
                b'"' => return self.at + 1,
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }

    fn nest_end(mut self) -> usize {
        let mut depth = 0usize;
        loop {
            match self.peek() {
                b'"' => self.at = self.string_end() - 1,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return self.at;
            }
        }
    }
}

/// Whether a label as written in the document is this one. SQLite ends a label at an escaped NUL.
fn is_label(written: &[u8], label: &[u8]) -> bool {
    if !written.contains(&b'\\') {
        return written == label;
    }
    let plain = unescape(written);
    plain[..memchr::memchr(0, &plain).unwrap_or(plain.len())] == *label
}

/// The bytes that a string's inside stands for. Half a surrogate pair gives the three bytes of its number, as in SQLite.
pub(super) fn unescape(inside: &[u8]) -> Cow<'_, [u8]> {
    if !inside.contains(&b'\\') {
        return Cow::Borrowed(inside);
    }
    let mut out = Vec::with_capacity(inside.len());
    let mut at = 0;
    while at < inside.len() {
        if inside[at] != b'\\' {
            out.push(inside[at]);
            at += 1;
            continue;
        }
        let (c, taken) = escape(&inside[at..]);
        push_char(&mut out, c);
        at += taken;
    }
    Cow::Owned(out)
}

/// The character of the escape that the text begins with, and how many bytes it takes.
fn escape(text: &[u8]) -> (u32, usize) {
    match text[1] {
        b'b' => (8, 2),
        b'f' => (12, 2),
        b'n' => (10, 2),
        b'r' => (13, 2),
        b't' => (9, 2),
        b'u' => {
            let high = hex4(text, 2).unwrap_or(0);
            let low = if text.get(6..8) == Some(b"\\u") { hex4(text, 8) } else { None };
            match low {
                Some(low) if high & 0xfc00 == 0xd800 && low & 0xfc00 == 0xdc00 => {
                    (((high & 0x3ff) << 10) + (low & 0x3ff) + 0x1_0000, 12)
                }
                _ => (high, 6),
            }
        }
        plain => (u32::from(plain), 2),
    }
}

fn hex4(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..at + 4)?.iter().try_fold(0, |n, b| Some(n << 4 | char::from(*b).to_digit(16)?))
}

fn push_char(out: &mut Vec<u8>, c: u32) {
    let tail = |shift: u32| 0x80 | (c >> shift & 0x3f) as u8;
    match c {
        0..0x80 => out.push(c as u8),
        0x80..0x800 => out.extend([0xc0 | (c >> 6) as u8, tail(0)]),
        0x800..0x1_0000 => out.extend([0xe0 | (c >> 12) as u8, tail(6), tail(0)]),
        _ => out.extend([0xf0 | (c >> 18) as u8, tail(12), tail(6), tail(0)]),
    }
}
