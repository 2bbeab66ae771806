//! The write-ahead log as a source: logical replication, read through a slot.
//!
//! Joins the parts: `begin` makes the stream run, `transaction` puts its messages in order, `reading` makes changes of them,
//! `batch` cuts them, `watch` looks at what the stream does not tell. docs/postgres.md tells users what is promised.

mod batch;
mod begin;
mod message;
mod reading;
mod shared;
mod tables;
mod watch;

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use self::begin::Begin;
pub(super) use self::begin::let_go;
use self::reading::Reading;
pub(super) use self::shared::Shared;
use crate::event::{Batch, Place};
use crate::postgres::{Address, Live, Mode, PostgresSettings, Types, WalPlace};
use crate::source::SourceError;

/// Reads the write-ahead log of one database.
pub(super) struct Wal {
    name: Arc<str>,
    address: Address,
    settings: PostgresSettings,
    live: Arc<Live>,
    types: Arc<Types>,
    shared: Arc<Shared>,
    state: State,
    /// Why the slot has to be made anew at the next start.
    given_up: Option<String>,
    /// Where the stream could not be read on, and how often.
    stuck: Option<(WalPlace, u32)>,
}

/// So often a stream is tried that fails at one and the same place, for a reason that does not pass by itself.
const TRIES: u32 = 3;

enum State {
    /// Not started, or ended by an error.
    Over,
    /// On the way to a stream, for a log that stands at the place.
    Beginning(AbortOnDropHandle<Result<begin::Begun, SourceError>>, Option<Place>),
    Reading(Box<Reading>),
}

impl Wal {
    /// A source of this name that has not begun.
    pub(super) fn new(
        name: Arc<str>,
        address: Address,
        settings: PostgresSettings,
        live: Arc<Live>,
        shared: Arc<Shared>,
    ) -> Self {
        let types = Arc::new(Types::new());
        Self { name, address, settings, live, types, shared, state: State::Over, given_up: None, stuck: None }
    }

    /// Begins to read after `place`. Returns when it reads, or when it is known what it waits for.
    pub(super) async fn start(&mut self, place: Option<Place>) -> Result<(), SourceError> {
        self.state = State::Over;
        let begin = self.begin(place.clone());
        let task: JoinHandle<_> = tokio::spawn(begin.run());
        let mut task = AbortOnDropHandle::new(task);
        tokio::select! {
            begun = &mut task => self.read(ended(begun)?, place),
            () = self.shared.waiting() => {
                self.state = State::Beginning(task, place);
                Ok(())
            }
        }
    }

    fn begin(&self, place: Option<Place>) -> Begin {
        Begin {
            address: self.address.clone(),
            settings: self.settings.clone(),
            types: self.types.clone(),
            shared: self.shared.clone(),
            place,
            given_up: self.given_up.clone(),
        }
    }

    fn read(&mut self, begun: begin::Begun, place: Option<Place>) -> Result<(), SourceError> {
        self.given_up = None;
        let begin = self.begin(None);
        let reading = Reading::new(self.name.clone(), begin, begun, place, self.live.clone());
        self.state = State::Reading(Box::new(reading));
        self.live.began(Mode::Wal);
        Ok(())
    }

    /// The next batch. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Batch, SourceError> {
        loop {
            match &mut self.state {
                State::Over => return Err(SourceError::retry("the source was not started, or has ended")),
                State::Beginning(task, _) => {
                    let begun = ended(task.await);
                    let State::Beginning(_, place) = std::mem::replace(&mut self.state, State::Over) else { continue };
                    self.read(begun?, place)?;
                }
                State::Reading(reading) => {
                    let read = reading.next().await;
                    match read {
                        Ok(reading::Next::Batch(batch)) => return Ok(batch),
                        Ok(reading::Next::GivenUp(reason)) => {
                            self.state = State::Over;
                            self.given_up = Some(reason.clone());
                            return Err(SourceError::retry(reason));
                        }
                        Err(error) => {
                            let at = reading.at();
                            self.state = State::Over;
                            self.note_failure(at, &error);
                            return Err(error);
                        }
                    }
                }
            }
        }
    }

    /// A stream that nobody can read is given up in the end: better to begin anew than to stand still.
    fn note_failure(&mut self, at: WalPlace, error: &SourceError) {
        let SourceError::Stop { message, .. } = error else { return };
        let before = self.stuck.filter(|(place, _)| *place == at).map_or(0, |(_, tries)| tries);
        self.stuck = Some((at, before + 1));
        if before + 1 >= TRIES {
            self.stuck = None;
            self.given_up = Some(format!("the stream of changes could not be read on: {message}"));
        }
    }

    /// Tells the server that everything up to `place` is safe.
    pub(super) fn confirm(&mut self, place: &Place) {
        if let (State::Reading(reading), Some(place)) = (&self.state, WalPlace::of(place)) {
            reading.confirm(place);
        }
    }
}

fn ended(
    joined: Result<Result<begin::Begun, SourceError>, tokio::task::JoinError>,
) -> Result<begin::Begun, SourceError> {
    joined.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(SourceError::retry("the runtime is shutting down")),
    })
}
