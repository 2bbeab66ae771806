//! Records between their source and the database: numbered, kept on disk until they stand, forgotten from the front.
//!
//! A source is held back when its spool is full; the oldest records are never given up. Records that come while the database
//! takes them stay in memory on their way through and are not read back from the disk; while it is away, the newest are on the disk
//! alone. Leaves files to `disk`, and bringing the records to the database to `pipe`.
//!
//! Each start of the process begins another *life*, in which records have the numbers from 1 on. What is left of earlier lives
//! comes first. So a number is never given twice, whatever the disk lost.

mod codec;
mod disk;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use super::decode::Record;
use crate::log::local::Durability;
use disk::Writer;
use state::{Entry, State, Whereabouts};

/// While a file cannot be written or read, this long between two attempts.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// How a source's records are kept until the database has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolSettings {
    /// When so many bytes wait, the source is held back.
    pub bytes: u64,
    /// What a record that was taken survives.
    pub durability: Durability,
}

impl Default for SpoolSettings {
    /// 256 MiB, which survive the process.
    fn default() -> Self {
        Self { bytes: 256 << 20, durability: Durability::Process }
    }
}

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the spool {}: {error}", .folder.display())]
pub struct SpoolError {
    /// Its folder.
    pub folder: PathBuf,
    /// What the system said.
    pub error: std::io::Error,
}

/// How a spool stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SpoolStatus {
    /// Records that wait for the database.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many bytes may wait.
    pub bytes_max: u64,
    /// How long the oldest has waited, in milliseconds. `None`: nothing waits.
    pub oldest_ms: Option<u64>,
    /// Whether the source is held back because there is no room.
    pub full: bool,
    /// Why the disk does not take or give records.
    pub problem: Option<String>,
}

/// The records of one source that the database does not have yet.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: SpoolSettings,
    /// Bytes of records that are held in memory, at most.
    memory: u64,
    state: Mutex<State>,
    writer: Option<Arc<tokio::sync::Mutex<Writer>>>,
    /// Something was taken, or it was closed.
    came: Notify,
    /// Something was forgotten, or it was closed.
    room: Notify,
}

/// Records that follow one another.
#[derive(Debug)]
pub(in crate::ingest) struct Part {
    pub(in crate::ingest) life: Arc<str>,
    /// The number of the first. The others have the next ones.
    pub(in crate::ingest) first: u64,
    pub(in crate::ingest) records: Vec<Record>,
}

/// Nobody takes records any more: the source is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) struct Closed;

/// How much of a spool on disk is in memory, too.
const MEMORY_BYTES: u64 = 16 << 20;

impl Spool {
    /// A spool that ends with the process.
    pub fn memory(settings: SpoolSettings) -> Self {
        Self::new(settings, settings.bytes, State::new(new_life()), None)
    }

    /// The spool of a folder, which is made if it is not there. Reads all that is in it.
    pub fn open(folder: &Path, settings: SpoolSettings) -> Result<Self, SpoolError> {
        let mut state = State::new(new_life());
        let writer = Writer::open(folder, settings, &mut state)
            .map_err(|error| SpoolError { folder: folder.to_owned(), error })?;
        let kept = state.records();
        if kept > 0 {
            tracing::info!(folder = %folder.display(), records = kept, "records wait in the spool since before the start");
        }
        let memory = MEMORY_BYTES.min(settings.bytes);
        Ok(Self::new(settings, memory, state, Some(Arc::new(tokio::sync::Mutex::new(writer)))))
    }

    fn new(
        settings: SpoolSettings,
        memory: u64,
        state: State,
        writer: Option<Arc<tokio::sync::Mutex<Writer>>>,
    ) -> Self {
        let (came, room) = (Notify::new(), Notify::new());
        Self(Arc::new(Shared { settings, memory, state: Mutex::new(state), writer, came, room }))
    }

    /// Takes records that came together. Returns when they are as safe as the settings say; waits while there is no room, or
    /// the disk does not take them.
    pub(in crate::ingest) async fn take(&self, records: Vec<Record>, resume: Option<&str>) -> Result<(), Closed> {
        let bytes = codec::weight(&records);
        self.wait_for_room(bytes).await?;
        let Some(writer) = &self.0.writer else {
            self.0.state.lock().push(now_ms(), bytes, resume, Whereabouts::Memory(records));
            self.0.came.notify_waiters();
            return Ok(());
        };
        let (mut records, resume) = (records, resume.map(str::to_owned));
        loop {
            let (mut writer, shared, resume) = (writer.clone().lock_owned().await, self.0.clone(), resume.clone());
            // Writing and noting are one step, which goes on when nobody waits for it any more.
            let written =
                tokio::task::spawn_blocking(move || match shared.append(&mut writer, &records, resume.as_deref()) {
                    Ok(entry) => {
                        shared.noted(entry, records, resume);
                        Ok(())
                    }
                    Err(error) => Err((error, records)),
                });
            match written.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err((error, back))) => {
                    records = back;
                    self.problem(format!("the spool cannot be written: {error}"));
                }
                Err(_) => return Err(Closed),
            }
            tokio::time::sleep(DISK_PAUSE).await;
            if self.0.state.lock().closed {
                return Err(Closed);
            }
        }
    }

    async fn wait_for_room(&self, bytes: u64) -> Result<(), Closed> {
        loop {
            let room = self.0.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            {
                let mut state = self.0.state.lock();
                if state.closed {
                    return Err(Closed);
                }
                let full = !state.is_empty() && state.bytes + bytes > self.0.settings.bytes;
                if full && !state.full {
                    tracing::warn!(bytes = state.bytes, "the spool is full, and its source is held back");
                }
                state.full = full;
                if !full {
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// The place behind the last records that were taken, also before a restart.
    pub(in crate::ingest) fn resume(&self) -> Option<String> {
        self.0.state.lock().resume.clone()
    }

    /// The next records that were not fetched yet, waiting for them; `None` after the last one of a closed spool.
    ///
    /// What is fetched is kept until it is forgotten, but not given out again by this process. Not to be dropped before it is done.
    pub(in crate::ingest) async fn fetch(&self) -> Option<Part> {
        loop {
            let came = self.0.came.notified();
            tokio::pin!(came);
            came.as_mut().enable();
            let found = {
                let mut state = self.0.state.lock();
                match state.next_unread() {
                    None if state.closed => return None,
                    found => found,
                }
            };
            match found {
                None => came.await,
                Some((life, first, Whereabouts::Memory(records))) => return Some(Part { life, first, records }),
                Some((life, first, Whereabouts::Disk(place))) => {
                    let records = self.read(place).await;
                    return Some(Part { life, first, records });
                }
                // Nothing was in it.
                Some((_, _, Whereabouts::Fetched)) => {}
            }
        }
    }

    async fn read(&self, place: disk::Place) -> Vec<Record> {
        loop {
            let place = place.clone();
            let read = tokio::task::spawn_blocking(move || place.read()).await;
            match read {
                Ok(Ok(records)) => return records,
                Ok(Err(error)) => self.problem(format!("the spool cannot be read: {error}")),
                Err(error) => self.problem(format!("the spool cannot be read: {error}")),
            }
            tokio::time::sleep(DISK_PAUSE).await;
        }
    }

    /// Forgets the records of a life up to a number, and everything before that life. Returns whether the life is known.
    pub(in crate::ingest) fn forget(&self, life: &str, upto: u64) -> bool {
        let (known, files) = {
            let mut state = self.0.state.lock();
            let known = state.forget(life, upto);
            (known, state.finished_files())
        };
        if !files.is_empty() {
            let remove = move || files.iter().for_each(|file| disk::remove(file));
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(remove)),
                Err(_) => remove(),
            }
        }
        self.0.room.notify_waiters();
        known
    }

    /// Takes nothing any more. What is in it can still be fetched.
    pub(in crate::ingest) fn close(&self) {
        self.0.state.lock().closed = true;
        self.0.room.notify_waiters();
        self.0.came.notify_waiters();
    }

    /// Whether what is not fetched when the process ends will be fetched by the next one.
    pub(in crate::ingest) fn outlives_process(&self) -> bool {
        self.0.writer.is_some()
    }

    /// How it stands.
    pub fn status(&self) -> SpoolStatus {
        let state = self.0.state.lock();
        SpoolStatus {
            records: state.records(),
            bytes: state.bytes,
            bytes_max: self.0.settings.bytes,
            oldest_ms: state.oldest().map(|time| now_ms().saturating_sub(time)),
            full: state.full,
            problem: state.problem.clone(),
        }
    }

    fn problem(&self, problem: String) {
        let mut state = self.0.state.lock();
        if state.problem.as_ref() != Some(&problem) {
            tracing::error!("{problem}");
        }
        state.problem = Some(problem);
    }
}

impl Shared {
    fn append(&self, writer: &mut Writer, records: &[Record], resume: Option<&str>) -> std::io::Result<Entry> {
        let first = self.state.lock().next_number();
        let entry = writer.append(first, now_ms(), records, resume)?;
        self.state.lock().segments.extend(writer.begun());
        Ok(entry)
    }

    fn noted(&self, entry: Entry, records: Vec<Record>, resume: Option<String>) {
        let mut state = self.state.lock();
        state.problem = None;
        if resume.is_some() {
            state.resume = resume;
        }
        let memory = (state.memory + entry.bytes <= self.memory).then_some(records);
        state.note(entry, memory);
        drop(state);
        self.came.notify_waiters();
    }
}

fn new_life() -> Arc<str> {
    uuid::Uuid::new_v4().simple().to_string().into()
}

pub(in crate::ingest) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
