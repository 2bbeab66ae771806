//! The way to a running stream: whether the server's binlog can go on from where the log stands, and what is told where it cannot.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};
use sha2::{Digest, Sha256};

use super::history::History;
use super::shared::Shared;
use super::spot::Spot;
use super::stream::{Broken, Stream, kind};
use super::tables::Tables;
use crate::event::Place;
use crate::mysql::{Address, BinlogPlace, MysqlSettings, Server};
use crate::source::SourceError;

/// What a beginning needs to know.
#[derive(Debug, Clone)]
pub(super) struct Begin {
    pub(super) name: Arc<str>,
    pub(super) address: Address,
    pub(super) settings: MysqlSettings,
    pub(super) shared: Arc<Shared>,
    /// Where the log stands.
    pub(super) place: Option<Place>,
    /// Why it cannot be gone on from there.
    pub(super) missed: Option<String>,
    /// How often our number was another replica's, or that of a connection that is dead.
    pub(super) attempt: u32,
}

/// Why no stream runs.
pub(super) struct NotBegun {
    pub(super) error: SourceError,
    /// The server took our question and says nothing.
    pub(super) silent: bool,
}

impl From<SourceError> for NotBegun {
    fn from(error: SourceError) -> Self {
        Self { error, silent: false }
    }
}

/// A stream that runs.
pub(super) struct Begun {
    pub(super) stream: Stream,
    pub(super) conn: Conn,
    pub(super) server: Server,
    pub(super) spot: Spot,
    pub(super) tables: Tables,
    pub(super) history: History,
    /// Why what is known of the tables no longer holds.
    pub(super) missed: Option<String>,
}

impl Begin {
    pub(super) async fn run(self) -> Result<Begun, NotBegun> {
        let mut conn = self.answered(async { Ok(self.address.connect().await?) }).await?;
        let server = self.asked(Server::of(&mut conn)).await?;
        let uuid = self.identity(&mut conn, &server).await?;
        let end = self.end(&mut conn, &server).await?;
        let mut tables = Tables::default();
        self.asked(tables.load(&mut conn, &self.settings)).await?;
        let (mut spot, mut missed) = self.spot(&mut conn, &end, &uuid).await?;
        let id = self.number();
        let stream = loop {
            match self.open(&server, id, &spot).await? {
                Ok(stream) => break stream,
                Err(reason) if missed.is_none() => {
                    spot = Spot { border: end.clone(), made: None, done: 0 };
                    missed = Some(reason);
                }
                Err(reason) => return Err(SourceError::retry(reason).into()),
            }
        };
        spot.made = stream.made;
        spot.border.server.clone_from(&uuid);
        let path =
            self.settings.spool.as_ref().map(|folder| folder.join(format!("{}.tables.json", file_name(&self.name))));
        let mut history = History::open(path, format!("{} {}", self.address, uuid.as_deref().unwrap_or("")));
        let goes_on = self.place.is_some() && missed.is_none();
        match history.at(spot.border.tx()).filter(|_| goes_on) {
            Some(known) => tables.known = known,
            None => history.note(spot.border.tx(), &tables.known),
        }
        self.shared.tell(|status| status.tables = tables.names().iter().map(ToString::to_string).collect());
        Ok(Begun { stream, conn, server, spot, tables, history, missed })
    }

    /// What the server calls itself; it must have a binlog.
    async fn identity(&self, conn: &mut Conn, server: &Server) -> Result<Option<Box<str>>, SourceError> {
        let on: Option<u8> = self.asked(conn.query_first("SELECT @@log_bin")).await?;
        if on != Some(1) {
            return Err(SourceError::stop(
                "the server's binlog is off: set `log_bin` there, or `mysql.capture = \"outbox\"` here",
            ));
        }
        if server.is_mariadb() {
            return Ok(None);
        }
        let uuid: Option<String> = self.asked(conn.query_first("SELECT @@server_uuid")).await?;
        Ok(uuid.map(Into::into))
    }

    /// Where the binlog ends now.
    async fn end(&self, conn: &mut Conn, server: &Server) -> Result<BinlogPlace, SourceError> {
        let sql = if !server.is_mariadb() && server.version >= (8, 2, 0) {
            "SHOW BINARY LOG STATUS"
        } else {
            "SHOW MASTER STATUS"
        };
        let row: Option<Row> = self.asked(conn.query_first(sql)).await?;
        let place = row.and_then(|row| {
            let file: String = row.get_opt(0)?.ok()?;
            Some(BinlogPlace { file: file.into(), position: row.get_opt(1)?.ok()?, gtid: None, server: None })
        });
        place.ok_or_else(|| SourceError::retry("the server does not say where its binlog ends"))
    }

    /// Where to begin, and what was missed if that is not where the log stands.
    async fn spot(
        &self,
        conn: &mut Conn,
        end: &BinlogPlace,
        uuid: &Option<Box<str>>,
    ) -> Result<(Spot, Option<String>), SourceError> {
        let now = Spot { border: end.clone(), made: None, done: 0 };
        let Some(place) = &self.place else { return Ok((now, None)) };
        if let Some(reason) = &self.missed {
            return Ok((now, Some(reason.clone())));
        }
        let Some(spot) = Spot::of(place) else {
            return Ok((now, Some("the log stands at a place that is not one of this binlog".into())));
        };
        if spot.border.server.is_some() && spot.border.server != *uuid {
            return Ok((now, Some("another server answers than the one that was read before".into())));
        }
        let files: Vec<Row> = self.asked(conn.query("SHOW BINARY LOGS")).await?;
        let size = files.iter().find_map(|row| {
            let name: String = row.get_opt(0)?.ok()?;
            (*name == *spot.border.file).then(|| row.get_opt::<u64, _>(1)?.ok()).flatten()
        });
        match size {
            None => {
                let file = &spot.border.file;
                Ok((now, Some(format!("the server has no binlog file {file} any more: it was purged, or made anew"))))
            }
            // The end is asked again: more may have been written since.
            Some(size) if size < spot.border.position && end.position < spot.border.position => {
                Ok((now, Some("the binlog ends before the place that was read before: it was made anew".into())))
            }
            Some(_) => Ok((spot, None)),
        }
    }

    /// Opens the stream and reads its head. The inner error says why the place is none of this binlog.
    async fn open(&self, server: &Server, id: u32, spot: &Spot) -> Result<Result<Stream, String>, NotBegun> {
        let BinlogPlace { file, position, .. } = &spot.border;
        let mut stream = Stream::open(&self.address, server, id, file, *position, self.settings.dead_after).await?;
        loop {
            match stream.next().await {
                Ok(event) if event.kind == kind::FORMAT => break,
                Ok(_) => {}
                Err(Broken::Driver(Error::Server(error))) if error.code == 1236 && !is_twin(&error.message) => {
                    return Ok(Err(format!(
                        "the server cannot send its binlog from {file}:{position}: {}",
                        error.message
                    )));
                }
                Err(broken) => {
                    let silent = matches!(broken, Broken::Silent);
                    return Err(NotBegun { error: self.failed(broken), silent });
                }
            }
        }
        if spot.made.is_some_and(|made| stream.made != Some(made)) {
            return Ok(Err(format!("the binlog file {file} is not the one that was read before: it was made anew")));
        }
        Ok(Ok(stream))
    }

    /// By which number the server knows us: always the same one, unless somebody else has it.
    pub(super) fn number(&self) -> u32 {
        if let Some(id) = self.settings.server_id {
            return id;
        }
        let host = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [
            host("/etc/machine-id"),
            host("/proc/sys/kernel/hostname"),
            self.settings.instance.clone(),
            self.name.to_string(),
            self.address.database().to_owned(),
            self.attempt.to_string(),
        ] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let hash = hash.finalize();
        // Those that people choose are small.
        0x8000_0000 | u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    pub(super) fn failed(&self, broken: Broken) -> SourceError {
        match broken {
            Broken::Silent => SourceError::retry(format!(
                "nothing was heard from {} for {:?}; connecting again",
                self.address, self.settings.dead_after
            )),
            Broken::Ended => SourceError::retry(format!("{} has ended the stream; connecting again", self.address)),
            Broken::Malformed(error) => SourceError::Stop { message: error.to_string(), cause: Some(error.into()) },
            Broken::Driver(error) => failed(&self.address, error),
        }
    }

    async fn asked<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, SourceError> {
        self.answered(async { answer.await.map_err(|error| failed(&self.address, error)) }).await
    }

    async fn answered<T>(&self, answer: impl Future<Output = Result<T, SourceError>>) -> Result<T, SourceError> {
        let limit = self.settings.dead_after.max(Duration::from_secs(1));
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(SourceError::retry(format!("{} does not answer; connecting again", self.address))),
        }
    }
}

/// Whether the server sends to another replica instead, which has our number.
pub(super) fn is_twin(message: &str) -> bool {
    message.contains("same server_uuid")
        || message.contains("same server_id")
        || message.contains("server_uuid/server_id")
}

fn failed(address: &Address, error: Error) -> SourceError {
    let message = match &error {
        Error::Server(said) if matches!(said.code, 1227 | 1045) => {
            let message = format!(
                "the binlog of {address} may not be read: GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* to this user \
                 (on MariaDB: REPLICATION SLAVE, BINLOG MONITOR), or set `mysql.capture = \"outbox\"` ({})",
                said.message
            );
            return SourceError::Stop { message, cause: Some(error.into()) };
        }
        _ => format!("{address}: {error}"),
    };
    SourceError::Retry { message, cause: Some(error.into()) }
}

fn file_name(source: &str) -> String {
    source.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}
