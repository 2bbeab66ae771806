//! Runs statements so that nobody else is held up for long.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::{InstallError, slot};

/// Two setups at once do one thing after the other: `rowcast` as a number.
pub(super) const LOCK: i64 = 0x0072_6f77_6361_7374;
/// How long a lock is waited for. Whoever comes after us waits as long: so it has to be short. And a deadlock must end with
/// us, before the server's own search for one (after `deadlock_timeout`, a second) picks another.
const PATIENCE: &str = "300ms";
/// How often it is tried.
const TRIES: u32 = 12;

/// Runs statements in one transaction, those about the slot apart: dropped before it, made after it.
pub(super) async fn atomically(client: &Client, plan: &[String]) -> Result<(), InstallError> {
    let (alone, inside): (Vec<&String>, Vec<&String>) = plan.iter().partition(|sql| slot::stands_alone(sql));
    let (made, dropped): (Vec<&String>, Vec<&String>) =
        alone.into_iter().partition(|sql| sql.contains("pg_create_logical"));
    for sql in dropped {
        patiently(client, sql, std::slice::from_ref(&sql)).await?;
    }
    if !inside.is_empty() {
        patiently(client, "the tables are set up", &inside).await?;
    }
    for sql in made {
        client.batch_execute(sql).await.map_err(|error| failed(sql, error))?;
    }
    Ok(())
}

/// Tries again when others are in the way.
async fn patiently(client: &Client, what: &str, plan: &[&String]) -> Result<(), InstallError> {
    let mut tries = 0;
    loop {
        let Err((sql, error)) = transaction(client, plan).await else { return Ok(()) };
        let in_the_way = [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::OBJECT_IN_USE,
            SqlState::T_R_SERIALIZATION_FAILURE,
        ];
        if !error.code().is_some_and(|code| in_the_way.contains(code)) {
            return Err(failed(&sql, error));
        }
        tries += 1;
        tracing::debug!(%error, tries, "somebody is in the way while {what}");
        if tries == TRIES {
            return Err(InstallError {
                message: format!(
                    "`{}` has to wait for others who use the same table or slot; end their transactions, or try again: {}",
                    first_line(&sql),
                    said(&error)
                ),
                retry: true,
                cause: Some(error.into()),
            });
        }
        tokio::time::sleep(Duration::from_millis(50 * u64::from(tries))).await;
    }
}

async fn transaction(client: &Client, plan: &[&String]) -> Result<(), (String, tokio_postgres::Error)> {
    let slots_only = plan.iter().all(|sql| slot::stands_alone(sql));
    let begin = format!(
        "BEGIN; SET LOCAL lock_timeout = '{PATIENCE}'; SET LOCAL check_function_bodies = off; SET LOCAL rowcast.setting_up = 'on'"
    );
    if !slots_only {
        client.batch_execute(&begin).await.map_err(|error| (begin, error))?;
    }
    for sql in plan {
        if let Err(error) = client.batch_execute(sql).await {
            if !slots_only {
                // What it says would hide why the statement failed.
                let _ = client.batch_execute("ROLLBACK").await;
            }
            return Err(((*sql).clone(), error));
        }
    }
    if slots_only {
        return Ok(());
    }
    client.batch_execute("COMMIT").await.map_err(|error| ("COMMIT".to_owned(), error))
}

/// Does something while nobody else sets up or tears down.
pub(super) async fn under_lock<T>(
    client: &Client,
    work: impl AsyncFnOnce() -> Result<T, InstallError>,
) -> Result<T, InstallError> {
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let done = work().await;
    // A connection that is gone has let go of its locks.
    let _ = client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await;
    done
}

/// An error with the statement that it is of.
pub(super) fn failed(sql: &str, error: tokio_postgres::Error) -> InstallError {
    let refused = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::READ_ONLY_SQL_TRANSACTION];
    let denied = error.code().is_some_and(|code| refused.contains(code));
    let advice = if denied { "; let somebody who may run the SQL of `rowcast setup --dry-run`" } else { "" };
    let retry = error.code().is_none_or(|code| {
        let class = code.code().get(..2).unwrap_or_default();
        matches!(class, "08" | "40" | "53" | "55" | "57")
    });
    InstallError {
        message: format!("`{}`: {}{advice}", first_line(sql), said(&error)),
        retry,
        cause: Some(error.into()),
    }
}

/// What the server said.
fn said(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned())
}

fn first_line(sql: &str) -> &str {
    sql.lines().find(|line| !line.starts_with("--")).unwrap_or(sql)
}
