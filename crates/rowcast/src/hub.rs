//! Follows the log and hands each event to those who subscribed to it.
//!
//! Matches and fans out. Knows no snapshots and no positions of clients: that is `session`.

mod audience;
pub mod conflate;
mod group;
mod held;
mod index;
mod lane;
mod piece;
mod queue;
mod seen;
mod topic;
mod view;
mod watches;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use audience::{Audience, Listener, Outgoing};
pub use index::{Delivered, Interest, Member, SessionKey, commit};
pub use lane::Lane;
pub(crate) use lane::advance;
pub use piece::{Piece, is_open, read_piece};
pub use queue::{Closing, Item, ItemKind, Queue, SubscriptionKey, Taken};
pub use seen::{seen, sides, told_as};
pub use view::{Run, stands_alone, transactions};
pub use watches::Watch;

use crate::event::{Body, Channel, Event, Position};
use crate::filter::Selection;
use crate::log::{Log, ReadError};
use crate::protocol::encode::message_body;
use index::Index;

/// How much of the log is dispatched in one go: enough to be cheap, small enough that others get the lock.
const EVENTS_MAX: usize = 2048;
const BYTES_MAX: usize = 4 << 20;

/// After so many frames the hub lets others have the lock for a moment.
const FRAMES_MAX: u64 = 2048;

/// So many queues are written to, one after the other, before others get the processor.
const FLUSH_AT_ONCE: usize = 64;

/// So many members are sent away before others get the lock.
const AWAY_MAX: usize = 512;

/// The hub of one node.
pub struct Hub {
    log: Arc<dyn Log>,
    state: Mutex<State>,
    progress: watch::Sender<Position>,
    events: AtomicU64,
}

struct State {
    index: Index,
    /// Everything up to here has been queued for those who are members.
    dispatched: Position,
    /// The last position up to `dispatched` at which no transaction is open; `None` before the first one is known.
    between: Option<Position>,
    /// Part of a transaction has been dispatched, whose end is still to come.
    open: bool,
}

/// What the hub has done and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubStatus {
    /// Subscriptions that are live.
    pub subscriptions: usize,
    /// Different filters among them.
    pub filters: usize,
    /// Events dispatched since the start.
    pub events: u64,
    /// Frames and bytes queued since the start.
    pub delivered: Delivered,
}

impl State {
    fn passed(&mut self, run: Run<'_>) {
        let last = &run.events[run.events.len() - 1];
        self.dispatched = last.position;
        if !run.stands_alone() {
            self.open = !run.complete;
        } else if let Body::Reset { channel: Channel::Table(_), .. } = last.change.body {
            // The source has begun anew: what was open will have no end.
            self.open = false;
        }
        if !self.open {
            self.between = Some(last.position);
        }
    }
}

impl Hub {
    /// A hub that begins at the log's head.
    pub fn new(log: Arc<dyn Log>) -> Arc<Self> {
        let dispatched = log.head();
        let state = State { index: Index::default(), dispatched, between: Some(dispatched), open: false };
        let state = Mutex::new(state);
        Arc::new(Self { log, state, progress: watch::Sender::new(dispatched), events: AtomicU64::new(0) })
    }

    /// Follows the log until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut appended = self.log.watch();
        let mut ephemeral = self.log.ephemeral();
        self.find_beginning().await;
        loop {
            appended.mark_unchanged();
            self.catch_up().await;
            tokio::select! {
                () = stop.cancelled() => return,
                changed = appended.changed() => if changed.is_err() { return },
                message = ephemeral.recv() => match message {
                    Ok(message) => {
                        let body = message_body(&message, None, now_ms());
                        let mut state = self.state.lock();
                        state.index.send_message(&message.channel, None, &body);
                        let first = state.index.take_first();
                        drop(state);
                        flush(first);
                    }
                    Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "ephemeral messages came faster than they could be sent; some were dropped"),
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    /// A log that was left in the midst of a transaction goes on with the rest of it.
    async fn find_beginning(&self) {
        if is_open(&*self.log, self.dispatched()).await == Some(true) {
            let mut state = self.state.lock();
            (state.open, state.between) = (true, None);
        }
    }

    async fn catch_up(&self) {
        loop {
            let from = self.dispatched();
            match read_piece(&*self.log, from, EVENTS_MAX, BYTES_MAX).await {
                Ok(piece) => {
                    if !self.dispatch(&piece) {
                        return;
                    }
                    // Sessions take what they have before more is queued, also where there is one processor.
                    tokio::task::yield_now().await;
                }
                Err(ReadError::Gap { head, .. }) => {
                    // Only when retention outran the hub. Each session finds the gap when it reads the log for itself, and
                    // tells its client.
                    tracing::error!(%from, %head, "the hub fell behind what the log keeps; raise the log's retention");
                    let mut state = self.state.lock();
                    state.index.evict_all(from.next());
                    // Whoever joins while the others are sent away begins here.
                    (state.dispatched, state.between, state.open) = (head, Some(head), false);
                    send_away(&mut state);
                    drop(state);
                    self.progress.send_replace(head);
                }
                Err(ReadError::Io(error)) => {
                    tracing::error!(%error, "the log cannot be read; trying again in a second");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Queues what a piece brings. Returns whether it got further: not while a transaction's end is still to come.
    fn dispatch(&self, piece: &Piece) -> bool {
        let events = &piece.events;
        let began = std::time::Instant::now();
        let mut state = self.state.lock();
        let from = state.dispatched;
        let mut frames = state.index.delivered().frames;
        for run in transactions(events) {
            let whole = run.events.len() == events.len();
            let ends = run.events.len() + offset_of(events, run.events) == events.len();
            // A transaction whose end is not there yet waits, unless it is too large to be held at once.
            if !run.complete && ends && (piece.at_head || !whole) {
                break;
            }
            state.index.note_selections(run);
            while !state.index.dispatch(run) {
                send_away(&mut state);
            }
            state.passed(run);
            self.events.fetch_add(run.events.len() as u64, Ordering::Relaxed);
            if state.index.delivered().frames - frames > FRAMES_MAX {
                state.index.let_go();
                frames = state.index.delivered().frames;
                let first = state.index.take_first();
                self.progress.send_replace(state.dispatched);
                MutexGuard::unlocked_fair(&mut state, || flush(first));
            }
        }
        state.index.let_go();
        let first = state.index.take_first();
        let now = state.dispatched;
        drop(state);
        // Before anybody is woken, who would find that he has more than there is.
        self.progress.send_replace(now);
        flush(first);
        metrics::histogram!("rowcast_stage_seconds", "stage" => "dispatch").record(began.elapsed());
        if let Some(event) = events.last() {
            let age = Duration::from_millis(now_ms().saturating_sub(event.change.time_ms));
            metrics::histogram!("rowcast_event_age_seconds").record(age);
        }
        now != from
    }

    /// A position up to which every member's frames have been queued. While a dispatch is going on, some further
    /// frames have been queued, too.
    pub fn dispatched(&self) -> Position {
        // Never waits for a dispatch that is going on.
        *self.progress.borrow()
    }

    /// The newest position at which no transaction is open: where a subscription begins that wants no rows to begin with.
    pub async fn between(&self) -> Position {
        let mut progress = self.progress.subscribe();
        loop {
            progress.mark_unchanged();
            if let Some(position) = self.state.lock().between {
                return position;
            }
            // The hub lives as long as the sender, so this never fails.
            let _ = progress.changed().await;
        }
    }

    /// Returns when everything up to `position` has been dispatched.
    pub async fn reached(&self, position: Position) {
        // The hub lives as long as the sender, so this never fails.
        let _ = self.progress.subscribe().wait_for(|now| *now >= position).await;
    }

    /// Makes a member of a subscription and returns the position after which its frames are queued.
    ///
    /// `open` says that the client has seen part of a transaction whose end is still to come.
    pub fn join(
        &self,
        queue: &Arc<Queue>,
        session: SessionKey,
        subscription: SubscriptionKey,
        interest: Interest,
        open: bool,
    ) -> Position {
        let mut state = self.state.lock();
        // It reads the first part of an open transaction for itself after this.
        let open = open || state.open;
        state.index.join(interest, Member { session, subscription, queue: queue.clone() }, open);
        state.dispatched
    }

    /// Sends a member away, to go on by itself after what has been queued for it.
    pub fn send_away(&self, session: SessionKey, subscription: SubscriptionKey) {
        let mut state = self.state.lock();
        let dispatched = state.dispatched;
        state.index.send_member_away(session, subscription, dispatched);
        let first = state.index.take_first();
        drop(state);
        flush(first);
    }

    /// Watches what a selection finds, after the position that is returned.
    pub fn watch(&self, selection: Arc<Selection>) -> (Beginning<'_>, Position) {
        let mut state = self.state.lock();
        let (key, watch) = state.index.watches().add(selection);
        (Beginning { hub: self, key, watch: Some(watch) }, state.dispatched)
    }

    /// Ends the memberships of a session whose queue overflowed, and lets the queue begin anew.
    pub fn abandon(
        &self,
        queue: &Queue,
        session: SessionKey,
        subscriptions: impl IntoIterator<Item = SubscriptionKey>,
    ) {
        let mut state = self.state.lock();
        for subscription in subscriptions {
            state.index.leave(session, subscription);
        }
        queue.begin_anew();
    }

    /// Ends memberships.
    pub fn leave(&self, session: SessionKey, subscriptions: impl IntoIterator<Item = SubscriptionKey>) {
        let mut state = self.state.lock();
        for subscription in subscriptions {
            state.index.leave(session, subscription);
        }
    }

    /// Counts, for people.
    pub fn status(&self) -> HubStatus {
        let state = self.state.lock();
        let (subscriptions, filters) = state.index.counts();
        let events = self.events.load(Ordering::Relaxed);
        HubStatus { subscriptions, filters, events, delivered: state.index.delivered() }
    }
}

/// A watch while what it watches is still being read. When it is dropped before [`begin`](Self::begin), nothing is watched any more.
#[must_use]
pub struct Beginning<'h> {
    hub: &'h Hub,
    key: usize,
    /// `None` once it has begun.
    watch: Option<Arc<Watch>>,
}

impl Beginning<'_> {
    /// What was found contains everything up to a position.
    pub fn begin(mut self, from: Position) -> Arc<Watch> {
        let watch = self.watch.take().expect("it begins once");
        watch.begin(from);
        watch
    }
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if self.watch.take().is_some() {
            self.hub.state.lock().index.watches().remove(self.key);
        }
    }
}

/// Tells all who were taken out of the index; others may join and leave meanwhile.
fn send_away(state: &mut MutexGuard<'_, State>) {
    while state.index.send_away(AWAY_MAX) {
        MutexGuard::bump(state);
    }
}

/// Writes what the queues hold. A few are written at once; of many, each processor has its share.
fn flush(queues: Vec<Arc<Queue>>) {
    if queues.len() <= FLUSH_AT_ONCE {
        return queues.iter().for_each(|queue| queue.flush());
    }
    let mut queues = queues.into_iter();
    loop {
        let some: Vec<Arc<Queue>> = queues.by_ref().take(FLUSH_AT_ONCE).collect();
        if some.is_empty() {
            return;
        }
        tokio::spawn(async move { some.iter().for_each(|queue| queue.flush()) });
    }
}

fn offset_of(all: &[Arc<Event>], part: &[Arc<Event>]) -> usize {
    (part[0].position.offset.0 - all[0].position.offset.0) as usize
}

pub(crate) fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
