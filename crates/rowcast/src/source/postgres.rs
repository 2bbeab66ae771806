//! PostgreSQL as a source: its write-ahead log where that may be read, an outbox that triggers write where not.
//!
//! Chooses between the two; leaves reading to them, and what is made in the database to `postgres::install`.

mod budget;
mod outbox;
pub mod pgoutput;
mod slot;
mod slot_history;
mod spool;
mod transaction;
mod wal;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Client;

use self::outbox::OutboxReader;
use self::wal::{Shared, Wal};
use super::{Source, SourceError, SourceStatus};
use crate::event::{Batch, Place};
use crate::postgres::install::{self, Capabilities, InstallError};
use crate::postgres::wire::WireError;
use crate::postgres::{Address, Capture, ConnectError, Live, Mode, PostgresSettings, WalPlace};

/// A PostgreSQL database whose committed changes are read.
pub struct PostgresSource {
    name: Arc<str>,
    address: Address,
    settings: PostgresSettings,
    live: Arc<Live>,
    shared: Arc<Shared>,
    reader: Option<Reader>,
}

/// How changes are captured.
enum Reader {
    Wal(Box<Wal>),
    Outbox(Box<OutboxReader>),
}

impl PostgresSource {
    /// A source of this name. Nothing is connected before something is asked of it.
    pub fn new(name: &str, address: Address, settings: PostgresSettings, live: Arc<Live>) -> Self {
        Self { name: name.into(), address, settings, live, shared: Arc::default(), reader: None }
    }

    /// The SQL that [`setup`](Source::setup) would run now. Changes nothing.
    pub async fn plan_setup(&self) -> Result<Vec<String>, SourceError> {
        let client = self.connect().await?;
        let (mode, _) = self.choose(&client, None).await?;
        Ok(install::plan_setup(&client, &self.settings, mode).await?)
    }

    /// The SQL that [`teardown`](Source::teardown) would run now. Changes nothing.
    pub async fn plan_teardown(&self) -> Result<Vec<String>, SourceError> {
        let client = self.connect().await?;
        Ok(install::plan_teardown(&client, &self.settings).await?)
    }

    async fn connect(&self) -> Result<Client, SourceError> {
        Ok(self.address.connect(&format!("rowcast-{}", self.settings.instance)).await?)
    }

    /// How to capture for a log that stands at `place`, with a sentence on what that promises.
    async fn choose(&self, client: &Client, place: Option<&Place>) -> Result<(Mode, String), SourceError> {
        let able = Capabilities::of(client, &self.settings).await?;
        // What was chosen is kept to while it can be, so that nobody begins anew because connections were short once.
        let stays = place.and_then(WalPlace::of).is_some()
            && self.settings.capture == Capture::Auto
            && able.wal_level == "logical"
            && able.replication;
        let settings = match stays {
            true => PostgresSettings { capture: Capture::Wal, ..self.settings.clone() },
            false => self.settings.clone(),
        };
        install::choose(&settings, &able).map_err(SourceError::stop)
    }
}

#[async_trait]
impl Source for PostgresSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn setup(&mut self) -> Result<Vec<String>, SourceError> {
        let client = self.connect().await?;
        let (mode, _) = self.choose(&client, None).await?;
        Ok(install::setup(&client, &self.settings, mode).await?)
    }

    async fn teardown(&mut self) -> Result<Vec<String>, SourceError> {
        self.reader = None;
        let client = self.connect().await?;
        wal::let_go(&client, &self.settings).await?;
        let sql = install::teardown(&client, &self.settings).await?;
        self.shared = Arc::default();
        Ok(sql)
    }

    async fn start(&mut self, place: Option<Place>) -> Result<(), SourceError> {
        let client = self.connect().await?;
        let (mode, guarantee) = answered(self.settings.dead_after, self.choose(&client, place.as_ref())).await?;
        drop(client);
        self.shared.tell(|status| {
            status.mode = match mode {
                Mode::Wal => format!("logical replication from slot `{}`", self.settings.slot),
                Mode::Outbox => "outbox triggers".to_owned(),
            };
            status.guarantee = guarantee;
            status.wal_budget = self.settings.wal.stop.or(self.settings.wal.warn);
        });
        let kept =
            matches!((&self.reader, mode), (Some(Reader::Wal(_)), Mode::Wal) | (Some(Reader::Outbox(_)), Mode::Outbox));
        if !kept {
            self.reader = None;
        }
        let reader = self.reader.get_or_insert_with(|| {
            let (name, address, settings) = (self.name.clone(), self.address.clone(), self.settings.clone());
            let live = self.live.clone();
            match mode {
                Mode::Wal => Reader::Wal(Box::new(Wal::new(name, address, settings, live, self.shared.clone()))),
                Mode::Outbox => Reader::Outbox(Box::new(OutboxReader::new(name, address, settings, live))),
            }
        });
        match reader {
            Reader::Wal(wal) => wal.start(place).await,
            Reader::Outbox(outbox) => outbox.start(place).await,
        }
    }

    async fn next(&mut self) -> Result<Batch, SourceError> {
        match &mut self.reader {
            Some(Reader::Wal(wal)) => wal.next().await,
            Some(Reader::Outbox(outbox)) => outbox.next().await,
            None => Err(SourceError::retry("the source was not started")),
        }
    }

    async fn confirm(&mut self, place: &Place) -> Result<(), SourceError> {
        match &mut self.reader {
            Some(Reader::Wal(wal)) => wal.confirm(place),
            Some(Reader::Outbox(outbox)) => outbox.confirm(place),
            None => {}
        }
        Ok(())
    }

    fn status(&self) -> SourceStatus {
        let status = self.shared.status();
        match &self.reader {
            Some(Reader::Outbox(outbox)) => {
                SourceStatus { mode: status.mode, guarantee: status.guarantee, ..outbox.status() }
            }
            _ => status,
        }
    }
}

/// An answer of the database, or the error that there is none: a connection may go silent between any two questions.
async fn answered<T, E: Into<SourceError>>(
    limit: Duration,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, SourceError> {
    match tokio::time::timeout(limit, asked).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(SourceError::retry(format!("the database has not answered for {limit:?}; connecting again"))),
    }
}

impl From<ConnectError> for SourceError {
    fn from(error: ConnectError) -> Self {
        let ConnectError { message, retry, cause } = error;
        if retry { Self::Retry { message, cause } } else { Self::Stop { message, cause } }
    }
}

impl From<InstallError> for SourceError {
    fn from(error: InstallError) -> Self {
        let InstallError { message, retry, cause } = error;
        if retry { Self::Retry { message, cause } } else { Self::Stop { message, cause } }
    }
}

impl From<WireError> for SourceError {
    fn from(error: WireError) -> Self {
        let message = format!("the write-ahead log cannot be read: {error}");
        if error.retry() {
            Self::Retry { message, cause: Some(error.into()) }
        } else {
            Self::Stop { message, cause: Some(error.into()) }
        }
    }
}

impl From<tokio_postgres::Error> for SourceError {
    fn from(error: tokio_postgres::Error) -> Self {
        let said = error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned());
        Self::Retry { message: format!("the database was asked in vain: {said}"), cause: Some(error.into()) }
    }
}
