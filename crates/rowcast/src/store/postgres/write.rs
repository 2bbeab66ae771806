//! Changes of several tables in one transaction, statement by statement.

mod sql;
mod violation;

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Error;

use self::sql::{Answer, Statement};
use super::insert::{ATTEMPTS, Broken, PATIENCE, is_answer, stands};
use super::literal::{literals, quote_table, typed};
use super::pool::{Lent, within};
use super::refused::{is_altered, refused};
use super::{Server, StoreError};
use crate::event::{Row, Table, TableName, Value};
use crate::postgres::catalog::Described;
use crate::store::write::{check, first, met};
use crate::store::{Write, Written};

/// Writes all of it, or nothing.
pub(super) async fn write(server: &Arc<Server>, writes: Vec<Write>) -> Result<Written, StoreError> {
    check(&writes)?;
    let mut attempt = 1;
    let done = loop {
        match transaction(server, &writes).await {
            Err(Broken::Again(error)) if attempt < ATTEMPTS => {
                tracing::debug!(%error, "changes of several tables are tried again");
                attempt += 1;
            }
            Err(Broken::Again(error) | Broken::Failed(error)) => return Err(error),
            Err(Broken::Unmade) => return Err(StoreError::Refused("nothing of Rowcast's own is written here".into())),
            Ok(done) => break done,
        }
    };
    let place = server.place_after_commit().await?;
    Ok(Written { rows: done.rows, returned: done.returned, place })
}

/// What was committed.
#[derive(Default)]
struct Done {
    rows: Vec<u64>,
    returned: Vec<Option<Vec<Row>>>,
}

/// The tables as the transaction found them.
type Tables = HashMap<TableName, Arc<Described>>;

async fn transaction(server: &Arc<Server>, writes: &[Write]) -> Result<Done, Broken> {
    let mut lent = server.pool.for_writing().await?;
    let mut asked: Vec<&Table> = Vec::new();
    for write in writes {
        if !asked.iter().any(|table| **table == **write.table()) {
            asked.push(write.table());
        }
    }
    let (described, transaction) = server.begin_writing_all(&mut lent, &asked, PATIENCE).await?;
    let tables: Tables = described.into_iter().map(|found| (found.table.name.clone(), found)).collect();
    let mut done = Done::default();
    for (n, write) in writes.iter().enumerate() {
        let one = One { server, lent: &lent, described: &tables[&write.table().name], n };
        let settled = write.settled(|n: usize| first(&done.returned, n));
        let written = match settled {
            Ok(write) => one.write(&write, writes, &mut done).await,
            Err(error) => Err(error.into()),
        };
        if let Err(broken) = written {
            lent.end().await;
            return Err(broken);
        }
    }
    match lent.client().batch_execute("COMMIT").await {
        Ok(()) => lent.back(),
        Err(error) if is_answer(&error) => {
            let broken = violation::of_commit(&lent, error).await;
            lent.end().await;
            return Err(broken);
        }
        Err(error) => {
            drop(lent);
            stands(server, error, &transaction).await?;
        }
    }
    Ok(done)
}

/// One of the writes.
struct One<'a> {
    server: &'a Server,
    lent: &'a Lent,
    described: &'a Described,
    n: usize,
}

impl One<'_> {
    async fn write(&self, write: &Write, all: &[Write], done: &mut Done) -> Result<(), Broken> {
        if write.forbids() {
            self.lock(write, all).await?;
        }
        let statement = Statement::of(self.server, self.described, write)?;
        let answer = match self.run(&statement).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.broken(write, error).await),
        };
        met(self.n, write, answer.count)?;
        if !answer.allowed {
            return Err(StoreError::Forbidden { write: self.n }.into());
        }
        done.rows.push(answer.count);
        done.returned.push(answer.rows);
        Ok(())
    }

    /// Rows that must not be there cannot be held: nobody else writes to their table until the commit.
    async fn lock(&self, write: &Write, all: &[Write]) -> Result<(), Broken> {
        let is_written = all.iter().any(|other| !other.forbids() && other.table().name == write.table().name);
        // Two who both held it to look could both not write.
        let mode = if is_written { "SHARE ROW EXCLUSIVE" } else { "SHARE" };
        let sql = format!("LOCK TABLE {} IN {mode} MODE", quote_table(&self.described.table.name));
        let locked = self.lent.client().batch_execute(&sql).await;
        match locked {
            Ok(()) => Ok(()),
            Err(error) => Err(self.broken(write, error).await),
        }
    }

    async fn run(&self, statement: &Statement) -> Result<Answer, Error> {
        let params = literals(&statement.params);
        let rows = self.lent.client().query_typed(&statement.sql, &typed(&params)).await?;
        statement.answer(&rows)
    }

    /// What an error of its statement means.
    async fn broken(&self, write: &Write, error: Error) -> Broken {
        if !is_altered(&error) {
            return violation::of_write(self.lent, self.n, write, error).await;
        }
        // A trigger of the table may miss something just as well.
        self.server.known.lock().clear();
        match self.server.table(&self.described.table.name).await {
            Ok(now) if now.table == self.described.table => Broken::Failed(refused(error)),
            Ok(_) | Err(StoreError::UnknownTable(_)) => self.server.altered(&self.described.table.name).into(),
            Err(error) => error.into(),
        }
    }
}

/// A value as its column's type reads it.
fn as_text(server: &Server, described: &Described, column: usize, value: &Value) -> Value {
    let kind = server.types.get(described.columns[column].oid);
    kind.to_text(value).map_or(Value::Null, |text| Value::Text(text.into()))
}

/// The columns of a constraint or a unique index, after its transaction has failed.
async fn ask<T>(lent: &Lent, asked: impl Future<Output = Result<T, Error>>) -> Option<T> {
    within(lent.client().batch_execute("ROLLBACK")).await.ok()?;
    within(asked).await.ok()
}
