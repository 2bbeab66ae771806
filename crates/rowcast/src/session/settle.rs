//! From a snapshot's place in the database to its position in the log.

use std::sync::Arc;
use std::time::Duration;

use super::follow::{BYTES_MAX, EVENTS_MAX};
use super::node::Node;
use crate::event::{Body, Event, Mark, Place, Position};
use crate::store::StoreError;

/// How long the log may take to hold what a snapshot has shown.
const SETTLE: Duration = Duration::from_secs(15);

/// Waits until the log holds all that a snapshot contains, and returns the last position of it.
///
/// `known` is the log's head from before the snapshot was read.
pub async fn settle(node: &Node, known: Position, mark: Mark, place: &Place) -> Result<Position, StoreError> {
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
        return Err(StoreError::Unavailable("its changes are not being read; see the source's status".into()));
    }
    let mut cursor = known;
    loop {
        let events = node.log.read(cursor, EVENTS_MAX, BYTES_MAX).await;
        let events = events.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let contained = |event: &&Arc<Event>| match event.change.body {
            Body::Message(_) => true,
            Body::Row(_) | Body::Reset { .. } => mark.contains(event.change.tx),
        };
        let Some(last) = events.iter().take_while(contained).last() else { return Ok(cursor) };
        cursor = last.position;
    }
}
