//! How statements are run in a database that others use at the same time.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};

use super::{InstallError, database};
use crate::mysql::sequence;

/// Seconds that a statement waits for others who use the same table, and keeps those who come later from it.
const PATIENCE: u32 = 2;
/// How often a statement is tried that others are in the way of.
const TRIES: u32 = 5;

/// Runs all, one after the other. In MySQL each statement that makes something stands alone.
pub(super) async fn all(conn: &mut Conn, plan: &[String]) -> Result<(), InstallError> {
    if plan.is_empty() {
        return Ok(());
    }
    let before: Option<(String, u64)> =
        conn.query_first("SELECT @@session.sql_mode, @@session.lock_wait_timeout").await?;
    conn.query_drop(format!("SET SESSION lock_wait_timeout = {PATIENCE}")).await?;
    let mut done = Ok(());
    for sql in plan {
        done = one(conn, sql).await;
        if done.is_err() {
            break;
        }
    }
    if let Some((mode, patience)) = before {
        let sql = format!("SET SESSION sql_mode = '{mode}', SESSION lock_wait_timeout = {patience}");
        let restored = conn.query_drop(sql).await;
        done = done.and(restored.map_err(InstallError::from));
    }
    done
}

async fn one(conn: &mut Conn, sql: &str) -> Result<(), InstallError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match conn.query_drop(sql).await {
            Ok(()) => return Ok(()),
            Err(error) if is_busy(&error) && tries < TRIES => {
                tracing::debug!(%error, tries, "somebody uses a table that is to be changed");
            }
            Err(error) => return Err(failed(sql, error)),
        }
    }
}

/// Does something while nobody else sets up or tears down.
pub(super) async fn lock(conn: &mut Conn) -> Result<(), InstallError> {
    let name = sequence::name("setup", &database(conn).await?);
    let got: Option<Option<u8>> = conn.exec_first("SELECT GET_LOCK(?, 30)", (name,)).await?;
    if got.flatten() == Some(1) {
        return Ok(());
    }
    let message = "somebody else has been setting Rowcast up in this database for 30 s; try again".to_owned();
    Err(InstallError { message, retry: true, cause: None })
}

pub(super) async fn unlock(conn: &mut Conn) {
    // A connection that is gone has let go of its locks.
    if let Ok(database) = database(conn).await {
        let _ = conn.exec_drop("DO RELEASE_LOCK(?)", (sequence::name("setup", &database),)).await;
    }
}

/// An error with the statement that it is of.
pub(super) fn failed(sql: &str, error: Error) -> InstallError {
    let first = sql.lines().next().unwrap_or(sql);
    let (said, code) = match &error {
        Error::Server(error) => (error.message.clone(), error.code),
        error => (error.to_string(), 0),
    };
    let advice = match code {
        1142 | 1044 | 1227 | 1370 | 1143 => {
            "; let somebody who may run the SQL of `rowcast setup --dry-run`, or grant what is missing"
        }
        1419 => {
            "; with a binlog, the server lets only its administrator make triggers unless it is told otherwise: \
             SET GLOBAL log_bin_trust_function_creators = 1"
        }
        1290 | 1836 => "; give Rowcast the address of the server that is written to",
        1205 => "; end the transactions of others who use the table, or try again",
        _ => "",
    };
    let retry = !matches!(&error, Error::Server(_)) || is_busy(&error) || matches!(code, 1053 | 1317 | 1927 | 3169);
    InstallError { message: format!("`{first}`: {said}{advice}"), retry, cause: Some(error.into()) }
}

fn is_busy(error: &Error) -> bool {
    matches!(error, Error::Server(error) if matches!(error.code, 1205 | 1213))
}
