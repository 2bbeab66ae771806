//! The look-out: a second connection that sees what the stream does not tell. Which tables there are, what the slot holds
//! back, whether the slot is still good.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_postgres::Client;

use super::begin::{Begin, now};
use super::shared::{Look, Shared};
use super::tables::{Captured, captured};
use crate::event::TableName;
use crate::postgres::{Lsn, Mode, PostgresSettings, WalPlace, install};
use crate::source::postgres::budget::{self, Verdict};
use crate::source::postgres::slot::Slot;
use crate::source::{SourceError, SourceStatus};

/// What one look may take.
const LONGEST: Duration = Duration::from_secs(10);

/// Looks every now and then, for ever.
pub(super) async fn watch(begin: Begin, captured: Captured) {
    let mut client = None;
    let mut watch =
        Watch { settings: begin.settings.clone(), shared: begin.shared.clone(), begin, captured, joining: Vec::new() };
    let mut ticks = interval(watch.settings.look_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let wrong = match timeout(LONGEST, watch.look(&mut client)).await {
            Ok(Ok(problem)) => problem,
            Ok(Err(error)) => {
                client = None;
                Some(format!("the database cannot be looked at for new tables: {error}"))
            }
            Err(_) => {
                client = None;
                Some("the database does not answer when it is looked at for new tables".to_owned())
            }
        };
        watch.shared.is_wrong(wrong);
    }
}

struct Watch {
    settings: PostgresSettings,
    shared: Arc<Shared>,
    begin: Begin,
    /// What was found last.
    captured: Captured,
    /// Tables that came to be captured while transactions were open that may have written to them before, with the number
    /// that all transactions from then on reach.
    joining: Vec<(TableName, u64)>,
}

/// How the server stands.
struct Standing {
    slot: Option<Slot>,
    /// Every transaction below has ended, and none from the other on had begun.
    oldest: u64,
    next: u64,
    written: Lsn,
    flushed: Lsn,
}

impl Watch {
    /// Looks once. Returns what is wrong.
    async fn look(&mut self, client: &mut Option<Client>) -> Result<Option<String>, SourceError> {
        if client.as_ref().is_none_or(Client::is_closed) {
            *client = Some(self.begin.address.connect(&self.begin.application()).await?);
        }
        let Some(client) = client else { return Ok(None) };
        let refused = self.refresh(client).await;
        let found = captured(client, &self.begin.types, &self.settings).await?;
        let standing = self.standing(client).await?;
        self.shared.set_near(standing.next);
        let (problem, give_up) = self.judge(&standing);
        if found != self.captured || !self.joining.is_empty() || give_up.is_some() {
            let tx = now(client).await?;
            let look = self.compare(found, &standing);
            self.shared.put(Look { at: standing.flushed, tx, give_up, ..look });
        }
        Ok(problem.or(refused))
    }

    /// What there is to tell of the tables.
    fn compare(&mut self, found: Captured, standing: &Standing) -> Look {
        let known = |name: &TableName| self.captured.tables.iter().any(|(_, table)| table.name == *name);
        let new =
            found.tables.iter().filter(|(number, _)| self.captured.tables.iter().all(|(known, _)| known != number));
        let new = new.map(|(_, table)| (table.name.clone(), standing.next));
        // A new one that is settled at once is told once, with the tables themselves.
        let (settled, joining): (Vec<_>, Vec<_>) =
            self.joining.drain(..).chain(new).partition(|(_, from)| standing.oldest >= *from);
        let again = settled.into_iter().map(|(name, _)| name).filter(|name| known(name)).collect();
        self.joining = joining;
        self.captured = found.clone();
        Look { captured: found, again, ..Look::default() }
    }

    /// Fits the publications to the tables. Returns why it cannot.
    async fn refresh(&self, client: &Client) -> Option<String> {
        match install::refresh(client, &self.settings, Mode::Wal).await {
            Ok(sql) if sql.is_empty() => None,
            Ok(sql) => {
                tracing::info!(statements = sql.len(), "what is captured was fitted to the tables");
                None
            }
            Err(error) => Some(format!("what is captured cannot be fitted to the tables: {error}")),
        }
    }

    async fn standing(&self, client: &Client) -> Result<Standing, SourceError> {
        let sql = "SELECT pg_snapshot_xmin(now)::text, pg_snapshot_xmax(now)::text,
                          (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text,
                          (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END)::text
                     FROM pg_current_snapshot() now";
        let row = client.query_one(sql, &[]).await?;
        let number = |n: usize| row.get::<_, &str>(n).parse().unwrap_or(0);
        let lsn = |n: usize| row.get::<_, Option<&str>>(n).and_then(|text| text.parse().ok()).unwrap_or_default();
        let (oldest, next) = (number(0), number(1));
        let slot = Slot::find(client, &self.settings.slot).await?;
        Ok(Standing { slot, oldest, next, written: lsn(2), flushed: lsn(3) })
    }

    /// What is wrong with the slot, and why it has to be given up.
    fn judge(&self, standing: &Standing) -> (Option<String>, Option<String>) {
        let name = &self.settings.slot;
        let kept_from = standing.slot.as_ref().and_then(Slot::kept_from);
        let retained = kept_from.map(|from| standing.written.0.saturating_sub(from.0));
        self.shared.tell(|status| {
            status.retained_bytes = retained;
            let place = status.place.as_ref().and_then(|place| place.parse::<WalPlace>().ok());
            status.lag_bytes = place.map(|place| standing.written.0.saturating_sub(place.lsn.0));
            note_tables(status, &self.captured);
        });
        match &standing.slot {
            None => (Some(format!("the replication slot `{name}` is gone; somebody has dropped it")), None),
            Some(slot) => match (slot.lost(), budget::judge(self.settings.wal, name, retained.unwrap_or(0))) {
                (Some(reason), _) => {
                    let reason = format!("the replication slot `{name}` was lost: {reason}");
                    (Some(reason.clone()), Some(reason))
                }
                (None, Verdict::Stop(reason)) => (Some(reason.clone()), Some(reason)),
                (None, Verdict::Warn(text)) => (Some(text), None),
                (None, Verdict::Fine) => (None, None),
            },
        }
    }
}

/// Which tables are captured, for people.
pub(super) fn note_tables(status: &mut SourceStatus, captured: &Captured) {
    if status.tables.len() != captured.tables.len()
        || status.tables.iter().zip(&captured.tables).any(|(name, (_, table))| *name != table.name.to_string())
    {
        status.tables = captured.tables.iter().map(|(_, table)| table.name.to_string()).collect();
    }
}
