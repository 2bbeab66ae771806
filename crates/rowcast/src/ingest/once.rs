//! How it is made sure that each record of a source becomes one row.

/// How it is made sure that each record of a source becomes one row, whatever breaks on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Once {
    /// What tells a record from every other one of its source, so that one that is sent again is known.
    pub key: RecordKey,
    /// What to do with a row whose key is in its table already.
    pub conflict: OnConflict,
}

/// What tells a record from every other one of its source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RecordKey {
    /// Nothing: what the source sends again is stored again.
    #[default]
    None,
    /// These fields of it, together.
    Fields(Vec<String>),
    /// All of its bytes: equal records are one.
    Content,
    /// Its place in the source: the line of a file, the id of a server-sent event, the element of a document.
    Position,
}

/// What to do with a row whose key is in its table already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// It is refused, as the database refuses it, and becomes a dead letter.
    #[default]
    Refuse,
    /// It is passed over. The columns are a unique key; empty: the primary key.
    Ignore(Vec<String>),
    /// It replaces the columns that it sets.
    Update(Vec<String>),
}
