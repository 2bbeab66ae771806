//! MySQL and MariaDB as a source: the binlog where that may be read, an outbox that triggers write where not.
//!
//! Chooses between the two; leaves reading to them, and what is made in the database to `mysql::install`.

mod binlog;
mod outbox;

use std::sync::Arc;

use async_trait::async_trait;
use mysql_async::Conn;

use self::binlog::Binlog;
use self::outbox::Outbox;
use super::{Source, SourceError, SourceStatus};
use crate::event::{Batch, Place};
use crate::mysql::install::{self, Capabilities, InstallError};
use crate::mysql::{Address, BinlogPlace, Capture, ConnectError, Live, Mode, MysqlSettings};

/// A MySQL or MariaDB database whose committed changes are read.
pub struct MysqlSource {
    name: Arc<str>,
    address: Address,
    settings: MysqlSettings,
    live: Arc<Live>,
    mode: String,
    guarantee: String,
    reader: Option<Reader>,
}

/// How changes are captured.
enum Reader {
    Binlog(Box<Binlog>),
    Outbox(Box<Outbox>),
}

impl MysqlSource {
    /// A source of this name. Nothing is connected before something is asked of it.
    pub fn new(name: &str, address: Address, settings: MysqlSettings, live: Arc<Live>) -> Self {
        let (mode, guarantee) = (String::new(), String::new());
        Self { name: name.into(), address, settings, live, mode, guarantee, reader: None }
    }

    /// The SQL that [`setup`](Source::setup) would run now. Changes nothing.
    pub async fn plan_setup(&self) -> Result<Vec<String>, SourceError> {
        let mut conn = self.address.connect().await?;
        let (mode, _) = self.choose(&mut conn, None).await?;
        Ok(install::plan_setup(&mut conn, &self.settings, mode).await?)
    }

    /// The SQL that [`teardown`](Source::teardown) would run now. Changes nothing.
    pub async fn plan_teardown(&self) -> Result<Vec<String>, SourceError> {
        let mut conn = self.address.connect().await?;
        Ok(install::plan_teardown(&mut conn).await?)
    }

    /// How to capture for a log that stands at `place`, with a sentence on what that promises.
    async fn choose(&self, conn: &mut Conn, place: Option<&Place>) -> Result<(Mode, String), SourceError> {
        let able = Capabilities::of(conn).await?;
        // What was chosen is kept to while it can be: whoever waits for a right to come back begins nothing anew.
        let stays = place.and_then(BinlogPlace::of).is_some()
            && self.settings.capture == Capture::Auto
            && able.log_bin
            && able.replication;
        let settings = match stays {
            true => MysqlSettings { capture: Capture::Binlog, ..self.settings.clone() },
            false => self.settings.clone(),
        };
        install::choose(&settings, &able).map_err(SourceError::stop)
    }
}

#[async_trait]
impl Source for MysqlSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn setup(&mut self) -> Result<Vec<String>, SourceError> {
        let mut conn = self.address.connect().await?;
        let (mode, _) = self.choose(&mut conn, None).await?;
        Ok(install::setup(&mut conn, &self.settings, mode).await?)
    }

    async fn teardown(&mut self) -> Result<Vec<String>, SourceError> {
        self.reader = None;
        let mut conn = self.address.connect().await?;
        Ok(install::teardown(&mut conn).await?)
    }

    async fn start(&mut self, place: Option<Place>) -> Result<(), SourceError> {
        let mut conn = self.address.connect().await?;
        let limit = self.settings.dead_after;
        let chosen = tokio::time::timeout(limit, self.choose(&mut conn, place.as_ref())).await;
        let (mode, guarantee) = chosen.map_err(|_| {
            SourceError::retry(format!("the database has not answered for {limit:?}; connecting again"))
        })??;
        drop(conn);
        self.guarantee = guarantee;
        self.mode = match mode {
            Mode::Binlog => "row binlog".to_owned(),
            Mode::Outbox => "outbox triggers".to_owned(),
        };
        let (name, address, settings) = (self.name.clone(), self.address.clone(), self.settings.clone());
        match (&mut self.reader, mode) {
            (Some(Reader::Binlog(_)), Mode::Binlog) | (Some(Reader::Outbox(_)), Mode::Outbox) => {}
            (reader, Mode::Outbox) => {
                let outbox = Outbox::new(name, address, settings, self.live.clone());
                *reader = Some(Reader::Outbox(Box::new(outbox)));
            }
            (reader, Mode::Binlog) => {
                let binlog = Binlog::new(name, address, settings, self.live.clone());
                *reader = Some(Reader::Binlog(Box::new(binlog)));
            }
        }
        match &mut self.reader {
            Some(Reader::Outbox(outbox)) => outbox.start(place).await,
            Some(Reader::Binlog(binlog)) => binlog.start(place).await,
            None => Ok(()),
        }
    }

    async fn next(&mut self) -> Result<Batch, SourceError> {
        match &mut self.reader {
            Some(Reader::Binlog(binlog)) => binlog.next().await,
            Some(Reader::Outbox(outbox)) => outbox.next().await,
            None => Err(SourceError::retry("the source was not started")),
        }
    }

    async fn confirm(&mut self, place: &Place) -> Result<(), SourceError> {
        match &mut self.reader {
            Some(Reader::Outbox(outbox)) => outbox.confirm(place),
            // The server keeps its binlog for as long as it likes: there is nothing to tell it.
            Some(Reader::Binlog(_)) | None => {}
        }
        Ok(())
    }

    fn status(&self) -> SourceStatus {
        let status = match &self.reader {
            Some(Reader::Binlog(binlog)) => binlog.status(),
            Some(Reader::Outbox(outbox)) => outbox.status(),
            None => SourceStatus::default(),
        };
        SourceStatus { mode: self.mode.clone(), guarantee: self.guarantee.clone(), ..status }
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
