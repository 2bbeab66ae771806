//! From a source into the log, batch by batch, and back: what the log has safely, the database may forget.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::FLUSH_EVERY;
use super::status::Board;
use crate::event::{Batch, Place};
use crate::log::{AppendError, Log};
use crate::source::{Source, SourceError};

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(10);

pub(super) struct Pump {
    source: Box<dyn Source>,
    log: Arc<dyn Log>,
    board: Arc<Board>,
    confirmed: Option<Place>,
}

/// What ends reading for a while, or for good.
enum Trouble {
    /// Start again from the log's place.
    Again(String),
    /// A person has to do something.
    Stop(String),
}

impl Pump {
    pub(super) fn new(source: Box<dyn Source>, log: Arc<dyn Log>, board: Arc<Board>) -> Self {
        Self { source, log, board, confirmed: None }
    }

    /// Begins where the log has the source.
    pub(super) async fn start(&mut self) -> Result<(), SourceError> {
        let place = self.log.place(self.source.name());
        self.source.start(place).await?;
        self.board.set_source(self.source.status());
        Ok(())
    }

    /// Goes on until told to stop, with ever longer pauses while the source fails.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pause = Duration::from_millis(50);
        loop {
            let began = Instant::now();
            let ended = stop.run_until_cancelled(self.pump()).await;
            let trouble = match ended {
                None => break,
                Some(trouble) => trouble,
            };
            if began.elapsed() > PAUSE_MAX {
                pause = Duration::from_millis(50);
            }
            let (message, wait) = match trouble {
                Trouble::Again(message) => (message, pause),
                Trouble::Stop(message) => (message, PAUSE_MAX),
            };
            tracing::error!(source = self.source.name(), retry_ms = wait.as_millis() as u64, "{message}");
            self.board.trouble(message);
            pause = (pause * 2).min(PAUSE_MAX);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
            if let Err(error) = self.start().await {
                self.board.trouble(error.to_string());
            }
        }
        self.confirm().await;
    }

    async fn pump(&mut self) -> Trouble {
        let mut flush = interval(FLUSH_EVERY);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = self.source.next() => {
                    let appended = match batch {
                        Ok(batch) => self.append(batch).await,
                        Err(error) => Err(trouble(error)),
                    };
                    if let Err(trouble) = appended {
                        return trouble;
                    }
                }
                _ = flush.tick() => self.confirm().await,
            }
        }
    }

    async fn append(&mut self, batch: Batch) -> Result<(), Trouble> {
        let count = batch.changes.len() as u64;
        let began = Instant::now();
        match self.log.append(batch).await {
            Ok(_) => {
                metrics::histogram!("rowcast_stage_seconds", "stage" => "append").record(began.elapsed());
                metrics::counter!("rowcast_source_changes_total", "source" => self.source.name().to_owned())
                    .increment(count);
                self.board.read(self.source.status());
                Ok(())
            }
            Err(error @ AppendError::Moved { .. }) => Err(Trouble::Again(error.to_string())),
            Err(error @ AppendError::Io(_)) => Err(Trouble::Again(error.to_string())),
        }
    }

    /// Makes the log safe on disk, and lets the database forget what is in it.
    async fn confirm(&mut self) {
        self.board.set_source(self.source.status());
        let place = self.log.place(self.source.name());
        let Some(place) = place.filter(|place| self.confirmed.as_ref() != Some(place)) else { return };
        if let Err(error) = self.log.flush().await {
            tracing::error!(%error, "the log could not be made safe on disk; the database keeps its changes meanwhile");
            return self.board.trouble(error.to_string());
        }
        match self.source.confirm(&place).await {
            Ok(()) => self.confirmed = Some(place),
            Err(error) => tracing::warn!(source = self.source.name(), %error, "what is safe could not be confirmed"),
        }
    }
}

fn trouble(error: SourceError) -> Trouble {
    match error {
        SourceError::Retry { message, .. } => Trouble::Again(message),
        SourceError::Stop { message, .. } => Trouble::Stop(message),
    }
}
