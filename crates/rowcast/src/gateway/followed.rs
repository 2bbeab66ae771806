//! The database as clients may use it: without the tables that are the program's own.

use std::sync::Arc;

use async_trait::async_trait;

use crate::event::{Place, Table, TableName};
use crate::filter::Dialect;
use crate::store::{
    AsRole, ColumnSpec, DeadLetter, DeadLetters, History, Insert, Inserted, Policies, Progress, Select, SeriesQuery,
    Sight, Snapshot, Store, StoreError, TableSpec, Write, Written,
};

/// A store that has no table of some names. Whatever else is asked needs a table that it gave out.
pub(super) struct Followed {
    store: Arc<dyn Store>,
    private: Vec<TableName>,
}

impl Followed {
    /// The store itself, where nothing is hidden.
    pub(super) fn of(store: Arc<dyn Store>, private: &[TableName]) -> Arc<dyn Store> {
        if private.is_empty() {
            return store;
        }
        Arc::new(Self { store, private: private.to_vec() })
    }

    /// By the name that the database has for it.
    fn hides(&self, table: &Table) -> bool {
        self.private.iter().any(|private| private.name.eq_ignore_ascii_case(&table.name.name))
    }
}

#[async_trait]
impl Store for Followed {
    fn dialect(&self) -> Dialect {
        self.store.dialect()
    }

    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        let tables = self.store.tables().await?;
        Ok(tables.into_iter().filter(|table| !self.hides(table)).collect())
    }

    async fn table(&self, name: &TableName) -> Result<Arc<Table>, StoreError> {
        let table = self.store.table(name).await?;
        if self.hides(&table) { Err(StoreError::UnknownTable(name.clone())) } else { Ok(table) }
    }

    async fn snapshot(&self, select: Select) -> Result<Snapshot, StoreError> {
        self.store.snapshot(select).await
    }

    fn reached(&self, log: Option<&Place>, snapshot: &Place) -> bool {
        self.store.reached(log, snapshot)
    }

    async fn insert(&self, insert: Insert) -> Result<Inserted, StoreError> {
        self.store.insert(insert).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<Written, StoreError> {
        self.store.write(writes).await
    }

    async fn series(&self, query: SeriesQuery) -> Result<History, StoreError> {
        self.store.series(query).await
    }

    async fn policies(&self, table: &Table, role: &AsRole) -> Result<Policies, StoreError> {
        self.store.policies(table, role).await
    }

    async fn sees(&self, sight: &Sight) -> Result<Option<Vec<bool>>, StoreError> {
        self.store.sees(sight).await
    }

    async fn create(&self, tables: &[TableSpec]) -> Result<Vec<String>, StoreError> {
        self.store.create(tables).await
    }

    async fn add_columns(&self, table: &TableName, columns: &[ColumnSpec]) -> Result<Vec<String>, StoreError> {
        self.store.add_columns(table, columns).await
    }

    async fn progress(&self, source: &str) -> Result<Option<Progress>, StoreError> {
        self.store.progress(source).await
    }

    async fn dead_letters(&self, which: DeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.store.dead_letters(which).await
    }

    async fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.store.dead_letter_counts().await
    }

    async fn bury(&self, ids: &[u64]) -> Result<u64, StoreError> {
        self.store.bury(ids).await
    }
}
