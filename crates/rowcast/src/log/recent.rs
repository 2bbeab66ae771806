//! The newest events in memory, shared with every reader.
//!
//! A contiguous run of events that ends at the log's head. Leaves positions' validity to the logs.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::{Body, Change, Event, Row, Value};

/// The newest events, oldest first.
#[derive(Debug)]
pub(crate) struct Recent {
    kept: VecDeque<Kept>,
    /// The offset of the first one kept; of the next one to come when there is none.
    first: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    event: Arc<Event>,
    bytes: usize,
}

impl Recent {
    /// None yet; the next one has the offset `next`.
    pub(crate) fn before(next: u64) -> Self {
        Self { kept: VecDeque::new(), first: next, bytes: 0 }
    }

    /// The offset of the oldest event kept.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// About how much memory the events take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the event that follows the newest one.
    pub(crate) fn push(&mut self, event: Arc<Event>) {
        let bytes = weight(&event.change);
        self.bytes += bytes;
        self.kept.push_back(Kept { event, bytes });
    }

    /// Takes the oldest one out.
    pub(crate) fn pop(&mut self) -> Option<Arc<Event>> {
        let kept = self.kept.pop_front()?;
        self.bytes -= kept.bytes;
        self.first += 1;
        Some(kept.event)
    }

    /// Events after the offset `after` within `budget`; `None` when some of them are no longer here.
    pub(crate) fn read(&self, after: u64, mut budget: Budget) -> Option<Vec<Arc<Event>>> {
        let skip = usize::try_from((after + 1).checked_sub(self.first)?).ok()?;
        let wanted = self.kept.range(skip.min(self.kept.len())..);
        Some(wanted.take_while(|kept| budget.admits(kept.bytes)).map(|kept| Arc::clone(&kept.event)).collect())
    }
}

/// How much one read may return: so many events, and so many bytes or one event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    events: usize,
    bytes: usize,
    first: bool,
}

impl Budget {
    pub(crate) fn new(events: usize, bytes: usize) -> Self {
        Self { events, bytes, first: true }
    }

    /// Whether one more event of this weight may be returned; takes it off the budget.
    pub(crate) fn admits(&mut self, bytes: usize) -> bool {
        if self.events == 0 || (bytes > self.bytes && !self.first) {
            return false;
        }
        self.first = false;
        self.events -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

/// About how many bytes of memory an event with this change takes.
pub(crate) fn weight(change: &Change) -> usize {
    let row = |row: &Option<Row>| row.as_ref().map_or(0, |row| row.values.iter().map(value_weight).sum::<usize>());
    let beside = match &change.body {
        Body::Row(change) => row(&change.old) + row(&change.new),
        Body::Message(message) => message.event.len() + message.json.len() + 64,
        Body::Reset { reason, .. } => reason.len() + 64,
    };
    size_of::<Event>() + beside
}

fn value_weight(value: &Value) -> usize {
    let beside = match value {
        Value::Number(text) | Value::Text(text) | Value::Json(text) => text.len() + 16,
        Value::Bytes(bytes) => bytes.len() + 16,
        Value::Null | Value::Unchanged | Value::Bool(_) | Value::Int(_) | Value::Real(_) => 0,
    };
    size_of::<Value>() + beside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_admits_one_event_however_large() {
        let mut budget = Budget::new(10, 100);
        assert!(budget.admits(1_000));
        assert!(!budget.admits(1));
    }

    #[test]
    fn a_budget_ends_with_its_events_or_its_bytes() {
        let mut budget = Budget::new(2, 100);
        assert!(budget.admits(60) && budget.admits(40) && !budget.admits(0));
        let mut budget = Budget::new(9, 100);
        assert!(budget.admits(60) && !budget.admits(41) && budget.admits(40));
        assert!(!Budget::new(0, 100).admits(1));
    }
}
