//! What a transaction has done so far, kept until it is known whether it commits: in memory, and in a file when that is too much.
//!
//! Keeps the server's messages as they are; leaves their meaning to `transaction`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ahash::AHashSet;
use bytes::Bytes;

/// Bytes that go to or come from the file at once.
const BUFFER: usize = 256 << 10;
/// Bytes before a message in the file that tell its length.
const LENGTH: u64 = 4;
/// What an entry takes in memory beside its bytes, about.
const ENTRY: usize = size_of::<Bytes>() + 32;

/// The messages of one transaction, in order.
#[derive(Debug, Default)]
pub(super) struct Spool {
    memory: VecDeque<Bytes>,
    /// Bytes of `memory`, about.
    weight: usize,
    file: Option<BufWriter<File>>,
    /// The end of it all.
    end: Mark,
    /// Where each subtransaction began, in the order in which they did.
    starts: Vec<(u32, Mark)>,
    begun: AHashSet<u32>,
    /// What tells names and types, before the message of that number. A subtransaction that was rolled back may have been the
    /// only one to hear it, and the server does not say it again.
    notes: VecDeque<(u64, Bytes)>,
}

/// A border between messages; bytes as the file has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    bytes: u64,
    messages: u64,
}

impl Spool {
    /// Bytes that it takes in memory, about.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Messages that it holds, notes not counted.
    pub(super) fn messages(&self) -> u64 {
        self.end.messages
    }

    /// Adds what the subtransaction did; the top-level transaction is one, too.
    pub(super) fn push(&mut self, subtransaction: u32, message: Bytes) -> io::Result<()> {
        if self.begun.insert(subtransaction) {
            self.starts.push((subtransaction, self.end));
        }
        self.end.messages += 1;
        self.end.bytes += LENGTH + message.len() as u64;
        if let Some(file) = &mut self.file {
            return write(file, &message);
        }
        self.weight += message.len() + ENTRY;
        self.memory.push_back(message);
        Ok(())
    }

    /// Adds what is needed to understand later messages.
    pub(super) fn note(&mut self, message: Bytes) {
        self.notes.push_back((self.messages(), message));
    }

    /// Drops what the subtransaction did, and what others did after it began: they were within it.
    pub(super) fn roll_back(&mut self, subtransaction: u32) -> io::Result<()> {
        if !self.begun.contains(&subtransaction) {
            return Ok(());
        }
        let mut mark = self.end;
        while let Some((within, start)) = self.starts.pop() {
            self.begun.remove(&within);
            mark = start;
            if within == subtransaction {
                break;
            }
        }
        self.end = mark;
        if let Some(file) = &mut self.file {
            file.flush()?;
            file.get_ref().set_len(mark.bytes)?;
            file.seek(SeekFrom::Start(mark.bytes))?;
        } else {
            let dropped = self.memory.drain(usize::try_from(mark.messages).unwrap_or(usize::MAX)..);
            self.weight -= dropped.map(|message| message.len() + ENTRY).sum::<usize>();
        }
        for (before, _) in &mut self.notes {
            *before = (*before).min(mark.messages);
        }
        Ok(())
    }

    /// Moves everything to a file in `folder`, which nobody else can read and which ends with this value.
    pub(super) fn spill(&mut self, folder: &Path) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(BufWriter::with_capacity(BUFFER, tempfile::tempfile_in(folder)?)),
        };
        for message in self.memory.drain(..) {
            write(file, &message)?;
        }
        self.memory.shrink_to_fit();
        self.weight = 0;
        Ok(())
    }

    /// Everything in order: the transaction has committed.
    pub(super) fn read(mut self) -> io::Result<Reading> {
        let file = match self.file.take() {
            None => None,
            Some(file) => {
                let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.rewind()?;
                Some(BufReader::with_capacity(BUFFER, file))
            }
        };
        Ok(Reading { memory: self.memory, left: self.end.messages, file, notes: self.notes, read: 0 })
    }
}

fn write(file: &mut BufWriter<File>, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    file.write_all(&length.to_be_bytes())?;
    file.write_all(message)
}

/// A spool that is read from its begin to its end.
#[derive(Debug)]
pub(super) struct Reading {
    memory: VecDeque<Bytes>,
    file: Option<BufReader<File>>,
    /// Messages that are still to come.
    left: u64,
    notes: VecDeque<(u64, Bytes)>,
    read: u64,
}

impl Reading {
    /// The next message, notes among them in their places.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.notes.front().is_some_and(|(before, _)| *before <= self.read) {
            return Ok(self.notes.pop_front().map(|(_, note)| note));
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.read += 1;
        match &mut self.file {
            Some(file) => {
                let mut length = [0; LENGTH as usize];
                file.read_exact(&mut length)?;
                let mut message = vec![0; u32::from_be_bytes(length) as usize];
                file.read_exact(&mut message)?;
                Ok(Some(message.into()))
            }
            None => Ok(self.memory.pop_front()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn texts(spool: Spool) -> Vec<String> {
        let mut reading = spool.read().expect("read");
        std::iter::from_fn(|| reading.next().expect("a message"))
            .map(|message| String::from_utf8(message.to_vec()).expect("text"))
            .collect()
    }

    /// Does it in memory, in a file, and with the file made at each step between.
    fn check(steps: &[fn(&mut Spool)], expected: &[&str]) {
        let folder = tempfile::tempdir().expect("a folder");
        for spill_before in 0..=steps.len() {
            let mut spool = Spool::default();
            for (n, step) in steps.iter().enumerate() {
                if n == spill_before {
                    spool.spill(folder.path()).expect("spilled");
                    assert_eq!(spool.weight(), 0);
                }
                step(&mut spool);
            }
            assert_eq!(texts(spool), expected, "spilled before step {spill_before}");
        }
    }

    #[test]
    fn gives_back_what_it_was_given() {
        check(&[|s| s.push(1, bytes("a")).expect("a"), |s| s.push(2, bytes("")).expect("b")], &["a", ""]);
    }

    #[test]
    fn a_subtransaction_takes_those_within_it_along() {
        check(
            &[
                |s| s.push(1, bytes("top")).expect("pushed"),
                |s| s.push(2, bytes("outer")).expect("pushed"),
                |s| s.push(3, bytes("inner")).expect("pushed"),
                |s| s.roll_back(2).expect("rolled back"),
                |s| s.roll_back(9).expect("one that did nothing"),
                |s| s.push(1, bytes("on")).expect("pushed"),
                |s| s.push(4, bytes("kept")).expect("pushed"),
            ],
            &["top", "on", "kept"],
        );
    }

    #[test]
    fn what_tells_names_stays_before_what_needs_it() {
        check(
            &[
                |s| s.push(1, bytes("a")).expect("pushed"),
                |s| s.note(bytes("names of b")),
                |s| s.push(2, bytes("b")).expect("pushed"),
                |s| s.note(bytes("names of c")),
                |s| s.push(2, bytes("c")).expect("pushed"),
                |s| s.roll_back(2).expect("rolled back"),
                |s| s.push(1, bytes("c again")).expect("pushed"),
            ],
            &["a", "names of b", "names of c", "c again"],
        );
    }
}
