//! What is remembered of deliveries, to look at, to take away, and to forget.

use std::sync::Arc;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

use super::pool::within;
use super::refused::{is_altered, refused};
use super::{Server, StoreError};
use crate::postgres::install;
use crate::store::delivery::{KEYS_KEPT, KEYS_KEPT_FOR, KEYS_PRUNED_EVERY};
use crate::store::{DeadLetter, DeadLetters, Progress};

/// Keys that are forgotten in one transaction.
const PRUNED_AT_ONCE: u64 = 10_000;

/// A number as PostgreSQL keeps it.
pub(super) fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A text as PostgreSQL takes it: it has none with a zero in it.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

/// How far the database has a source's records.
pub(super) async fn progress(client: &Client, source: &str) -> Result<Option<Progress>, Error> {
    let sql = "SELECT life, upto FROM rowcast.progress WHERE source = $1";
    let rows = client.query_typed(sql, &[(&text(source), Type::TEXT)]).await?;
    Ok(rows
        .first()
        .map(|row| Progress { life: row.get::<_, String>(0).into(), upto: row.get::<_, i64>(1).unsigned_abs() }))
}

/// Those that are asked for, newest first.
pub(super) async fn read(client: &Client, which: &DeadLetters) -> Result<Vec<DeadLetter>, Error> {
    let mut conditions = vec!["true".to_owned()];
    let (source, before) = (which.source.as_deref().map(text), which.before.map(number));
    let ids: Vec<i64> = which.ids.iter().map(|id| number(*id)).collect();
    let mut params: Vec<(&(dyn ToSql + Sync), Type)> = Vec::new();
    if source.is_some() {
        params.push((&source, Type::TEXT));
        conditions.push(format!("source = ${}", params.len()));
    }
    if before.is_some() {
        params.push((&before, Type::INT8));
        conditions.push(format!("id < ${}", params.len()));
    }
    if !ids.is_empty() {
        params.push((&ids, Type::INT8_ARRAY));
        conditions.push(format!("id = ANY (${})", params.len()));
    }
    let sql = format!(
        "SELECT id, source, \"table\", pg_catalog.floor(extract(epoch FROM time) * 1000)::int8, line, \"column\", reason, raw \
         FROM rowcast.dead_letters WHERE {} ORDER BY id DESC LIMIT {}",
        conditions.join(" AND "),
        which.limit()
    );
    let rows = client.query_typed(&sql, &params).await?;
    let letters = rows.iter().map(|row| {
        let number = |column| row.get::<_, i64>(column).unsigned_abs();
        DeadLetter {
            id: number(0),
            source: row.get(1),
            table: row.get(2),
            time_ms: number(3),
            line: number(4),
            column: row.get(5),
            reason: row.get(6),
            raw: row.get(7),
        }
    });
    Ok(letters.collect())
}

/// How many there are of each source.
pub(super) async fn counts(client: &Client) -> Result<Vec<(String, u64)>, Error> {
    let sql = "SELECT source, pg_catalog.count(*) FROM rowcast.dead_letters GROUP BY source ORDER BY source";
    let rows = client.query_typed(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get::<_, i64>(1).unsigned_abs())).collect())
}

/// Removes dead letters. Returns how many there were.
pub(super) async fn bury(client: &Client, ids: &[u64]) -> Result<u64, Error> {
    let ids: Vec<i64> = ids.iter().map(|id| number(*id)).collect();
    let sql = "DELETE FROM rowcast.dead_letters WHERE id = ANY ($1)";
    client.execute_typed(sql, &[(&ids, Type::INT8_ARRAY)]).await
}

/// Some keys that nothing needs any more: old, and followed by many.
async fn forget_some(client: &Client) -> Result<u64, Error> {
    let sql = format!(
        "DELETE FROM rowcast.record_keys WHERE ctid = ANY (ARRAY(SELECT k.ctid FROM rowcast.record_keys k \
         LEFT JOIN rowcast.progress p USING (source) \
         WHERE k.time < pg_catalog.now() - interval '{} s' AND k.n <= coalesce(p.keys - {KEYS_KEPT}, k.n) \
         LIMIT {PRUNED_AT_ONCE}))",
        KEYS_KEPT_FOR.as_secs()
    );
    client.execute_typed(&sql, &[]).await
}

impl Server {
    /// The answer to a question of a moment about Rowcast's own tables; nothing where they are not there yet.
    pub(super) async fn ask_own<T: Default>(
        &self,
        ask: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let client = self.pool.shared().await?;
        let answer = self.pool.answer(&client, async { Ok(ask(&client).await) }).await?;
        match answer {
            Err(error) if is_altered(&error) => Ok(T::default()),
            answer => answer.map_err(refused),
        }
    }

    /// Makes the tables that remember deliveries.
    pub(super) async fn make_delivered(&self) -> Result<(), StoreError> {
        let lent = self.pool.for_writing().await?;
        let made = within(async { Ok(install::make_delivered(lent.client()).await) }).await?;
        made.map_err(|error| {
            if error.retry { StoreError::Unavailable(error.message) } else { StoreError::Refused(error.message) }
        })?;
        lent.back();
        Ok(())
    }

    /// Now and then, beside everything else, forgets keys that are old.
    pub(super) fn forget_old_keys(self: &Arc<Self>) {
        let mut pruned = self.pruned.lock();
        if pruned.elapsed() < KEYS_PRUNED_EVERY {
            return;
        }
        *pruned = std::time::Instant::now();
        let server = self.clone();
        tokio::spawn(async move { while let Ok(PRUNED_AT_ONCE) = server.ask_own(forget_some).await {} });
    }
}
