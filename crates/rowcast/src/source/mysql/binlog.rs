//! The binlog as a source: row events, read as a replica does.
//!
//! Joins the parts: `begin` makes the stream run, `stream` counts its places, `reading` makes transactions of its events,
//! `tables` and `map` say what their bytes are, `rows`, `value` and `json` read them, `batch` cuts them.

mod batch;
mod begin;
mod bytes;
mod charset;
mod held;
mod history;
mod json;
mod map;
mod reading;
mod rows;
mod shared;
mod spot;
mod statement;
mod stream;
mod tables;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, channel};
use tokio_util::task::AbortOnDropHandle;

use self::begin::{Begin, NotBegun};
use self::reading::{Over, Reading};
use self::shared::Shared;
use crate::event::{Batch, Place};
use crate::mysql::{Address, Live, Mode, MysqlSettings};
use crate::source::{SourceError, SourceStatus};

/// Batches that wait to be taken.
const WAITING_MAX: usize = 1;

/// Reads the binlog of one server.
pub(super) struct Binlog {
    name: Arc<str>,
    address: Address,
    settings: MysqlSettings,
    live: Arc<Live>,
    shared: Arc<Shared>,
    running: Option<Running>,
    /// Why the next start cannot go on from where the log stands.
    missed: Option<String>,
    /// How often our number was another replica's, or that of a connection that is dead: MariaDB lets nobody else have that until it has
    /// noticed.
    attempt: u32,
}

struct Running {
    batches: Receiver<Batch>,
    task: AbortOnDropHandle<Over>,
}

impl Binlog {
    /// A source of this name that has not begun.
    pub(super) fn new(name: Arc<str>, address: Address, settings: MysqlSettings, live: Arc<Live>) -> Self {
        let shared = Arc::new(Shared::default());
        Self { name, address, settings, live, shared, running: None, missed: None, attempt: 0 }
    }

    /// Begins to read after `place`.
    pub(super) async fn start(&mut self, place: Option<Place>) -> Result<(), SourceError> {
        self.running = None;
        let begin = Begin {
            name: self.name.clone(),
            address: self.address.clone(),
            settings: self.settings.clone(),
            shared: self.shared.clone(),
            place,
            missed: self.missed.clone(),
            attempt: self.attempt,
        };
        let begun = Box::pin(begin.clone().run()).await.map_err(|NotBegun { error, silent }| {
            self.attempt += u32::from(silent);
            error
        })?;
        self.missed = None;
        self.shared.tell(|status| status.problem = None);
        let (sender, batches) = channel(WAITING_MAX);
        let (reading, missed) = Reading::new(begin, begun, self.live.clone(), sender);
        let task = AbortOnDropHandle::new(tokio::spawn(reading.run(missed)));
        self.running = Some(Running { batches, task });
        self.live.began(Mode::Binlog);
        Ok(())
    }

    /// The next batch. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Batch, SourceError> {
        let Some(running) = &mut self.running else {
            return Err(SourceError::retry("the source was not started, or has ended"));
        };
        if let Some(batch) = running.batches.recv().await {
            return Ok(batch);
        }
        let over = (&mut running.task).await;
        self.running = None;
        Err(match over {
            Ok(Over::Failed(error)) => error,
            Ok(Over::Unwanted) => SourceError::retry("the source has ended"),
            Ok(Over::Missed(reason)) => {
                self.missed = Some(reason.clone());
                SourceError::retry(reason)
            }
            Ok(Over::Taken(error)) => {
                self.attempt += 1;
                error
            }
            Err(error) => match error.try_into_panic() {
                Ok(_) => SourceError::retry("the server sent something that the driver cannot understand"),
                Err(_) => SourceError::retry("the runtime is shutting down"),
            },
        })
    }

    /// How it stands.
    pub(super) fn status(&self) -> SourceStatus {
        self.shared.status()
    }
}
