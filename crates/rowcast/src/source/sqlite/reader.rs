//! Reads the outbox from a place on, in batches, with each transaction's end where it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension};

use super::decode::Decoder;
use super::install;
use super::wal::Wal;
use crate::event::{Body, Change, Channel, ResetCause, Table};
use crate::sqlite::SqliteSettings;
use crate::sqlite::catalog;
use crate::sqlite::file::{DatabaseFile, Failure, Outcome};
use crate::sqlite::moments::Moments;
use crate::sqlite::outbox::{self, OutboxPlace, WIDTH, value_columns};

/// How many ends of transactions are kept while nobody takes batches. Beyond that, transactions become one.
const ENDS_KEPT: usize = 1 << 20;

/// One reading of an outbox.
pub(crate) struct Reader {
    /// Sees what other connections do. It holds no transaction, for within one nothing would be seen.
    watch: Connection,
    read: Connection,
    /// Since when `read` holds a transaction.
    held: Option<Instant>,
    wal: Wal,
    /// The moments of snapshots, which are ends, too.
    moments: Arc<Moments>,
    /// The page of `sqlite_sequence`, and the schema that it was read from.
    root: u32,
    schema_version: Option<i64>,
    data_version: Option<i64>,
    settings: SqliteSettings,
    decoder: Decoder,
    /// The last row that has been handed out, and the transaction that it is in the midst of.
    place: OutboxPlace,
    /// The last row that is committed, as far as is known.
    upto: u64,
    /// Ends of transactions between `place` and `upto`.
    ends: VecDeque<u64>,
}

/// What [`Reader::look`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// Somebody has written to the database.
    Writes,
    /// The schema is no longer the one that the triggers were made for, or the outbox another one.
    OtherSchema,
}

/// What comes next in the outbox.
pub(crate) enum Next {
    /// All that has been found has been handed out.
    Nothing,
    Read(Read),
    /// Rows are gone that were not read: somebody else has removed them.
    Hole,
}

/// Changes in commit order.
pub(crate) struct Read {
    pub(crate) changes: Vec<Change>,
    pub(crate) place: OutboxPlace,
}

impl Reader {
    /// Begins after `place`, which must be in this outbox.
    pub(crate) fn new(file: &DatabaseFile, settings: &SqliteSettings, place: OutboxPlace) -> Outcome<Self> {
        let watch = file.connect(settings.busy_timeout)?;
        let read = file.connect(settings.busy_timeout)?;
        for connection in [&watch, &read] {
            connection.execute_batch("PRAGMA query_only=ON; PRAGMA cache_size=-512")?;
        }
        let mut reader = Self {
            decoder: Decoder::new(outbox::gone_marker(&read)?),
            data_version: None,
            schema_version: None,
            root: 0,
            held: None,
            wal: Wal::new(file.beside("-wal")),
            moments: Moments::of(file.path()),
            settings: settings.clone(),
            upto: place.seq,
            ends: VecDeque::new(),
            watch,
            read,
            place,
        };
        // Where what is committed by now ends is known from the start: a snapshot taken from now on contains all of it, and
        // would otherwise contain a transaction that was found to be one with it.
        reader.learn_root()?;
        reader.find_ends()?;
        Ok(reader)
    }

    /// The last row that has been handed out.
    pub(crate) fn place(&self) -> &OutboxPlace {
        &self.place
    }

    /// Outbox rows that are committed and not handed out.
    pub(crate) fn behind(&self) -> u64 {
        self.upto.saturating_sub(self.place.seq)
    }

    /// Looks whether anything was written since the last look. Costs two microseconds when nothing was.
    pub(crate) fn look(&mut self) -> Outcome<Found> {
        let version: i64 = self.watch.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.data_version == Some(version) {
            self.hold_when_idle()?;
            return Ok(Found::Nothing);
        }
        self.let_go()?;
        let same_outbox = outbox::id(&self.watch)?.as_deref() == Some(&*self.place.id);
        let fits = same_outbox && install::is_current(&self.watch)?;
        self.learn_root()?;
        if same_outbox {
            self.find_ends()?;
        }
        // Only now, so that a look which failed is made again.
        self.data_version = Some(version);
        Ok(if fits { Found::Writes } else { Found::OtherSchema })
    }

    /// Makes the next look find something.
    pub(crate) fn forget(&mut self) {
        self.data_version = None;
    }

    fn learn_root(&mut self) -> Outcome<()> {
        let schema_version = catalog::schema_version(&self.watch)?;
        if self.schema_version != Some(schema_version) {
            let root = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_sequence'";
            self.root = self.watch.query_row(root, [], |row| row.get(0)).optional()?.unwrap_or(0);
            self.schema_version = Some(schema_version);
        }
        Ok(())
    }

    /// Finds what has been committed by now, and where transactions end.
    fn find_ends(&mut self) -> Outcome<()> {
        let moments = self.moments.clone();
        let (upto, ends) = moments.look(|| self.look_for_ends())?;
        for end in ends {
            if end > self.upto && end <= upto {
                self.upto = end;
                if self.ends.len() == ENDS_KEPT {
                    self.ends.pop_back();
                }
                self.ends.push_back(end);
            }
        }
        Ok(())
    }

    fn look_for_ends(&mut self) -> Outcome<(u64, Vec<u64>)> {
        let upto = outbox::last_seq(&self.read)?;
        let mut ends = Vec::new();
        if upto > self.upto {
            if let Err(error) = self.wal.ends(self.root, upto, &mut ends) {
                // Transactions that were committed between two looks are one, then.
                tracing::debug!(%error, "the write-ahead log could not be read");
            }
            ends.push(upto);
        }
        Ok((upto, ends))
    }

    /// Keeps the log from beginning anew while nothing happens: a burst of small transactions could otherwise go round it
    /// more than once before the next look. Lets go for a moment each second, so that others' checkpoints come through.
    fn hold_when_idle(&mut self) -> Outcome<()> {
        const HELD_AT_MOST: std::time::Duration = std::time::Duration::from_secs(1);
        if self.held.is_some_and(|since| since.elapsed() < HELD_AT_MOST) {
            return Ok(());
        }
        self.let_go()?;
        self.read.execute_batch("BEGIN")?;
        self.held = Some(Instant::now());
        // The transaction begins with its first read.
        catalog::schema_version(&self.read)?;
        Ok(())
    }

    fn let_go(&mut self) -> Outcome<()> {
        if self.held.take().is_some() {
            self.read.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// The next batch of what has been found.
    ///
    /// Ends within a transaction only where that is larger than a batch may be.
    pub(crate) fn next(&mut self) -> Outcome<Next> {
        let before = self.place.seq;
        if before >= self.upto {
            return Ok(Next::Nothing);
        }
        self.let_go()?;
        self.decoder.clear();
        let mut changes = Vec::new();
        self.fill(&mut changes)?;
        if self.place.seq == before {
            return Ok(Next::Hole);
        }
        Ok(Next::Read(Read { changes, place: self.place.clone() }))
    }

    /// Reads on until there is enough, or a row is not there: numbers have no holes, for who rolls back gives his back.
    fn fill(&mut self, changes: &mut Vec<Change>) -> Outcome<()> {
        let sql = format!(
            r#"SELECT "seq","gen","op",{} FROM "_rowcast_outbox" WHERE "seq" > ?1 AND "seq" <= ?2 ORDER BY "seq""#,
            value_columns(WIDTH)
        );
        let mut statement = self.read.prepare_cached(&sql)?;
        let mut rows = statement.query([signed(self.place.seq), signed(self.upto)])?;
        let time_ms = crate::source::now_ms();
        let mut cursor = Cursor { seq: self.place.seq, tx: self.place.tx, ended: 0 };
        // Where a batch may end: behind the last change that is complete.
        let (mut safe, mut safe_changes) = (cursor, 0);
        let (mut weight, mut hole) = (0, true);
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(0)?.unsigned_abs() != cursor.seq + 1 {
                break;
            }
            cursor.seq += 1;
            let tx = *cursor.tx.get_or_insert(cursor.seq);
            let table = table_of(&mut self.decoder, &self.watch, row.get(1)?)?;
            self.decoder.take(&table, row.get_ref(2)?.as_str().unwrap_or_default(), row)?;
            let is_end = self.ends.get(cursor.ended) == Some(&cursor.seq);
            if is_end {
                self.decoder.end_replaced();
            }
            weight += self.decoder.weight;
            let done = self.decoder.take_done();
            changes.extend(done.into_iter().map(|body| Change { tx, last: false, time_ms, body }));
            if is_end {
                cursor.end(changes);
            }
            if self.decoder.is_whole() {
                (safe, safe_changes) = (cursor, changes.len());
                let full = changes.len() >= self.settings.batch_rows || weight >= self.settings.batch_bytes;
                if full || cursor.seq == self.upto {
                    hole = false;
                    break;
                }
            }
        }
        changes.truncate(safe_changes);
        if hole {
            // The rest of the transaction is lost; resets follow.
            safe.end(changes);
            safe.ended = 0;
        }
        (self.place.seq, self.place.tx) = (safe.seq, safe.tx);
        self.ends.drain(..safe.ended);
        Ok(())
    }
}

/// Where a reading of rows has got to.
#[derive(Clone, Copy)]
struct Cursor {
    seq: u64,
    /// The first row of the transaction that is being read.
    tx: Option<u64>,
    /// How many transactions have ended.
    ended: usize,
}

impl Cursor {
    /// Ends the transaction that is being read.
    fn end(&mut self, changes: &mut [Change]) {
        self.ended += 1;
        if let (Some(tx), Some(change)) = (self.tx.take(), changes.last_mut()) {
            change.last |= change.tx == tx;
        }
    }
}

fn table_of(decoder: &mut Decoder, connection: &Connection, generation: i64) -> Outcome<Arc<Table>> {
    if let Some(table) = decoder.tables.get(&generation) {
        return Ok(table.clone());
    }
    let table = install::generation(connection, generation).optional()?.ok_or_else(|| {
        Failure::stop(
            "the outbox holds rows of a table that is not recorded there; somebody has changed Rowcast's tables: \
             run `rowcast teardown` and `rowcast setup`",
        )
    })?;
    Ok(decoder.tables.entry(generation).or_insert(Arc::new(table)).clone())
}

/// A reset for each table, as one transaction.
pub(crate) fn resets(tables: impl Iterator<Item = Table>, reason: &str, tx: u64) -> Vec<Change> {
    let time_ms = crate::source::now_ms();
    let mut changes: Vec<Change> = tables
        .map(|table| Body::Reset {
            channel: Channel::Table(table.name),
            cause: ResetCause::Missed,
            reason: reason.into(),
        })
        .map(|body| Change { tx, last: false, time_ms, body })
        .collect();
    if let Some(change) = changes.last_mut() {
        change.last = true;
    }
    changes
}

pub(crate) fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_that_cannot_be_told_apart_are_not_one_across_a_snapshot() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = SqliteSettings { create: true, ..SqliteSettings::default() };
        let (file, writer) = DatabaseFile::open(&folder.path().join("test.db"), &settings).expect("a database");
        writer.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY)").expect("a table");
        install::install(&writer, &settings).expect("set up");
        let id = outbox::id(&writer).expect("read").expect("set up");
        let place = OutboxPlace::new(&id, outbox::last_seq(&writer).expect("a number"));
        let mut reader = Reader::new(&file, &settings, place).expect("a reader");
        let insert = |id: i64| writer.execute("INSERT INTO t VALUES (?1)", [id]).expect("inserted");
        insert(1);
        insert(2);
        let moment = Moments::of(file.path()).begin(|| outbox::last_seq(&writer), |seq| *seq).expect("a snapshot");
        insert(3);
        insert(4);
        writer.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("a checkpoint");
        reader.look().expect("looked");
        let Next::Read(read) = reader.next().expect("read") else { panic!("nothing was found") };
        let told: Vec<_> = read.changes.iter().map(|change| (change.tx <= moment, change.last)).collect();
        assert_eq!(told, [(true, false), (true, true), (false, false), (false, true)]);
    }
}
