//! PostgreSQL's NOTIFY as a source of messages: one connection for any number of channels.
//!
//! NOTIFY keeps nothing: what is sent while nobody listens is lost. So each time that hearing begins, the log says so for the
//! channel, and whoever followed it before is told `gap`. docs/postgres.md tells users what that means.

mod ears;
mod glob;
mod line;
mod listening;
mod probe;
mod voice;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use self::listening::{Heard, Listener};
use self::voice::Voice;
use super::{Source, SourceError, SourceStatus};
use crate::event::{Batch, Origin, Place};
use crate::postgres::{Address, NotifySettings};
pub use ears::{Ears, NotHeard};
pub use voice::NotSaid;

/// How many batches wait to be taken, beside the one that is being gathered.
const BATCHES_WAITING: usize = 1;

/// The NOTIFY channels of one PostgreSQL database.
///
/// Nothing is made in the database. Channels are those of the settings, and those that somebody [`want`](Ears::want)s.
#[derive(Debug)]
pub struct NotifySource {
    name: Arc<str>,
    address: Address,
    probe_every: Duration,
    dead_after: Duration,
    ears: Arc<Ears>,
    status: Arc<Mutex<SourceStatus>>,
    place: Option<Place>,
    /// The empty batch that carries the first place.
    first: bool,
    listening: Option<Listening>,
    /// What the last batch told, which the log has as soon as another is asked for.
    handed: Option<Heard>,
}

#[derive(Debug)]
struct Listening {
    heard: mpsc::Receiver<Heard>,
    task: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NotifySource {
    /// A source of this name for the database at `address`. A connection on which nothing is heard for `dead_after`, not
    /// even what Rowcast itself has sent, is made again.
    pub fn new(name: &str, address: Address, settings: NotifySettings, dead_after: Duration) -> (Self, Arc<Ears>) {
        let ears = Arc::new(Ears::new(&settings, Voice::new(address.clone())));
        let status = SourceStatus {
            mode: "LISTEN".to_owned(),
            guarantee: "every notification once while there is a connection; where some may be missing, a gap is told"
                .to_owned(),
            ..SourceStatus::default()
        };
        let source = Self {
            name: name.into(),
            address,
            probe_every: settings.probe_every,
            dead_after,
            ears: ears.clone(),
            status: Arc::new(Mutex::new(status)),
            place: None,
            first: false,
            listening: None,
            handed: None,
        };
        (source, ears)
    }

    /// A batch that goes on where the one before ended.
    fn batch(&mut self, changes: Vec<crate::event::Change>) -> Batch {
        let after = self.place.take();
        let place = Place(format!("notify:{}", counter(after.as_ref()) + 1).into());
        self.place = Some(place.clone());
        self.status.lock().place = Some(place.0.to_string());
        Batch { origin: Some(Origin { source: self.name.clone(), after, place }), changes }
    }
}

/// How many batches there were up to a place.
fn counter(place: Option<&Place>) -> u64 {
    place.and_then(|place| place.0.strip_prefix("notify:")?.parse().ok()).unwrap_or(0)
}

#[async_trait]
impl Source for NotifySource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn setup(&mut self) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    async fn teardown(&mut self) -> Result<Vec<String>, SourceError> {
        self.listening = None;
        Ok(Vec::new())
    }

    /// Begins to listen as soon as a channel is wanted. Where there is one, returns when it is known whether that works; if
    /// not, it is tried again and again.
    async fn start(&mut self, place: Option<Place>) -> Result<(), SourceError> {
        self.listening = None;
        self.handed = None;
        self.first = place.is_none();
        self.place = place;
        let (send, heard) = mpsc::channel(BATCHES_WAITING);
        let mut hearing = self.ears.begin();
        let listener = Listener {
            address: self.address.clone(),
            ears: self.ears.clone(),
            status: self.status.clone(),
            probe_every: self.probe_every,
            dead_after: self.dead_after,
            heard: send,
        };
        let task = tokio::spawn(listener.run()).abort_handle();
        self.listening = Some(Listening { heard, task });
        // Never fails: the ears have the sender.
        let _ = hearing.wait_for(|hearing| hearing.tried || hearing.wanted.is_empty()).await;
        Ok(())
    }

    async fn next(&mut self) -> Result<Batch, SourceError> {
        if let Some(Heard { connection, begun, .. }) = self.handed.take() {
            self.ears.appended(connection, &begun);
        }
        if std::mem::take(&mut self.first) {
            return Ok(self.batch(Vec::new()));
        }
        let Some(listening) = &mut self.listening else {
            return Err(SourceError::Stop { message: "the NOTIFY source was not started".into(), cause: None });
        };
        let Some(mut heard) = listening.heard.recv().await else {
            let message = "the task that listens to NOTIFY has ended; it is started again".to_owned();
            return Err(SourceError::Retry { message, cause: None });
        };
        let changes = std::mem::take(&mut heard.changes);
        self.handed = Some(heard);
        Ok(self.batch(changes))
    }

    async fn confirm(&mut self, _place: &Place) -> Result<(), SourceError> {
        Ok(())
    }

    fn status(&self) -> SourceStatus {
        SourceStatus { tables: self.ears.heard(), ..self.status.lock().clone() }
    }
}
