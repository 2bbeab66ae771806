//! A SQLite file as a store: first cut, replaced when the store's own branch lands.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::*;
use crate::sqlite::bell::ring;
use crate::sqlite::catalog::{self, Described};
use crate::sqlite::file::DatabaseFile;
use crate::sqlite::name::quote;
use crate::sqlite::outbox::{self, OutboxPlace};
use crate::sqlite::value::{Bound, read};
use crate::sqlite::SqliteSettings;

/// A SQLite file as a store.
pub struct SqliteStore {
    file: DatabaseFile,
    settings: SqliteSettings,
    writer: Arc<Mutex<Connection>>,
}

impl SqliteStore {
    /// Opens it.
    pub fn open(path: impl AsRef<Path>, settings: SqliteSettings) -> Result<Self, StoreError> {
        let (file, writer) =
            DatabaseFile::open(path.as_ref(), &settings).map_err(|f| StoreError::Refused(f.message))?;
        Ok(Self { file, settings, writer: Arc::new(Mutex::new(writer)) })
    }

    fn connection(&self) -> Result<Connection, StoreError> {
        self.file.connect(self.settings.busy_timeout).map_err(|f| StoreError::Unavailable(f.message))
    }

    fn described(&self, name: &TableName) -> Result<Arc<Described>, StoreError> {
        let catalog = catalog::read(&self.connection()?, &self.settings).map_err(refused)?;
        catalog.get(&name.name.to_ascii_lowercase()).cloned().ok_or_else(|| StoreError::UnknownTable(name.clone()))
    }
}

fn refused(error: rusqlite::Error) -> StoreError {
    StoreError::Refused(error.to_string())
}

#[async_trait]
impl Store for SqliteStore {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }
    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        let catalog = catalog::read(&self.connection()?, &self.settings).map_err(refused)?;
        Ok(catalog.values().map(|d| d.table.clone()).collect())
    }
    async fn table(&self, name: &TableName) -> Result<Arc<Table>, StoreError> {
        self.described(name).map(|d| d.table.clone())
    }
    async fn snapshot(&self, select: Select) -> Result<Snapshot, StoreError> {
        let described = self.described(&select.table.name)?;
        if described.table != select.table {
            return Err(StoreError::Altered(select.table.name.clone()));
        }
        let columns: Vec<_> = (0..described.table.columns.len()).map(|i| described.column_sql(i)).collect();
        let mut sql = format!("SELECT {} FROM {}", columns.join(","), quote(&select.table.name.name));
        let mut params = Vec::new();
        if let Some(filter) = &select.filter {
            sql.push_str(" WHERE ");
            filter.push_sql(&mut sql, &mut params);
        }
        let order = select.order_by.iter().map(|o| (o.column, o.descending));
        let order: Vec<_> = order.chain(described.table.key.iter().map(|&k| (k, false))).collect();
        for (i, (column, descending)) in order.iter().enumerate() {
            sql.push_str(if i == 0 { " ORDER BY " } else { "," });
            sql.push_str(&described.column_sql(*column));
            sql.push_str(if *descending { " DESC" } else { "" });
        }
        sql.push_str(&format!(" LIMIT {} OFFSET {}", select.limit.map_or(-1, |l| l as i64), select.offset));
        let mut connection = self.connection()?;
        let width = columns.len();
        let (seq, id, rows) = (|| {
            let tx = connection.transaction()?;
            let seq = outbox::last_seq(&tx)?;
            let id = outbox::id(&tx)?.unwrap_or_default();
            let mut statement = tx.prepare(&sql)?;
            let mut found = statement.query(rusqlite::params_from_iter(params.iter().map(Bound)))?;
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                let values: Result<Vec<_>, _> = (0..width).map(|i| row.get_ref(i).map(read)).collect();
                rows.push(Row::from(values?));
            }
            Ok((seq, id, rows))
        })()
        .map_err(refused)?;
        let (sender, receiver) = mpsc::channel(1);
        let _ = sender.try_send(Ok(rows));
        let place = OutboxPlace::new(&id, seq).to_place();
        Ok(Snapshot { table: described.table.clone(), mark: Mark::UpTo(seq), place, rows: receiver })
    }
    fn reached(&self, log: Option<&Place>, snapshot: &Place) -> bool {
        let place = |p: &Place| OutboxPlace::of(p).map(|p| (p.id, p.seq));
        log.and_then(place) >= place(snapshot)
    }
    async fn insert(&self, insert: Insert) -> Result<Inserted, StoreError> {
        let mut writer = self.writer.lock();
        let mut rejected = Vec::new();
        let mut count = 0;
        let (seq, id) = (|| {
            let tx = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for (i, row) in insert.rows.iter().enumerate() {
                let names: Vec<_> = row.iter().map(|(c, _)| quote(&insert.table.columns[*c].name)).collect();
                let marks: Vec<_> = (1..=row.len()).map(|n| format!("?{n}")).collect();
                let table = quote(&insert.table.name.name);
                let sql = match row.len() {
                    0 => format!("INSERT INTO {table} DEFAULT VALUES"),
                    _ => format!("INSERT INTO {table}({}) VALUES ({})", names.join(","), marks.join(",")),
                };
                let done = tx.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(row.iter().map(|(_, v)| Bound(v))));
                match done {
                    Ok(_) => count += 1,
                    Err(error) => rejected.push((i, error.to_string())),
                }
            }
            let seq = outbox::last_seq(&tx)?;
            let id = outbox::id(&tx)?.unwrap_or_default();
            tx.commit()?;
            Ok((seq, id))
        })()
        .map_err(refused)?;
        ring(self.file.path());
        Ok(Inserted { count, place: OutboxPlace::new(&id, seq).to_place(), rejected })
    }
    async fn series(&self, _: SeriesQuery) -> Result<Series, StoreError> {
        Err(StoreError::Refused("not yet".into()))
    }
}
