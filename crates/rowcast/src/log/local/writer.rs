//! The one who writes: batches to the end of the last segment, whole or not at all.
//!
//! Leaves what readers see to `view`, and when to delete to `retention`.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::meta::sync_dir;
use super::record::{Dictionary, End, Head, PartWriter};
use super::recover::{Found, Places};
use super::segment::{Mark, Segment};
use super::{Durability, LogSettings};
use crate::event::Batch;
use crate::log::now_ms;

/// A part is closed when it has so many bytes.
const PART_BYTES: usize = 64 << 10;

/// No batch takes more bytes on disk; some are left for what is around a part's changes.
const BATCH_BYTES_MAX: usize = super::frame::PAYLOAD_MAX - 1024;

/// A buffer larger than this is given back after use.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes to the last segment.
#[derive(Debug)]
pub(crate) struct Writer {
    dir: PathBuf,
    durability: Durability,
    rule: RollRule,
    pub(crate) segment: Arc<Segment>,
    file: File,
    /// The offset of the next event.
    next: u64,
    dictionary: Dictionary,
    buffer: Vec<u8>,
    /// Whether the file may go on after its last whole batch.
    torn: bool,
    /// Older segments that may not be on the disk.
    unsynced: Vec<PathBuf>,
    /// How much of the last segment is on the disk.
    synced: u64,
    /// Whether its name is.
    dir_synced: bool,
    /// Whether the disk has lost something that was written.
    sync_failed: bool,
}

/// When a segment is followed by the next one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RollRule {
    pub(crate) bytes: u64,
    events: u64,
    age_ms: u64,
}

impl RollRule {
    /// About eight segments for each limit, so that deleting the oldest one is close to what was asked for.
    pub(crate) fn new(settings: &LogSettings) -> Self {
        let retain = &settings.retain;
        let age_ms = retain.age.map_or(u64::MAX, |age| u64::try_from(age.as_millis() / 8).unwrap_or(u64::MAX));
        Self {
            bytes: retain.bytes.map_or(u64::MAX, |bytes| bytes / 8).min(settings.segment_bytes).max(1),
            events: retain.events.map_or(u64::MAX, |events| events / 8).max(1),
            age_ms,
        }
    }
}

impl Writer {
    pub(crate) fn new(dir: PathBuf, settings: &LogSettings, found: Found) -> Self {
        let segment = found.segments.back().expect("a log that is open has a segment");
        let older = found.segments.iter().rev().skip(1).filter(|_| found.unsynced);
        Self {
            dir,
            durability: settings.durability,
            rule: RollRule::new(settings),
            segment: Arc::clone(segment),
            file: found.file,
            next: found.next,
            dictionary: Dictionary::new(found.index.tables.to_vec()),
            buffer: Vec::new(),
            torn: false,
            unsynced: older.map(|segment| segment.path.clone()).collect(),
            synced: if found.unsynced { 0 } else { segment.bytes() },
            dir_synced: true,
            sync_failed: false,
        }
    }

    pub(crate) fn rule(&self) -> RollRule {
        self.rule
    }

    /// Events in the last segment.
    pub(crate) fn events(&self) -> u64 {
        self.next - self.segment.first
    }

    /// Whether the last segment should be followed by the next one.
    pub(crate) fn is_full(&self) -> bool {
        let bytes = self.segment.bytes() - self.segment.body;
        let old = || now_ms().saturating_sub(self.segment.created_ms) >= self.rule.age_ms;
        bytes >= self.rule.bytes || self.events() >= self.rule.events || (self.events() > 0 && old())
    }

    /// Writes the batch after everything before it. After an error nothing of it is there.
    ///
    /// With [`Durability::Machine`] it is on the disk when this returns.
    pub(crate) fn write(&mut self, batch: &Batch) -> io::Result<()> {
        self.mend()?;
        let known = self.dictionary.tables().len();
        let written = self.encode(batch).and_then(|marks| self.put().map(|()| marks));
        match written {
            Ok(marks) => self.accept(known, &marks, batch.changes.len() as u64),
            Err(error) => {
                self.dictionary.truncate(known);
                self.torn = true;
                // When it fails, too, it is tried again before the next batch.
                let _ = self.mend();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Puts the batch into the buffer, in parts. Returns where they will stand.
    fn encode(&mut self, batch: &Batch) -> io::Result<Vec<Mark>> {
        self.buffer.clear();
        let mut marks = Vec::new();
        let mut part = PartWriter::new(self.next);
        for change in &batch.changes {
            part.push(change, &mut self.dictionary);
            self.check_length(part.bytes())?;
            if part.bytes() >= PART_BYTES {
                self.finish_part(&mut part, &mut marks, None);
            }
        }
        let place = batch.origin.as_ref().map(|origin| (&*origin.source, &origin.place));
        let place_bytes = place.map_or(0, |(source, place)| source.len() + place.0.len());
        self.check_length(part.bytes() + place_bytes)?;
        self.finish_part(&mut part, &mut marks, Some(End { place }));
        Ok(marks)
    }

    fn check_length(&self, more: usize) -> io::Result<()> {
        if self.buffer.len() + more <= BATCH_BYTES_MAX {
            return Ok(());
        }
        let message = "a batch of more than 1 GiB cannot be written: change fewer rows in one transaction";
        Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
    }

    fn finish_part(&mut self, part: &mut PartWriter, marks: &mut Vec<Mark>, end: Option<End<'_>>) {
        let at = self.segment.bytes() + self.buffer.len() as u64;
        let begins = self.buffer.is_empty();
        marks.push(Mark { offset: part.first(), at });
        part.finish(&mut self.buffer, at, self.segment.salt, begins, end);
    }

    fn put(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        if self.durability == Durability::Machine {
            self.file.sync_data()?;
            if !self.dir_synced {
                sync_dir(&self.dir)?;
                self.dir_synced = true;
            }
        }
        Ok(())
    }

    /// Cuts off what a failed write left.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.segment.bytes())?;
            self.file.seek(SeekFrom::Start(self.segment.bytes()))?;
            self.torn = false;
        }
        Ok(())
    }

    fn accept(&mut self, known: usize, marks: &[Mark], events: u64) {
        let tables = &self.dictionary.tables()[known..];
        self.segment.update_index(|index| {
            if !tables.is_empty() {
                Arc::make_mut(&mut index.tables).extend_from_slice(tables);
            }
            if events > 0 {
                marks.iter().for_each(|mark| index.note(*mark));
            }
        });
        self.next += events;
        let bytes = self.segment.bytes() + self.buffer.len() as u64;
        self.segment.set_bytes(bytes);
        if self.durability == Durability::Machine {
            self.synced = bytes;
        }
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES);
    }

    /// Begins the next segment with a checkpoint of all places. One without events is replaced: the checkpoint says all that
    /// it said.
    pub(crate) fn roll(&mut self, epoch: u64, places: &Places) -> io::Result<Rolled> {
        self.mend()?;
        let replaces = self.events() == 0;
        let seq = if replaces { self.segment.seq } else { self.segment.seq + 1 };
        let places = places.iter().map(|(source, place)| (source.clone(), place.clone())).collect();
        let head = Head { epoch, seq, first: self.next, created_ms: now_ms(), salt: rand::random(), places };
        let (segment, file) = Segment::create(&self.dir, &head)?;
        if !replaces && self.synced < self.segment.bytes() {
            self.unsynced.push(self.segment.path.clone());
        }
        // The head is on the disk already; its name may not be.
        self.synced = segment.bytes();
        self.dir_synced = false;
        self.dictionary = Dictionary::default();
        (self.segment, self.file) = (Arc::clone(&segment), file);
        Ok(Rolled { segment, replaces })
    }

    /// What has to be synced so that everything written up to now is on the disk; `None` when it is.
    pub(crate) fn unsynced(&self) -> io::Result<Option<Unsynced>> {
        if self.sync_failed {
            // The system forgets what it could not write: trying again would succeed, and be a lie.
            return Err(io::Error::other("the disk has lost what was written to it: mend it and start again"));
        }
        let bytes = self.segment.bytes();
        if self.unsynced.is_empty() && self.synced == bytes && self.dir_synced {
            return Ok(None);
        }
        let (dir, older, segment) = (self.dir.clone(), self.unsynced.clone(), Arc::clone(&self.segment));
        Ok(Some(Unsynced { dir, older, segment, file: self.file.try_clone()?, bytes }))
    }

    /// Remembers what became of it.
    pub(crate) fn note_synced(&mut self, unsynced: &Unsynced, result: Result<(), SyncError>) -> io::Result<()> {
        match result {
            Ok(()) => {
                self.unsynced.retain(|path| !unsynced.older.contains(path));
                if Arc::ptr_eq(&self.segment, &unsynced.segment) {
                    self.synced = self.synced.max(unsynced.bytes);
                    self.dir_synced = true;
                }
                Ok(())
            }
            Err(SyncError::Open(error)) => Err(error),
            Err(SyncError::Lost(error)) => {
                self.sync_failed = true;
                Err(error)
            }
        }
    }
}

/// The segment that is written to from now on.
#[derive(Debug)]
pub(crate) struct Rolled {
    pub(crate) segment: Arc<Segment>,
    /// Whether it stands in place of the one before.
    pub(crate) replaces: bool,
}

/// Files that may not be on the disk.
#[derive(Debug)]
pub(crate) struct Unsynced {
    dir: PathBuf,
    older: Vec<PathBuf>,
    segment: Arc<Segment>,
    file: File,
    bytes: u64,
}

/// Why files are not on the disk.
#[derive(Debug)]
pub(crate) enum SyncError {
    /// It was not tried: a file could not be opened.
    Open(io::Error),
    /// What was written may be gone.
    Lost(io::Error),
}

impl Unsynced {
    /// Returns when they are. Takes as long as the disk does.
    pub(crate) fn sync(&self) -> Result<(), SyncError> {
        for path in &self.older {
            match File::options().write(true).open(path) {
                Ok(file) => file.sync_data().map_err(SyncError::Lost)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(SyncError::Open(error)),
            }
        }
        self.file.sync_data().map_err(SyncError::Lost)?;
        sync_dir(&self.dir).map_err(SyncError::Open)
    }
}
