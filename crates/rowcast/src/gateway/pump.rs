//! From a source into the log, batch by batch, and back: what the log has safely, the database may forget.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::FLUSH_EVERY;
use super::board::{Reading, Trouble};
use crate::event::{Batch, Place, TableName};
use crate::log::Log;
use crate::source::{Source, SourceError};
use crate::store::{ColumnSpec, Store, StoreError, TableSpec};

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The first pause.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Tables to be made before their changes are captured.
pub(super) struct Tables {
    pub(super) store: Arc<dyn Store>,
    pub(super) specs: Vec<TableSpec>,
    /// What is added to tables then.
    pub(super) columns: Vec<(TableName, Vec<ColumnSpec>)>,
}

pub(super) struct Pump {
    source: Box<dyn Source>,
    /// Until they are made.
    tables: Option<Tables>,
    log: Arc<dyn Log>,
    reading: Arc<Reading>,
    is_set_up: bool,
    is_started: bool,
    confirmed: Option<Place>,
}

/// What ends reading for a while.
struct Ended {
    trouble: Trouble,
    /// A person has to do something before it can go on.
    for_good: bool,
}

impl Pump {
    pub(super) fn new(
        source: Box<dyn Source>,
        tables: Option<Tables>,
        log: Arc<dyn Log>,
        reading: Arc<Reading>,
    ) -> Self {
        Self { source, tables, log, reading, is_set_up: false, is_started: false, confirmed: None }
    }

    /// Sets capture up, where that was not done yet, and begins where the log has the source.
    pub(super) async fn start(&mut self) -> Result<(), SourceError> {
        if let Some(tables) = &self.tables {
            tables.make().await?;
            self.tables = None;
        }
        if !self.is_set_up {
            self.source.setup().await?;
            self.is_set_up = true;
        }
        self.source.start(self.log.place(self.source.name())).await?;
        self.is_started = true;
        let status = self.source.status();
        tracing::info!(source = self.source.name(), mode = status.mode, "capture has begun: {}", status.guarantee);
        self.reading.began(status);
        Ok(())
    }

    /// Writes down why the source has not started, for `run` to try again.
    pub(super) fn postpone(&self, error: SourceError) {
        let (source, message) = (self.source.name(), error.to_string());
        tracing::error!(source, "{message}; trying again until it works");
        self.reading.trouble(Trouble::Source(message));
    }

    /// Goes on until told to stop, with ever longer pauses while the source fails.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pause = PAUSE_MIN;
        loop {
            let began = Instant::now();
            let Some(Ended { trouble, for_good }) = stop.run_until_cancelled(self.pump()).await else { break };
            self.is_started = false;
            if began.elapsed() > PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            let wait = if for_good { PAUSE_MAX } else { pause };
            let (Trouble::Source(message) | Trouble::Log(message)) = &trouble;
            tracing::error!(source = self.source.name(), retry_ms = wait.as_millis() as u64, "{message}");
            self.reading.trouble(trouble);
            pause = (pause * 2).min(PAUSE_MAX);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
        }
        self.confirm().await;
    }

    async fn pump(&mut self) -> Ended {
        if !self.is_started
            && let Err(error) = self.start().await
        {
            return ended(error);
        }
        let mut flush = interval(FLUSH_EVERY);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                batch = self.source.next() => {
                    let appended = match batch {
                        Ok(batch) => self.append(batch).await,
                        Err(error) => Err(ended(error)),
                    };
                    if let Err(ended) = appended {
                        return ended;
                    }
                }
                _ = flush.tick() => self.confirm().await,
            }
        }
    }

    async fn append(&mut self, batch: Batch) -> Result<(), Ended> {
        let count = batch.changes.len() as u64;
        let began = Instant::now();
        if let Err(error) = self.log.append(batch).await {
            return Err(Ended { trouble: Trouble::Log(error.to_string()), for_good: false });
        }
        metrics::histogram!("rowcast_stage_seconds", "stage" => "append").record(began.elapsed());
        metrics::counter!("rowcast_source_changes_total", "source" => self.source.name().to_owned()).increment(count);
        self.reading.read(self.source.status());
        Ok(())
    }

    /// Makes the log safe on disk, and lets the database forget what is in it.
    async fn confirm(&mut self) {
        self.reading.set(self.source.status());
        let place = self.log.place(self.source.name());
        let Some(place) = place.filter(|place| self.confirmed.as_ref() != Some(place)) else { return };
        if let Err(error) = self.log.flush().await {
            tracing::error!(%error, "the log could not be made safe on disk; the database keeps its changes meanwhile");
            return self.reading.trouble(Trouble::Log(error.to_string()));
        }
        match self.source.confirm(&place).await {
            Ok(()) => self.confirmed = Some(place),
            Err(error) => tracing::warn!(source = self.source.name(), %error, "what is safe could not be confirmed"),
        }
    }
}

impl Tables {
    async fn make(&self) -> Result<(), SourceError> {
        let failed = |error| match error {
            StoreError::Unavailable(message) => SourceError::Retry { message, cause: None },
            error => SourceError::Stop { message: error.to_string(), cause: None },
        };
        let mut run = Vec::new();
        if !self.specs.is_empty() {
            run = self.store.create(&self.specs).await.map_err(failed)?;
        }
        for (table, columns) in &self.columns {
            run.extend(self.store.add_columns(table, columns).await.map_err(failed)?);
        }
        for sql in run {
            tracing::info!("the tables were made as they have to be: {}", sql.lines().next().unwrap_or(&sql));
        }
        Ok(())
    }
}

fn ended(error: SourceError) -> Ended {
    let for_good = matches!(error, SourceError::Stop { .. });
    Ended { trouble: Trouble::Source(error.to_string()), for_good }
}
