//! Pieces of the log that hold whole transactions, as far as they fit.

use std::sync::Arc;

use crate::event::{Body, Event, Position};
use crate::log::{Log, ReadError};

/// Events that follow each other in the log.
#[derive(Debug)]
pub struct Piece {
    /// Oldest first. The last transaction may be there in part.
    pub events: Vec<Arc<Event>>,
    /// Whether the log had no more: the end of a transaction that is there in part has not been appended yet. Otherwise
    /// the piece has reached its size.
    pub at_head: bool,
}

/// Reads events after `after` until the last transaction is whole, the piece is as large as it may be, or the log ends.
///
/// One call to [`Log::read`] would not do: it may return less than it could.
pub async fn read_piece(
    log: &dyn Log,
    after: Position,
    events_max: usize,
    bytes_max: usize,
) -> Result<Piece, ReadError> {
    let mut events = log.read(after, events_max, bytes_max).await?;
    let mut bytes: usize = events.iter().map(|event| weight(event)).sum();
    loop {
        let Some(last) = events.last() else { return Ok(Piece { events, at_head: true }) };
        let at_head = last.position == log.head();
        if at_head || is_end(last) || events.len() >= events_max || bytes >= bytes_max {
            return Ok(Piece { events, at_head });
        }
        let more = log.read(last.position, events_max, bytes_max).await?;
        bytes += more.iter().map(|event| weight(event)).sum::<usize>();
        events.extend(more);
    }
}

/// Whether no transaction is open after this event.
pub(super) fn is_end(event: &Event) -> bool {
    event.change.last || !matches!(event.change.body, Body::Row(_))
}

/// Roughly what an event takes in memory.
fn weight(event: &Event) -> usize {
    match &event.change.body {
        Body::Row(change) => [&change.old, &change.new].into_iter().flatten().map(|row| row.weight()).sum(),
        Body::Message(message) => message.json.len(),
        Body::Reset { .. } => 64,
    }
}
