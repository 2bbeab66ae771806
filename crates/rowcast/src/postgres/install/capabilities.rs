//! What a server and a user allow, and which way to capture changes follows from it.

use tokio_postgres::Client;

use super::{InstallError, schema, tables};
use crate::event::TableName;
use crate::postgres::{Capture, Mode, PostgresSettings};

/// What a server and the user that Rowcast connects as allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// As `server_version_num`: 150004 is 15.4.
    pub version: i32,
    /// Whose server it is: `PostgreSQL`, `Amazon RDS`, `Supabase`, …
    pub kind: &'static str,
    /// The database's name.
    pub database: String,
    /// Who is connected.
    pub user: String,
    /// `minimal`, `replica` or `logical`.
    pub wal_level: String,
    /// Whether the user is a superuser.
    pub superuser: bool,
    /// Whether the user may read the write-ahead log.
    pub replication: bool,
    /// Whether the user may make schemas and publications in the database.
    pub create: bool,
    /// Whether the server is a read-only standby.
    pub standby: bool,
    /// Replication slots that are not taken.
    pub slots_free: i64,
    /// Whether the configured slot is there already.
    pub slot: bool,
    /// Replication connections that are not taken.
    pub senders_free: i64,
    /// Whether schema `rowcast` is set up.
    pub installed: bool,
    /// Tables that are chosen by the settings.
    pub tables: usize,
    /// Those of them that the user does not own: they cannot be published.
    pub unowned: Vec<TableName>,
    /// Those of them that the user may not put triggers on.
    pub untriggerable: Vec<TableName>,
}

const FACTS: &str = "
    SELECT current_setting('server_version_num')::int, current_database()::text, current_user::text,
           current_setting('wal_level'), r.rolsuper,
           r.rolsuper OR r.rolreplication OR EXISTS (
             SELECT FROM pg_roles g WHERE g.rolname = 'rds_replication' AND pg_has_role(g.oid, 'MEMBER')),
           has_database_privilege(current_database(), 'CREATE'), pg_is_in_recovery(),
           current_setting('max_replication_slots')::bigint - (SELECT count(*) FROM pg_replication_slots),
           EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1),
           current_setting('max_wal_senders')::bigint - (SELECT count(*) FROM pg_stat_replication),
           CASE WHEN to_regproc('pg_catalog.aurora_version') IS NOT NULL THEN 'aurora'
                WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'supabase_admin') THEN 'supabase'
                WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'neon_superuser') THEN 'neon'
                WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_superuser') THEN 'rds'
                WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'cloudsqlsuperuser') THEN 'cloudsql'
                WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = 'azure_pg_admin') THEN 'azure'
                ELSE '' END
      FROM pg_roles r WHERE r.rolname = current_user";

impl Capabilities {
    /// Asks the server.
    pub async fn of(client: &Client, settings: &PostgresSettings) -> Result<Self, InstallError> {
        let row = client.query_one(FACTS, &[&settings.slot]).await?;
        let found = tables::find(client, settings).await?;
        let names = |may: fn(&tables::Found) -> bool| {
            found.iter().filter(|table| !may(table)).map(|table| table.name.clone()).collect()
        };
        Ok(Self {
            version: row.get(0),
            database: row.get(1),
            user: row.get(2),
            wal_level: row.get(3),
            superuser: row.get(4),
            replication: row.get(5),
            create: row.get(6),
            standby: row.get(7),
            slots_free: row.get(8),
            slot: row.get(9),
            senders_free: row.get(10),
            kind: match row.get(11) {
                "aurora" => "Amazon Aurora",
                "supabase" => "Supabase",
                "neon" => "Neon",
                "rds" => "Amazon RDS",
                "cloudsql" => "Google Cloud SQL",
                "azure" => "Azure Database",
                _ => "PostgreSQL",
            },
            installed: schema::is_made(client).await?,
            tables: found.len(),
            unowned: names(|table| table.owned),
            untriggerable: names(|table| table.triggerable),
        })
    }

    /// Why the write-ahead log cannot be read, each with what to do. Empty: it can.
    pub fn against_wal(&self) -> Vec<String> {
        let mut against = Vec::new();
        if self.wal_level != "logical" {
            against.push(format!("wal_level is `{}`: {}", self.wal_level, self.how_to_get_logical()));
        }
        if !self.replication {
            against.push(format!(
                "user `{}` may not read the write-ahead log: {}",
                self.user,
                self.how_to_get_replication()
            ));
        }
        if self.slots_free < 1 && !self.slot {
            against.push("every replication slot is taken: raise max_replication_slots, or drop one".to_owned());
        }
        if self.senders_free < 1 {
            against.push("every replication connection is taken: raise max_wal_senders".to_owned());
        }
        if !self.create && !self.installed {
            against.push(self.how_to_get_create());
        }
        if let [table, ..] = &*self.unowned {
            against.push(format!(
                "{} of {} tables (`{table}` is one) belong to somebody else, and only their owner can publish them: connect as \
                 the owner, or leave them out with `exclude`",
                self.unowned.len(),
                self.tables
            ));
        }
        against
    }

    /// Why triggers cannot be used, each with what to do. Empty: they can.
    pub fn against_outbox(&self) -> Vec<String> {
        let mut against = Vec::new();
        if !self.create && !self.installed {
            against.push(self.how_to_get_create());
        }
        if let [table, ..] = &*self.untriggerable {
            against.push(format!(
                "on {} of {} tables (`{table}` is one) user `{}` may not make triggers: GRANT TRIGGER ON {table} TO {}, or leave \
                 them out with `exclude`",
                self.untriggerable.len(),
                self.tables,
                self.user,
                schema::ident(&self.user)
            ));
        }
        against
    }

    fn how_to_get_create(&self) -> String {
        format!(
            "user `{0}` may not make a schema: GRANT CREATE ON DATABASE {1} TO {2}",
            self.user,
            schema::ident(&self.database),
            schema::ident(&self.user)
        )
    }

    fn how_to_get_logical(&self) -> &'static str {
        match self.kind {
            "Amazon RDS" | "Amazon Aurora" => "set rds.logical_replication = 1 in the parameter group, and restart",
            "Google Cloud SQL" => "set the flag cloudsql.logical_decoding = on, which restarts the server",
            "Neon" => "switch logical replication on in the project's settings",
            "Azure Database" => "set the server parameter wal_level = logical, and restart",
            _ => "ALTER SYSTEM SET wal_level = logical, and restart the server",
        }
    }

    fn how_to_get_replication(&self) -> String {
        let user = schema::ident(&self.user);
        match self.kind {
            "Amazon RDS" | "Amazon Aurora" => format!("GRANT rds_replication TO {user}"),
            _ => format!("ALTER ROLE {user} REPLICATION"),
        }
    }
}

/// Which way changes are captured, with a sentence on what that promises; else what to do.
pub fn choose(settings: &PostgresSettings, able: &Capabilities) -> Result<(Mode, String), String> {
    if able.version < 140_000 {
        return Err(format!("the server is PostgreSQL {}; Rowcast needs 14 or later", able.version / 10_000));
    }
    if able.standby {
        return Err("the server is a read-only standby; give Rowcast the address of its primary".to_owned());
    }
    let (wal, outbox) = (able.against_wal(), able.against_outbox());
    match settings.capture {
        Capture::Wal if wal.is_empty() => Ok((Mode::Wal, BY_WAL.to_owned())),
        Capture::Wal => Err(format!("changes cannot be captured from the write-ahead log: {}", wal.join("; "))),
        Capture::Outbox if outbox.is_empty() => Ok((Mode::Outbox, format!("triggers, as configured. {BY_OUTBOX}"))),
        Capture::Outbox => Err(format!("changes cannot be captured by triggers: {}", outbox.join("; "))),
        Capture::Auto if wal.is_empty() => Ok((Mode::Wal, BY_WAL.to_owned())),
        Capture::Auto if outbox.is_empty() => {
            Ok((Mode::Outbox, format!("triggers, because {}. {BY_OUTBOX}", wal.join("; "))))
        }
        Capture::Auto => Err(format!(
            "changes can be captured neither from the write-ahead log ({}) nor by triggers ({})",
            wal.join("; "),
            outbox.join("; ")
        )),
    }
}

const BY_WAL: &str =
    "logical replication: every committed change once, in commit order, across restarts of either side";
const BY_OUTBOX: &str = "Every committed change once, in an order that respects every row's, across restarts of either side; \
                         each write costs a second one";

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> Capabilities {
        Capabilities {
            version: 150_004,
            kind: "PostgreSQL",
            database: "app".into(),
            user: "me".into(),
            wal_level: "logical".into(),
            superuser: false,
            replication: true,
            create: true,
            standby: false,
            slots_free: 1,
            slot: false,
            senders_free: 1,
            installed: false,
            tables: 1,
            unowned: Vec::new(),
            untriggerable: Vec::new(),
        }
    }

    #[track_caller]
    fn check(capture: Capture, able: &Capabilities, expected: Result<Mode, &str>) {
        let settings = PostgresSettings { capture, ..PostgresSettings::default() };
        match (choose(&settings, able), expected) {
            (Ok((mode, _)), Ok(expected)) => assert_eq!(mode, expected),
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
            (found, expected) => panic!("{found:?} {expected:?}"),
        }
    }

    #[test]
    fn the_log_where_it_is_allowed_else_triggers() {
        check(Capture::Auto, &able(), Ok(Mode::Wal));
        check(Capture::Outbox, &able(), Ok(Mode::Outbox));
        let replica = Capabilities { wal_level: "replica".into(), ..able() };
        check(Capture::Auto, &replica, Ok(Mode::Outbox));
        check(Capture::Wal, &replica, Err("ALTER SYSTEM SET wal_level = logical"));
        check(Capture::Auto, &Capabilities { replication: false, ..able() }, Ok(Mode::Outbox));
        check(Capture::Auto, &Capabilities { slots_free: 0, ..able() }, Ok(Mode::Outbox));
        check(Capture::Auto, &Capabilities { slots_free: 0, slot: true, ..able() }, Ok(Mode::Wal));
        check(Capture::Auto, &Capabilities { unowned: vec![TableName::bare("t")], ..able() }, Ok(Mode::Outbox));
    }

    #[test]
    fn what_to_do_is_said_where_nothing_is_allowed() {
        check(Capture::Auto, &Capabilities { create: false, ..able() }, Err("GRANT CREATE ON DATABASE app TO me"));
        check(Capture::Auto, &Capabilities { create: false, installed: true, ..able() }, Ok(Mode::Wal));
        check(Capture::Auto, &Capabilities { standby: true, ..able() }, Err("primary"));
        check(Capture::Auto, &Capabilities { version: 130_001, ..able() }, Err("13"));
    }
}
