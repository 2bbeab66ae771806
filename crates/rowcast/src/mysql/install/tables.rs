//! The tables of the outbox.

use super::found::{Found, OUTBOX};
use super::quote;

/// Rows that triggers have written. `seq` is the number of the transaction, given after its commit (see `mysql::sequence`);
/// `conn` and `tx` tell the transactions apart until then.
const CREATE_OUTBOX: &str = "CREATE TABLE `_rowcast_outbox` (
  `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  `seq` BIGINT UNSIGNED NULL,
  `conn` BIGINT UNSIGNED NOT NULL,
  `tx` BIGINT UNSIGNED NOT NULL,
  `shape` BIGINT UNSIGNED NOT NULL,
  `op` CHAR(1) NOT NULL,
  `old` LONGTEXT NULL,
  `new` LONGTEXT NULL,
  KEY `seq` (`seq`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// The columns that the outbox's rows have, each shape under its number.
const CREATE_SHAPES: &str = "CREATE TABLE `_rowcast_shapes` (
  `id` BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  `name` VARCHAR(64) NOT NULL,
  `shape` LONGTEXT NULL,
  `done` TINYINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// Which outbox it is, and the last number that was given.
const CREATE_STATE: &str = "CREATE TABLE `_rowcast_state` (
  `one` TINYINT NOT NULL PRIMARY KEY,
  `outbox` VARCHAR(32) NOT NULL,
  `seq` BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// Makes all of them; what is left of an incomplete outbox goes first.
pub(super) fn make(found: &Found) -> Vec<String> {
    let mut plan = found.removal(OUTBOX);
    let insert = format!("INSERT INTO {} VALUES (1, '{:032x}', 0)", quote("_rowcast_state"), rand::random::<u128>());
    plan.extend([CREATE_OUTBOX, CREATE_SHAPES, CREATE_STATE].map(str::to_owned));
    plan.push(insert);
    plan
}
