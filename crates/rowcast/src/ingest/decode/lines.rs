//! Lines out of chunks: joined where a chunk cuts one, dropped where one is too long.

/// One line without its end.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u64,
    /// The line, or only its front when it is longer than the limit.
    pub(super) bytes: &'a [u8],
    pub(super) too_long: bool,
}

/// Joins and counts lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Whether a lone CR ends a line, as it does in SSE.
    split_at_cr: bool,
    /// The front of a line whose end has not come.
    held: Vec<u8>,
    too_long: bool,
    ended: u64,
    after_cr: bool,
}

impl Lines {
    pub(super) fn new(split_at_cr: bool) -> Self {
        Self { split_at_cr, ..Self::default() }
    }

    /// Calls `each` for every line that ends in the chunk. A line longer than `max` keeps its first `shown` bytes.
    pub(super) fn feed(&mut self, mut chunk: &[u8], max: usize, shown: usize, mut each: impl FnMut(Line<'_>)) {
        if std::mem::take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
            chunk = &chunk[1..];
        }
        while let Some(end) = self.find_end(chunk) {
            self.end_line(&chunk[..end], max, shown, &mut each);
            let cr = self.split_at_cr && chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
            match chunk.first() {
                Some(b'\n') if cr => chunk = &chunk[1..],
                None if cr => self.after_cr = true,
                _ => {}
            }
        }
        self.hold(chunk, max, shown);
    }

    /// Gives the last line when it has no end of its own.
    pub(super) fn finish(&mut self, max: usize, shown: usize, mut each: impl FnMut(Line<'_>)) {
        if !self.held.is_empty() || self.too_long {
            self.end_line(&[], max, shown, &mut each);
        }
    }

    fn find_end(&self, chunk: &[u8]) -> Option<usize> {
        if self.split_at_cr { memchr::memchr2(b'\n', b'\r', chunk) } else { memchr::memchr(b'\n', chunk) }
    }

    fn end_line(&mut self, rest: &[u8], max: usize, shown: usize, each: &mut impl FnMut(Line<'_>)) {
        self.ended += 1;
        // The common case: the whole line lies in the chunk and is not copied.
        if self.held.is_empty() && !self.too_long && rest.len() <= max {
            return each(Line { number: self.ended, bytes: without_cr(rest), too_long: false });
        }
        self.hold(rest, max, shown);
        let too_long = std::mem::take(&mut self.too_long);
        each(Line { number: self.ended, bytes: without_cr(&self.held), too_long });
        self.held.clear();
    }

    fn hold(&mut self, bytes: &[u8], max: usize, shown: usize) {
        if self.too_long {
            return;
        }
        if self.held.len() + bytes.len() > max {
            self.too_long = true;
            let more = shown.saturating_sub(self.held.len()).min(bytes.len());
            self.held.extend_from_slice(&bytes[..more]);
            self.held.truncate(shown);
            self.held.shrink_to_fit();
        } else {
            self.held.extend_from_slice(bytes);
        }
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
