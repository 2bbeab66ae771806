//! The columns that the outbox's rows have, as `_rowcast_shapes` keeps them.

use std::collections::HashMap;
use std::sync::Arc;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde::{Deserialize, Serialize};

use super::Kind;
use crate::event::{Column, Table, TableName};

/// A table with the way to read its values.
#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) table: Arc<Table>,
    pub(crate) kinds: Box<[Kind]>,
}

/// As `_rowcast_shapes` has it.
#[derive(Serialize, Deserialize)]
struct Noted {
    /// Name and declared type.
    columns: Vec<(Box<str>, Box<str>)>,
    key: Vec<usize>,
}

/// Every shape that was noted, by its number.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    known: HashMap<u64, (TableName, Option<Arc<Shape>>)>,
}

/// A table's shape as text.
pub(crate) fn noted(table: &Table) -> String {
    let columns = table.columns.iter().map(|column| (column.name.clone(), column.declared.clone())).collect();
    serde_json::to_string(&Noted { columns, key: table.key.clone() }).expect("texts and numbers are JSON")
}

impl Shapes {
    /// Reads all of them.
    pub(crate) async fn load(conn: &mut Conn) -> Result<Self, mysql_async::Error> {
        let rows: Vec<(u64, String, Option<String>)> =
            conn.query("SELECT id, name, shape FROM _rowcast_shapes").await?;
        let known = rows.into_iter().map(|(id, name, text)| {
            let name = TableName::bare(&name);
            let shape = text.and_then(|text| serde_json::from_str(&text).ok()).map(|noted| Shape::new(&name, noted));
            (id, (name, shape.map(Arc::new)))
        });
        Ok(Self { known: known.collect() })
    }

    /// Of one table, whose only column is `id`, under these numbers.
    #[cfg(test)]
    pub(crate) fn of_one(name: &TableName, numbers: &[u64]) -> Self {
        let shape = || Shape::new(name, Noted { columns: vec![("id".into(), "int".into())], key: vec![0] });
        Self { known: numbers.iter().map(|id| (*id, (name.clone(), Some(Arc::new(shape()))))).collect() }
    }

    /// The table of this number, and its shape; that is `None` where it is no longer captured.
    pub(crate) fn get(&self, id: u64) -> Option<(&TableName, Option<&Arc<Shape>>)> {
        self.known.get(&id).map(|(name, shape)| (name, shape.as_ref()))
    }

    /// The tables that are captured now.
    pub(crate) fn captured(&self) -> Vec<TableName> {
        let mut last: HashMap<&TableName, (u64, bool)> = HashMap::new();
        for (id, (name, shape)) in &self.known {
            let newest = last.entry(name).or_insert((0, false));
            if *id >= newest.0 {
                *newest = (*id, shape.is_some());
            }
        }
        let mut names: Vec<TableName> =
            last.into_iter().filter(|(_, (_, captured))| *captured).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }
}

impl Shape {
    fn new(name: &TableName, noted: Noted) -> Self {
        let kinds = noted.columns.iter().map(|(_, declared)| Kind::of(declared)).collect();
        let columns = noted.columns.into_iter().map(|(name, declared)| Column { name, declared }).collect();
        Self { table: Arc::new(Table { name: name.clone(), columns, key: noted.key }), kinds }
    }
}
