//! Who has heard what: every message by each of its room, once, and by nobody else.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::{Notify, Semaphore};

use super::Shape;
use crate::load::{find, number};

/// What stands before a message's number, in what every server says.
const BODY: &[u8] = b"\"body\":\"";
/// Coprime to any number of people here, so that everybody has a turn and neighbours in time are no neighbours in a room.
const STRIDE: u64 = 7_919;

/// All messages of a site, by number.
pub(super) struct Ledger {
    shape: Shape,
    /// When each was due.
    due: RefCell<Vec<Instant>>,
    /// Whether each of its room has heard it, one room after the other.
    heard: RefCell<Vec<bool>>,
    /// How many have still to hear it.
    left: RefCell<Vec<usize>>,
    finished: Cell<u64>,
    delays_us: RefCell<Vec<u32>>,
    last: Cell<Instant>,
    problem: RefCell<Option<String>>,
    progress: Notify,
    /// Messages that may be begun, where new ones wait for earlier ones.
    pub(super) free: Semaphore,
}

impl Ledger {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            due: RefCell::default(),
            heard: RefCell::default(),
            left: RefCell::default(),
            finished: Cell::default(),
            delays_us: RefCell::default(),
            last: Cell::new(Instant::now()),
            problem: RefCell::default(),
            progress: Notify::new(),
            free: Semaphore::new(0),
        }
    }

    /// A message that is due at a time: its number, and who sends it.
    pub(super) fn message(&self, due: Instant) -> (u64, usize) {
        let n = self.sent();
        self.due.borrow_mut().push(due);
        let mut heard = self.heard.borrow_mut();
        let length = heard.len() + self.shape.size;
        heard.resize(length, false);
        self.left.borrow_mut().push(self.shape.size);
        (n, self.sender(n))
    }

    pub(super) fn sent(&self) -> u64 {
        self.due.borrow().len() as u64
    }

    fn sender(&self, n: u64) -> usize {
        (n * STRIDE % self.shape.people as u64) as usize
    }

    /// What somebody reads.
    pub(super) fn hear(&self, person: usize, mut text: &[u8], now: Instant) {
        while let Some(at) = find(text, BODY) {
            text = &text[at + BODY.len()..];
            match number(text) {
                Some(n) if n < self.sent() => self.note(person, n, now),
                _ => self.fail(format!("person {person} hears what nobody has said")),
            }
        }
    }

    fn note(&self, person: usize, n: u64, now: Instant) {
        let Shape { size, .. } = self.shape;
        if self.sender(n) / size != person / size {
            return self.fail(format!("person {person} hears message {n}, which is of another room"));
        }
        let at = n as usize;
        if std::mem::replace(&mut self.heard.borrow_mut()[at * size + person % size], true) {
            return self.fail(format!("person {person} hears message {n} twice"));
        }
        let delay = now.saturating_duration_since(self.due.borrow()[at]);
        self.delays_us.borrow_mut().push(u32::try_from(delay.as_micros()).unwrap_or(u32::MAX));
        let left = &mut self.left.borrow_mut()[at];
        *left -= 1;
        if *left == 0 {
            self.finished.set(self.finished.get() + 1);
            self.last.set(now);
            self.free.add_permits(1);
            self.progress.notify_one();
        }
    }

    /// Something is not as it must be: the bench fails by the first of it.
    pub(super) fn fail(&self, problem: String) {
        self.problem.borrow_mut().get_or_insert(problem);
        self.progress.notify_one();
    }

    pub(super) fn check(&self) -> Result<()> {
        let problem = self.problem.borrow();
        ensure!(problem.is_none(), "{}", problem.as_deref().unwrap_or_default());
        Ok(())
    }

    /// Forgets the delays so far.
    pub(super) fn begin(&self) {
        self.delays_us.borrow_mut().clear();
    }

    /// Waits until everybody has heard all that was sent, and returns when that was, and the delays in microseconds, ascending.
    pub(super) async fn all_heard(&self, at_most: Duration) -> Result<(Instant, Vec<u32>)> {
        let deadline = Instant::now() + at_most;
        while self.finished.get() < self.sent() {
            self.check()?;
            let waited = tokio::time::timeout_at(deadline.into(), self.progress.notified()).await;
            let (finished, sent) = (self.finished.get(), self.sent());
            ensure!(waited.is_ok(), "only {finished} of {sent} messages have reached everybody of their rooms");
        }
        let last = self.last.get();
        // What comes twice comes soon after.
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.check()?;
        let mut delays = std::mem::take(&mut *self.delays_us.borrow_mut());
        delays.sort_unstable();
        Ok((last, delays))
    }
}
