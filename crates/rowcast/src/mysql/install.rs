//! What Rowcast makes in a user's MySQL or MariaDB, and how it is removed: the only place that knows the SQL.
//!
//! Nothing for the binlog. For the outbox three tables, `_rowcast_outbox`, `_rowcast_shapes` and `_rowcast_state`, and three
//! triggers on each captured table. What the store makes to keep track of ingest is removed here, too. Leaves reading to `source`.

mod capabilities;
mod found;
mod run;
mod tables;
mod triggers;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

pub(crate) use self::capabilities::account;
pub use self::capabilities::{Capabilities, choose};
use self::found::Found;
use super::{Mode, MysqlSettings};

/// What could not be done in the database, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct InstallError {
    /// What is wrong and what to do.
    pub message: String,
    /// Whether it may work when tried again.
    pub retry: bool,
    /// The database's own error.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Makes what is missing. Returns the SQL that it ran: nothing when everything was there.
pub async fn setup(conn: &mut Conn, settings: &MysqlSettings, mode: Mode) -> Result<Vec<String>, InstallError> {
    run::lock(conn).await?;
    let done = async {
        let plan = plan_setup(conn, settings, mode).await?;
        run::all(conn, &plan).await?;
        Ok(plan)
    };
    let done = done.await;
    run::unlock(conn).await;
    done
}

/// Removes everything that was ever made. Returns the SQL that it ran: nothing when nothing was there.
pub async fn teardown(conn: &mut Conn) -> Result<Vec<String>, InstallError> {
    run::lock(conn).await?;
    let done = async {
        let plan = plan_teardown(conn).await?;
        run::all(conn, &plan).await?;
        Ok(plan)
    };
    let done = done.await;
    run::unlock(conn).await;
    done
}

/// Makes what new, dropped and altered tables call for, where the outbox was set up before. Returns the SQL that it ran.
///
/// Costs a few catalog queries when there is nothing to do.
pub async fn refresh(conn: &mut Conn, settings: &MysqlSettings) -> Result<Vec<String>, InstallError> {
    let plan = plan_refresh(conn, settings).await?;
    if plan.is_empty() {
        return Ok(plan);
    }
    run::lock(conn).await?;
    let done = async {
        let plan = plan_refresh(conn, settings).await?;
        run::all(conn, &plan).await?;
        Ok(plan)
    };
    let done = done.await;
    run::unlock(conn).await;
    done
}

/// The statements that [`setup`] would run.
pub async fn plan_setup(conn: &mut Conn, settings: &MysqlSettings, mode: Mode) -> Result<Vec<String>, InstallError> {
    let found = Found::of(conn).await?;
    match mode {
        // A short look by `rowcast tail` leaves what somebody else has set up as it is.
        Mode::Binlog if settings.temporary => Ok(Vec::new()),
        // Nobody would read what the triggers write, and it would fill the disk.
        Mode::Binlog => Ok(found.removal(found::OUTBOX)),
        Mode::Outbox => {
            let mut plan = if found.is_made() { Vec::new() } else { tables::make(&found) };
            plan.extend(triggers::plan(conn, settings, &found).await?);
            Ok(plan)
        }
    }
}

/// The statements that [`teardown`] would run.
pub async fn plan_teardown(conn: &mut Conn) -> Result<Vec<String>, InstallError> {
    let found = Found::of(conn).await?;
    Ok(found.removal(found::ALL))
}

async fn plan_refresh(conn: &mut Conn, settings: &MysqlSettings) -> Result<Vec<String>, InstallError> {
    let found = Found::of(conn).await?;
    if found.is_made() { triggers::plan(conn, settings, &found).await } else { Ok(Vec::new()) }
}

/// Whether the outbox is set up in the connection's database.
pub async fn is_made(conn: &mut Conn) -> Result<bool, InstallError> {
    Ok(Found::of(conn).await?.is_made())
}

/// A name as SQL.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as SQL, whatever the session's SQL mode says of backslashes.
pub(crate) fn literal(text: &str) -> String {
    if text.contains('\\') {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        return format!("CONVERT(x'{hex}' USING utf8mb4)");
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// The database that the connection is in.
pub(crate) async fn database(conn: &mut Conn) -> Result<String, mysql_async::Error> {
    Ok(conn.query_first("SELECT DATABASE()").await?.unwrap_or_default())
}

impl From<mysql_async::Error> for InstallError {
    fn from(error: mysql_async::Error) -> Self {
        run::failed("the database's catalog could not be read", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_become_sql() {
        assert_eq!(quote("a`b"), "`a``b`");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), "CONVERT(x'615c62' USING utf8mb4)");
    }
}
