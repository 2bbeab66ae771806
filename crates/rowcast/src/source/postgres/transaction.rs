//! The stream's messages, put in order: what belongs to which transaction, and when it is known to be committed.
//!
//! Knows where transactions begin and end, and keeps what comes before its commit; leaves what rows mean to `pgoutput`. The
//! format: PostgreSQL's documentation, "Logical Replication Message Formats".

use std::io;
use std::path::PathBuf;

use ahash::AHashMap;
use bytes::{Buf, Bytes, TryGetError};

use super::spool::{Reading, Spool};
use crate::postgres::Lsn;

/// Microseconds from 1970 to PostgreSQL's own epoch.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// What a message means for the order of things.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing to do.
    Nothing,
    /// A transaction begins, which has committed.
    Begin(Begun),
    /// Part of the transaction that has begun, or names and types for it.
    Content(Bytes),
    /// A message of no transaction.
    Outside(Bytes),
    /// The transaction's end.
    Commit(Lsn),
    /// A transaction that was sent before its commit has committed: it begins, has this content, and ends.
    Whole(Begun, Reading, Lsn),
}

/// A transaction that has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    /// The lower half of its number.
    pub(super) xid: u32,
    /// Where its commit is written, or begins to be.
    pub(super) commit: Lsn,
    /// Milliseconds since 1970 of its commit.
    pub(super) time_ms: u64,
}

/// A message that cannot be understood, or a file that cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    /// The server sent something else than its documentation says.
    #[error("the server sent a message of kind `{0}` that cannot be understood")]
    Message(char),
    /// A transaction that is too large for memory could not be kept.
    #[error("a large transaction cannot be kept in {folder} until it commits: {cause}")]
    Spool {
        /// Where.
        folder: String,
        /// Why.
        cause: io::Error,
    },
}

/// Transactions on their way.
#[derive(Debug)]
pub(super) struct Transactions {
    /// Those that were sent before their commit.
    running: AHashMap<u32, Spool>,
    /// The one that is being sent before its commit.
    sending: Option<u32>,
    /// Whether one that has committed is being sent.
    open: bool,
    /// Bytes that they take in memory, and may take.
    held: usize,
    memory: usize,
    folder: PathBuf,
}

impl Transactions {
    /// None is on its way. What takes more than `memory` bytes goes to files in `folder`.
    pub(super) fn new(memory: usize, folder: PathBuf) -> Self {
        Self { running: AHashMap::new(), sending: None, open: false, held: 0, memory, folder }
    }

    /// Whether nothing is half sent at the moment.
    pub(super) fn is_between(&self) -> bool {
        self.sending.is_none() && !self.open
    }

    /// Takes the next message.
    pub(super) fn take(&mut self, message: Bytes) -> Result<Step, StreamError> {
        let mut body = message.clone();
        let kind = body.try_get_u8().map_err(|_| StreamError::Message('?'))?;
        let malformed = |_| StreamError::Message(char::from(kind));
        match kind {
            b'S' | b'E' | b'A' | b'c' => self.take_streamed(kind, body),
            b'B' => {
                self.open = true;
                begun(&mut body).map(Step::Begin).map_err(malformed)
            }
            b'C' => {
                self.open = false;
                committed(&mut body).map(|(_, end, _)| Step::Commit(end)).map_err(malformed)
            }
            b'R' | b'Y' | b'I' | b'U' | b'D' | b'T' | b'M' => match self.sending {
                Some(transaction) => self.keep(transaction, kind, message),
                None if self.open || kind != b'M' => Ok(Step::Content(message)),
                None => Ok(Step::Outside(message)),
            },
            // Where a change came from before it came to this server.
            b'O' => Ok(Step::Nothing),
            _ => Err(StreamError::Message(char::from(kind))),
        }
    }

    fn take_streamed(&mut self, kind: u8, mut body: Bytes) -> Result<Step, StreamError> {
        let malformed = |_| StreamError::Message(char::from(kind));
        if kind == b'E' {
            self.sending = None;
            return Ok(Step::Nothing);
        }
        let transaction = body.try_get_u32().map_err(malformed)?;
        match kind {
            b'S' => {
                self.sending = Some(transaction);
                self.running.entry(transaction).or_default();
                Ok(Step::Nothing)
            }
            b'A' => {
                let part = body.try_get_u32().map_err(malformed)?;
                if part == transaction {
                    self.end(transaction);
                } else {
                    self.change(transaction, |spool| spool.roll_back(part))?;
                }
                Ok(Step::Nothing)
            }
            _ => {
                let (commit, end, time_ms) = committed(&mut body).map_err(malformed)?;
                let reading = self.end(transaction).read().map_err(|error| self.spool_failed(error))?;
                Ok(Step::Whole(Begun { xid: transaction, commit, time_ms }, reading, end))
            }
        }
    }

    /// Keeps a message of a transaction that may yet be rolled back. It says of which subtransaction it is.
    fn keep(&mut self, transaction: u32, kind: u8, message: Bytes) -> Result<Step, StreamError> {
        let part = message.slice(1..).try_get_u32().map_err(|_| StreamError::Message(char::from(kind)))?;
        // A buffer may hold many messages, and would be kept as a whole for one of them.
        let message = Bytes::copy_from_slice(&message);
        self.change(transaction, |spool| {
            if matches!(kind, b'R' | b'Y') {
                spool.note(message);
                return Ok(());
            }
            spool.push(part, message)
        })?;
        while self.held > self.memory {
            let largest = self.running.iter().max_by_key(|(_, spool)| spool.weight());
            let Some(largest) = largest.filter(|(_, spool)| spool.weight() > 0).map(|(&largest, _)| largest) else {
                break;
            };
            let folder = self.folder.clone();
            self.change(largest, |spool| spool.spill(&folder))?;
        }
        Ok(Step::Nothing)
    }

    fn change(
        &mut self,
        transaction: u32,
        change: impl FnOnce(&mut Spool) -> io::Result<()>,
    ) -> Result<(), StreamError> {
        let Some(spool) = self.running.get_mut(&transaction) else { return Ok(()) };
        let before = spool.weight();
        let changed = change(spool);
        self.held = (self.held + spool.weight()).saturating_sub(before);
        changed.map_err(|error| self.spool_failed(error))
    }

    fn end(&mut self, transaction: u32) -> Spool {
        let spool = self.running.remove(&transaction).unwrap_or_default();
        self.held = self.held.saturating_sub(spool.weight());
        spool
    }

    fn spool_failed(&self, cause: io::Error) -> StreamError {
        StreamError::Spool { folder: self.folder.display().to_string(), cause }
    }
}

fn begun(body: &mut Bytes) -> Result<Begun, TryGetError> {
    let (commit, time) = (body.try_get_u64()?, body.try_get_i64()?);
    Ok(Begun { commit: Lsn(commit), time_ms: milliseconds(time), xid: body.try_get_u32()? })
}

/// Where the commit is written, where that ends, and its time.
fn committed(body: &mut Bytes) -> Result<(Lsn, Lsn, u64), TryGetError> {
    let _flags = body.try_get_u8()?;
    Ok((Lsn(body.try_get_u64()?), Lsn(body.try_get_u64()?), milliseconds(body.try_get_i64()?)))
}

fn milliseconds(postgres_micros: i64) -> u64 {
    u64::try_from(postgres_micros.saturating_add(EPOCH_MICROS) / 1000).unwrap_or(0)
}

/// The 64-bit number of a transaction of which the stream tells the lower half, and of which one not far away is known.
pub(super) fn full_number(xid: u32, near: u64) -> u64 {
    let distance = xid.wrapping_sub(near as u32) as i32;
    near.saturating_add_signed(i64::from(distance))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, fields: &[&[u8]]) -> Bytes {
        Bytes::from([&[kind], fields.concat().as_slice()].concat())
    }

    fn content(xid: u32, text: &str) -> Bytes {
        message(b'I', &[&xid.to_be_bytes(), text.as_bytes()])
    }

    fn xids(kind: u8, xids: &[u32]) -> Bytes {
        message(kind, &[&xids.iter().flat_map(|xid| xid.to_be_bytes()).collect::<Vec<_>>()])
    }

    fn start(xid: u32) -> Bytes {
        message(b'S', &[&xid.to_be_bytes(), &[1]])
    }

    fn commit(xid: u32) -> Bytes {
        message(b'c', &[&xid.to_be_bytes(), &[0], &5u64.to_be_bytes(), &9u64.to_be_bytes(), &0u64.to_be_bytes()])
    }

    /// What comes out, as text.
    fn run(messages: Vec<Bytes>, memory: usize) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut transactions = Transactions::new(memory, folder.path().to_owned());
        let mut seen = Vec::new();
        for message in messages {
            match transactions.take(message).expect("understood") {
                Step::Nothing => {}
                Step::Begin(begun) => seen.push(format!("begin {}", begun.xid)),
                Step::Content(_) => seen.push("content".to_owned()),
                Step::Outside(_) => seen.push("outside".to_owned()),
                Step::Commit(end) => seen.push(format!("commit {end}")),
                Step::Whole(begun, mut reading, end) => {
                    seen.push(format!("begin {} at {} in {}", begun.xid, begun.commit, begun.time_ms));
                    while let Some(message) = reading.next().expect("read") {
                        seen.push(String::from_utf8(message[5..].to_vec()).expect("text"));
                    }
                    seen.push(format!("commit {end}"));
                }
            }
        }
        assert_eq!(transactions.held, 0, "nothing is left in memory");
        seen
    }

    #[test]
    fn transactions_sent_before_their_commit_are_told_at_it() {
        for memory in [0, 60, usize::MAX] {
            let messages = vec![
                start(1),
                content(1, "a"),
                content(2, "b"),
                xids(b'E', &[]),
                start(10),
                content(10, "x"),
                xids(b'E', &[]),
                start(1),
                content(2, "c"),
                content(3, "d"),
                xids(b'E', &[]),
                xids(b'A', &[1, 3]),
                xids(b'A', &[1, 2]),
                start(1),
                content(1, "e"),
                xids(b'E', &[]),
                xids(b'A', &[10, 10]),
                commit(1),
            ];
            let expected = ["begin 1 at 0/5 in 946684800000", "a", "e", "commit 0/9"];
            assert_eq!(run(messages, memory), expected, "{memory}");
        }
    }

    #[test]
    fn transactions_sent_after_their_commit_are_passed_on() {
        let begin = message(b'B', &[&5u64.to_be_bytes(), &0u64.to_be_bytes(), &7u32.to_be_bytes()]);
        let end = message(b'C', &[&[0], &5u64.to_be_bytes(), &9u64.to_be_bytes(), &0u64.to_be_bytes()]);
        let logical = message(b'M', &[&[0]]);
        let messages = vec![logical.clone(), begin, content(0, "a"), logical, end];
        assert_eq!(run(messages, 0), ["outside", "begin 7", "content", "content", "commit 0/9"]);
    }

    #[test]
    fn what_cannot_be_understood_is_said() {
        let mut transactions = Transactions::new(0, PathBuf::new());
        for wrong in [Bytes::new(), Bytes::from_static(b"Z"), Bytes::from_static(b"B12"), Bytes::from_static(b"A1234")]
        {
            assert!(transactions.take(wrong).is_err());
        }
    }

    #[test]
    fn numbers_are_those_nearest_to_one_that_is_known() {
        let near = (3 << 32) + 10;
        assert_eq!(full_number(12, near), (3 << 32) + 12);
        assert_eq!(full_number(u32::MAX, near), (3 << 32) - 1);
        assert_eq!(full_number(3, (3 << 32) - 2), (3 << 32) + 3);
        assert_eq!(full_number(700, 741), 700);
    }
}
