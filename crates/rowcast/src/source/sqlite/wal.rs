//! Where each transaction ends in the outbox, read from the write-ahead log.
//!
//! A trigger cannot tell which transaction it runs in. But the outbox is AUTOINCREMENT, so each transaction that writes to
//! it also writes the page of `sqlite_sequence`, with the outbox's last number, before its commit frame. The format is
//! SQLite's "WAL-mode file format" and "database file format".
//!
//! What is found is always the end of a transaction. An end may be missed (the log had begun anew twice before it was
//! read): then two transactions look like one.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// How much of the log is read at once.
const CHUNK: usize = 256 << 10;

/// Reads the `-wal` file from where it left off.
#[derive(Debug)]
pub(crate) struct Wal {
    path: PathBuf,
    file: Option<File>,
    /// The life of the log that is being read: it has one until it is written from its beginning again.
    life: Option<Life>,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Life {
    salts: [u8; 8],
    page_size: usize,
    big_endian: bool,
    /// Where the frame after the last known commit begins.
    next: u64,
    /// The checksum before that frame.
    sum: (u32, u32),
}

/// What became of reading frames.
enum Scan {
    /// The transaction that ends with the number asked for has been seen, or one that goes beyond it.
    Reached,
    /// There are no more frames of this life.
    Ended,
}

impl Wal {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None, life: None, buffer: Vec::new() }
    }

    /// Appends to `ends` the outbox's last number of each transaction that was committed since the last call, up to `upto`,
    /// ascending, as far as they can be known. `root` is the page of `sqlite_sequence`.
    ///
    /// `upto` must be committed: what the log holds beyond it may not be.
    pub(crate) fn ends(&mut self, root: u32, upto: u64, ends: &mut Vec<u64>) -> std::io::Result<()> {
        let Some(current) = self.current_life()? else { return Ok(()) };
        if self.life.as_ref().is_none_or(|life| life.salts != current.salts) {
            // What the old life had last is there until the new one has grown over it.
            if self.life.is_some() && matches!(self.scan(root, upto, ends)?, Scan::Reached) {
                return Ok(());
            }
            self.life = Some(current);
        }
        self.scan(root, upto, ends).map(drop)
    }

    /// The life that the file's header tells of, from its first frame.
    fn current_life(&mut self) -> std::io::Result<Option<Life>> {
        if self.file.is_none() {
            self.file = match File::open(&self.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
        }
        let mut header = [0; HEADER];
        if self.read_at(0, &mut header)? < HEADER {
            return Ok(None);
        }
        Ok(Life::of(&header))
    }

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> std::io::Result<usize> {
        let file = self.file.as_mut().expect("the file was opened before the first read");
        file.seek(SeekFrom::Start(at))?;
        let mut filled = 0;
        while filled < into.len() {
            match file.read(&mut into[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn scan(&mut self, root: u32, upto: u64, ends: &mut Vec<u64>) -> std::io::Result<Scan> {
        let mut life = self.life.clone().expect("a life was found before its frames are read");
        let frame_size = FRAME_HEADER + life.page_size;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize((CHUNK / frame_size).max(1) * frame_size, 0);
        // Up to the last commit; what follows one is read again when there is more.
        let mut at = life.next;
        let mut frames = Transaction { first: true, seq: None };
        let mut outcome = Scan::Ended;
        'file: loop {
            let filled = self.read_at(at, &mut buffer)?;
            for frame in buffer[..filled].chunks_exact(frame_size) {
                let Some(committed) = frames.take(&mut life, frame, root) else { break 'file };
                at += frame_size as u64;
                if !committed {
                    continue;
                }
                let seq = frames.seq.take();
                if seq.is_some_and(|seq| seq > upto) {
                    outcome = Scan::Reached;
                    break 'file;
                }
                frames.first = true;
                life.next = at;
                self.life = Some(life.clone());
                if let Some(seq) = seq {
                    ends.push(seq);
                    if seq == upto {
                        outcome = Scan::Reached;
                        break 'file;
                    }
                }
            }
            if filled < buffer.len() {
                break;
            }
        }
        self.buffer = buffer;
        Ok(outcome)
    }
}

/// What has been seen of one transaction.
struct Transaction {
    /// Whether its first frame is yet to come.
    first: bool,
    /// The outbox's last number as its last page of `sqlite_sequence` has it.
    seq: Option<u64>,
}

impl Transaction {
    /// Takes the next frame. Returns whether it commits; `None` where it is not of this life, or not whole.
    ///
    /// The frame that tells something has its checksum verified, and so has the first one, which could be what a
    /// transaction that was rolled back has left.
    fn take(&mut self, life: &mut Life, frame: &[u8], root: u32) -> Option<bool> {
        let (header, page) = frame.split_at(FRAME_HEADER);
        if header[8..16] != life.salts {
            return None;
        }
        let (number, commits) = (be32(&header[0..4]), be32(&header[4..8]) != 0);
        let sum = (be32(&header[16..20]), be32(&header[20..24]));
        if self.first || number == root {
            let seen = checksum(life.big_endian, checksum(life.big_endian, life.sum, &header[..8]), page);
            if seen != sum {
                return None;
            }
        }
        self.first = false;
        life.sum = sum;
        if number == root {
            self.seq = outbox_seq(page);
        }
        Some(commits)
    }
}

impl Life {
    fn of(header: &[u8; HEADER]) -> Option<Self> {
        let big_endian = match be32(&header[0..4]) {
            0x377f_0683 => true,
            0x377f_0682 => false,
            _ => return None,
        };
        let sum = checksum(big_endian, (0, 0), &header[..24]);
        let page_size = be32(&header[8..12]) as usize;
        let whole = sum == (be32(&header[24..28]), be32(&header[28..32]));
        (whole && (512..=65_536).contains(&page_size)).then(|| Self {
            salts: header[16..24].try_into().expect("eight bytes"),
            page_size,
            big_endian,
            next: HEADER as u64,
            sum,
        })
    }
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// SQLite's checksum. Two sums of 32 bits over pairs of words, here in 64 bits: builds without optimisation are slow at
/// anything else, and a reader that is slower than the writers misses ends.
fn checksum(big_endian: bool, (a, b): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    const LOW: u64 = 0xffff_ffff;
    let (mut a, mut b) = (u64::from(a), u64::from(b));
    let (pairs, _) = bytes.as_chunks::<8>();
    for pair in pairs {
        let (x, y) = if big_endian {
            let pair = u64::from_be_bytes(*pair);
            (pair >> 32, pair & LOW)
        } else {
            let pair = u64::from_le_bytes(*pair);
            (pair & LOW, pair >> 32)
        };
        a = (a + x + b) & LOW;
        b = (b + y + a) & LOW;
    }
    let low = |sum: u64| u32::try_from(sum).expect("32 bits are left");
    (low(a), low(b))
}

/// The outbox's entry on a page of `sqlite_sequence`; `None` where the page is no leaf, or has no such entry.
fn outbox_seq(page: &[u8]) -> Option<u64> {
    const LEAF: u8 = 0x0d;
    if page[0] != LEAF {
        return None;
    }
    let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
    (0..cells).find_map(|n| {
        let pointer = page.get(8 + 2 * n..10 + 2 * n)?;
        let cell = page.get(usize::from(u16::from_be_bytes([pointer[0], pointer[1]]))..)?;
        let (_payload, cell) = varint(cell)?;
        let (_rowid, record) = varint(cell)?;
        sequence_entry(record)
    })
}

/// The number in a record of `('_rowcast_outbox', number)`.
fn sequence_entry(record: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"_rowcast_outbox";
    let (header_size, rest) = varint(record)?;
    let (name_type, rest) = varint(rest)?;
    let (seq_type, _) = varint(rest)?;
    let body = record.get(usize::try_from(header_size).ok()?..)?;
    if name_type != 13 + 2 * NAME.len() as u64 || !body.starts_with(NAME) {
        return None;
    }
    let width = match seq_type {
        8 => return Some(0),
        9 => return Some(1),
        1..=4 => seq_type as usize,
        5 => 6,
        6 => 8,
        _ => return None,
    };
    let digits = body.get(NAME.len()..NAME.len() + width)?;
    Some(digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (n, byte) in bytes.iter().take(9).enumerate() {
        if n == 8 {
            return Some((value << 8 | u64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[n + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    struct World {
        _folder: tempfile::TempDir,
        writer: Connection,
        wal: Wal,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("x.db");
            let writer = Connection::open(&path).expect("a database");
            writer
                .execute_batch(
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
                     CREATE TABLE _rowcast_outbox(seq INTEGER PRIMARY KEY AUTOINCREMENT, x); CREATE TABLE other(x)",
                )
                .expect("tables");
            Self { wal: Wal::new(folder.path().join("x.db-wal")), _folder: folder, writer }
        }

        /// Inserts so many rows in one transaction.
        fn commit(&self, rows: u32) {
            self.writer.execute_batch("BEGIN").expect("begun");
            self.insert(rows);
            self.writer.execute_batch("COMMIT").expect("committed");
        }

        fn insert(&self, rows: u32) {
            let sql = "INSERT INTO _rowcast_outbox(x) VALUES (zeroblob(100))";
            for _ in 0..rows {
                self.writer.prepare_cached(sql).and_then(|mut insert| insert.execute([])).expect(sql);
            }
        }

        fn number(&self, sql: &str) -> u64 {
            self.writer.query_row(sql, [], |row| row.get::<_, i64>(0)).expect(sql).unsigned_abs()
        }

        fn ends(&mut self) -> Vec<u64> {
            let upto = self.number("SELECT seq FROM sqlite_sequence WHERE name = '_rowcast_outbox'");
            self.ends_upto(upto)
        }

        fn ends_upto(&mut self, upto: u64) -> Vec<u64> {
            let root = self.number("SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_sequence'");
            let mut ends = Vec::new();
            self.wal.ends(u32::try_from(root).expect("a page"), upto, &mut ends).expect("read");
            ends
        }
    }

    #[test]
    fn every_transaction_has_its_end() {
        let mut world = World::new();
        (1..=4).for_each(|rows| world.commit(rows));
        assert_eq!(world.ends(), [1, 3, 6, 10]);
        assert!(world.ends().is_empty());
        world.commit(300);
        assert_eq!(world.ends(), [310]);
    }

    #[test]
    fn nothing_is_said_of_what_lies_beyond() {
        let mut world = World::new();
        (0..3).for_each(|_| world.commit(2));
        assert_eq!(world.ends_upto(4), [2, 4]);
        assert_eq!(world.ends(), [6]);
    }

    #[test]
    fn a_rolled_back_transaction_that_reached_the_log_leaves_no_end() {
        let mut world = World::new();
        world.writer.execute_batch("PRAGMA cache_size=5").expect("a small cache");
        world.commit(1);
        assert_eq!(world.ends(), [1]);
        world.writer.execute_batch("BEGIN").expect("begun");
        world.insert(2_000);
        world.writer.execute_batch("ROLLBACK").expect("rolled back");
        assert!(world.ends().is_empty());
        world.commit(1);
        world.commit(1_000);
        assert_eq!(world.ends(), [2, 1_002]);
    }

    #[test]
    fn the_last_of_an_old_log_is_read_after_it_began_anew() {
        let mut world = World::new();
        (0..100).for_each(|_| world.commit(1));
        assert_eq!(world.ends().len(), 100);
        world.commit(3);
        world.writer.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).expect("a checkpoint");
        world.commit(4);
        world.commit(5);
        assert_eq!(world.ends(), [103, 107, 112]);
    }

    #[test]
    fn a_truncated_log_only_hides_ends() {
        let mut world = World::new();
        world.commit(3);
        world.writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
        assert!(world.ends().is_empty());
        world.commit(4);
        assert_eq!(world.ends(), [7]);
    }

    #[test]
    fn other_tables_do_not_matter_and_many_sequences_fit() {
        let mut world = World::new();
        for n in 0..20 {
            let table = format!("CREATE TABLE t{n}(a INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t{n} VALUES (1)");
            world.writer.execute_batch(&table).expect("a table");
        }
        world.commit(70_000);
        assert_eq!(world.ends(), [70_000]);
        world.writer.execute_batch("INSERT INTO other VALUES (1)").expect("a row");
        world.commit(1);
        assert_eq!(world.ends(), [70_001]);
    }
}
