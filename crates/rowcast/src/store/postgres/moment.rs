//! A moment of the database: which transactions can be seen in it, and where the source stands when it has read them all.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::literal::quote_table;
use super::pool::{Lent, within};
use super::refused::refused_on;
use super::{Server, StoreError};
use crate::event::{Mark, Place, Table, TableName, Visible};
use crate::postgres::catalog::{self, Described};
use crate::postgres::{Lsn, Mode, OutboxPlace, WalPlace};

/// How values look as text, whatever the server, the database or the role prefer and a pooler has left behind.
const LOOKS: &str = "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; SET LOCAL intervalstyle = 'postgres'; \
                     SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL jit = off";
/// How long a lock of another transaction is waited for.
const LOCK: Duration = Duration::from_secs(4);
/// The size of a page of the write-ahead log.
const WAL_PAGE: u64 = 8192;

/// What can be seen in a transaction that reads.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) described: Arc<Described>,
    visible: Visible,
}

impl Moment {
    pub(super) fn mark(&self) -> Mark {
        Mark::Visible(self.visible.clone())
    }
}

impl Server {
    /// Begins a transaction that sees this moment until it ends.
    ///
    /// The table is locked against being altered *before* the moment is chosen: rows that are rewritten or truncated after it
    /// would be invisible.
    pub(super) async fn begin_reading(
        &self,
        lent: &mut Lent,
        asked: &Table,
        patience: Duration,
    ) -> Result<Moment, StoreError> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}; LOCK TABLE {} IN ACCESS SHARE MODE",
            limits(patience),
            quote_table(&asked.name)
        );
        let sql = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_current_snapshot()::text";
        let (described, visible) = self.begin(lent, &begin, sql, &[asked]).await?;
        let described = described.into_iter().next().ok_or_else(|| self.altered(&asked.name))?;
        let visible =
            visible.parse().map_err(|error| StoreError::Refused(format!("pg_current_snapshot(): {error}")))?;
        Ok(Moment { described, visible })
    }

    /// Begins a transaction that writes, and returns its number.
    pub(super) async fn begin_writing(
        &self,
        lent: &mut Lent,
        asked: &Table,
        patience: Duration,
    ) -> Result<(Arc<Described>, String), StoreError> {
        let (described, transaction) = self.begin_writing_all(lent, &[asked], patience).await?;
        let described = described.into_iter().next().ok_or_else(|| self.altered(&asked.name))?;
        Ok((described, transaction))
    }

    /// The same for several tables.
    pub(super) async fn begin_writing_all(
        &self,
        lent: &mut Lent,
        asked: &[&Table],
        patience: Duration,
    ) -> Result<(Vec<Arc<Described>>, String), StoreError> {
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {}", limits(patience));
        let sql = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_current_xact_id()::text";
        self.begin(lent, &begin, sql, asked).await
    }

    async fn begin(
        &self,
        lent: &mut Lent,
        begin: &str,
        about: &str,
        asked: &[&Table],
    ) -> Result<(Vec<Arc<Described>>, String), StoreError> {
        let (pid, answer, found) = {
            let client = lent.client();
            let names: Vec<&TableName> = asked.iter().map(|table| &table.name).collect();
            // All of it is sent at once; what follows a failure fails, too.
            let all = async {
                tokio::join!(
                    client.batch_execute(begin),
                    client.query_typed(about, &[]),
                    catalog::exact_all(client, &self.types, &names),
                )
            };
            let (begun, about, found) = within(async { Ok(all.await) }).await?;
            let name = asked.first().map_or_else(|| TableName::bare(""), |table| table.name.clone());
            begun.map_err(|error| self.refused_on(&name, error))?;
            let about = about.map_err(|error| refused_on(&name, error))?;
            let row = about.first().ok_or_else(|| StoreError::Refused("PostgreSQL tells no transaction".into()))?;
            let found = found.map_err(|error| self.refused_on(&name, error))?;
            (row.get(0), row.get(1), found)
        };
        lent.pid = Some(pid);
        let same = |(asked, found): (&&Table, Option<Arc<Described>>)| match found {
            Some(described) if *described.table == **asked => Ok(described),
            _ => Err(self.altered(&asked.name)),
        };
        let described = asked.iter().zip(found).map(same).collect::<Result<_, _>>()?;
        Ok((described, answer))
    }

    /// The source's place once it has read all that the moment shows.
    pub(super) async fn place(&self, moment: &Moment) -> Result<Place, StoreError> {
        let place = match self.mode() {
            Mode::Outbox => OutboxPlace::of_snapshot(&moment.visible).to_place(),
            Mode::Wal => self.wal_place(Seen::Anything).await?,
        };
        self.live.ask();
        Ok(place)
    }

    /// The source's place once it has read what this server has just committed.
    pub(super) async fn place_after_commit(&self) -> Result<Place, StoreError> {
        let place = match self.mode() {
            Mode::Wal => self.wal_place(Seen::Flushed).await?,
            Mode::Outbox => {
                let client = self.pool.shared().await?;
                let sql = "SELECT pg_catalog.pg_current_snapshot()::text";
                let rows = self.pool.answer(&client, client.query_typed(sql, &[])).await?;
                let visible: Option<Visible> = rows.first().and_then(|row| row.get::<_, &str>(0).parse().ok());
                let unknown = || StoreError::Refused("PostgreSQL tells no snapshot".into());
                OutboxPlace::of_snapshot(&visible.ok_or_else(unknown)?).to_place()
            }
        };
        self.live.ask();
        Ok(place)
    }

    async fn wal_place(&self, seen: Seen) -> Result<Place, StoreError> {
        let client = self.pool.shared().await?;
        let wal = self.pool.answer(&client, Wal::read(&client)).await?;
        let lsn = if wal.is_end_of(seen) { wal.flushed } else { self.settle(&client).await? };
        Ok(WalPlace { system: wal.system, timeline: wal.timeline, lsn, part: None }.to_place())
    }

    /// Has everything that was committed before written to disk, and returns a place behind it where a record ends.
    async fn settle(&self, client: &Arc<Client>) -> Result<Lsn, StoreError> {
        let sql = "BEGIN; SET LOCAL synchronous_commit = local; \
                   SELECT pg_catalog.pg_logical_emit_message(true, 'rowcast:settle', ''); COMMIT";
        let answer = self.pool.answer(client, client.simple_query(sql)).await?;
        let lsn = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten()?.parse::<Lsn>().ok(),
            _ => None,
        });
        lsn.map(Lsn::end_of_record)
            .ok_or_else(|| StoreError::Refused("pg_logical_emit_message() tells no place".into()))
    }
}

/// What a place has to lie behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Transactions that may not be on disk yet, because their commits did not wait for it.
    Anything,
    /// Only what is on disk.
    Flushed,
}

/// Where the server's write-ahead log stands.
struct Wal {
    flushed: Lsn,
    inserted: Lsn,
    system: u64,
    timeline: u32,
}

impl Wal {
    async fn read(client: &Client) -> Result<Self, tokio_postgres::Error> {
        // What is on disk is asked first: when both are the same, they were so at that moment.
        const SQL: &str = "\
SELECT CASE WHEN s.standby THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_flush_lsn() END::text,
  CASE WHEN s.standby THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END::text,
  (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
  CASE WHEN s.standby THEN (SELECT pg_catalog.to_hex(timeline_id) FROM pg_catalog.pg_control_checkpoint())
    ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) END
FROM (SELECT pg_catalog.pg_is_in_recovery()) AS s (standby)";
        let rows = client.query_typed(SQL, &[]).await?;
        let text =
            |column: usize| rows.first().map_or("", |row| row.get::<_, Option<&str>>(column).unwrap_or_default());
        let lsn = |column| text(column).parse::<Lsn>().unwrap_or_default().end_of_record();
        Ok(Self {
            flushed: lsn(0),
            inserted: lsn(1),
            system: text(2).parse().unwrap_or_default(),
            timeline: u32::from_str_radix(text(3), 16).unwrap_or_default(),
        })
    }

    /// Whether what is on disk ends with a record behind everything that was seen.
    ///
    /// The server writes whole pages in advance, so that the log may end in the midst of a record of a transaction that goes
    /// on for hours. Nobody would read up to there before.
    fn is_end_of(&self, seen: Seen) -> bool {
        self.flushed == self.inserted || (seen == Seen::Flushed && !self.flushed.0.is_multiple_of(WAL_PAGE))
    }
}

pub(super) fn limits(patience: Duration) -> String {
    format!(
        "SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {patience}; \
         SET LOCAL idle_in_transaction_session_timeout = {patience}; {LOOKS}",
        LOCK.as_millis(),
        patience = patience.as_millis()
    )
}

/// Whether a log that has the source at `log` holds everything that was seen when the place was `moment`.
pub(super) fn reached(log: &Place, moment: &Place) -> bool {
    match (WalPlace::of(log), WalPlace::of(moment)) {
        (Some(log), Some(moment)) => log.reached(&moment),
        (None, None) => match (OutboxPlace::of(log), OutboxPlace::of(moment)) {
            (Some(log), Some(moment)) => log.reached(&moment),
            _ => false,
        },
        _ => false,
    }
}
