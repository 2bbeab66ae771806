//! Logs whose files were cut or changed: what is recovered, what is refused, and in what words.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rowcast::event::{Batch, Body, Change, Event, Op, Position, Row, RowChange, Value};
use rowcast::log::local::{LocalLog, LogSettings, OpenError, Retention};
use rowcast::log::{Log, ReadError};
use tempfile::TempDir;

use crate::log_events::{at, changes, origin, read_after, read_all, readings, rows};

const FIRST: &str = "0000000001.log";

fn settings() -> LogSettings {
    LogSettings { retain: Retention { age: None, events: None, bytes: None }, ..LogSettings::default() }
}

fn open(dir: &Path) -> Result<LocalLog, OpenError> {
    LocalLog::open(dir, settings())
}

/// The files of a log as `kill -9` leaves them, to be changed.
struct Files(Vec<(PathBuf, Vec<u8>)>);

impl Files {
    fn of(dir: &Path) -> Self {
        let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
        Self(entries.map(|entry| (entry.file_name().into(), fs::read(entry.path()).expect("a file"))).collect())
    }

    fn length(&self, name: &str) -> usize {
        self.0.iter().find(|(path, _)| path.as_os_str() == name).expect("the file").1.len()
    }

    /// A directory with these files, of which one is changed.
    fn with(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut change = Some(change);
        for (path, bytes) in &self.0 {
            let mut bytes = bytes.clone();
            if path.as_os_str() == name {
                change.take().expect("one file has the name")(&mut bytes);
            }
            fs::write(dir.path().join(path), bytes).expect("written");
        }
        dir
    }
}

/// A log with `batches` batches of three rows, each moving the source on by one, and its length after each.
async fn some_batches(log: &LocalLog, dir: &Path, batches: u64) -> Vec<usize> {
    let mut lengths = Vec::new();
    for n in 1..=batches {
        let first = n.cast_signed() * 3 - 2;
        let origin = origin("db", (n > 1).then_some(n - 1), n);
        log.append(Batch { origin, ..rows(first..=first + 2) }).await.expect("appended");
        lengths.push(Files::of(dir).length(FIRST));
    }
    lengths
}

#[tokio::test]
async fn a_log_cut_at_any_byte_of_its_last_batch_has_the_batches_before() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path()).expect("the log opens");
    let lengths = some_batches(&log, dir.path(), 4).await;
    let files = Files::of(dir.path());
    for length in lengths[2]..lengths[3] {
        let cut = files.with(FIRST, |bytes| bytes.truncate(length));
        let reopened = open(cut.path()).expect("a torn end is no damage");
        assert_eq!(reopened.head(), Position::new(log.head().epoch.0, 9), "{length}");
        assert_eq!(changes(&read_all(&reopened).await), rows(1..=9).changes);
        assert_eq!(reopened.place("db"), Some(at(3)));
        let head =
            reopened.append(Batch { origin: origin("db", Some(3), 4), ..rows(10..=12) }).await.expect("appended");
        assert_eq!((head, changes(&read_all(&reopened).await)), (log.head(), rows(1..=12).changes));
    }
}

#[tokio::test]
async fn a_batch_of_many_parts_is_there_whole_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path()).expect("the log opens");
    let start = *some_batches(&log, dir.path(), 1).await.last().expect("a length");
    log.append(Batch { origin: origin("db", Some(1), 2), ..rows(4..=20_000) }).await.expect("appended");
    let files = Files::of(dir.path());
    let end = files.length(FIRST);
    assert!(end - start > 5 * (64 << 10), "it has many parts");
    for length in (start..end).step_by(9_973).chain([end - 1]) {
        let cut = files.with(FIRST, |bytes| bytes.truncate(length));
        let reopened = open(cut.path()).expect("a torn end is no damage");
        assert_eq!((reopened.head().offset.0, reopened.place("db")), (3, Some(at(1))), "{length}");
        reopened.append(rows(4..=6)).await.expect("appended");
        assert_eq!(changes(&read_all(&reopened).await), rows(1..=6).changes);
    }
}

#[tokio::test]
async fn no_flipped_bit_goes_unnoticed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path()).expect("the log opens");
    some_batches(&log, dir.path(), 3).await;
    let files = Files::of(dir.path());
    let (mut refused, mut anew) = (0, 0);
    for byte in 0..files.length(FIRST) {
        let damaged = files.with(FIRST, |bytes| bytes[byte] ^= 1 << (byte % 8));
        match open(damaged.path()) {
            Err(OpenError::Damaged(damage)) => {
                refused += 1;
                assert_eq!(damage.file, damaged.path().join(FIRST));
                assert!(damage.at <= byte as u64, "{damage}");
            }
            Err(OpenError::Version { .. }) => refused += 1,
            Err(other) => panic!("byte {byte}: {other}"),
            Ok(reopened) => {
                anew += 1;
                assert!(reopened.head().epoch > log.head().epoch, "byte {byte}");
                assert_eq!(reopened.place("db"), Some(at(2)), "only the last batch can be given up");
            }
        }
    }
    assert!(refused > anew && anew > 0, "{refused} refused, {anew} anew");
}

#[tokio::test]
async fn a_closed_log_that_lost_its_end_begins_a_new_epoch() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path()).expect("the log opens");
    let lengths = some_batches(&log, dir.path(), 3).await;
    let head = log.head();
    drop(log);
    let files = Files::of(dir.path());
    for length in [lengths[1], lengths[1] + 1, lengths[2] - 1] {
        let cut = files.with(FIRST, |bytes| bytes.truncate(length));
        let reopened = open(cut.path()).expect("the log opens");
        assert!(reopened.head().epoch > head.epoch);
        assert_eq!((reopened.head().offset.0, reopened.place("db")), (0, Some(at(2))));
    }
}

#[tokio::test]
async fn a_copy_of_the_log_inside_an_event_is_not_taken_for_the_log() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path()).expect("the log opens");
    some_batches(&log, dir.path(), 3).await;
    let copy = fs::read(dir.path().join(FIRST)).expect("the segment");
    let new = Some(Row::from(vec![Value::Int(1), Value::Bytes(copy.into())]));
    let body = Body::Row(RowChange { table: readings(), op: Op::Insert, old: None, new });
    let change = Change { tx: 1, last: true, time_ms: 1, body };
    log.append(Batch { origin: None, changes: vec![change] }).await.expect("appended");
    let cut = Files::of(dir.path()).with(FIRST, |bytes| bytes.truncate(bytes.len() - 1));
    assert_eq!(open(cut.path()).expect("a torn end is no damage").head(), Position::new(log.head().epoch.0, 9));
}

/// A log of many segments, closed, with damage in one of the first.
async fn with_an_old_segment_damaged() -> (TempDir, Vec<Arc<Event>>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let small = LogSettings { segment_bytes: 300, ..settings() };
    let log = LocalLog::open(dir.path(), small).expect("the log opens");
    for n in 1..=60 {
        log.append(rows(n..=n)).await.expect("appended");
    }
    let events = read_all(&log).await;
    drop(log);
    let path = dir.path().join("0000000003.log");
    let mut bytes = fs::read(&path).expect("the segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("written");
    (dir, events)
}

#[tokio::test]
async fn damage_in_an_old_segment_stops_those_who_read_it_and_says_where() {
    let (dir, events) = with_an_old_segment_damaged().await;
    let log = open(dir.path()).expect("old segments are checked when they are read");
    let mut position = log.oldest();
    let mut readable = 0;
    let error = loop {
        match log.read(position, 1_000, usize::MAX).await {
            Ok(more) => {
                position = more.last().expect("the head is far").position;
                readable += more.len();
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Io(_)));
    let told = error.to_string();
    assert!(told.contains("0000000003.log") && told.contains("at byte") && told.contains("checksum"), "{told}");
    assert!((1..60).contains(&readable));
    let behind = Position::new(log.head().epoch.0, 50);
    assert_eq!(read_after(&log, behind, 100).await, events[50..]);
    log.append(rows(61..=61)).await.expect("appended");
}

#[tokio::test]
async fn a_missing_segment_is_named() {
    let (dir, _) = with_an_old_segment_damaged().await;
    fs::remove_file(dir.path().join("0000000004.log")).expect("removed");
    let refused = open(dir.path()).expect_err("a segment is missing");
    assert!(matches!(&refused, OpenError::Missing { path } if path.ends_with("0000000004.log")), "{refused}");
}

#[tokio::test]
async fn a_meta_that_is_missing_damaged_or_newer_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path()).expect("the log opens");
    some_batches(&log, dir.path(), 1).await;
    drop(log);
    let files = Files::of(dir.path());

    let missing = files.with(FIRST, |_| {});
    fs::remove_file(missing.path().join("meta")).expect("removed");
    assert!(matches!(open(missing.path()), Err(OpenError::Missing { path }) if path.ends_with("meta")));

    let damaged = files.with("meta", |bytes| bytes.truncate(10));
    assert!(matches!(open(damaged.path()), Err(OpenError::Damaged(damage)) if damage.file.ends_with("meta")));

    let newer = files.with("meta", |bytes| *bytes = br#"{"version":99,"what":"comes"}"#.to_vec());
    assert!(matches!(open(newer.path()), Err(OpenError::Version { found: 99, .. })));

    let intact = files.with(FIRST, |_| {});
    assert_eq!(open(intact.path()).expect("the log opens").head().offset.0, 3);
}

#[tokio::test]
async fn a_first_start_that_was_interrupted_is_no_damage() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    drop(open(dir.path()).expect("the log opens"));
    fs::remove_file(dir.path().join(FIRST)).expect("removed");
    fs::write(dir.path().join("0000000001.tmp"), b"half").expect("written");
    let log = open(dir.path()).expect("the log opens");
    log.append(rows(1..=1)).await.expect("appended");
    assert_eq!(log.head().offset.0, 1);
}

#[tokio::test]
async fn an_interrupted_change_of_epoch_is_finished() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path()).expect("the log opens");
    some_batches(&log, dir.path(), 3).await;
    let before = Files::of(dir.path());
    drop(log);
    let other_boot = |bytes: &mut Vec<u8>| {
        let mut meta: serde_json::Value = serde_json::from_slice(bytes).expect("JSON");
        meta["boot"] = "another".into();
        *bytes = meta.to_string().into();
    };
    // Once to the end, which makes the second segment and deletes the first.
    let changed = before.with("meta", other_boot);
    let epoch = open(changed.path()).expect("the log opens").head().epoch;
    let after = Files::of(changed.path());
    // Interrupted before `meta` was written: the second segment is there, and it is done again.
    for (path, bytes) in &after.0 {
        if path.as_os_str() == "0000000002.log" {
            let interrupted = before.with("meta", other_boot);
            fs::write(interrupted.path().join(path), bytes).expect("written");
            let log = open(interrupted.path()).expect("the log opens");
            assert_eq!((log.head().offset.0, log.place("db")), (0, Some(at(3))));
        }
    }
    // Interrupted before the first segment was deleted: it is deleted now.
    for (path, bytes) in &before.0 {
        if path.as_os_str() == FIRST {
            fs::write(changed.path().join(path), bytes).expect("written");
        }
    }
    let log = open(changed.path()).expect("the log opens");
    assert_eq!((log.head(), log.place("db")), (Position::new(epoch.0, 0), Some(at(3))));
    assert!(!changed.path().join(FIRST).exists());
}
