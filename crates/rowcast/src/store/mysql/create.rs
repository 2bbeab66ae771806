//! Tables as configuration describes them, in the words of MySQL and MariaDB.

use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::pool::{Lent, within};
use super::{Server, StoreError, quote};
use crate::event::TableName;
use crate::mysql::{Mode, Server as About, install};
use crate::store::{ColumnDefault, ColumnKind, ColumnSpec, TableSpec, spec};

/// How long the triggers of new tables may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// A text in a key has a length; this many characters of four bytes fit into an index.
const KEY_CHARACTERS: u32 = 255;

/// Makes what is not there. Returns what was run.
///
/// Each statement commits by itself here, so that what was made before an error stays.
pub(super) async fn create(server: &Server, tables: &[TableSpec]) -> Result<Vec<String>, StoreError> {
    let about = server.about().await?.clone();
    for table in tables {
        table.check().map_err(StoreError::Refused)?;
        if !is_here(server, &table.name) {
            return Err(StoreError::Refused(format!(
                "table `{}`: tables are made in the database `{}`, which the URL names; leave `{}` out",
                table.name, server.database, table.name.schema
            )));
        }
    }
    let mut run = Vec::new();
    let mut lent = server.pool.for_writing().await?;
    for table in tables {
        let columns = columns(&mut lent, &table.name).await?;
        if columns.is_empty() {
            let sql = statement(table, &about);
            within(lent.query_drop(&sql)).await?;
            run.push(sql);
            continue;
        }
        if let Some(column) = table.columns.iter().find(|column| !has(&columns, column)) {
            let alteration = alteration(&table.name, &column_sql(column, is_indexed(table, column), &about));
            lent.back();
            return Err(StoreError::Refused(spec::missing_column(table, &column.name, &alteration)));
        }
    }
    finish(server, lent, run).await
}

/// Adds what a table lacks, in the same way.
pub(super) async fn add_columns(
    server: &Server,
    table: &TableName,
    added: &[ColumnSpec],
) -> Result<Vec<String>, StoreError> {
    spec::check_added(table, added).map_err(StoreError::Refused)?;
    let about = server.about().await?.clone();
    let mut run = Vec::new();
    let mut lent = server.pool.for_writing().await?;
    let known = columns(&mut lent, table).await?;
    if known.is_empty() || !is_here(server, table) {
        lent.back();
        return Err(StoreError::UnknownTable(table.clone()));
    }
    for column in added.iter().filter(|column| !has(&known, column)) {
        let sql = alteration(table, &column_sql(column, false, &about));
        match within(lent.query_drop(&sql)).await {
            Ok(()) => run.push(sql),
            // Another gateway may have added it since it was looked for.
            Err(error) => {
                if !has(&columns(&mut lent, table).await?, column) {
                    return Err(error);
                }
            }
        }
    }
    finish(server, lent, run).await
}

/// What was made is captured before the first row is written.
async fn finish(server: &Server, mut lent: Lent, mut run: Vec<String>) -> Result<Vec<String>, StoreError> {
    if !run.is_empty() {
        *server.known.lock() = None;
        if server.mode() == Mode::Outbox {
            // Before the first row is written, so that the triggers see it.
            let refreshed = tokio::time::timeout(PATIENCE, install::refresh(&mut lent, &server.settings)).await;
            let late = || StoreError::Unavailable(format!("making triggers has taken {} s", PATIENCE.as_secs()));
            run.extend(refreshed.map_err(|_| late())?.map_err(|error| match error.retry {
                true => StoreError::Unavailable(error.message),
                false => StoreError::Refused(error.message),
            })?);
        }
    }
    lent.back();
    Ok(run)
}

fn is_here(server: &Server, table: &TableName) -> bool {
    table.schema.is_empty() || table.schema.eq_ignore_ascii_case(&server.database)
}

/// Names, none where there is no such table.
async fn columns(lent: &mut Lent, table: &TableName) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?";
    within(lent.exec(sql, (&*table.name,))).await
}

fn has(known: &[String], column: &ColumnSpec) -> bool {
    let name = column.name.to_lowercase();
    known.iter().any(|there| there.to_lowercase() == name)
}

fn alteration(table: &TableName, column: &str) -> String {
    format!("ALTER TABLE {} ADD COLUMN {column}", quote(&table.name))
}

fn is_indexed(table: &TableSpec, column: &ColumnSpec) -> bool {
    table.primary_key().contains(&&*column.name)
        || table.unique.iter().chain(&table.index).any(|index| index.contains(&column.name))
}

/// Texts are compared byte by byte, as filters compare them and as other databases do: else all emoji would be one in a unique key.
fn statement(table: &TableSpec, about: &About) -> String {
    let mut parts: Vec<String> =
        table.columns.iter().map(|column| column_sql(column, is_indexed(table, column), about)).collect();
    let key = table.primary_key();
    if !key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", list(&key)));
    }
    parts.extend(table.unique.iter().map(|columns| format!("UNIQUE KEY ({})", list(columns))));
    parts.extend(table.index.iter().map(|columns| format!("KEY ({})", list(columns))));
    format!(
        "CREATE TABLE {} (\n  {}\n) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        quote(&table.name.name),
        parts.join(",\n  ")
    )
}

fn list(columns: &[impl AsRef<str>]) -> String {
    columns.iter().map(|column| quote(column.as_ref())).collect::<Vec<_>>().join(", ")
}

fn column_sql(column: &ColumnSpec, indexed: bool, about: &About) -> String {
    let mut sql = format!("{} {}", quote(&column.name), kind(column.kind, indexed, about));
    sql += match (column.kind, column.required) {
        (ColumnKind::Id, _) => " NOT NULL AUTO_INCREMENT",
        (_, true) => " NOT NULL",
        (_, false) => " NULL",
    };
    match &column.default {
        None => {}
        Some(ColumnDefault::Now) => sql += " DEFAULT CURRENT_TIMESTAMP(6)",
        // In brackets, which both servers take for long texts and documents, too.
        Some(ColumnDefault::Text(text)) => {
            sql += &format!(" DEFAULT ('{}')", text.replace('\\', "\\\\").replace('\'', "''"));
        }
        Some(ColumnDefault::Number(number)) => sql += &format!(" DEFAULT {number}"),
        Some(ColumnDefault::Boolean(truth)) => sql += if *truth { " DEFAULT TRUE" } else { " DEFAULT FALSE" },
    }
    sql
}

fn kind(kind: ColumnKind, indexed: bool, about: &About) -> String {
    match kind {
        ColumnKind::Id | ColumnKind::Integer => "bigint".into(),
        ColumnKind::Text(Some(length)) if length <= 16_000 => format!("varchar({length})"),
        ColumnKind::Text(_) if indexed => format!("varchar({KEY_CHARACTERS})"),
        ColumnKind::Text(_) => "longtext".into(),
        ColumnKind::Real => "double".into(),
        ColumnKind::Decimal(digits, scale) => format!("decimal({digits},{scale})"),
        ColumnKind::Boolean => "boolean".into(),
        ColumnKind::Timestamp => "datetime(6)".into(),
        ColumnKind::Date => "date".into(),
        ColumnKind::Json => "json".into(),
        ColumnKind::Bytes if indexed => "varbinary(1000)".into(),
        ColumnKind::Bytes => "longblob".into(),
        ColumnKind::Uuid if about.is_mariadb() && about.version >= (10, 7, 0) => "uuid".into(),
        ColumnKind::Uuid => "char(36)".into(),
    }
}
