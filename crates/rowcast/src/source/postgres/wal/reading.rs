//! A stream that runs: messages in, batches out.

mod trouble;
mod understand;

use std::sync::Arc;
use std::time::Duration;

use ahash::AHashSet;
use bytes::Bytes;
use futures_util::FutureExt;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

use self::trouble::{Trouble, retry};
use self::understand::altered;
use super::batch::Collected;
use super::begin::{Begin, Begun};
use super::message::Logical;
use super::shared::{Look, Shared};
use super::tables::Known;
use super::watch::{note_tables, watch};
use crate::event::{Batch, Place};
use crate::postgres::wire::{Frame, Replication, WireError};
use crate::postgres::{Live, Lsn, Types, WalPlace};
use crate::source::SourceError;
use crate::source::now_ms;
use crate::source::postgres::pgoutput::Relations;
use crate::source::postgres::spool;
use crate::source::postgres::transaction::{Begun as Transaction, Step, Transactions, full_number};

/// How often the place moves on when nothing happens and nobody waits for it.
const IDLE: Duration = Duration::from_secs(1);
/// How soon the server is asked again how far it is, at first and at last.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(3), Duration::from_secs(1));

/// So many messages are understood before others have their turn.
const PATIENCE: u32 = 1 << 12;

/// What reading comes to.
pub(super) enum Next {
    Batch(Batch),
    /// The slot has to be made anew, for this reason.
    GivenUp(String),
}

/// One reading of the stream.
pub(super) struct Reading {
    wire: Replication,
    /// Asked for types and keys.
    client: Client,
    live: Arc<Live>,
    shared: Arc<Shared>,
    types: Arc<Types>,
    transactions: Transactions,
    relations: Relations,
    /// Those that were described since their last row.
    fresh: AHashSet<u32>,
    known: Known,
    collected: Collected,
    /// What comes before everything.
    first: Option<Batch>,
    frame: Option<Frame>,
    /// A message that is being understood; whether it was sent before its transaction's commit.
    message: Option<(Bytes, bool)>,
    /// A transaction that was sent before its commit, and its end.
    whole: Option<(spool::Reading, Lsn)>,
    /// The transaction was read before.
    skips: bool,
    look: Option<Look>,
    asking: Option<Asking>,
    /// The server waits for the place to move on.
    urgent: bool,
    handed_out: Instant,
    publications: Vec<String>,
    /// There are other publications than those that are read.
    outdated: bool,
    _watch: AbortOnDropHandle<()>,
}

/// Somebody waits for the place to move on.
struct Asking {
    again: Instant,
    pause: Duration,
}

impl Reading {
    /// Reads what has begun, for a log that stands at `place`.
    pub(super) fn new(name: Arc<str>, begin: Begin, begun: Begun, place: Option<Place>, live: Arc<Live>) -> Self {
        let Begun { wire, client, at, first, captured, seen, tx } = begun;
        let settings = &begin.settings;
        let mut collected = Collected::new(name, place, at, settings);
        let first = first.map(|changes| collected.begin_with(changes));
        // A stream that begins now brings nothing from before the tables were looked at.
        let (known, look) = match &first {
            Some(_) => (Known::all(&captured), None),
            None => (Known::default(), Some(Look { at: seen, tx, captured: captured.clone(), ..Look::default() })),
        };
        begin.shared.tell(|status| note_tables(status, &captured));
        let folder = settings.spool.clone().unwrap_or_else(std::env::temp_dir);
        let reading = Self {
            wire,
            client,
            live,
            shared: begin.shared.clone(),
            types: begin.types.clone(),
            transactions: Transactions::new(settings.transaction_memory, folder),
            relations: Relations::default(),
            fresh: AHashSet::new(),
            known,
            collected,
            first,
            frame: None,
            message: None,
            whole: None,
            skips: false,
            look,
            asking: None,
            urgent: false,
            handed_out: Instant::now(),
            publications: captured.publications.clone(),
            outdated: false,
            _watch: AbortOnDropHandle::new(tokio::spawn(watch(begin, captured))),
        };
        reading.tell();
        reading
    }

    /// What comes next. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Next, SourceError> {
        if let Some(first) = self.first.take() {
            return Ok(Next::Batch(first));
        }
        let mut steps = 0_u32;
        loop {
            // Much that is passed over would keep everybody else waiting.
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(PATIENCE) {
                tokio::task::yield_now().await;
            }
            if self.collected.is_full() {
                return Ok(self.hand_out(Collected::take));
            }
            match self.advance().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(Trouble::Source(error)) => return Err(error),
                Err(Trouble::GiveUp(reason)) => return Ok(Next::GivenUp(reason)),
            }
            if let Some(reason) = self.look_around() {
                return Ok(Next::GivenUp(reason));
            }
            if self.collected.has_complete() {
                return Ok(self.hand_out(Collected::take));
            }
            if self.outdated {
                return Err(SourceError::retry("the stream begins again because there are other publications to read"));
            }
            if self.collected.has_moved() && (self.urgent || self.asking.is_some() || self.handed_out.elapsed() >= IDLE)
            {
                return Ok(self.hand_out(Collected::take_place));
            }
            self.wait().await?;
        }
    }

    /// The log has everything up to `place` safe.
    pub(super) fn confirm(&self, place: WalPlace) {
        self.wire.confirm(place.lsn);
    }

    fn hand_out(&mut self, take: fn(&mut Collected) -> Batch) -> Next {
        let batch = take(&mut self.collected);
        self.handed_out = Instant::now();
        self.urgent = false;
        self.tell();
        Next::Batch(batch)
    }

    /// Where the last complete transaction ends.
    pub(super) fn at(&self) -> WalPlace {
        self.collected.at()
    }

    fn tell(&self) {
        let place = self.collected.at();
        self.shared.tell(|status| status.place = Some(place.to_string()));
    }

    /// Understands one message, if there is one without waiting for the server.
    async fn advance(&mut self) -> Result<bool, Trouble> {
        if self.message.is_some() {
            self.understand().await?;
            return Ok(true);
        }
        if let Some((reading, end)) = &mut self.whole {
            let end = *end;
            match reading.next().map_err(|error| retry("what was kept of a large transaction cannot be read", error))? {
                Some(message) => self.message = Some((message, true)),
                None => {
                    self.whole = None;
                    self.commit(end);
                }
            }
            return Ok(true);
        }
        if self.frame.is_none() {
            // Else a whole batch would be read in slices as small as the runtime's patience.
            match unconstrained(self.wire.next()).now_or_never() {
                None => return Ok(false),
                Some(frame) => self.frame = Some(frame.map_err(|error| self.stream_failed(error))?),
            }
        }
        match self.frame.take() {
            Some(Frame::Data { bytes, .. }) => self.take(bytes)?,
            Some(Frame::KeepAlive { end, reply }) if self.transactions.is_between() => {
                self.collected.idle(end);
                // A server that shuts down waits until we have everything, and asks.
                self.urgent |= reply;
            }
            _ => {}
        }
        Ok(true)
    }

    fn take(&mut self, bytes: Bytes) -> Result<(), Trouble> {
        let step = self.transactions.take(bytes)?;
        match step {
            Step::Nothing => {}
            Step::Begin(transaction) => self.begin(transaction),
            Step::Content(message) => self.message = Some((message, false)),
            Step::Outside(message) => self.outside(message),
            Step::Commit(end) => self.commit(end),
            Step::Whole(transaction, reading, end) => {
                self.begin(transaction);
                self.whole = Some((reading, end));
            }
        }
        Ok(())
    }

    fn begin(&mut self, transaction: Transaction) {
        self.skips = transaction.commit < self.collected.at().lsn;
        if !self.skips {
            let tx = full_number(transaction.xid, self.shared.near());
            self.shared.set_near(tx);
            self.collected.begin(tx, transaction.time_ms);
        }
    }

    fn commit(&mut self, end: Lsn) {
        if !std::mem::take(&mut self.skips) {
            self.collected.commit(end);
        }
    }

    /// A message that was written outside of any transaction.
    fn outside(&mut self, message: Bytes) {
        if let Some(logical) = Logical::read(message, false)
            && logical.end > self.collected.at().lsn
        {
            self.collected.outside(0, now_ms(), logical.body(), logical.end);
        }
    }

    /// Takes what was found in the database, as soon as the stream has come so far. Returns why the slot is given up.
    fn look_around(&mut self) -> Option<String> {
        if let Some(look) = self.shared.take() {
            let before = self.look.take().unwrap_or_default();
            let again = [before.again, look.again].concat();
            self.look = Some(Look { again, ..look });
            self.ask();
        }
        if let Some(reason) = self.look.as_mut().and_then(|look| look.give_up.take()) {
            return Some(reason);
        }
        if !self.transactions.is_between() || self.look.as_ref().is_none_or(|look| look.at > self.collected.at().lsn) {
            return None;
        }
        let look = self.look.take()?;
        let mut news = self.known.catalog_has(&look.captured);
        for name in look.again {
            if news.iter().all(|(other, _)| *other != name) {
                news.push((name, "the table came to be captured while it was written to".to_owned()));
            }
        }
        if !news.is_empty() {
            let bodies = news.iter().map(|(name, reason)| altered(name, reason));
            self.collected.outside(look.tx, now_ms(), bodies, Lsn(0));
        }
        self.outdated = look.captured.publications != self.publications;
        None
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) -> Result<(), SourceError> {
        let idle = self.collected.has_moved().then(|| self.handed_out + IDLE);
        let again = self.asking.as_ref().map(|asking| asking.again);
        let due = idle.into_iter().chain(again).min().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        tokio::select! {
            frame = self.wire.next() => match frame {
                Ok(frame) => self.frame = Some(frame),
                Err(error) => return Err(error.into()),
            },
            () = self.live.asked() => self.ask(),
            () = self.shared.looked() => {}
            () = sleep_until(due) => self.ask_again(),
        }
        Ok(())
    }

    /// Somebody waits for the place to move on.
    fn ask(&mut self) {
        self.wire.ask();
        self.asking = Some(Asking { again: Instant::now() + ASK_AGAIN.0, pause: ASK_AGAIN.0 });
    }

    /// The answer may have left the server before it had read what is waited for.
    fn ask_again(&mut self) {
        let Some(asking) = self.asking.take_if(|asking| asking.again <= Instant::now()) else { return };
        let pause = asking.pause * 2;
        if pause < ASK_AGAIN.1 || self.look.is_some() {
            let pause = pause.min(ASK_AGAIN.1);
            self.wire.ask();
            self.asking = Some(Asking { again: Instant::now() + pause, pause });
        }
    }

    fn stream_failed(&self, error: WireError) -> Trouble {
        // At the moment of the change that is read now it was not there yet, or no longer: it never will have been.
        if error.code.as_deref() == Some("42704") && error.message.contains("publication") {
            return Trouble::GiveUp(format!("what was captured is not known for every change: {error}"));
        }
        Trouble::Source(error.into())
    }
}
