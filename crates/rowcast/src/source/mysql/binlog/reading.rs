//! A stream that runs: events in, batches out. A task of its own, so that the log is written while the next batch is read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ahash::AHashMap;
use mysql_async::Error;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::batch::Collected;
use super::begin::{Begin, Begun, is_twin};
use super::bytes::{Bytes, Malformed};
use super::held::Held;
use super::history::History;
use super::map::{self, Map};
use super::rows::{Rows, RowsKind};
use super::statement::{Meaning, Statement};
use super::stream::{Broken, Event, IGNORABLE, Stream, kind};
use super::tables::{Shape, Tables, follows};
use crate::event::{Batch, Body, Channel, ResetCause, RowChange, TableName};
use crate::mysql::Live;
use crate::source::SourceError;

/// How often the place moves on when nothing happens and nobody waits for it.
const IDLE: Duration = Duration::from_secs(1);
/// So many events are understood before others have their turn.
const PATIENCE: u32 = 128;

/// Why reading ends.
pub(super) enum Over {
    /// Nobody takes the batches any more.
    Unwanted,
    Failed(SourceError),
    /// It cannot go on from here: it has to begin anew, for this reason.
    Missed(String),
    /// Another replica has our number, or a connection that is dead.
    Taken(SourceError),
}

impl From<SourceError> for Over {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

impl From<Malformed> for Over {
    fn from(error: Malformed) -> Self {
        Self::Failed(SourceError::Stop { message: error.to_string(), cause: Some(error.into()) })
    }
}

/// What the number of a table map stands for.
enum Mapped {
    Shape(Arc<Shape>),
    /// What is known of the table does not fit its rows.
    Unfit(TableName),
}

/// One reading of the stream.
pub(super) struct Reading {
    begin: Begin,
    mariadb: bool,
    stream: Stream,
    conn: mysql_async::Conn,
    tables: Tables,
    history: History,
    live: Arc<Live>,
    collected: Collected,
    batches: Sender<Batch>,
    folder: PathBuf,
    /// A transaction has begun that is not over.
    open: bool,
    /// What the server calls a transaction has begun: nothing can be gone on from inside of it.
    group: bool,
    held: Held,
    /// Transactions that were prepared, by their id: they may yet be committed or rolled back.
    prepared: AHashMap<String, Held>,
    /// Numbers of table maps in this transaction that are followed.
    followed: AHashMap<u64, bool>,
    /// The bytes of a table map, and what they mean.
    maps: AHashMap<Vec<u8>, Arc<Mapped>>,
    /// Something was read since the beginning.
    moved: bool,
    handed_out: Instant,
    asked: bool,
}

impl Reading {
    pub(super) fn new(begin: Begin, begun: Begun, live: Arc<Live>, batches: Sender<Batch>) -> (Self, Option<String>) {
        let Begun { stream, conn, spot, tables, history, missed, server } = begun;
        let collected = Collected::new(begin.name.clone(), begin.place.clone(), spot, &begin.settings);
        let folder = begin.settings.spool.clone().unwrap_or_else(std::env::temp_dir);
        let reading = Self {
            begin,
            mariadb: server.is_mariadb(),
            stream,
            conn,
            tables,
            history,
            live,
            collected,
            batches,
            folder,
            open: false,
            group: false,
            held: Held::default(),
            prepared: AHashMap::new(),
            followed: AHashMap::new(),
            maps: AHashMap::new(),
            moved: false,
            handed_out: Instant::now(),
            asked: false,
        };
        (reading, missed)
    }

    /// Reads until something fails.
    pub(super) async fn run(mut self, missed: Option<String>) -> Over {
        match self.read(missed).await {
            Ok(never) => match never {},
            Err(over) => over,
        }
    }

    async fn read(&mut self, missed: Option<String>) -> Result<std::convert::Infallible, Over> {
        if let Some(reason) = missed {
            tracing::warn!(source = &*self.begin.name, "changes were missed: {reason}");
            let names = self.tables.names();
            self.tell(&names, ResetCause::Missed, &reason).await?;
            self.hand_out().await?;
        } else if self.begin.place.is_none() {
            self.hand_out().await?;
        }
        let mut steps = 0_u32;
        loop {
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(PATIENCE) {
                tokio::task::yield_now().await;
            }
            let event = match self.stream.ready() {
                Ok(Some(event)) => Ok(event),
                Ok(None) => {
                    self.rest().await?;
                    let waited = self.collected.has_moved() && !self.open;
                    tokio::select! {
                        event = self.stream.next() => event,
                        () = self.live.asked() => { self.asked = true; continue }
                        () = tokio::time::sleep_until(self.handed_out + IDLE), if waited => continue,
                    }
                }
                Err(broken) => Err(broken),
            };
            match event {
                Ok(event) => self.take(&event).await?,
                Err(broken) => return Err(self.broken(broken)),
            }
            if self.collected.is_full() {
                self.hand_out().await?;
            }
        }
    }

    /// There is nothing to read at the moment.
    async fn rest(&mut self) -> Result<(), Over> {
        let idle = self.asked || self.handed_out.elapsed() >= IDLE;
        if self.collected.has_changes() || (idle && self.collected.has_moved()) {
            self.hand_out().await?;
        }
        Ok(())
    }

    fn broken(&self, broken: Broken) -> Over {
        if let Broken::Driver(Error::Server(error)) = &broken {
            if matches!(error.code, 1236 | 4052) && (error.code == 4052 || is_twin(&error.message)) {
                let message = format!("another replica has our number: {}", error.message);
                return Over::Taken(SourceError::retry(message));
            }
            if error.code == 1236 && !self.moved {
                return Over::Missed(format!("the server cannot go on sending its binlog: {}", error.message));
            }
        }
        let silent = matches!(broken, Broken::Silent);
        let error = self.begin.failed(broken);
        // The server may think that we are still there.
        if silent { Over::Taken(error) } else { Over::Failed(error) }
    }

    async fn hand_out(&mut self) -> Result<(), Over> {
        self.asked = false;
        self.handed_out = Instant::now();
        let batch = self.collected.cut();
        self.send(batch).await
    }

    async fn send(&mut self, batch: Batch) -> Result<(), Over> {
        let place = batch.origin.as_ref().map(|origin| origin.place.0.to_string());
        self.batches.send(batch).await.map_err(|_| Over::Unwanted)?;
        self.begin.shared.tell(|status| status.place = place);
        Ok(())
    }

    /// Understands one event.
    async fn take(&mut self, event: &Event) -> Result<(), Over> {
        self.moved |= !event.artificial;
        match event.kind {
            kind::TABLE_MAP => {
                let (database, table) = map::names(event.body())?;
                let ours = database == self.begin.address.database().as_bytes()
                    && follows(&self.begin.settings, &String::from_utf8_lossy(table));
                self.followed.insert(map::number(event.body())?, ours);
                if ours {
                    self.hold(event)?;
                }
            }
            kind if RowsKind::of(kind).is_some() => {
                let number = map::number(event.body())?;
                match self.followed.get(&number) {
                    Some(true) => self.hold(event)?,
                    Some(false) => {}
                    // What follows a dropped table has this number, too.
                    None if number == 0xff_ffff => {}
                    None => return Err(Malformed("rows of a table that was not described").into()),
                }
            }
            kind::XID => self.commit(event).await?,
            kind::QUERY | kind::QUERY_COMPRESSED => self.statement(event).await?,
            kind::MARIADB_GTID => {
                let flags = Bytes(event.body().get(12..).unwrap_or_default()).u8()?;
                self.group = true;
                // Not one statement that stands alone, but a transaction.
                self.open = flags & 1 == 0;
            }
            33 | 34 | 42 => self.group = true,
            kind::XA_PREPARE => self.prepare(event).await?,
            kind::INCIDENT => {
                let names = self.tables.names();
                self.tell(&names, ResetCause::Missed, "the server says that something is missing in its binlog")
                    .await?;
            }
            kind::PAYLOAD | kind::ROTATE | kind::FORMAT | kind::HEARTBEAT | kind::HEARTBEAT_2 => {}
            // What says nothing of rows: of the server's own, and what belongs to statements.
            0 | 3 | 5 | 13 | 14 | 28 | 29 | 35 | 36 | 37 | 160 | 161 | 163 | 164 => {}
            // Data of a statement that loads a file: the statement itself is noticed.
            9 | 11 | 17 | 18 => {}
            _ if event.flags & IGNORABLE != 0 => {}
            other => {
                return Err(Over::Failed(SourceError::stop(format!(
                    "the binlog has an event of type {other}, which this version does not know: what it says would be lost. \
                     Look for a newer version, or capture with `mysql.capture = \"outbox\"`"
                ))));
            }
        }
        if !self.group && !self.open {
            self.border();
        }
        Ok(())
    }

    /// Nothing is half read: the log can go on from here.
    fn border(&mut self) {
        self.collected.commit(&self.stream.file, self.stream.position, self.stream.made);
    }

    fn hold(&mut self, event: &Event) -> Result<(), Over> {
        let memory = self.begin.settings.transaction_memory;
        self.held.push(event.kind, event.body(), memory, &self.folder).map_err(|error| self.spool_failed(error))
    }

    fn spool_failed(&self, error: std::io::Error) -> Over {
        let message = format!("a large transaction cannot be kept in {} until it ends: {error}", self.folder.display());
        Over::Failed(SourceError::Stop { message, cause: Some(error.into()) })
    }

    async fn statement(&mut self, event: &Event) -> Result<(), Over> {
        let statement = Statement::parse(event.body(), event.kind == kind::QUERY_COMPRESSED)?;
        match statement.meaning() {
            Meaning::Begin => {
                self.open = true;
                self.group = true;
            }
            Meaning::Commit => self.commit(event).await?,
            Meaning::Rollback => {
                // What it did to tables that keep no transactions has happened.
                self.commit(event).await?;
            }
            Meaning::XaCommit(id) => match self.prepared.remove(&id) {
                Some(held) => {
                    self.held = held;
                    self.commit(event).await?;
                }
                None => {
                    let names = self.tables.names();
                    let reason = "a distributed transaction was committed that was prepared before reading began";
                    self.tell(&names, ResetCause::Missed, reason).await?;
                }
            },
            Meaning::XaRollback(id) => {
                self.prepared.remove(&id);
                self.end();
            }
            Meaning::Nothing if self.open => {}
            Meaning::Nothing => self.end(),
            // Some statements make a table within a transaction that fills it.
            _ if self.open => self.hold(event)?,
            meaning => {
                let now = self.now(event);
                self.collected.begin(self.tx(), now);
                self.alter(&meaning).await?;
                self.end();
            }
        }
        Ok(())
    }

    /// The transaction is over, without rows.
    fn end(&mut self) {
        (self.open, self.group) = (false, false);
        self.held = Held::default();
        self.followed.clear();
        self.border();
    }

    async fn prepare(&mut self, event: &Event) -> Result<(), Over> {
        let mut body = Bytes(event.body());
        let at_once = body.u8()? != 0;
        if at_once {
            return self.commit(event).await;
        }
        let (format, first, second) = (body.u32()?, body.u32()?, body.u32()?);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let first = hex(body.take(first as usize)?);
        let id = format!("x'{first}',x'{}',{format}", hex(body.take(second as usize)?));
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.prepared.insert(id, held);
        }
        self.end();
        Ok(())
    }

    /// The number of a transaction that ends here.
    fn tx(&self) -> u64 {
        let mut place = self.collected.spot().border.clone();
        (place.file, place.position) = (self.stream.file.clone(), self.stream.position);
        place.tx()
    }

    /// The transaction has ended: its end is known, and with it the number of its changes.
    async fn commit(&mut self, event: &Event) -> Result<(), Over> {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            let now = self.now(event);
            self.collected.begin(self.tx(), now);
            let mut events = held.read().map_err(|error| self.spool_failed(error))?;
            let mut maps = AHashMap::new();
            let mut lost = Vec::new();
            while let Some((kind, body)) = events.next().map_err(|error| self.spool_failed(error))? {
                match kind {
                    kind::TABLE_MAP => {
                        let mapped = self.mapped(&body)?;
                        maps.insert(map::number(&body)?, mapped);
                    }
                    kind::QUERY | kind::QUERY_COMPRESSED => {
                        let meaning = Statement::parse(&body, kind == kind::QUERY_COMPRESSED)?.meaning();
                        self.alter(&meaning).await?;
                    }
                    _ => {
                        let mapped = maps.get(&map::number(&body)?).cloned();
                        if let (Some(mapped), Some(kind)) = (mapped, RowsKind::of(kind)) {
                            self.rows(kind, &body, &mapped, &mut lost).await?;
                        }
                    }
                }
            }
        }
        self.end();
        Ok(())
    }

    /// What a table map means, by all of its bytes.
    fn mapped(&mut self, body: &[u8]) -> Result<Arc<Mapped>, Over> {
        // Its number changes without need.
        let (number, rest) = body.split_at_checked(6).ok_or(Malformed("a table map that ends too early"))?;
        let _ = number;
        if let Some(known) = self.maps.get(rest) {
            return Ok(known.clone());
        }
        let map = Map::parse(body, self.mariadb)?;
        let mapped = match self.tables.shape(&map) {
            Some(shape) => Mapped::Shape(Arc::new(shape)),
            None => Mapped::Unfit(TableName::bare(&map.table)),
        };
        if self.maps.len() > 4096 {
            self.maps.clear();
        }
        let mapped = Arc::new(mapped);
        self.maps.insert(rest.to_vec(), mapped.clone());
        Ok(mapped)
    }

    async fn rows(
        &mut self,
        kind: RowsKind,
        body: &[u8],
        mapped: &Mapped,
        lost: &mut Vec<TableName>,
    ) -> Result<(), Over> {
        let shape = match mapped {
            Mapped::Shape(shape) => shape,
            Mapped::Unfit(name) => {
                let reason = "the table was altered, and the binlog does not name its columns: set \
                              binlog_row_metadata = FULL on the server";
                return self.lose(name, ResetCause::Altered, reason, lost).await;
            }
        };
        let mut rows = Rows::parse(kind, body, shape)?;
        while let Some(row) = rows.next()? {
            match row {
                Ok((old, new)) => {
                    let change = RowChange { table: shape.table.clone(), op: kind.op, old, new };
                    self.add(Body::Row(change)).await?;
                }
                Err(_) => {
                    let reason = "the binlog has only parts of this table's rows: set binlog_row_image = FULL (and \
                                  binlog_row_value_options = '') on the server";
                    self.lose(&shape.table.name, ResetCause::Missed, reason, lost).await?;
                }
            }
        }
        Ok(())
    }

    /// A table's row cannot be told: it is loaded again instead, once for each transaction.
    async fn lose(
        &mut self,
        name: &TableName,
        cause: ResetCause,
        reason: &str,
        lost: &mut Vec<TableName>,
    ) -> Result<(), Over> {
        if lost.contains(name) {
            return Ok(());
        }
        lost.push(name.clone());
        tracing::warn!(source = &*self.begin.name, table = %name, "{reason}");
        self.begin.shared.tell(|status| status.problem = Some(format!("table `{name}`: {reason}")));
        self.add(reset(name, cause, reason)).await
    }

    #[inline]
    async fn add(&mut self, body: Body) -> Result<(), Over> {
        match self.collected.add(body) {
            None => Ok(()),
            Some(batch) => self.send(batch).await,
        }
    }

    /// Tables were changed: they are looked at again.
    async fn alter(&mut self, meaning: &Meaning) -> Result<(), Over> {
        let ours = self.begin.address.database().to_owned();
        let (names, cause, reason): (Vec<TableName>, _, _) = match meaning {
            Meaning::Alters(names, reason) => {
                let names =
                    names.iter().filter(|(database, name)| *database == ours && follows(&self.begin.settings, name));
                (names.map(|(_, name)| TableName::bare(name)).collect(), ResetCause::Altered, *reason)
            }
            Meaning::AltersAll(database) if *database == ours => {
                (self.tables.names(), ResetCause::Altered, "the database was altered")
            }
            Meaning::Unseen(database) if *database == ours => (
                self.tables.names(),
                ResetCause::Missed,
                "rows were changed by a statement that the binlog has only as text: set binlog_format = ROW on the server",
            ),
            _ => return Ok(()),
        };
        if names.is_empty() {
            return Ok(());
        }
        if cause == ResetCause::Altered {
            let loaded = self.tables.load(&mut self.conn, &self.begin.settings);
            let answer = tokio::time::timeout(self.begin.settings.dead_after, loaded).await;
            let answer =
                answer.map_err(|_| SourceError::retry("the catalog cannot be read: the server does not answer"))?;
            answer.map_err(|error| self.begin.failed(Broken::Driver(error)))?;
            self.maps.clear();
            self.history.note(self.tx(), &self.tables.known);
            let tables = self.tables.names().iter().map(ToString::to_string).collect();
            self.begin.shared.tell(|status| status.tables = tables);
        }
        for name in names {
            self.add(reset(&name, cause, reason)).await?;
        }
        Ok(())
    }

    /// Tells of tables outside of any transaction.
    async fn tell(&mut self, names: &[TableName], cause: ResetCause, reason: &str) -> Result<(), Over> {
        self.collected.begin(self.tx(), now_ms());
        for name in names {
            self.add(reset(name, cause, reason)).await?;
        }
        self.end();
        Ok(())
    }

    /// When an event happened; where that is now, to the millisecond.
    fn now(&self, event: &Event) -> u64 {
        let (now, told) = (now_ms(), u64::from(event.time) * 1000);
        if now.abs_diff(told) < 2000 { now } else { told }
    }
}

fn reset(name: &TableName, cause: ResetCause, reason: &str) -> Body {
    Body::Reset { channel: Channel::Table(name.clone()), cause, reason: reason.into() }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
