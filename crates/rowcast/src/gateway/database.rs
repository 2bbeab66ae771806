//! Which databases can be made live, and what each brings: a store, and one source or more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StartError;
use crate::auth::rules::Rules;
use crate::event::{Epoch, TableName};
use crate::mysql::{self, MysqlSettings};
use crate::postgres::{Address, Live, PostgresSettings};
use crate::source::Source;
use crate::source::mysql::MysqlSource;
use crate::source::notify::{Ears, NotifySource};
use crate::source::postgres::PostgresSource;
use crate::source::sqlite::SqliteSource;
use crate::sqlite::SqliteSettings;
use crate::store::Store;
use crate::store::mysql::MysqlStore;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;

/// A database to make live.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one for each gateway")]
pub enum Database {
    /// A file of SQLite.
    Sqlite {
        /// Names it in the log and in Console.
        name: String,
        /// Where it is. Made if it is not there.
        path: PathBuf,
        /// How it is read.
        settings: SqliteSettings,
    },
    /// A database of a PostgreSQL server. It may be away when the gateway starts: it is waited for.
    Postgres {
        /// Names it in the log and in Console.
        name: String,
        /// Where it is, and as whom it is used.
        address: Address,
        /// How it is captured and used.
        settings: PostgresSettings,
    },
    /// A database of a MySQL or MariaDB server. It may be away when the gateway starts: it is waited for.
    Mysql {
        /// Names it in the log and in Console.
        name: String,
        /// Where it is, and as whom it is used.
        address: mysql::Address,
        /// How it is captured and used.
        settings: MysqlSettings,
    },
}

/// A database, ready to be joined to a log and a hub.
pub(super) struct Opened {
    /// `sqlite`, `postgresql`, `mysql`.
    pub(super) kind: &'static str,
    /// The name of the source with the tables.
    pub(super) name: Arc<str>,
    pub(super) store: Arc<dyn Store>,
    /// The one with the tables first.
    pub(super) sources: Vec<Box<dyn Source>>,
    pub(super) ears: Option<Arc<Ears>>,
    /// Whether it is waited for where it does not answer at the start.
    pub(super) may_be_away: bool,
}

impl Database {
    /// A file of SQLite.
    pub fn sqlite(name: impl Into<String>, path: impl AsRef<Path>, settings: SqliteSettings) -> Self {
        Self::Sqlite { name: name.into(), path: path.as_ref().to_owned(), settings }
    }

    /// A database of a PostgreSQL server.
    pub fn postgres(name: impl Into<String>, address: Address, settings: PostgresSettings) -> Self {
        Self::Postgres { name: name.into(), address, settings }
    }

    /// A database of a MySQL or MariaDB server.
    pub fn mysql(name: impl Into<String>, address: mysql::Address, settings: MysqlSettings) -> Self {
        Self::Mysql { name: name.into(), address, settings }
    }

    /// Further NOTIFY channels to hear from the start.
    pub(super) fn hear(&mut self, channels: BTreeSet<String>) {
        if let Self::Postgres { settings, .. } = self {
            let own = &mut settings.notify.channels;
            let new: Vec<String> = channels.into_iter().filter(|channel| !own.contains(channel)).collect();
            own.extend(new);
        }
    }

    /// Tables that are the program's own.
    pub(super) fn keep_private(&mut self, tables: &[TableName]) {
        let private = match self {
            Self::Sqlite { settings, .. } => &mut settings.private,
            Self::Postgres { settings, .. } => &mut settings.private,
            Self::Mysql { settings, .. } => &mut settings.private,
        };
        private.extend(tables.iter().map(|table| table.name.to_string()));
    }

    /// Prepares it for rules. Those that read tables whose changes nobody hears of could not be held.
    pub(super) fn obey(&mut self, rules: &Rules) -> Result<(), StartError> {
        if let (Some((rule, _)), false) = (rules.ruled_by_policies().next(), matches!(self, Self::Postgres { .. })) {
            let table = &rule.table;
            let message = format!(
                "the rule of `{table}` says rls = true, but row-level security is PostgreSQL's; say with `read` which rows may be read"
            );
            return Err(StartError(message));
        }
        let read = rules.membership_tables();
        let lost = read.iter().find(|table| !self.captures(table));
        if let Some(table) = lost {
            let message = format!(
                "rules read the table `{table}`, whose changes are not captured; let database.include and database.exclude not leave it out"
            );
            return Err(StartError(message));
        }
        if let Self::Postgres { settings, .. } = self {
            settings.decisive = rules.ruled_tables().cloned().chain(read).collect();
        }
        Ok(())
    }

    fn captures(&self, table: &TableName) -> bool {
        match self {
            Self::Sqlite { settings, .. } => settings.wants(&table.name),
            Self::Mysql { settings, .. } => settings.wants(table),
            Self::Postgres { settings, .. } => {
                let schema = if table.schema.is_empty() { "public".into() } else { table.schema.clone() };
                settings.wants(&TableName { schema, name: table.name.clone() })
            }
        }
    }

    /// `epoch` is that of the log that the database is to be joined to.
    pub(super) fn open(self, epoch: Epoch) -> Result<Opened, StartError> {
        match self {
            Self::Sqlite { name, path, settings } => {
                let source = SqliteSource::new(&name, &path, settings.clone());
                let store = SqliteStore::open(&path, settings).map_err(|error| StartError(error.to_string()))?;
                Ok(Opened {
                    kind: "sqlite",
                    name: name.into(),
                    store: Arc::new(store),
                    sources: vec![Box::new(source)],
                    ears: None,
                    may_be_away: false,
                })
            }
            Self::Postgres { name, address, settings } => Ok(open_postgres(name, address, settings, epoch)),
            Self::Mysql { name, address, settings } => Ok(open_mysql(name, address, settings, epoch)),
        }
    }
}

/// Connects to nothing yet.
fn open_postgres(name: String, address: Address, mut settings: PostgresSettings, epoch: Epoch) -> Opened {
    // A gateway that comes back with the same log knows its own dead connection by this.
    if settings.instance == PostgresSettings::default().instance {
        settings.instance = epoch.0.to_string();
    }
    let live = Arc::new(Live::default());
    let store = PostgresStore::open(address.clone(), settings.clone(), live.clone());
    let hears = !settings.notify.channels.is_empty() || !settings.notify.allow.is_empty();
    let (notify, dead_after) = (settings.notify.clone(), settings.dead_after);
    let (notify, ears) = NotifySource::new(&format!("{name}:notify"), address.clone(), notify, dead_after);
    let tables = PostgresSource::new(&name, address, settings, live);
    let mut sources: Vec<Box<dyn Source>> = vec![Box::new(tables)];
    // Where no channel can be asked for, no connection is kept for them.
    if hears {
        sources.push(Box::new(notify));
    }
    Opened {
        kind: "postgresql",
        name: name.into(),
        store: Arc::new(store),
        sources,
        ears: Some(ears),
        may_be_away: true,
    }
}

/// Connects to nothing yet.
fn open_mysql(name: String, address: mysql::Address, mut settings: MysqlSettings, epoch: Epoch) -> Opened {
    if settings.instance == MysqlSettings::default().instance {
        settings.instance = epoch.0.to_string();
    }
    let live = Arc::new(mysql::Live::default());
    let store = MysqlStore::open(address.clone(), settings.clone(), live.clone());
    let source = MysqlSource::new(&name, address, settings, live);
    Opened {
        kind: "mysql",
        name: name.into(),
        store: Arc::new(store),
        sources: vec![Box::new(source)],
        ears: None,
        may_be_away: true,
    }
}
