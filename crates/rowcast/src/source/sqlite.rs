//! SQLite as a source: triggers copy each change into an outbox table of the same database, in the same transaction, and a
//! thread reads it.
//!
//! The triggers run in whatever program writes, so rows of any process are captured. docs/sqlite.md tells users what is
//! installed in their file.

mod begin;
mod decode;
mod install;
mod lock;
mod prune;
mod reader;
mod triggers;
mod wal;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::worker::{Command, Worker};
use super::{Source, SourceError, SourceStatus};
use crate::event::{Batch, Place};
pub use crate::sqlite::SqliteSettings;
use crate::sqlite::bell::Bell;
use crate::sqlite::file::{Failure, Outcome};

/// How many batches wait to be taken, beside the one that the thread has in hand.
const BATCHES_WAITING: usize = 1;

/// A SQLite database file whose committed changes are read.
///
/// All work is done by one thread, which ends when this is dropped.
#[derive(Debug)]
pub struct SqliteSource {
    name: Arc<str>,
    commands: Option<mpsc::Sender<Command>>,
    bell: Arc<Bell>,
    status: Arc<Mutex<SourceStatus>>,
    batches: Option<tokio::sync::mpsc::Receiver<Result<Batch, SourceError>>>,
}

impl SqliteSource {
    /// A source of this name for the database file at `path`, which is opened by the first thing that is asked of it.
    pub fn new(name: &str, path: impl AsRef<Path>, settings: SqliteSettings) -> Self {
        let (name, path): (Arc<str>, PathBuf) = (name.into(), path.as_ref().to_owned());
        let (commands, obeyed) = mpsc::channel();
        let bell = Arc::new(Bell::default());
        let status = Arc::new(Mutex::new(fresh_status()));
        let worker = Worker::new(name.clone(), path, settings, bell.clone(), status.clone());
        let spawned = std::thread::Builder::new().name(format!("sqlite {name}")).spawn(move || worker.run(&obeyed));
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread could be started to read a SQLite database");
        }
        Self { name, commands: Some(commands), bell, status, batches: None }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Outcome<T>>) -> Command) -> Result<T, SourceError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply));
        Ok(answer
            .await
            .unwrap_or_else(|_| Err(Failure::stop("the thread that reads the SQLite database has ended")))?)
    }

    fn send(&self, command: Command) {
        // When the thread has ended, whoever waits for its answer learns it from there.
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
        self.bell.ring();
    }
}

impl Drop for SqliteSource {
    fn drop(&mut self) {
        self.commands = None;
        self.bell.ring();
    }
}

fn fresh_status() -> SourceStatus {
    SourceStatus {
        mode: "outbox triggers".to_owned(),
        guarantee: "every committed change, once, in commit order".to_owned(),
        ..SourceStatus::default()
    }
}

impl From<Failure> for SourceError {
    fn from(Failure { message, retry, cause }: Failure) -> Self {
        if retry { Self::Retry { message, cause } } else { Self::Stop { message, cause } }
    }
}

#[async_trait]
impl Source for SqliteSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn setup(&mut self) -> Result<Vec<String>, SourceError> {
        self.ask(Command::Setup).await
    }

    async fn teardown(&mut self) -> Result<Vec<String>, SourceError> {
        self.batches = None;
        self.ask(Command::Teardown).await
    }

    async fn start(&mut self, place: Option<Place>) -> Result<(), SourceError> {
        let (batches, taken) = tokio::sync::mpsc::channel(BATCHES_WAITING);
        self.batches = None;
        self.ask(|reply| Command::Start { log: place, batches, reply }).await?;
        self.batches = Some(taken);
        Ok(())
    }

    async fn next(&mut self) -> Result<Batch, SourceError> {
        let batches = self.batches.as_mut().ok_or_else(|| Failure::stop("the source was not started"))?;
        let batch = batches.recv().await;
        self.bell.ring();
        batch.unwrap_or_else(|| Err(Failure::stop("the thread that reads the SQLite database has ended").into()))
    }

    async fn confirm(&mut self, place: &Place) -> Result<(), SourceError> {
        self.send(Command::Confirm(place.clone()));
        Ok(())
    }

    fn status(&self) -> SourceStatus {
        self.status.lock().clone()
    }
}
