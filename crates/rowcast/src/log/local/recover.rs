//! Opening: finds out what an earlier run left, and decides what of it still holds.
//!
//! | What is found | What happens |
//! |---|---|
//! | nothing | a new log |
//! | everything | it goes on |
//! | the file ends inside the last batch, after a crash | that batch was never acknowledged: it is cut off |
//! | the machine stopped while the tail may not have been on the disk | a new epoch, with the sources' places as found |
//! | the end is missing or unreadable, and no crash explains it | a new epoch, with the sources' places as found |
//! | damage, and intact batches after it | refused: going on would hide that acknowledged events are gone |
//!
//! A new epoch is the safe answer wherever events may be gone that a client has seen, because their offsets would be given out again.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Durability;
use super::error::OpenError;
use super::meta::{Closed, Meta, VERSION, boot_id, sync_dir};
use super::record::Head;
use super::scan::{Scan, Stop, has_batch};
use super::segment::{Damage, Index, OpenSegmentError, Segment, file_name, seq_of};
use super::tables::Tables;
use crate::event::Place;
use crate::log::now_ms;

/// The places of all sources.
pub(crate) type Places = HashMap<Box<str>, Place>;

/// A log that can be written on.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) meta: Meta,
    /// Oldest first; the last one is written to.
    pub(crate) segments: VecDeque<Arc<Segment>>,
    /// The last segment's file, at its end.
    pub(crate) file: File,
    pub(crate) index: Index,
    pub(crate) next: u64,
    pub(crate) places: Places,
    /// Whether some of it may not be on the disk yet.
    pub(crate) unsynced: bool,
}

/// Opens the log in `dir`, or makes one.
pub(crate) fn recover(dir: &Path, durability: Durability, tables: &Tables) -> Result<Found, OpenError> {
    let meta = Meta::read(dir).map_err(|error| OpenError::meta(&dir.join("meta"), error))?;
    let files = segment_files(dir).map_err(|error| OpenError::io(dir, error))?;
    let opening = Opening { dir, durability, tables, boot: boot_id() };
    match meta {
        Some(meta) => opening.resume(&meta, &files),
        None if files.is_empty() => opening.begin(now_ms()),
        None => Err(OpenError::Missing { path: dir.join("meta") }),
    }
}

/// Segment files by number. Removes what an interrupted write left.
fn segment_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_unfinished = path.file_name().is_some_and(|name| name == "meta.tmp")
            || (path.extension().is_some_and(|extension| extension == "tmp")
                && seq_of(&path.with_extension("log")).is_some());
        if is_unfinished {
            fs::remove_file(&path)?;
        } else if seq_of(&path).is_some() {
            files.push(path);
        }
    }
    files.sort_by_key(|path| seq_of(path));
    Ok(files)
}

struct Opening<'a> {
    dir: &'a Path,
    durability: Durability,
    tables: &'a Tables,
    boot: Option<String>,
}

/// What becomes of the last segment.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// All of it holds.
    Whole,
    /// Its end is a batch that was never acknowledged.
    Interrupted,
    /// Acknowledged events are gone.
    Lost,
}

impl Opening<'_> {
    /// The first log in this directory.
    fn begin(&self, epoch: u64) -> Result<Found, OpenError> {
        // Written before the first segment, because segments without it would look like a damaged log.
        let meta = self.meta(epoch);
        meta.write(self.dir).map_err(|error| OpenError::io(self.dir, error))?;
        self.begin_epoch(epoch, 1, Places::new(), &[])
    }

    /// Goes on with what an earlier run left.
    fn resume(&self, meta: &Meta, files: &[PathBuf]) -> Result<Found, OpenError> {
        if !self.is_on_disk(meta) {
            tracing::warn!("the machine stopped before the log was written to its disk: the log begins a new epoch");
            return self.begin_anew(meta, files, self.places_left(meta.epoch, files)?);
        }
        let (mut segments, places) = self.open_all(meta.epoch, files)?;
        let Some(last) = segments.pop_back() else { return self.begin_anew(meta, files, places) };
        let scan = last.scan(self.tables).map_err(|error| OpenError::io(&last.path, error))?;
        let places = places.into_iter().chain(scan.places.clone()).collect();
        match self.judge(meta, &last, &scan)? {
            Verdict::Lost => {
                let file = last.path.display();
                tracing::warn!("the end of {file} is lost or unreadable: the log begins a new epoch");
                self.begin_anew(meta, files, places)
            }
            Verdict::Whole | Verdict::Interrupted => {
                let path = last.path.clone();
                self.go_on(meta, segments, last, scan, places).map_err(|error| OpenError::io(&path, error))
            }
        }
    }

    fn meta(&self, epoch: u64) -> Meta {
        Meta { version: VERSION, epoch, boot: self.boot.clone(), durability: self.durability, closed: None }
    }

    /// Whether everything that was acknowledged can still be there: only a machine that stops loses what a process wrote.
    fn is_on_disk(&self, meta: &Meta) -> bool {
        self.same_boot(meta) || meta.closed.is_some() || meta.durability == Durability::Machine
    }

    fn same_boot(&self, meta: &Meta) -> bool {
        meta.boot.is_some() && meta.boot == self.boot
    }

    /// The epoch's segments, oldest first, and the places at the beginning of the last one. Deletes what a change of epoch
    /// that was interrupted left over.
    fn open_all(&self, epoch: u64, files: &[PathBuf]) -> Result<(VecDeque<Segment>, Places), OpenError> {
        let mut segments = VecDeque::new();
        let mut places = Places::new();
        let mut left_over = Vec::new();
        for path in files {
            let (segment, head) = Segment::open(path.clone()).map_err(|error| OpenError::segment(path, error))?;
            let is_unused = segment.bytes() == segment.body;
            if segment.epoch < epoch || (segment.epoch > epoch && is_unused) {
                left_over.push(path.clone());
                continue;
            }
            if segment.epoch > epoch {
                return Err(segment.damage(0, "it is of a later epoch than `meta`").into());
            }
            self.check_follows(segments.back(), &segment)?;
            places = head.places.into_iter().collect();
            segments.push_back(segment);
        }
        if let (Some(path), true) = (left_over.first(), segments.is_empty()) {
            return Err(Damage { file: path.clone(), at: 0, what: "it is of another epoch than `meta`" }.into());
        }
        delete(&left_over);
        Ok((segments, places))
    }

    fn check_follows(&self, last: Option<&Segment>, segment: &Segment) -> Result<(), OpenError> {
        match last {
            Some(last) if segment.seq != last.seq + 1 => {
                Err(OpenError::Missing { path: self.dir.join(file_name(last.seq + 1)) })
            }
            Some(last) if segment.first < last.first => {
                Err(segment.damage(0, "it begins before the one before").into())
            }
            _ => Ok(()),
        }
    }

    fn judge(&self, meta: &Meta, last: &Segment, scan: &Scan) -> Result<Verdict, OpenError> {
        let end = Closed { segment: last.seq, bytes: scan.good };
        let (at, what) = match scan.stop {
            Stop::End if meta.closed.is_none_or(|closed| closed == end) => return Ok(Verdict::Whole),
            Stop::End => return Ok(Verdict::Lost),
            Stop::Torn { at } => (at, "it ends inside a record"),
            Stop::Damaged { at, what } => (at, what),
        };
        let rest = read_from(&last.path, at).map_err(|error| OpenError::io(&last.path, error))?;
        if has_batch(&rest, at, last.salt) {
            return Err(last.damage(at, what).into());
        }
        // A process that is killed leaves the beginning of what it was writing; a machine that stops leaves any part of it.
        let torn = matches!(scan.stop, Stop::Torn { .. });
        let interrupted = meta.closed.is_none() && (torn || !self.same_boot(meta));
        Ok(if interrupted { Verdict::Interrupted } else { Verdict::Lost })
    }

    fn go_on(
        &self,
        meta: &Meta,
        older: VecDeque<Segment>,
        last: Segment,
        scan: Scan,
        places: Places,
    ) -> io::Result<Found> {
        let file = open_at(&last.path, scan.good)?;
        last.set_bytes(scan.good);
        last.update_index(|index| *index = scan.index.clone());
        let segments: VecDeque<_> = older.into_iter().chain([last]).map(Arc::new).collect();
        let mut unsynced = meta.closed.is_none();
        if self.durability == Durability::Machine && unsynced {
            segments.iter().try_for_each(|segment| File::options().write(true).open(&segment.path)?.sync_data())?;
            unsynced = false;
        }
        let meta = self.meta(meta.epoch);
        meta.write(self.dir)?;
        Ok(Found { meta, segments, file, index: scan.index, next: scan.next, places, unsynced })
    }

    fn begin_anew(&self, meta: &Meta, files: &[PathBuf], places: Places) -> Result<Found, OpenError> {
        let seq = files.last().and_then(|path| seq_of(path)).unwrap_or(0) + 1;
        self.begin_epoch(now_ms().max(meta.epoch + 1), seq, places, files)
    }

    /// Begins an epoch with nothing but places, and deletes the files of the ones before.
    fn begin_epoch(&self, epoch: u64, seq: u64, places: Places, before: &[PathBuf]) -> Result<Found, OpenError> {
        let checkpoint = places.iter().map(|(source, place)| (source.clone(), place.clone())).collect();
        let head = Head { epoch, seq, first: 1, created_ms: now_ms(), salt: rand::random(), places: checkpoint };
        let meta = self.meta(epoch);
        let made = Segment::create(self.dir, &head).and_then(|made| meta.write(self.dir).map(|()| made));
        let (segment, file) = made.map_err(|error| OpenError::io(self.dir, error))?;
        delete(before);
        let segments = VecDeque::from([segment]);
        Ok(Found { meta, segments, file, index: Index::default(), next: 1, places, unsynced: false })
    }

    /// The newest places that can still be read.
    fn places_left(&self, epoch: u64, files: &[PathBuf]) -> Result<Places, OpenError> {
        for path in files.iter().rev() {
            let (segment, head) = match Segment::open(path.clone()) {
                Ok(opened) if opened.0.epoch == epoch => opened,
                Ok(_) | Err(OpenSegmentError::Damaged(_)) => continue,
                Err(error) => return Err(OpenError::segment(path, error)),
            };
            let scan = segment.scan(self.tables).map_err(|error| OpenError::io(path, error))?;
            return Ok(head.places.into_iter().chain(scan.places).collect());
        }
        Ok(Places::new())
    }
}

/// Those that cannot be deleted now are deleted when the log is opened next.
fn delete(files: &[PathBuf]) {
    for path in files {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!("{} is of an earlier epoch and cannot be deleted: {error}", path.display());
        }
    }
}

fn read_from(path: &Path, at: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    Ok(rest)
}

/// The file, open for writing at `end`, which is its end from now on.
fn open_at(path: &Path, end: u64) -> io::Result<File> {
    let mut file = File::options().write(true).open(path)?;
    if file.metadata()?.len() > end {
        tracing::info!("a batch that was being written when the process ended is cut off {}", path.display());
        file.set_len(end)?;
    }
    file.seek(SeekFrom::Start(end))?;
    Ok(file)
}

/// Makes the directory, durably.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}
