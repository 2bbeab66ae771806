//! The configured database, as the library takes it.

use anyhow::bail;
use rowcast::gateway::Database;
use rowcast::postgres::{Address, Environment, NotifySettings, PostgresSettings, WalBudget};
use rowcast::source::sqlite::SqliteSettings;

use crate::config::{Config, DatabaseUrl};

/// What `database.url` names, or what to write there.
pub(crate) fn named(config: &Config) -> anyhow::Result<&DatabaseUrl> {
    match &config.database.url {
        Some(url) => Ok(url),
        None => bail!(
            "no database was named; write for example --database postgres://user@localhost/shop or --database sqlite:shop.db, or try `rowcast demo`"
        ),
    }
}

/// The database that a gateway makes live.
pub(crate) fn to_serve(config: &Config) -> anyhow::Result<Database> {
    let name = &config.database.name;
    Ok(match named(config)? {
        DatabaseUrl::Sqlite(path) => Database::sqlite(name, path, sqlite_settings(config)),
        DatabaseUrl::Postgres(url) => Database::postgres(name, address(url)?, postgres_settings(config)),
    })
}

/// Where a PostgreSQL is, with what the environment says of it.
pub(crate) fn address(url: &str) -> anyhow::Result<Address> {
    let variables = std::env::vars().filter(|(name, _)| name.starts_with("PG")).collect();
    let home = std::env::var_os("HOME").map(Into::into);
    Ok(Address::parse(url, &Environment { variables, home })?)
}

/// How SQLite is read, as configured.
pub(crate) fn sqlite_settings(config: &Config) -> SqliteSettings {
    let from = &config.database;
    SqliteSettings {
        include: from.include.clone(),
        exclude: from.exclude.clone(),
        create: from.create,
        switch_to_wal: from.switch_to_wal,
        poll_active: from.poll_active,
        poll_idle: from.poll_idle,
        busy_timeout: from.busy_timeout,
        readers: from.readers,
        series_rows: from.series_rows,
        ..SqliteSettings::default()
    }
}

/// How PostgreSQL is read, as configured.
pub(crate) fn postgres_settings(config: &Config) -> PostgresSettings {
    let from = &config.postgres;
    PostgresSettings {
        include: config.database.include.clone(),
        exclude: config.database.exclude.clone(),
        capture: from.capture,
        slot: from.slot.clone(),
        publication: from.publication.clone(),
        identity: from.identity,
        wal: WalBudget { warn: from.wal_warn, stop: from.wal_stop },
        dead_after: from.dead_after,
        look_every: from.look_every,
        transaction_memory: from.transaction_memory,
        spool: Some(config.data.clone()),
        poll_active: from.poll_active,
        poll_idle: from.poll_idle,
        notify: NotifySettings {
            channels: from.notify.clone(),
            allow: from.notify_allow.clone(),
            probe_every: from.notify_probe,
        },
        connections: from.connections,
        series_rows: config.database.series_rows,
        ..PostgresSettings::default()
    }
}
