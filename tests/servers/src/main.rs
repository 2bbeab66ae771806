//! `servers COMMAND…`: starts the servers that many tests can share, runs the command with their addresses in its environment, and
//! stops them.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use servers::{MADE_POSTGRES, Postgres, PostgresOptions, SHARED_POSTGRES, made};

fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else { bail!("say what is to be run: servers COMMAND…") };
    let options = PostgresOptions::default()
        .set("max_connections", "1000")
        .set("max_replication_slots", "400")
        .set("max_wal_senders", "400");
    let folder = made()?;
    let postgres = Postgres::start_with(&options)?;
    let status = Command::new(&program)
        .args(words)
        .env(SHARED_POSTGRES, postgres.port().to_string())
        .env(MADE_POSTGRES, folder.path().join("data"))
        .status()
        .with_context(|| format!("{} could not be run", program.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
