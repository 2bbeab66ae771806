//! What readers see: the segments, the newest events in memory, and how far each source is.
//!
//! Changes in one step for each batch. Holds no file open and waits for no disk.

use std::collections::VecDeque;
use std::sync::Arc;

use super::recover::Places;
use super::segment::{Segment, Wanted};
use crate::event::{Event, Origin, Place, Position};
use crate::log::recent::{Budget, Recent};
use crate::log::retention::Stretch;
use crate::log::{LogStatus, ReadError};

/// A moment of the log.
#[derive(Debug)]
pub(crate) struct View {
    epoch: u64,
    /// Oldest first, at least one; the last one is written to.
    segments: VecDeque<Arc<Segment>>,
    recent: Recent,
    head: u64,
    places: Places,
}

/// Where the events asked for are.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Here they are.
    Memory(Vec<Arc<Event>>),
    /// On the disk.
    Disk(Arc<Segment>, Wanted),
}

impl View {
    pub(crate) fn new(epoch: u64, segments: VecDeque<Arc<Segment>>, next: u64, places: Places) -> Self {
        Self { epoch, segments, recent: Recent::before(next), head: next - 1, places }
    }

    pub(crate) fn head(&self) -> Position {
        Position::new(self.epoch, self.head)
    }

    pub(crate) fn oldest(&self) -> Position {
        Position::new(self.epoch, self.first_offset() - 1)
    }

    fn first_offset(&self) -> u64 {
        self.segments.front().map_or(self.head + 1, |segment| segment.first)
    }

    pub(crate) fn place(&self, source: &str) -> Option<Place> {
        self.places.get(source).cloned()
    }

    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    pub(crate) fn check(&self, after: Position) -> Result<(), ReadError> {
        ReadError::unless_within(after, self.oldest(), self.head())
    }

    pub(crate) fn plan(&self, after: Position, budget: Budget) -> Result<Plan, ReadError> {
        self.check(after)?;
        if let Some(events) = self.recent.read(after.offset.0, budget) {
            return Ok(Plan::Memory(events));
        }
        let first = after.offset.0 + 1;
        let number = self.segments.partition_point(|segment| segment.first <= first) - 1;
        let next = self.segments.get(number + 1).map_or(self.head + 1, |next| next.first);
        // What is in memory is read from there, where everyone shares it.
        let last = next.min(self.recent.first()) - 1;
        Ok(Plan::Disk(Arc::clone(&self.segments[number]), Wanted { first, last, budget }))
    }

    /// Shows events that are written. Returns those that `memory_max` bytes have no more room for.
    pub(crate) fn publish(
        &mut self,
        events: Vec<Arc<Event>>,
        origin: Option<Origin>,
        memory_max: usize,
    ) -> Vec<Arc<Event>> {
        self.head += events.len() as u64;
        events.into_iter().for_each(|event| self.recent.push(event));
        if let Some(Origin { source, place, .. }) = origin {
            match self.places.get_mut(&*source) {
                Some(known) => *known = place,
                None => drop(self.places.insert((*source).into(), place)),
            }
        }
        let surplus = || if self.recent.bytes() > memory_max { self.recent.pop() } else { None };
        std::iter::from_fn(surplus).collect()
    }

    /// Goes on in another segment.
    pub(crate) fn roll(&mut self, segment: Arc<Segment>, replaces: bool) {
        if replaces {
            self.segments.pop_back();
        }
        self.segments.push_back(segment);
    }

    /// All segments but the last, by what they hold.
    pub(crate) fn stretches(&self) -> Vec<Stretch> {
        let pairs = self.segments.iter().zip(self.segments.iter().skip(1));
        let stretch = |(segment, next): (&Arc<Segment>, &Arc<Segment>)| Stretch {
            events: next.first - segment.first,
            bytes: segment.bytes(),
            ended_ms: next.created_ms,
        };
        pairs.map(stretch).collect()
    }

    /// Forgets the oldest segments, and with them what of their events is in memory.
    pub(crate) fn forget(&mut self, count: usize) -> (Vec<Arc<Segment>>, Vec<Arc<Event>>) {
        let segments = self.segments.drain(..count).collect();
        let first = self.first_offset();
        let gone = || if self.recent.first() < first { self.recent.pop() } else { None };
        (segments, std::iter::from_fn(gone).collect())
    }

    pub(crate) fn status(&self) -> LogStatus {
        LogStatus {
            head: self.head().to_string(),
            oldest: self.oldest().to_string(),
            events: self.head + 1 - self.first_offset(),
            bytes: self.segments.iter().map(|segment| segment.bytes()).sum(),
        }
    }
}
