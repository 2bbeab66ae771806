//! Messages on their way to safety: collected while those before them are taken, acknowledged when they are safe.

use futures_util::future::BoxFuture;

use crate::ingest::decode::Record;
use crate::ingest::intake::{Closed, Intake};

/// Records on their way to where they are safe.
type Taking = BoxFuture<'static, Result<(), Closed>>;

/// How many records wait for those before them.
const RECORDS_MAX: usize = 1_000;

/// How many bytes of messages wait for those before them.
const BYTES_MAX: usize = 4 << 20;

/// Records that are handed over, each message with what has to be told to its sender then.
pub(super) struct Handing<A> {
    intake: Intake,
    waiting: Batch<A>,
    under_way: Option<(Taking, Vec<A>)>,
    flowed: bool,
}

struct Batch<A> {
    records: Vec<Record>,
    bytes: usize,
    resume: Option<String>,
    acks: Vec<A>,
}

impl<A> Default for Batch<A> {
    fn default() -> Self {
        Self { records: Vec::new(), bytes: 0, resume: None, acks: Vec::new() }
    }
}

impl<A> Batch<A> {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.acks.is_empty()
    }
}

impl<A> Handing<A> {
    pub(super) fn new(intake: &Intake) -> Self {
        Self { intake: intake.clone(), waiting: Batch::default(), under_way: None, flowed: false }
    }

    /// Adds a message of so many bytes: its records, and what to acknowledge when they are safe.
    pub(super) fn push(&mut self, mut records: Vec<Record>, bytes: usize, ack: Option<A>) {
        self.flowed |= !records.is_empty();
        self.waiting.records.append(&mut records);
        self.waiting.bytes += bytes;
        self.waiting.acks.extend(ack);
    }

    /// The place behind everything that was added, from which the source can be asked to go on.
    pub(super) fn resume_from(&mut self, place: String) {
        self.waiting.resume = Some(place);
    }

    /// Whether more may be read; otherwise the source is held back.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.records.len() < RECORDS_MAX && self.waiting.bytes < BYTES_MAX
    }

    /// Whether any record came.
    pub(super) fn flowed(&self) -> bool {
        self.flowed
    }

    /// Waits until the next records are safe, and returns what can be acknowledged. Waits for ever while there are none. May
    /// be dropped and called again.
    pub(super) async fn safe(&mut self) -> Result<Vec<A>, Closed> {
        if self.under_way.is_none() && !self.waiting.is_empty() {
            let Batch { records, resume, acks, .. } = std::mem::take(&mut self.waiting);
            let intake = self.intake.clone();
            let taken = Box::pin(async move { intake.take(records, resume.as_deref()).await });
            self.under_way = Some((taken, acks));
        }
        let Some((taken, _)) = &mut self.under_way else { return std::future::pending().await };
        let taken = taken.await;
        let acks = self.under_way.take().map(|(_, acks)| acks).unwrap_or_default();
        taken.map(|()| acks)
    }

    /// Waits until everything is safe: for a connection that is over, and can be told nothing more.
    pub(super) async fn rest(&mut self) -> Result<(), Closed> {
        while self.under_way.is_some() || !self.waiting.is_empty() {
            self.safe().await?;
        }
        Ok(())
    }
}
