//! Pieces of the log that hold whole transactions, as far as they fit.

use std::sync::Arc;

use super::view::stands_alone;
use crate::event::{Body, Event, Offset, Position};
use crate::log::{Log, ReadError};

/// How many events are looked at for the one that tells whether a transaction is open.
const LOOK_BACK: u64 = 256;
const LOOK_BACK_BYTES: usize = 1 << 20;

/// Events that follow each other in the log.
#[derive(Debug)]
pub struct Piece {
    /// Oldest first. The last transaction may be there in part.
    pub events: Vec<Arc<Event>>,
    /// Whether the log had no more: the end of a transaction that is there in part has not been appended yet. Otherwise
    /// the piece has reached its size.
    pub at_head: bool,
    /// Roughly what the events take.
    pub bytes: usize,
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
        let Some(last) = events.last() else { return Ok(Piece { events, at_head: true, bytes }) };
        let at_head = last.position == log.head();
        if at_head || is_end(last) || events.len() >= events_max || bytes >= bytes_max {
            return Ok(Piece { events, at_head, bytes });
        }
        let more = log.read(last.position, events_max, bytes_max).await?;
        bytes += more.iter().map(|event| weight(event)).sum::<usize>();
        events.extend(more);
    }
}

/// Whether this is a good place to stop reading: the end of a transaction, or what stands alone.
fn is_end(event: &Event) -> bool {
    event.change.last || stands_alone(event)
}

/// Whether a transaction is open after `position`. `None` where the events that would tell are too many, or no longer there.
pub async fn is_open(log: &dyn Log, position: Position) -> Option<bool> {
    for back in [1, LOOK_BACK] {
        let from = position.offset.0.saturating_sub(back).max(log.oldest().offset.0);
        let events = log.read(Position { offset: Offset(from), ..position }, LOOK_BACK as usize, LOOK_BACK_BYTES).await;
        let events = events.ok()?;
        let reached = events.last().map_or(from, |event| event.position.offset.0);
        let mut before = events.iter().rev().skip_while(|event| event.position > position);
        if reached < position.offset.0 {
            return None;
        }
        if let Some(event) = before.find(|event| !stands_alone(event)) {
            return Some(!event.change.last);
        }
        if from == 0 {
            return Some(false);
        }
    }
    None
}

/// Roughly what an event takes in memory.
fn weight(event: &Event) -> usize {
    match &event.change.body {
        Body::Row(change) => [&change.old, &change.new].into_iter().flatten().map(|row| row.weight()).sum(),
        Body::Message(message) => message.json.len(),
        Body::Reset { .. } => 64,
    }
}
