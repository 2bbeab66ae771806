//! Snapshots: rows as of one moment, handed out in chunks while they are read.

use std::sync::Arc;

use rusqlite::{Connection, Row as SqlRow};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, oneshot};

use super::pool::Pool;
use super::{Select, Snapshot, StoreError, find_same, refused};
use crate::event::{Mark, Row, Table, Value};
use crate::sqlite::catalog::Described;
use crate::sqlite::name::quote;
use crate::sqlite::value::{self, Bound};

/// Rows in one chunk, at most.
const CHUNK_ROWS: usize = 500;
/// Bytes in one chunk, about.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait to be taken. A small result does not need anybody to take it before it is whole.
const CHUNKS_WAITING: usize = 8;

type Chunk = Result<Vec<Row>, StoreError>;

/// Begins a snapshot. It is read on while it is taken.
pub(crate) async fn snapshot(pool: &Arc<Pool>, select: Select) -> Result<Snapshot, StoreError> {
    let (chunks, rows) = mpsc::channel(CHUNKS_WAITING);
    let (begun, begins) = oneshot::channel();
    let gone = chunks.clone();
    let (pool, handle) = (pool.clone(), Handle::current());
    tokio::spawn(async move {
        let mut reading = Reading { handle, chunks, begun: Some(begun) };
        let end = Ending { chunks: reading.chunks.clone() };
        let read = pool.run(move || gone.is_closed(), move |pool, connection| reading.read(pool, connection, &select));
        let outcome =
            read.await.unwrap_or_else(|| Err(StoreError::Unavailable("a reading thread has ended".to_owned())));
        end.tell(outcome).await;
    });
    match begins.await {
        Ok((table, mark, place)) => Ok(Snapshot { table, mark, place, rows }),
        // It failed before the first row; why is the only thing that was sent.
        Err(_) => Err(first_error(rows).await),
    }
}

async fn first_error(mut rows: mpsc::Receiver<Chunk>) -> StoreError {
    match rows.recv().await {
        Some(Err(error)) => error,
        _ => StoreError::Unavailable("the snapshot ended before it began".to_owned()),
    }
}

type Begin = (Arc<Table>, Mark, crate::event::Place);

struct Reading {
    handle: Handle,
    chunks: mpsc::Sender<Chunk>,
    begun: Option<oneshot::Sender<Begin>>,
}

/// Tells the reader of a snapshot that it ended before its time, when no connection is held any more.
struct Ending {
    chunks: mpsc::Sender<Chunk>,
}

impl Ending {
    async fn tell(self, outcome: Result<(), StoreError>) {
        if let Err(error) = outcome {
            // Who does not listen any more need not know.
            let _ = self.chunks.send(Err(error)).await;
        }
    }
}

impl Reading {
    fn read(&mut self, pool: &Pool, connection: &Connection, select: &Select) -> Result<(), StoreError> {
        let place = pool.begin_snapshot(connection)?;
        let catalog = pool.catalog(connection)?;
        let described = find_same(&catalog, &select.table)?;
        let mut params = Vec::new();
        let sql = sql(&described, select, &mut params);
        let mut statement = connection.prepare_cached(&sql).map_err(refused)?;
        let begin = (described.table.clone(), Mark::UpTo(place.seq), place.to_place());
        if self.begun.take().is_none_or(|begun| begun.send(begin).is_err()) {
            return Ok(());
        }
        let width = described.table.columns.len();
        let mut rows = statement.query(rusqlite::params_from_iter(params.iter().map(Bound))).map_err(refused)?;
        let (mut chunk, mut weight) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(refused)? {
            let row = read_row(row, width).map_err(refused)?;
            weight += row.values.iter().map(value::weight).sum::<usize>();
            chunk.push(row);
            if chunk.len() >= CHUNK_ROWS || weight >= CHUNK_BYTES {
                weight = 0;
                if !self.send(std::mem::take(&mut chunk), pool)? {
                    return Ok(());
                }
            }
        }
        if !chunk.is_empty() {
            self.send(chunk, pool)?;
        }
        Ok(())
    }

    /// Returns whether there is still somebody who takes them.
    fn send(&self, chunk: Vec<Row>, pool: &Pool) -> Result<bool, StoreError> {
        let stall = pool.settings.snapshot_stall;
        match self.handle.block_on(self.chunks.send_timeout(Ok(chunk), stall)) {
            Ok(()) => Ok(true),
            Err(SendTimeoutError::Closed(_)) => Ok(false),
            Err(SendTimeoutError::Timeout(_)) => Err(StoreError::TooSlow(stall)),
        }
    }
}

pub(super) fn read_row(row: &SqlRow<'_>, width: usize) -> rusqlite::Result<Row> {
    let values: rusqlite::Result<Vec<Value>> = (0..width).map(|n| Ok(value::read(row.get_ref(n)?))).collect();
    values.map(Row::from)
}

fn sql(described: &Described, select: &Select, params: &mut Vec<Value>) -> String {
    let table = &described.table;
    let columns: Vec<String> = (0..table.columns.len()).map(|n| described.column_sql(n)).collect();
    let mut sql = format!("SELECT {} FROM {}", columns.join(","), quote(&table.name.name));
    if let Some(filter) = &select.filter {
        sql.push_str(" WHERE ");
        filter.push_sql(&mut sql, params);
    }
    // Texts are ordered byte by byte, whatever the column's collation: clients keep the order themselves.
    let order = order(table, select);
    if !order.is_empty() {
        let terms: Vec<String> = order
            .iter()
            .map(|(n, down)| format!("{} COLLATE BINARY{}", columns[*n], if *down { " DESC" } else { "" }))
            .collect();
        sql.push_str(&format!(" ORDER BY {}", terms.join(",")));
    }
    if select.limit.is_some() || select.offset > 0 {
        let limit = select.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        params.push(Value::Int(limit));
        params.push(Value::Int(i64::try_from(select.offset).unwrap_or(i64::MAX)));
        sql.push_str(&format!(" LIMIT ?{} OFFSET ?{}", params.len() - 1, params.len()));
    }
    sql
}

/// What was asked for, then the key in the direction of what was asked for last: an index on that column, walked either
/// way, gives just this order.
fn order(table: &Table, select: &Select) -> Vec<(usize, bool)> {
    let mut order: Vec<(usize, bool)> = Vec::new();
    for term in &select.order_by {
        if !order.iter().any(|(column, _)| *column == term.column) && term.column < table.columns.len() {
            order.push((term.column, term.descending));
        }
    }
    let down = order.last().is_some_and(|(_, down)| *down);
    for &column in &table.key {
        if !order.iter().any(|(known, _)| *known == column) {
            order.push((column, down));
        }
    }
    order
}
