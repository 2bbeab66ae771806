//! Where a reading begins: after the place that the log has, or, where that is no longer possible, with a reset of everything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::decode::Decoder;
use super::reading::{Reading, failed, now_ms};
use super::spot::{Inside, Spot};
use crate::event::{Body, Change, Channel, Place, ResetCause, TableName};
use crate::mysql::shape::Shapes;
use crate::mysql::{Address, Live, MysqlSettings, install, sequence};
use crate::source::{SourceError, SourceStatus};

/// Seconds after which the server gives up a reader that is silent, and with it the right to read.
const SILENCE: u32 = 60;
/// How long others may have a lock that is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

impl Reading {
    /// Connects, and decides where to begin for a log that stands at `place`.
    pub(super) async fn begin(
        name: Arc<str>,
        address: &Address,
        settings: MysqlSettings,
        live: Arc<Live>,
        status: Arc<Mutex<SourceStatus>>,
        place: Option<Place>,
    ) -> Result<Self, SourceError> {
        let dead_after = settings.dead_after;
        let (mut reader, mut writer) = (address.connect().await?, address.connect().await?);
        if !within(dead_after, install::is_made(&mut writer)).await?? {
            return Err(SourceError::stop("the outbox is not set up in this database; run `rowcast setup` first"));
        }
        within(dead_after + PATIENCE, alone(&mut writer, address.database())).await??;
        let problem = match within(dead_after * 10 + PATIENCE, install::refresh(&mut writer, &settings)).await? {
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        // There may be a lot to number.
        let numbered = sequence::sequence(&mut reader, &mut writer, address.database());
        let last = within(dead_after * 30, numbered).await?.map_err(failed)?;
        let outbox: Option<String> =
            within(dead_after, reader.query_first("SELECT outbox FROM _rowcast_state WHERE one = 1"))
                .await?
                .map_err(failed)?;
        let fresh = Spot { done: last, outbox: outbox.unwrap_or_default().into(), inside: None };
        let shapes = within(dead_after, Shapes::load(&mut reader)).await?.map_err(failed)?;
        let captured = shapes.captured();
        let (spot, first) = match &place {
            None => (fresh, Some(Vec::new())),
            Some(known) => match Spot::of(known).ok_or(OTHER).and_then(|spot| continues(spot, &fresh)) {
                Ok(spot) => (spot, None),
                Err(reason) => (fresh, Some(resets(last, &captured, reason))),
            },
        };
        let current = within(dead_after * 30, current(&mut reader, &spot)).await?.map_err(failed)?;
        {
            let mut status = status.lock();
            status.tables = captured.iter().map(TableName::to_string).collect();
            status.place = Some(spot.to_place().0.into());
            status.problem = problem;
        }
        Ok(Self {
            name,
            database: address.database().into(),
            settings,
            live,
            status,
            reader,
            writer,
            decoder: Decoder::new(shapes, current),
            after: place,
            spot,
            first,
            rows_at_once: 256,
            asked: false,
            told: Instant::now(),
            read: Instant::now(),
        })
    }
}

/// An answer, unless the connection seems to be dead.
async fn within<T>(limit: Duration, answer: impl Future<Output = T>) -> Result<T, SourceError> {
    tokio::time::timeout(limit, answer).await.map_err(|_| {
        SourceError::retry(format!("the database has not answered for {} s; a new connection is made", limit.as_secs()))
    })
}

/// The newest shape of each table whose mark was read before this place.
async fn current(reader: &mut Conn, spot: &Spot) -> Result<HashMap<TableName, u64>, mysql_async::Error> {
    let read = match spot.inside {
        Some(Inside { seq, id }) => format!("AND NOT (seq = {seq} AND id <= {id})"),
        None => String::new(),
    };
    let sql = format!(
        "SELECT name, MAX(id) FROM _rowcast_shapes WHERE done = 1 AND id NOT IN (SELECT shape FROM _rowcast_outbox \
         WHERE op = 'R' AND (seq IS NULL OR seq > {done}) {read}) GROUP BY name",
        done = spot.done
    );
    let rows: Vec<(String, u64)> = reader.query(sql).await?;
    Ok(rows.into_iter().map(|(name, shape)| (TableName::bare(&name), shape)).collect())
}

const OTHER: &str = "the log stands at a place of another way of capturing changes";

/// The place, where the outbox still has all that comes after it.
fn continues(spot: Spot, fresh: &Spot) -> Result<Spot, &'static str> {
    if spot.outbox != fresh.outbox {
        return Err("the outbox was set up anew since it was read last");
    }
    if spot.done > fresh.done {
        return Err("the database was set back to an earlier state");
    }
    Ok(spot)
}

fn resets(tx: u64, tables: &[TableName], reason: &str) -> Vec<Change> {
    let mut changes: Vec<Change> = tables
        .iter()
        .map(|table| Change {
            tx,
            last: false,
            time_ms: now_ms(),
            body: Body::Reset {
                channel: Channel::Table(table.clone()),
                cause: ResetCause::Missed,
                reason: reason.into(),
            },
        })
        .collect();
    if let Some(last) = changes.last_mut() {
        last.last = true;
    }
    changes
}

/// Takes the right to read, which is of one connection at a time: what one reader has read is removed for all.
async fn alone(conn: &mut Conn, database: &str) -> Result<(), SourceError> {
    conn.query_drop(format!("SET SESSION wait_timeout = {SILENCE}")).await.map_err(failed)?;
    let name = sequence::name("reader", database);
    let got: Option<Option<u8>> = conn.exec_first("SELECT GET_LOCK(?, 5)", (&name,)).await.map_err(failed)?;
    if got.flatten() == Some(1) {
        return Ok(());
    }
    let holder: Option<Option<u64>> = conn.exec_first("SELECT IS_USED_LOCK(?)", (&name,)).await.map_err(failed)?;
    let holder = holder.flatten().map(|id| format!(" (connection {id})")).unwrap_or_default();
    Err(SourceError::retry(format!(
        "another Rowcast reads the outbox of this database{holder}; only one can. Should it be gone for good, its right ends \
         within {SILENCE} s"
    )))
}
