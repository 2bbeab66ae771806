//! One file of the log: made, scanned, read.
//!
//! A segment stands alone: its head has all places, and it describes each table before the first change that needs it. Leaves
//! writing to `writer`, and what to do about damage to `recover`.

use std::fs::{self, File};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::codec::Malformed;
use super::frame::{FrameError, Frames};
use super::record::{Head, HeadError, Part};
use super::scan::{Scan, scan};
use super::tables::Tables;
use crate::event::{Event, Position, Table};
use crate::log::recent::{Budget, weight};

/// How many bytes of file one mark of an index stands for, at least.
const MARK_BYTES: u64 = 64 << 10;

/// A buffer that holds most parts.
const READ_BYTES: usize = 128 << 10;

/// One file of the log.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// The offset of its first event.
    pub(crate) first: u64,
    pub(crate) created_ms: u64,
    /// Where the frames after the head begin.
    pub(crate) body: u64,
    pub(crate) salt: u32,
    /// How much of the file holds whole batches.
    bytes: AtomicU64,
    /// `None` until somebody reads a segment of an earlier run.
    index: Mutex<Option<Index>>,
}

/// Where to begin reading, and with which tables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// By number, interned.
    pub(crate) tables: Arc<Vec<Arc<Table>>>,
    pub(crate) marks: Vec<Mark>,
}

/// A part that begins with the event `offset` stands at `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: u64,
    pub(crate) at: u64,
}

impl Index {
    /// Remembers where a part is, unless the mark before is near enough.
    pub(crate) fn note(&mut self, mark: Mark) {
        if self.marks.last().is_none_or(|last| mark.at - last.at >= MARK_BYTES) {
            self.marks.push(mark);
        }
    }

    fn before(&self, offset: u64) -> Option<u64> {
        let after = self.marks.partition_point(|mark| mark.offset <= offset);
        self.marks[..after].last().map(|mark| mark.at)
    }
}

/// Which events of a segment are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) first: u64,
    /// The newest that readers may see.
    pub(crate) last: u64,
    pub(crate) budget: Budget,
}

/// Damage in the middle of what was written and kept.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{} is damaged at byte {at}: {what}. Restore the log's directory from a backup, or move it away: a new log begins, and every client loads a fresh snapshot",
    .file.display()
)]
pub struct Damage {
    /// Which file.
    pub file: PathBuf,
    /// The byte where the record begins that cannot be read.
    pub at: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

impl From<Damage> for io::Error {
    fn from(damage: Damage) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, damage)
    }
}

/// The name of a segment's file.
pub(crate) fn file_name(seq: u64) -> String {
    format!("{seq:010}.log")
}

/// The number in a segment's name; `None` for every other file.
pub(crate) fn seq_of(path: &Path) -> Option<u64> {
    let seq = path.file_stem()?.to_str()?.parse().ok()?;
    (path.file_name()? == &*file_name(seq)).then_some(seq)
}

impl Segment {
    /// Makes the file with its head, in place of one with the same number. Returns it open for writing at its end.
    ///
    /// Written under another name first, so that a segment without its head never appears.
    pub(crate) fn create(dir: &Path, head: &Head) -> io::Result<(Arc<Self>, File)> {
        let path = dir.join(file_name(head.seq));
        let unfinished = path.with_extension("tmp");
        let frame = head.to_frame();
        let made = File::create(&unfinished).and_then(|mut file| {
            file.write_all(&frame)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            Ok(file)
        });
        let file = made.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        let segment = Self::new(path, head, frame.len() as u64);
        *segment.index.lock() = Some(Index::default());
        Ok((Arc::new(segment), file))
    }

    /// A segment of an earlier run, of which only the head is read.
    pub(crate) fn open(path: PathBuf) -> Result<(Self, Head), OpenSegmentError> {
        let file = File::open(&path)?;
        let bytes = file.metadata()?.len();
        let mut frames = Frames::new(BufReader::new(file), 0, bytes, 0);
        let damaged = |what| OpenSegmentError::Damaged(Damage { file: path.clone(), at: 0, what });
        let head = match frames.next() {
            Ok(Some(payload)) => Head::parse(payload),
            Ok(None) | Err(FrameError::Torn) => return Err(damaged("it ends inside its head")),
            Err(FrameError::Damaged(what)) => return Err(damaged(what)),
            Err(FrameError::Io(error)) => return Err(error.into()),
        };
        let head = head.map_err(|error| match error {
            HeadError::Format(format) => OpenSegmentError::Format(format),
            HeadError::Malformed(Malformed(what)) => damaged(what),
        })?;
        let body = frames.at();
        let segment = Self::new(path, &head, body);
        segment.set_bytes(bytes);
        Ok((segment, head))
    }

    fn new(path: PathBuf, head: &Head, body: u64) -> Self {
        let &Head { epoch, seq, first, created_ms, salt, .. } = head;
        Self { path, epoch, seq, first, created_ms, body, salt, bytes: AtomicU64::new(body), index: Mutex::default() }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    pub(crate) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Release);
    }

    /// Changes the index of the segment that is written to.
    pub(crate) fn update_index(&self, change: impl FnOnce(&mut Index)) {
        change(self.index.lock().get_or_insert_default());
    }

    /// Its frames from the one at `at` on.
    pub(crate) fn frames(&self, at: u64) -> io::Result<Frames<BufReader<File>>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(Frames::new(BufReader::with_capacity(READ_BYTES, file), at, self.bytes(), self.salt))
    }

    /// Reads and checks all of it.
    pub(crate) fn scan(&self, tables: &Tables) -> io::Result<Scan> {
        scan(self.frames(self.body)?, self.first, tables)
    }

    /// Some of the wanted events: those up to a limit, to damage or to the segment's end, at least one.
    pub(crate) fn read(&self, mut wanted: Wanted, tables: &Tables) -> io::Result<Vec<Arc<Event>>> {
        let (at, tables) = self.start_of(wanted.first, tables)?;
        let mut frames = self.frames(at)?;
        let mut events = Vec::new();
        loop {
            let part_at = frames.at();
            let error = match frames.next() {
                Ok(Some(payload)) => match self.take_part(payload, &tables, &mut wanted, &mut events) {
                    Ok(true) => continue,
                    Ok(false) => return Ok(events),
                    Err(Malformed(what)) => self.damage(part_at, what).into(),
                },
                Ok(None) if wanted.first > wanted.last => return Ok(events),
                Ok(None) => self.damage(part_at, "it ends before its last event").into(),
                Err(error) => self.frame_error(part_at, error),
            };
            return if events.is_empty() { Err(error) } else { Ok(events) };
        }
    }

    /// Takes the wanted events of a part. Returns whether more are wanted.
    fn take_part(
        &self,
        payload: &[u8],
        tables: &[Arc<Table>],
        wanted: &mut Wanted,
        events: &mut Vec<Arc<Event>>,
    ) -> Result<bool, Malformed> {
        let part = Part::parse(payload)?;
        if part.first > wanted.last {
            return Ok(false);
        }
        if part.first + part.count <= wanted.first {
            return Ok(true);
        }
        let offsets = part.first..;
        for (offset, change) in offsets.zip(part.changes(tables)) {
            let change = change?;
            if offset < wanted.first {
                continue;
            }
            if offset > wanted.last || !wanted.budget.admits(weight(&change)) {
                return Ok(false);
            }
            wanted.first = offset + 1;
            events.push(Arc::new(Event { position: Position::new(self.epoch, offset), change }));
        }
        Ok(wanted.first <= wanted.last)
    }

    /// Where the part with this event or an earlier one stands, and the segment's tables.
    fn start_of(&self, offset: u64, tables: &Tables) -> io::Result<(u64, Arc<Vec<Arc<Table>>>)> {
        let mut index = self.index.lock();
        if index.is_none() {
            // The lock is held while the file is scanned, so that a crowd of readers scans it once.
            *index = Some(self.scan(tables)?.index);
        }
        let index = index.as_ref().expect("made above if it was not there");
        Ok((index.before(offset).unwrap_or(self.body), Arc::clone(&index.tables)))
    }

    pub(crate) fn damage(&self, at: u64, what: &'static str) -> Damage {
        Damage { file: self.path.clone(), at, what }
    }

    fn frame_error(&self, at: u64, error: FrameError) -> io::Error {
        match error {
            FrameError::Io(error) => error,
            FrameError::Torn => self.damage(at, "it ends inside a record").into(),
            FrameError::Damaged(what) => self.damage(at, what).into(),
        }
    }
}

/// Why a segment cannot be opened.
#[derive(Debug)]
pub(crate) enum OpenSegmentError {
    Io(io::Error),
    Damaged(Damage),
    /// A later version wrote it.
    Format(u8),
}

impl From<io::Error> for OpenSegmentError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
