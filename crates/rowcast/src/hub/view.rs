//! The log cut into transactions.
//!
//! Shared by the hub, which cuts for everybody, and by a session that reads the log for itself.

use std::sync::Arc;

use crate::event::Event;

/// A run of events that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Rows, messages and resets of one transaction in the log's order, or one event that belongs to none.
    pub events: &'a [Arc<Event>],
    /// Whether the last one ends its transaction.
    pub complete: bool,
}

impl Run<'_> {
    /// Whether it belongs to no transaction, and so neither begins nor ends one.
    pub fn stands_alone(&self) -> bool {
        stands_alone(&self.events[0])
    }
}

/// Whether an event belongs to no transaction: a client's message, a NOTIFY. It may stand between two batches of a large
/// transaction, because somebody else has appended it.
pub fn stands_alone(event: &Event) -> bool {
    event.change.tx == 0
}

/// Cuts events into transactions, in order. The last run may be incomplete, and so may one before an event that stands
/// alone or before a transaction whose predecessor was never ended.
pub fn transactions(events: &[Arc<Event>]) -> impl Iterator<Item = Run<'_>> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let (length, complete) = if stands_alone(first) { (1, true) } else { transaction_length(rest) };
        let (run, after) = rest.split_at(length);
        rest = after;
        Some(Run { events: run, complete })
    })
}

fn transaction_length(events: &[Arc<Event>]) -> (usize, bool) {
    let tx = events[0].change.tx;
    for (i, event) in events.iter().enumerate() {
        match (event.change.tx == tx, event.change.last) {
            (false, _) => return (i, false),
            (true, true) => return (i + 1, true),
            (true, false) => {}
        }
    }
    (events.len(), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Body, Change, Op, Position, Row, RowChange, Table, TableName};

    fn events(shape: &[(u64, bool)]) -> Vec<Arc<Event>> {
        let table = Arc::new(Table { name: TableName::bare("t"), columns: vec![], key: vec![] });
        let event = |(i, &(tx, last)): (usize, &(u64, bool))| {
            let row = RowChange { table: table.clone(), op: Op::Insert, old: None, new: Some(Row::from(vec![])) };
            let change = Change { tx, last, time_ms: 0, body: Body::Row(row) };
            Arc::new(Event { position: Position::new(1, i as u64 + 1), change })
        };
        shape.iter().enumerate().map(event).collect()
    }

    #[track_caller]
    fn check(shape: &[(u64, bool)], runs: &[(usize, bool)]) {
        let events = events(shape);
        let cut: Vec<_> = transactions(&events).map(|run| (run.events.len(), run.complete)).collect();
        assert_eq!(cut, runs);
    }

    #[test]
    fn transactions_end_at_their_last_change() {
        check(&[(1, true), (2, false), (2, true), (3, true)], &[(1, true), (2, true), (1, true)]);
    }

    #[test]
    fn an_open_end_is_said() {
        check(&[(1, true), (2, false), (2, false)], &[(1, true), (2, false)]);
    }

    #[test]
    fn what_stands_alone_neither_joins_nor_ends_a_transaction() {
        check(
            &[(1, false), (0, true), (1, true), (0, true), (0, true)],
            &[(1, false), (1, true), (1, true), (1, true), (1, true)],
        );
    }

    #[test]
    fn another_transaction_ends_a_run_that_was_never_closed() {
        check(&[(1, false), (2, true)], &[(1, false), (1, true)]);
    }
}
