//! Snapshots: rows as of one moment, read as they arrive and handed out in chunks while they are taken.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::Params;
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;

use super::pool::Lent;
use super::{Select, Server, Snapshot, StoreError, kinds, quote, value};
use crate::event::{Row, Table, Value};
use crate::mysql::Kind;

/// Rows in one chunk, at most.
const CHUNK_ROWS: usize = 500;
/// Bytes in one chunk, about.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait to be taken. While they do, the server waits, too.
const CHUNKS_WAITING: usize = 4;
/// How long the server may take until the first row: a large table may have to be sorted.
const PATIENCE: Duration = Duration::from_secs(900);

type Chunk = Result<Vec<Row>, StoreError>;

/// Begins a snapshot. It is read on while it is taken.
pub(super) async fn snapshot(server: &Arc<Server>, select: Select) -> Result<Snapshot, StoreError> {
    let mut lent = server.pool.for_reading().await?;
    let moment = match server.begin_reading(&mut lent, &select.table).await {
        Ok(moment) => moment,
        Err(error) => {
            lent.end().await;
            return Err(error);
        }
    };
    let mut params = Vec::new();
    let sql = sql(&select, &mut params);
    let (chunks, rows) = mpsc::channel(CHUNKS_WAITING);
    let table = moment.described.table.clone();
    let reading = Reading { server: server.clone(), kinds: kinds(&table), table: table.clone(), chunks };
    tokio::spawn(async move {
        let chunks = reading.chunks.clone();
        let read = tokio::select! {
            read = reading.run(lent, &sql, &params) => read,
            // What is under way is stopped with the connection.
            () = chunks.closed() => Ok(()),
        };
        if let Err(error) = read {
            // Who does not listen any more need not know.
            let _ = chunks.send(Err(error)).await;
        }
    });
    Ok(Snapshot { table, mark: moment.mark, place: moment.place, rows })
}

struct Reading {
    server: Arc<Server>,
    table: Arc<Table>,
    kinds: Box<[Kind]>,
    chunks: mpsc::Sender<Chunk>,
}

impl Reading {
    /// Reads everything; the connection is free before the last rows are handed out.
    async fn run(&self, mut lent: Lent, sql: &str, params: &[Value]) -> Result<(), StoreError> {
        let last = self.rows(&mut lent, sql, params).await?;
        lent.end().await;
        if !last.is_empty() {
            self.send(last).await?;
        }
        Ok(())
    }

    async fn rows(&self, lent: &mut Lent, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let failed = |error| self.server.refused_on(&self.table.name, error);
        let params = value::parameters(params);
        let params = if params.is_empty() { Params::Empty } else { Params::Positional(params) };
        let late = |_| StoreError::Unavailable(format!("no row has come for {} s", PATIENCE.as_secs()));
        let begun = tokio::time::timeout(PATIENCE, lent.exec_iter(sql, params)).await.map_err(late)?;
        let mut result = begun.map_err(failed)?;
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while let Some(row) = tokio::time::timeout(PATIENCE, result.next()).await.map_err(late)?.map_err(failed)? {
            if chunk.len() >= CHUNK_ROWS || bytes >= CHUNK_BYTES {
                bytes = 0;
                self.send(std::mem::take(&mut chunk)).await?;
            }
            let row = self.row(row);
            bytes += row.weight();
            chunk.push(row);
        }
        Ok(chunk)
    }

    fn row(&self, row: mysql_async::Row) -> Row {
        let values = self.kinds.iter().zip(row.unwrap()).map(|(kind, raw)| value::read(kind, raw));
        Row::from(values.collect::<Vec<Value>>())
    }

    async fn send(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let stall = self.server.settings.snapshot_stall;
        match self.chunks.send_timeout(Ok(rows), stall).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_)) => {
                Err(StoreError::Unavailable("nobody takes the rows any more".to_owned()))
            }
            Err(SendTimeoutError::Timeout(_)) => Err(StoreError::TooSlow(stall)),
        }
    }
}

fn sql(select: &Select, params: &mut Vec<Value>) -> String {
    let table = &select.table;
    let columns: Vec<String> = table.columns.iter().map(|column| quote(&column.name)).collect();
    let mut sql = format!("SELECT {} FROM {}", columns.join(", "), quote(&table.name.name));
    if let Some(filter) = &select.filter {
        sql.push_str(" WHERE ");
        filter.push_sql(&mut sql, params);
    }
    let order = order(select);
    if !order.is_empty() {
        sql.push_str(&format!(" ORDER BY {}", order.join(", ")));
    }
    if select.limit.is_some() || select.offset > 0 {
        // There is no offset without a limit.
        sql.push_str(&format!(" LIMIT {}", select.limit.unwrap_or(u64::MAX)));
    }
    if select.offset > 0 {
        sql.push_str(&format!(" OFFSET {}", select.offset));
    }
    sql
}

/// What was asked for, then the key in the direction of what was asked for last: an index walked either way gives that.
/// NULL is the smallest here by itself.
fn order(select: &Select) -> Vec<String> {
    let table = &select.table;
    let mut terms: Vec<(usize, bool, bool)> = Vec::new();
    for asked in &select.order_by {
        if asked.column < table.columns.len() && terms.iter().all(|(column, ..)| *column != asked.column) {
            terms.push((asked.column, asked.descending, true));
        }
    }
    let down = terms.last().is_some_and(|(_, down, _)| *down);
    for &column in &table.key {
        if terms.iter().all(|(known, ..)| *known != column) {
            // The key's own index is faster than any other order, and tells rows apart as well.
            terms.push((column, down, false));
        }
    }
    let term = |(column, down, asked): (usize, bool, bool)| {
        let column = &table.columns[column];
        let name = quote(&column.name);
        // Texts are compared byte by byte, whatever the column's collation: clients keep the order themselves.
        let is_text = matches!(Kind::of(&column.declared), Kind::Text | Kind::Enum(_) | Kind::Set(_));
        let term = if asked && is_text { format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)") } else { name };
        if down { format!("{term} DESC") } else { term }
    };
    terms.into_iter().map(term).collect()
}
