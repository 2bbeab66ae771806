//! Tables as configuration describes them, in PostgreSQL's words.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::literal::quote_table;
use super::pool::Lent;
use super::refused::refused;
use super::{Server, StoreError};
use crate::event::TableName;
use crate::postgres::install;
use crate::postgres::name::quote;
use crate::store::{ColumnDefault, ColumnKind, ColumnSpec, TableSpec, spec};

/// Two who begin at once make tables one after the other: `rowcast_` as a number.
const LOCK: i64 = 0x726f_7763_6173_745f;

impl Server {
    /// Makes what is not there, in one transaction, and sees to it that it is captured. Returns what was run.
    pub(super) async fn create(&self, tables: &[TableSpec]) -> Result<Vec<String>, StoreError> {
        for table in tables {
            table.check().map_err(StoreError::Refused)?;
        }
        self.at_once(async |client| make(client, tables).await).await
    }

    pub(super) async fn add_columns(&self, table: &TableName, added: &[ColumnSpec]) -> Result<Vec<String>, StoreError> {
        spec::check_added(table, added).map_err(StoreError::Refused)?;
        let run = self.at_once(async |client| add(client, table, added).await).await?;
        if !run.is_empty() {
            // The next one who asks hears of the columns.
            self.known.lock().clear();
        }
        Ok(run)
    }

    /// In one transaction, one after the other.
    async fn at_once(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<Vec<String>, StoreError>,
    ) -> Result<Vec<String>, StoreError> {
        let lent = self.pool.for_writing().await?;
        let begin = format!("BEGIN; SET LOCAL lock_timeout = '10s'; SELECT pg_catalog.pg_advisory_xact_lock({LOCK})");
        lent.client().batch_execute(&begin).await.map_err(refused)?;
        let run = match work(lent.client()).await {
            Ok(run) => run,
            Err(error) => {
                lent.end().await;
                return Err(error);
            }
        };
        lent.client().batch_execute("COMMIT").await.map_err(refused)?;
        if !run.is_empty() {
            self.capture(lent).await;
        }
        Ok(run)
    }

    /// What is new is captured from now on, without waiting for the source to look, where there is one.
    async fn capture(&self, lent: Lent) {
        let client = lent.client();
        let captured = async {
            match install::captured_by(client, &self.settings).await? {
                Some(mode) => install::refresh(client, &self.settings, mode).await.map(drop),
                None => Ok(()),
            }
        };
        match captured.await {
            Ok(()) => lent.back(),
            Err(error) => tracing::warn!(%error, "new tables and columns are captured a moment later"),
        }
    }
}

async fn make(client: &Client, tables: &[TableSpec]) -> Result<Vec<String>, StoreError> {
    let mut run = Vec::new();
    for table in tables {
        let columns = columns(client, &table.name).await.map_err(refused)?;
        let Some(columns) = columns else {
            for sql in statements(table) {
                client.batch_execute(&sql).await.map_err(refused)?;
                run.push(sql);
            }
            continue;
        };
        if let Some(missing) = table.columns.iter().find(|column| !columns.contains(&column.name)) {
            let sql = alteration(&table.name, missing);
            return Err(StoreError::Refused(spec::missing_column(table, &missing.name, &sql)));
        }
    }
    Ok(run)
}

async fn add(client: &Client, table: &TableName, added: &[ColumnSpec]) -> Result<Vec<String>, StoreError> {
    let known = columns(client, table).await.map_err(refused)?;
    let known = known.ok_or_else(|| StoreError::UnknownTable(table.clone()))?;
    let mut run = Vec::new();
    for column in added.iter().filter(|column| !known.contains(&column.name)) {
        let sql = alteration(table, column);
        client.batch_execute(&sql).await.map_err(refused)?;
        run.push(sql);
    }
    Ok(run)
}

fn alteration(table: &TableName, missing: &ColumnSpec) -> String {
    format!("ALTER TABLE {} ADD COLUMN {}", name(table), column(missing))
}

/// `None` where there is no such table.
async fn columns(client: &Client, table: &TableName) -> Result<Option<Vec<String>>, tokio_postgres::Error> {
    let sql = "SELECT a.attname::text FROM (SELECT pg_catalog.to_regclass($1)) AS t (oid) \
               LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped \
               WHERE t.oid IS NOT NULL";
    let rows = client.query_typed(sql, &[(&name(table), Type::TEXT)]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    Ok(Some(rows.iter().filter_map(|row| row.get(0)).collect()))
}

/// Without a schema, it is the first of the search path.
fn name(table: &TableName) -> String {
    if table.schema.is_empty() { quote(&table.name) } else { quote_table(table) }
}

fn statements(table: &TableSpec) -> Vec<String> {
    let mut parts: Vec<String> = table.columns.iter().map(column).collect();
    let key: Vec<String> = table.primary_key().into_iter().map(str::to_owned).collect();
    if !key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", list(&key)));
    }
    parts.extend(table.unique.iter().map(|columns| format!("UNIQUE ({})", list(columns))));
    let name = name(&table.name);
    let mut statements = vec![format!("CREATE TABLE {name} (\n  {}\n)", parts.join(",\n  "))];
    statements.extend(table.index.iter().map(|columns| format!("CREATE INDEX ON {name} ({})", list(columns))));
    statements
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ")
}

fn column(column: &ColumnSpec) -> String {
    let mut sql = format!("{} {}", quote(&column.name), kind(column.kind));
    if column.required && column.kind != ColumnKind::Id {
        sql += " NOT NULL";
    }
    match &column.default {
        None => {}
        Some(ColumnDefault::Now) => sql += " DEFAULT now()",
        Some(ColumnDefault::Text(text)) => sql += &format!(" DEFAULT {}", literal(text)),
        Some(ColumnDefault::Number(number)) => sql += &format!(" DEFAULT {number}"),
        Some(ColumnDefault::Boolean(truth)) => sql += &format!(" DEFAULT {truth}"),
    }
    sql
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn kind(kind: ColumnKind) -> String {
    match kind {
        ColumnKind::Id => "bigint GENERATED BY DEFAULT AS IDENTITY".into(),
        ColumnKind::Text(Some(length)) => format!("varchar({length})"),
        ColumnKind::Text(None) => "text".into(),
        ColumnKind::Integer => "bigint".into(),
        ColumnKind::Real => "double precision".into(),
        ColumnKind::Decimal(digits, scale) => format!("numeric({digits},{scale})"),
        ColumnKind::Boolean => "boolean".into(),
        ColumnKind::Timestamp => "timestamptz(6)".into(),
        ColumnKind::Date => "date".into(),
        ColumnKind::Json => "jsonb".into(),
        ColumnKind::Bytes => "bytea".into(),
        ColumnKind::Uuid => "uuid".into(),
    }
}
