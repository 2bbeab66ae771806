//! The nouns that every room speaks: events, rows, values, channels, positions.
//!
//! No I/O and no clock. How a value looks as JSON is here too, because every door writes the same JSON.

mod channel;
pub mod finding;
pub(crate) mod json;
mod name;
mod pattern;
mod position;
mod value;
mod visible;

use std::sync::Arc;

pub use channel::{Channel, ChannelError, Room};
pub use name::TableName;
pub use pattern::name_matches;
pub use position::{Epoch, Offset, Position, PositionError};
pub use value::{Row, Value};
pub use visible::{Visible, VisibleError};

/// A table as its source described it when the change was made: never today's catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Table {
    /// The table's name, in the database's own spelling.
    pub name: TableName,
    /// Columns in the order of [`Row::values`].
    pub columns: Vec<Column>,
    /// Indexes into `columns` of the primary key, in key order. Empty where the table has none.
    pub key: Vec<usize>,
}

impl Table {
    /// The index of a column: exact spelling first, then ignoring ASCII case, as SQL does for bare names.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|c| &*c.name == name)
            .or_else(|| self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name)))
    }
}

/// One column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    /// The name, in the database's own spelling.
    pub name: Box<str>,
    /// The type as declared, for people and for coercion: `INTEGER`, `varchar(255)`; empty where none was.
    pub declared: Box<str>,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `new` is set, `old` is not.
    Insert,
    /// `new` is set; `old` is set where the source knows it, and always (at least its key) when the key was changed.
    Update,
    /// `old` is set (at least its key), `new` is not.
    Delete,
}

impl Op {
    /// `insert`, `update` or `delete`.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
        }
    }
}

/// One committed change of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowChange {
    /// The table with the columns that `old` and `new` have.
    pub table: Arc<Table>,
    /// What happened.
    pub op: Op,
    /// The row before.
    pub old: Option<Row>,
    /// The row after.
    pub new: Option<Row>,
}

impl RowChange {
    /// The row that says which row this is: the new one, or the old one of a delete.
    pub fn row(&self) -> &Row {
        self.new.as_ref().or(self.old.as_ref()).expect("a change has an old or a new row")
    }
}

/// A message that is not a row: published by a client, or by NOTIFY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub channel: Channel,
    /// The application's own event name.
    pub event: Box<str>,
    /// One JSON document, as text.
    pub json: Box<str>,
}

/// What a [`Change`] carries.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A row was inserted, updated or deleted.
    Row(RowChange),
    /// A message to a channel.
    Message(Message),
    /// What is known of this channel no longer holds (its table was altered, truncated, dropped or made again, or
    /// something was missed): whoever follows a table needs a fresh snapshot, whoever follows messages has a gap.
    Reset {
        /// The table in question, or the NOTIFY channel.
        channel: Channel,
        /// What kind of thing happened, for programs.
        cause: ResetCause,
        /// Why, for people.
        reason: Box<str>,
    },
}

/// Why a channel begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResetCause {
    /// It was altered, dropped or made again.
    Altered,
    /// Changes of it were missed: the source could not be read without a hole.
    Missed,
}

/// One thing that happened, as a source reads it and before the log has numbered it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The source's own number of the transaction: equal for all changes of one transaction. On sources whose order
    /// is total (SQLite, MySQL) it grows from one transaction to the next; on PostgreSQL it is the 64-bit transaction
    /// id, whose order is not that of the commits. 0 for messages that belong to no transaction of a database.
    pub tx: u64,
    /// Whether this is the last change of its transaction.
    pub last: bool,
    /// Milliseconds since 1970 when the source read it (or when it was committed, where the source knows).
    pub time_ms: u64,
    /// What happened.
    pub body: Body,
}

/// A [`Change`] with its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Given by the log, growing by one with each event.
    pub position: Position,
    /// What happened.
    pub change: Change,
}

/// How far a source has been read, in its own terms (an outbox id, an LSN, binlog coordinates), as text.
///
/// Only the source and the store of the same database can compare two of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place(pub Box<str>);

/// Where a batch comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source's name in the configuration.
    pub source: Arc<str>,
    /// The source's place before the batch: the log refuses a batch that does not continue where it stands.
    pub after: Option<Place>,
    /// The source's place after it.
    pub place: Place,
}

/// What is appended at once: all of it, and the place, or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// `None` for messages that clients publish: they come from no database.
    pub origin: Option<Origin>,
    /// In commit order. May be empty: an idle place moves on, too.
    pub changes: Vec<Change>,
}

/// Which transactions a snapshot contains, so that what follows it neither repeats nor skips one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Every transaction whose number is at most this one.
    UpTo(u64),
    /// What PostgreSQL's `pg_current_snapshot()` says.
    Visible(Visible),
}

impl Mark {
    /// Whether the snapshot shows the changes of this transaction, if it was committed.
    pub fn contains(&self, tx: u64) -> bool {
        match self {
            Mark::UpTo(last) => tx <= *last,
            Mark::Visible(visible) => visible.contains(tx),
        }
    }
}
