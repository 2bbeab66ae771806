//! Which rows a sender may insert.

use std::fmt;
use std::sync::Arc;

use crate::event::{Row, Table, Value};
use crate::filter::Predicate;

/// Ties what is allowed to the table as it is; `Err` says why it cannot be.
pub type BindGuard = Arc<dyn Fn(&Table) -> Result<Arc<Predicate>, String> + Send + Sync>;

/// What a sender's rows have to satisfy, as they are when they are written. A column that is not named is unknown, and what
/// is unknown is refused.
#[derive(Clone)]
pub struct Guard {
    /// Makes the condition.
    pub bind: BindGuard,
    /// Whether what it was made of still holds.
    pub holds: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// A guard at a table.
#[derive(Debug)]
pub(super) struct Bound {
    guard: Guard,
    predicate: Result<Arc<Predicate>, String>,
    columns: usize,
}

impl Bound {
    pub(super) fn new(guard: Guard, table: &Table) -> Self {
        Self { predicate: (guard.bind)(table), columns: table.columns.len(), guard }
    }

    pub(super) fn rebind(&mut self, table: &Table) {
        *self = Self::new(self.guard.clone(), table);
    }

    /// Whether a row may be written: its columns that are set.
    pub(super) fn check(&self, cells: &[(usize, Value)]) -> Result<(), String> {
        let predicate = self.predicate.as_ref().map_err(Clone::clone)?;
        if !(self.guard.holds)() {
            return Err("what you may insert has changed meanwhile: send this row again".into());
        }
        let mut values = vec![Value::Unchanged; self.columns];
        for (column, value) in cells {
            values[*column] = value.clone();
        }
        match predicate.truth(&Row::from(values)) {
            Some(true) => Ok(()),
            Some(false) => Err("you may not insert this row".into()),
            None => Err("you may not insert this row: the rule asks for columns that it does not name".into()),
        }
    }
}
