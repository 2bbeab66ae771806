//! The replication slot.

use tokio_postgres::Client;

use super::InstallError;
use super::schema::{literal, made};
use crate::postgres::PostgresSettings;

/// Makes the slot, unless it ends with its connection: then who reads it makes it.
pub(super) async fn plan(client: &Client, settings: &PostgresSettings) -> Result<Vec<String>, InstallError> {
    let slot = "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)";
    if settings.temporary || client.query_one(slot, &[&settings.slot]).await?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    Ok(vec![made("slot", &settings.slot, None), create(client, settings).await?])
}

async fn create(client: &Client, settings: &PostgresSettings) -> Result<String, InstallError> {
    let version: i32 = client.query_one("SELECT current_setting('server_version_num')::int", &[]).await?.get(0);
    // From 17 on, a slot can follow a fail-over to a standby that synchronises slots.
    let failover = if version >= 170_000 { ", failover => true" } else { "" };
    Ok(format!(
        "-- The server keeps its write-ahead log from here on until Rowcast has read it.\n\
         SELECT pg_create_logical_replication_slot({}, 'pgoutput'{failover})",
        literal(&settings.slot)
    ))
}

/// Drops a slot.
pub(super) fn drop(name: &str) -> String {
    format!("SELECT pg_drop_replication_slot({})", literal(name))
}

/// Whether a statement is about the slot: it cannot be part of a transaction that writes.
pub(super) fn stands_alone(sql: &str) -> bool {
    sql.contains("pg_create_logical_replication_slot(") || sql.contains("pg_drop_replication_slot(")
}
