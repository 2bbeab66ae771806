//! Tables as configuration describes them, in SQLite's words.
//!
//! Only what the oldest SQLite in use understands: other programs write to these tables, too, with libraries of their own.

use rusqlite::Connection;

use super::{StoreError, refused};
use crate::event::TableName;
use crate::sqlite::name::quote;
use crate::store::{ColumnDefault, ColumnKind, ColumnSpec, TableSpec, spec};

/// Makes what is not there, in one transaction. Returns what was run.
pub(super) fn create(connection: &Connection, tables: &[TableSpec]) -> Result<Vec<String>, StoreError> {
    at_once(connection, || all(connection, tables))
}

/// Adds what a table lacks, in the same way.
pub(super) fn add_columns(
    connection: &Connection,
    table: &TableName,
    added: &[ColumnSpec],
) -> Result<Vec<String>, StoreError> {
    spec::check_added(table, added).map_err(StoreError::Refused)?;
    at_once(connection, || {
        let known = columns(connection, &table.name).map_err(refused)?;
        if known.is_empty() || !is_main(table) {
            return Err(StoreError::UnknownTable(table.clone()));
        }
        let mut run = Vec::new();
        for column in added.iter().filter(|column| !has(&known, column)) {
            let sql = alteration(table, column);
            connection.execute_batch(&sql).map_err(refused)?;
            run.push(sql);
        }
        Ok(run)
    })
}

fn at_once(
    connection: &Connection,
    work: impl FnOnce() -> Result<Vec<String>, StoreError>,
) -> Result<Vec<String>, StoreError> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(refused)?;
    let done = work();
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.execute_batch(end).map_err(refused)?;
    done
}

fn is_main(table: &TableName) -> bool {
    table.schema.is_empty() || table.schema.eq_ignore_ascii_case("main")
}

fn has(known: &[String], column: &ColumnSpec) -> bool {
    known.iter().any(|there| there.eq_ignore_ascii_case(&column.name))
}

fn all(connection: &Connection, tables: &[TableSpec]) -> Result<Vec<String>, StoreError> {
    let mut run = Vec::new();
    for table in tables {
        table.check().map_err(StoreError::Refused)?;
        if !is_main(&table.name) {
            return Err(StoreError::Refused(format!(
                "table `{}`: SQLite has no schema `{}`; leave it out",
                table.name, table.name.schema
            )));
        }
        let columns = columns(connection, &table.name.name).map_err(refused)?;
        if columns.is_empty() {
            for sql in statements(table) {
                connection.execute_batch(&sql).map_err(refused)?;
                run.push(sql);
            }
            continue;
        }
        if let Some(column) = table.columns.iter().find(|column| !has(&columns, column)) {
            let alteration = alteration(&table.name, column);
            return Err(StoreError::Refused(spec::missing_column(table, &column.name, &alteration)));
        }
    }
    Ok(run)
}

/// Names, none where there is no such table.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_xinfo(?1)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

fn statements(table: &TableSpec) -> Vec<String> {
    let name = &table.name.name;
    let mut parts: Vec<String> = table.columns.iter().map(column).collect();
    // An id says by itself that it is the key.
    if !table.key.is_empty() && !table.columns.iter().any(|column| column.kind == ColumnKind::Id) {
        parts.push(format!("PRIMARY KEY ({})", list(&table.key)));
    }
    parts.extend(table.unique.iter().map(|columns| format!("UNIQUE ({})", list(columns))));
    let mut statements = vec![format!("CREATE TABLE {} (\n  {}\n)", quote(name), parts.join(",\n  "))];
    statements.extend(table.index.iter().map(|columns| {
        let index = quote(&format!("{name}_{}_idx", columns.join("_")));
        format!("CREATE INDEX {index} ON {} ({})", quote(name), list(columns))
    }));
    statements
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ")
}

fn column(column: &ColumnSpec) -> String {
    let name = quote(&column.name);
    let mut sql = format!("{name} {}", kind(column.kind));
    if column.required && column.kind != ColumnKind::Id {
        sql += " NOT NULL";
    }
    match &column.default {
        None => {}
        Some(ColumnDefault::Now) => sql += " DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))",
        Some(ColumnDefault::Text(text)) => sql += &format!(" DEFAULT '{}'", text.replace('\'', "''")),
        Some(ColumnDefault::Number(number)) => sql += &format!(" DEFAULT {number}"),
        Some(ColumnDefault::Boolean(truth)) => sql += &format!(" DEFAULT {}", u8::from(*truth)),
    }
    match column.kind {
        ColumnKind::Text(Some(length)) => sql += &format!(" CHECK (length({name}) <= {length})"),
        ColumnKind::Boolean => sql += &format!(" CHECK ({name} IN (0, 1))"),
        _ => {}
    }
    sql
}

fn kind(kind: ColumnKind) -> String {
    match kind {
        ColumnKind::Id => "INTEGER PRIMARY KEY".into(),
        ColumnKind::Text(Some(length)) => format!("VARCHAR({length})"),
        ColumnKind::Integer => "INTEGER".into(),
        ColumnKind::Real => "REAL".into(),
        // As numbers SQLite keeps 15 digits.
        ColumnKind::Decimal(digits, scale) if digits <= 15 => format!("DECIMAL({digits},{scale})"),
        ColumnKind::Boolean => "BOOLEAN".into(),
        ColumnKind::Bytes => "BLOB".into(),
        ColumnKind::Text(None)
        | ColumnKind::Decimal(..)
        | ColumnKind::Timestamp
        | ColumnKind::Date
        | ColumnKind::Json
        | ColumnKind::Uuid => "TEXT".into(),
    }
}

/// What adds a column that is missing. SQLite adds none that is required without a default, nor with one that is computed.
fn alteration(table: &TableName, missing: &ColumnSpec) -> String {
    let default = missing.default.clone().filter(|default| *default != ColumnDefault::Now);
    let added = ColumnSpec { required: missing.required && default.is_some(), default, ..missing.clone() };
    format!("ALTER TABLE {} ADD COLUMN {}", quote(&table.name), column(&added))
}
