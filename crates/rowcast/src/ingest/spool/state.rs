//! What a spool knows of its records: where each is, and how far they were fetched.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Place, Segment};
use crate::ingest::decode::Record;

/// How many bytes of a file are one entry, at most, where they are on the disk alone.
const RANGE_BYTES: u64 = 256 << 10;

/// Records that follow one another, in one life.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) life: Arc<str>,
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) time_ms: u64,
    pub(super) place: Option<Place>,
}

/// Where the records of an entry are to be had.
#[derive(Debug)]
pub(super) enum Whereabouts {
    Memory(Vec<Record>),
    Disk(Place),
    Fetched,
}

#[derive(Debug)]
pub(super) struct State {
    life: Arc<str>,
    next: u64,
    /// Oldest first, with the records that are in memory.
    entries: VecDeque<(Entry, Option<Vec<Record>>)>,
    /// How many of the entries were fetched.
    fetched: usize,
    pub(super) segments: VecDeque<Arc<Segment>>,
    pub(super) bytes: u64,
    /// Bytes of the records in memory.
    pub(super) memory: u64,
    pub(super) resume: Option<String>,
    pub(super) full: bool,
    pub(super) closed: bool,
    pub(super) problem: Option<String>,
    /// Records of the first entry that are forgotten already.
    forgotten: u64,
    records: u64,
}

impl State {
    pub(super) fn new(life: Arc<str>) -> Self {
        Self {
            life,
            next: 1,
            entries: VecDeque::new(),
            fetched: 0,
            segments: VecDeque::new(),
            bytes: 0,
            memory: 0,
            resume: None,
            full: false,
            closed: false,
            problem: None,
            forgotten: 0,
            records: 0,
        }
    }

    pub(super) fn life(&self) -> &Arc<str> {
        &self.life
    }

    /// The number of the next record.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn records(&self) -> u64 {
        self.records - self.forgotten
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.entries.front().map(|(entry, _)| entry.time_ms)
    }

    /// Notes records of this life that are nowhere but in memory.
    pub(super) fn push(&mut self, time_ms: u64, bytes: u64, resume: Option<&str>, records: Whereabouts) {
        if let Some(resume) = resume {
            self.resume = Some(resume.to_owned());
        }
        let Whereabouts::Memory(records) = records else { return };
        let (life, first, count) = (self.life.clone(), self.next, records.len() as u64);
        self.note(Entry { life, first, count, bytes, time_ms, place: None }, Some(records));
    }

    /// Notes records, of this life or, while the spool is opened, of an earlier one.
    pub(super) fn note(&mut self, entry: Entry, records: Option<Vec<Record>>) {
        if entry.count == 0 {
            return;
        }
        if entry.life == self.life {
            self.next = entry.first + entry.count;
        }
        self.records += entry.count;
        self.bytes += entry.bytes;
        if records.is_some() {
            self.memory += entry.bytes;
        } else if self.fetched < self.entries.len()
            && let Some((last, None)) = self.entries.back_mut()
            && last.take_in(&entry)
        {
            return;
        }
        self.entries.push_back((entry, records));
    }

    #[cfg(test)]
    pub(super) fn has_unread(&self) -> bool {
        self.fetched < self.entries.len()
    }

    /// The next entry that was not fetched: its life, its first number, its records.
    pub(super) fn next_unread(&mut self) -> Option<(Arc<str>, u64, Whereabouts)> {
        let (entry, records) = self.entries.get_mut(self.fetched)?;
        self.fetched += 1;
        let records = match (records.take(), &entry.place) {
            (Some(records), _) => {
                self.memory -= entry.bytes;
                Whereabouts::Memory(records)
            }
            (None, Some(place)) => Whereabouts::Disk(place.clone()),
            (None, None) => Whereabouts::Fetched,
        };
        Some((entry.life.clone(), entry.first, records))
    }

    /// Forgets the records of a life up to a number, and all before that life. Returns whether the life is known.
    pub(super) fn forget(&mut self, life: &str, upto: u64) -> bool {
        if !self.entries.iter().any(|(entry, _)| *entry.life == *life) {
            return *self.life == *life;
        }
        let mut reached = false;
        while let Some((entry, _)) = self.entries.front() {
            if *entry.life == *life {
                reached = true;
                if entry.first + entry.count - 1 > upto {
                    self.forgotten = (upto + 1).saturating_sub(entry.first);
                    break;
                }
            } else if reached {
                // A later life's records are none of its.
                break;
            }
            self.pop();
        }
        true
    }

    fn pop(&mut self) {
        let Some((entry, records)) = self.entries.pop_front() else { return };
        self.forgotten = 0;
        self.fetched = self.fetched.saturating_sub(1);
        self.records -= entry.count;
        self.bytes -= entry.bytes;
        if records.is_some() {
            self.memory -= entry.bytes;
        }
    }

    /// Files before the one that is written to whose records are all forgotten; they are not known any more.
    pub(super) fn finished_files(&mut self) -> Vec<PathBuf> {
        let mut finished = Vec::new();
        let needed = self.entries.front().and_then(|(entry, _)| entry.place.as_ref()).map(|place| place.segment.seq);
        while self.segments.len() > 1
            && let Some(front) = self.segments.front()
            && needed.is_none_or(|needed| front.seq < needed)
        {
            finished.push(front.path.clone());
            self.segments.pop_front();
        }
        finished
    }
}

impl Entry {
    /// Becomes one with the entry that follows it in the same file, if that is not too much at once.
    fn take_in(&mut self, next: &Entry) -> bool {
        let (Some(place), Some(other)) = (&mut self.place, &next.place) else { return false };
        let follows = self.life == next.life
            && place.segment.seq == other.segment.seq
            && place.at + place.length == other.at
            && self.first + self.count == next.first;
        if !follows || place.length + other.length > RANGE_BYTES {
            return false;
        }
        place.length += other.length;
        self.count += next.count;
        self.bytes += next.bytes;
        true
    }
}
