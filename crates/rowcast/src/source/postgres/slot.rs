//! The replication slot: whether it can go on from where the log stands, and how it is made anew where it cannot.
//!
//! Decides; leaves what follows for clients to `wal`.

use serde::Deserialize;
use tokio_postgres::Client;

use super::slot_history::Server;
use crate::postgres::name::quote;
use crate::postgres::{Lsn, WalPlace};

/// A slot as `pg_replication_slots` describes it. What a server's version does not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Slot {
    pub(super) plugin: Option<String>,
    pub(super) database: Option<String>,
    #[serde(default)]
    pub(super) temporary: bool,
    pub(super) active_pid: Option<i32>,
    pub(super) wal_status: Option<String>,
    restart_lsn: Option<String>,
    confirmed_flush_lsn: Option<String>,
    /// From 16 on: a standby's slot that its primary has overtaken.
    conflicting: Option<bool>,
    /// From 17 on: why the server has given it up.
    pub(super) invalidation_reason: Option<String>,
}

/// What can be done with a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has everything after the log's place.
    Good,
    /// There is none.
    Missing,
    /// It does not have everything; the sentence says why.
    Useless(String),
    /// It is somebody else's; the sentence says what to do.
    Foreign(String),
}

impl Slot {
    /// Looks a slot up. `None`: there is none.
    pub(super) async fn find(client: &Client, name: &str) -> Result<Option<Self>, tokio_postgres::Error> {
        // As JSON, because each version of PostgreSQL has other columns.
        let sql = "SELECT to_jsonb(s)::text FROM pg_replication_slots s WHERE slot_name = $1";
        let row = client.query_opt(sql, &[&name]).await?;
        // A column of another type than today's would be a version to come; what it says is then not known.
        Ok(row.map(|row| serde_json::from_str(row.get(0)).unwrap_or_default()))
    }

    /// Everything up to here has been confirmed, and is not sent again.
    pub(super) fn confirmed(&self) -> Option<Lsn> {
        self.confirmed_flush_lsn.as_ref()?.parse().ok()
    }

    /// From here on the server keeps its write-ahead log for it.
    pub(super) fn kept_from(&self) -> Option<Lsn> {
        self.restart_lsn.as_ref()?.parse().ok()
    }

    /// Why the server will not send anything for it any more.
    pub(super) fn lost(&self) -> Option<String> {
        if self.wal_status.as_deref() == Some("lost") || self.invalidation_reason.is_some() {
            let reason = match self.invalidation_reason.as_deref() {
                None | Some("wal_removed") => {
                    "it held back more write-ahead log than the server allows (max_slot_wal_keep_size)"
                }
                Some("rows_removed") => "rows of the catalog that it needs were removed",
                Some("wal_level_insufficient") => "the server's wal_level was below `logical` for a while",
                Some("idle_timeout") => {
                    "nobody read it for longer than the server allows (idle_replication_slot_timeout)"
                }
                Some(_) => "the server has given it up",
            };
            return Some(reason.to_owned());
        }
        let conflicting = self.conflicting == Some(true);
        conflicting.then(|| "it was in the way of the standby's recovery".to_owned())
    }

    /// What can be done with it by a log that stands at `place`.
    pub(super) fn judge(slot: Option<&Self>, name: &str, place: Option<&WalPlace>, database: &str) -> Verdict {
        let Some(slot) = slot else { return Verdict::Missing };
        let plugin = slot.plugin.as_deref().unwrap_or("none");
        if plugin != "pgoutput" || slot.database.as_deref().is_some_and(|other| other != database) {
            let of = slot.database.as_deref().unwrap_or("no database");
            return Verdict::Foreign(format!(
                "the replication slot `{name}` belongs to something else (plugin {plugin}, {of}): choose another name for \
                 Rowcast's slot, or drop that one with SELECT pg_drop_replication_slot('{name}')",
            ));
        }
        if let Some(reason) = slot.lost() {
            return Verdict::Useless(format!("the replication slot `{name}` was lost: {reason}"));
        }
        match (place, slot.confirmed()) {
            (Some(place), Some(confirmed)) if confirmed > place.lsn => Verdict::Useless(format!(
                "the replication slot `{name}` has moved on to {confirmed}, and the log has nothing after {}",
                place.lsn
            )),
            (_, None) => Verdict::Useless(format!("the replication slot `{name}` was never completed")),
            _ => Verdict::Good,
        }
    }
}

/// The statement of the replication protocol that makes a slot whose begin is told.
pub(super) fn create_sql(name: &str, temporary: bool, server: &Server) -> String {
    let temporary_word = if temporary { "TEMPORARY " } else { "" };
    let options = match server.version {
        // Slots that a standby takes over exist from 17 on, and only a primary has them.
        170_000.. if !temporary && !server.standby => " (SNAPSHOT 'nothing', FAILOVER)",
        150_000.. => " (SNAPSHOT 'nothing')",
        _ => " NOEXPORT_SNAPSHOT",
    };
    format!("CREATE_REPLICATION_SLOT {} {temporary_word}LOGICAL pgoutput{options}", quote(name))
}

/// The statement of the replication protocol that begins to read, after everything that ended at `after`.
pub(super) fn start_sql(name: &str, after: Lsn, publications: &[String], streaming: bool) -> String {
    let list: Vec<String> = publications.iter().map(|name| quote(name)).collect();
    let streaming = if streaming { ", streaming 'on'" } else { "" };
    format!(
        "START_REPLICATION SLOT {} LOGICAL {after} (proto_version '2', publication_names {}, messages 'true'{streaming})",
        quote(name),
        literal(&list.join(",")),
    )
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(json: &str) -> Slot {
        serde_json::from_str(json).expect(json)
    }

    #[track_caller]
    fn check(json: &str, place: Option<&str>, verdict: &str) {
        let place = place.map(|lsn| format!("wal:1/1/{lsn}").parse().expect("a place"));
        let found = match Slot::judge(Some(&slot(json)), "rowcast", place.as_ref(), "shop") {
            Verdict::Good => "good".to_owned(),
            Verdict::Missing => "missing".to_owned(),
            Verdict::Useless(reason) | Verdict::Foreign(reason) => reason,
        };
        assert!(found.contains(verdict), "{found}");
    }

    const GOOD: &str = r#"{"slot_name":"rowcast","plugin":"pgoutput","slot_type":"logical","datoid":5,"database":"shop","temporary":false,
        "active":false,"active_pid":null,"xmin":null,"catalog_xmin":"751","restart_lsn":"0/1C0","confirmed_flush_lsn":"0/200",
        "wal_status":"reserved","safe_wal_size":null,"two_phase":false}"#;

    #[test]
    fn a_slot_goes_on_from_where_it_was_confirmed_or_later() {
        check(GOOD, None, "good");
        check(GOOD, Some("0/200"), "good");
        check(GOOD, Some("1/0"), "good");
        check(GOOD, Some("0/1FF"), "has moved on to 0/200");
    }

    #[test]
    fn a_slot_that_was_given_up_is_useless() {
        check(&GOOD.replace("reserved", "lost"), None, "max_slot_wal_keep_size");
        check(&GOOD.replace("\"two_phase\":false", "\"invalidation_reason\":\"idle_timeout\""), None, "nobody read it");
        check(&GOOD.replace("\"two_phase\":false", "\"conflicting\":true"), None, "standby");
        check(&GOOD.replace("\"0/200\"", "null"), None, "never completed");
    }

    #[test]
    fn a_slot_of_something_else_is_left_alone() {
        check(&GOOD.replace("pgoutput", "wal2json"), None, "choose another name");
        check(&GOOD.replace("shop", "bank"), None, "belongs to something else");
    }

    #[test]
    fn statements_fit_the_version() {
        let server = |version, standby| Server { version, standby, ..Server::default() };
        assert_eq!(
            create_sql("a\"b", false, &server(140_000, false)),
            "CREATE_REPLICATION_SLOT \"a\"\"b\" LOGICAL pgoutput NOEXPORT_SNAPSHOT"
        );
        assert!(
            create_sql("s", true, &server(170_000, false)).ends_with("TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')")
        );
        assert!(create_sql("s", false, &server(180_000, false)).ends_with("(SNAPSHOT 'nothing', FAILOVER)"));
        assert!(!create_sql("s", false, &server(180_000, true)).contains("FAILOVER"));
        let sql = start_sql("s", Lsn(0x1_0000_0002), &["it's".into(), "b".into()], true);
        assert_eq!(
            sql,
            "START_REPLICATION SLOT \"s\" LOGICAL 1/2 (proto_version '2', publication_names '\"it''s\",\"b\"', messages \
             'true', streaming 'on')"
        );
    }
}
