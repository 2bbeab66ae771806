//! Measurements of Rowcast's parts. Each is a module with a `run`; the numbers are for `docs/`.

mod log;
mod log_engines;

use clap::{Parser, Subcommand};

/// Measures a part of Rowcast on this machine.
#[derive(Parser)]
#[command(name = "rowcast-bench")]
struct Cli {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// The log's engine beside embedded databases.
    Log(log::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().part {
        Part::Log(args) => log::run(&args),
    }
}
