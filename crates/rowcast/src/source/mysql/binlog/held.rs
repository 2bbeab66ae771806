//! The events of one transaction, kept until its end is known: in memory, and in a file when that is too much.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

/// Bytes that go to or come from the file at once.
const BUFFER: usize = 256 << 10;
/// What an event takes in memory beside its bytes, about.
const ENTRY: usize = 48;

/// Events in order: their type and their inside.
#[derive(Debug, Default)]
pub(super) struct Held {
    memory: Vec<(u8, Vec<u8>)>,
    weight: usize,
    file: Option<BufWriter<File>>,
}

impl Held {
    /// Adds an event. More than `memory` bytes go to a file in `folder`, which nobody else can read and which ends with this value.
    pub(super) fn push(&mut self, kind: u8, body: &[u8], memory: usize, folder: &Path) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            return write(file, kind, body);
        }
        self.weight += body.len() + ENTRY;
        self.memory.push((kind, body.to_vec()));
        if self.weight > memory {
            let mut file = BufWriter::with_capacity(BUFFER, tempfile::tempfile_in(folder)?);
            for (kind, body) in self.memory.drain(..) {
                write(&mut file, kind, &body)?;
            }
            self.memory.shrink_to_fit();
            self.file = Some(file);
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.file.is_none()
    }

    /// All of them, in order.
    pub(super) fn read(self) -> io::Result<Events> {
        let file = match self.file {
            None => None,
            Some(file) => {
                let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.rewind()?;
                Some(BufReader::with_capacity(BUFFER, file))
            }
        };
        Ok(Events { memory: self.memory.into_iter(), file })
    }
}

fn write(file: &mut BufWriter<File>, kind: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(&[kind])?;
    file.write_all(body)
}

/// Events that are given back.
#[derive(Debug)]
pub(super) struct Events {
    memory: std::vec::IntoIter<(u8, Vec<u8>)>,
    file: Option<BufReader<File>>,
}

impl Events {
    pub(super) fn next(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let Some(file) = &mut self.file else { return Ok(self.memory.next()) };
        let mut head = [0; 5];
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let [a, b, c, d, kind] = head;
        let mut body = vec![0; u32::from_le_bytes([a, b, c, d]) as usize];
        file.read_exact(&mut body)?;
        Ok(Some((kind, body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_in_order_wherever_they_were() {
        let folder = tempfile::tempdir().expect("a folder");
        for memory in [0, 100, usize::MAX] {
            let mut held = Held::default();
            for n in 0..10_u8 {
                held.push(n, &vec![n; n.into()], memory, folder.path()).expect("kept");
            }
            let mut events = held.read().expect("read");
            for n in 0..10_u8 {
                assert_eq!(events.next().expect("read"), Some((n, vec![n; n.into()])));
            }
            assert_eq!(events.next().expect("read"), None);
        }
    }
}
