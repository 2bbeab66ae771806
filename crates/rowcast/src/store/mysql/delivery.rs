//! What is written with a delivery's rows, in their transaction: how far its source is, its records' keys, dead letters.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Value as Raw};

use super::insert::Broken;
use super::refused::{is_altered, is_lost, refused};
use super::{DeadLetter, DeadLetters, Delivery, Insert, NewDeadLetter, Progress, Server, StoreError};
use crate::store::delivery::{KEYS_KEPT, KEYS_KEPT_FOR, KEYS_PRUNED_EVERY};

/// Rows in one statement.
const AT_ONCE: usize = 1_000;
/// Keys looked at in one transaction that forgets old ones.
const PRUNED_AT_ONCE: usize = 5_000;

/// A number as the tables keep it.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `?,?,?`
fn marks(count: usize) -> String {
    vec!["?"; count].join(",")
}

/// Numbers as SQL.
fn list(ids: &[u64]) -> String {
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

impl Server {
    /// What an error of a statement about Rowcast's own tables means.
    fn own_failed(&self, error: mysql_async::Error) -> Broken {
        if is_altered(&error) {
            self.own.forget();
            return Broken::Failed(StoreError::Unavailable("a table of Rowcast's own is made again".to_owned()));
        }
        let lost = matches!(&error, mysql_async::Error::Server(answer) if is_lost(answer));
        let error = refused(error);
        if lost { Broken::Again(error) } else { Broken::Failed(error) }
    }

    /// Moves the source on. Refuses, before anything is written, what does not continue what is there.
    ///
    /// Returns which of the delivery's rows are to be passed over, because their records' keys are known.
    pub(super) async fn begin_delivery(&self, conn: &mut Conn, delivery: &Delivery) -> Result<Vec<bool>, Broken> {
        let sql = "SELECT `life`, `upto`, `keys` FROM `_rowcast_progress` WHERE `source` = ? FOR UPDATE";
        let found: Option<(String, i64, i64)> =
            conn.exec_first(sql, (&*delivery.source,)).await.map_err(|error| self.own_failed(error))?;
        let at =
            found.as_ref().map(|(life, upto, _)| Progress { life: life.as_str().into(), upto: upto.unsigned_abs() });
        let continues = match &at {
            Some(at) if at.life[..] == delivery.life[..] => at.upto == delivery.after,
            _ => delivery.after == 0,
        };
        if !continues {
            return Err(StoreError::Moved { at }.into());
        }
        let count = found.map_or(0, |(_, _, keys)| keys);
        let (repeated, count) = self.remember(conn, delivery, count).await.map_err(|error| self.own_failed(error))?;
        let sql = "INSERT INTO `_rowcast_progress` (`source`, `life`, `upto`, `keys`, `time`) VALUES (?, ?, ?, ?, ?) \
                   ON DUPLICATE KEY UPDATE `life` = VALUES(`life`), `upto` = VALUES(`upto`), `keys` = VALUES(`keys`), \
                   `time` = VALUES(`time`)";
        let row = (&*delivery.source, &*delivery.life, signed(delivery.upto), count, now_ms());
        conn.exec_drop(sql, row).await.map_err(|error| self.own_failed(error))?;
        Ok(repeated)
    }

    /// Which records are known already, and how many keys of the source were ever remembered.
    async fn remember(
        &self,
        conn: &mut Conn,
        delivery: &Delivery,
        mut count: i64,
    ) -> Result<(Vec<bool>, i64), mysql_async::Error> {
        let keys: Vec<&str> = delivery.records.iter().filter_map(|record| record.key.as_deref()).collect();
        let mut known: HashSet<Vec<u8>> = HashSet::new();
        for some in keys.chunks(AT_ONCE) {
            // As of now, and not as of the transaction's beginning.
            let sql = format!(
                "SELECT `key` FROM `_rowcast_keys` WHERE `source` = ? AND `key` IN ({}) LOCK IN SHARE MODE",
                marks(some.len())
            );
            let params = std::iter::once(&*delivery.source).chain(some.iter().copied()).map(Raw::from).collect();
            known.extend(conn.exec::<Vec<u8>, _, _>(sql, Params::Positional(params)).await?);
        }
        let (mut repeated, mut new) = (Vec::with_capacity(delivery.records.len()), Vec::new());
        for record in &delivery.records {
            let is_new = record.key.as_ref().is_none_or(|key| known.insert(key.as_bytes().into()));
            if let Some(key) = record.key.as_deref().filter(|_| is_new) {
                count += 1;
                new.push((key, count));
            }
            repeated.push(!is_new);
        }
        let now = now_ms();
        for some in new.chunks(AT_ONCE) {
            let sql = format!(
                "INSERT INTO `_rowcast_keys` (`source`, `key`, `n`, `time`) VALUES {}",
                vec!["(?,?,?,?)"; some.len()].join(",")
            );
            let row = |(key, n): &(&str, i64)| {
                [Raw::from(&*delivery.source), Raw::from(key.as_bytes()), Raw::from(*n), Raw::from(now)]
            };
            conn.exec_drop(sql, Params::Positional(some.iter().flat_map(row).collect())).await?;
        }
        Ok((repeated, count))
    }

    /// Keeps the records that no row was made of, or whose row was refused.
    pub(super) async fn keep_dead(
        &self,
        conn: &mut Conn,
        insert: &Insert,
        delivery: &Delivery,
        refusals: &[(usize, String)],
    ) -> Result<(), Broken> {
        let of_rows = refusals.iter().map(|(row, reason)| delivery.refused(*row, reason));
        let letters: Vec<NewDeadLetter> = delivery.dead.iter().cloned().chain(of_rows).collect();
        let (now, table) = (now_ms(), insert.table.name.to_string());
        for some in letters.chunks(AT_ONCE / 10) {
            let sql = format!(
                "INSERT INTO `_rowcast_dead_letters` (`source`, `table`, `time`, `line`, `column`, `reason`, `raw`) VALUES {}",
                vec!["(?,?,?,?,?,?,?)"; some.len()].join(",")
            );
            let row = |letter: &NewDeadLetter| {
                [
                    Raw::from(&*delivery.source),
                    Raw::from(&*table),
                    Raw::from(now),
                    Raw::from(signed(letter.line)),
                    letter.column.as_deref().map_or(Raw::NULL, Raw::from),
                    Raw::from(&*letter.reason),
                    Raw::from(&*letter.raw),
                ]
            };
            let params = Params::Positional(some.iter().flat_map(row).collect());
            conn.exec_drop(sql, params).await.map_err(|error| self.own_failed(error))?;
        }
        Ok(())
    }

    /// Refuses where one of these dead letters is not there any more.
    pub(super) async fn must_be_there(&self, conn: &mut Conn, ids: &[u64]) -> Result<(), Broken> {
        let Some(first) = ids.first() else { return Ok(()) };
        let gone = |id| Broken::Failed(StoreError::Refused(format!("dead letter {id} is not there any more")));
        if !self.has_own_tables(conn).await? {
            return Err(gone(*first));
        }
        let sql = format!("SELECT `id` FROM `_rowcast_dead_letters` WHERE `id` IN ({}) FOR UPDATE", list(ids));
        let found: Vec<u64> = conn.query(sql).await.map_err(|error| self.own_failed(error))?;
        ids.iter().find(|id| !found.contains(id)).map_or(Ok(()), |id| Err(gone(*id)))
    }

    /// Removes dead letters, in the connection's transaction. Returns how many there were.
    pub(super) async fn bury_in(&self, conn: &mut Conn, ids: &[u64]) -> Result<u64, Broken> {
        if ids.is_empty() || !self.has_own_tables(conn).await? {
            return Ok(0);
        }
        let sql = format!("DELETE FROM `_rowcast_dead_letters` WHERE `id` IN ({})", list(ids));
        conn.query_drop(sql).await.map_err(|error| self.own_failed(error))?;
        Ok(conn.affected_rows())
    }

    pub(super) async fn bury(&self, ids: &[u64]) -> Result<u64, StoreError> {
        let mut lent = self.pool.for_writing().await?;
        let buried = self.bury_in(&mut lent, ids).await;
        lent.end().await;
        buried.map_err(Broken::into_error)
    }

    pub(super) async fn progress(&self, source: &str) -> Result<Option<Progress>, StoreError> {
        let mut lent = self.pool.for_a_moment().await?;
        let mut found: Option<(String, i64)> = None;
        if self.has_own_tables(&mut lent).await? {
            let sql = "SELECT `life`, `upto` FROM `_rowcast_progress` WHERE `source` = ?";
            found = lent.exec_first(sql, (source,)).await.map_err(|error| self.own_failed(error).into_error())?;
        }
        lent.back();
        Ok(found.map(|(life, upto)| Progress { life: life.into(), upto: upto.unsigned_abs() }))
    }

    /// Those that are asked for, newest first.
    pub(super) async fn dead_letters(&self, which: DeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        let mut lent = self.pool.for_a_moment().await?;
        if !self.has_own_tables(&mut lent).await? {
            lent.back();
            return Ok(Vec::new());
        }
        let mut conditions = vec!["TRUE".to_owned()];
        let mut params = Vec::new();
        if let Some(source) = &which.source {
            conditions.push("`source` = ?".to_owned());
            params.push(Raw::from(source));
        }
        if let Some(before) = which.before {
            conditions.push(format!("`id` < {before}"));
        }
        if !which.ids.is_empty() {
            conditions.push(format!("`id` IN ({})", list(&which.ids)));
        }
        let sql = format!(
            "SELECT `id`, `source`, `table`, `time`, `line`, `column`, `reason`, `raw` FROM `_rowcast_dead_letters` \
             WHERE {} ORDER BY `id` DESC LIMIT {}",
            conditions.join(" AND "),
            which.limit()
        );
        let params = if params.is_empty() { Params::Empty } else { Params::Positional(params) };
        type Letter = (u64, String, String, i64, i64, Option<String>, String, String);
        let rows: Vec<Letter> = lent.exec(sql, params).await.map_err(|error| self.own_failed(error).into_error())?;
        lent.back();
        let letter = |(id, source, table, time, line, column, reason, raw): Letter| DeadLetter {
            id,
            source,
            table,
            time_ms: time.unsigned_abs(),
            line: line.unsigned_abs(),
            column,
            reason,
            raw,
        };
        Ok(rows.into_iter().map(letter).collect())
    }

    /// How many there are of each source.
    pub(super) async fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let mut lent = self.pool.for_a_moment().await?;
        let mut counts = Vec::new();
        if self.has_own_tables(&mut lent).await? {
            let sql = "SELECT `source`, COUNT(*) FROM `_rowcast_dead_letters` GROUP BY `source` ORDER BY `source`";
            counts = lent.query(sql).await.map_err(|error| self.own_failed(error).into_error())?;
        }
        lent.back();
        Ok(counts)
    }

    /// Forgets keys that are old, now and then, while nobody waits for it.
    pub(super) fn prune_keys(self: &Arc<Self>) {
        let mut pruned = self.pruned.lock();
        if pruned.elapsed() < KEYS_PRUNED_EVERY {
            return;
        }
        *pruned = Instant::now();
        let server = self.clone();
        tokio::spawn(async move {
            if let Err(error) = server.prune().await {
                tracing::debug!(%error, "old keys of records are forgotten later");
            }
        });
    }

    /// Keys come in the order of their time, so it ends at the first young one.
    async fn prune(&self) -> Result<(), StoreError> {
        let mut lent = self.pool.for_writing().await?;
        let failed = |error| self.own_failed(error).into_error();
        let sql = "SELECT `source`, `keys` FROM `_rowcast_progress`";
        let totals: HashMap<String, i64> = lent.query(sql).await.map_err(failed)?.into_iter().collect();
        let young = now_ms() - i64::try_from(Duration::as_millis(&KEYS_KEPT_FOR)).unwrap_or(i64::MAX);
        let mut last = 0;
        loop {
            let sql = format!(
                "SELECT `id`, `source`, `n` FROM `_rowcast_keys` WHERE `id` > {last} AND `time` <= {young} \
                 ORDER BY `id` LIMIT {PRUNED_AT_ONCE}"
            );
            let keys: Vec<(u64, String, i64)> = lent.query(sql).await.map_err(failed)?;
            let kept = |(_, source, n): &&(u64, String, i64)| {
                totals.get(source).is_some_and(|total| *n > total - signed(KEYS_KEPT))
            };
            let old: Vec<u64> = keys.iter().filter(|key| !kept(key)).map(|(id, ..)| *id).collect();
            if !old.is_empty() {
                lent.query_drop(format!("DELETE FROM `_rowcast_keys` WHERE `id` IN ({})", list(&old)))
                    .await
                    .map_err(failed)?;
            }
            match keys.last() {
                Some((id, ..)) if keys.len() == PRUNED_AT_ONCE => last = *id,
                _ => break,
            }
        }
        lent.back();
        Ok(())
    }
}
