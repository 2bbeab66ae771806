//! From a snapshot's place in the database to its position in the log.

use std::time::Duration;

use super::follow::{BYTES_MAX, EVENTS_MAX, store_problem};
use super::node::Node;
use crate::event::{Body, Event, Mark, Place, Position};
use crate::log::ReadError;
use crate::protocol::{Code, Problem};
use crate::store::StoreError;

/// How long the log may take to hold what a snapshot has shown.
const SETTLE: Duration = Duration::from_secs(15);

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

/// Waits until the log holds all that a snapshot contains, and returns the last position of it.
///
/// `known` is the log's head from before the snapshot was read.
pub async fn settle(node: &Node, known: Position, mark: &Mark, place: &Place) -> Result<Position, Unsettled> {
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
    last_contained(node, known, mark).await
}

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
