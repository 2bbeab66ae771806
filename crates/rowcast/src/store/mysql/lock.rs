//! MySQL: a table that nobody writes to for the moment in which a snapshot begins. Why that is needed, and enough:
//! docs/adr/0008.

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::sync::MutexGuard;

use super::pool::{Lent, silent, within};
use super::refused::{is_altered, refused};
use super::{Server, StoreError, quote};
use crate::event::Table;

/// How long a lock is waited for at once, in the whole seconds that the server counts in, and how often it is asked for.
const WAIT_SECONDS: u32 = 1;
const ATTEMPTS: u32 = 3;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// Access denied; not this privilege; this command is not for this user; no such grant on the table.
const FORBIDDEN: [u16; 4] = [1044, 1227, 1142, 1370];

/// A connection that holds the lock.
pub(super) struct Locked<'a> {
    lent: Lent,
    _turn: MutexGuard<'a, ()>,
}

/// Why there is no lock.
enum Without {
    /// Others write all the time.
    Late,
    /// This user may not.
    Forbidden(String),
}

impl<'a> Locked<'a> {
    /// Waits until every transaction that has written to the table has ended, and lets none begin.
    pub(super) async fn take(server: &'a Server, table: &Table) -> Result<Self, StoreError> {
        let turn = tokio::time::timeout(PATIENCE, server.locker.lock()).await.map_err(|_| silent())?;
        let mut lent = server.pool.for_a_moment().await?;
        within(lent.query_drop(format!("SET SESSION lock_wait_timeout = {WAIT_SECONDS}"))).await?;
        let one = format!("LOCK TABLES {} READ", quote(&table.name.name));
        let begun = Instant::now();
        let mut why = Without::Late;
        for _ in 0..ATTEMPTS {
            match ask(server, &mut lent, table, &one).await? {
                None => return Ok(Self { lent, _turn: turn }),
                Some(Without::Late) => {}
                Some(forbidden) => {
                    why = forbidden;
                    break;
                }
            }
        }
        // Writers whose transactions overlap never leave the table free; this lock makes those that come wait.
        while begun.elapsed() < PATIENCE {
            match ask(server, &mut lent, table, "FLUSH TABLES WITH READ LOCK").await? {
                None => return Ok(Self { lent, _turn: turn }),
                Some(Without::Late) => {}
                Some(Without::Forbidden(_)) => match why {
                    Without::Forbidden(message) => return Err(may_not(server, &message)),
                    Without::Late => {
                        if ask(server, &mut lent, table, &one).await?.is_none() {
                            return Ok(Self { lent, _turn: turn });
                        }
                    }
                },
            }
        }
        lent.back();
        Err(StoreError::Unavailable(format!(
            "`{}` is written to by transactions that overlap all the time, so that a snapshot finds no exact moment; it is \
             tried again (GRANT RELOAD ON *.* lets us stop them for a moment)",
            table.name
        )))
    }

    pub(super) fn conn(&mut self) -> &mut Conn {
        &mut self.lent
    }

    pub(super) async fn release(mut self) {
        // A connection that cannot unlock is closed, which unlocks, too.
        if within(self.lent.query_drop("UNLOCK TABLES; SET SESSION lock_wait_timeout = 4")).await.is_ok() {
            self.lent.back();
        }
    }
}

async fn ask(server: &Server, lent: &mut Lent, table: &Table, sql: &str) -> Result<Option<Without>, StoreError> {
    match tokio::time::timeout(PATIENCE, lent.query_drop(sql)).await {
        Err(_) => Err(silent()),
        Ok(Ok(())) => Ok(None),
        Ok(Err(Error::Server(answer))) if FORBIDDEN.contains(&answer.code) => {
            Ok(Some(Without::Forbidden(answer.message)))
        }
        Ok(Err(Error::Server(answer))) if answer.code == 1205 => Ok(Some(Without::Late)),
        Ok(Err(error)) if is_altered(&error) => Err(server.altered(&table.name)),
        Ok(Err(error)) => Err(refused(error)),
    }
}

fn may_not(server: &Server, message: &str) -> StoreError {
    StoreError::Refused(format!(
        "a snapshot at an exact place of MySQL's binlog needs a lock for a moment: GRANT SELECT, LOCK TABLES ON {}.* to this \
         user ({message})",
        quote(&server.database)
    ))
}
