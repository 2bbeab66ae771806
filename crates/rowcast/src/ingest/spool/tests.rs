use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::ingest::decode::{Decoder, Field, Fields, Format};

fn record(n: u64) -> Record {
    let fields = Fields(vec![("n".into(), Field::Number(n.to_string().into()))]);
    Record { line: n, raw: format!("{{\"n\":{n}}}").into(), place: None, fields: Ok(fields) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn open(folder: &TempDir) -> Spool {
    Spool::open(folder.path(), SpoolSettings { bytes: 1 << 20, ..SpoolSettings::default() }).expect("a spool")
}

/// Everything that can be fetched: the lives, and the lines.
async fn drain(spool: &Spool) -> Vec<(Arc<str>, u64, u64)> {
    spool.close();
    let mut all = Vec::new();
    while let Some(Part { life, first, records }) = spool.fetch().await {
        all.extend((first..).zip(records).map(|(number, record)| (life.clone(), number, record.line)));
    }
    all
}

fn lines(fetched: &[(Arc<str>, u64, u64)]) -> Vec<u64> {
    fetched.iter().map(|(_, _, line)| *line).collect()
}

#[tokio::test]
async fn what_was_taken_is_there_after_a_restart_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut decoded = Vec::new();
    let mut decoder = Decoder::new(Format::Ndjson, None).keep_raw(100);
    decoder
        .feed(b"{\"a\":null,\"b\":[1],\"c\":\"\\u00fc\",\"d\":true,\"e\":1.50,\"f\":false}\nrubbish\n", &mut decoded);
    let spool = open(&folder);
    spool.take(decoded.clone(), Some("place 1")).await.expect("taken");
    spool.take(vec![], Some("place 2")).await.expect("taken");
    drop(spool);
    let spool = open(&folder);
    assert_eq!(spool.resume().as_deref(), Some("place 2"));
    assert_eq!(spool.status().records, 2);
    let part = spool.fetch().await.expect("a part");
    assert_eq!((part.first, &part.records[0]), (1, &decoded[0]));
    let (read, said) = (&part.records[1], &decoded[1]);
    assert_eq!((read.line, &read.raw), (said.line, &said.raw));
    assert_eq!(read.fields.as_ref().map_err(ToString::to_string), said.fields.as_ref().map_err(ToString::to_string));
}

#[tokio::test]
async fn a_full_spool_holds_its_source_back_and_keeps_the_oldest() {
    let settings = SpoolSettings { bytes: 1_000, ..SpoolSettings::default() };
    let folder = tempfile::tempdir().expect("a folder");
    for spool in [Spool::memory(settings), Spool::open(folder.path(), settings).expect("a spool")] {
        let mut taken = 0;
        while tokio::time::timeout(Duration::from_millis(200), spool.take(vec![record(taken)], None)).await.is_ok() {
            taken += 1;
        }
        let status = spool.status();
        assert!(status.full && status.bytes <= 1_000 && taken > 3, "{status:?}");
        assert!(status.oldest_ms.is_some());
        let first = spool.fetch().await.expect("a part");
        assert_eq!(first.records[0].line, 0);
        let waiting = tokio::spawn({
            let spool = spool.clone();
            async move { spool.take(vec![record(99)], None).await }
        });
        spool.forget(&first.life, first.first);
        assert_eq!(waiting.await.expect("no panic"), Ok(()));
        assert!(!spool.status().full);
    }
}

#[tokio::test]
async fn a_record_that_is_larger_than_the_spool_is_taken_alone() {
    let spool = Spool::memory(SpoolSettings { bytes: 10, ..SpoolSettings::default() });
    assert_eq!(spool.take(vec![record(1)], None).await, Ok(()));
    let second = tokio::time::timeout(Duration::from_millis(50), spool.take(vec![record(2)], None)).await;
    assert!(second.is_err(), "it waits");
    spool.close();
    assert_eq!(spool.take(vec![record(3)], None).await, Err(Closed));
}

#[tokio::test]
async fn more_than_fits_into_memory_is_read_back_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = Spool::open(folder.path(), SpoolSettings::default()).expect("a spool");
    // As if there was room in memory for a few records only.
    let Shared { settings, writer, .. } = Arc::into_inner(spool.0).expect("ours");
    let writer = writer.expect("on disk");
    let state = {
        let mut state = State::new(new_life());
        *writer.lock().await = Writer::open(folder.path(), settings, &mut state).expect("a file");
        state
    };
    let spool = Spool::new(settings, 2_000, state, Some(writer));
    for n in 0..500 {
        spool.take(vec![record(2 * n), record(2 * n + 1)], None).await.expect("taken");
    }
    assert!(spool.0.state.lock().memory <= 2_000);
    assert_eq!(lines(&drain(&spool).await), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn files_whose_records_stand_are_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let spool = open(&folder);
    let files = || std::fs::read_dir(folder.path()).expect("a folder").count();
    for n in 0..5_000 {
        spool.take(vec![record(n)], None).await.expect("taken");
    }
    assert!(files() > 2, "{}", files());
    let fetched = drain(&spool).await;
    let (life, last, _) = fetched.last().expect("records");
    spool.forget(life, *last);
    while files() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(spool.status(), SpoolStatus { bytes_max: 1 << 20, ..SpoolStatus::default() });
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_the_others_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    for n in 0..2 {
        open(&folder).take(vec![record(2 * n), record(2 * n + 1)], None).await.expect("taken");
    }
    let mut files: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").map(|f| f.expect("a file").path()).collect();
    files.sort();
    let mut bytes = std::fs::read(&files[0]).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&files[0], bytes).expect("written");
    let spool = open(&folder);
    assert_eq!(lines(&drain(&spool).await), [2, 3]);
    assert!(files[0].with_extension("damaged").is_file());
}

#[derive(Debug, Clone)]
enum Step {
    Take(u8),
    /// The process ends; the last write was cut off so many bytes before its end, or not at all.
    Crash(Option<u8>),
    /// The database has so many more of what was fetched.
    Stand(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..20u8).prop_map(Step::Take),
        1 => proptest::option::of(1..80u8).prop_map(Step::Crash),
        2 => (0..40u8).prop_map(Step::Stand),
    ];
    proptest::collection::vec(step, 1..40)
}

/// A database that remembers how far it has the records, and a spool in front of it that crashes.
struct World {
    folder: TempDir,
    spool: Spool,
    taken: u64,
    /// Which of the records were taken when no torn write followed.
    safe: Vec<u64>,
    places: Vec<String>,
    stands: Vec<u64>,
    at: Option<(Arc<str>, u64)>,
    fetched: Vec<(Arc<str>, u64, u64)>,
}

impl World {
    async fn step(&mut self, step: &Step) {
        match step {
            Step::Take(count) => {
                let records: Vec<Record> = (0..u64::from(*count)).map(|n| record(self.taken + n)).collect();
                self.safe.extend(self.taken..self.taken + u64::from(*count));
                self.taken += u64::from(*count);
                let place = self.taken.to_string();
                self.spool.take(records, Some(&place)).await.expect("taken");
                self.places.push(place);
            }
            Step::Stand(count) => {
                for _ in 0..*count {
                    if self.fetched.is_empty() && !self.fetch().await {
                        return;
                    }
                    let (life, number, line) = self.fetched.remove(0);
                    self.stands.push(line);
                    self.spool.forget(&life, number);
                    self.at = Some((life, number));
                }
            }
            Step::Crash(cut) => {
                let torn = cut.is_some_and(|cut| self.tear(u64::from(cut)));
                self.fetched.clear();
                self.spool = open(&self.folder);
                if let Some((life, upto)) = &self.at
                    && !self.spool.forget(life, *upto)
                {
                    self.at = None;
                }
                if torn {
                    self.places.pop();
                }
                assert_eq!(self.spool.resume().as_ref(), self.places.last());
            }
        }
    }

    async fn fetch(&mut self) -> bool {
        if !self.spool.0.state.lock().has_unread() {
            return false;
        }
        let Some(Part { life, first, records }) = self.spool.fetch().await else { return false };
        let stands = self.at.as_ref().filter(|(known, _)| *known == life).map_or(0, |(_, upto)| *upto);
        let new = (first..).zip(records).filter(|(number, _)| *number > stands);
        self.fetched.extend(new.map(|(number, record)| (life.clone(), number, record.line)));
        !self.fetched.is_empty()
    }

    /// Cuts the newest file, as an end inside of the last write does: what was taken with it was never said to be safe.
    fn tear(&mut self, cut: u64) -> bool {
        let (length, path) = {
            let state = self.spool.0.state.lock();
            let writer = self.spool.0.writer.as_ref().expect("on disk").try_lock().expect("nobody writes");
            let Some(last) = writer.last_frame() else { return false };
            (last, state.segments.back().expect("a file").path.clone())
        };
        let (at, end, first, count) = length;
        // Only the last write can be torn; and what stands was whole.
        let stands = self
            .at
            .as_ref()
            .is_some_and(|(life, upto)| **life == *self.spool.0.state.lock().life().clone() && *upto >= first);
        if stands || cut >= end - at || count == 0 {
            return false;
        }
        std::fs::File::options().write(true).open(path).expect("a file").set_len(end - cut).expect("cut");
        let kept = self.safe.len() - count as usize;
        self.safe.truncate(kept);
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_record_that_was_safe_stands_once_in_order(steps in steps()) {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = runtime();
        let (stands, safe) = runtime.block_on(async move {
            let spool = open(&folder);
            let mut world =
                World { folder, spool, taken: 0, safe: vec![], places: vec![], stands: vec![], at: None, fetched: vec![] };
            for step in &steps {
                world.step(step).await;
            }
            world.step(&Step::Crash(None)).await;
            while world.spool.0.state.lock().has_unread() {
                world.fetch().await;
                for (_, _, line) in std::mem::take(&mut world.fetched) {
                    world.stands.push(line);
                }
            }
            (world.stands, world.safe)
        });
        prop_assert_eq!(stands, safe);
    }
}
