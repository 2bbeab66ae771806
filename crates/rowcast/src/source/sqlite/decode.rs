//! Outbox rows, one after the other, into changes.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Row as SqlRow;
use rusqlite::types::ValueRef;

use crate::event::{Body, Channel, Op, ResetCause, Row, RowChange, Table, Value};
use crate::sqlite::outbox::{WIDTH, op};
use crate::sqlite::value;

/// Where the values begin in `SELECT seq, gen, op, v0, …`.
pub(crate) const FIRST_VALUE: usize = 3;

/// Puts together what triggers have taken apart.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Tables by the generation of their triggers. A generation never changes.
    pub(crate) tables: HashMap<i64, Arc<Table>>,
    /// What stands for a column that its table no longer had.
    gone: Vec<u8>,
    /// Values of a row whose end is yet to come.
    values: Vec<Value>,
    /// The old row of an update.
    old: Option<Row>,
    /// Rows that have given way to one that is yet to come.
    replaced: Vec<(Arc<Table>, Row)>,
    /// What has come out of it.
    pub(crate) done: Vec<Body>,
    /// About how many bytes `done` holds.
    pub(crate) weight: usize,
}

impl Decoder {
    /// `gone` is what triggers write for a column that its table no longer has.
    pub(crate) fn new(gone: Vec<u8>) -> Self {
        Self { gone, ..Self::default() }
    }

    /// Whether no change is half read.
    pub(crate) fn is_whole(&self) -> bool {
        self.values.is_empty() && self.old.is_none() && self.replaced.is_empty()
    }

    /// Forgets what is half read.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.old = None;
        self.replaced.clear();
        self.take_done();
    }

    /// What has been put together since the last call.
    pub(crate) fn take_done(&mut self) -> Vec<Body> {
        self.weight = 0;
        std::mem::take(&mut self.done)
    }

    /// Takes the next outbox row, of a table that `tables` knows.
    pub(crate) fn take(&mut self, table: &Arc<Table>, op: &str, row: &SqlRow<'_>) -> rusqlite::Result<()> {
        if op == op::RESET {
            let reason = row.get_ref(FIRST_VALUE)?.as_str().unwrap_or("the table was changed").into();
            self.done.push(Body::Reset {
                channel: Channel::Table(table.name.clone()),
                cause: ResetCause::Altered,
                reason,
            });
            return Ok(());
        }
        self.read(table, row)?;
        match op {
            op::MORE => {}
            op::OLD => self.old = Some(self.end_row()),
            op::REPLACED => {
                let row = self.end_row();
                self.replaced.push((table.clone(), row));
            }
            op::INSERT => {
                let new = self.end_row();
                self.insert(table, new);
            }
            op::UPDATE => {
                self.end_replaced();
                let new = self.end_row();
                let old = self.old.take();
                self.push(table, Op::Update, old, Some(new));
            }
            op::DELETE => {
                self.end_replaced();
                let old = self.end_row();
                self.push(table, Op::Delete, Some(old), None);
            }
            _ => self.values.clear(),
        }
        Ok(())
    }

    /// Ends a transaction: what gave way to nothing is gone nevertheless.
    pub(crate) fn end_replaced(&mut self) {
        for (table, old) in std::mem::take(&mut self.replaced) {
            self.push(&table, Op::Delete, Some(old), None);
        }
    }

    fn read(&mut self, table: &Table, row: &SqlRow<'_>) -> rusqlite::Result<()> {
        let missing = table.columns.len().saturating_sub(self.values.len());
        for n in 0..missing.min(WIDTH) {
            let value = match row.get_ref(FIRST_VALUE + n)? {
                ValueRef::Blob(bytes) if bytes == self.gone => Value::Unchanged,
                value => value::read(value),
            };
            self.weight += value::weight(&value);
            self.values.push(value);
        }
        Ok(())
    }

    fn end_row(&mut self) -> Row {
        Row::from(std::mem::take(&mut self.values))
    }

    /// An insert over a row with the same key is an update; other rows that were in its way are deleted first.
    fn insert(&mut self, table: &Arc<Table>, new: Row) {
        let same = |(other, old): &(Arc<Table>, Row)| {
            Arc::ptr_eq(table, other)
                && !table.key.is_empty()
                && table.key.iter().all(|&n| old.values[n] == new.values[n])
        };
        let old = self.replaced.iter().position(same).map(|n| self.replaced.remove(n).1);
        self.end_replaced();
        let op = if old.is_some() { Op::Update } else { Op::Insert };
        self.push(table, op, old, Some(new));
    }

    fn push(&mut self, table: &Arc<Table>, op: Op, old: Option<Row>, new: Option<Row>) {
        self.done.push(Body::Row(RowChange { table: table.clone(), op, old, new }));
    }
}
