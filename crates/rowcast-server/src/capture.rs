//! `rowcast setup` and `rowcast teardown`: what capture keeps in a database, installed and removed with the SQL shown.

mod sqlite;

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

use anyhow::bail;
use rowcast::mysql;
use rowcast::postgres::Live;
use rowcast::source::Source;
use rowcast::source::mysql::MysqlSource;
use rowcast::source::postgres::PostgresSource;

use crate::cli::Teardown;
use crate::config::{Config, DatabaseUrl};
use crate::{database, say};
use sqlite::File;

/// `rowcast setup`.
pub(crate) async fn setup(config: &Config, dry_run: bool) -> anyhow::Result<()> {
    let mut target = Target::of(config)?;
    let sql = if dry_run { target.planned(Act::Setup).await? } else { target.act(Act::Setup).await? };
    print(&sql);
    let done = match (sql.is_empty(), dry_run) {
        (true, _) => "nothing to do: capture is installed",
        (false, true) => "nothing was changed (--dry-run)",
        (false, false) => "capture is installed",
    };
    eprintln!("{}: {done}", target.shown());
    Ok(())
}

/// `rowcast teardown`.
pub(crate) async fn teardown(config: &Config, how: &Teardown) -> anyhow::Result<()> {
    let mut target = Target::of(config)?;
    let planned = target.planned(Act::Teardown).await?;
    print(&planned);
    let shown = target.shown();
    if planned.is_empty() {
        eprintln!("{shown}: nothing to do: capture is not installed");
    } else if how.dry_run {
        eprintln!("{shown}: nothing was changed (--dry-run)");
    } else if how.yes || agreed(&format!("Remove this from {shown}?"))? {
        target.act(Act::Teardown).await?;
        eprintln!("{shown}: capture is removed; clients that come back get fresh snapshots");
    } else {
        eprintln!("{shown}: nothing was changed");
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Act {
    Setup,
    Teardown,
}

/// A database whose capture is to be changed.
enum Target {
    Sqlite(File),
    Postgres(String, Box<PostgresSource>),
    Mysql(String, Box<MysqlSource>),
}

impl Target {
    fn of(config: &Config) -> anyhow::Result<Self> {
        let name = config.database.name.clone();
        Ok(match database::named(config)? {
            DatabaseUrl::Sqlite(path) => {
                Self::Sqlite(File { name, path: path.clone(), settings: database::sqlite_settings(config) })
            }
            DatabaseUrl::Postgres(url) => {
                let (address, settings) = (database::address(url)?, database::postgres_settings(config));
                let shown = address.to_string();
                Self::Postgres(
                    shown,
                    Box::new(PostgresSource::new(&name, address, settings, Arc::new(Live::default()))),
                )
            }
            DatabaseUrl::Mysql(url) => {
                let (address, settings) = (database::mysql_address(url)?, database::mysql_settings(config));
                let source = MysqlSource::new(&name, address.clone(), settings, Arc::new(mysql::Live::default()));
                Self::Mysql(address.to_string(), Box::new(source))
            }
        })
    }

    fn shown(&self) -> String {
        match self {
            Self::Sqlite(file) => file.path.display().to_string(),
            Self::Postgres(shown, _) | Self::Mysql(shown, _) => shown.clone(),
        }
    }

    async fn act(&mut self, act: Act) -> anyhow::Result<Vec<String>> {
        Ok(match (self, act) {
            (Self::Sqlite(file), act) => file.act(act).await?,
            (Self::Postgres(_, source), Act::Setup) => source.setup().await?,
            (Self::Postgres(_, source), Act::Teardown) => source.teardown().await?,
            (Self::Mysql(_, source), Act::Setup) => source.setup().await?,
            (Self::Mysql(_, source), Act::Teardown) => source.teardown().await?,
        })
    }

    /// What [`Target::act`] would do.
    async fn planned(&mut self, act: Act) -> anyhow::Result<Vec<String>> {
        Ok(match (self, act) {
            (Self::Sqlite(file), act) => file.rehearsed(act).await?,
            (Self::Postgres(_, source), Act::Setup) => source.plan_setup().await?,
            (Self::Postgres(_, source), Act::Teardown) => source.plan_teardown().await?,
            (Self::Mysql(_, source), Act::Setup) => source.plan_setup().await?,
            (Self::Mysql(_, source), Act::Teardown) => source.plan_teardown().await?,
        })
    }
}

fn print(sql: &[String]) {
    for statement in sql {
        say(&format!("{};\n", statement.trim().trim_end_matches(';')));
    }
}

fn agreed(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("there is nobody to ask; add --yes");
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
