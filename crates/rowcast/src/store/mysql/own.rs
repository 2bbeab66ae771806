//! Rowcast's own tables, made when they are first needed: a database without ingest stays clean.

use std::sync::atomic::{AtomicBool, Ordering};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::pool::within;
use super::{Server, StoreError};

/// The names of the tables.
pub(super) const TABLES: [&str; 3] = ["_rowcast_progress", "_rowcast_keys", "_rowcast_dead_letters"];

/// Compared byte by byte, whatever the database prefers. A source's name has at most 190 characters in a key.
const MAKE: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS `_rowcast_progress` (`source` varchar(190) NOT NULL, `life` varchar(190) NOT NULL, \
     `upto` bigint NOT NULL, `keys` bigint NOT NULL, `time` bigint NOT NULL, PRIMARY KEY (`source`)) \
     ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS `_rowcast_keys` (`id` bigint NOT NULL AUTO_INCREMENT, `source` varchar(190) NOT NULL, \
     `key` varbinary(255) NOT NULL, `n` bigint NOT NULL, `time` bigint NOT NULL, PRIMARY KEY (`id`), \
     UNIQUE KEY `source_key` (`source`, `key`)) \
     ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CREATE TABLE IF NOT EXISTS `_rowcast_dead_letters` (`id` bigint NOT NULL AUTO_INCREMENT, `source` varchar(190) NOT NULL, \
     `table` varchar(190) NOT NULL, `time` bigint NOT NULL, `line` bigint NOT NULL, `column` varchar(190), \
     `reason` text NOT NULL, `raw` longtext NOT NULL, PRIMARY KEY (`id`), KEY `source_id` (`source`, `id`)) \
     ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
];

/// Whether they are known to be there.
#[derive(Debug, Default)]
pub(super) struct Own(AtomicBool);

impl Own {
    pub(super) fn forget(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Server {
    /// Makes the tables that are not there. Never within a transaction, which it would commit.
    pub(super) async fn make_own_tables(&self) -> Result<(), StoreError> {
        if self.own.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut lent = self.pool.for_a_moment().await?;
        if !self.has_own_tables(&mut lent).await? {
            for sql in MAKE {
                within(lent.query_drop(sql)).await?;
            }
            self.own.0.store(true, Ordering::Relaxed);
        }
        lent.back();
        Ok(())
    }

    /// Whether the tables are there.
    pub(super) async fn has_own_tables(&self, conn: &mut Conn) -> Result<bool, StoreError> {
        if self.own.0.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ('{}')",
            TABLES.join("', '")
        );
        let count: Option<usize> = within(conn.query_first(sql)).await?;
        let there = count == Some(TABLES.len());
        self.own.0.store(there, Ordering::Relaxed);
        Ok(there)
    }
}
