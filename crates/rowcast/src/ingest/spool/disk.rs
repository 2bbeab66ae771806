//! The files of a spool: appended to, cut where the last write was torn, read back, removed.
//!
//! A file begins with its life; each frame after that holds what was taken at once (`codec`). Another one is begun at every start,
//! and when one is an eighth of what may wait.

use std::fs::{self, File};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::codec::{self, Group, Head, Malformed};
use super::state::{Entry, State};
use super::{SpoolSettings, now_ms};
use crate::ingest::decode::Record;
use crate::log::local::Durability;
use crate::log::local::frame::{self, FrameError, Frames};

/// One file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) seq: u64,
    life: Arc<str>,
    salt: u32,
}

/// A range of a file that holds whole frames.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) segment: Arc<Segment>,
    pub(super) at: u64,
    pub(super) length: u64,
}

/// The file that is written to.
#[derive(Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    segment: Arc<Segment>,
    file: File,
    at: u64,
    segment_bytes: u64,
    durability: Durability,
    frame: Vec<u8>,
    /// Behind the last records, for the head of the next file.
    resume: Option<String>,
    /// Files that were begun since they were last asked for.
    begun: Vec<Arc<Segment>>,
    /// Of the last write: where it begins and ends, its first number and how many records it has.
    #[cfg(test)]
    last: Option<(u64, u64, u64, u64)>,
}

/// The least and the most bytes of a file.
const SEGMENT_BYTES: (u64, u64) = (64 << 10, 16 << 20);

impl Writer {
    /// Notes what is in the folder, and begins another file.
    pub(super) fn open(folder: &Path, settings: SpoolSettings, state: &mut State) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut seqs: Vec<u64> = fs::read_dir(folder)?.filter_map(|file| seq_of(&file.ok()?.path())).collect();
        seqs.sort_unstable();
        for seq in &seqs {
            recover(folder, *seq, state)?;
        }
        let (life, seq) = (state.life().clone(), seqs.last().map_or(1, |seq| seq + 1));
        let (segment, file, at) = create(folder, seq, life, state.resume.clone())?;
        state.segments.push_back(segment.clone());
        let segment_bytes = (settings.bytes / 8).clamp(SEGMENT_BYTES.0, SEGMENT_BYTES.1);
        Ok(Self {
            folder: folder.to_owned(),
            segment,
            file,
            at,
            segment_bytes,
            durability: settings.durability,
            frame: Vec::new(),
            resume: state.resume.clone(),
            begun: Vec::new(),
            #[cfg(test)]
            last: None,
        })
    }

    /// Appends records. After an error nothing of them is there.
    pub(super) fn append(
        &mut self,
        first: u64,
        time_ms: u64,
        records: &[Record],
        resume: Option<&str>,
    ) -> io::Result<Entry> {
        if self.at >= self.segment_bytes {
            self.roll()?;
        }
        self.frame.clear();
        let start = frame::begin(&mut self.frame);
        codec::write(&mut self.frame, first, time_ms, resume, records);
        if self.frame.len() > frame::PAYLOAD_MAX {
            return Err(io::Error::other("more than 1 GiB came at once"));
        }
        frame::finish(&mut self.frame, start, self.at, self.segment.salt);
        let written = self.file.write_all(&self.frame).and_then(|()| match self.durability {
            Durability::Process => Ok(()),
            Durability::Machine => self.file.sync_data(),
        });
        if let Err(error) = written {
            // What was written in part is written over.
            self.file.set_len(self.at)?;
            self.file.seek(SeekFrom::Start(self.at))?;
            return Err(error);
        }
        let length = self.frame.len() as u64;
        let place = Place { segment: self.segment.clone(), at: self.at, length };
        #[cfg(test)]
        {
            self.last = Some((self.at, self.at + length, first, records.len() as u64));
        }
        self.at += length;
        self.frame.shrink_to(1 << 20);
        if resume.is_some() {
            self.resume = resume.map(str::to_owned);
        }
        let (life, count) = (self.segment.life.clone(), records.len() as u64);
        Ok(Entry { life, first, count, bytes: length, time_ms, place: Some(place) })
    }

    fn roll(&mut self) -> io::Result<()> {
        let (segment, file, at) =
            create(&self.folder, self.segment.seq + 1, self.segment.life.clone(), self.resume.clone())?;
        self.begun.push(segment.clone());
        (self.segment, self.file, self.at) = (segment, file, at);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn last_frame(&self) -> Option<(u64, u64, u64, u64)> {
        self.last
    }

    /// Files that were begun since this was last asked.
    pub(super) fn begun(&mut self) -> Vec<Arc<Segment>> {
        std::mem::take(&mut self.begun)
    }
}

impl Place {
    /// The records of the range.
    pub(super) fn read(&self) -> io::Result<Vec<Record>> {
        let mut file = File::open(&self.segment.path)?;
        file.seek(SeekFrom::Start(self.at))?;
        let mut frames = Frames::new(BufReader::new(file), self.at, self.at + self.length, self.segment.salt);
        let mut records = Vec::new();
        loop {
            match frames.next() {
                Ok(None) => return Ok(records),
                Ok(Some(payload)) => match Group::read(payload) {
                    Ok(group) => records.extend(group.records),
                    Err(Malformed) => return Err(damaged(&self.segment.path, frames.at(), "a record cannot be read")),
                },
                Err(FrameError::Io(error)) => return Err(error),
                Err(FrameError::Torn) => return Err(damaged(&self.segment.path, frames.at(), "the file was cut")),
                Err(FrameError::Damaged(what)) => return Err(damaged(&self.segment.path, frames.at(), what)),
            }
        }
    }
}

fn damaged(path: &Path, at: u64, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged at byte {at}: {what}", path.display()))
}

fn create(folder: &Path, seq: u64, life: Arc<str>, resume: Option<String>) -> io::Result<(Arc<Segment>, File, u64)> {
    let path = folder.join(file_name(seq));
    let salt = (seq as u32).wrapping_mul(0x9E37_79B9) ^ now_ms() as u32;
    let mut frame = Vec::new();
    let start = frame::begin(&mut frame);
    Head { life: life.to_string(), salt, resume }.write(&mut frame);
    frame::finish(&mut frame, start, 0, 0);
    // Under another name first, so that a file without its head never appears.
    let unfinished = path.with_extension("tmp");
    let made = File::create(&unfinished).and_then(|mut file| {
        file.write_all(&frame)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        Ok(file)
    });
    let file = made.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
    Ok((Arc::new(Segment { path, seq, life, salt }), file, frame.len() as u64))
}

/// Notes what a file of an earlier life holds. A torn end is cut; a file without records is removed.
fn recover(folder: &Path, seq: u64, state: &mut State) -> io::Result<()> {
    let path = folder.join(file_name(seq));
    let file = match File::options().read(true).write(true).open(&path) {
        Ok(file) => file,
        // Removed meanwhile by who had it before, because its records stand.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let bytes = file.metadata()?.len();
    let mut frames = Frames::new(BufReader::new(&file), 0, bytes, 0);
    let head = match frames.next() {
        Ok(Some(payload)) => Head::read(payload).ok(),
        Err(FrameError::Io(error)) => return Err(error),
        _ => None,
    };
    let Some(head) = head else { return set_aside(&path, 0, "it does not begin as a spool's file does") };
    state.resume = head.resume.or(state.resume.take());
    let body = frames.at();
    let segment = Arc::new(Segment { path, seq, life: head.life.into(), salt: head.salt });
    let mut frames = Frames::new(frames.into_input(), body, bytes, head.salt);
    let mut any = false;
    loop {
        let at = frames.at();
        match frames.next() {
            Ok(None) => break,
            Ok(Some(payload)) => {
                let Ok((first, count, time_ms, resume)) = Group::count(payload) else {
                    set_aside(&segment.path, at, "a record cannot be read")?;
                    break;
                };
                let length = (payload.len() + frame::HEADER) as u64;
                any |= count > 0;
                if resume.is_some() {
                    state.resume = resume;
                }
                let (life, place) = (segment.life.clone(), Some(Place { segment: segment.clone(), at, length }));
                state.note(Entry { life, first, count, bytes: length, time_ms, place }, None);
            }
            Err(FrameError::Io(error)) => return Err(error),
            // The process ended while it wrote this; nobody was told that it is safe.
            Err(FrameError::Torn) => {
                file.set_len(at)?;
                break;
            }
            // So does the end of a file look whose last blocks the machine did not write before it stopped.
            Err(FrameError::Damaged(what)) => {
                set_aside(&segment.path, at, what)?;
                file.set_len(at)?;
                break;
            }
        }
    }
    if any {
        state.segments.push_back(segment);
        Ok(())
    } else {
        fs::remove_file(&segment.path)
    }
}

/// Keeps a copy of a file that cannot be read to its end, for people.
fn set_aside(path: &Path, at: u64, what: &str) -> io::Result<()> {
    let kept = path.with_extension("damaged");
    fs::copy(path, &kept)?;
    if at == 0 {
        fs::remove_file(path)?;
    }
    tracing::error!(
        "the spool's file {} is damaged at byte {at}: {what}. What follows in it is not stored; the file is kept as {}",
        path.display(),
        kept.display()
    );
    Ok(())
}

/// Removes a file whose records stand.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, "a file of the spool that is not needed any more cannot be removed: {}", path.display());
    }
}

fn file_name(seq: u64) -> String {
    format!("{seq:010}.spool")
}

fn seq_of(path: &Path) -> Option<u64> {
    let seq = path.file_stem()?.to_str()?.parse().ok()?;
    (path.file_name()? == &*file_name(seq)).then_some(seq)
}
