//! Where a reading begins: after the place that the log has, or, where that is no longer possible, with a reset of everything.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::decode::Decoder;
use super::reading::{Found, Reading, failed, look_at, refresh};
use super::round::Statements;
use super::shapes::Shapes;
use super::spot::{RowId, Spot};
use crate::event::{Body, Change, Channel, Place, ResetCause};
use crate::postgres::{Address, Live, PostgresSettings, Types};
use crate::source::{SourceError, SourceStatus};

/// Only one reads an outbox: `rowcast!` as a number.
const LOCK: i64 = 0x726f_7763_6173_7421;

const LOOK: &str = "SELECT pg_current_snapshot()::text, id::text, pg_sequence_last_value('rowcast.awake') IS NOT NULL FROM rowcast.state";

impl Reading {
    /// Connects, and decides where to begin for a log that stands at `place`.
    pub(super) async fn begin(
        name: Arc<str>,
        address: Address,
        settings: PostgresSettings,
        live: Arc<Live>,
        status: Arc<Mutex<SourceStatus>>,
        place: Option<Place>,
    ) -> Result<Self, SourceError> {
        let application = format!("rowcast-{}", settings.instance);
        let (client, messages) = address.connect_with_messages(&application).await?;
        if !is_set_up(&client).await.map_err(failed)? {
            let message = "the outbox is not set up in this database; run `rowcast setup` first".to_owned();
            return Err(SourceError::stop(message));
        }
        alone(&client).await?;
        // A table that was empty when it was last analysed is not read as a whole for that.
        client.batch_execute("SET enable_seqscan = off; SET jit = off; LISTEN rowcast").await.map_err(failed)?;
        let refused = refresh(&client, &settings).await;
        let types = Types::new();
        let mut decoder = Decoder::default();
        decoder.shapes = Shapes::load(&client, &types).await.map_err(failed)?;
        let look = client.prepare(LOOK).await.map_err(failed)?;
        let statements = Statements::prepare(&client).await.map_err(failed)?;
        let found = look_at(&client, &look).await.map_err(failed)?;
        let fresh = Spot { visible: found.visible.clone(), outbox: found.outbox.clone(), last: None, round: None };
        let now = Instant::now();
        let mut reading = Self {
            name,
            settings,
            live,
            status,
            client,
            messages,
            look,
            statements,
            types,
            decoder,
            after: place.clone(),
            spot: fresh,
            first: None,
            asked: false,
            told: now,
            read: now,
            armed: None,
            looked: now,
            refused,
        };
        match place {
            None => reading.first = Some(Vec::new()),
            Some(place) => reading.resume(&place, &found).await.map_err(failed)?,
        }
        reading.show(0);
        Ok(reading)
    }

    /// Goes on from a place, or says what was missed.
    async fn resume(&mut self, place: &Place, found: &Found) -> Result<(), tokio_postgres::Error> {
        let spot = Spot::of(place);
        let reason = match &spot {
            None => Some("changes were captured in another way before, and what was changed meanwhile is not known"),
            Some(spot) if spot.outbox != found.outbox => {
                Some("the outbox was set up anew or emptied by somebody, and what was changed meanwhile is not known")
            }
            Some(spot) if !self.is_same_history(spot, found).await? => {
                Some("the database is not the one that was read, or an older state of it, as after restoring a backup")
            }
            Some(spot) if self.pruned().await? > spot.visible.xmin => {
                Some("changes were removed from the outbox before they were read")
            }
            Some(_) => None,
        };
        match (reason, spot) {
            (Some(reason), spot) => {
                // A transaction that was read half ends with the resets.
                let open = spot.and_then(|spot| spot.round?.inside);
                self.first = Some(self.missed(reason, open.map_or(found.visible.xmax, |row| row.tx)));
            }
            (None, Some(spot)) => self.spot = spot,
            (None, None) => {}
        }
        Ok(())
    }

    /// Whether everything that was read is part of what the database holds now.
    async fn is_same_history(&self, spot: &Spot, found: &Found) -> Result<bool, tokio_postgres::Error> {
        let upto = spot.round.as_ref().map_or(&spot.visible, |round| &round.upto);
        if !found.visible.covers(upto) {
            return Ok(false);
        }
        let Some(RowId { tx, id }) = spot.last else { return Ok(true) };
        let sql = "SELECT EXISTS (SELECT FROM rowcast.outbox WHERE tx = $1::text::xid8 AND id = $2)";
        Ok(self.client.query_one(sql, &[&tx.to_string(), &id]).await?.get(0))
    }

    async fn pruned(&self) -> Result<u64, tokio_postgres::Error> {
        let row = self.client.query_one("SELECT pruned::text FROM rowcast.state", &[]).await?;
        Ok(row.get::<_, &str>(0).parse().unwrap_or(0))
    }

    /// A reset for each table, as one transaction.
    fn missed(&self, reason: &str, tx: u64) -> Vec<Change> {
        let time_ms = crate::source::now_ms();
        let reset =
            |table| Body::Reset { channel: Channel::Table(table), cause: ResetCause::Missed, reason: reason.into() };
        let bodies = self.decoder.shapes.captured().into_iter().map(reset);
        let mut changes: Vec<Change> = bodies.map(|body| Change { tx, last: false, time_ms, body }).collect();
        if let Some(change) = changes.last_mut() {
            change.last = true;
        }
        changes
    }
}

async fn is_set_up(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT to_regclass('rowcast.outbox') IS NOT NULL AND to_regclass('rowcast.state') IS NOT NULL";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Waits a little for a reader that is just ending. A dead connection of this very gateway is ended.
async fn alone(client: &Client) -> Result<(), SourceError> {
    const OWN: &str = "SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
                        WHERE l.locktype = 'advisory' AND l.granted AND l.database = (
                              SELECT oid FROM pg_database WHERE datname = current_database())
                          AND (l.classid::bigint << 32) + l.objid::bigint = $1 AND l.pid <> pg_backend_pid()
                          AND a.application_name = current_setting('application_name')";
    const PATIENCE: Duration = Duration::from_secs(2);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let sql = "SELECT pg_try_advisory_lock($1)";
        if client.query_one(sql, &[&LOCK]).await.map_err(failed)?.get(0) {
            return Ok(());
        }
        client.execute(OWN, &[&LOCK]).await.map_err(failed)?;
        if Instant::now() >= deadline {
            let sql = "SELECT coalesce(max(a.application_name || ', process ' || a.pid), 'unknown') FROM pg_locks l
                         JOIN pg_stat_activity a ON a.pid = l.pid
                        WHERE l.locktype = 'advisory' AND l.granted AND l.database = (
                              SELECT oid FROM pg_database WHERE datname = current_database())
                          AND (l.classid::bigint << 32) + l.objid::bigint = $1";
            let who: String = client.query_one(sql, &[&LOCK]).await.map_err(failed)?.get(0);
            return Err(SourceError::retry(format!(
                "another Rowcast reads the outbox of this database ({who}); this one waits until it ends"
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
