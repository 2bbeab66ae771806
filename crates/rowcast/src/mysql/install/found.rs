//! What of Rowcast's is in a database.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::quote;
use crate::mysql::catalog::OWN;

/// The tables of the outbox.
pub(super) const OUTBOX: &[&str] = &["_rowcast_outbox", "_rowcast_shapes", "_rowcast_state"];
/// Whatever Rowcast makes, in any mode, the store's tables with them.
pub(super) const ALL: &[&str] = &[
    "_rowcast_outbox",
    "_rowcast_shapes",
    "_rowcast_state",
    "_rowcast_progress",
    "_rowcast_keys",
    "_rowcast_dead_letters",
];

/// What is there.
pub(super) struct Found {
    pub(super) tables: Vec<String>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) shapes: Vec<Noted>,
}

/// A trigger of Rowcast's: `_rowcast_7_i`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trigger {
    pub(super) name: String,
    pub(super) table: String,
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub(super) event: String,
    /// The shape that it writes.
    pub(super) shape: u64,
}

/// A row of `_rowcast_shapes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) id: u64,
    pub(super) table: String,
    /// `None` for a table that is no longer captured.
    pub(super) shape: Option<String>,
    /// Whether its triggers were made and the readers told.
    pub(super) done: bool,
}

impl Found {
    /// Asks the server.
    pub(super) async fn of(conn: &mut Conn) -> Result<Self, mysql_async::Error> {
        let sql = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()";
        let tables: Vec<String> = conn.query(sql).await?;
        let tables: Vec<String> = tables.into_iter().filter(|name| name.starts_with(OWN)).collect();
        let sql = "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, EVENT_MANIPULATION FROM information_schema.TRIGGERS \
                   WHERE TRIGGER_SCHEMA = DATABASE()";
        let triggers: Vec<(String, String, String)> = conn.query(sql).await?;
        let triggers = triggers.into_iter().filter_map(|(name, table, event)| {
            let shape = name.strip_prefix(OWN)?.split('_').next()?.parse().ok()?;
            Some(Trigger { name, table, event, shape })
        });
        let triggers = triggers.collect();
        let shapes = match tables.iter().any(|name| name == "_rowcast_shapes") {
            true => {
                conn.query_map(
                    "SELECT id, name, shape, done FROM _rowcast_shapes ORDER BY id",
                    |(id, table, shape, done): (u64, String, Option<String>, u8)| Noted {
                        id,
                        table,
                        shape,
                        done: done == 1,
                    },
                )
                .await?
            }
            false => Vec::new(),
        };
        Ok(Self { tables, triggers, shapes })
    }

    /// Whether the outbox is complete.
    pub(super) fn is_made(&self) -> bool {
        OUTBOX.iter().all(|wanted| self.tables.iter().any(|table| table == wanted))
    }

    /// What was noted last of a table.
    pub(super) fn last(&self, table: &str) -> Option<&Noted> {
        self.shapes.iter().rev().find(|noted| noted.table == table)
    }

    /// The triggers first: they write to the tables.
    pub(super) fn removal(&self, tables: &[&str]) -> Vec<String> {
        let triggers = self.triggers.iter().map(|trigger| format!("DROP TRIGGER {}", quote(&trigger.name)));
        let tables = tables.iter().filter(|name| self.tables.iter().any(|table| table == *name));
        triggers.chain(tables.map(|table| format!("DROP TABLE {}", quote(table)))).collect()
    }
}
