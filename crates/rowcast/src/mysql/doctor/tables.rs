//! The tables: what they lack, and what of them triggers do not see.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::{Findings, State};
use crate::mysql::install::{InstallError, quote};
use crate::mysql::{Mode, MysqlSettings, catalog};

pub(super) async fn look(
    conn: &mut Conn,
    settings: &MysqlSettings,
    mode: Option<Mode>,
    findings: &mut Findings,
) -> Result<(), InstallError> {
    let tables = catalog::describe(conn).await?;
    let wanted: Vec<_> = tables.iter().filter(|table| settings.wants(&table.table.name)).collect();
    if wanted.is_empty() {
        let message = "none is to be captured: there is none, or `include` and `exclude` leave none, or the user may not see them";
        findings.add(State::Warning, "tables", message);
    }
    for described in &wanted {
        let name = &*described.table.name.name;
        let about = format!("table {name}");
        if described.table.key.is_empty() {
            let message = "it has no primary key, and no unique one over columns that are never null: clients cannot tell its rows apart, and get each change with the whole row";
            let sql = format!(
                "ALTER TABLE {} ADD COLUMN id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY",
                quote(name)
            );
            findings.mend(State::Warning, &about, message, [sql]);
        } else {
            let key: Vec<&str> = described.table.key.iter().map(|n| &*described.table.columns[*n].name).collect();
            findings.add(State::Good, &about, format!("key {}", key.join(", ")));
        }
        if !described.engine.eq_ignore_ascii_case("InnoDB") {
            let message = format!(
                "its engine {} keeps no transactions: a snapshot of it has no exact place, and what is rolled back stays in it",
                described.engine
            );
            findings.mend(State::Warning, &about, message, [format!("ALTER TABLE {} ENGINE = InnoDB", quote(name))]);
        }
    }
    if mode == Some(Mode::Outbox) {
        cascades(conn, settings, findings).await?;
    }
    Ok(())
}

/// Triggers do not fire for what a foreign key does by itself.
async fn cascades(conn: &mut Conn, settings: &MysqlSettings, findings: &mut Findings) -> Result<(), InstallError> {
    let sql = "SELECT TABLE_NAME, CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS \
               WHERE CONSTRAINT_SCHEMA = DATABASE() ORDER BY TABLE_NAME, CONSTRAINT_NAME";
    let keys: Vec<(String, String, String, String)> = conn.query(sql).await?;
    for (table, key, update, delete) in keys {
        let acts = |rule: &str| matches!(rule, "CASCADE" | "SET NULL" | "SET DEFAULT");
        let name = crate::event::TableName::bare(&table);
        if !settings.wants(&name) || !(acts(&update) || acts(&delete)) {
            continue;
        }
        let message = format!(
            "its foreign key {key} has ON UPDATE {update}, ON DELETE {delete}: triggers do not fire for the rows that it changes by \
             itself, so clients do not hear of them; change them in your own statements, or let the binlog be read"
        );
        findings.add(State::Warning, format!("table {table}"), message);
    }
    Ok(())
}
