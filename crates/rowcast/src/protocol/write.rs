//! What changes rows that are there, alone or several that stand together.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The most changes that stand together.
pub const WRITES_MAX: usize = 100;

/// One of the changes.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Parts")]
pub enum Write {
    /// One row more.
    Insert {
        /// The table's name.
        table: String,
        /// An object, column name to value.
        row: Box<RawValue>,
    },
    /// Columns of rows set.
    Update {
        /// The table's name.
        table: String,
        /// An object, column name to value.
        set: Box<RawValue>,
        /// Which rows.
        filter: String,
        /// How many there have to be.
        rows: Option<u64>,
    },
    /// Rows removed.
    Delete {
        /// The table's name.
        table: String,
        /// Which rows.
        filter: String,
        /// How many there have to be.
        rows: Option<u64>,
    },
    /// Rows that have to be there, or must not.
    Require {
        /// The table's name.
        table: String,
        /// Which rows.
        filter: String,
        /// How many there have to be; at least one, where it is not said.
        rows: Option<u64>,
    },
}

/// `write`, and `update` and `delete`, which are one.
#[derive(Debug, Clone)]
pub struct Writes {
    /// What is to be done, in this order.
    pub writes: Vec<Write>,
    /// Comes back in the answer.
    pub reference: Option<String>,
}

/// `{"insert":"t","row":{…}}`, `{"update":"t","set":{…},"where":"…"}` and so on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    insert: Option<String>,
    update: Option<String>,
    delete: Option<String>,
    require: Option<String>,
    row: Option<Box<RawValue>>,
    set: Option<Box<RawValue>>,
    #[serde(rename = "where")]
    filter: Option<String>,
    rows: Option<u64>,
}

impl TryFrom<Parts> for Write {
    type Error = &'static str;

    fn try_from(parts: Parts) -> Result<Self, Self::Error> {
        const NO_FILTER: &str = "a write needs `where`; \"true\" is all rows";
        let Parts { insert, update, delete, require, row, set, filter, rows } = parts;
        match (insert, update, delete, require, row, set, filter) {
            (Some(table), None, None, None, Some(row), None, None) if rows.is_none() => Ok(Self::Insert { table, row }),
            (None, Some(table), None, None, None, Some(set), Some(filter)) => {
                Ok(Self::Update { table, set, filter, rows })
            }
            (None, None, Some(table), None, None, None, Some(filter)) => Ok(Self::Delete { table, filter, rows }),
            (None, None, None, Some(table), None, None, Some(filter)) => Ok(Self::Require { table, filter, rows }),
            (None, Some(_), None, None, None, Some(_), None)
            | (None, None, Some(_), None, None, None, None)
            | (None, None, None, Some(_), None, None, None) => Err(NO_FILTER),
            (Some(_), None, None, None, ..) => Err("an insert has `row`, and nothing else"),
            (None, Some(_), None, None, ..) => Err("an update has `set` and `where`"),
            _ => Err("a write has one of `insert`, `update`, `delete` and `require`, which names the table"),
        }
    }
}

impl Write {
    /// The table's name.
    pub fn table(&self) -> &str {
        let (Self::Insert { table, .. }
        | Self::Update { table, .. }
        | Self::Delete { table, .. }
        | Self::Require { table, .. }) = self;
        table
    }

    /// How many rows there have to be, where that was said.
    pub fn rows(&self) -> Option<u64> {
        match self {
            Self::Insert { .. } => Some(1),
            Self::Update { rows, .. } | Self::Delete { rows, .. } | Self::Require { rows, .. } => *rows,
        }
    }

    /// `insert`, `update`, `delete` or `require`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Insert { .. } => "insert",
            Self::Update { .. } => "update",
            Self::Delete { .. } => "delete",
            Self::Require { .. } => "require",
        }
    }
}

/// Says what is wrong with writes before anything is looked up.
pub fn check_writes(writes: &[Write]) -> Result<(), String> {
    if !(1..=WRITES_MAX).contains(&writes.len()) {
        return Err(format!("`writes` has {} changes; 1 to {WRITES_MAX} are allowed", writes.len()));
    }
    for (n, write) in writes.iter().enumerate() {
        let (name, value) = match write {
            Write::Insert { row, .. } => ("row", row),
            Write::Update { set, .. } => ("set", set),
            Write::Delete { .. } | Write::Require { .. } => continue,
        };
        if !value.get().starts_with('{') {
            return Err(format!("write {}: `{name}` is not an object", n + 1));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Update {
    #[serde(rename = "type", default)]
    _type: serde::de::IgnoredAny,
    table: String,
    set: Box<RawValue>,
    #[serde(rename = "where")]
    filter: String,
    #[serde(default)]
    rows: Option<u64>,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delete {
    #[serde(rename = "type", default)]
    _type: serde::de::IgnoredAny,
    table: String,
    #[serde(rename = "where")]
    filter: String,
    #[serde(default)]
    rows: Option<u64>,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Several {
    #[serde(rename = "type", default)]
    _type: serde::de::IgnoredAny,
    writes: Vec<Write>,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
}

impl From<Update> for Writes {
    fn from(Update { table, set, filter, rows, reference, .. }: Update) -> Self {
        Self { writes: vec![Write::Update { table, set, filter, rows }], reference }
    }
}

impl From<Delete> for Writes {
    fn from(Delete { table, filter, rows, reference, .. }: Delete) -> Self {
        Self { writes: vec![Write::Delete { table, filter, rows }], reference }
    }
}

impl From<Several> for Writes {
    fn from(Several { writes, reference, .. }: Several) -> Self {
        Self { writes, reference }
    }
}
