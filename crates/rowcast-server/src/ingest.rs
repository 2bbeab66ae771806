//! `rowcast ingest`: the rows of files, or of standard input, into a table: straight into a database, or through a server.

mod input;
mod server;
mod show;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use rowcast::ingest::load::{Load, Loaded, Plan, Source};
use rowcast::source::Source as _;
use rowcast::source::sqlite::SqliteSource;

use crate::cli::Ingest;
use crate::config::{Config, DatabaseUrl, Layers};
use crate::database;
use input::{Input, format_of};
use show::Show;

/// `rowcast ingest`. Fails when a record was rejected.
pub(crate) async fn run(ingest: &Ingest, layers: &Layers) -> anyhow::Result<ExitCode> {
    let inputs = Input::all(&ingest.files)?;
    let show = Show::begin(&inputs, ingest.quiet);
    let mut all = Loaded::default();
    if let Some(server) = &ingest.url {
        if ingest.once || ingest.dead_letters {
            bail!("--once and --dead-letters are done by the database itself; give --database instead of --url");
        }
        for input in &inputs {
            add(&mut all, server::send(ingest, server, input, &show).await?);
        }
    } else {
        let config = Config::read(layers)?;
        prepare(&config).await?;
        let store = database::store(&config)?;
        for input in &inputs {
            let plan = Plan {
                table: ingest.table.clone(),
                format: ingest.format.unwrap_or_else(|| format_of(input)),
                columns: ingest.columns.clone(),
                source: source(ingest, input)?,
            };
            let mut load = Load::begin(Arc::clone(&store), plan).await?;
            let before = all.clone();
            let mut chunks = input.read(show.bar());
            while let Some(chunk) = chunks.recv().await {
                let chunk = chunk.with_context(|| format!("{} cannot be read", input.shown()))?;
                load.feed(&chunk).await?;
                show.rows(before.stored + load.loaded().stored);
            }
            add(&mut all, load.finish().await?);
        }
    }
    show.end(&ingest.table, &all);
    Ok(if all.rejected > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A file has no place for what is remembered of a source before capture is set up; a server makes it by itself.
async fn prepare(config: &Config) -> anyhow::Result<()> {
    if let DatabaseUrl::Sqlite(path) = database::named(config)? {
        SqliteSource::new(&config.database.name, path, database::sqlite_settings(config)).setup().await?;
    }
    Ok(())
}

fn add(all: &mut Loaded, more: Loaded) {
    all.read += more.read;
    all.stored += more.stored;
    all.before += more.before;
    all.rejected += more.rejected;
    all.listed.extend(more.listed);
    all.listed.truncate(10);
}

/// What the database remembers the records under.
fn source(ingest: &Ingest, input: &Input) -> anyhow::Result<Option<Source>> {
    let name = ingest.name.clone().unwrap_or_else(|| input.name());
    if ingest.once {
        let Some(life) = input.fingerprint()? else {
            bail!("--once needs a file: what comes from standard input cannot be known again");
        };
        // Several files may have one name, and each its own place.
        let name = format!("{name}#{}", &life[..12]);
        return Ok(Some(Source { name: name.into(), life: life.into() }));
    }
    let life = || format!("{:032x}", rand::random::<u128>());
    Ok(ingest.dead_letters.then(|| Source { name: name.into(), life: life().into() }))
}
