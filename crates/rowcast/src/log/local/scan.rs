//! All of a segment, record by record: what it holds, and where it stops being readable.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use super::codec::Malformed;
use super::frame::{FrameError, Frames, find_intact};
use super::record::Part;
use super::segment::{Index, Mark};
use super::tables::Tables;
use crate::event::Place;

/// What a segment holds up to where it can be read.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) index: Index,
    /// The offset of the next event.
    pub(crate) next: u64,
    /// The last place of each source that the segment mentions.
    pub(crate) places: HashMap<Box<str>, Place>,
    /// Where the last whole batch ends.
    pub(crate) good: u64,
    pub(crate) stop: Stop,
}

/// Why a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nothing follows the last whole batch.
    End,
    /// The file ends inside a batch, or inside the record at `at`.
    Torn { at: u64 },
    /// What stands at `at` cannot be read.
    Damaged { at: u64, what: &'static str },
}

/// The batch that is being read: how far the index was before it, and the next event after it.
struct Open {
    tables: usize,
    marks: usize,
    next: u64,
}

/// Scans to the end of the file or to the first damage. A batch that is not whole leaves no trace.
pub(crate) fn scan<R: Read>(mut frames: Frames<R>, first: u64, tables: &Tables) -> io::Result<Scan> {
    let (index, places) = (Index::default(), HashMap::new());
    let mut scan = Scan { index, next: first, places, good: frames.at(), stop: Stop::End };
    let mut open = None;
    loop {
        let at = frames.at();
        scan.stop = match frames.next() {
            Ok(Some(payload)) => match scan.take(payload, at, &mut open, tables) {
                Ok(()) => {
                    if open.is_none() {
                        scan.good = frames.at();
                    }
                    continue;
                }
                Err(Malformed(what)) => Stop::Damaged { at, what },
            },
            Ok(None) if open.is_none() => Stop::End,
            Ok(None) | Err(FrameError::Torn) => Stop::Torn { at },
            Err(FrameError::Damaged(what)) => Stop::Damaged { at, what },
            Err(FrameError::Io(error)) => return Err(error),
        };
        scan.undo(open);
        return Ok(scan);
    }
}

impl Scan {
    fn take(&mut self, payload: &[u8], at: u64, open: &mut Option<Open>, tables: &Tables) -> Result<(), Malformed> {
        let part = Part::parse(payload)?;
        let batch = match (open.take(), part.begins) {
            (None, true) => Open { tables: self.index.tables.len(), marks: self.index.marks.len(), next: self.next },
            (Some(batch), false) => batch,
            // Put back, so that what the unfinished batch left can be undone.
            (batch, _) => {
                *open = batch;
                return Err(Malformed("a part of another batch"));
            }
        };
        let batch = open.insert(batch);
        if part.first != batch.next {
            return Err(Malformed("not the event that follows"));
        }
        batch.next += part.count;
        let next = batch.next;
        self.note(&part, at, tables);
        if part.ends {
            self.next = next;
            self.places.extend(part.place.map(|(source, place)| (source.into(), place)));
            *open = None;
        }
        Ok(())
    }

    fn note(&mut self, part: &Part<'_>, at: u64, tables: &Tables) {
        if part.count > 0 {
            self.index.note(Mark { offset: part.first, at });
        }
        if !part.tables.is_empty() {
            let described = part.tables.iter().map(|table| tables.share(Arc::new(table.clone())));
            Arc::make_mut(&mut self.index.tables).extend(described);
        }
    }

    fn undo(&mut self, open: Option<Open>) {
        if let Some(batch) = open {
            Arc::make_mut(&mut self.index.tables).truncate(batch.tables);
            self.index.marks.truncate(batch.marks);
        }
    }
}

/// Whether a batch begins, intact, somewhere in `bytes`, which stand at `at` in the file.
pub(crate) fn has_batch(bytes: &[u8], at: u64, salt: u32) -> bool {
    find_intact(bytes, at, salt).any(|payload| Part::parse(payload).is_ok_and(|part| part.begins))
}
