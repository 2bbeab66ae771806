//! The way to a running stream: which server this is, whether its slot can go on from where the log stands, and a slot made
//! anew where it cannot.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::shared::Shared;
use super::tables::{Captured, captured};
use crate::event::{Body, Change, Channel, Place, ResetCause, TableName};
use crate::postgres::place::Part;
use crate::postgres::wire::{Flow, Replication, WireError};
use crate::postgres::{Address, Lsn, PostgresSettings, Types, WalPlace};
use crate::source::SourceError;
use crate::source::now_ms;
use crate::source::postgres::answered;
use crate::source::postgres::slot::{Slot, Verdict, create_sql, start_sql};
use crate::source::postgres::slot_history::Server;

/// How often a slot that somebody else uses is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// Our own dead connection takes a moment to end.
const UNTIL_ENDED: Duration = Duration::from_millis(30);
/// After so long it is said what is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// What waits in memory between the server and us.
const WAITING_MAX: usize = 4 << 20;

/// What a beginning needs to know.
#[derive(Debug, Clone)]
pub(super) struct Begin {
    pub(super) address: Address,
    pub(super) settings: PostgresSettings,
    pub(super) types: Arc<Types>,
    pub(super) shared: Arc<Shared>,
    /// Where the log stands.
    pub(super) place: Option<Place>,
    /// Why the slot is made anew whatever it says of itself.
    pub(super) given_up: Option<String>,
}

/// A stream that runs.
pub(super) struct Begun {
    pub(super) wire: Replication,
    pub(super) client: Client,
    pub(super) at: WalPlace,
    /// What comes before the stream; `None` where the log stands at `at` already.
    pub(super) first: Option<Vec<Change>>,
    pub(super) captured: Captured,
    /// Everything that was seen of the catalog is in the stream before this, and in every snapshot that contains that.
    pub(super) seen: Lsn,
    pub(super) tx: u64,
}

impl Begin {
    /// What this gateway calls itself: how it knows its own dead connection again.
    pub(super) fn application(&self) -> String {
        format!("rowcast-{}", self.settings.instance)
    }

    /// Begins to read. Waits for as long as another gateway uses the slot.
    pub(super) async fn run(mut self) -> Result<Begun, SourceError> {
        let _waiting = Waiting(self.shared.clone());
        let client = self.address.connect(&self.application()).await?;
        let mut wire = Replication::connect(&self.address, &self.application()).await?;
        loop {
            self.free(&client).await?;
            let captured = self.answered(self.captured(&client)).await?;
            let tx = self.answered(now(&client)).await?;
            self.shared.set_near(tx);
            let server = self.answered(server(&client, &mut wire)).await?;
            let (at, first) = self.slot(&client, &mut wire, &server, &captured).await?;
            let streaming = self.settings.streaming;
            let sql = start_sql(&self.settings.slot, at.lsn, &captured.publications, streaming);
            let flow = Flow { dead_after: self.settings.dead_after, memory: WAITING_MAX, ..Flow::default() };
            let started = match timeout(self.settings.dead_after, wire.start(&sql, flow)).await {
                Ok(started) => started,
                Err(_) => return Err(SourceError::retry("the database does not begin to send; connecting again")),
            };
            match started {
                Ok(()) => return Ok(Begun { wire, client, at, first, captured, seen: server.flushed, tx }),
                // Somebody was faster.
                Err(error) if error.code.as_deref() == Some("55006") => sleep(UNTIL_ENDED).await,
                Err(error) if is_lost(&error) && self.given_up.is_none() => {
                    let slot = &self.settings.slot;
                    self.given_up = Some(format!("the replication slot `{slot}` cannot go on: {error}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until nobody uses the slot. A dead connection of this very gateway is ended.
    async fn free(&self, client: &Client) -> Result<(), SourceError> {
        let slot = &self.settings.slot;
        while let Some(user) = self.answered(SlotUser::find(client, slot)).await? {
            if user.is_walsender && user.application == self.application() {
                client.execute("SELECT pg_terminate_backend($1)", &[&user.process]).await?;
                sleep(UNTIL_ENDED).await;
                continue;
            }
            let SlotUser { process, application, from, .. } = user;
            self.shared.wait_for(Some(format!(
                "another Rowcast uses the replication slot `{slot}` (process {process}, `{application}`, from {from}): this one \
                 waits until it ends; two gateways on one database need two slots"
            )));
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    async fn answered<T, E: Into<SourceError>>(
        &self,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<T, SourceError> {
        answered(self.settings.dead_after, asked).await
    }

    async fn captured(&self, client: &Client) -> Result<Captured, SourceError> {
        let captured = captured(client, &self.types, &self.settings).await?;
        if captured.publications.is_empty() {
            return Err(SourceError::stop(format!(
                "capture is not set up in this database: there is no publication `{}`; run `rowcast setup` first",
                self.settings.publication
            )));
        }
        Ok(captured)
    }

    /// Where to read from, with a slot that has everything from there on.
    async fn slot(
        &self,
        client: &Client,
        wire: &mut Replication,
        server: &Server,
        captured: &Captured,
    ) -> Result<(WalPlace, Option<Vec<Change>>), SourceError> {
        let name = &self.settings.slot;
        let here = |lsn| WalPlace { system: server.system, timeline: server.timeline, lsn, part: None };
        let place = self.place.as_ref().and_then(WalPlace::of);
        let found = self.answered(Slot::find(client, name)).await?;
        let verdict = Slot::judge(found.as_ref(), name, place.as_ref(), &server.database);
        if let Verdict::Foreign(message) = verdict {
            return Err(SourceError::stop(message));
        }
        let branches = match place {
            Some(place) if place.timeline != server.timeline && server.timeline > 1 => {
                self.answered(branches(wire, server)).await?
            }
            _ => None,
        };
        let contradiction = place.and_then(|place| server.contradicts(&place, branches.as_deref()));
        let reason = match (&self.place, verdict) {
            (None, Verdict::Good) => {
                let confirmed = found.and_then(|slot| slot.confirmed()).unwrap_or_default();
                return Ok((here(server.flushed.max(confirmed)), Some(Vec::new())));
            }
            _ if self.given_up.is_some() => self.given_up.clone(),
            _ if contradiction.is_some() => contradiction,
            (Some(_), Verdict::Good) => match place {
                // From here on it is written with this server's timeline.
                Some(place) => return Ok((WalPlace { timeline: server.timeline, ..place }, None)),
                None => Some(
                    "changes were captured in another way before, and what happened in between is not known".into(),
                ),
            },
            (_, Verdict::Useless(reason)) => Some(reason),
            _ => Some(format!("the replication slot `{name}` was gone, and what was changed meanwhile is not known")),
        };
        if found.is_some() {
            self.drop_slot(client).await?;
        }
        let at = here(self.create(client, wire, server).await?);
        let reason = reason.filter(|_| self.place.is_some());
        let first = match reason {
            None => Vec::new(),
            Some(reason) => {
                tracing::warn!(slot = &**name, "{reason}; clients begin anew");
                resets(client, captured, place.and_then(|place| place.part), &reason).await?
            }
        };
        Ok((at, Some(first)))
    }

    async fn drop_slot(&self, client: &Client) -> Result<(), SourceError> {
        loop {
            let dropped = client.execute("SELECT pg_drop_replication_slot($1)", &[&self.settings.slot]).await;
            match dropped.as_ref().err().and_then(|error| error.code()).map(|code| code.code()) {
                Some("55006") => self.free(client).await?,
                Some("42704") => return Ok(()),
                _ => return Ok(dropped.map(drop)?),
            }
        }
    }

    /// Makes the slot. Returns where it begins: transactions that end after this are whole in it.
    async fn create(&self, client: &Client, wire: &mut Replication, server: &Server) -> Result<Lsn, SourceError> {
        let sql = create_sql(&self.settings.slot, self.settings.temporary, server);
        let mut made = std::pin::pin!(wire.query(&sql));
        let rows = loop {
            if let Ok(rows) = timeout(PATIENCE, &mut made).await {
                break rows?;
            }
            self.shared.wait_for(Some(
                "a replication slot is being made, which waits for every transaction that is open now to end: \
                 pg_stat_activity shows them, by xact_start"
                    .to_owned(),
            ));
            // However long that takes: as long as the server is there.
            self.answered(client.simple_query("SELECT")).await?;
        };
        let begin = rows.first().and_then(|row| row.get(1)?.as_ref()?.parse().ok());
        begin.ok_or_else(|| SourceError::retry("the server did not say where the new replication slot begins"))
    }
}

/// While this is there, something may be waited for.
struct Waiting(Arc<Shared>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.wait_for(None);
    }
}

/// The server will not send what the slot is asked for.
fn is_lost(error: &WireError) -> bool {
    matches!(error.code.as_deref(), Some("55000" | "42704" | "58P01"))
}

/// Who uses a slot.
struct SlotUser {
    process: i32,
    application: String,
    from: String,
    is_walsender: bool,
}

impl SlotUser {
    async fn find(client: &Client, slot: &str) -> Result<Option<Self>, tokio_postgres::Error> {
        let sql = "SELECT s.active_pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), 'a socket'),
                          coalesce(a.backend_type = 'walsender', false)
                     FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
                    WHERE s.slot_name = $1 AND s.active_pid IS NOT NULL AND s.active_pid <> pg_backend_pid()";
        let row = client.query_opt(sql, &[&slot]).await?;
        Ok(row.map(|row| Self {
            process: row.get(0),
            application: row.get(1),
            from: row.get(2),
            is_walsender: row.get(3),
        }))
    }
}

async fn server(client: &Client, wire: &mut Replication) -> Result<Server, SourceError> {
    let rows = wire.query("IDENTIFY_SYSTEM").await?;
    let field = |n: usize| rows.first().and_then(|row| row.get(n)?.as_deref());
    let identity = || Some((field(0)?.parse().ok()?, field(1)?.parse().ok()?, field(2)?.parse().ok()?));
    let (system, timeline, flushed) =
        identity().ok_or_else(|| SourceError::retry("the server did not say which one it is"))?;
    let sql = "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), current_database()::text";
    let row = client.query_one(sql, &[]).await?;
    let version = u32::try_from(row.get::<_, i32>(0)).unwrap_or(0);
    Ok(Server { system, timeline, flushed, version, standby: row.get(1), database: row.get(2) })
}

/// Where the server's timeline branched off, and its forebears theirs.
async fn branches(wire: &mut Replication, server: &Server) -> Result<Option<String>, SourceError> {
    let rows = wire.query(&format!("TIMELINE_HISTORY {}", server.timeline)).await?;
    let content = rows.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten());
    // A bytea, which old versions send as it is and new ones may print in hexadecimal.
    Ok(content.map(|text| unhex(&text).unwrap_or(text)))
}

fn unhex(text: &str) -> Option<String> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    String::from_utf8(digits.chunks(2).map(byte).collect::<Option<_>>()?).ok()
}

/// The number of a transaction that every snapshot taken from now on contains, and none that was taken before.
pub(super) async fn now(client: &Client) -> Result<u64, SourceError> {
    let sql =
        "SELECT CASE WHEN pg_is_in_recovery() THEN (pg_snapshot_xmax(pg_current_snapshot())::text::numeric - 1)::text
                           ELSE pg_current_xact_id()::text END";
    let number = client.query_one(sql, &[]).await?.get::<_, &str>(0).parse();
    number.map_err(|_| SourceError::retry("the server did not tell a transaction's number"))
}

/// A reset of every captured table, which concerns everybody whose snapshot is older.
async fn resets(
    client: &Client,
    captured: &Captured,
    open: Option<Part>,
    reason: &str,
) -> Result<Vec<Change>, SourceError> {
    let tx = now(client).await?;
    let names: Vec<&TableName> = captured.tables.iter().map(|(_, table)| &table.name).collect();
    let mut changes: Vec<Change> = names.iter().map(|name| reset(tx, name, ResetCause::Missed, reason)).collect();
    if let Some(last) = changes.last_mut() {
        last.last = true;
    }
    // A transaction that was read half ends.
    if let (Some(open), Some(first)) = (open, names.first()) {
        changes.insert(0, Change { last: true, ..reset(open.tx, first, ResetCause::Missed, reason) });
    }
    Ok(changes)
}

fn reset(tx: u64, table: &TableName, cause: ResetCause, reason: &str) -> Change {
    let body = Body::Reset { channel: Channel::Table(table.clone()), cause, reason: reason.into() };
    Change { tx, last: false, time_ms: now_ms(), body }
}

/// Drops what nobody can use any more: the slot of this name, after ending our own connection to it.
pub(in crate::source::postgres) async fn let_go(
    client: &Client,
    settings: &PostgresSettings,
) -> Result<(), tokio_postgres::Error> {
    let application = format!("rowcast-{}", settings.instance);
    for _ in 0..50 {
        match SlotUser::find(client, &settings.slot).await? {
            Some(user) if user.is_walsender && user.application == application => {
                client.execute("SELECT pg_terminate_backend($1)", &[&user.process]).await?;
                sleep(UNTIL_ENDED).await;
            }
            _ => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_comes_as_it_is_or_in_hexadecimal() {
        assert_eq!(unhex("\\x3109302f31").as_deref(), Some("1\t0/1"));
        assert_eq!(unhex("1\t0/1"), None);
        assert_eq!(unhex("\\x3"), Some("\u{3}".to_owned()));
    }
}
