//! Tables by their number in the stream, and rows as changes of them.

use std::sync::Arc;

use ahash::AHashMap;

use super::{Cell, Identity, Malformed, Old, Relation, Tuple};
use crate::event::{Column, Op, Row, RowChange, Table, TableName, Value};
use crate::postgres::{Kind, Types};

/// The tables that the stream has described.
#[derive(Debug, Default)]
pub struct Relations {
    known: AHashMap<u32, Described>,
}

/// A table as the stream described it last.
#[derive(Debug, Clone)]
pub struct Described {
    /// The table for events. The same `Arc` as long as its columns and its key stay.
    pub table: Arc<Table>,
    /// How each column is read.
    pub kinds: Box<[Arc<Kind>]>,
    /// What of an old row is sent.
    pub identity: Identity,
    /// Which columns an old row has when only its key is sent.
    identifying: Box<[bool]>,
}

impl Relations {
    /// Takes a description; `types` must have learned the columns' types. Returns the table as it was before, where that
    /// was another one.
    ///
    /// `key` has the names of the primary key's columns in their order, as the catalog has them: they are the key of tables
    /// whose identity is the whole row or nothing, and give the order where the stream only says which columns.
    pub fn describe(&mut self, relation: &Relation, types: &Types, key: &[Box<str>]) -> Option<Arc<Table>> {
        let column = |column: &super::RelationColumn| Column {
            name: column.name.clone(),
            declared: types.declared(column.oid, column.typmod),
        };
        let table = Table {
            name: TableName { schema: relation.schema.clone(), name: relation.name.clone() },
            columns: relation.columns.iter().map(column).collect(),
            key: key_columns(relation, key),
        };
        let before = self.known.get(&relation.id).map(|known| known.table.clone());
        let same = before.as_ref().filter(|before| ***before == table).cloned();
        let altered = before.filter(|_| same.is_none());
        let described = Described {
            table: same.unwrap_or_else(|| Arc::new(table)),
            kinds: relation.columns.iter().map(|column| types.get(column.oid)).collect(),
            identity: relation.identity,
            identifying: relation.columns.iter().map(|column| column.key).collect(),
        };
        self.known.insert(relation.id, described);
        altered
    }

    /// What the stream said of a table.
    pub fn get(&self, relation: u32) -> Result<&Described, Malformed> {
        self.known.get(&relation).ok_or_else(|| Malformed(format!("relation {relation} was never described")))
    }

    /// An insert as a change.
    pub fn insert(&self, relation: u32, new: &Tuple) -> Result<RowChange, Malformed> {
        let known = self.get(relation)?;
        Ok(known.change(Op::Insert, None, Some(known.row(new)?)))
    }

    /// An update as a change.
    ///
    /// `old` is there when all of it is known, or when the key was changed: then its other columns are
    /// [`Value::Unchanged`]. Columns of the new row that were not sent are taken from the old one, or are `Unchanged`.
    pub fn update(&self, relation: u32, old: Option<&Old>, new: &Tuple) -> Result<RowChange, Malformed> {
        let known = self.get(relation)?;
        let mut new = known.row(new)?;
        let old = old.map(|old| known.old_row(old)).transpose()?;
        if let Some(old) = &old {
            for (new, old) in new.values.iter_mut().zip(&old.values) {
                if matches!(new, Value::Unchanged) {
                    new.clone_from(old);
                }
            }
        }
        let moved = |old: &Row| {
            known.identity == Identity::Full
                || old.values.iter().zip(&new.values).any(|(old, new)| !matches!(old, Value::Unchanged) && old != new)
        };
        let old = old.filter(moved);
        Ok(known.change(Op::Update, old, Some(new)))
    }

    /// A delete as a change. Columns that were not sent are [`Value::Unchanged`].
    pub fn delete(&self, relation: u32, old: &Old) -> Result<RowChange, Malformed> {
        let known = self.get(relation)?;
        Ok(known.change(Op::Delete, Some(known.old_row(old)?), None))
    }
}

impl Described {
    fn change(&self, op: Op, old: Option<Row>, new: Option<Row>) -> RowChange {
        RowChange { table: self.table.clone(), op, old, new }
    }

    fn row(&self, tuple: &Tuple) -> Result<Row, Malformed> {
        self.check(tuple)?;
        Ok(tuple.cells().zip(&self.kinds).map(|(cell, kind)| value(cell, kind)).collect::<Vec<_>>().into())
    }

    fn old_row(&self, old: &Old) -> Result<Row, Malformed> {
        let tuple = match old {
            Old::Full(tuple) => return self.row(tuple),
            Old::Key(tuple) => tuple,
        };
        self.check(tuple)?;
        let columns = tuple.cells().zip(&self.kinds).zip(&self.identifying);
        let values = columns.map(|((cell, kind), known)| if *known { value(cell, kind) } else { Value::Unchanged });
        Ok(values.collect::<Vec<_>>().into())
    }

    fn check(&self, tuple: &Tuple) -> Result<(), Malformed> {
        if tuple.len() == self.kinds.len() {
            return Ok(());
        }
        let (name, has) = (&self.table.name, self.kinds.len());
        Err(Malformed(format!("a row of {name} has {} columns, and the table {has}", tuple.len())))
    }
}

/// A database that is not in UTF-8 may send other bytes.
fn value(cell: Cell<'_>, kind: &Kind) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Unchanged => Value::Unchanged,
        Cell::Text(text) => kind.from_text(&String::from_utf8_lossy(text)),
    }
}

/// What the stream says wins where it says something: the catalog may have moved on.
fn key_columns(relation: &Relation, key: &[Box<str>]) -> Vec<usize> {
    let position = |name: &str| relation.columns.iter().position(|column| *column.name == *name);
    let named = key.iter().map(|name| position(name)).collect::<Option<Vec<usize>>>().unwrap_or_default();
    if matches!(relation.identity, Identity::Full | Identity::Nothing) {
        return named;
    }
    let flagged: Vec<usize> = (0..relation.columns.len()).filter(|n| relation.columns[*n].key).collect();
    let same = named.len() == flagged.len() && flagged.iter().all(|column| named.contains(column));
    if same { named } else { flagged }
}

#[cfg(test)]
mod tests;
