//! The server, the role, and what is between them and Rowcast.

use std::time::SystemTime;

use tokio_postgres::Client;

use super::{Findings, State};
use crate::postgres::name::quote;
use crate::postgres::{Address, Capture, PostgresSettings};

/// A clock that differs by more makes times in logs and tokens hard to compare.
const CLOCK_SECONDS: f64 = 5.0;

/// What the other parts need to know of the server.
pub(super) struct Server {
    /// 150019 is 15.19.
    pub(super) version: i32,
    pub(super) logical: bool,
    pub(super) may_replicate: bool,
    /// A read-only copy of another server.
    pub(super) replica: bool,
    pub(super) role: String,
}

impl Server {
    /// Whether changes can be read from the write-ahead log.
    pub(super) fn can_stream(&self) -> bool {
        self.logical && self.may_replicate && !self.replica
    }
}

pub(super) async fn look(
    address: &Address,
    client: &Client,
    settings: &PostgresSettings,
    findings: &mut Findings,
) -> Result<Server, tokio_postgres::Error> {
    let row = client
        .query_one(
            "select current_setting('server_version_num')::int, current_setting('server_version'),
                    current_setting('wal_level') = 'logical',
                    exists (select from pg_roles where rolname = current_user and (rolreplication or rolsuper))
                        or coalesce((select pg_has_role(current_user, oid, 'member') from pg_roles
                                     where rolname in ('rds_replication', 'cloudsqlreplication') limit 1), false),
                    pg_is_in_recovery(), current_user::text, current_database()::text,
                    extract(epoch from clock_timestamp())::float8, current_setting('wal_level')",
            &[],
        )
        .await?;
    let server = Server {
        version: row.get(0),
        logical: row.get(2),
        may_replicate: row.get(3),
        replica: row.get(4),
        role: row.get(5),
    };
    let (shown, database): (String, String) = (row.get(1), row.get(6));
    let about = format!("PostgreSQL {shown}, database {database}, role {}", server.role);
    if server.version < 140_000 {
        findings.add(State::Broken, "server", format!("{about}: Rowcast needs PostgreSQL 14 or newer"));
    } else {
        findings.add(State::Good, "server", about);
    }
    if server.replica {
        let message = "this is a read-only replica: nothing can be captured here; name the primary in the URL (or several hosts, with target_session_attrs=read-write)";
        findings.add(State::Broken, "replica", message);
    }
    wal_level(&server, &row.get::<_, String>(8), settings, findings);
    clock(row.get(7), findings);
    pooler(address, client, findings).await?;
    notifications(client, findings).await?;
    Ok(server)
}

fn wal_level(server: &Server, level: &str, settings: &PostgresSettings, findings: &mut Findings) {
    let needed = if settings.capture == Capture::Wal { State::Broken } else { State::Advice };
    if server.logical {
        findings.add(State::Good, "wal_level", "logical: changes can be read from the write-ahead log");
    } else {
        let message = format!(
            "{level}: changes cannot be read from the write-ahead log, so triggers write them to an outbox; set it to logical and restart the server (hosted databases have a switch for it)"
        );
        findings.mend(needed, "wal_level", message, ["ALTER SYSTEM SET wal_level = 'logical'".into()]);
    }
    if server.may_replicate {
        findings.add(State::Good, "replication privilege", "the role may open a replication connection");
    } else {
        let role = &server.role;
        let message = format!("the role {role} may not open a replication connection");
        let sql = format!("ALTER ROLE {} REPLICATION", quote(role));
        findings.mend(needed, "replication privilege", message, [sql]);
    }
    let (mode, guarantee) = match (settings.capture, server.can_stream()) {
        (Capture::Auto | Capture::Wal, true) => {
            ("write-ahead log", "every committed change once, in the order of commits, whoever made it")
        }
        (Capture::Outbox, _) | (Capture::Auto, false) => (
            "outbox triggers",
            "every committed change once, a transaction's together and each row's in order; one more insert for each change",
        ),
        (Capture::Wal, false) => ("none", "postgres.capture = \"wal\" cannot be had here"),
    };
    findings.add(State::Good, "mode", format!("{mode}: {guarantee}"));
}

fn clock(server: f64, findings: &mut Findings) {
    let own = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let apart = (server - own).abs();
    if apart > CLOCK_SECONDS {
        let message = format!("the server's clock and this machine's are {apart:.0} s apart; synchronise both (NTP)");
        findings.add(State::Warning, "clock", message);
    } else {
        findings.add(State::Good, "clock", format!("{:.0} ms apart from this machine's", apart * 1_000.0));
    }
}

/// A transaction pooler gives each transaction another server process: LISTEN and replication cannot go through it.
async fn pooler(address: &Address, client: &Client, findings: &mut Findings) -> Result<(), tokio_postgres::Error> {
    let own: i32 = client.query_one("select pg_backend_pid()", &[]).await?.get(0);
    let Ok(other) = address.connect("rowcast doctor").await else { return Ok(()) };
    // While the other one keeps a server process busy, this one would get another.
    other.batch_execute("begin").await?;
    let others: i32 = other.query_one("select pg_backend_pid()", &[]).await?.get(0);
    let now: i32 = client.query_one("select pg_backend_pid()", &[]).await?.get(0);
    other.batch_execute("rollback").await?;
    if others == own || now != own {
        let message = "a pooler in transaction mode (PgBouncer, Supavisor) is in between: neither replication nor LISTEN works through it; give Rowcast the database's own address";
        findings.add(State::Broken, "pooler", message);
    } else {
        findings.add(State::Good, "pooler", "none that shares server processes between clients");
    }
    Ok(())
}

async fn notifications(client: &Client, findings: &mut Findings) -> Result<(), tokio_postgres::Error> {
    let used: f64 = client.query_one("select pg_notification_queue_usage()", &[]).await?.get(0);
    if used > 0.1 {
        let message = format!(
            "NOTIFY's queue is {:.0} % full: some client LISTENs in a transaction that it does not end; when the queue is full, commits with NOTIFY fail",
            used * 100.0
        );
        findings.add(State::Warning, "NOTIFY queue", message);
    }
    Ok(())
}
