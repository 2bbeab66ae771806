//! Rows that wait to be written, and the batches that they make.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{BATCH_BYTES_MAX, BATCH_ROWS_MAX};
use crate::event::{Table, Value};
use crate::ingest::coerce::Cells;

/// A row that fits its table.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct Waiting {
    pub(super) line: u64,
    pub(super) raw: Arc<str>,
    /// What tells its record from every other one of the source.
    pub(super) key: Option<Arc<str>>,
    pub(in crate::ingest) cells: Cells,
}

impl Waiting {
    /// About the bytes that it costs.
    pub(super) fn size(&self) -> usize {
        self.raw.len() + self.cells.iter().map(|(_, value)| size(value)).sum::<usize>()
    }
}

/// Rows in the order they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    rows: VecDeque<(Waiting, usize)>,
    bytes: usize,
}

impl Queue {
    pub(super) fn push(&mut self, row: Waiting) {
        let bytes = row.size();
        self.bytes += bytes;
        self.rows.push_back((row, bytes));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether a batch's worth is waiting.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Takes the next batch: at least one row where there is one.
    pub(super) fn take_batch(&mut self) -> Vec<Waiting> {
        let mut batch = Vec::with_capacity(self.rows.len().min(BATCH_ROWS_MAX));
        let mut batch_bytes = 0;
        while let Some((_, bytes)) = self.rows.front() {
            let full = batch.len() >= BATCH_ROWS_MAX || batch_bytes + bytes > BATCH_BYTES_MAX;
            if full && !batch.is_empty() {
                break;
            }
            if let Some((row, bytes)) = self.rows.pop_front() {
                self.bytes -= bytes;
                batch_bytes += bytes;
                batch.push(row);
            }
        }
        batch
    }

    /// Ties the rows to the table as it is now; gives those back whose column is gone.
    pub(super) fn rebind(&mut self, before: &Table, now: &Table) -> Vec<(Waiting, Box<str>)> {
        let rows = std::mem::take(self).rows.into_iter().map(|(row, _)| row).collect();
        let (bound, gone) = rebind(rows, before, now);
        bound.into_iter().for_each(|row| self.push(row));
        gone
    }
}

/// Ties rows to a table that was altered, by the names of their columns; second, the rows whose column is gone.
pub(super) fn rebind(rows: Vec<Waiting>, before: &Table, now: &Table) -> (Vec<Waiting>, Vec<(Waiting, Box<str>)>) {
    let mut bound = Vec::with_capacity(rows.len());
    let mut gone = Vec::new();
    for mut row in rows {
        let missing = row.cells.iter_mut().find_map(|(index, _)| {
            let name = &before.columns[*index].name;
            match now.column(name) {
                Some(there) => {
                    *index = there;
                    None
                }
                None => Some(name.clone()),
            }
        });
        match missing {
            None => bound.push(row),
            Some(column) => gone.push((row, column)),
        }
    }
    (bound, gone)
}

/// About the bytes that a value costs, its place in the row included.
fn size(value: &Value) -> usize {
    32 + match value {
        Value::Text(text) | Value::Json(text) | Value::Number(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Column, TableName};

    fn table(columns: &[&str]) -> Table {
        let columns = columns.iter().map(|name| Column { name: (*name).into(), declared: "".into() }).collect();
        Table { name: TableName::bare("t"), columns, key: vec![] }
    }

    fn row(cells: Cells) -> Waiting {
        Waiting { line: 1, raw: "".into(), key: None, cells }
    }

    fn text(length: usize) -> Waiting {
        row(vec![(0, Value::Text(Arc::from("x".repeat(length))))])
    }

    #[test]
    fn a_batch_ends_at_its_rows_or_its_bytes_and_never_empty() {
        let mut queue = Queue::default();
        (0..1_500).for_each(|_| queue.push(text(1)));
        assert!(queue.is_full());
        assert_eq!(queue.take_batch().len(), 1_000);
        assert_eq!(queue.take_batch().len(), 500);
        assert!(queue.is_empty() && queue.take_batch().is_empty());

        for length in [2 << 20, 700 << 10, 700 << 10] {
            queue.push(text(length));
        }
        assert_eq!([queue.take_batch().len(), queue.take_batch().len(), queue.take_batch().len()], [1, 1, 1]);
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn rows_follow_their_columns_by_name() {
        let (before, now) = (table(&["a", "b"]), table(&["new", "b"]));
        let rows = vec![row(vec![(1, Value::Int(1))]), row(vec![(0, Value::Int(2))])];
        let (bound, gone) = rebind(rows, &before, &now);
        assert_eq!(bound[0].cells, vec![(1, Value::Int(1))]);
        assert_eq!(&*gone[0].1, "a");
    }
}
