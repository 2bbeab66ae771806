//! A subscription reads the log for itself, in pieces, exactly as the hub would have told it.

use std::sync::Arc;

use bytes::Bytes;

use super::bound::Bound;
use super::chosen::before;
use super::follow::{BYTES_MAX, EVENTS_MAX, PIECE_BYTES, Wish};
use super::node::Node;
use super::policy::Verdicts;
use super::rights::Rights;
use crate::event::{Body, Channel, Event, Mark, Offset, Position, ResetCause, Table, TableName};
use crate::hub::conflate::Conflated;
use crate::hub::{Interest, Run, commit, is_open, read_piece, stands_alone, transactions};
use crate::log::ReadError;
use crate::protocol::encode::{self, Projection};
use crate::protocol::{Code, GapReason, Problem};

/// A frame, and the position of the event that it is about.
pub(super) type Frame = (Option<Position>, Bytes);

/// A subscription on its way.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) wish: Arc<Wish>,
    /// What decides about it.
    pub(super) rights: Arc<Rights>,
    /// `None` for a room, and for a table that is not there at the moment.
    pub(super) bound: Option<Bound>,
    /// Everything up to here has been sent.
    pub(super) cursor: Position,
    /// Part of a transaction was sent whose end is still to come.
    pub(super) open: bool,
    /// What is passed over because the snapshot has shown it.
    pub(super) skip: Option<Skip>,
    /// Roughly how many bytes of the log the last read took.
    pub(super) bytes: usize,
    /// What has been read and not been told, where the subscription conflates.
    pub(super) pending: Option<Box<Conflated>>,
    /// The hub has to have come this far before it carries on.
    pub(super) unsure_until: Option<Position>,
    /// What the database's policies say of the changes that are being read; `None` where they do not decide.
    pub(super) verdicts: Option<Verdicts>,
}

/// Transactions that stand in the log after one that a snapshot does not contain, although it contains them.
#[derive(Debug, Clone)]
pub(super) struct Skip {
    /// What the snapshot contains.
    pub(super) mark: Mark,
    /// Nothing that it contains comes after this.
    pub(super) until: Position,
}

impl Skip {
    pub(super) fn covers(&self, event: &Event) -> bool {
        event.position <= self.until && !stands_alone(event) && self.mark.contains(event.change.tx)
    }
}

/// Why what the client holds cannot be continued.
#[derive(Debug)]
pub(super) struct Gap {
    /// `None`: what may be seen has changed.
    pub(super) reason: Option<GapReason>,
    /// For people.
    pub(super) message: String,
    /// Where one goes on who wants no snapshot.
    pub(super) from: Position,
    /// The transaction that a fresh snapshot must contain; 0 where there is none.
    pub(super) tx: u64,
    /// The end of what has changed what may be seen, where that is known.
    pub(super) upto: Option<Position>,
}

impl Gap {
    /// What may be seen changes with the transaction `tx`, which comes after `from`.
    pub(super) fn of_rights(from: Position, tx: u64) -> Self {
        Self { reason: None, message: "what you may see has changed".into(), from, tx, upto: None }
    }
}

/// Why reading the log stopped short.
#[derive(Debug)]
pub(super) enum Broken {
    /// The client has to begin again.
    Gap(Gap),
    /// The subscription cannot go on.
    Failed(Problem),
}

impl Follow {
    /// What the hub has to know to carry on.
    pub(super) fn interest(&self) -> (Interest, bool) {
        let wish = &self.wish;
        let empty = || {
            Arc::new(Projection { columns: Box::default(), old: wish.old, named: None, deliver: None, ruled: false })
        };
        let interest = Interest {
            channel: match (&wish.channel, &self.bound) {
                (Channel::Table(_), Some(bound)) => Channel::Table(bound.table.name.clone()),
                (channel, _) => channel.clone(),
            },
            table: self.bound.as_ref().map(|bound| bound.table.clone()),
            predicate: self.bound.as_ref().and_then(|bound| bound.predicate.clone()),
            projection: self.bound.as_ref().map_or_else(empty, |bound| bound.projection.clone()),
            wire: wish.live,
            id: wish.id_json.clone(),
            selections: self.rights.selections(),
        };
        (interest, self.open)
    }

    /// Begins after `position`, which may be in the middle of a transaction.
    pub(super) async fn set_cursor(&mut self, node: &Node, position: Position) {
        self.cursor = position;
        // Where it is not known, the end of a transaction that nobody has begun may be said.
        self.open =
            matches!(self.wish.channel, Channel::Table(_)) && is_open(&*node.log, position).await != Some(false);
    }

    /// Reads some of the log, and tells it unless it is folded.
    pub(super) async fn read_events(&mut self, node: &Node, until: Position) -> (Vec<Frame>, Option<Broken>) {
        let mut frames = Vec::new();
        self.bytes = 0;
        if self.cursor >= until && self.cursor.epoch == until.epoch {
            return (frames, None);
        }
        let bytes_max = if self.pending.is_some() { BYTES_MAX } else { PIECE_BYTES };
        let mut events = match read_piece(&*node.log, self.cursor, EVENTS_MAX, bytes_max).await {
            Ok(piece) => {
                self.bytes = piece.bytes;
                piece.events
            }
            Err(error) => return (frames, Some(broken(error, self.cursor, node))),
        };
        let cut_short = events.last().is_some_and(|event| event.position < until);
        events.truncate(events.iter().take_while(|event| event.position <= until).count());
        if let Err(broken) = self.ask_policies(node, &events).await {
            return (frames, Some(broken));
        }
        let mut runs = transactions(&events).peekable();
        let mut first = true;
        while let Some(run) = runs.next() {
            // A transaction that goes on after this read is read again from its start, unless it is too large for one.
            if !run.complete && runs.peek().is_none() && cut_short && !first {
                break;
            }
            first = false;
            if let Err(broken) = self.take(run, node, &mut frames) {
                return (frames, Some(broken));
            }
            self.cursor = run.events[run.events.len() - 1].position;
        }
        (frames, None)
    }

    fn take(&mut self, run: Run<'_>, node: &Node, frames: &mut Vec<Frame>) -> Result<(), Broken> {
        if self.rights.end_with(run) {
            let first = &run.events[0];
            let upto = run.events.last().map(|event| event.position);
            return Err(Broken::Gap(Gap { upto, ..Gap::of_rights(before(first.position), first.change.tx) }));
        }
        if self.skip.as_ref().is_some_and(|skip| skip.covers(&run.events[0])) {
            return Ok(());
        }
        let reset = run.events.iter().position(|event| self.is_reset(event));
        // What comes before the reset is told, and is not the end of anything.
        let before = reset.map_or(run, |i| Run { events: &run.events[..i], complete: false });
        match &self.wish.channel {
            Channel::Table(_) => self.take_rows(before, node, frames)?,
            Channel::Room(_) | Channel::Notify(_) | Channel::Event(_) => self.take_messages(before, frames),
        }
        let Some(event) = reset.map(|i| &run.events[i]) else { return Ok(()) };
        let Body::Reset { cause, reason, .. } = &event.change.body else { return Ok(()) };
        let gap = match cause {
            ResetCause::Altered => GapReason::Schema,
            ResetCause::Missed => GapReason::Source,
        };
        self.cursor = Position { offset: Offset(event.position.offset.0 - 1), ..event.position };
        Err(Broken::Gap(Gap {
            reason: Some(gap),
            message: reason.to_string(),
            from: event.position,
            tx: event.change.tx,
            upto: None,
        }))
    }

    fn is_reset(&self, event: &Event) -> bool {
        matches!(&event.change.body, Body::Reset { channel, .. } if self.concerns(channel))
    }

    fn take_messages(&mut self, run: Run<'_>, frames: &mut Vec<Frame>) {
        for event in run.events {
            if let Body::Message(message) = &event.change.body
                && message.channel == self.wish.channel
            {
                let body = encode::message_body(message, Some(event.position), event.change.time_ms);
                frames.push(self.frame("message", event, &body));
            }
        }
    }

    fn concerns(&self, channel: &Channel) -> bool {
        match (&self.wish.channel, channel) {
            (Channel::Table(asked), Channel::Table(table)) => self.is_own(asked, table),
            (asked, channel) => asked == channel,
        }
    }

    pub(super) fn is_own(&self, asked: &TableName, table: &TableName) -> bool {
        self.bound.as_ref().map_or(asked == table, |bound| bound.table.name == *table)
    }

    fn take_rows(&mut self, run: Run<'_>, node: &Node, frames: &mut Vec<Frame>) -> Result<(), Broken> {
        let mut matched = Vec::new();
        for event in run.events {
            let Body::Row(change) = &event.change.body else { continue };
            let Channel::Table(asked) = &self.wish.channel else { continue };
            if !self.is_own(asked, &change.table.name) {
                continue;
            }
            let bound = self.bind_to(&change.table, event.position, node)?;
            let (predicate, projection) = (bound.predicate.clone(), bound.projection.clone());
            if let Some(seen) = self.seen(predicate.as_deref(), event, change) {
                matched.push((event, change, seen, projection));
            }
        }
        if self.pending.is_some() {
            self.fold(run, &matched);
            return Ok(());
        }
        let count = matched.len();
        for (i, (event, change, seen, projection)) in matched.into_iter().enumerate() {
            let last = run.complete && i + 1 == count;
            if let Some(told) = encode::tell(event, change, seen, &projection, last) {
                let frame = told.frame(self.wish.wire, &self.wish.id_json, event.position);
                frames.push((Some(event.position), frame));
            }
        }
        if run.events.is_empty() || run.stands_alone() {
            return Ok(());
        }
        if run.complete {
            if count == 0 && self.open && self.wish.event.is_none() {
                let event = &run.events[run.events.len() - 1];
                frames.push((Some(event.position), commit(self.wish.wire, &self.wish.id_json, event)));
            }
            self.open = false;
        } else {
            self.open |= count > 0;
        }
        Ok(())
    }

    /// The filter tied to the columns that this event has.
    fn bind_to(&mut self, table: &Arc<Table>, at: Position, node: &Node) -> Result<&Bound, Broken> {
        match &mut self.bound {
            None => {
                let before = Position { offset: Offset(at.offset.0 - 1), ..at };
                let message = "the table was made again".into();
                return Err(Broken::Gap(Gap {
                    reason: Some(GapReason::Schema),
                    message,
                    from: before,
                    tx: 0,
                    upto: None,
                }));
            }
            Some(bound) if Arc::ptr_eq(&bound.table, table) => {}
            Some(bound) if bound.table == *table => bound.table = table.clone(),
            Some(bound) => {
                *bound = Bound::new(&self.wish, table.clone(), node, &self.rights).map_err(Broken::Failed)?;
            }
        }
        Ok(self.bound.as_ref().expect("was there a moment ago"))
    }

    fn frame(&self, kind: &str, event: &Event, body: &[u8]) -> Frame {
        let frame = encode::frame(self.wish.wire, kind, &self.wish.id_json, Some(event.position), body);
        (Some(event.position), frame)
    }
}

/// What a failed read means for a subscription.
pub(super) fn broken(error: ReadError, asked: Position, node: &Node) -> Broken {
    let oldest = node.log.oldest();
    match error {
        ReadError::Io(error) => {
            Broken::Failed(Problem::new(Code::Internal, format!("the log cannot be read: {error}")))
        }
        ReadError::Gap { .. } if asked.epoch != oldest.epoch => {
            let message = format!("the log began anew; position {asked} is of an earlier one");
            Broken::Gap(Gap { reason: Some(GapReason::Epoch), message, from: oldest, tx: 0, upto: None })
        }
        ReadError::Gap { asked, oldest, head } => {
            let message = format!("position {asked} is not in the log, which goes from {oldest} to {head}");
            Broken::Gap(Gap { reason: Some(GapReason::Retention), message, from: oldest, tx: 0, upto: None })
        }
    }
}
