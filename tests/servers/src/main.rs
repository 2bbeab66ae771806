//! `servers COMMAND…`: starts the servers that many tests can share, runs the command with their addresses in its environment, and
//! stops them.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use servers::{
    MADE_MYSQL, MADE_POSTGRES, Mysql, MysqlOptions, Postgres, PostgresOptions, SHARED_MYSQL, SHARED_POSTGRES, made,
    made_mysql,
};

fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else { bail!("say what is to be run: servers COMMAND…") };
    let options = PostgresOptions::default()
        .set("max_connections", "1000")
        .set("max_replication_slots", "400")
        .set("max_wal_senders", "400");
    let folder = made()?;
    let postgres = Postgres::start_with(&options)?;
    let mysql_folder = made_mysql()?;
    let mysql = Mysql::start_with(&MysqlOptions::default().set("max-connections", "2000"))?;
    let status = Command::new(&program)
        .args(words)
        .env(SHARED_POSTGRES, postgres.port().to_string())
        .env(MADE_POSTGRES, folder.path().join("data"))
        .env(SHARED_MYSQL, mysql.port().to_string())
        .env(MADE_MYSQL, mysql_folder.path().join("data"))
        .status()
        .with_context(|| format!("{} could not be run", program.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
