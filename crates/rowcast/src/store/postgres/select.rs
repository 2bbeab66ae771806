//! Snapshots: rows as of one moment, fetched from a cursor and handed out in chunks while they are taken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::literal::{literals, quote_table, typed};
use super::pool::{Lent, within};
use super::refused::refused;
use super::{Select, Server, Snapshot, StoreError};
use crate::event::{Row, Value};
use crate::postgres::catalog::Described;
use crate::postgres::name::quote;
use crate::postgres::types::Kind;

/// Rows in one chunk, at most.
const CHUNK_ROWS: usize = 500;
/// Bytes in one chunk, about.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait to be taken.
const CHUNKS_WAITING: usize = 4;
/// Bytes fetched at once, about: while they are handed out, the next are fetched.
const FETCH_BYTES: usize = 256 << 10;
/// Rows fetched first, when it is not known yet how wide they are, and at most.
const FETCH_FIRST: usize = 32;
const FETCH_MAX: usize = 4_000;
/// How long the server may take over one statement: a large table may have to be sorted.
const PATIENCE: Duration = Duration::from_secs(900);
/// How often it is looked whether somebody wants to alter the table, and how long they have to wait at least.
const YIELD: Duration = Duration::from_secs(1);

type Chunk = Result<Vec<Row>, StoreError>;

/// Begins a snapshot. It is read on while it is taken.
pub(super) async fn snapshot(server: &Arc<Server>, select: Select) -> Result<Snapshot, StoreError> {
    let mut lent = server.pool.for_reading().await?;
    let moment = server.begin_reading(&mut lent, &select.table, PATIENCE).await?;
    server.become_role(&lent, &moment.described, select.role.as_deref()).await?;
    let place = server.place(&moment).await?;
    let mut params = Vec::new();
    let query = sql(&moment.described, &select, &mut params);
    let declare = format!("DECLARE rowcast_rows NO SCROLL CURSOR FOR {query}");
    let declared = async { Ok(lent.client().execute_typed(&declare, &typed(&literals(&params))).await) };
    within(declared).await?.map_err(|error| server.refused_on(&select.table.name, error))?;
    let (chunks, rows) = mpsc::channel(CHUNKS_WAITING);
    let kinds = moment.described.columns.iter().map(|column| server.types.get(column.oid)).collect();
    let reading = Reading {
        server: server.clone(),
        described: moment.described.clone(),
        kinds,
        chunks: chunks.clone(),
        looked: Instant::now(),
    };
    let snapshot = Snapshot { table: moment.described.table.clone(), mark: moment.mark(), place, rows };
    tokio::spawn(async move {
        // The connection is free before the end is told.
        if let Err(error) = reading.run(lent).await {
            // Who does not listen any more need not know.
            let _ = chunks.send(Err(error)).await;
        }
    });
    Ok(snapshot)
}

struct Reading {
    server: Arc<Server>,
    described: Arc<Described>,
    kinds: Box<[Arc<Kind>]>,
    chunks: mpsc::Sender<Chunk>,
    looked: Instant,
}

/// Some rows, and whether they are the last.
struct Fetched {
    rows: Vec<Row>,
    bytes: usize,
    last: bool,
}

impl Reading {
    async fn run(mut self, lent: Lent) -> Result<(), StoreError> {
        let mut fetched = self.fetch(&lent, FETCH_FIRST).await?;
        while !fetched.last {
            let each = fetched.bytes / fetched.rows.len().max(1);
            let next = (FETCH_BYTES / each.max(1)).clamp(1, FETCH_MAX);
            let (sent, more) = tokio::join!(self.send(fetched.rows), self.fetch(&lent, next));
            if !sent? {
                lent.end().await;
                return Ok(());
            }
            fetched = more?;
            self.make_way(&lent).await?;
        }
        lent.end().await;
        self.send(fetched.rows).await.map(|_| ())
    }

    async fn fetch(&self, lent: &Lent, count: usize) -> Result<Fetched, StoreError> {
        tokio::select! {
            fetched = self.rows(lent, count) => fetched.map_err(refused),
            // What is under way is stopped with the connection.
            () = self.chunks.closed() => Err(StoreError::Unavailable("nobody takes the rows any more".to_owned())),
        }
    }

    async fn rows(&self, lent: &Lent, count: usize) -> Result<Fetched, tokio_postgres::Error> {
        let stream = lent.client().simple_query_raw(&format!("FETCH {count} FROM rowcast_rows")).await?;
        let mut messages = std::pin::pin!(stream);
        let (mut rows, mut bytes) = (Vec::with_capacity(count), 0);
        while let Some(message) = messages.try_next().await? {
            if let SimpleQueryMessage::Row(row) = message {
                let row = self.row(&row)?;
                bytes += row.weight();
                rows.push(row);
            }
        }
        let last = rows.len() < count;
        Ok(Fetched { rows, bytes, last })
    }

    fn row(&self, row: &SimpleQueryRow) -> Result<Row, tokio_postgres::Error> {
        let value =
            |(n, kind): (usize, &Arc<Kind>)| Ok(row.try_get(n)?.map_or(Value::Null, |text| kind.from_text(text)));
        self.kinds.iter().enumerate().map(value).collect::<Result<Vec<Value>, _>>().map(Row::from)
    }

    /// Returns whether there is still somebody who takes them.
    async fn send(&self, rows: Vec<Row>) -> Result<bool, StoreError> {
        let stall = self.server.settings.snapshot_stall;
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            bytes += row.weight();
            chunk.push(row);
            if rows.peek().is_none() || chunk.len() >= CHUNK_ROWS || bytes >= CHUNK_BYTES {
                bytes = 0;
                match self.chunks.send_timeout(Ok(std::mem::take(&mut chunk)), stall).await {
                    Ok(()) => {}
                    Err(SendTimeoutError::Closed(_)) => return Ok(false),
                    Err(SendTimeoutError::Timeout(_)) => return Err(StoreError::TooSlow(stall)),
                }
            }
        }
        Ok(true)
    }

    /// Ends the snapshot when somebody waits to alter the table: behind them, everybody else waits, too.
    async fn make_way(&mut self, lent: &Lent) -> Result<(), StoreError> {
        if self.looked.elapsed() < YIELD {
            return Ok(());
        }
        let sql = format!(
            "SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' AND NOT l.granted \
             AND l.mode = 'AccessExclusiveLock' AND l.waitstart < pg_catalog.clock_timestamp() - interval '{} ms' \
             AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
             AND l.relation IN (SELECT {oid}::oid UNION ALL SELECT relid FROM pg_catalog.pg_partition_tree({oid}::oid)) LIMIT 1",
            YIELD.as_millis(),
            oid = self.described.oid,
        );
        let waiting = within(lent.client().query_typed(&sql, &[])).await?;
        self.looked = Instant::now();
        if waiting.is_empty() { Ok(()) } else { Err(self.server.altered(&self.described.table.name)) }
    }
}

impl Lent {
    /// Ends the transaction, and lends the connection to the next one.
    pub(super) async fn end(self) {
        // A connection that cannot end its transaction is not used again.
        if within(self.client().batch_execute("ROLLBACK")).await.is_ok() {
            self.back();
        }
    }
}

fn sql(described: &Described, select: &Select, params: &mut Vec<Value>) -> String {
    let filter = select.filter.as_ref().map(|filter| {
        let mut sql = String::new();
        filter.push_sql(&mut sql, params);
        sql
    });
    let order = Order::new(described, select);
    let wanted = select.limit.map(|limit| (limit, limit.saturating_add(select.offset)));
    let (Some((limit, rows)), Some(first)) = (wanted, order.apart(described)) else {
        let page = page(select.limit, select.offset);
        return format!("{}{}{page}", rows_where(described, select, filter.iter()), order.sql(described, &order.terms));
    };
    // An index has its NULLs at the other end: each half is read in the index's own order.
    let name = quote(&described.table.columns[first.column].name);
    let (is_null, is_not_null) = (format!("{name} IS NULL"), format!("{name} IS NOT NULL"));
    let half = |condition: &String, terms: &[Term]| {
        let rows_of = rows_where(described, select, filter.iter().chain([condition]));
        format!("({rows_of}{}{})", order.sql(described, terms), page(Some(rows), 0))
    };
    let sure = Term { nulls: false, ..first };
    let mut terms = order.terms.clone();
    terms[0] = sure;
    let (nulls, values) = (half(&is_null, &order.terms[1..]), half(&is_not_null, &terms));
    let (one, other) = if first.down { (values, nulls) } else { (nulls, values) };
    format!("SELECT * FROM ({one} UNION ALL {other}) AS rows{}", page(Some(limit), select.offset))
}

/// `SELECT` the table's rows that fulfil the conditions.
fn rows_where<'a>(described: &Described, select: &Select, conditions: impl Iterator<Item = &'a String>) -> String {
    // A role may have been given some columns only.
    let readable = select.role.as_ref().and_then(|role| role.readable.as_deref());
    let columns = described.table.columns.iter().enumerate().map(|(n, column)| {
        let name = quote(&column.name);
        if readable.is_none_or(|readable| readable.contains(&n)) { name } else { format!("NULL AS {name}") }
    });
    let columns: Vec<String> = columns.collect();
    let conditions: Vec<&str> = conditions.map(String::as_str).collect();
    let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    format!("SELECT {} FROM {}{filter}", columns.join(", "), described.rows_of())
}

fn page(limit: Option<u64>, offset: u64) -> String {
    let bigint = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let limit = limit.map_or_else(String::new, |limit| format!(" LIMIT {}", bigint(limit)));
    if offset > 0 { format!("{limit} OFFSET {}", bigint(offset)) } else { limit }
}

impl Described {
    /// The table after FROM. Of a table that others inherit from, its own rows only: theirs are told as theirs.
    pub(super) fn rows_of(&self) -> String {
        format!("{}{}", if self.partitioned { "" } else { "ONLY " }, quote_table(&self.table.name))
    }
}

/// What was asked for, then the key in the direction of what was asked for last: an index walked either way gives that.
struct Order {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, Copy)]
struct Term {
    column: usize,
    down: bool,
    /// Texts are compared byte by byte, whatever the column's collation: clients keep the order themselves.
    bytewise: bool,
    /// There may be NULLs, which are the smallest.
    nulls: bool,
}

impl Order {
    fn new(described: &Described, select: &Select) -> Self {
        let mut terms: Vec<Term> = Vec::new();
        let has = |terms: &[Term], column| terms.iter().any(|term: &Term| term.column == column);
        for asked in &select.order_by {
            if let Some(detail) = described.columns.get(asked.column)
                && !has(&terms, asked.column)
            {
                let (bytewise, nulls) = (detail.collated, !detail.not_null);
                terms.push(Term { column: asked.column, down: asked.descending, bytewise, nulls });
            }
        }
        let down = terms.last().is_some_and(|term| term.down);
        for &column in &described.table.key {
            if !has(&terms, column) {
                // The key's own index is faster than any other order, and tells rows apart as well.
                terms.push(Term { column, down, bytewise: false, nulls: false });
            }
        }
        Self { terms }
    }

    /// The first term, where an index of its column gives the order but for NULLs.
    fn apart(&self, described: &Described) -> Option<Term> {
        let first = *self.terms.first()?;
        (first.nulls && !first.bytewise && described.columns[first.column].indexed).then_some(first)
    }

    fn sql(&self, described: &Described, terms: &[Term]) -> String {
        let term = |term: &Term| {
            let name = quote(&described.table.columns[term.column].name);
            let collate = if term.bytewise { " COLLATE \"C\"" } else { "" };
            let direction = match (term.down, term.nulls) {
                (false, false) => "",
                (false, true) => " NULLS FIRST",
                (true, false) => " DESC",
                (true, true) => " DESC NULLS LAST",
            };
            format!("{name}{collate}{direction}")
        };
        let terms: Vec<String> = terms.iter().map(term).collect();
        if terms.is_empty() { String::new() } else { format!(" ORDER BY {}", terms.join(", ")) }
    }
}
