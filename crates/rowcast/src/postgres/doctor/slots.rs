//! Replication slots: ours, others' and forgotten ones, and what they hold back.

use tokio_postgres::Client;

use super::server::Server;
use super::{Findings, State, shown};
use crate::postgres::PostgresSettings;

pub(super) async fn look(
    client: &Client,
    settings: &PostgresSettings,
    server: &Server,
    findings: &mut Findings,
) -> Result<(), tokio_postgres::Error> {
    if server.replica {
        return Ok(());
    }
    room(client, settings, server, findings).await?;
    let rows = client
        .query(
            "select s.slot_name::text, coalesce(s.database, '')::text, s.active, s.temporary,
                    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::int8,
                    coalesce(s.wal_status, '')::text, coalesce(a.application_name, '')::text, coalesce(s.plugin, '')::text
             from pg_replication_slots s left join pg_stat_activity a on a.pid = s.active_pid order by 1",
            &[],
        )
        .await?;
    let mut own = false;
    for row in &rows {
        let slot = Slot {
            name: row.get(0),
            database: row.get(1),
            active: row.get(2),
            temporary: row.get(3),
            retained: row.get(4),
            status: row.get(5),
            user: row.get(6),
        };
        own |= slot.name == settings.slot;
        slot.tell(settings, findings);
    }
    if !own && server.can_stream() {
        findings.add(
            State::Advice,
            "slot",
            format!("there is no slot `{}` yet; `rowcast serve` makes it", settings.slot),
        );
    }
    Ok(())
}

struct Slot {
    name: String,
    database: String,
    active: bool,
    temporary: bool,
    retained: i64,
    status: String,
    /// The application that reads it.
    user: String,
}

impl Slot {
    fn tell(&self, settings: &PostgresSettings, findings: &mut Findings) {
        let about = format!("slot {}", self.name);
        let own = self.name == settings.slot;
        let retained = shown(self.retained);
        let drop = format!("SELECT pg_drop_replication_slot('{}')", self.name.replace('\'', "''"));
        if self.status == "lost" {
            let message =
                "it has lost its write-ahead log; `rowcast serve` makes it anew and gives clients fresh snapshots";
            let message = if own { message } else { "it has lost its write-ahead log, and is of no use any more" };
            return findings.mend(State::Warning, about, message, [drop]);
        }
        let limit = settings.wal.warn.map_or(1 << 30, |bytes| bytes as i64);
        let used = if self.active { format!("read by `{}`", self.user) } else { "read by nobody".to_owned() };
        match (own, self.active) {
            (true, _) if self.retained > limit => {
                let message = format!(
                    "{used}, it holds back {retained} of write-ahead log; start `rowcast serve`, or drop the slot if Rowcast is not to come back"
                );
                findings.mend(State::Warning, about, message, [drop]);
            }
            (true, _) => findings.add(State::Good, about, format!("{used}, holds back {retained} of write-ahead log")),
            (false, false) if self.name.starts_with("rowcast") && !self.temporary => {
                let message = format!(
                    "{used}, it holds back {retained} of write-ahead log of database `{}`: is it one that some other Rowcast left behind?",
                    self.database
                );
                findings.mend(State::Warning, about, message, [drop]);
            }
            (false, false) if self.retained > limit => {
                let message = format!("not Rowcast's, {used}, and holds back {retained} of write-ahead log");
                findings.mend(State::Warning, about, message, [drop]);
            }
            (false, _) => {}
        }
    }
}

/// Whether there is room for one more slot and its connection, and a limit to what slots may hold back.
async fn room(
    client: &Client,
    settings: &PostgresSettings,
    server: &Server,
    findings: &mut Findings,
) -> Result<(), tokio_postgres::Error> {
    if !server.logical {
        return Ok(());
    }
    let row = client
        .query_one(
            "select current_setting('max_replication_slots')::int8 - (select count(*) from pg_replication_slots where slot_name <> $1),
                    current_setting('max_wal_senders')::int8 - (select count(*) from pg_stat_replication where application_name not like 'rowcast-%'),
                    (select setting::int8 from pg_settings where name = 'max_slot_wal_keep_size')",
            &[&settings.slot],
        )
        .await?;
    let (slots, senders, keep): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    for (free, setting) in [(slots, "max_replication_slots"), (senders, "max_wal_senders")] {
        if free < 1 {
            let sql = format!("ALTER SYSTEM SET {setting} = {}", 20.max(10 - free));
            findings.mend(State::Broken, setting, "none is left for Rowcast; raise it and restart the server", [sql]);
        } else {
            findings.add(State::Good, setting, format!("{free} left"));
        }
    }
    if keep < 0 {
        let message = "there is no limit to what a slot may hold back while Rowcast is stopped, and a full disk stops the database; with a limit, a slot that exceeds it is given up and clients get fresh snapshots";
        let sql = ["ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'".into(), "SELECT pg_reload_conf()".into()];
        findings.mend(State::Advice, "max_slot_wal_keep_size", message, sql);
    } else {
        findings.add(State::Good, "max_slot_wal_keep_size", format!("{keep} MB"));
    }
    Ok(())
}
