//! Whether a text is JSON: RFC 8259, at most 1,000 levels deep, as SQLite's `json_valid` counts.

/// Levels of arrays and objects.
const DEPTH_MAX: usize = 1000;

/// O(n), without recursion and without allocating.
pub(super) fn is_json(text: &[u8]) -> bool {
    let mut scan = Scan { text, at: 0, open: [0; DEPTH_MAX.div_ceil(64)], depth: 0 };
    scan.document().is_some()
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
    /// One bit for each open level: set for an object.
    open: [u64; DEPTH_MAX.div_ceil(64)],
    depth: usize,
}

impl Scan<'_> {
    fn document(&mut self) -> Option<()> {
        loop {
            self.spaces();
            if self.value_start()? {
                continue;
            }
            loop {
                self.spaces();
                if self.depth == 0 {
                    return (self.at == self.text.len()).then_some(());
                }
                if self.eat(b',') {
                    if self.in_object() {
                        self.label()?;
                    }
                    break;
                }
                self.close()?;
            }
        }
    }

    /// Takes a scalar or an empty nest, or opens a nest up to its first value, which is then to come.
    fn value_start(&mut self) -> Option<bool> {
        match self.peek() {
            b'{' => {
                self.open(true)?;
                if self.peek() == b'}' {
                    return Some(false);
                }
                self.label()?;
                return Some(true);
            }
            b'[' => {
                self.open(false)?;
                return Some(self.peek() != b']');
            }
            b'"' => self.string()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        Some(false)
    }

    fn open(&mut self, object: bool) -> Option<()> {
        if self.depth == DEPTH_MAX {
            return None;
        }
        let bit = 1 << (self.depth % 64);
        let word = &mut self.open[self.depth / 64];
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        self.at += 1;
        self.spaces();
        Some(())
    }

    fn in_object(&self) -> bool {
        let level = self.depth - 1;
        self.open[level / 64] >> (level % 64) & 1 == 1
    }

    fn close(&mut self) -> Option<()> {
        let end = if self.in_object() { b'}' } else { b']' };
        self.eat(end).then(|| self.depth -= 1)
    }

    /// `"label" :`
    fn label(&mut self) -> Option<()> {
        self.spaces();
        if self.peek() != b'"' {
            return None;
        }
        self.string()?;
        self.spaces();
        self.eat(b':').then_some(())
    }

    fn string(&mut self) -> Option<()> {
        loop {
            self.at += 1;
            match self.text.get(self.at)? {
                b'"' => break,
                b'\\' => self.escape()?,
                0..0x20 => return None,
                _ => {}
            }
        }
        self.at += 1;
        Some(())
    }

    fn escape(&mut self) -> Option<()> {
        self.at += 1;
        match self.text.get(self.at)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.get(self.at + 1..self.at + 5)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<()> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let found = self.text[self.at..].starts_with(word);
        self.at += word.len();
        found.then_some(())
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_levels_and_no_more() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_json(nested(1000).as_bytes()));
        assert!(!is_json(nested(1001).as_bytes()));
        assert!(!is_json("[".repeat(1_000_000).as_bytes()));
    }

    #[test]
    fn takes_what_the_rfc_has() {
        for text in
            ["1", "-0", "-0.5E+3", " [ ] ", "{}", r#"{"a":[{},[null,true,false]],"b":"\u12ab\/"}"#, "\"\u{7f}é\""]
        {
            assert!(is_json(text.as_bytes()), "{text}");
        }
        for text in ["-", "1.", ".5", "1e", "[1 2]", "{\"a\" 1}", "[}", "]", "tru", "\"\\x\"", "\"\\u12\"", "+1"] {
            assert!(!is_json(text.as_bytes()), "{text}");
        }
    }
}
