//! A filter and columns, tied to a table as it was at some moment.

use std::sync::Arc;

use super::follow::Wish;
use super::node::Node;
use super::order::unknown_column;
use crate::event::Table;
use crate::filter::Predicate;
use crate::protocol::encode::Projection;
use crate::protocol::{ColumnType, Problem};

/// A filter and columns, tied to a table as it was at some moment.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) table: Arc<Table>,
    pub(super) predicate: Option<Arc<Predicate>>,
    pub(super) projection: Arc<Projection>,
}

impl Bound {
    pub(super) fn new(wish: &Wish, table: Arc<Table>, node: &Node) -> Result<Self, Problem> {
        let dialect = node.database.store.dialect();
        let claims = serde_json::Map::new();
        let predicate = match &wish.filter {
            Some(filter) => Some(Arc::new(filter.bind(&table, dialect, &claims)?)),
            None => None,
        };
        let projection = match &wish.event {
            Some((event, wrapped)) => event.projection(&table, *wrapped)?,
            None => projection(&table, wish.columns.as_deref(), wish.old)?,
        };
        let find = |name: &str| table.column(name).ok_or_else(|| unknown_column(name, &table));
        let deliver = wish.deliver.class(&table, &projection.columns, find)?.map(Arc::new);
        let projection = Arc::new(Projection { deliver, ..projection });
        Ok(Self { table, predicate, projection })
    }
}

/// The chosen columns of a table; all where none are named.
pub fn projection(table: &Table, columns: Option<&[String]>, old: bool) -> Result<Projection, Problem> {
    let find = |name: &String| table.column(name).ok_or_else(|| unknown_column(name, table));
    let columns = match columns {
        Some(names) => names.iter().map(find).collect::<Result<_, _>>()?,
        None => (0..table.columns.len()).collect(),
    };
    Ok(Projection { columns, old, named: None, deliver: None })
}

/// What `subscribed` and the first `snapshot` say of the table: the chosen columns, and the names of the key's.
pub(super) fn head(bound: &Bound) -> (Vec<ColumnType>, Vec<String>) {
    let column = |&i: &usize| {
        let column = &bound.table.columns[i];
        ColumnType { name: column.name.to_string(), declared: column.declared.to_string() }
    };
    let key = bound.table.key.iter().map(|&i| bound.table.columns[i].name.to_string());
    (bound.projection.columns.iter().map(column).collect(), key.collect())
}
