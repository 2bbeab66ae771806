//! Equal subscriptions that arrive together share one snapshot: a thousand clients that come back cost a handful of reads.
//!
//! A snapshot is read once, into a short buffer from which each takes at its own pace. Who is much slower than the others
//! falls out and takes one of its own; who comes when the buffer has begun to move, too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ahash::AHashMap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::node::Node;
use super::settle::{Settled, Unsettled};
use super::snapshot::Begun;
use crate::event::{Mark, Position, Row, Table};
use crate::filter::Predicate;
use crate::protocol::encode::{self, Projection};
use crate::store::{AsRole, OrderBy, Select, Snapshot, StoreError};

/// Rows are handed out in pieces of about this size, one frame each.
const PIECE_BYTES: usize = 64 << 10;
/// Bytes of one snapshot that wait for the slowest of those who share it.
const BUFFER_BYTES: usize = 2 << 20;
/// For so long after its beginning a snapshot can be joined.
const JOINED_FOR: Duration = Duration::from_secs(1);
/// A snapshot is not joined when so many events have been appended since: reading them costs more than rows do.
const JOINED_WITHIN: u64 = 4096;
/// So many equal snapshots are taken one after the other because something has happened since the last; more share one.
const AGAIN: u32 = 3;
/// Bytes of snapshots that were read to their end and wait to be joined, all together.
const LINGERING_BYTES: usize = 32 << 20;
/// How long those who are ready wait for one who is not.
const GRACE: Duration = Duration::from_millis(500);

/// Snapshots that can be joined.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    shots: Mutex<AHashMap<Key, Arc<Shot>>>,
    lingering: AtomicUsize,
}

/// What makes two snapshots equal. The columns that are shown do not: rows are read whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    table: Arc<Table>,
    filter: Option<Arc<Predicate>>,
    order_by: Vec<OrderBy>,
    limit: Option<u64>,
    role: Option<Arc<AsRole>>,
}

/// Which snapshot will do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    /// One that was begun when the log had come this far.
    pub(super) after: Position,
    /// One that contains this transaction; 0: any.
    pub(super) tx: u64,
    /// One that others may have, too.
    pub(super) shared: bool,
}

/// One snapshot on its way to those who share it.
#[derive(Debug)]
struct Shot {
    /// How many equal ones were begun just before, each a moment after the other.
    before: u32,
    state: Mutex<State>,
    /// Heard by the readers: there is more.
    news: watch::Sender<()>,
    /// Heard by who reads the database: something was taken.
    taken: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// When it was begun, and the log's head then.
    begun: Option<(Instant, Position)>,
    pieces: VecDeque<Arc<Piece>>,
    /// The number of the first piece that is still there.
    first: usize,
    bytes: usize,
    /// The piece that each reader takes next; `None` for one that has fallen out.
    readers: AHashMap<u64, Option<usize>>,
    next_reader: u64,
    /// Nobody reads it any more, and nobody may begin to.
    deserted: bool,
    end: Option<Outcome>,
}

type Outcome = Result<Taken, Unsettled>;

/// Where a snapshot stands, when it has been read.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) settled: Settled,
    pub(super) mark: Mark,
}

/// Some rows of a snapshot.
#[derive(Debug)]
pub(super) struct Piece {
    rows: Vec<Row>,
    weight: usize,
    /// Whether these are the last.
    pub(super) done: bool,
    /// As JSON, for each projection that somebody asked for.
    written: Mutex<Vec<(Arc<Projection>, Bytes)>>,
}

impl Piece {
    fn new(rows: Vec<Row>, weight: usize, done: bool) -> Self {
        Self { rows, weight, done, written: Mutex::default() }
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows as JSON, written once for all who see the same columns.
    pub(super) fn json(&self, table: &Table, projection: &Arc<Projection>) -> Bytes {
        let mut written = self.written.lock();
        if let Some((_, json)) = written.iter().find(|(other, _)| other == projection) {
            return json.clone();
        }
        let json: Bytes = encode::rows(table, projection, &self.rows).into();
        written.push((projection.clone(), json.clone()));
        json
    }
}

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Next {
    Rows(Arc<Piece>),
    /// After the last rows, or instead of them.
    End(Outcome),
    /// The others were faster, and what comes next is no longer there.
    FellOut,
}

/// Takes one snapshot, piece by piece. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Reader {
    shot: Arc<Shot>,
    key: u64,
    news: watch::Receiver<()>,
}

impl Reader {
    /// A snapshot of these rows: one that others have begun, where that will do.
    pub(super) fn begin(node: &Arc<Node>, select: Select, need: Need) -> Self {
        let key = Key {
            table: select.table.clone(),
            filter: select.filter.clone(),
            order_by: select.order_by.clone(),
            limit: select.limit,
            role: select.role.clone(),
        };
        let mut shots = node.sharing.shots.lock();
        let head = node.log.head();
        let other = shots.get(&key).filter(|_| need.shared);
        if let Some(reader) = other.and_then(|shot| shot.join(head, need.after)) {
            metrics::counter!("rowcast_snapshots_shared_total").increment(1);
            return reader;
        }
        let before = other.map_or(0, |other| other.before + 1);
        let channel = || watch::Sender::new(());
        let shot = Arc::new(Shot { before, state: Mutex::default(), news: channel(), taken: channel() });
        let reader = shot.add(&mut shot.state.lock());
        if need.shared {
            shots.insert(key.clone(), shot.clone());
        }
        drop(shots);
        tokio::spawn(run(node.clone(), shot, key, select, need.tx));
        reader
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            self.news.mark_unchanged();
            if let Some(next) = self.shot.take(self.key) {
                return next;
            }
            // Never fails: the sender is in the shot.
            let _ = self.news.changed().await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shot.state.lock().readers.remove(&self.key);
        self.shot.taken.send_replace(());
    }
}

impl Shot {
    /// Another reader, unless what it would begin with is gone, or too old for it.
    fn join(self: &Arc<Self>, head: Position, after: Position) -> Option<Reader> {
        let mut state = self.state.lock();
        let fits = state.begun.is_none_or(|(began, known)| {
            // Something that has happened since comes as a change; one client alone would rather have it in its rows.
            let within = if self.before < AGAIN { 0 } else { JOINED_WITHIN };
            let near = head.offset.0.saturating_sub(known.offset.0) <= within;
            known >= after && near && head.epoch == known.epoch && began.elapsed() < JOINED_FOR
        });
        let gone = state.first > 0 || state.deserted || matches!(state.end, Some(Err(_)));
        (fits && !gone).then(|| self.add(&mut state))
    }

    fn add(self: &Arc<Self>, state: &mut State) -> Reader {
        let key = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(key, Some(0));
        Reader { shot: self.clone(), key, news: self.news.subscribe() }
    }

    fn take(&self, key: u64) -> Option<Next> {
        let mut state = self.state.lock();
        let Some(Some(at)) = state.readers.get(&key).copied() else { return Some(Next::FellOut) };
        if let Some(piece) = state.pieces.get(at - state.first).cloned() {
            state.readers.insert(key, Some(at + 1));
            drop(state);
            self.taken.send_replace(());
            return Some(Next::Rows(piece));
        }
        state.end.as_ref().map(|end| Next::End(again(end)))
    }

    /// Adds a piece as soon as there is room. `Err` when nobody wants it any more.
    async fn push(&self, piece: Piece) -> Result<(), Deserted> {
        let mut taken = self.taken.subscribe();
        let weight = piece.weight;
        let piece = Arc::new(piece);
        // Since when somebody has waited for a slower one.
        let mut waited = None;
        loop {
            taken.mark_unchanged();
            let some_wait = {
                let mut state = self.state.lock();
                if state.is_deserted() {
                    return Err(Deserted);
                }
                if !state.has_room(weight) {
                    state.forget();
                }
                if state.has_room(weight) {
                    state.bytes += weight;
                    state.pieces.push_back(piece);
                    break;
                }
                state.some_wait_for_others()
            };
            if !some_wait {
                // Nobody is held up: it goes at the pace of those who read. Never fails: the sender is here.
                let _ = taken.changed().await;
                continue;
            }
            let since = *waited.get_or_insert_with(Instant::now);
            if tokio::time::timeout_at(since + GRACE, taken.changed()).await.is_err() {
                waited = None;
                self.state.lock().drop_slowest();
                self.news.send_replace(());
            }
        }
        self.news.send_replace(());
        Ok(())
    }

    /// Returns when nobody reads any more.
    async fn deserted(&self) {
        let mut taken = self.taken.subscribe();
        while !self.state.lock().is_deserted() {
            // Never fails: the sender is here.
            let _ = taken.changed().await;
        }
    }

    fn finish(&self, outcome: Outcome) {
        self.state.lock().end = Some(outcome);
        self.news.send_replace(());
    }
}

/// Nobody reads a snapshot any more.
struct Deserted;

impl State {
    fn is_deserted(&mut self) -> bool {
        self.deserted |= self.readers.values().all(Option::is_none);
        self.deserted
    }

    /// There is always room for one piece.
    fn has_room(&self, weight: usize) -> bool {
        self.bytes == 0 || self.bytes + weight <= BUFFER_BYTES
    }

    fn slowest(&self) -> Option<usize> {
        self.readers.values().flatten().min().copied()
    }

    /// Drops what everybody has taken.
    fn forget(&mut self) {
        let until = self.slowest().unwrap_or(self.first);
        while self.first < until
            && let Some(piece) = self.pieces.pop_front()
        {
            self.first += 1;
            self.bytes -= piece.weight;
        }
    }

    fn some_wait_for_others(&self) -> bool {
        let end = self.first + self.pieces.len();
        self.readers.values().flatten().any(|at| *at == end)
    }

    fn drop_slowest(&mut self) {
        let first = self.first;
        self.readers.values_mut().filter(|at| **at == Some(first)).for_each(|at| *at = None);
    }
}

/// Reads a snapshot for all who share it.
async fn run(node: Arc<Node>, shot: Arc<Shot>, key: Key, select: Select, tx: u64) {
    let outcome = tokio::select! {
        outcome = shoot(&node, &shot, &select, tx) => Some(outcome),
        () = shot.deserted() => None,
    };
    if let Some(outcome) = outcome {
        shot.finish(outcome);
        linger(&node.sharing, &shot).await;
    }
    let mut shots = node.sharing.shots.lock();
    if shots.get(&key).is_some_and(|other| Arc::ptr_eq(other, &shot)) {
        shots.remove(&key);
    }
}

/// A small snapshot stays for those who come a moment later.
async fn linger(sharing: &Sharing, shot: &Shot) {
    let (began, bytes) = match &*shot.state.lock() {
        State { begun: Some((began, _)), first: 0, end: Some(Ok(_)), bytes, .. } => (*began, *bytes),
        _ => return,
    };
    if sharing.lingering.fetch_add(bytes, Ordering::Relaxed) + bytes <= LINGERING_BYTES {
        tokio::time::sleep_until(began + JOINED_FOR).await;
    }
    sharing.lingering.fetch_sub(bytes, Ordering::Relaxed);
}

async fn shoot(node: &Node, shot: &Shot, select: &Select, tx: u64) -> Outcome {
    let _permit = node.snapshot_permit().await.map_err(|problem| StoreError::Unavailable(problem.message))?;
    let begun = |known| shot.state.lock().begun = Some((Instant::now(), known));
    let mut begun = Begun::begin(node, select, tx, begun).await?;
    if pour(shot, &mut begun.snapshot).await?.is_err() {
        return Err(StoreError::Unavailable("nobody waits for the rows any more".into()).into());
    }
    Ok(Taken { settled: begun.settle(node).await?, mark: begun.snapshot.mark })
}

async fn pour(shot: &Shot, snapshot: &mut Snapshot) -> Result<Result<(), Deserted>, StoreError> {
    let (mut rows, mut weight) = (Vec::new(), 0);
    while let Some(chunk) = snapshot.rows.recv().await.transpose()? {
        for row in chunk {
            if weight >= PIECE_BYTES {
                let piece = Piece::new(std::mem::take(&mut rows), std::mem::take(&mut weight), false);
                if shot.push(piece).await.is_err() {
                    return Ok(Err(Deserted));
                }
            }
            weight += row.weight();
            rows.push(row);
        }
    }
    Ok(shot.push(Piece::new(rows, weight, true)).await)
}

/// The same outcome for another reader.
fn again(outcome: &Outcome) -> Outcome {
    match outcome {
        Ok(taken) => Ok(taken.clone()),
        Err(Unsettled::Outrun) => Err(Unsettled::Outrun),
        Err(Unsettled::Store(error)) => Err(Unsettled::Store(error.clone())),
    }
}
