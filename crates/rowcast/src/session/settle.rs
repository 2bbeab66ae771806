//! From a snapshot's place in the database to its position in the log.
//!
//! docs/adr/0007 says why a snapshot of PostgreSQL may have no single position, and what is done about it.

use std::time::Duration;

use super::follow::{BYTES_MAX, EVENTS_MAX, store_problem};
use super::node::Node;
use crate::event::{Body, Channel, Event, Mark, Offset, Place, Position, ResetCause};
use crate::hub::stands_alone;
use crate::log::ReadError;
use crate::protocol::{Code, Problem};
use crate::store::StoreError;

/// How long the log may take to hold what a snapshot has shown.
const SETTLE: Duration = Duration::from_secs(15);
/// How many events before a snapshot's beginning may hold one that it does not contain. A transaction stands in
/// PostgreSQL's log a moment before it can be seen; only a synchronous standby makes that moment long.
const LOOK_BACK: u64 = 1 << 16;

/// Why a snapshot has no position.
#[derive(Debug)]
pub enum Unsettled {
    /// What follows the snapshot has left the log already: it keeps too little for how long the snapshot took.
    Outrun,
    /// The store's own reason.
    Store(StoreError),
}

impl From<StoreError> for Unsettled {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Unsettled> for Problem {
    fn from(unsettled: Unsettled) -> Self {
        match unsettled {
            Unsettled::Store(error) => store_problem(error),
            Unsettled::Outrun => {
                let message = "while rows were read, what follows them has left the log already";
                Problem::new(Code::Unavailable, message).hint("raise log.keep_events, log.keep_bytes or log.keep_age")
            }
        }
    }
}

/// What was known of the log before a snapshot was begun.
#[derive(Debug, Clone)]
pub struct Known {
    pub(super) head: Position,
    shown: Shown,
}

/// What the snapshots taken so far have shown: every later one shows it, too.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// They contain every transaction up to here but the hidden ones.
    upto: Position,
    /// Transactions that stood in the log when they could not yet be seen, with the position before each.
    hidden: Vec<(u64, Position)>,
}

impl Known {
    /// To be called before a snapshot is begun.
    pub fn now(node: &Node) -> Self {
        let shown = node.shown.lock().clone();
        let head = node.log.head();
        let nothing = Shown { upto: Position { offset: Offset(0), ..head }, hidden: Vec::new() };
        Self { head, shown: shown.filter(|shown| shown.upto.epoch == head.epoch).unwrap_or(nothing) }
    }
}

/// Where a snapshot stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Every transaction up to here is in the snapshot.
    pub position: Position,
    /// No transaction after this is in it. Where the two differ, some of those between them are and some are not.
    pub until: Position,
}

impl Settled {
    fn at(position: Position) -> Self {
        Self { position, until: position }
    }

    /// Whether the snapshot is what the log says up to one position, no more and no less.
    pub fn is_clean(self) -> bool {
        self.position == self.until
    }
}

/// Waits until the log holds all that a snapshot contains, and returns where that ends.
///
/// `known` is from before the snapshot was begun.
pub async fn settle(node: &Node, known: &Known, mark: &Mark, place: &Place) -> Result<Settled, Unsettled> {
    let database = &node.database;
    let mut appended = node.log.watch();
    let arrived = async {
        while !database.store.reached(node.log.place(&database.source).as_ref(), place) {
            if appended.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(SETTLE, arrived).await.is_err() {
        return Err(StoreError::Unavailable("its changes are not being read; see the source's status".into()).into());
    }
    match mark {
        Mark::UpTo(_) => last_contained(node, known.head, mark).await.map(Settled::at),
        Mark::Visible(_) => cut(node, known, mark).await,
    }
}

/// Where transactions are seen in the order of the log: the last position of what the snapshot contains.
async fn last_contained(node: &Node, known: Position, mark: &Mark) -> Result<Position, Unsettled> {
    let mut cursor = known;
    // Whether the snapshot contains everything up to `cursor`.
    let mut certain = true;
    loop {
        let events = match node.log.read(cursor, EVENTS_MAX, BYTES_MAX).await {
            Ok(events) => events,
            Err(ReadError::Gap { oldest, .. }) => {
                (cursor, certain) = (oldest, false);
                continue;
            }
            Err(error @ ReadError::Io(_)) => return Err(StoreError::Unavailable(error.to_string()).into()),
        };
        let count = events.iter().take_while(|event| is_contained(event, mark) != Some(false)).count();
        // Where the snapshot contains one transaction, it contains all before it.
        certain |= events[..count].iter().any(|event| is_contained(event, mark) == Some(true));
        match events[..count].last() {
            Some(last) => cursor = last.position,
            None if certain => return Ok(cursor),
            None => return Err(Unsettled::Outrun),
        }
    }
}

/// `None` for what is of no table.
fn is_contained(event: &Event, mark: &Mark) -> Option<bool> {
    match event.change.body {
        Body::Message(_) => None,
        Body::Row(_) | Body::Reset { .. } => Some(mark.contains(event.change.tx)),
    }
}

/// Where transactions may be seen in another order than that of the log, and later than they stand in it.
async fn cut(node: &Node, known: &Known, mark: &Mark) -> Result<Settled, Unsettled> {
    // Read after the log was found to hold everything that the snapshot contains.
    let until = node.log.head();
    let oldest = node.log.oldest();
    if oldest > known.head {
        return Err(Unsettled::Outrun);
    }
    let mut hidden = known.shown.hidden.clone();
    hidden.retain(|(tx, _)| !mark.contains(*tx));
    let certain = known.shown.upto.max(oldest);
    let back = |from: Position| Position { offset: Offset(from.offset.0.saturating_sub(LOOK_BACK)), ..from };
    let mut start = certain.max(back(known.head));
    let scan = loop {
        let scan = Scan::of(node, start, until, mark).await?;
        // Where the first transaction found is not contained, another one before it may be neither, and it may have begun
        // before.
        if !scan.begins_uncontained || scan.anew.is_some() || start <= certain {
            break scan;
        }
        start = certain.max(back(start));
    };
    if scan.begins_uncontained && scan.anew.is_none() && start == oldest && oldest.offset.0 > 0 {
        // Perhaps only the end of it is left.
        return Err(Unsettled::Outrun);
    }
    let is_of_now = |before: &Position| scan.anew.is_none_or(|anew| *before >= anew);
    hidden.retain(|(_, before)| is_of_now(before));
    if let Some(shown) = &mut *node.shown.lock() {
        shown.hidden.retain(|(_, before)| is_of_now(before));
    }
    let earlier = hidden.iter().map(|(_, before)| *before).min();
    hidden.extend(scan.uncontained.iter().filter(|(_, before)| *before < known.head));
    remember(node, known.head, hidden, mark);
    let first = scan.uncontained.first().map(|(_, before)| *before);
    let position = earlier.into_iter().chain(first).min().unwrap_or(until);
    let clean = earlier.is_none() && scan.last_contained.is_none_or(|last| last <= position);
    Ok(if clean { Settled::at(position) } else { Settled { position, until } })
}

fn remember(node: &Node, head: Position, hidden: Vec<(u64, Position)>, mark: &Mark) {
    let mut shown = node.shown.lock();
    let shown = shown.get_or_insert_with(|| Shown { upto: head, hidden: Vec::new() });
    if shown.upto.epoch != head.epoch {
        *shown = Shown { upto: head, hidden: Vec::new() };
    }
    shown.upto = shown.upto.max(head);
    shown.hidden.retain(|(tx, _)| !mark.contains(*tx));
    for (tx, before) in hidden {
        if !shown.hidden.iter().any(|(other, _)| *other == tx) {
            shown.hidden.push((tx, before));
        }
    }
}

/// What a snapshot contains of a stretch of the log.
#[derive(Debug, Default)]
struct Scan {
    /// Transactions that are not contained, with the position before each, in the log's order.
    uncontained: Vec<(u64, Position)>,
    /// The last event of a transaction that is.
    last_contained: Option<Position>,
    /// The first transaction of the stretch is not contained.
    begins_uncontained: bool,
    /// The last position before which the log tells another story: changes were missed, and the database may be another
    /// one, whose transactions' numbers say nothing of this one's.
    anew: Option<Position>,
}

impl Scan {
    async fn of(node: &Node, after: Position, until: Position, mark: &Mark) -> Result<Self, Unsettled> {
        let mut scan = Self::default();
        let mut cursor = after;
        let mut current = 0;
        while cursor < until {
            let events = match node.log.read(cursor, EVENTS_MAX, BYTES_MAX).await {
                Ok(events) => events,
                Err(ReadError::Gap { .. }) => return Err(Unsettled::Outrun),
                Err(error @ ReadError::Io(_)) => return Err(StoreError::Unavailable(error.to_string()).into()),
            };
            let Some(last) = events.last().map(|event| event.position) else { break };
            for event in events.iter().filter(|event| event.position <= until && !stands_alone(event)) {
                let tx = event.change.tx;
                let before = Position { offset: Offset(event.position.offset.0 - 1), ..event.position };
                if let Body::Reset { channel: Channel::Table(_), cause: ResetCause::Missed, .. } = event.change.body {
                    scan = Self { anew: Some(before), ..Self::default() };
                    current = 0;
                }
                if mark.contains(tx) {
                    scan.last_contained = Some(event.position);
                } else if tx != current {
                    scan.begins_uncontained |= current == 0;
                    scan.uncontained.push((tx, before));
                }
                current = tx;
            }
            cursor = last;
        }
        Ok(scan)
    }
}
