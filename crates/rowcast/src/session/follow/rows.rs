//! The rows that a subscription begins with, and the exact position that they stand for.

use std::time::Duration;

use super::{EVENTS_MAX, Gone, Step, Way, store_problem};
use crate::event::Channel;
use crate::hub::now_ms;
use crate::protocol::encode;
use crate::protocol::named::Named;
use crate::protocol::{Code, GapReason, Problem};
use crate::session::bound::{Bound, head};
use crate::session::events::{HISTORY, HISTORY_MAX};
use crate::session::order::parse_order;
use crate::session::read::Skip;
use crate::session::rights::Rights;
use crate::session::settle::Unsettled;
use crate::session::share::{Need, Next, Piece, Reader, Taken};
use crate::store::{OrderBy, Select, StoreError};

/// So many snapshots are taken until one can be followed.
const SNAPSHOTS: u32 = 11;

/// Why there is no snapshot.
enum NoSnapshot {
    /// The others who shared it were faster.
    FellOut,
    /// Who pays for it has read too many rows already.
    Refused(Problem),
    Unsettled(Unsettled),
}

impl From<Unsettled> for NoSnapshot {
    fn from(unsettled: Unsettled) -> Self {
        Self::Unsettled(unsettled)
    }
}

impl Way {
    /// Snapshot, and the exact position that it stands for; or the head, where no snapshot is wanted.
    pub(super) async fn fresh(&mut self, mut need: Need) -> Result<Result<(), Problem>, Gone> {
        self.shown = false;
        let Some(bound) = self.follow.bound.clone().filter(|_| self.follow.wish.snapshot.wanted()) else {
            // A NOTIFY that was heard from now on comes after the head; what the hub has not dispatched yet may say that
            // hearing has begun, which is no gap to one who comes after that.
            let position = match self.follow.wish.channel {
                Channel::Notify(_) => self.node.log.head(),
                Channel::Table(_) | Channel::Room(_) | Channel::Event(_) => self.node.hub.between().await,
            };
            self.begin_at(position);
            if !self.covers(position).await {
                let message = "what you may see changes faster than it can be found out";
                return Ok(Err(Problem::new(Code::Unavailable, message).hint("try again in a moment")));
            }
            return Ok(Ok(self.say_subscribed(false).await?));
        };
        let mut bound = bound;
        for tried in 0..SNAPSHOTS {
            self.wait_for_rows().await;
            let (reason, message) = match self.snapshot(&bound, need).await? {
                Ok(Taken { settled, mark }) if self.fits(&bound, settled).await => {
                    self.begin_at(settled.position);
                    self.follow.skip = (!settled.is_clean()).then_some(Skip { mark, until: settled.until });
                    return Ok(Ok(self.say_subscribed(false).await?));
                }
                // The rows were allowed; what follows them has to be judged by what was allowed then.
                Ok(_) => (None, "what you may see has changed while rows were read"),
                Err(NoSnapshot::FellOut) => {
                    need.shared = false;
                    (Some(GapReason::Retention), "rows were taken too slowly to be shared with other clients")
                }
                Err(NoSnapshot::Refused(_)) if self.again => continue,
                Err(NoSnapshot::Refused(problem)) => return Ok(Err(problem)),
                Err(NoSnapshot::Unsettled(Unsettled::Store(StoreError::Altered(_)))) => {
                    (Some(GapReason::Schema), "the table was altered")
                }
                Err(NoSnapshot::Unsettled(Unsettled::Outrun)) => {
                    (Some(GapReason::Retention), "the log has moved on while rows were read")
                }
                Err(NoSnapshot::Unsettled(Unsettled::Store(error))) => return Ok(Err(store_problem(error))),
            };
            if reason.is_none() {
                // What rules read of other tables may change in a burst.
                tokio::time::sleep(Duration::from_millis(1 << tried)).await;
            }
            // The rows that the client has are not those of any position.
            if std::mem::take(&mut self.shown) {
                self.say_broken(reason, message.to_owned()).await?;
            }
            if let Err(no) = self.bind_to_catalog(None).await {
                return Ok(Err(no.into()));
            }
            bound = self.follow.bound.clone().unwrap_or(bound);
        }
        let message = "the table is altered, or what you may see of it changes, or the log moves on, faster than the table can be read";
        Ok(Err(Problem::new(Code::Unavailable, message).hint("let the log keep more: log.keep_events, log.keep_bytes")))
    }

    /// Sends the rows, and returns where they stand.
    async fn snapshot(&mut self, bound: &Bound, need: Need) -> Result<Result<Taken, NoSnapshot>, Gone> {
        let select = match self.select(bound, &self.follow.rights) {
            Ok(select) => select,
            Err(problem) => return Ok(Err(Unsettled::from(StoreError::Refused(problem.message)).into())),
        };
        let mut reader = Reader::begin(&self.node, select, need);
        if let Some(named) = bound.projection.named.clone() {
            return self.recall(bound, &named, reader).await;
        }
        let (columns, key) = head(bound);
        let mut head = Some((&columns[..], &key[..]));
        loop {
            match reader.next().await {
                Next::Rows(piece) => {
                    if let Err(problem) = self.pay(&piece, head.is_some()) {
                        return Ok(Err(NoSnapshot::Refused(problem)));
                    }
                    let wish = &self.follow.wish;
                    let rows = piece.json(&bound.table, &bound.projection);
                    let frame = encode::snapshot(wish.wire, &wish.id_json, head.take(), &rows, piece.done);
                    self.shown = true;
                    self.send(Step::Frames(vec![(None, frame)])).await?;
                }
                Next::End(outcome) => return Ok(outcome.map_err(NoSnapshot::from)),
                Next::FellOut => return Ok(Err(NoSnapshot::FellOut)),
            }
        }
    }

    /// Tells the rows as the events that they were, in the reverse of their order: the newest last.
    async fn recall(
        &mut self,
        bound: &Bound,
        named: &Named,
        mut reader: Reader,
    ) -> Result<Result<Taken, NoSnapshot>, Gone> {
        let mut rows = Vec::new();
        loop {
            match reader.next().await {
                Next::Rows(piece) => match self.pay(&piece, rows.is_empty()) {
                    Ok(()) => rows.extend_from_slice(piece.rows()),
                    Err(problem) => return Ok(Err(NoSnapshot::Refused(problem))),
                },
                Next::End(Ok(taken)) => {
                    self.shown = true;
                    let (wish, columns, now) = (&self.follow.wish, &bound.projection.columns, now_ms());
                    let told = rows.iter().rev().map(|row| named.recall(&bound.table, row, columns, now));
                    let frames: Vec<_> = told.map(|told| (None, told.frame(wish.wire, &wish.id_json))).collect();
                    for frames in frames.chunks(EVENTS_MAX) {
                        self.send(Step::Frames(frames.to_vec())).await?;
                    }
                    return Ok(Ok(taken));
                }
                Next::End(Err(error)) => return Ok(Err(NoSnapshot::from(error))),
                Next::FellOut => return Ok(Err(NoSnapshot::FellOut)),
            }
        }
    }

    /// A snapshot that its client has not asked for waits until it may be read; any other one was refused before.
    async fn wait_for_rows(&self) {
        if let Some(accounts) = self.accounts.as_ref().filter(|_| self.again) {
            tokio::time::sleep(accounts.wait_for_rows()).await;
        }
    }

    /// Counts rows. One that has begun is told to its end: what it takes too much is owed. When it is its turn others may have taken all.
    fn pay(&self, piece: &Piece, first: bool) -> Result<(), Problem> {
        let Some(accounts) = &self.accounts else { return Ok(()) };
        if first {
            accounts.may_read_rows()?;
        }
        accounts.rows_read(piece.rows().len());
        Ok(())
    }

    pub(super) fn select(&self, bound: &Bound, rights: &Rights) -> Result<Select, Problem> {
        let readable = rights.columns.as_deref();
        let (order_by, mut limit) = self.follow.wish.snapshot.parts();
        let mut order_by = order_by.map_or(Ok(Vec::new()), |text| parse_order(text, &bound.table, readable))?;
        if self.follow.wish.event.is_some() {
            if limit.is_some_and(|limit| limit > HISTORY_MAX) {
                let message = format!("the history of an event has at most {HISTORY_MAX} rows");
                return Err(Problem::new(Code::BadMessage, message).hint("read more from its table"));
            }
            limit = limit.or(Some(HISTORY));
            if order_by.is_empty() {
                let newest = |&column: &usize| OrderBy { column, descending: true };
                order_by = bound.table.key.iter().map(newest).collect();
            }
        }
        let (table, filter) = (bound.table.clone(), bound.predicate.clone());
        let role = rights.judge.as_ref().map(|judge| judge.role().clone());
        Ok(Select { table, filter, order_by, limit, offset: 0, role })
    }
}
