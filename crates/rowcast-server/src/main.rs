//! The binary `rowcast`: reads what it is told, and starts one command.

mod auth;
mod bench;
mod capture;
mod cli;
mod config;
mod database;
mod dead_letters;
mod demo;
mod descriptors;
mod doctor;
mod files;
mod ingest;
mod listen;
mod logs;
mod numbers;
mod pages;
mod password;
mod serve;
mod simulate;
mod tail;
mod token;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, Common};
use config::{Config, Layers};

// Many small events of many threads: measured against the system's allocator, it is the one that keeps them apart.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything makes a TLS client: two providers in one binary would otherwise panic at first use.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    // Measurements and their floor are threads of their own; a runtime beside them would only add memory.
    let measured = match &cli.command {
        Command::Bench(options) => Some(bench::run(options, cli.common.database.as_deref())),
        Command::BenchFloor => Some(bench::floor().map(|()| ExitCode::SUCCESS)),
        _ => None,
    };
    if let Some(ended) = measured {
        return ended.unwrap_or_else(|error| failed(&error));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let ended = runtime.block_on(run(cli));
    // Blocking reads of a database may still be under way; nobody waits for their answer.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve => serve::run(&Config::read(&layers(&cli.common))?).await?,
        Command::Demo(demo) => demo::run(layers(&cli.common), &demo).await?,
        Command::Simulate(simulate) => simulate::run(&cli.common, &simulate).await?,
        Command::Tail(tail) => {
            let direct = cli.common.database.is_some() && tail.url.is_none();
            let config = direct.then(|| Config::read(&layers(&cli.common))).transpose()?;
            return tail::run(&tail, config.as_ref()).await;
        }
        Command::Ingest(ingest) => return ingest::run(&ingest, &layers(&cli.common)).await,
        Command::Doctor(doctor) => return doctor::run(&Config::read(&layers(&cli.common))?, &doctor).await,
        Command::Setup(setup) => capture::setup(&Config::read(&layers(&cli.common))?, setup.dry_run).await?,
        Command::Teardown(teardown) => capture::teardown(&Config::read(&layers(&cli.common))?, &teardown).await?,
        Command::DeadLetters(letters) => {
            return dead_letters::run(&Config::read(&layers(&cli.common))?, &letters).await;
        }
        Command::Token(asked) => return token::run(&Config::read(&layers(&cli.common))?, &asked).await,
        Command::Password => password::run()?,
        Command::Config(show) if show.default => say(config::DEFAULT),
        Command::Config(_) => {
            let layers = layers(&cli.common);
            Config::read(&layers)?;
            say(&layers.print());
        }
        // They need no runtime, and were run before there was one.
        Command::Bench(_) | Command::BenchFloor => {}
        Command::Version => say(concat!("rowcast ", env!("CARGO_PKG_VERSION"), "\n")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints to standard output. Who has closed it does not want to know.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Every layer of the configuration, lowest first.
fn layers(common: &Common) -> Layers {
    let mut layers = Layers::defaults();
    let beside = Path::new("rowcast.toml");
    let file = common.config.clone().or_else(|| beside.is_file().then(|| PathBuf::from(beside)));
    if let Some(file) = file {
        layers.file(&file);
    }
    // A variable that is no text cannot be one of ours.
    layers.environment(
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    );
    layers.flags(common.flags());
    layers
}
