//! What the table in `docs/performance.md` is made with. `make bench` runs all of it.

mod capture;
mod fanout;
mod filter;
mod gateway;
mod idle;
mod load;
mod log;
mod log_engines;
mod matching;
mod npm;
mod peers;
mod postgres;
mod process;
mod series;
mod subscribe;
mod table;
mod ticks;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

// The allocator of the binary `rowcast`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Rowcast against floors and peers in the same run. All traffic stays on 127.0.0.1.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// Small numbers: shows in seconds that everything runs, and measures nothing.
    #[arg(long, global = true)]
    quick: bool,
    /// The binary `rowcast` to measure, instead of the library's gateway in a process of its own.
    #[arg(long, global = true)]
    binary: Option<PathBuf>,
    /// Fan-out: measure `ws` and `socket.io` of npm, too (installs them into a temporary folder).
    #[arg(long, global = true)]
    npm: bool,
}

#[derive(Subcommand)]
enum Bench {
    /// Every one of them.
    All,
    /// The log's engine beside embedded databases.
    Log(log::Args),
    /// Evaluating filters, and finding those that a change concerns.
    Filter,
    /// One change to many clients: processor time for each delivery, and delay.
    Fanout {
        /// Only with so many clients.
        #[arg(long)]
        clients: Option<usize>,
    },
    /// Memory for each idle connection.
    Idle,
    /// Subscribing with a snapshot, and resuming.
    Subscribe,
    /// From a commit in SQLite to the log and to a client; what triggers cost; a chart's history.
    Capture,
    /// PostgreSQL: its write-ahead log, its delays, a very large transaction, NOTIFY.
    Postgres,
    /// A chart's history over large tables (part of `capture`).
    Series,
    /// One of the servers that are measured; stops when its standard input ends.
    #[command(hide = true)]
    Serve { kind: String, folder: Option<PathBuf> },
}

/// How much to do.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    quick: bool,
    binary: Option<PathBuf>,
    npm: bool,
}

impl Scale {
    /// `full`, or `quick` in a smoke run.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn main() -> Result<()> {
    let Arguments { bench, quick, binary, npm } = Arguments::parse();
    let scale = Scale { quick, binary, npm };
    match bench {
        Bench::All => {
            log::run(&log::Args::new(scale.quick))?;
            filter::run(&scale)?;
            matching::run(&scale)?;
            fanout::run(&scale, None)?;
            idle::run(&scale)?;
            subscribe::run(&scale)?;
            capture::run(&scale)?;
            postgres::run(&scale)?;
            series::run(&scale)
        }
        Bench::Log(args) => log::run(&args.quick(scale.quick)),
        Bench::Filter => filter::run(&scale).and_then(|()| matching::run(&scale)),
        Bench::Fanout { clients } => fanout::run(&scale, clients),
        Bench::Idle => idle::run(&scale),
        Bench::Subscribe => subscribe::run(&scale),
        Bench::Capture => capture::run(&scale).and_then(|()| series::run(&scale)),
        Bench::Postgres => postgres::run(&scale),
        Bench::Series => series::run(&scale),
        Bench::Serve { kind, folder } => serve(&kind, folder),
    }
}

fn serve(kind: &str, folder: Option<PathBuf>) -> Result<()> {
    // Whoever started it holds the other end.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Runtime::new()?;
    match (kind, folder) {
        ("rowcast", Some(folder)) => runtime.block_on(gateway::serve(&folder)),
        (kind, _) => runtime.block_on(peers::serve(kind)),
    }
}
