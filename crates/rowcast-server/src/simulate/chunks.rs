//! How lines lie in the chunks of a body: whole, cut anywhere, or several together.

use std::collections::VecDeque;

use bytes::Bytes;
use clap::ValueEnum;
use rand::RngExt;

/// How lines lie in chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Chunks {
    /// Each chunk ends with a line's end
    #[default]
    Whole,
    /// Lines are cut anywhere, within characters, too
    Split,
    /// A chunk holds several lines, which wait for each other, and part of another one
    Merge,
}

/// Cuts one body.
#[derive(Debug)]
pub(super) struct Cutter {
    chunks: Chunks,
    held: Vec<u8>,
    /// Lines that are held, and how many there shall be.
    lines: (u64, u64),
}

/// The longest piece, but for bodies that would be torn into thousands.
const PIECE_MAX: usize = 40;

impl Cutter {
    pub(super) fn new(chunks: Chunks) -> Self {
        Self { chunks, held: Vec::new(), lines: (0, 3) }
    }

    /// Whether a pause between two pieces keeps them apart.
    pub(super) fn pauses(&self) -> bool {
        self.chunks == Chunks::Split
    }

    /// Takes so many lines and gives what is to be sent now.
    pub(super) fn cut(&mut self, bytes: Vec<u8>, lines: u64) -> VecDeque<Bytes> {
        match self.chunks {
            Chunks::Whole => VecDeque::from([bytes.into()]),
            Chunks::Split => split(bytes.into()),
            Chunks::Merge => self.merge(&bytes, lines),
        }
    }

    /// What is still held.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        (!self.held.is_empty()).then(|| std::mem::take(&mut self.held).into())
    }

    fn merge(&mut self, bytes: &[u8], lines: u64) -> VecDeque<Bytes> {
        self.held.extend_from_slice(bytes);
        self.lines.0 += lines;
        if self.lines.0 < self.lines.1 {
            return VecDeque::new();
        }
        self.lines = (0, rand::rng().random_range(2..=5));
        // The last line waits with its end for the next ones.
        let keep = rand::rng().random_range(0..self.held.len().min(PIECE_MAX));
        let rest = self.held.split_off(self.held.len() - keep);
        VecDeque::from([std::mem::replace(&mut self.held, rest).into()])
    }
}

fn split(mut bytes: Bytes) -> VecDeque<Bytes> {
    let longest = PIECE_MAX.max(bytes.len() / 16);
    let mut pieces = VecDeque::new();
    while !bytes.is_empty() {
        let length = rand::rng().random_range(1..=longest).min(bytes.len());
        pieces.push_back(bytes.split_to(length));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_cut_the_bytes_are_the_same() {
        for chunks in [Chunks::Whole, Chunks::Split, Chunks::Merge] {
            let mut cutter = Cutter::new(chunks);
            let (mut sent, mut seen, mut within) = (Vec::new(), Vec::new(), 0);
            for n in 0..500 {
                let line = format!("{{\"n\":{n},\"ü\":\"{}\"}}\n", "é".repeat(n % 70)).into_bytes();
                sent.extend_from_slice(&line);
                for piece in cutter.cut(line, 1) {
                    within += usize::from(!piece.ends_with(b"\n"));
                    seen.extend_from_slice(&piece);
                }
            }
            seen.extend(cutter.rest().unwrap_or_default());
            assert!(sent == seen, "{chunks:?}");
            assert_eq!(within > 50, chunks != Chunks::Whole, "{chunks:?}: {within}");
        }
    }
}
