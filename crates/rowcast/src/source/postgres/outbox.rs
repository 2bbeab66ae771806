//! The outbox that triggers write, as a source: for databases whose write-ahead log may not be read.
//!
//! What is read next is decided by snapshots, never by the order of numbers, so that nothing is skipped when transactions commit in
//! another order than they were numbered in. `reading` is the loop; `round` tells what one look has found; `shapes` and `decode` make
//! changes of it; `prune` removes what the log has.

mod begin;
mod between;
mod decode;
mod prune;
mod reading;
mod round;
mod shapes;
mod spot;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::prune::Prune;
use self::reading::Reading;
use self::spot::Spot;
use crate::event::{Batch, Place};
use crate::postgres::{Address, Live, Mode, PostgresSettings};
use crate::source::{SourceError, SourceStatus};

/// How many batches wait to be taken, beside the one that is being read.
const BATCHES_WAITING: usize = 1;

/// Reads the outbox of one database.
pub(super) struct OutboxReader {
    name: Arc<str>,
    address: Address,
    settings: PostgresSettings,
    live: Arc<Live>,
    status: Arc<Mutex<SourceStatus>>,
    running: Option<Running>,
}

/// What goes on since the start; it ends when this is dropped.
struct Running {
    batches: mpsc::Receiver<Result<Batch, SourceError>>,
    prune: Prune,
    _reading: AbortOnDropHandle<()>,
}

impl OutboxReader {
    /// A reader for a source of this name. Nothing is connected before [`start`](Self::start).
    pub(super) fn new(name: Arc<str>, address: Address, settings: PostgresSettings, live: Arc<Live>) -> Self {
        let status = SourceStatus { mode: "outbox triggers".to_owned(), ..SourceStatus::default() };
        Self { name, address, settings, live, status: Arc::new(Mutex::new(status)), running: None }
    }

    /// Begins to read after `place`. The outbox must have been set up.
    pub(super) async fn start(&mut self, place: Option<Place>) -> Result<(), SourceError> {
        // Whoever read before has to let go of the outbox first.
        if let Some(Running { _reading: reading, .. }) = self.running.take() {
            reading.abort();
            let _ = reading.await;
        }
        let reading = Reading::begin(
            self.name.clone(),
            self.address.clone(),
            self.settings.clone(),
            self.live.clone(),
            self.status.clone(),
            place,
        )
        .await?;
        self.live.began(Mode::Outbox);
        let (send, batches) = mpsc::channel(BATCHES_WAITING);
        let reading = AbortOnDropHandle::new(tokio::spawn(reading.run(send)));
        let prune = Prune::begin(self.address.clone(), format!("rowcast-{}", self.settings.instance));
        self.running = Some(Running { batches, prune, _reading: reading });
        Ok(())
    }

    /// Waits for the next batch. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Batch, SourceError> {
        let over = || SourceError::Retry { message: "the outbox is not being read".into(), cause: None };
        let running = self.running.as_mut().ok_or_else(over)?;
        running.batches.recv().await.unwrap_or_else(|| Err(over()))
    }

    /// What is read up to `place` may be removed.
    pub(super) fn confirm(&self, place: &Place) {
        if let (Some(running), Some(spot)) = (&self.running, Spot::of(place)) {
            running.prune.confirm(&spot);
        }
    }

    /// How the reading stands, for people.
    pub(super) fn status(&self) -> SourceStatus {
        self.status.lock().clone()
    }
}
