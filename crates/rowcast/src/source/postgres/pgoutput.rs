//! What PostgreSQL's logical replication says: the messages of the plugin pgoutput, protocol versions 1 to 4, values as text.
//!
//! No I/O. Leaves what a transaction is to the source that reads the stream; [`Relations`] makes tuples into row changes.

mod frame;
mod relations;
mod tuple;

use std::fmt;

use bytes::Bytes;

use self::frame::Frame;
pub use self::relations::{Described, Relations};
pub use self::tuple::{Cell, Tuple};
use crate::postgres::Lsn;

/// One message of the stream. `xid` is the (sub)transaction of a change that is sent before its commit, and `None` elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A committed transaction begins.
    Begin {
        /// Where its commit is.
        commit: Lsn,
        /// When it was committed, in milliseconds since 1970.
        time_ms: u64,
        /// The transaction's number, without its epoch.
        xid: u32,
    },
    /// It ends.
    Commit {
        /// Where its commit is.
        commit: Lsn,
        /// Where its commit record ends: everything before it is read.
        end: Lsn,
        /// When it was committed.
        time_ms: u64,
    },
    /// The transaction was replicated from elsewhere.
    Origin {
        /// Its commit there.
        commit: Lsn,
        /// From where.
        name: Box<str>,
    },
    /// How the rows of a table look from now on.
    Relation {
        /// The streamed (sub)transaction.
        xid: Option<u32>,
        /// The table.
        relation: Relation,
    },
    /// A type that is not built in is used, or was changed.
    Type {
        /// The streamed (sub)transaction.
        xid: Option<u32>,
        /// The type.
        oid: u32,
        /// Its schema.
        schema: Box<str>,
        /// Its name.
        name: Box<str>,
    },
    /// A row is new.
    Insert {
        /// The streamed (sub)transaction.
        xid: Option<u32>,
        /// The table.
        relation: u32,
        /// The row.
        new: Tuple,
    },
    /// A row was changed.
    Update {
        /// The streamed (sub)transaction.
        xid: Option<u32>,
        /// The table.
        relation: u32,
        /// What is said of the row before.
        old: Option<Old>,
        /// The row after.
        new: Tuple,
    },
    /// A row is gone.
    Delete {
        /// The streamed (sub)transaction.
        xid: Option<u32>,
        /// The table.
        relation: u32,
        /// What is said of the row.
        old: Old,
    },
    /// All rows of tables are gone.
    Truncate {
        /// The streamed (sub)transaction.
        xid: Option<u32>,
        /// The tables.
        relations: Vec<u32>,
        /// Whether it was said `CASCADE`.
        cascade: bool,
        /// Whether it was said `RESTART IDENTITY`.
        restart_identity: bool,
    },
    /// What `pg_logical_emit_message` was given.
    Message {
        /// The streamed (sub)transaction.
        xid: Option<u32>,
        /// Whether it belongs to the transaction around it.
        transactional: bool,
        /// Where it is.
        lsn: Lsn,
        /// For whom it is.
        prefix: Box<str>,
        /// What it says.
        content: Content,
    },
    /// A part of a transaction that is not committed yet.
    StreamStart {
        /// The transaction's number.
        xid: u32,
        /// Whether this is its first part.
        first: bool,
    },
    /// The part ends.
    StreamStop,
    /// A transaction that was sent in parts is committed.
    StreamCommit {
        /// The transaction's number.
        xid: u32,
        /// Where its commit is.
        commit: Lsn,
        /// Where its commit record ends.
        end: Lsn,
        /// When it was committed.
        time_ms: u64,
    },
    /// A transaction that was sent in parts, or one within it, never was.
    StreamAbort {
        /// The transaction's number.
        xid: u32,
        /// The number of what is undone: the same, or a subtransaction's.
        subxid: u32,
    },
    /// A message of two-phase commit, which a slot sends only when it was made with `two_phase`.
    Prepared {
        /// Which one.
        step: Step,
        /// The transaction's number.
        xid: u32,
        /// The name that it was prepared under.
        gid: Box<str>,
    },
}

/// A table as the stream describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its number in the stream.
    pub id: u32,
    /// Its schema.
    pub schema: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// What of an old row is sent.
    pub identity: Identity,
    /// Its columns, as far as they are published.
    pub columns: Vec<RelationColumn>,
}

/// A column of a [`Relation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// Whether it is part of what identifies a row.
    pub key: bool,
    /// Its name.
    pub name: Box<str>,
    /// Its type.
    pub oid: u32,
    /// The type's modifier, or -1.
    pub typmod: i32,
}

/// A table's REPLICA IDENTITY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The primary key.
    Default,
    /// Nothing.
    Nothing,
    /// The whole row.
    Full,
    /// The columns of a unique index.
    Index,
}

/// What is said of a row as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Old {
    /// Only the columns of its identity; the others are null and say nothing.
    Key(Tuple),
    /// All of it.
    Full(Tuple),
}

/// The content of a message, which is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(pub Bytes);

/// A step of a two-phase commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Its changes begin.
    Begin,
    /// They end: it is prepared.
    Prepare,
    /// It is committed.
    Commit,
    /// It is rolled back.
    Rollback,
    /// One that was sent in parts is prepared.
    StreamPrepare,
}

/// Bytes that are no message of pgoutput.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the replication stream cannot be understood: {0}")]
pub struct Malformed(pub String);

impl Malformed {
    fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

/// Reads one message, without copying values. `in_stream`: between a [`Message::StreamStart`] and its stop.
pub fn parse(bytes: &Bytes, in_stream: bool) -> Result<Message, Malformed> {
    let mut frame = Frame::new(bytes);
    let kind = frame.u8()?;
    let xid = match kind {
        b'R' | b'Y' | b'I' | b'U' | b'D' | b'T' | b'M' if in_stream => Some(frame.u32()?),
        _ => None,
    };
    let message = match kind {
        b'B' => Message::Begin { commit: frame.lsn()?, time_ms: frame.time_ms()?, xid: frame.u32()? },
        b'C' => {
            frame.u8()?;
            Message::Commit { commit: frame.lsn()?, end: frame.lsn()?, time_ms: frame.time_ms()? }
        }
        b'O' => Message::Origin { commit: frame.lsn()?, name: frame.text()? },
        b'R' => Message::Relation { xid, relation: relation(&mut frame)? },
        b'Y' => Message::Type { xid, oid: frame.u32()?, schema: frame.text()?, name: frame.text()? },
        b'I' => {
            let relation = frame.u32()?;
            let b'N' = frame.u8()? else { return Err(Malformed::new("an insert without its row")) };
            Message::Insert { xid, relation, new: frame.tuple()? }
        }
        b'U' => update(&mut frame, xid)?,
        b'D' => {
            let relation = frame.u32()?;
            let old = old(frame.u8()?, &mut frame)?.ok_or_else(|| Malformed::new("a delete without its row"))?;
            Message::Delete { xid, relation, old }
        }
        b'T' => truncate(&mut frame, xid)?,
        b'M' => {
            let (transactional, lsn, prefix) = (frame.u8()? & 1 == 1, frame.lsn()?, frame.text()?);
            let length = frame.length()?;
            Message::Message { xid, transactional, lsn, prefix, content: Content(frame.take(length)?) }
        }
        b'S' => Message::StreamStart { xid: frame.u32()?, first: frame.u8()? == 1 },
        b'E' => Message::StreamStop,
        b'c' => {
            let xid = frame.u32()?;
            frame.u8()?;
            Message::StreamCommit { xid, commit: frame.lsn()?, end: frame.lsn()?, time_ms: frame.time_ms()? }
        }
        b'A' => {
            let (xid, subxid) = (frame.u32()?, frame.u32()?);
            if !frame.is_at_end() {
                // Where and when it was aborted, said only to who applies in parallel.
                frame.skip(16)?;
            }
            Message::StreamAbort { xid, subxid }
        }
        b'b' => prepared(Step::Begin, 24, &mut frame)?,
        b'P' => prepared(Step::Prepare, 25, &mut frame)?,
        b'K' => prepared(Step::Commit, 25, &mut frame)?,
        b'r' => prepared(Step::Rollback, 33, &mut frame)?,
        b'p' => prepared(Step::StreamPrepare, 25, &mut frame)?,
        other => return Err(Malformed(format!("a message of the unknown kind {:?}", char::from(other)))),
    };
    if frame.is_at_end() { Ok(message) } else { Err(Malformed::new("a message is longer than what it says")) }
}

fn relation(frame: &mut Frame<'_>) -> Result<Relation, Malformed> {
    let (id, schema, name) = (frame.u32()?, frame.text()?, frame.text()?);
    // The server leaves the schema of its own catalog empty.
    let schema = if schema.is_empty() { "pg_catalog".into() } else { schema };
    let identity = match frame.u8()? {
        b'd' => Identity::Default,
        b'n' => Identity::Nothing,
        b'f' => Identity::Full,
        b'i' => Identity::Index,
        other => return Err(Malformed(format!("the unknown replica identity {:?}", char::from(other)))),
    };
    let columns = (0..frame.u16()?).map(|_| {
        let key = frame.u8()? & 1 == 1;
        Ok(RelationColumn { key, name: frame.text()?, oid: frame.u32()?, typmod: frame.i32()? })
    });
    Ok(Relation { id, schema, name, identity, columns: columns.collect::<Result<_, _>>()? })
}

fn old(kind: u8, frame: &mut Frame<'_>) -> Result<Option<Old>, Malformed> {
    match kind {
        b'K' => frame.tuple().map(|tuple| Some(Old::Key(tuple))),
        b'O' => frame.tuple().map(|tuple| Some(Old::Full(tuple))),
        _ => Ok(None),
    }
}

fn update(frame: &mut Frame<'_>, xid: Option<u32>) -> Result<Message, Malformed> {
    let (relation, mut kind) = (frame.u32()?, frame.u8()?);
    let old = old(kind, frame)?;
    if old.is_some() {
        kind = frame.u8()?;
    }
    if kind != b'N' {
        return Err(Malformed::new("an update without its new row"));
    }
    Ok(Message::Update { xid, relation, old, new: frame.tuple()? })
}

fn truncate(frame: &mut Frame<'_>, xid: Option<u32>) -> Result<Message, Malformed> {
    let (count, options) = (frame.length()?, frame.u8()?);
    let relations = (0..count).map(|_| frame.u32()).collect::<Result<_, _>>()?;
    Ok(Message::Truncate { xid, relations, cascade: options & 1 != 0, restart_identity: options & 2 != 0 })
}

/// All of them end with the transaction and its name, after places and times that nobody asks for.
fn prepared(step: Step, before: usize, frame: &mut Frame<'_>) -> Result<Message, Malformed> {
    frame.skip(before)?;
    Ok(Message::Prepared { step, xid: frame.u32()?, gid: frame.text()? })
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests;
