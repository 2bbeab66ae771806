//! The loop that reads an outbox: looks, hands out what it has found, and rests until there may be more.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_postgres::{AsyncMessage, Client, Statement};

use super::decode::Decoder;
use super::round::{Page, PageRow, Round, Statements};
use super::shapes::Shapes;
use super::spot::{RoundSpot, Spot};
use crate::event::{Batch, Change, Origin, Place, Visible};
use crate::postgres::{ConnectError, Live, Mode, PostgresSettings, Types, install};
use crate::source::{SourceError, SourceStatus};

/// For so long after something was read, it is looked often.
const ACTIVE: Duration = Duration::from_secs(1);
/// The place of an outbox in which nothing happens moves on so often.
const IDLE_PLACE: Duration = Duration::from_secs(1);
type Batches = mpsc::Sender<Result<Batch, SourceError>>;

/// One reading, from a start to an error or the end.
pub(super) struct Reading {
    pub(super) name: Arc<str>,
    pub(super) settings: PostgresSettings,
    pub(super) live: Arc<Live>,
    pub(super) status: Arc<Mutex<SourceStatus>>,
    pub(super) client: Client,
    pub(super) messages: mpsc::Receiver<Result<AsyncMessage, ConnectError>>,
    pub(super) look: Statement,
    pub(super) statements: Statements,
    pub(super) types: Types,
    pub(super) decoder: Decoder,
    /// Where the log is, once it has what was handed out.
    pub(super) after: Option<Place>,
    pub(super) spot: Spot,
    /// What comes before anything else.
    pub(super) first: Option<Vec<Change>>,
    /// Somebody waits for the place to move on.
    pub(super) asked: bool,
    /// When a batch was handed out last, and when one with changes.
    pub(super) told: Instant,
    pub(super) read: Instant,
    /// When writers were last asked to wake the reader.
    pub(super) armed: Option<Instant>,
    /// When the tables were last looked at.
    pub(super) looked: Instant,
    /// Why something is not captured.
    pub(super) refused: Option<String>,
}

/// What one look has found.
pub(super) struct Found {
    pub(super) visible: Visible,
    pub(super) outbox: Box<str>,
    pub(super) awake: bool,
}

/// Why the reading cannot go on from where it is.
enum Lost {
    /// The taker is gone.
    Taker,
    Error(SourceError),
}

impl From<tokio_postgres::Error> for Lost {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Error(failed(error))
    }
}

impl Reading {
    /// Reads until an error, which is handed out, or until nobody takes batches any more.
    pub(super) async fn run(mut self, batches: Batches) {
        let ended = match self.first.take() {
            Some(changes) => self.hand_out(&batches, changes).await,
            None => Ok(()),
        };
        let ended = match ended {
            Ok(()) => self.read_on(&batches).await,
            Err(lost) => lost,
        };
        if let Lost::Error(error) = ended {
            self.status.lock().problem = Some(error.to_string());
            // Who has gone needs no error.
            let _ = batches.send(Err(error)).await;
        }
    }

    async fn read_on(&mut self, batches: &Batches) -> Lost {
        loop {
            let rest = match self.step(batches).await {
                Ok(rest) => rest,
                Err(lost) => return lost,
            };
            tokio::select! {
                () = self.live.asked() => self.asked = true,
                () = batches.closed() => return Lost::Taker,
                message = self.messages.recv() => match self.heard(message) {
                    Ok(()) => {}
                    Err(lost) => return lost,
                },
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// A nudge is reason enough to look. One that comes of a changed table is reason to look at the tables, too.
    fn heard(&mut self, message: Option<Result<AsyncMessage, ConnectError>>) -> Result<(), Lost> {
        match message {
            Some(Ok(AsyncMessage::Notification(nudge))) if nudge.payload() == "ddl" => {
                self.types.forget_all();
                self.looked = Instant::now().checked_sub(self.settings.look_every).unwrap_or(self.looked);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Lost::Error(error.into())),
            None => return Err(Lost::Error(SourceError::retry("the connection to the database has ended"))),
        }
        Ok(())
    }

    /// Reads all that there is. Returns how long there is nothing to do unless somebody nudges.
    async fn step(&mut self, batches: &Batches) -> Result<Duration, Lost> {
        if self.looked.elapsed() >= self.settings.look_every {
            self.looked = Instant::now();
            self.refused = refresh(&self.client, &self.settings).await;
        }
        loop {
            let asked = std::mem::take(&mut self.asked);
            let found = self.look().await?;
            let read = self.read(batches, &found).await?;
            if !read
                && (asked || self.told.elapsed() >= IDLE_PLACE)
                && self.after.as_ref() != Some(&self.spot.to_place())
            {
                self.hand_out(batches, Vec::new()).await?;
            }
            if read {
                self.read = Instant::now();
            } else if self.read.elapsed() < ACTIVE {
                return Ok(self.settings.poll_active);
            } else if found.awake && self.armed.is_none_or(|armed| armed.elapsed() >= self.settings.poll_idle) {
                // Who writes from now on wakes us. What was written just before is found by the next look.
                self.client.execute("SELECT setval('rowcast.awake', 1, false)", &[]).await?;
                self.armed = Some(Instant::now());
            } else {
                return Ok(self.settings.poll_idle);
            }
        }
    }

    /// A look that takes too long is made on a dead connection.
    async fn look(&self) -> Result<Found, Lost> {
        let look = tokio::time::timeout(self.settings.dead_after, look_at(&self.client, &self.look)).await;
        let found = look.map_err(|_| {
            let waited = self.settings.dead_after.as_secs();
            Lost::Error(SourceError::retry(format!(
                "the database has not answered for {waited} s; a new connection is made"
            )))
        })??;
        if found.outbox != self.spot.outbox {
            return Err(Lost::Error(SourceError::retry(
                "the outbox is not the one that was read; somebody has emptied it or set it up anew",
            )));
        }
        Ok(found)
    }

    /// Hands out what has become visible. Returns whether there was anything.
    async fn read(&mut self, batches: &Batches, found: &Found) -> Result<bool, Lost> {
        if self.spot.round.is_none() && self.spot.visible == found.visible {
            return Ok(false);
        }
        let mut any = false;
        loop {
            let upto = self.spot.round.take();
            let upto = upto.unwrap_or_else(|| RoundSpot { upto: found.visible.clone(), done: -1, inside: None });
            let mut round = Round::open(&self.client, &self.statements, &self.spot.visible, upto).await?;
            while !round.is_over() {
                any = true;
                let Page { rows, hole } = round.page(&self.client, &self.statements, &self.settings).await?;
                if hole {
                    let reason = "rows of the outbox are gone that were not read; somebody has removed them";
                    self.client.execute("UPDATE rowcast.state SET id = gen_random_uuid()", &[]).await?;
                    return Err(Lost::Error(SourceError::retry(reason)));
                }
                let changes = self.decode(&rows).await?;
                self.spot.last = rows.last().map(|row| row.at).or(self.spot.last);
                if round.is_over() && !round.goes_on() {
                    (self.spot.visible, self.spot.round) = (round.spot.upto.clone(), None);
                } else {
                    self.spot.round = Some(round.spot.clone());
                }
                self.show(round.left());
                self.hand_out(batches, changes).await?;
            }
            if !round.goes_on() {
                (self.spot.visible, self.spot.round) = (round.spot.upto, None);
                return Ok(any);
            }
            self.spot.round = Some(round.spot);
        }
    }

    async fn decode(&mut self, rows: &[PageRow]) -> Result<Vec<Change>, Lost> {
        if self.decoder.is_behind(rows) {
            self.decoder.shapes = Shapes::load(&self.client, &self.types).await?;
        }
        let time_ms = crate::source::now_ms();
        if let Ok(changes) = self.decoder.decode(rows, time_ms, false) {
            return Ok(changes);
        }
        self.refused = refresh(&self.client, &self.settings).await;
        self.types.forget_all();
        self.decoder.shapes = Shapes::load(&self.client, &self.types).await?;
        let again = self.decoder.decode(rows, time_ms, false).or_else(|_| self.decoder.decode(rows, time_ms, true));
        Ok(again.unwrap_or_default())
    }

    async fn hand_out(&mut self, batches: &Batches, changes: Vec<Change>) -> Result<(), Lost> {
        let place = self.spot.to_place();
        let after = self.after.replace(place.clone());
        let batch = Batch { origin: Some(Origin { source: self.name.clone(), after, place }), changes };
        self.told = Instant::now();
        batches.send(Ok(batch)).await.map_err(|_| Lost::Taker)
    }

    pub(super) fn show(&self, left: u64) {
        let mut status = self.status.lock();
        status.place = Some(self.spot.to_place().0.into());
        status.lag_events = Some(left);
        status.tables = self.decoder.shapes.captured().iter().map(ToString::to_string).collect();
        status.problem.clone_from(&self.refused);
    }
}

pub(super) async fn look_at(client: &Client, look: &Statement) -> Result<Found, tokio_postgres::Error> {
    let row = client.query_one(look, &[]).await?;
    let nothing = || Visible { xmin: 0, xmax: 0, running: [].into() };
    let visible = row.get::<_, &str>(0).parse().unwrap_or_else(|_| nothing());
    Ok(Found { visible, outbox: row.get::<_, &str>(1).into(), awake: row.get(2) })
}

/// Fits the triggers to the tables. Returns why that cannot be done.
pub(super) async fn refresh(client: &Client, settings: &PostgresSettings) -> Option<String> {
    match install::refresh(client, settings, Mode::Outbox).await {
        Ok(sql) if sql.is_empty() => None,
        Ok(sql) => {
            tracing::info!(statements = sql.len(), "the triggers were fitted to the tables");
            None
        }
        Err(error) => Some(format!("the triggers cannot be fitted to the tables: {error}")),
    }
}

pub(super) fn failed(error: tokio_postgres::Error) -> SourceError {
    let said = error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned());
    SourceError::Retry { message: format!("the outbox cannot be read: {said}"), cause: Some(error.into()) }
}
