//! The loop that reads an outbox: looks, hands out what it has found, and rests until there may be more.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::decode::{Decoder, Written};
use super::spot::{Inside, Spot};
use crate::event::{Batch, Change, Origin, Place, TableName};
use crate::mysql::shape::Shapes;
use crate::mysql::{Live, MysqlSettings, sequence};
use crate::source::{SourceError, SourceStatus};

/// For so long after something was read, it is looked often.
const ACTIVE: Duration = Duration::from_secs(1);
/// The place of an outbox in which nothing happens moves on so often.
const IDLE_PLACE: Duration = Duration::from_secs(1);
type Batches = mpsc::Sender<Result<Batch, SourceError>>;

/// One reading, from a start to an error or the end.
pub(super) struct Reading {
    pub(super) name: Arc<str>,
    pub(super) database: String,
    pub(super) settings: MysqlSettings,
    pub(super) live: Arc<Live>,
    pub(super) status: Arc<Mutex<SourceStatus>>,
    pub(super) reader: Conn,
    /// Holds the right to read, and numbers.
    pub(super) writer: Conn,
    pub(super) decoder: Decoder,
    /// Where the log is, once it has what was handed out.
    pub(super) after: Option<Place>,
    pub(super) spot: Spot,
    /// What comes before anything else.
    pub(super) first: Option<Vec<Change>>,
    /// Rows that fill a batch, about.
    pub(super) rows_at_once: usize,
    /// Somebody waits for the place to move on.
    pub(super) asked: bool,
    /// When a batch was handed out last, and when one with changes.
    pub(super) told: Instant,
    pub(super) read: Instant,
}

/// Why the reading cannot go on from where it is.
enum Lost {
    /// The taker is gone.
    Taker,
    Error(SourceError),
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Self::Error(failed(error))
    }
}

impl Reading {
    /// Reads until an error, which is handed out, or until nobody takes batches any more.
    pub(super) async fn run(mut self, batches: Batches) {
        let ended = match self.first.take() {
            Some(changes) => self.hand_out(&batches, changes).await,
            None => Ok(()),
        };
        let ended = match ended {
            Ok(()) => self.read_on(&batches).await,
            Err(lost) => lost,
        };
        if let Lost::Error(error) = ended {
            self.status.lock().problem = Some(error.to_string());
            // Who has gone needs no error.
            let _ = batches.send(Err(error)).await;
        }
        // The right to read ends with the connection.
        let _ = self.writer.disconnect().await;
    }

    async fn read_on(&mut self, batches: &Batches) -> Lost {
        loop {
            let rest = match self.step(batches).await {
                Ok(rest) => rest,
                Err(lost) => return lost,
            };
            tokio::select! {
                () = self.live.asked() => self.asked = true,
                () = batches.closed() => return Lost::Taker,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// Reads all that there is. Returns how long there is nothing to do.
    async fn step(&mut self, batches: &Batches) -> Result<Duration, Lost> {
        let asked = std::mem::take(&mut self.asked);
        let last = self.look().await?;
        let mut read = false;
        while self.spot.done < last {
            read |= self.page(batches, last).await?;
        }
        if read {
            self.read = Instant::now();
        } else if (asked || self.told.elapsed() >= IDLE_PLACE) && self.after.as_ref() != Some(&self.spot.to_place()) {
            self.hand_out(batches, Vec::new()).await?;
        }
        let active = self.read.elapsed() < ACTIVE;
        Ok(if active { self.settings.poll_active } else { self.settings.poll_idle })
    }

    /// The number of the last transaction that is there, once all are numbered. A look that takes too long is made on a dead
    /// connection.
    async fn look(&mut self) -> Result<u64, Lost> {
        let silent = |limit: Duration| {
            let message = format!("the database has not answered for {} s; a new connection is made", limit.as_secs());
            Lost::Error(SourceError::retry(message))
        };
        let limit = self.settings.dead_after;
        let sql = "SELECT seq, outbox, EXISTS (SELECT 1 FROM _rowcast_outbox WHERE seq IS NULL) FROM _rowcast_state WHERE one = 1";
        let looked = self.writer.query_first::<(u64, String, u8), _>(sql);
        let looked = tokio::time::timeout(limit, looked).await.map_err(|_| silent(limit))??;
        let Some((last, outbox, more)) = looked.filter(|(_, outbox, _)| **outbox == *self.spot.outbox) else {
            let message = "the outbox is not the one that was read; somebody has emptied it or set it up anew";
            return Err(Lost::Error(SourceError::retry(message)));
        };
        drop(outbox);
        if more == 0 {
            return Ok(last);
        }
        // There may be a lot to number.
        let limit = limit * 30;
        let numbered = sequence::sequence(&mut self.reader, &mut self.writer, &self.database);
        Ok(tokio::time::timeout(limit, numbered).await.map_err(|_| silent(limit))??)
    }

    /// Hands out the next rows, up to this transaction. Returns whether there was anything.
    async fn page(&mut self, batches: &Batches, last: u64) -> Result<bool, Lost> {
        let count = self.rows_at_once.clamp(1, self.settings.batch_rows.max(1));
        let inside = self.spot.inside.is_some();
        let from = match self.spot.inside {
            Some(Inside { seq, id }) => format!("seq = {seq} AND id > {id}"),
            None => format!("seq > {} AND seq <= {last}", self.spot.done),
        };
        // One more, to see whether the transaction goes on.
        let sql = format!(
            "SELECT id, seq, shape, op, `old`, `new` FROM _rowcast_outbox FORCE INDEX (seq) WHERE {from} ORDER BY seq, id LIMIT {}",
            count + 1
        );
        let mut rows: Vec<Written> = self
            .reader
            .query_map(sql, |(id, seq, shape, op, old, new)| Written { id, seq, shape, op, old, new })
            .await?;
        let weight: usize = rows.iter().map(Written::weight).sum();
        let each = weight / rows.len().max(1) + 1;
        self.rows_at_once = (self.settings.batch_bytes / each).clamp(1, self.settings.batch_rows.max(1));
        let next = if rows.len() > count { rows.pop() } else { None };
        if rows.iter().any(|row| !self.decoder.knows(row)) {
            self.decoder.learn(Shapes::load(&mut self.reader).await?);
            let tables = self.decoder.captured();
            self.status.lock().tables = tables.iter().map(TableName::to_string).collect();
        }
        let mut changes: Vec<Change> = Vec::with_capacity(rows.len());
        let begun = self.spot.inside.map(|inside| inside.seq);
        for (n, row) in rows.iter().enumerate() {
            let following = rows.get(n + 1).or(next.as_ref());
            let ends = following.is_none_or(|following| following.seq != row.seq);
            changes.extend(self.decoder.change(row));
            if ends {
                match changes.last_mut().filter(|change| change.tx == row.seq) {
                    Some(change) => change.last = true,
                    None if begun == Some(row.seq) => changes.extend(self.decoder.end(row)),
                    None => {}
                }
            }
            (self.spot.done, self.spot.inside) = match ends {
                true => (row.seq, None),
                false => (self.spot.done.max(row.seq - 1), Some(Inside { seq: row.seq, id: row.id })),
            };
        }
        if rows.is_empty() && inside {
            let message = "rows of the outbox are gone that were not read; somebody has removed them";
            return Err(Lost::Error(SourceError::retry(message)));
        }
        if next.is_none() && !inside {
            // Numbers of which there is no row hold nothing up.
            self.spot.done = last;
        }
        let any = !changes.is_empty();
        if any {
            self.hand_out(batches, changes).await?;
        }
        Ok(any)
    }

    async fn hand_out(&mut self, batches: &Batches, changes: Vec<Change>) -> Result<(), Lost> {
        let place = self.spot.to_place();
        {
            let mut status = self.status.lock();
            status.place = Some(place.0.to_string());
            status.lag_events = Some(0);
        }
        let origin = Some(Origin { source: self.name.clone(), after: self.after.replace(place.clone()), place });
        batches.send(Ok(Batch { origin, changes })).await.map_err(|_| Lost::Taker)?;
        self.told = Instant::now();
        Ok(())
    }
}

impl Written {
    fn weight(&self) -> usize {
        64 + self.old.as_ref().map_or(0, String::len) + self.new.as_ref().map_or(0, String::len)
    }
}

/// The outbox could not be read.
pub(super) fn failed(error: Error) -> SourceError {
    let message = match &error {
        Error::Server(said) => format!("the outbox cannot be read: {}", said.message),
        error => format!("the outbox cannot be read: {error}"),
    };
    // A right that is missing comes back by no waiting.
    let stop = matches!(&error, Error::Server(said) if matches!(said.code, 1142 | 1143 | 1044 | 1227));
    match stop {
        true => SourceError::Stop { message, cause: Some(error.into()) },
        false => SourceError::Retry { message, cause: Some(error.into()) },
    }
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
