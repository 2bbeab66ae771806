//! The log in a process that is killed, and on a disk that is full: a test starts this program again to be the victim of itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rand::RngExt;
use rowcast::event::{Batch, Change, Event};
use rowcast::log::local::{LocalLog, LogSettings, Retention};
use rowcast::log::{AppendError, Log};

use crate::log_events::{at, messages, offsets, origin, read_all, readings, row};

const DIR: &str = "ROWCAST_TEST_LOG_DIR";

fn open(dir: &Path) -> LocalLog {
    let retain = Retention { age: None, events: None, bytes: None };
    let settings = LogSettings { segment_bytes: 200_000, retain, ..LogSettings::default() };
    LocalLog::open(dir, settings).expect("the log opens")
}

/// The changes of the batch that moves the source to `n`. Now and then they are too many for one record.
fn batch_of(n: u64) -> Vec<Change> {
    let table = readings();
    let count = if n.is_multiple_of(50) { 2_000 } else { 1 + n * 7_919 % 40 };
    (1..=count).map(|nth| Change { tx: n, last: nth == count, ..row(&table, nth.cast_signed()) }).collect()
}

fn batches_of(events: &[Arc<Event>]) -> Vec<Vec<Change>> {
    let same = events.chunk_by(|one, two| one.change.tx == two.change.tx);
    same.map(|events| events.iter().map(|event| event.change.clone()).collect()).collect()
}

/// The same test in a process of its own, which finds the log's folder in its environment and knows by it that it is the victim.
fn victim(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "--nocapture", test]).env(DIR, dir);
    command
}

async fn append_until_killed(dir: &Path) {
    let log = open(dir);
    let mut n = log.place("db").map_or(0, |place| place.0.parse::<u64>().expect("a number"));
    loop {
        let origin = origin("db", (n > 0).then_some(n), n + 1);
        n += 1;
        let head = log.append(Batch { origin, changes: batch_of(n) }).await.expect("appended");
        writeln!(std::io::stdout(), "acknowledged {n} {head}").expect("the parent listens");
    }
}

/// Runs the victim until it has acknowledged some batches, kills it, and returns the last one that it acknowledged.
fn kill_after(dir: &Path, lines: usize) -> Option<(u64, String)> {
    let mut child = victim("log_crash::nothing_acknowledged_is_lost_when_the_process_is_killed", dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut text = String::new();
    while text.matches("acknowledged").count() < lines && output.read_line(&mut text).expect("text") > 0 {}
    child.kill().expect("killed");
    output.read_to_string(&mut text).expect("text");
    child.wait().expect("it is dead");
    let whole_lines = &text[..=text.rfind('\n').expect("a line")];
    let acknowledged = whole_lines.lines().rfind(|line| line.starts_with("acknowledged"))?;
    let mut words = acknowledged.split(' ').skip(1);
    let n = words.next()?.parse().expect("a number");
    Some((n, words.next()?.to_owned()))
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    if let Some(dir) = std::env::var_os(DIR) {
        return append_until_killed(dir.as_ref()).await;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut epoch = None;
    for round in 0..25 {
        let lines = rand::rng().random_range(1..150);
        let (n, head) = kill_after(dir.path(), lines).expect("a batch was acknowledged");
        let log = open(dir.path());
        let (epoch_told, offset) = head.split_once('-').expect("a position");
        let offset: u64 = offset.parse().expect("a number");
        assert_eq!(epoch.get_or_insert(epoch_told.to_owned()), epoch_told, "round {round}");
        assert_eq!(log.head().epoch.0.to_string(), epoch_told);
        assert!(log.head().offset.0 >= offset, "round {round}: {} < {offset}", log.head());

        let events = read_all(&log).await;
        assert_eq!(offsets(&events), (1..=log.head().offset.0).collect::<Vec<_>>());
        let batches = batches_of(&events);
        assert!(batches.len() as u64 >= n);
        assert_eq!(log.place("db"), Some(at(batches.len() as u64)));
        assert!((1..).zip(&batches).all(|(n, batch)| *batch == batch_of(n)), "round {round}");
    }
}

async fn append_beyond_what_a_file_may_have(dir: &Path) {
    let log = open(dir);
    let mut refused = 0;
    while refused < 5 {
        let before = (log.head(), log.status().bytes);
        match log.append(messages(3, 1_000)).await {
            Ok(head) => assert_eq!(head.offset.0, before.0.offset.0 + 3),
            Err(AppendError::Io(_)) => {
                refused += 1;
                assert_eq!((log.head(), log.status().bytes), before);
                let on_disk = dir.join("0000000001.log").metadata().expect("the segment").len();
                assert_eq!(on_disk, log.status().bytes, "what was written of the batch is gone");
            }
            Err(other) => panic!("{other}"),
        }
    }
    let before = log.head().offset.0;
    assert!(before > 3);
    let pid = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(raised.expect("prlimit, of util-linux").success(), "the limit is raised");
    log.append(messages(3, 1_000)).await.expect("there is space again");
    assert_eq!(log.head().offset.0, before + 3);
    assert_eq!(offsets(&read_all(&log).await), (1..=log.head().offset.0).collect::<Vec<_>>());
    let head = log.head();
    drop(log);
    assert_eq!(open(dir).head(), head);
}

/// A limit on the size of files stands for the full disk: it needs no right to mount one.
#[tokio::test]
async fn a_full_disk_refuses_batches_and_harms_none() {
    if let Some(dir) = std::env::var_os(DIR) {
        return append_beyond_what_a_file_may_have(dir.as_ref()).await;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let inner = victim("log_crash::a_full_disk_refuses_batches_and_harms_none", dir.path());
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 60; exec \"$0\" \"$@\""]).arg(inner.get_program());
    let output = limited.args(inner.get_args()).env(DIR, dir.path()).output().expect("started");
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}
