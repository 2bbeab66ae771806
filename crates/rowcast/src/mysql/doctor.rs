//! What is captured of a MySQL or MariaDB and how, what stands in the way, and the SQL that mends it.
//!
//! Reads and changes nothing. What it says, people and programs read: `rowcast doctor`.

mod binlog;
mod outbox;
mod server;
mod tables;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::install::{Capabilities, InstallError, choose};
use super::{Address, ConnectError, Mode, MysqlSettings};
use crate::event::finding::Findings;
pub use crate::event::finding::{Finding, State};

/// Looks at everything. Fails only where nothing can be asked.
pub async fn examine(address: &Address, settings: &MysqlSettings) -> Result<Vec<Finding>, ConnectError> {
    let mut conn = address.connect().await?;
    let mut findings = Findings::default();
    if let Err(error) = look(&mut conn, settings, &mut findings).await {
        findings.add(State::Broken, "examination", format!("it could not be finished: {error}"));
    }
    Ok(findings.0)
}

async fn look(conn: &mut Conn, settings: &MysqlSettings, findings: &mut Findings) -> Result<(), InstallError> {
    let able = Capabilities::of(conn).await?;
    server::look(conn, &able, findings).await;
    binlog::look(conn, &able, settings, findings).await;
    let mode = match choose(settings, &able) {
        Ok((mode, guarantee)) => {
            let name = if mode == Mode::Binlog { "binlog" } else { "outbox triggers" };
            findings.add(State::Good, "mode", format!("{name}: {guarantee}"));
            Some(mode)
        }
        Err(message) => {
            findings.add(State::Broken, "mode", message);
            None
        }
    };
    outbox::look(conn, &able, mode, findings).await;
    tables::look(conn, settings, mode, findings).await?;
    Ok(())
}

/// A variable of the server; `None` where this server does not have it, or does not show it.
async fn variable(conn: &mut Conn, name: &str) -> Option<String> {
    let row: Option<(String, String)> = conn.query_first(format!("SHOW GLOBAL VARIABLES LIKE '{name}'")).await.ok()?;
    row.map(|(_, value)| value)
}
