//! Events under an application's own names: `event:newData` is what happens to a table, told as the application wants it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::order::find_column;
use crate::event::{Op, Table, TableName};
use crate::filter::Filter;
use crate::protocol::encode::Projection;
use crate::protocol::named::Named;
use crate::protocol::{Code, Problem};

/// Rows of history that are told unless more are asked for.
pub(super) const HISTORY: u64 = 100;
/// Rows of history that are told at most.
pub(super) const HISTORY_MAX: u64 = 10_000;

/// What the protocol says itself on an event stream.
const RESERVED: [&str; 14] = [
    "hello",
    "snapshot",
    "subscribed",
    "change",
    "commit",
    "gap",
    "skipped",
    "position",
    "error",
    "close",
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
];

/// Changes of a table under an application's own event name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName {
    /// The event's name, and the channel's: `event:newData`.
    pub name: String,
    /// Whose changes.
    pub table: TableName,
    /// Which changes.
    pub on: Vec<Op>,
    /// The columns that are told, in order. Empty: all.
    pub fields: Vec<String>,
    /// Whether every value is told as text.
    pub as_text: bool,
    /// Only rows that this filter keeps.
    pub filter: Option<String>,
}

/// The application's own events, by name.
pub type Events = BTreeMap<String, Arc<EventName>>;

impl EventName {
    /// Every insert into a table, with all its columns.
    pub fn new(name: impl Into<String>, table: TableName) -> Self {
        let on = vec![Op::Insert];
        Self { name: name.into(), table, on, fields: Vec::new(), as_text: false, filter: None }
    }

    /// Refuses what cannot be told.
    pub fn check(&self) -> Result<(), String> {
        let plain = |c: char| !c.is_control();
        if self.name.is_empty() || self.name.len() > 128 || !self.name.chars().all(plain) {
            return Err(format!("{:?} is no event's name: write 1 to 128 characters on one line", self.name));
        }
        if RESERVED.contains(&self.name.as_str()) {
            return Err(format!("an event cannot be called `{}`: the protocol says that itself", self.name));
        }
        if self.on.is_empty() {
            return Err(format!("the event `{}` is of no change: name insert, update or delete", self.name));
        }
        match self.filter.as_deref().map(Filter::parse) {
            Some(Err(error)) => Err(format!("the event `{}` has a wrong filter: {error}", self.name)),
            _ => Ok(()),
        }
    }

    /// Ties the fields to the table's columns. `wrapped`: told as messages on event streams, too.
    pub fn projection(&self, table: &Table, wrapped: bool) -> Result<Projection, Problem> {
        let find = |name: &String| {
            let wrong = |problem: Problem| Problem {
                message: format!("the event `{}` is configured with a field that is none: {problem}", self.name),
                ..problem
            };
            find_column(name, table, None).map_err(wrong)
        };
        let columns = match self.fields.is_empty() {
            true => (0..table.columns.len()).collect(),
            false => self.fields.iter().map(find).collect::<Result<_, _>>()?,
        };
        let named =
            Named { name: self.name.as_str().into(), on: self.on.as_slice().into(), as_text: self.as_text, wrapped };
        Ok(Projection { columns, old: false, named: Some(Arc::new(named)), deliver: None, ruled: false })
    }

    /// The event's own filter, and the client's behind it.
    pub(super) fn filter_with(&self, asked: Option<&str>) -> Result<Option<Filter>, Problem> {
        // Told in the client's own text, if it is wrong.
        let asked = asked.map(Filter::parse).transpose()?;
        let text = match (&self.filter, asked) {
            // On lines of their own: either may end with a comment.
            (Some(own), Some(asked)) => format!("({own}\n) AND ({}\n)", asked.as_str()),
            (Some(own), None) => own.clone(),
            (None, asked) => return Ok(asked),
        };
        Ok(Some(Filter::parse(&text)?))
    }
}

/// Finds the event that a channel names.
pub(super) fn find(events: &Events, name: &str) -> Result<Arc<EventName>, Problem> {
    events.get(name).cloned().ok_or_else(|| {
        let problem = Problem::new(Code::BadChannel, format!("there is no event `{name}`"));
        match events.keys().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => problem.hint("events are named in the configuration, each with its own [[event]]"),
            names => problem.hint(format!("there is {}", names.join(", "))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_own_filter_holds_whatever_the_client_writes() {
        let table = TableName::bare("Data");
        let event = EventName { filter: Some("speed > 40 -- fast".into()), ..EventName::new("fast", table) };
        for asked in ["speed < 90", "speed < 90 -- mine", "speed < 90 OR id = 1"] {
            let filter = event.filter_with(Some(asked)).expect(asked).expect("a filter");
            assert_eq!(filter.as_str(), format!("(speed > 40 -- fast\n) AND ({asked}\n)"));
        }
        for asked in ["1 = 1) OR (1 = 1", "1 = 1 /* ", "1 = 1)"] {
            assert!(event.filter_with(Some(asked)).is_err(), "{asked}");
        }
    }
}
