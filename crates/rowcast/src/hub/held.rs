//! Frames that go to the same subscribers, one after the other, are put together before they are queued: one place in each queue, and one
//! piece of memory to write, for several of them.
//!
//! Nothing is held beyond a dispatch, and no client hears anything in another order: a session has one wire format, and of each wire
//! format only the frames of one bucket are held.

use bytes::Bytes;

use super::group::BucketKey;
use super::index::GroupKey;
use super::queue::ItemKind;
use crate::event::Position;
use crate::protocol::encode::Wire;

/// More than this is not put together: the smallest queue has room for it.
const BYTES_MAX: usize = 4 << 10;

/// Whose frames they are.
pub(super) type Place = (GroupKey, BucketKey);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<Chunk>);

/// Frames of one bucket.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) place: Place,
    wire: Wire,
    first: Position,
    last: Position,
    frames: Frames,
    pub(super) count: u64,
}

#[derive(Debug)]
enum Frames {
    One(Bytes),
    Many(Vec<u8>),
}

impl Held {
    /// Holds a frame. Returns what has to be queued before it.
    pub(super) fn hold(&mut self, place: Place, wire: Wire, position: Position, frame: Bytes) -> Option<Chunk> {
        let Some(at) = self.0.iter().position(|chunk| chunk.wire == wire) else {
            self.0.push(Chunk::new(place, wire, position, frame));
            return None;
        };
        let chunk = &mut self.0[at];
        if chunk.place == place && chunk.takes(&frame) {
            chunk.add(position, &frame);
            return None;
        }
        Some(std::mem::replace(chunk, Chunk::new(place, wire, position, frame)))
    }

    /// Takes out what is to be queued now.
    pub(super) fn take(&mut self) -> Option<Chunk> {
        self.0.pop()
    }
}

impl Chunk {
    fn new(place: Place, wire: Wire, position: Position, frame: Bytes) -> Self {
        Self { place, wire, first: position, last: position, frames: Frames::One(frame), count: 1 }
    }

    fn takes(&self, frame: &Bytes) -> bool {
        self.wire.is_framed() && self.bytes() + frame.len() <= BYTES_MAX
    }

    fn bytes(&self) -> usize {
        match &self.frames {
            Frames::One(frame) => frame.len(),
            Frames::Many(frames) => frames.len(),
        }
    }

    fn add(&mut self, position: Position, frame: &Bytes) {
        self.last = position;
        self.count += 1;
        match &mut self.frames {
            Frames::Many(frames) => frames.extend_from_slice(frame),
            Frames::One(first) => {
                let mut frames = Vec::with_capacity(BYTES_MAX);
                frames.extend_from_slice(first);
                frames.extend_from_slice(frame);
                self.frames = Frames::Many(frames);
            }
        }
    }

    /// As it is queued.
    pub(super) fn into_kind(self) -> ItemKind {
        match self.frames {
            Frames::One(frame) => ItemKind::Frame(self.last, frame),
            Frames::Many(frames) => ItemKind::Frames { first: self.first, last: self.last, bytes: frames.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(offset: u64) -> Position {
        Position::new(1, offset)
    }

    /// What is queued, in order, when these are held one after the other and then all of it is taken.
    fn queued(frames: &[(Place, Wire, u64, &'static str)]) -> Vec<(Place, String)> {
        let mut held = Held::default();
        let mut out = Vec::new();
        for (place, wire, offset, text) in frames {
            out.extend(held.hold(*place, *wire, position(*offset), Bytes::from_static(text.as_bytes())));
        }
        out.extend(std::iter::from_fn(|| held.take()));
        let show = |chunk: Chunk| match (chunk.place, chunk.into_kind()) {
            (place, ItemKind::Frame(at, bytes)) => (place, format!("{}:{}", at.offset.0, bytes.len())),
            (place, ItemKind::Frames { first, last, bytes }) => {
                (place, format!("{}-{}:{}", first.offset.0, last.offset.0, bytes.len()))
            }
            (place, other) => (place, format!("{other:?}")),
        };
        out.into_iter().map(show).collect()
    }

    const WS: Wire = Wire::WebSocket;

    #[test]
    fn frames_for_the_same_bucket_are_put_together() {
        let frames = [((1, 0), WS, 1, "a"), ((1, 0), WS, 2, "b"), ((1, 0), WS, 4, "c")];
        assert_eq!(queued(&frames), [((1, 0), "1-4:3".to_owned())]);
    }

    #[test]
    fn another_bucket_of_the_wire_format_comes_in_order() {
        let frames = [((1, 0), WS, 1, "a"), ((2, 0), WS, 1, "b"), ((1, 0), WS, 2, "c")];
        let wanted = [((1, 0), "1:1"), ((2, 0), "1:1"), ((1, 0), "2:1")];
        assert_eq!(queued(&frames), wanted.map(|(place, text)| (place, text.to_owned())));
    }

    #[test]
    fn wire_formats_do_not_disturb_each_other_and_plain_text_stays_apart() {
        let both =
            [((1, 0), WS, 1, "a"), ((1, 1), Wire::Sse, 1, "b"), ((1, 0), WS, 2, "c"), ((1, 1), Wire::Sse, 2, "d")];
        assert_eq!(queued(&both).len(), 2);
        let text = [((1, 0), Wire::Text, 1, "a"), ((1, 0), Wire::Text, 2, "b")];
        assert_eq!(queued(&text).len(), 2);
    }

    #[test]
    fn a_chunk_is_small() {
        let large: &'static str = "x".repeat(BYTES_MAX).leak();
        assert_eq!(queued(&[((1, 0), WS, 1, "a"), ((1, 0), WS, 2, large)]).len(), 2);
    }
}
