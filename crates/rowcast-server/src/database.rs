//! The configured database, as the library takes it.

use std::sync::Arc;

use anyhow::{Context, bail};
use rowcast::gateway::Database;
use rowcast::mysql::{self, MysqlSettings};
use rowcast::postgres::{self, Address, Environment, NotifySettings, PostgresSettings, WalBudget};
use rowcast::source::sqlite::SqliteSettings;
use rowcast::store::Store;
use rowcast::store::mysql::MysqlStore;
use rowcast::store::postgres::PostgresStore;
use rowcast::store::sqlite::SqliteStore;

use crate::config::{self, Config, DatabaseUrl};

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
        DatabaseUrl::Mysql(url) => Database::mysql(name, mysql_address(url)?, mysql_settings(config)),
    })
}

/// The database to write rows to, for a program that makes nothing live: it needs nothing that `setup` installs.
pub(crate) fn store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match named(config)? {
        DatabaseUrl::Sqlite(path) => Arc::new(SqliteStore::open(path, sqlite_settings(config))?),
        DatabaseUrl::Postgres(url) => {
            let live = Arc::new(postgres::Live::default());
            live.began(postgres::Mode::Wal);
            Arc::new(PostgresStore::open(address(url)?, postgres_settings(config), live))
        }
        DatabaseUrl::Mysql(url) => {
            let live = Arc::new(mysql::Live::default());
            live.began(mysql::Mode::Binlog);
            Arc::new(MysqlStore::open(mysql_address(url)?, mysql_settings(config), live))
        }
    })
}

/// Where a MySQL or MariaDB is, with what the environment says of it, as for their own clients.
pub(crate) fn mysql_address(url: &str) -> anyhow::Result<mysql::Address> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let port = match variable("MYSQL_TCP_PORT") {
        Some(text) => Some(text.parse().with_context(|| format!("MYSQL_TCP_PORT is a port, and not `{text}`"))?),
        None => None,
    };
    let defaults = mysql::Defaults {
        user: variable("USER").or_else(|| variable("LOGNAME")),
        password: variable("MYSQL_PWD"),
        host: variable("MYSQL_HOST"),
        port,
        socket: variable("MYSQL_UNIX_PORT"),
    };
    Ok(mysql::Address::parse_with(url, &defaults)?)
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
        private: config::private(config),
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
        private: config::private(config),
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

/// How MySQL and MariaDB are read, as configured.
pub(crate) fn mysql_settings(config: &Config) -> MysqlSettings {
    let from = &config.mysql;
    MysqlSettings {
        include: config.database.include.clone(),
        exclude: config.database.exclude.clone(),
        private: config::private(config),
        capture: from.capture,
        server_id: from.server_id,
        dead_after: from.dead_after,
        look_every: from.look_every,
        transaction_memory: from.transaction_memory,
        spool: Some(config.data.clone()),
        poll_active: from.poll_active,
        poll_idle: from.poll_idle,
        connections: from.connections,
        series_rows: config.database.series_rows,
        ..MysqlSettings::default()
    }
}
