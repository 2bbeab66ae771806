//! What columns the outbox's rows have, each at its time.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use tokio_postgres::Client;

use crate::event::{Column, Table, TableName};
use crate::postgres::Types;
use crate::postgres::types::Kind;

/// A table with the way to read its values.
#[derive(Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) table: Arc<Table>,
    pub(super) kinds: Vec<Arc<Kind>>,
    /// Columns that are computed when they are read: triggers see nothing in them.
    pub(super) hidden: Vec<String>,
}

/// Every shape that was noted, by table, oldest first. One that is `None` says that the table is no longer captured.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    tables: HashMap<u32, Vec<(i64, Option<Arc<Shape>>)>>,
}

/// As `rowcast.shapes` has it.
#[derive(Debug, Deserialize)]
struct Noted {
    schema: Box<str>,
    name: Box<str>,
    columns: Vec<(Box<str>, u32, i32, Box<str>)>,
    hidden: Vec<String>,
    key: Vec<usize>,
}

impl Shapes {
    /// Reads all of them, and asks for the types that are not known yet.
    pub(super) async fn load(client: &Client, types: &Types) -> Result<Self, tokio_postgres::Error> {
        let rows = client.query("SELECT relid, id, shape FROM rowcast.shapes ORDER BY id", &[]).await?;
        let noted: Vec<(u32, i64, Option<Noted>)> = rows
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get::<_, Option<&str>>(2)))
            .map(|(table, id, shape)| (table, id, shape.and_then(|shape| serde_json::from_str(shape).ok())))
            .collect();
        let columns = noted.iter().filter_map(|(_, _, noted)| noted.as_ref()).flat_map(|noted| &noted.columns);
        let wanted: Vec<(u32, i32)> = columns.map(|(_, oid, typmod, _)| (*oid, *typmod)).collect();
        types.learn(client, &wanted).await?;
        let mut shapes = Self::default();
        for (table, id, noted) in noted {
            let shape = noted.map(|noted| Arc::new(Shape::new(noted, types)));
            shapes.tables.entry(table).or_default().push((id, shape));
        }
        Ok(shapes)
    }

    /// The shape that a row with this number has.
    pub(super) fn at(&self, table: u32, id: i64) -> Option<&Arc<Shape>> {
        let known = self.tables.get(&table)?;
        let upto = known.partition_point(|(from, _)| *from <= id);
        known[..upto].last()?.1.as_ref()
    }

    /// Those that were noted after a row with this number was written.
    pub(super) fn after(&self, table: u32, id: i64) -> impl Iterator<Item = &Arc<Shape>> {
        let known = self.tables.get(&table).map(Vec::as_slice).unwrap_or_default();
        known.iter().filter(move |(from, _)| *from > id).filter_map(|(_, shape)| shape.as_ref())
    }

    /// The tables that are captured now.
    pub(super) fn captured(&self) -> Vec<TableName> {
        let last = self.tables.values().filter_map(|known| known.last()?.1.as_ref());
        let mut names: Vec<TableName> = last.map(|shape| shape.table.name.clone()).collect();
        names.sort();
        names
    }
}

impl Shape {
    fn new(noted: Noted, types: &Types) -> Self {
        let kinds = noted.columns.iter().map(|(_, oid, _, _)| types.get(*oid)).collect();
        let columns = noted.columns.into_iter().map(|(name, _, _, declared)| Column { name, declared }).collect();
        let table = Table { name: TableName { schema: noted.schema, name: noted.name }, columns, key: noted.key };
        Self { table: Arc::new(table), kinds, hidden: noted.hidden }
    }

    /// A table with the columns that a row happens to have, where nothing else is known of them.
    pub(super) fn of_names<'a>(like: &Shape, names: impl Iterator<Item = &'a str>) -> Self {
        let (mut columns, mut kinds) = (Vec::new(), Vec::new());
        for name in names {
            let known = like.table.columns.iter().position(|column| &*column.name == name);
            let declared = known.map_or("".into(), |n| like.table.columns[n].declared.clone());
            columns.push(Column { name: name.into(), declared });
            kinds.push(known.map_or_else(|| Arc::new(Kind::Text), |n| like.kinds[n].clone()));
        }
        let key = like.table.key.iter().map(|n| &like.table.columns[*n].name);
        let key = key.filter_map(|name| columns.iter().position(|column| column.name == *name)).collect();
        let table = Table { name: like.table.name.clone(), columns, key };
        Self { table: Arc::new(table), kinds, hidden: like.hidden.clone() }
    }
}
