//! What the tables in `docs/performance.md` are made with, other than that of delivery, which `rowcast bench` makes.

mod capture;
mod chat;
mod existence;
mod filter;
mod gateway;
mod ingest;
mod load;
mod log;
mod log_engines;
mod matching;
mod mysql;
mod policies;
mod postgres;
mod presence;
mod process;
mod rules;
mod series;
mod subscribe;
#[path = "../../crates/rowcast-server/src/bench/table.rs"]
mod table;
mod ticks;
mod tokens;
#[path = "../../crates/rowcast-server/src/bench/usage.rs"]
mod usage;

use std::path::{Path, PathBuf};

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
}

#[derive(Subcommand)]
enum Bench {
    /// Every one of them.
    All,
    /// The log's engine beside embedded databases.
    Log(log::Args),
    /// Whether the time of a refusal tells what is there.
    Existence,
    /// Evaluating filters, and finding those that a change concerns.
    Filter,
    /// Subscribing with a snapshot, and resuming.
    Subscribe,
    /// From a commit in SQLite to the log and to a client; what triggers cost; a chart's history.
    Capture,
    /// PostgreSQL: its write-ahead log, its delays, a very large transaction, NOTIFY.
    Postgres,
    /// MySQL and MariaDB: their binlog, their delays.
    Mysql,
    /// Rows in, by HTTP and from a stream: each database's bulk path, a Node back end, delays.
    Ingest,
    /// A thousand people who talk in pairs and in rooms of a hundred, beside a chat on npm's socket.io and PostgreSQL.
    Chat(chat::Args),
    /// Ten thousand users present on one channel.
    Presence,
    /// Rules: changes among many users, and subscribing.
    Rules,
    /// Row-level security: changes among many users, beside the same rule in Rowcast's words.
    Policies,
    /// A chart's history over large tables (part of `capture`).
    Series,
    /// Verifying tokens, the first time and again.
    Tokens,
    /// One of the servers that are measured; stops when its standard input ends.
    #[command(hide = true)]
    Serve { kind: String, folder: PathBuf },
}

/// How much to do.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    quick: bool,
    binary: Option<PathBuf>,
}

impl Scale {
    /// `full`, or `quick` in a smoke run.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn main() -> Result<()> {
    // Before anything makes a client for HTTP or MySQL: two providers in one binary would otherwise panic at first use.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Arguments { bench, quick, binary } = Arguments::parse();
    let scale = Scale { quick, binary };
    match bench {
        Bench::All => {
            log::run(&log::Args::new(scale.quick))?;
            filter::run(&scale)?;
            matching::run(&scale)?;
            subscribe::run(&scale)?;
            capture::run(&scale)?;
            postgres::run(&scale)?;
            mysql::run(&scale)?;
            ingest::run(&scale)?;
            chat::run(&scale, &chat::Args::default())?;
            tokens::run(&scale)?;
            presence::run(&scale)?;
            rules::run(&scale)?;
            policies::run(&scale)?;
            existence::run(&scale)?;
            series::run(&scale)
        }
        Bench::Log(args) => log::run(&args.quick(scale.quick)),
        Bench::Existence => existence::run(&scale),
        Bench::Filter => filter::run(&scale).and_then(|()| matching::run(&scale)),
        Bench::Subscribe => subscribe::run(&scale),
        Bench::Capture => capture::run(&scale).and_then(|()| series::run(&scale)),
        Bench::Postgres => postgres::run(&scale),
        Bench::Mysql => mysql::run(&scale),
        Bench::Ingest => ingest::run(&scale),
        Bench::Chat(args) => chat::run(&scale, &args),
        Bench::Presence => presence::run(&scale),
        Bench::Rules => rules::run(&scale),
        Bench::Policies => policies::run(&scale),
        Bench::Series => series::run(&scale),
        Bench::Tokens => tokens::run(&scale),
        Bench::Serve { kind, folder } => serve(&kind, &folder),
    }
}

fn serve(kind: &str, folder: &Path) -> Result<()> {
    // Whoever started it holds the other end.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Runtime::new()?;
    match kind {
        "rowcast" => runtime.block_on(gateway::serve(folder)),
        "chat" => runtime.block_on(chat::serve(folder)),
        _ => anyhow::bail!("there is no server `{kind}`"),
    }
}
