//! What a server and a user allow, and which way to capture changes follows from it.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::found::Found;
use super::{InstallError, database};
use crate::mysql::address::Server;
use crate::mysql::{Capture, Mode, MysqlSettings};

/// What a server and the user that Rowcast connects as allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Which server it is.
    pub server: Server,
    /// The database's name.
    pub database: String,
    /// Who is connected, as an account: `app@%`.
    pub user: String,
    /// Whether there is a binlog.
    pub log_bin: bool,
    /// `ROW`, `STATEMENT` or `MIXED`.
    pub binlog_format: String,
    /// Whether the user may read the binlog (REPLICATION SLAVE).
    pub replication: bool,
    /// Whether the user may ask where the binlog stands (REPLICATION CLIENT, BINLOG MONITOR).
    pub monitor: bool,
    /// Whether the user may make triggers and tables in the database.
    pub trigger: bool,
    /// Whether making triggers is left to the server's administrator, because there is a binlog.
    pub untrusted: bool,
    /// Whether the server is a read-only replica.
    pub read_only: bool,
    /// Whether the outbox is set up.
    pub installed: bool,
}

impl Capabilities {
    /// Asks the server.
    pub async fn of(conn: &mut Conn) -> Result<Self, InstallError> {
        let server = Server::of(conn).await?;
        let database = database(conn).await?;
        let sql = "SELECT CURRENT_USER(), @@global.log_bin, @@session.binlog_format, @@global.read_only, \
                   @@global.log_bin_trust_function_creators";
        let (user, log_bin, binlog_format, read_only, trust) = match conn.query_first(sql).await {
            Ok(row) => row.unwrap_or_default(),
            // Servers to come have no binlog_format: it is always ROW.
            Err(_) => conn.query_first(sql.replace("@@session.binlog_format", "'ROW'")).await?.unwrap_or_default(),
        };
        let (log_bin, read_only, trust): (u8, u8, u8) = (log_bin, read_only, trust);
        let grants: Vec<String> = conn.query("SHOW GRANTS").await?;
        let grants = Grants(&grants);
        let everywhere = |privilege: &str| grants.everywhere(privilege);
        let here = |privilege: &str| grants.here(privilege, &database);
        let administrator = ["SUPER", "SET_USER_ID", "SET_ANY_DEFINER"].into_iter().any(everywhere);
        let monitor = match server.is_mariadb() {
            true => conn.query_drop("SHOW MASTER STATUS").await.is_ok(),
            false => everywhere("REPLICATION CLIENT") || everywhere("SUPER"),
        };
        Ok(Self {
            user,
            log_bin: log_bin == 1,
            binlog_format,
            replication: everywhere("REPLICATION SLAVE") || everywhere("REPLICATION REPLICA"),
            monitor,
            trigger: ["TRIGGER", "CREATE", "INSERT", "SELECT", "UPDATE", "DELETE"].into_iter().all(here),
            untrusted: log_bin == 1 && trust == 0 && !administrator,
            read_only: read_only == 1 && !everywhere("SUPER") && !everywhere("READ_ONLY ADMIN"),
            installed: Found::of(conn).await?.is_made(),
            server,
            database,
        })
    }

    /// Why the binlog cannot be read, each with what to do. Empty: it can.
    pub fn against_binlog(&self) -> Vec<String> {
        let mut against = Vec::new();
        if !self.log_bin {
            against.push("the server keeps no binlog: write log_bin=binlog and server_id=1 into its configuration, and restart it".into());
        } else if !self.binlog_format.eq_ignore_ascii_case("ROW") {
            against.push(format!(
                "binlog_format is {}: SET GLOBAL binlog_format = 'ROW', and in the configuration; connections that are open keep the old one",
                self.binlog_format
            ));
        }
        let missing: Vec<&str> = [
            (self.replication, "REPLICATION SLAVE"),
            (self.monitor, if self.server.is_mariadb() { "BINLOG MONITOR" } else { "REPLICATION CLIENT" }),
        ]
        .into_iter()
        .filter(|(has, _)| !has)
        .map(|(_, privilege)| privilege)
        .collect();
        if !missing.is_empty() {
            against.push(format!(
                "user {} may not read the binlog: GRANT {} ON *.* TO {}",
                self.user,
                missing.join(", "),
                account(&self.user)
            ));
        }
        against
    }

    /// Why triggers cannot be used, each with what to do. Empty: they can.
    pub fn against_outbox(&self) -> Vec<String> {
        let mut against = Vec::new();
        if self.read_only {
            against.push("the server is read-only: give Rowcast the address of the one that is written to".into());
        }
        if !self.trigger && !self.installed {
            against.push(format!(
                "user {} may not make tables and triggers: GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, TRIGGER ON {}.* TO {}",
                self.user,
                super::quote(&self.database),
                account(&self.user)
            ));
        }
        if self.untrusted && !self.installed {
            against.push("with a binlog only the administrator may make triggers: SET GLOBAL log_bin_trust_function_creators = 1".into());
        }
        against
    }
}

/// `app@%` → `'app'@'%'`
pub(crate) fn account(user: &str) -> String {
    let (name, host) = user.rsplit_once('@').unwrap_or((user, "%"));
    format!("'{}'@'{}'", name.replace('\'', "''"), host.replace('\'', "''"))
}

/// What SHOW GRANTS says.
struct Grants<'a>(&'a [String]);

impl Grants<'_> {
    fn everywhere(&self, privilege: &str) -> bool {
        self.any(privilege, |on| on == "*.*")
    }

    fn here(&self, privilege: &str, database: &str) -> bool {
        let own = format!("{}.*", super::quote(database)).to_lowercase();
        self.any(privilege, |on| on == "*.*" || on.replace("\\_", "_").to_lowercase() == own || on.contains('%'))
    }

    /// `GRANT SELECT, TRIGGER ON *.* TO …`
    fn any(&self, privilege: &str, counts: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|line| {
            let Some((privileges, rest)) = line.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON ")) else {
                return false;
            };
            let on = rest.split(" TO ").next().unwrap_or_default();
            let has = |wanted: &str| privileges.split(", ").any(|one| one.trim() == wanted);
            counts(on.trim()) && (has("ALL PRIVILEGES") || has("ALL") || has(privilege))
        })
    }
}

/// Which way changes are captured, with a sentence on what that promises; else what to do.
pub fn choose(settings: &MysqlSettings, able: &Capabilities) -> Result<(Mode, String), String> {
    let (oldest, named) = if able.server.is_mariadb() { ((10, 6), "MariaDB 10.6") } else { ((8, 0), "MySQL 8.0") };
    let (major, minor, _) = able.server.version;
    if (major, minor) < oldest {
        return Err(format!("the server is {}; Rowcast needs {named} or later", able.server));
    }
    let (binlog, outbox) = (able.against_binlog(), able.against_outbox());
    match settings.capture {
        Capture::Binlog | Capture::Auto if binlog.is_empty() => Ok((Mode::Binlog, BY_BINLOG.to_owned())),
        Capture::Binlog => Err(format!("changes cannot be captured from the binlog: {}", binlog.join("; "))),
        Capture::Outbox if outbox.is_empty() => Ok((Mode::Outbox, format!("triggers, as configured. {BY_OUTBOX}"))),
        Capture::Outbox => Err(format!("changes cannot be captured by triggers: {}", outbox.join("; "))),
        Capture::Auto if outbox.is_empty() => {
            Ok((Mode::Outbox, format!("triggers, because {}. {BY_OUTBOX}", binlog.join("; "))))
        }
        Capture::Auto => Err(format!(
            "changes can be captured neither from the binlog ({}) nor by triggers ({})",
            binlog.join("; "),
            outbox.join("; ")
        )),
    }
}

const BY_BINLOG: &str = "row binlog: every committed change once, in commit order, across restarts of either side";
const BY_OUTBOX: &str = "Every committed change once, in an order that respects every row's, across restarts of either side, but \
                         not those of foreign keys' cascades and of TRUNCATE; each write costs a second one";

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> Capabilities {
        Capabilities {
            server: Server::read("10.11.6-MariaDB"),
            database: "shop".into(),
            user: "me@%".into(),
            log_bin: true,
            binlog_format: "ROW".into(),
            replication: true,
            monitor: true,
            trigger: true,
            untrusted: false,
            read_only: false,
            installed: false,
        }
    }

    #[track_caller]
    fn check(capture: Capture, able: &Capabilities, expected: Result<Mode, &str>) {
        let settings = MysqlSettings { capture, ..MysqlSettings::default() };
        match (choose(&settings, able), expected) {
            (Ok((mode, _)), Ok(expected)) => assert_eq!(mode, expected),
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
            (found, expected) => panic!("{found:?} {expected:?}"),
        }
    }

    #[test]
    fn the_binlog_where_it_is_allowed_else_triggers() {
        check(Capture::Auto, &able(), Ok(Mode::Binlog));
        check(Capture::Outbox, &able(), Ok(Mode::Outbox));
        check(Capture::Auto, &Capabilities { log_bin: false, ..able() }, Ok(Mode::Outbox));
        check(Capture::Auto, &Capabilities { binlog_format: "MIXED".into(), ..able() }, Ok(Mode::Outbox));
        check(Capture::Auto, &Capabilities { replication: false, ..able() }, Ok(Mode::Outbox));
        let neither = Capabilities { monitor: false, trigger: false, ..able() };
        check(Capture::Auto, &neither, Err("GRANT BINLOG MONITOR ON *.* TO 'me'@'%'"));
        check(Capture::Auto, &neither, Err("TRIGGER ON `shop`.* TO 'me'@'%'"));
        check(Capture::Binlog, &Capabilities { log_bin: false, ..able() }, Err("log_bin=binlog"));
        check(Capture::Outbox, &Capabilities { untrusted: true, ..able() }, Err("log_bin_trust_function_creators"));
        let old = Capabilities { server: Server::read("5.7.44-log"), ..able() };
        check(Capture::Auto, &old, Err("MySQL 5.7.44; Rowcast needs MySQL 8.0"));
    }

    #[test]
    fn grants_are_read() {
        let lines = [
            "GRANT USAGE ON *.* TO `me`@`%`".to_owned(),
            "GRANT REPLICATION SLAVE, SELECT ON *.* TO `me`@`%`".to_owned(),
            "GRANT ALL PRIVILEGES ON `shop\\_a`.* TO `me`@`%`".to_owned(),
        ];
        let grants = Grants(&lines);
        assert!(grants.everywhere("REPLICATION SLAVE") && !grants.everywhere("TRIGGER"));
        assert!(grants.here("TRIGGER", "shop_a") && grants.here("SELECT", "x") && !grants.here("TRIGGER", "x"));
    }
}
