//! The outbox that triggers write, as a source: for servers whose binlog is off or may not be read.
//!
//! `reading` is the loop, `begin` its start; `decode` makes changes of rows; `keep` looks after the triggers and removes what the
//! log has. The order comes from `mysql::sequence`.

mod begin;
mod decode;
mod keep;
mod reading;
mod spot;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::keep::Keeper;
use self::reading::Reading;
use self::spot::Spot;
use crate::event::{Batch, Place};
use crate::mysql::{Address, Live, Mode, MysqlSettings};
use crate::source::{SourceError, SourceStatus};

/// How many batches wait to be taken, beside the one that is being read.
const BATCHES_WAITING: usize = 1;

/// Reads the outbox of one database.
pub(super) struct Outbox {
    name: Arc<str>,
    address: Address,
    settings: MysqlSettings,
    live: Arc<Live>,
    status: Arc<Mutex<SourceStatus>>,
    running: Option<Running>,
}

/// What goes on since the start; it ends when this is dropped.
struct Running {
    batches: mpsc::Receiver<Result<Batch, SourceError>>,
    keeper: Keeper,
    reading: AbortOnDropHandle<()>,
}

impl Outbox {
    /// A reader for a source of this name. Nothing is connected before [`start`](Self::start).
    pub(super) fn new(name: Arc<str>, address: Address, settings: MysqlSettings, live: Arc<Live>) -> Self {
        Self { name, address, settings, live, status: Arc::default(), running: None }
    }

    /// Begins to read after `place`. The outbox must have been set up.
    pub(super) async fn start(&mut self, place: Option<Place>) -> Result<(), SourceError> {
        // Whoever read before has to let go of the outbox first.
        if let Some(Running { reading, .. }) = self.running.take() {
            reading.abort();
            let _ = reading.await;
        }
        let reading = Reading::begin(
            self.name.clone(),
            &self.address,
            self.settings.clone(),
            self.live.clone(),
            self.status.clone(),
            place,
        )
        .await?;
        self.live.began(Mode::Outbox);
        let (send, batches) = mpsc::channel(BATCHES_WAITING);
        let reading = AbortOnDropHandle::new(tokio::spawn(reading.run(send)));
        let keeper = Keeper::begin(self.address.clone(), self.settings.clone(), self.status.clone());
        self.running = Some(Running { batches, keeper, reading });
        Ok(())
    }

    /// Waits for the next batch. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Batch, SourceError> {
        let over = || SourceError::retry("the outbox is not being read");
        let running = self.running.as_mut().ok_or_else(over)?;
        running.batches.recv().await.unwrap_or_else(|| Err(over()))
    }

    /// What is read up to `place` may be removed.
    pub(super) fn confirm(&self, place: &Place) {
        if let (Some(running), Some(spot)) = (&self.running, Spot::of(place)) {
            running.keeper.confirm(spot.done);
        }
    }

    /// How the reading stands, for people.
    pub(super) fn status(&self) -> SourceStatus {
        self.status.lock().clone()
    }
}
