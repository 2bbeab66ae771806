//! What makes a record of a source stand once, whatever breaks on the way: written in the same transaction as its row.
//!
//! A source's records are numbered from 1 by whoever keeps them until they stand (`ingest`'s spool). The database remembers, in
//! a row for each source, how far it has them; the row is written with the records, so that an answer that was lost is found out
//! by asking. Sources that send a record again under another number are told apart by the records' own keys.

use std::sync::Arc;
use std::time::Duration;

use crate::event::Table;

/// How long a record's key is remembered, at least.
pub(super) const KEYS_KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many keys of each source are remembered, however old they are. One that is older *and* not among them is forgotten.
pub(super) const KEYS_KEPT: u64 = 1_000_000;
/// How often the oldest keys are looked at.
pub(super) const KEYS_PRUNED_EVERY: Duration = Duration::from_secs(3600);
/// How many dead letters are read at once where no number was given.
const LETTERS_LIMIT: u32 = 100;

/// The part of a source's records that one [`Insert`](super::Insert) brings.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Whose records they are.
    pub source: Arc<str>,
    /// Which numbering: another life of the spool begins at 1 again.
    pub life: Arc<str>,
    /// The number of the last record before these. Where the database stands elsewhere, it writes nothing and says
    /// [`Moved`](super::StoreError::Moved).
    pub after: u64,
    /// The number of the last of these.
    pub upto: u64,
    /// For each of the rows, the record that it was made of.
    pub records: Vec<Origin>,
    /// Records that no row could be made of. They become dead letters, as do rows that the database refuses.
    pub dead: Vec<NewDeadLetter>,
}

/// The record that a row was made of.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its line in the stream.
    pub line: u64,
    /// The bytes as they came, or the first of them.
    pub raw: Arc<str>,
    /// What tells it from every other record of the source, where there is such a thing: a row whose key is known is
    /// not inserted again. At most 255 bytes.
    pub key: Option<Arc<str>>,
}

/// A record that did not become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeadLetter {
    /// Its line in the stream.
    pub line: u64,
    /// The bytes as they came, or the first of them.
    pub raw: Arc<str>,
    /// The column that did not fit, where it is one.
    pub column: Option<Box<str>>,
    /// Why, for people.
    pub reason: String,
}

/// A record that did not become a row, as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeadLetter {
    /// Grows from one to the next.
    pub id: u64,
    /// Whose record it is.
    pub source: String,
    /// The table that it was for.
    pub table: String,
    /// Milliseconds since 1970 when it was refused.
    pub time_ms: u64,
    /// Its line in the stream.
    pub line: u64,
    /// The column that did not fit, where it is one.
    pub column: Option<String>,
    /// Why, for people.
    pub reason: String,
    /// The bytes as they came, or the first of them.
    pub raw: String,
}

/// Which dead letters to read, newest first.
#[derive(Debug, Clone, Default)]
pub struct DeadLetters {
    /// Only of this source.
    pub source: Option<String>,
    /// Only these.
    pub ids: Vec<u64>,
    /// Only older ones than this, to page on.
    pub before: Option<u64>,
    /// At most so many; 0: 100.
    pub limit: u32,
}

/// How far the database has a source's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Of which numbering.
    pub life: Box<str>,
    /// The last record that stands.
    pub upto: u64,
}

/// What to do with a row whose key is in the table already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// It is refused, as the database refuses it.
    #[default]
    Refuse,
    /// It is passed over. The columns (indexes into the table's) are a unique key; empty: the primary key.
    Ignore(Vec<usize>),
    /// It replaces the columns that it sets, but for these, the key's.
    Update(Vec<usize>),
}

impl Delivery {
    /// The dead letter of a row that the database has refused.
    pub(super) fn refused(&self, row: usize, reason: &str) -> NewDeadLetter {
        let (line, raw) = self.records.get(row).map_or((0, "".into()), |origin| (origin.line, origin.raw.clone()));
        NewDeadLetter { line, raw, column: None, reason: reason.to_owned() }
    }
}

impl DeadLetters {
    /// How many at most.
    pub(super) fn limit(&self) -> u32 {
        if self.limit == 0 { LETTERS_LIMIT } else { self.limit }
    }
}

/// That rows cannot be told apart by these columns, and what to do.
pub(super) fn no_unique_key(table: &Table, columns: &[usize]) -> String {
    if columns.is_empty() {
        return format!(
            "table `{}` has no primary key to tell repeated rows by; name the columns of a unique key",
            table.name
        );
    }
    let names: Vec<&str> =
        columns.iter().map(|&n| table.columns.get(n).map_or("(none such)", |column| &*column.name)).collect();
    format!(
        "table `{}` has no unique key on ({}); make one, or name the columns of another",
        table.name,
        names.join(", ")
    )
}

/// That a dead letter was resolved by somebody else.
pub(super) fn no_dead_letter(id: u64) -> String {
    format!("dead letter {id} is not there any more: it was retried or discarded meanwhile")
}
