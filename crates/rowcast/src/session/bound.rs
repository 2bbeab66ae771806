//! A filter and columns, tied to a table as it was at some moment.

use std::sync::Arc;

use super::follow::Wish;
use super::node::Node;
use super::order::find_column;
use super::rights::Rights;
use crate::event::Table;
use crate::filter::{Binding, Predicate};
use crate::protocol::encode::Projection;
use crate::protocol::{Code, ColumnType, Problem};

/// A filter and columns, tied to a table as it was at some moment.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) table: Arc<Table>,
    pub(super) predicate: Option<Arc<Predicate>>,
    pub(super) projection: Arc<Projection>,
}

impl Bound {
    /// Whether a client that was shown `before` can go on with it.
    pub(super) fn shows_the_same(&self, before: &Self) -> bool {
        self.predicate == before.predicate && self.projection.columns == before.projection.columns
    }

    pub(super) fn new(wish: &Wish, table: Arc<Table>, node: &Node, rights: &Rights) -> Result<Self, Problem> {
        let dialect = node.database.store.dialect();
        let readable = rights.columns.as_deref();
        let rule = rights.predicate(&table, dialect)?;
        let identity = wish.identity.lock().clone();
        let binding = Binding { table: &table, dialect, claims: &identity.claims, readable, chosen: &[] };
        let asked = wish.filter.as_ref().map(|filter| filter.bind_with(binding)).transpose()?;
        let predicate = match (rule, asked) {
            (Some(rule), Some(asked)) => Some(rule.and(asked)),
            (one, None) | (None, one) => one,
        };
        let predicate = predicate.map(Arc::new);
        let projection = match &wish.event {
            Some((event, wrapped)) => event.projection(&table, *wrapped)?,
            None => projection(&table, wish.columns.as_deref(), wish.old, readable)?,
        };
        if projection.columns.iter().any(|column| readable.is_some_and(|readable| !readable.contains(column))) {
            let message = "you may not follow this event: it tells columns that you may not read";
            return Err(Problem::new(Code::Forbidden, message));
        }
        let find = |name: &str| find_column(name, &table, readable);
        let deliver = wish.deliver.class(&table, &projection.columns, find)?.map(Arc::new);
        let projection = Arc::new(Projection { deliver, ruled: rights.filter.is_some(), ..projection });
        Ok(Self { table, predicate, projection })
    }
}

/// The chosen columns of a table; all where none are named.
pub fn projection(
    table: &Table,
    columns: Option<&[String]>,
    old: bool,
    readable: Option<&[usize]>,
) -> Result<Projection, Problem> {
    let find = |name: &String| find_column(name, table, readable);
    let columns = match columns {
        Some(names) => names.iter().map(find).collect::<Result<_, _>>()?,
        None => readable.map_or_else(|| (0..table.columns.len()).collect(), Into::into),
    };
    Ok(Projection { columns, old, named: None, deliver: None, ruled: false })
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
