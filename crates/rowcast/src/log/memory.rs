//! The log without a disk: the same contract, as long as the process lives.
//!
//! The smallest implementation, to read first. For tests, and for programs that want no files.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

use super::recent::{Budget, Recent};
use super::retention::{Newest, Stretch};
use super::{AppendError, EPHEMERAL_MAX, Log, LogStatus, ReadError, Retention, check_continues, now_ms};
use crate::event::{Batch, Event, Message, Place, Position};

/// A [`Log`] in memory. Its limits hold batch by batch; the newest batch always stays.
#[derive(Debug)]
pub struct MemoryLog {
    retention: Retention,
    epoch: u64,
    state: Mutex<State>,
    appends: watch::Sender<u64>,
    ephemeral: broadcast::Sender<Arc<Message>>,
}

#[derive(Debug)]
struct State {
    recent: Recent,
    /// The batches that `recent` holds.
    batches: VecDeque<Stretch>,
    head: u64,
    places: HashMap<Arc<str>, Place>,
}

impl MemoryLog {
    /// An empty log, of an epoch that no other one in this process has.
    pub fn new(retention: Retention) -> Self {
        let state = State { recent: Recent::before(1), batches: VecDeque::new(), head: 0, places: HashMap::new() };
        Self {
            retention,
            epoch: new_epoch(),
            state: Mutex::new(state),
            appends: watch::Sender::new(0),
            ephemeral: broadcast::Sender::new(EPHEMERAL_MAX),
        }
    }

    fn at(&self, offset: u64) -> Position {
        Position::new(self.epoch, offset)
    }

    /// Deletes what the retention no longer keeps. Appending does so, too.
    pub fn maintain(&self) {
        self.state.lock().retain(&self.retention);
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new(Retention::default())
    }
}

fn new_epoch() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = now_ms();
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
    last.map_or(now, |last| now.max(last + 1))
}

impl State {
    fn append(&mut self, batch: Batch, epoch: u64) {
        let bytes = self.recent.bytes();
        let events = batch.changes.len() as u64;
        for change in batch.changes {
            self.head += 1;
            self.recent.push(Arc::new(Event { position: Position::new(epoch, self.head), change }));
        }
        if events > 0 {
            let bytes = (self.recent.bytes() - bytes) as u64;
            self.batches.push_back(Stretch { events, bytes, ended_ms: now_ms() });
        }
        if let Some(origin) = batch.origin {
            self.places.insert(origin.source, origin.place);
        }
    }

    fn retain(&mut self, retention: &Retention) {
        let batches = self.batches.make_contiguous();
        let Some((newest, older)) = batches.split_last() else { return };
        let surplus = retention.surplus(older, Newest { events: newest.events, bytes: newest.bytes }, now_ms());
        for batch in self.batches.drain(..surplus) {
            (0..batch.events).for_each(|_| drop(self.recent.pop()));
        }
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&self, batch: Batch) -> Result<Position, AppendError> {
        let head = {
            let mut state = self.state.lock();
            check_continues(&batch, |source| state.places.get(source).cloned())?;
            state.append(batch, self.epoch);
            state.retain(&self.retention);
            state.head
        };
        self.appends.send_modify(|count| *count += 1);
        Ok(self.at(head))
    }

    fn head(&self) -> Position {
        self.at(self.state.lock().head)
    }

    fn oldest(&self) -> Position {
        self.at(self.state.lock().recent.first() - 1)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.appends.subscribe()
    }

    fn place(&self, source: &str) -> Option<Place> {
        self.state.lock().places.get(source).cloned()
    }

    async fn read(&self, after: Position, max_events: usize, max_bytes: usize) -> Result<Vec<Arc<Event>>, ReadError> {
        let state = self.state.lock();
        ReadError::unless_within(after, self.at(state.recent.first() - 1), self.at(state.head))?;
        Ok(state.recent.read(after.offset.0, Budget::new(max_events, max_bytes)).unwrap_or_default())
    }

    /// There is nothing to wait for: nothing here survives a power failure.
    async fn flush(&self) -> Result<(), AppendError> {
        Ok(())
    }

    fn send_ephemeral(&self, message: Message) {
        // An error says that nobody listens.
        let _ = self.ephemeral.send(Arc::new(message));
    }

    fn ephemeral(&self) -> broadcast::Receiver<Arc<Message>> {
        self.ephemeral.subscribe()
    }

    fn status(&self) -> LogStatus {
        let state = self.state.lock();
        LogStatus {
            head: self.at(state.head).to_string(),
            oldest: self.at(state.recent.first() - 1).to_string(),
            events: state.recent.len() as u64,
            bytes: state.recent.bytes() as u64,
        }
    }
}
