//! What the log on disk promises beyond the contract: reopening, locking, retention, memory.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rowcast::event::{Batch, Body, Event, Position};
use rowcast::log::local::{Durability, LocalLog, LogSettings, OpenError, Retention};
use rowcast::log::{AppendError, Log, ReadError};

use crate::log_events::{at, changes, messages, offsets, origin, read_after, read_all, rows};

const EVERYTHING: Retention = Retention { age: None, events: None, bytes: None };

fn keep(retain: Retention) -> LogSettings {
    LogSettings { retain, ..LogSettings::default() }
}

fn open(dir: &Path, settings: LogSettings) -> LocalLog {
    LocalLog::open(dir, settings).expect("the log opens")
}

fn log_files(dir: &Path) -> usize {
    let names = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "log")).count()
}

/// Leaves the directory as `kill -9` would at this moment.
fn copy(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
    }
    copy
}

/// Makes the log in `dir` look as if the machine had been started again since.
fn restart_machine(dir: &Path) {
    let text = fs::read_to_string(dir.join("meta")).expect("meta");
    let mut meta: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    meta["boot"] = "another".into();
    fs::write(dir.join("meta"), meta.to_string()).expect("written");
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    for durability in [Durability::Process, Durability::Machine] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let settings = LogSettings { durability, segment_bytes: 500, ..keep(EVERYTHING) };
        let (mut head, mut next) = (Position::new(0, 0), 1);
        for round in 1..=5_u64 {
            let log = open(dir.path(), settings.clone());
            assert!(round == 1 || log.head() == head);
            for _ in 0..10 {
                let batch =
                    Batch { origin: origin("db", log.place("db").map(|_| round - 1), round), ..rows(next..=next + 4) };
                next += 5;
                if log.place("db") != Some(at(round)) {
                    log.append(batch).await.expect("appended");
                } else {
                    log.append(Batch { origin: None, ..batch }).await.expect("appended");
                }
            }
            head = log.head();
            assert_eq!(changes(&read_all(&log).await), rows(1..=next - 1).changes);
            assert_eq!(log.place("db"), Some(at(round)));
        }
    }
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path(), LogSettings::default());
    let refused = LocalLog::open(dir.path(), LogSettings::default()).expect_err("it is open");
    assert!(matches!(&refused, OpenError::Locked { dir: told } if told == dir.path()));
    assert!(refused.to_string().contains(&*dir.path().to_string_lossy()));
    drop(log);
    open(dir.path(), LogSettings::default());
}

#[tokio::test]
async fn what_cannot_be_a_directory_is_named() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let refused = LocalLog::open(file.path(), LogSettings::default()).expect_err("it is a file");
    assert!(refused.to_string().contains(&*file.path().to_string_lossy()), "{refused}");
}

#[tokio::test]
async fn a_reader_at_the_head_shares_events_and_needs_no_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path(), LogSettings::default());
    log.append(rows(1..=100)).await.expect("appended");
    // Nothing is left to read from but memory.
    fs::rename(dir.path().join("0000000001.log"), dir.path().join("away")).expect("renamed");
    let (one, two) = (read_all(&log).await, read_all(&log).await);
    assert!(one.iter().zip(&two).all(|(one, two)| Arc::ptr_eq(one, two)));
    fs::rename(dir.path().join("away"), dir.path().join("0000000001.log")).expect("renamed");
}

#[tokio::test]
async fn memory_is_bounded_and_the_rest_comes_from_the_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let settings = LogSettings { window_bytes: 20_000, segment_bytes: 50_000, ..keep(EVERYTHING) };
    let log = open(dir.path(), settings);
    for _ in 0..200 {
        log.append(messages(5, 200)).await.expect("appended");
    }
    let (one, two) = (read_all(&log).await, read_all(&log).await);
    let in_memory = one.iter().zip(&two).filter(|(one, two)| Arc::ptr_eq(one, two)).count();
    assert!((20..100).contains(&in_memory), "{in_memory}");
    assert_eq!(offsets(&read_after(&log, log.oldest(), 33).await), (1..=1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn equal_tables_are_one_in_memory_and_from_the_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let settings = || LogSettings { segment_bytes: 500, ..keep(EVERYTHING) };
    let log = open(dir.path(), settings());
    log.append(rows(1..=50)).await.expect("appended");
    drop(log);
    let log = open(dir.path(), settings());
    log.append(rows(51..=60)).await.expect("appended");
    let events = read_all(&log).await;
    let table = |event: &Arc<Event>| match &event.change.body {
        Body::Row(row) => Arc::clone(&row.table),
        other => panic!("{other:?}"),
    };
    assert_eq!(events.len(), 60);
    assert!(events.iter().all(|event| Arc::ptr_eq(&table(event), &table(&events[0]))));
}

#[tokio::test]
async fn a_batch_of_many_parts_is_read_from_anywhere() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path(), LogSettings { window_bytes: 0, ..keep(EVERYTHING) });
    log.append(rows(1..=50_000)).await.expect("appended");
    let epoch = log.head().epoch.0;
    for offset in [0, 1, 777, 25_000, 49_998, 49_999] {
        let events = log.read(Position::new(epoch, offset), 2, usize::MAX).await.expect("in the log");
        assert_eq!(events[0].position.offset.0, offset + 1);
        assert_eq!(changes(&events[..1])[0], rows(1..=50_000).changes[offset as usize]);
    }
}

#[tokio::test]
async fn one_event_may_be_large() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path(), keep(EVERYTHING));
    log.append(messages(1, 64 << 20)).await.expect("appended");
    log.append(rows(1..=1)).await.expect("appended");
    drop(log);
    let log = open(dir.path(), keep(EVERYTHING));
    let events = log.read(log.oldest(), 10, 1).await.expect("in the log");
    let Body::Message(message) = &events[0].change.body else { panic!("a message") };
    assert_eq!((events.len(), message.json.len()), (1, (64 << 20) + 2));
}

#[tokio::test]
async fn bytes_bound_the_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path(), keep(Retention { bytes: Some(80_000), ..EVERYTHING }));
    for _ in 0..1_000 {
        log.append(messages(1, 500)).await.expect("appended");
        assert!(log.status().bytes <= 80_000);
    }
    assert!(log.status().bytes > 60_000);
    let on_disk: u64 = fs::read_dir(dir.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").metadata().expect("its size").len())
        .sum();
    assert!(on_disk < 81_000, "{on_disk}");
    assert_eq!(read_all(&log).await.len() as u64, log.status().events);
    let (oldest, status) = (log.oldest(), log.status());
    drop(log);
    let log = open(dir.path(), keep(Retention { bytes: Some(80_000), ..EVERYTHING }));
    assert_eq!((log.oldest(), log.status()), (oldest, status));
}

#[tokio::test]
async fn age_deletes_from_a_log_to_which_nothing_is_appended() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path(), keep(EVERYTHING));
    log.append(Batch { origin: origin("db", None, 7), ..rows(1..=10) }).await.expect("appended");
    drop(log);
    let log = open(dir.path(), keep(Retention { age: Some(Duration::from_millis(1)), ..EVERYTHING }));
    // The clock is part of the promise: nothing but time makes an event old.
    while log.status().events > 0 {
        log.maintain().expect("maintained");
        tokio::task::yield_now().await;
    }
    assert_eq!((log.head().offset.0, log.oldest().offset.0, log.place("db")), (10, 10, Some(at(7))));
    assert!(matches!(log.read(Position::new(log.head().epoch.0, 9), 1, 1).await, Err(ReadError::Gap { .. })));
    log.append(rows(11..=11)).await.expect("appended");
    assert_eq!(log.head().offset.0, 11);
}

#[tokio::test]
async fn places_are_there_after_their_segment_is_gone_and_the_log_is_reopened() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let settings = || keep(Retention { events: Some(2), ..EVERYTHING });
    let log = open(dir.path(), settings());
    log.append(Batch { origin: origin("quiet", None, 7), ..rows(0..=0) }).await.expect("appended");
    for n in 1..=20 {
        log.append(rows(n..=n)).await.expect("appended");
    }
    drop(log);
    let log = open(dir.path(), settings());
    assert_eq!((log.place("quiet"), log.oldest().offset.0), (Some(at(7)), 19));
    assert!(log_files(dir.path()) < 6);
}

#[tokio::test]
async fn idle_places_do_not_fill_the_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path(), LogSettings { segment_bytes: 2_000, ..keep(EVERYTHING) });
    for n in 0..1_000 {
        let after = (n > 0).then_some(n);
        log.append(Batch { origin: origin("db", after, n + 1), changes: Vec::new() }).await.expect("appended");
    }
    assert_eq!(log_files(dir.path()), 1);
    assert!(log.status().bytes < 3_000, "{}", log.status().bytes);
    log.append(Batch { origin: origin("db", Some(1_000), 1_001), ..rows(1..=1) }).await.expect("appended");
    let head = log.head();
    drop(log);
    let log = open(dir.path(), LogSettings::default());
    assert_eq!((log.head(), log.place("db")), (head, Some(at(1_001))));
}

#[tokio::test]
async fn a_process_that_is_killed_keeps_the_epoch() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path(), keep(EVERYTHING));
    log.append(rows(1..=3)).await.expect("appended");
    let killed = copy(dir.path());
    let reopened = open(killed.path(), keep(EVERYTHING));
    assert_eq!(reopened.head(), log.head());
    assert_eq!(changes(&read_all(&reopened).await), rows(1..=3).changes);
}

#[tokio::test]
async fn a_machine_that_stops_begins_a_new_epoch_and_keeps_places() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path(), keep(EVERYTHING));
    log.append(Batch { origin: origin("db", None, 7), ..rows(1..=3) }).await.expect("appended");
    let stopped = copy(dir.path());
    restart_machine(stopped.path());
    let reopened = open(stopped.path(), keep(EVERYTHING));
    assert!(reopened.head().epoch > log.head().epoch);
    assert_eq!((reopened.head().offset.0, reopened.place("db")), (0, Some(at(7))));
    assert!(matches!(reopened.read(log.head(), 1, 1).await, Err(ReadError::Gap { .. })));
    assert_eq!(log_files(stopped.path()), 1);
    reopened.append(Batch { origin: origin("db", Some(7), 8), ..rows(4..=4) }).await.expect("appended");
    assert_eq!(reopened.head().offset.0, 1);
}

#[tokio::test]
async fn a_log_that_was_closed_or_synced_keeps_its_epoch_when_the_machine_stops() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path(), keep(EVERYTHING));
    log.append(rows(1..=3)).await.expect("appended");
    let head = log.head();
    drop(log);
    restart_machine(dir.path());
    let settings = LogSettings { durability: Durability::Machine, ..keep(EVERYTHING) };
    let log = open(dir.path(), settings.clone());
    assert_eq!(log.head(), head);
    let head = log.append(rows(4..=4)).await.expect("appended");
    let stopped = copy(dir.path());
    restart_machine(stopped.path());
    assert_eq!(open(stopped.path(), settings).head(), head);
}

#[tokio::test]
async fn a_flush_covers_what_was_appended_before_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = open(dir.path(), LogSettings { segment_bytes: 300, ..keep(EVERYTHING) });
    for n in 1..=50 {
        log.append(rows(n..=n)).await.expect("appended");
        if n % 7 == 0 {
            log.flush().await.expect("flushed");
        }
    }
    log.flush().await.expect("flushed");
    log.flush().await.expect("nothing is left to flush");
}

#[tokio::test]
async fn retention_and_readers_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let retain = Retention { events: Some(64), ..EVERYTHING };
    let log = Arc::new(open(dir.path(), LogSettings { window_bytes: 0, ..keep(retain) }));
    let reader = Arc::clone(&log);
    let read = tokio::spawn(async move {
        let (mut gaps, mut position) = (0, reader.oldest());
        while position.offset.0 < 2_000 {
            match reader.read(position, 10, usize::MAX).await {
                Ok(events) => position = events.last().map_or(position, |last| last.position),
                Err(ReadError::Gap { oldest, .. }) => (gaps, position) = (gaps + 1, oldest),
                Err(ReadError::Io(error)) => panic!("{error}"),
            }
            tokio::task::yield_now().await;
        }
        gaps
    });
    for n in 1..=2_000 {
        log.append(rows(n..=n)).await.expect("appended");
        tokio::task::yield_now().await;
    }
    read.await.expect("the reader arrives at the head");
}

#[tokio::test]
async fn one_of_many_that_read_the_same_source_wins() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = Arc::new(open(dir.path(), keep(EVERYTHING)));
    let rivals: Vec<_> = (1..=20)
        .map(|n| {
            let log = Arc::clone(&log);
            tokio::spawn(
                async move { log.append(Batch { origin: origin("db", None, n), ..messages(3, 100_000) }).await },
            )
        })
        .collect();
    let mut won = 0;
    for rival in rivals {
        match rival.await.expect("it ends") {
            Ok(_) => won += 1,
            Err(AppendError::Moved { at: Some(_) }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((won, log.head().offset.0), (1, 3));
}

#[tokio::test]
async fn other_files_in_the_directory_are_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let names = ["2024.log", "server.log", "notes.tmp", "demo.db"];
    names.iter().for_each(|name| fs::write(dir.path().join(name), name).expect("written"));
    let log = open(dir.path(), keep(Retention { events: Some(1), ..EVERYTHING }));
    for n in 1..=5 {
        log.append(rows(n..=n)).await.expect("appended");
    }
    drop(log);
    assert_eq!(open(dir.path(), keep(EVERYTHING)).head().offset.0, 5);
    assert!(names.iter().all(|name| fs::read(dir.path().join(name)).is_ok_and(|text| text == name.as_bytes())));
}
