//! The embedded log: segment files in one directory, owned by one process.
//!
//! Why files of our own and not an embedded database: `docs/adr/0001-log-engine.md`.
//!
//! Here the parts are joined: `writer` puts batches into files, `view` is what readers see of them, `recover` opens what an
//! earlier run left. The writer's lock is taken before the view's; the view's is held for memory only, never for a disk.

mod codec;
mod error;
pub(crate) mod frame;
mod meta;
mod record;
mod recover;
mod scan;
mod segment;
mod tables;
mod view;
mod writer;

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, broadcast, watch};

use self::meta::{Closed, Meta};
use self::segment::Segment;
use self::tables::Tables;
use self::view::{Plan, View};
use self::writer::Writer;
use super::recent::{Budget, weight};
use super::retention::Newest;
use super::{AppendError, EPHEMERAL_MAX, Log, LogStatus, ReadError, check_continues, now_ms};
use crate::event::{Batch, Event, Message, Place, Position};

pub use self::error::OpenError;
pub use self::segment::Damage;
pub use super::Retention;

/// A batch of more bytes is written on a thread where blocking does no harm.
const INLINE_BYTES: usize = 1 << 20;

/// So many reads of the disk go on at once; more wait.
const DISK_READS: usize = 16;

/// What an appended batch survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The end of the process at any moment, `kill -9` too. When the machine stops (power, kernel), the log begins a new
    /// epoch: clients get a gap and load fresh snapshots.
    #[default]
    Process,
    /// The stop of the machine, too: readers see a batch when it is on the disk. Costs one `fdatasync` for each batch.
    Machine,
}

/// How a [`LocalLog`] keeps its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// What an appended batch survives.
    pub durability: Durability,
    /// A file of the log is followed by the next one at this size, or earlier where `retain` is small.
    pub segment_bytes: u64,
    /// How much is kept.
    pub retain: Retention,
    /// How much memory the newest events take at most. Readers that are nearer to the head than this never touch the disk.
    pub window_bytes: usize,
}

impl Default for LogSettings {
    /// Survives the process; 64 MiB in a file; 24 hours, at most 1 GiB on disk and 64 MiB in memory.
    fn default() -> Self {
        Self {
            durability: Durability::Process,
            segment_bytes: 64 << 20,
            retain: Retention::default(),
            window_bytes: 64 << 20,
        }
    }
}

/// The log on a local disk. Dropping it closes it, which waits for the disk.
///
/// A batch that takes more than 1 GiB on disk is refused. So is flushing, until the log is opened anew, once the disk has lost
/// something: what it lost would be reported as safe otherwise.
#[derive(Debug)]
pub struct LocalLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    settings: LogSettings,
    meta: Meta,
    writer: Mutex<Writer>,
    view: RwLock<View>,
    tables: Tables,
    /// Files that left the log and could not be deleted yet, oldest first.
    doomed: Mutex<VecDeque<PathBuf>>,
    appends: watch::Sender<u64>,
    ephemeral: broadcast::Sender<Arc<Message>>,
    disk_reads: Arc<Semaphore>,
    /// Locked as long as this is open.
    _lock: File,
}

impl LocalLog {
    /// Opens the log in `dir`, which is made if it is not there. Blocks: reads the newest file to its end.
    pub fn open(dir: impl AsRef<Path>, settings: LogSettings) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        recover::make_dir(dir).map_err(|error| OpenError::io(dir, error))?;
        let lock = lock(dir)?;
        let tables = Tables::default();
        let found = recover::recover(dir, settings.durability, &tables)?;
        let meta = found.meta.clone();
        let view = View::new(meta.epoch, found.segments.clone(), found.next, found.places.clone());
        let shared = Shared {
            dir: dir.to_owned(),
            writer: Mutex::new(Writer::new(dir.to_owned(), &settings, found)),
            settings,
            meta,
            view: RwLock::new(view),
            tables,
            doomed: Mutex::default(),
            appends: watch::Sender::new(0),
            ephemeral: broadcast::Sender::new(EPHEMERAL_MAX),
            disk_reads: Arc::new(Semaphore::new(DISK_READS)),
            _lock: lock,
        };
        shared.maintain().map_err(|error| OpenError::io(dir, error))?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Deletes what the retention no longer keeps. Appending does so, too; this is for a log to which nothing is appended, to
    /// be called now and then. Blocks for as long as deleting files takes.
    pub fn maintain(&self) -> io::Result<()> {
        self.shared.maintain()
    }

    /// Appends at once where that takes no longer than one short write; gives the batch back otherwise.
    fn append_inline(&self, batch: Batch) -> Result<Result<Position, AppendError>, Batch> {
        let shared = &self.shared;
        let is_short = || batch.changes.iter().map(weight).sum::<usize>() <= INLINE_BYTES;
        if shared.settings.durability == Durability::Machine || !is_short() {
            return Err(batch);
        }
        match shared.writer.try_lock() {
            Some(mut writer) if !writer.is_full() => Ok(shared.append(&mut writer, batch)),
            _ => Err(batch),
        }
    }
}

/// Takes the directory for this process.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| OpenError::io(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io(&path, error)),
    }
}

impl Shared {
    /// Writes the batch and shows it to readers.
    fn append(&self, writer: &mut Writer, mut batch: Batch) -> Result<Position, AppendError> {
        check_continues(&batch, |source| self.view.read().place(source))?;
        if !batch.changes.is_empty() || batch.origin.is_some() {
            if writer.is_full() {
                self.roll(writer)?;
            }
            self.tables.share_all(&mut batch.changes);
            writer.write(&batch)?;
        }
        Ok(self.publish(batch))
    }

    fn publish(&self, batch: Batch) -> Position {
        let mut position = self.view.read().head();
        let number = |change| {
            position = position.next();
            Arc::new(Event { position, change })
        };
        let events = batch.changes.into_iter().map(number).collect();
        let surplus = self.view.write().publish(events, batch.origin, self.settings.window_bytes);
        self.appends.send_modify(|count| *count += 1);
        // After readers may go on: freeing many events takes a while.
        drop(surplus);
        position
    }

    fn roll(&self, writer: &mut Writer) -> io::Result<()> {
        let places = self.view.read().places().clone();
        let rolled = writer.roll(self.meta.epoch, &places)?;
        self.view.write().roll(rolled.segment, rolled.replaces);
        if let Err(error) = self.retain(writer) {
            tracing::warn!("old events cannot be deleted from the log: {error}");
        }
        Ok(())
    }

    fn maintain(&self) -> io::Result<()> {
        let mut writer = self.writer.lock();
        let rolled = if writer.is_full() { self.roll(&mut writer) } else { Ok(()) };
        self.retain(&writer)?;
        self.tables.forget_unused();
        rolled
    }

    /// Deletes the oldest segments that the retention does not keep.
    fn retain(&self, writer: &Writer) -> io::Result<()> {
        // The newest segment counts as full, so that it can become so.
        let bytes = writer.segment.bytes().max(writer.rule().bytes);
        let newest = Newest { events: writer.events(), bytes };
        let surplus = self.settings.retain.surplus(&self.view.read().stretches(), newest, now_ms());
        let (segments, events) = self.view.write().forget(surplus);
        drop(events);
        let mut doomed = self.doomed.lock();
        doomed.extend(segments.iter().map(|segment| segment.path.clone()));
        // Oldest first, and none before the one that fails: what is left has no hole.
        while let Some(path) = doomed.front() {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => drop(doomed.pop_front()),
            }
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let Some(unsynced) = self.writer.lock().unsynced()? else { return Ok(()) };
        // Others append meanwhile.
        let result = unsynced.sync();
        self.writer.lock().note_synced(&unsynced, result)
    }

    fn close(&self) -> io::Result<()> {
        self.flush()?;
        let segment = Arc::clone(&self.writer.lock().segment);
        let closed = Closed { segment: segment.seq, bytes: segment.bytes() };
        Meta { closed: Some(closed), ..self.meta.clone() }.write(&self.dir)
    }

    fn read_disk(
        &self,
        segment: &Segment,
        wanted: segment::Wanted,
        after: Position,
    ) -> Result<Vec<Arc<Event>>, ReadError> {
        segment.read(wanted, &self.tables).or_else(|error| {
            // The segment may have been deleted since it was looked up.
            self.view.read().check(after)?;
            Err(ReadError::Io(error))
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(
                "the log in {} could not be closed and is recovered when it is opened: {error}",
                self.dir.display()
            );
        }
    }
}

/// Runs `work` where blocking does no harm.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => io::Error::other("the runtime is shutting down"),
    })
}

#[async_trait]
impl Log for LocalLog {
    async fn append(&self, batch: Batch) -> Result<Position, AppendError> {
        match self.append_inline(batch) {
            Ok(result) => result,
            Err(batch) => {
                let shared = Arc::clone(&self.shared);
                blocking(move || shared.append(&mut shared.writer.lock(), batch)).await?
            }
        }
    }

    fn head(&self) -> Position {
        self.shared.view.read().head()
    }

    fn oldest(&self) -> Position {
        self.shared.view.read().oldest()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.shared.appends.subscribe()
    }

    fn place(&self, source: &str) -> Option<Place> {
        self.shared.view.read().place(source)
    }

    async fn read(&self, after: Position, max_events: usize, max_bytes: usize) -> Result<Vec<Arc<Event>>, ReadError> {
        let plan = self.shared.view.read().plan(after, Budget::new(max_events, max_bytes))?;
        let (segment, wanted) = match plan {
            Plan::Memory(events) => return Ok(events),
            Plan::Disk(segment, wanted) => (segment, wanted),
        };
        let permit = Arc::clone(&self.shared.disk_reads).acquire_owned().await.expect("the semaphore is never closed");
        let shared = Arc::clone(&self.shared);
        let read = move || {
            let _permit = permit;
            shared.read_disk(&segment, wanted, after)
        };
        blocking(read).await?
    }

    async fn flush(&self) -> Result<(), AppendError> {
        let shared = Arc::clone(&self.shared);
        Ok(blocking(move || shared.flush()).await??)
    }

    fn send_ephemeral(&self, message: Message) {
        // An error says that nobody listens.
        let _ = self.shared.ephemeral.send(Arc::new(message));
    }

    fn ephemeral(&self) -> broadcast::Receiver<Arc<Message>> {
        self.shared.ephemeral.subscribe()
    }

    fn status(&self) -> LogStatus {
        self.shared.view.read().status()
    }
}
