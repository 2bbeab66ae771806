//! What is told at once: how much was left out, then the changes, the last of which says that all of it is whole.

use bytes::Bytes;

use super::Span;
use super::merge::Entry;
use crate::event::{Offset, Position};
use crate::protocol::ServerMessage;
use crate::protocol::encode::{Wire, frame, reply};

/// See the module.
#[derive(Debug)]
pub struct Flush {
    entries: Vec<Entry>,
    skipped: u64,
    span: Span,
    /// No transaction is open after it.
    whole: bool,
    /// It ends a transaction of which earlier parts were told.
    ended: bool,
}

/// A frame, and how far the client has come when it has it.
pub type Told = (Option<Position>, Bytes);

impl Flush {
    pub(super) fn new(entries: Vec<Entry>, received: u64, span: Span, whole: bool, ended: bool) -> Self {
        let skipped = received - entries.len() as u64;
        Self { entries, skipped, span, whole, ended }
    }

    /// How many changes it does not tell.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Everything up to here has been told with it.
    pub fn newest(&self) -> Position {
        self.span.newest
    }

    /// As frames; `id` is the subscription's id as JSON.
    ///
    /// Within the flush changes carry the position before it: who is cut off has to hear all of it again. The last one has the newest.
    pub fn write(self, wire: Wire, id: &str, out: &mut Vec<Told>) {
        let plain = |id: &str| serde_json::from_str(id).unwrap_or_default();
        if self.skipped > 0 {
            metrics::counter!("rowcast_conflated_total").increment(self.skipped);
            let message = ServerMessage::Skipped { id: plain(id), count: self.skipped };
            out.push((None, reply(wire, &message, None)));
        }
        let Span { oldest, newest, tx } = self.span;
        let before = Position { epoch: oldest.epoch, offset: Offset(oldest.offset.0.saturating_sub(1)) };
        let count = self.entries.len();
        for (i, entry) in self.entries.into_iter().enumerate() {
            let last = i + 1 == count;
            if let Some(telling) = &entry.part.telling {
                out.push((Some(entry.part.position), telling.frame(wire, id)));
                continue;
            }
            let ends = last && self.whole;
            let position = if ends { newest } else { before };
            let body = entry.body(position, tx, ends);
            out.push((last.then_some(newest), frame(wire, "change", id, Some(position), &body)));
        }
        // Nothing is left of what happened, or nothing happened in the transaction's last part.
        if count == 0 && self.whole && (self.skipped > 0 || self.ended) {
            let message = ServerMessage::Commit { id: plain(id), tx, position: newest.to_string() };
            out.push((Some(newest), reply(wire, &message, Some(newest))));
        }
    }
}

impl Entry {
    /// Everything of a `change` after its `id`, closing brace included.
    fn body(&self, position: Position, tx: u64, last: bool) -> Vec<u8> {
        use std::io::Write;
        let mut out = Vec::with_capacity(256);
        let merged = self.row.as_ref().map(|row| self.part.write(row));
        let row = merged.as_ref().unwrap_or_else(|| self.part.json());
        write!(out, "\"op\":\"{}\",\"row\":", self.seen.op.as_str()).expect("a vector takes all");
        out.extend_from_slice(row);
        if let Some(old) = &self.old {
            out.extend_from_slice(b",\"old\":");
            out.extend_from_slice(old);
        }
        out.extend_from_slice(b",\"key\":");
        out.extend_from_slice(self.key().map_or(b"null", |key| key));
        if let Some(old_key) = &self.old_key {
            out.extend_from_slice(b",\"old_key\":");
            out.extend_from_slice(old_key);
        }
        if let Some(cause) = self.seen.cause {
            write!(out, ",\"cause\":\"{}\"", cause.as_str()).expect("a vector takes all");
        }
        let time = self.part.time_ms;
        write!(out, ",\"position\":\"{position}\",\"tx\":{tx},\"last\":{last},\"time\":{time}}}")
            .expect("a vector takes all");
        out
    }
}
