//! Appending, reading and reopening: the log's own files beside embedded databases, in one run.
//!
//! Every engine keeps the same events of about 200 bytes and, in the same transaction, the place of their source. The databases
//! are given bytes that are encoded already and give bytes back; the log encodes and decodes whole events within its times.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::log_engines::{Engine, Kind, Load};

/// What to measure, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A smoke run: few events, numbers that mean little. Set by the flag that all benches share.
    #[arg(skip)]
    quick: bool,
    /// How many events are appended, in batches of 1,000.
    #[arg(long, default_value_t = EVENTS)]
    events: u64,
    /// How often everything is measured; the table shows medians.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: usize,
    /// Where the files are made; on the disk that is to be measured.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Events appended unless another number is asked for.
const EVENTS: u64 = 1_000_000;
const ROUNDS: usize = 3;

impl Args {
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick, events: EVENTS, rounds: ROUNDS, dir: None }
    }

    pub(crate) fn quick(self, quick: bool) -> Self {
        Self { quick, ..self }
    }
}

/// How much is done of each.
struct Amount {
    /// Batches of 1,000 that need not survive the machine.
    batches: u64,
    /// Batches of 1,000 that must.
    synced_batches: u64,
    singles: u64,
    rounds: usize,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    append_per_s: f64,
    visible_us: f64,
    visible_p99_us: f64,
    read_per_s: f64,
    bytes_per_event: f64,
    reopen_ms: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let amount = if args.quick {
        Amount { batches: 20, synced_batches: 5, singles: 50, rounds: 1 }
    } else {
        let batches = args.events.div_ceil(1_000).max(1);
        Amount { batches, synced_batches: 200, singles: 2_000, rounds: args.rounds.max(1) }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("{}", machine());
    for synced in [false, true] {
        let batches = if synced { amount.synced_batches } else { amount.batches };
        println!("\n{}: {batches} batches of 1,000 events, then {} single ones\n", title(synced), amount.singles);
        let kinds = Kind::ALL.iter().filter(|kind| kind.survives_machine() == synced);
        let mut measured: Vec<_> = kinds.map(|kind| (*kind, Vec::new())).collect();
        // Round by round, so that what else the machine does meanwhile meets all of them.
        for _ in 0..amount.rounds {
            for (kind, rounds) in &mut measured {
                rounds.push(measure(&runtime, *kind, args.dir.as_deref(), batches, amount.singles)?);
            }
        }
        print_table(&measured.into_iter().map(|(kind, rounds)| (kind, Measured::median(&rounds))).collect::<Vec<_>>());
    }
    Ok(())
}

impl Measured {
    /// Of each figure on its own.
    fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| {
            let mut figures: Vec<_> = rounds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        Self {
            append_per_s: of(|it| it.append_per_s),
            visible_us: of(|it| it.visible_us),
            visible_p99_us: of(|it| it.visible_p99_us),
            read_per_s: of(|it| it.read_per_s),
            bytes_per_event: of(|it| it.bytes_per_event),
            reopen_ms: of(|it| it.reopen_ms),
        }
    }
}

fn title(synced: bool) -> &'static str {
    if synced { "Survives the machine (each commit on the disk)" } else { "Survives the process (kill -9)" }
}

fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model.trim_start_matches([' ', '\t', ':']))
}

fn measure(runtime: &Runtime, kind: Kind, dir: Option<&Path>, batches: u64, singles: u64) -> anyhow::Result<Measured> {
    let dir = dir.map_or_else(tempfile::tempdir, tempfile::tempdir_in)?;
    let mut first = 1;
    let engine = kind.open(dir.path())?;
    let appended = runtime.block_on(append(&*engine, &mut first, batches))?;
    drop(engine);
    let bytes = size_of(dir.path())?;

    let began = Instant::now();
    let engine = kind.open(dir.path())?;
    anyhow::ensure!(engine.head()? == first - 1, "{kind:?} lost events");
    let reopen = began.elapsed();
    let read = runtime.block_on(read_all(&*engine, first - 1))?;
    let mut visible = runtime.block_on(append_singles(Arc::from(engine), &mut first, singles))?;
    visible.sort_unstable();
    let events = (batches * 1_000) as f64;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    Ok(Measured {
        append_per_s: events / appended.as_secs_f64(),
        visible_us: us(visible[visible.len() / 2]),
        visible_p99_us: us(visible[visible.len() * 99 / 100]),
        read_per_s: events / read.as_secs_f64(),
        bytes_per_event: bytes as f64 / events,
        reopen_ms: us(reopen) / 1e3,
    })
}

/// The time spent in appending alone.
async fn append(engine: &dyn Engine, first: &mut u64, batches: u64) -> anyhow::Result<Duration> {
    let mut spent = Duration::ZERO;
    for _ in 0..batches {
        let load = Load::new(*first, 1_000);
        *first += 1_000;
        let began = Instant::now();
        engine.append(load).await?;
        spent += began.elapsed();
    }
    Ok(spent)
}

async fn read_all(engine: &dyn Engine, events: u64) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut after = 0;
    while after < events {
        let count = engine.read(after, 1_000).await?;
        anyhow::ensure!(count > 0, "the log ends at {after}");
        after += count;
    }
    Ok(began.elapsed())
}

/// For each of `count` single events the time from append until a waiting task has read it.
async fn append_singles(engine: Arc<dyn Engine>, first: &mut u64, count: u64) -> anyhow::Result<Vec<Duration>> {
    let (announce, watch) = watch::channel(0);
    let (tell, mut told) = mpsc::channel(1);
    let reader = tokio::spawn(follow(Arc::clone(&engine), watch, *first - 1, tell));
    let mut times = Vec::new();
    for _ in 0..count {
        let load = Load::new(*first, 1);
        *first += 1;
        let began = Instant::now();
        engine.append(load).await?;
        if !engine.announces() {
            announce.send_replace(*first);
        }
        let seen: Instant = told.recv().await.expect("the reader follows");
        times.push(seen - began);
    }
    reader.abort();
    Ok(times)
}

async fn follow(engine: Arc<dyn Engine>, announced: watch::Receiver<u64>, mut after: u64, tell: mpsc::Sender<Instant>) {
    let mut watch = engine.watch().unwrap_or(announced);
    loop {
        watch.borrow_and_update();
        match engine.read(after, 10).await {
            // The writer is done when it no longer announces or listens.
            Ok(0) if watch.changed().await.is_err() => return,
            Ok(0) => {}
            Ok(count) => {
                after += count;
                if tell.send(Instant::now()).await.is_err() {
                    return;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn size_of(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

/// The first one is what the others are compared with: ×2 is twice as good.
fn print_table(measured: &[(Kind, Measured)]) {
    let (_, ours) = &measured[0];
    println!("| Engine | append, events/s | visible, median (p99) | read, events/s | bytes/event | reopen |");
    println!("|---|---|---|---|---|---|");
    for (kind, this) in measured {
        println!(
            "| {} | {:.0} (×{:.2}) | {:.0} µs ({:.0}) (×{:.2}) | {:.0} (×{:.2}) | {:.0} (×{:.2}) | {:.1} ms (×{:.2}) |",
            kind.name(),
            this.append_per_s,
            this.append_per_s / ours.append_per_s,
            this.visible_us,
            this.visible_p99_us,
            ours.visible_us / this.visible_us,
            this.read_per_s,
            this.read_per_s / ours.read_per_s,
            this.bytes_per_event,
            ours.bytes_per_event / this.bytes_per_event,
            this.reopen_ms,
            ours.reopen_ms / this.reopen_ms,
        );
    }
}
