//! Changes of several tables in one transaction. Rows are found by their keys, which are read and locked first: MySQL does not say
//! which rows a statement has changed.

mod rows;
mod violation;

use std::collections::HashMap;
use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Params, Value as Raw};

use self::rows::{Insertion, Rows};
use super::insert::{ATTEMPTS, Broken, PATIENCE};
use super::keys::Target;
use super::pool::Lent;
use super::refused::is_altered;
use super::{Conflict, Server, StoreError};
use crate::event::{Row, TableName, Value};
use crate::filter::Predicate;
use crate::mysql::catalog::Described;
use crate::store::write::{check, met};
use crate::store::{Set, Write, Written};

/// What a read that is locked relies on, whatever the server's default: gaps are locked, too, so that no row comes into them.
const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION";

/// Writes all of it, or nothing.
pub(super) async fn write(server: &Arc<Server>, writes: Vec<Write>) -> Result<Written, StoreError> {
    check(&writes)?;
    let mut attempt = 1;
    loop {
        let late = || StoreError::Unavailable(format!("the changes have taken more than {} s", PATIENCE.as_secs()));
        // A connection that is dropped in between is closed, and its transaction undone.
        let written = tokio::time::timeout(PATIENCE, transaction(server, &writes)).await;
        match written.unwrap_or_else(|_| Err(Broken::Failed(late()))) {
            Err(Broken::Again(error)) if attempt < ATTEMPTS => {
                tracing::debug!(%error, "changes of several tables are tried again");
                attempt += 1;
            }
            Err(Broken::Again(error) | Broken::Failed(error)) => return Err(error),
            Ok(written) => return Ok(written),
        }
    }
}

async fn transaction(server: &Server, writes: &[Write]) -> Result<Written, Broken> {
    let mut tables: HashMap<TableName, Arc<Described>> = HashMap::new();
    for write in writes {
        let described = server.same(write.table()).await?;
        if !described.is_transactional() {
            let (table, engine) = (&described.table.name, &described.engine);
            let message =
                format!("table `{table}` has the engine {engine}, which cannot undo what is written; use InnoDB");
            return Err(StoreError::Refused(message).into());
        }
        tables.insert(described.table.name.clone(), described);
    }
    let mut lent = server.pool.for_writing().await?;
    let written = match within(server, &mut lent, &tables, writes).await {
        Ok(written) => written,
        Err(broken) => {
            let broken = violation::with_columns(&mut lent, writes, broken).await;
            lent.end().await;
            return Err(broken);
        }
    };
    let committed = lent.query_drop("COMMIT").await;
    committed.map_err(|error| violation::of(None, error))?;
    let place = server.place_after_commit(&mut lent).await?;
    lent.back();
    let (rows, returned) = written.into_iter().unzip();
    Ok(Written { rows, returned, place })
}

/// How many rows one write has concerned, and how they stand.
type Done = (u64, Option<Vec<Row>>);

async fn within(
    server: &Server,
    lent: &mut Lent,
    tables: &HashMap<TableName, Arc<Described>>,
    writes: &[Write],
) -> Result<Vec<Done>, Broken> {
    let mut targets = Vec::with_capacity(writes.len());
    for write in writes {
        targets.push(match write {
            Write::Insert { table, conflict, .. } => server.keys.target(lent, table, conflict).await?,
            _ => None,
        });
    }
    lent.query_drop(BEGIN).await.map_err(|error| violation::of(None, error))?;
    for described in tables.values() {
        server.check(lent, described).await?;
    }
    let mut done: Vec<Done> = Vec::with_capacity(writes.len());
    for (n, (write, target)) in writes.iter().zip(targets).enumerate() {
        let described = &tables[&write.table().name];
        let mut one = One { server, conn: lent, rows: Rows::new(described), n };
        let settled = write.settled(|n: usize| done.get(n).and_then(|(_, rows)| rows.as_ref()?.first()))?;
        let (count, found) = one.write(&settled, target.as_ref()).await?;
        met(n, write, count)?;
        done.push((count, found));
    }
    Ok(done)
}

/// One of the writes.
struct One<'a> {
    server: &'a Server,
    conn: &'a mut Conn,
    rows: Rows<'a>,
    n: usize,
}

impl One<'_> {
    async fn write(&mut self, write: &Write, target: Option<&Target>) -> Result<Done, Broken> {
        match write {
            Write::Insert { cells, conflict, check, .. } => {
                self.insert(cells, conflict, target, check.as_deref()).await
            }
            Write::Update { filter, set, check, .. } => {
                let keys = self.keys(write, filter.as_deref()).await?;
                self.update(keys, set, check.as_deref()).await
            }
            Write::Delete { filter, .. } => {
                self.count(write, filter.as_deref(), true).await?;
                let (sql, params) = self.rows.delete(filter.as_deref());
                self.run(&sql, params).await?;
                Ok((self.conn.affected_rows(), None))
            }
            Write::Require { filter, .. } => Ok((self.count(write, filter.as_deref(), write.is_alone()).await?, None)),
        }
    }

    async fn insert(
        &mut self,
        cells: &[(usize, Value)],
        conflict: &Conflict,
        target: Option<&Target>,
        check: Option<&Predicate>,
    ) -> Result<Done, Broken> {
        let Insertion { sql, params, given } = self.rows.insert(cells, target);
        self.run(&sql, params).await?;
        let affected = self.conn.affected_rows();
        if affected == 0 && matches!(conflict, Conflict::Ignore(_)) {
            return Ok((0, Some(Vec::new())));
        }
        let by = match target {
            Some(target) if target.update => Some(target.columns.clone()),
            _ => None,
        };
        let key = by.unwrap_or_else(|| self.rows.table().key.clone());
        let values = self.rows.key_of(&key, &given, self.conn.last_insert_id());
        let Some(values) = values else {
            return match check {
                None => Ok((1, None)),
                Some(_) => Err(self.rows.without_key("a rule cannot be tried on its new rows").into()),
            };
        };
        let mut found = self.read_back(&key, vec![values], check).await?;
        Ok((1, if found.is_empty() { None } else { Some(std::mem::take(&mut found)) }))
    }

    async fn update(
        &mut self,
        keys: Vec<Vec<Raw>>,
        set: &[(usize, Set)],
        check: Option<&Predicate>,
    ) -> Result<Done, Broken> {
        let count = keys.len() as u64;
        for some in keys.chunks(self.rows.at_once()) {
            let (sql, params) = self.rows.update(set, some);
            self.run(&sql, params).await?;
        }
        let key = self.rows.table().key.clone();
        let keys = keys.into_iter().map(|values| self.rows.moved(values, set)).collect();
        let found = self.read_back(&key, keys, check).await?;
        Ok((count, Some(found)))
    }

    /// The keys of the rows of a filter, which nobody else changes from now on. Refuses too many before they are touched.
    async fn keys(&mut self, write: &Write, filter: Option<&Predicate>) -> Result<Vec<Vec<Raw>>, Broken> {
        let (sql, params) = self.rows.keys(filter, write)?;
        let rows: Vec<mysql_async::Row> =
            self.conn.exec(sql, params).await.map_err(|error| broken(self.server, &self.rows, self.n, error))?;
        if rows.len() as u64 > *write.expect().end() {
            met(self.n, write, rows.len() as u64)?;
        }
        Ok(rows.into_iter().map(mysql_async::Row::unwrap).collect())
    }

    async fn count(&mut self, write: &Write, filter: Option<&Predicate>, alone: bool) -> Result<u64, Broken> {
        let (sql, params) = self.rows.look(filter, write, alone);
        let rows: Vec<mysql_async::Row> =
            self.conn.exec(sql, params).await.map_err(|error| broken(self.server, &self.rows, self.n, error))?;
        let count = rows.len() as u64;
        if count > *write.expect().end() {
            met(self.n, write, count)?;
        }
        Ok(count)
    }

    /// The rows as they stand now, each of which has to be as the check says.
    async fn read_back(
        &mut self,
        key: &[usize],
        values: Vec<Vec<Raw>>,
        check: Option<&Predicate>,
    ) -> Result<Vec<Row>, Broken> {
        let wanted = values.len();
        let mut found = Vec::with_capacity(wanted);
        for some in values.chunks(self.rows.at_once()) {
            let (sql, params) = self.rows.read_back(key, some, check);
            let rows: Vec<mysql_async::Row> =
                self.conn.exec(sql, params).await.map_err(|error| broken(self.server, &self.rows, self.n, error))?;
            for row in rows {
                let (row, allowed) = self.rows.read(row);
                if !allowed {
                    return Err(StoreError::Forbidden { write: self.n }.into());
                }
                found.push(row);
            }
        }
        // What a trigger has taken elsewhere cannot be looked at.
        if check.is_some() && found.len() < wanted {
            return Err(StoreError::Forbidden { write: self.n }.into());
        }
        Ok(found)
    }

    async fn run(&mut self, sql: &str, params: Params) -> Result<(), Broken> {
        let done = self.conn.exec_drop(sql, params).await;
        done.map_err(|error| broken(self.server, &self.rows, self.n, error))
    }
}

/// What an error of a write means.
fn broken(server: &Server, rows: &Rows<'_>, n: usize, error: Error) -> Broken {
    // The table itself stays as it was described until the transaction ends, but a filter may read one that is gone.
    if is_altered(&error) {
        server.altered(&rows.table().name);
    }
    violation::of(Some(n), error)
}
