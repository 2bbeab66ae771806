//! One subscription's own way to the present: snapshot, then the log, until it is near enough for the hub to carry on.
//!
//! Also the way back for a subscription that the hub had to let go: the queue overflowed, or the table was altered. It runs
//! as a task of its own and hands frames to the session as fast as the session takes them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::node::Node;
use super::order::{parse_order, unknown_column};
use crate::event::{Body, Channel, Event, Mark, Offset, Place, Position, Row, Table, TableName};
use crate::filter::{Filter, Predicate};
use crate::hub::{Interest, Run, SubscriptionKey, commit, seen, transactions};
use crate::log::ReadError;
use crate::protocol::encode::{self, Projection, Wire};
use crate::protocol::{Code, ColumnType, GapReason, Problem, ServerMessage, SnapshotWish};
use crate::store::{Select, Snapshot, StoreError};

/// Events read from the log in one go.
const EVENTS_MAX: usize = 1024;
const BYTES_MAX: usize = 256 << 10;
/// Rows of a snapshot go out in frames of about this size.
const FRAME_BYTES: usize = 64 << 10;
/// How long the log may take to hold what a snapshot has shown.
const SETTLE: Duration = Duration::from_secs(15);

/// What the client asked for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) id: String,
    /// `id` as JSON.
    pub(super) id_json: Arc<str>,
    pub(super) channel: Channel,
    pub(super) filter: Option<Filter>,
    pub(super) columns: Option<Vec<String>>,
    pub(super) snapshot: SnapshotWish,
    pub(super) old: bool,
    pub(super) wire: Wire,
}

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// With a snapshot, or at the head where none is wanted.
    Fresh,
    /// After a position that the client gave.
    Since(Position),
    /// After a position that the client has reached on this connection: nothing is said about it.
    Quietly(Position),
}

/// What the task has for its session.
#[derive(Debug)]
pub(super) enum Step {
    /// Frames, with the position of the event that each is about.
    Frames(Vec<(Option<Position>, Bytes)>),
    /// The hub can carry on from here.
    Ready(Box<Follow>),
    /// The subscription has ended.
    Failed(Problem),
    /// The answer to a request; no subscription's.
    Reply(ServerMessage),
}

/// A filter and columns, tied to a table as it was at some moment.
#[derive(Debug, Clone)]
struct Bound {
    table: Arc<Table>,
    predicate: Option<Arc<Predicate>>,
    projection: Arc<Projection>,
}

/// A subscription on its way.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) wish: Arc<Wish>,
    /// `None` for a room, and for a table that is not there at the moment.
    bound: Option<Bound>,
    /// Everything up to here has been sent.
    pub(super) cursor: Position,
    /// Part of a transaction was sent whose end is still to come.
    open: bool,
}

/// Why reading the log stopped short.
#[derive(Debug)]
pub(super) enum Broken {
    /// The client has to begin again; the position to go on from when it wants no snapshot.
    Gap(GapReason, String, Position),
    /// The subscription cannot go on.
    Failed(Problem),
}

/// The session is gone, or has unsubscribed.
struct Gone;

type Sender = mpsc::Sender<(SubscriptionKey, Step)>;

/// Runs until the hub can carry on, the subscription fails, or nobody listens.
pub(super) async fn follow(node: Arc<Node>, wish: Arc<Wish>, start: Start, key: SubscriptionKey, steps: Sender) {
    let cursor = node.log.head();
    let mut way = Way { node, key, steps, follow: Follow { wish, bound: None, cursor, open: false } };
    match way.walk(start).await {
        Ok(Ok(())) => {
            let ready = Step::Ready(Box::new(way.follow));
            let _ = way.steps.send((key, ready)).await;
        }
        Ok(Err(problem)) => {
            let _ = way.steps.send((key, Step::Failed(problem))).await;
        }
        Err(Gone) => {}
    }
}

struct Way {
    node: Arc<Node>,
    key: SubscriptionKey,
    steps: Sender,
    follow: Follow,
}

impl Way {
    async fn walk(&mut self, start: Start) -> Result<Result<(), Problem>, Gone> {
        let mut gap = match self.begin(start).await? {
            Ok(gap) => gap,
            Err(problem) => return Ok(Err(problem)),
        };
        loop {
            if let Some((reason, message, from)) = gap.take() {
                self.say_gap(reason, message).await?;
                if let Err(problem) = self.again(from).await? {
                    return Ok(Err(problem));
                }
            }
            match self.read_on().await? {
                Ok(()) => return Ok(Ok(())),
                Err(Broken::Gap(reason, message, from)) => gap = Some((reason, message, from)),
                Err(Broken::Failed(problem)) => return Ok(Err(problem)),
            }
        }
    }

    /// The first leg. A gap is what the rest of the way begins with.
    #[allow(clippy::type_complexity, reason = "the gap's three parts are taken apart at once")]
    async fn begin(&mut self, start: Start) -> Result<Result<Option<(GapReason, String, Position)>, Problem>, Gone> {
        if let Err(problem) = self.bind_to_catalog().await {
            let quietly = matches!(start, Start::Quietly(_));
            // A table that was dropped while it was followed may be made again.
            if !(quietly && problem.code == Code::UnknownTable) {
                return Ok(Err(problem));
            }
        }
        match start {
            Start::Fresh => Ok(self.fresh().await?.map(|()| None)),
            Start::Quietly(position) => {
                self.follow.set_cursor(&self.node, position).await;
                Ok(Ok(None))
            }
            Start::Since(position) => match self.node.log.read(position, 1, 1).await {
                Ok(_) => {
                    self.follow.set_cursor(&self.node, position).await;
                    self.say_subscribed(true).await?;
                    Ok(Ok(None))
                }
                Err(error) => match broken(error, position, &self.node) {
                    Broken::Gap(reason, message, from) => Ok(Ok(Some((reason, message, from)))),
                    Broken::Failed(problem) => Ok(Err(problem)),
                },
            },
        }
    }

    /// Begins again after a gap.
    async fn again(&mut self, from: Position) -> Result<Result<(), Problem>, Gone> {
        match self.bind_to_catalog().await {
            Ok(()) => {}
            Err(problem) if problem.code == Code::UnknownTable => return Ok(Ok(self.without_table(from).await?)),
            Err(problem) => return Ok(Err(problem)),
        }
        if self.follow.wish.snapshot.wanted() && self.follow.bound.is_some() {
            return self.fresh().await;
        }
        self.follow.cursor = from;
        self.follow.open = false;
        Ok(Ok(self.say_subscribed(false).await?))
    }

    /// The table is gone: an empty result, until it is made again.
    async fn without_table(&mut self, from: Position) -> Result<(), Gone> {
        self.follow.bound = None;
        self.follow.cursor = from;
        self.follow.open = false;
        if self.follow.wish.snapshot.wanted() {
            let id = self.follow.wish.id.clone();
            let empty = ServerMessage::Snapshot { id, columns: None, key: None, rows: Vec::new(), done: true };
            self.say(&empty, None).await?;
        }
        self.say_subscribed(false).await
    }

    /// Snapshot, and the exact position that it stands for; or the head, where no snapshot is wanted.
    async fn fresh(&mut self) -> Result<Result<(), Problem>, Gone> {
        self.follow.open = false;
        if !self.follow.wish.snapshot.wanted() || self.follow.bound.is_none() {
            self.follow.cursor = self.node.hub.dispatched();
            return Ok(Ok(self.say_subscribed(false).await?));
        }
        for _ in 0..5 {
            match self.snapshot().await? {
                Ok(()) => return Ok(Ok(self.say_subscribed(false).await?)),
                Err(StoreError::Altered(_)) => {
                    if let Err(problem) = self.bind_to_catalog().await {
                        return Ok(Err(problem));
                    }
                }
                Err(error) => return Ok(Err(store_problem(error))),
            }
        }
        Ok(Err(Problem::new(Code::Unavailable, "the table is being altered again and again; try later")))
    }

    async fn snapshot(&mut self) -> Result<Result<(), StoreError>, Gone> {
        let Some(bound) = self.follow.bound.clone() else { return Ok(Ok(())) };
        let _permit = self.node.snapshots.acquire().await.map_err(|_| Gone)?;
        let select = match self.select(&bound) {
            Ok(select) => select,
            Err(problem) => return Ok(Err(StoreError::Refused(problem.message))),
        };
        // Read before the snapshot is: everything up to here is committed, and so in the snapshot.
        let known = self.node.log.head();
        let mut snapshot = match self.node.database.store.snapshot(select).await {
            Ok(snapshot) => snapshot,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = self.send_rows(&bound, &mut snapshot).await? {
            return Ok(Err(error));
        }
        match settle(&self.node, known, snapshot.mark, &snapshot.place).await {
            Ok(position) => {
                self.follow.cursor = position;
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn select(&self, bound: &Bound) -> Result<Select, Problem> {
        let (order_by, limit) = self.follow.wish.snapshot.parts();
        let order_by = order_by.map_or(Ok(Vec::new()), |text| parse_order(text, &bound.table))?;
        let (table, filter) = (bound.table.clone(), bound.predicate.clone());
        Ok(Select { table, filter, order_by, limit, offset: 0 })
    }

    async fn send_rows(&self, bound: &Bound, snapshot: &mut Snapshot) -> Result<Result<(), StoreError>, Gone> {
        let (columns, key) = head(bound);
        let mut head = Some((&columns[..], &key[..]));
        let mut rows: Vec<Row> = Vec::new();
        let mut bytes = 0;
        loop {
            let chunk = match snapshot.rows.recv().await {
                Some(Ok(chunk)) => Some(chunk),
                Some(Err(error)) => return Ok(Err(error)),
                None => None,
            };
            let done = chunk.is_none();
            for row in chunk.into_iter().flatten() {
                bytes += row.weight();
                rows.push(row);
            }
            if done || bytes >= FRAME_BYTES {
                let wish = &self.follow.wish;
                let table = &bound.table;
                let frame =
                    encode::snapshot(wish.wire, &wish.id_json, head.take(), table, &bound.projection, &rows, done);
                self.send(Step::Frames(vec![(None, frame)])).await?;
                rows.clear();
                bytes = 0;
            }
            if done {
                return Ok(Ok(()));
            }
        }
    }

    async fn bind_to_catalog(&mut self) -> Result<(), Problem> {
        if let Channel::Table(name) = &self.follow.wish.channel {
            let table = self.node.database.store.table(name).await.map_err(store_problem)?;
            let bound = Bound::new(&self.follow.wish, table, &self.node)?;
            // A wrong order is said before anything is read.
            self.select(&bound)?;
            self.follow.bound = Some(bound);
        }
        Ok(())
    }

    /// Reads the log until the hub is near.
    async fn read_on(&mut self) -> Result<Result<(), Broken>, Gone> {
        // A snapshot may be newer than what the hub has dispatched; to join now would repeat what lies between.
        self.node.hub.reached(self.follow.cursor).await;
        loop {
            let until = self.node.hub.dispatched();
            let (frames, broken) = self.follow.read(&self.node, until).await;
            if !frames.is_empty() {
                self.send(Step::Frames(frames)).await?;
            }
            if let Some(broken) = broken {
                return Ok(Err(broken));
            }
            let now = self.node.hub.dispatched();
            if now.offset.0.saturating_sub(self.follow.cursor.offset.0) < EVENTS_MAX as u64 / 4 {
                return Ok(Ok(()));
            }
        }
    }

    async fn say_gap(&self, reason: GapReason, message: String) -> Result<(), Gone> {
        self.say(&ServerMessage::Gap { id: self.follow.wish.id.clone(), reason, message }, None).await
    }

    async fn say_subscribed(&self, resumed: bool) -> Result<(), Gone> {
        let (columns, key) = self.follow.bound.as_ref().map(head).unzip();
        let (id, position) = (self.follow.wish.id.clone(), self.follow.cursor);
        let message = ServerMessage::Subscribed { id, position: position.to_string(), resumed, columns, key };
        self.say(&message, Some(position)).await
    }

    async fn say(&self, message: &ServerMessage, position: Option<Position>) -> Result<(), Gone> {
        let frame = encode::reply(self.follow.wish.wire, message, position);
        self.send(Step::Frames(vec![(position, frame)])).await
    }

    async fn send(&self, step: Step) -> Result<(), Gone> {
        self.steps.send((self.key, step)).await.map_err(|_| Gone)
    }
}

/// Waits until the log holds all that a snapshot contains, and returns the last position of it.
///
/// `known` is the log's head from before the snapshot was read.
pub async fn settle(node: &Node, known: Position, mark: Mark, place: &Place) -> Result<Position, StoreError> {
    let database = &node.database;
    let mut appended = node.log.watch();
    let arrived = async {
        while !database.store.reached(node.log.place(&database.source).as_ref(), place) {
            if appended.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(SETTLE, arrived).await.is_err() {
        return Err(StoreError::Unavailable("its changes are not being read; see the source's status".into()));
    }
    let mut cursor = known;
    loop {
        let events = node.log.read(cursor, EVENTS_MAX, BYTES_MAX).await;
        let events = events.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let contained = |event: &&Arc<Event>| match event.change.body {
            Body::Message(_) => true,
            Body::Row(_) | Body::Reset { .. } => mark.contains(event.change.tx),
        };
        let Some(last) = events.iter().take_while(contained).last() else { return Ok(cursor) };
        cursor = last.position;
    }
}

impl Follow {
    /// What the hub has to know to carry on.
    pub(super) fn interest(&self) -> (Interest, bool) {
        let wish = &self.wish;
        let empty = || Arc::new(Projection { columns: Box::default(), old: wish.old });
        let interest = Interest {
            channel: match (&wish.channel, &self.bound) {
                (Channel::Table(_), Some(bound)) => Channel::Table(bound.table.name.clone()),
                (channel, _) => channel.clone(),
            },
            table: self.bound.as_ref().map(|bound| bound.table.clone()),
            predicate: self.bound.as_ref().and_then(|bound| bound.predicate.clone()),
            projection: self.bound.as_ref().map_or_else(empty, |bound| bound.projection.clone()),
            wire: wish.wire,
            id: wish.id_json.clone(),
        };
        (interest, self.open)
    }

    /// Begins after `position`, which may be in the middle of a transaction.
    async fn set_cursor(&mut self, node: &Node, position: Position) {
        self.cursor = position;
        self.open = false;
        if position.offset.0 == 0 {
            return;
        }
        let before = Position { offset: Offset(position.offset.0 - 1), ..position };
        if let Ok(events) = node.log.read(before, 1, 1).await {
            self.open =
                events.first().is_some_and(|event| matches!(event.change.body, Body::Row(_)) && !event.change.last);
        }
    }

    /// Reads some of the log after the cursor, and not beyond `until`. Dropping the future loses nothing.
    pub(super) async fn read(
        &mut self,
        node: &Node,
        until: Position,
    ) -> (Vec<(Option<Position>, Bytes)>, Option<Broken>) {
        let mut frames = Vec::new();
        if self.cursor >= until && self.cursor.epoch == until.epoch {
            return (frames, None);
        }
        let mut events = match node.log.read(self.cursor, EVENTS_MAX, BYTES_MAX).await {
            Ok(events) => events,
            Err(error) => return (frames, Some(broken(error, self.cursor, node))),
        };
        let cut_short = events.last().is_some_and(|event| event.position < until);
        events.truncate(events.iter().take_while(|event| event.position <= until).count());
        let mut runs = transactions(&events).peekable();
        let mut first = true;
        while let Some(run) = runs.next() {
            // A transaction that goes on after this read is read again from its start, unless it is too large for one.
            if !run.complete && runs.peek().is_none() && cut_short && !first {
                break;
            }
            first = false;
            if let Err(broken) = self.take(run, node, &mut frames) {
                return (frames, Some(broken));
            }
            self.cursor = run.events[run.events.len() - 1].position;
        }
        (frames, None)
    }

    fn take(&mut self, run: Run<'_>, node: &Node, frames: &mut Vec<(Option<Position>, Bytes)>) -> Result<(), Broken> {
        match (&self.wish.channel, &run.events[0].change.body) {
            (Channel::Room(_), Body::Message(message)) if message.channel == self.wish.channel => {
                let event = &run.events[0];
                let body = encode::message_body(message, Some(event.position), event.change.time_ms);
                frames.push(self.frame("message", event, &body));
                Ok(())
            }
            (Channel::Table(name), Body::Reset { table, reason }) if self.is_own(name, table) => {
                let reason_code = if &**reason == SOURCE_HOLE { GapReason::Source } else { GapReason::Schema };
                Err(Broken::Gap(reason_code, reason.to_string(), run.events[0].position))
            }
            (Channel::Table(_), Body::Row(_)) => self.take_rows(run, node, frames),
            _ => Ok(()),
        }
    }

    fn is_own(&self, asked: &TableName, table: &TableName) -> bool {
        self.bound.as_ref().map_or(asked == table, |bound| bound.table.name == *table)
    }

    fn take_rows(
        &mut self,
        run: Run<'_>,
        node: &Node,
        frames: &mut Vec<(Option<Position>, Bytes)>,
    ) -> Result<(), Broken> {
        let mut matched = Vec::new();
        for event in run.events {
            let Body::Row(change) = &event.change.body else { continue };
            let Channel::Table(asked) = &self.wish.channel else { continue };
            if !self.is_own(asked, &change.table.name) {
                continue;
            }
            let bound = self.bind_to(&change.table, event.position, node)?;
            if let Some(seen) = seen(bound.predicate.as_deref(), change) {
                matched.push((event, change, seen, bound.projection.clone()));
            }
        }
        let count = matched.len();
        for (i, (event, change, seen, projection)) in matched.into_iter().enumerate() {
            let body = encode::change_body(event, change, seen, &projection, run.complete && i + 1 == count);
            frames.push(self.frame("change", event, &body));
        }
        if run.complete {
            if count == 0 && self.open {
                let event = &run.events[run.events.len() - 1];
                frames.push((Some(event.position), commit(self.wish.wire, &self.wish.id_json, event)));
            }
            self.open = false;
        } else {
            self.open |= count > 0;
        }
        Ok(())
    }

    /// The filter tied to the columns that this event has.
    fn bind_to(&mut self, table: &Arc<Table>, at: Position, node: &Node) -> Result<&Bound, Broken> {
        match &mut self.bound {
            None => {
                let before = Position { offset: Offset(at.offset.0 - 1), ..at };
                return Err(Broken::Gap(GapReason::Schema, "the table was made again".into(), before));
            }
            Some(bound) if Arc::ptr_eq(&bound.table, table) => {}
            Some(bound) if bound.table == *table => bound.table = table.clone(),
            Some(bound) => *bound = Bound::new(&self.wish, table.clone(), node).map_err(Broken::Failed)?,
        }
        Ok(self.bound.as_ref().expect("was there a moment ago"))
    }

    fn frame(&self, kind: &str, event: &Event, body: &[u8]) -> (Option<Position>, Bytes) {
        let frame = encode::frame(self.wish.wire, kind, &self.wish.id_json, Some(event.position), body);
        (Some(event.position), frame)
    }
}

/// The reason of a reset that a source gives when it could not be read without a hole.
pub const SOURCE_HOLE: &str = "changes were missed";

impl Bound {
    fn new(wish: &Wish, table: Arc<Table>, node: &Node) -> Result<Self, Problem> {
        let dialect = node.database.store.dialect();
        let claims = serde_json::Map::new();
        let predicate = match &wish.filter {
            Some(filter) => Some(Arc::new(filter.bind(&table, dialect, &claims)?)),
            None => None,
        };
        let projection = Arc::new(projection(&table, wish.columns.as_deref(), wish.old)?);
        Ok(Self { table, predicate, projection })
    }
}

/// The chosen columns of a table; all where none are named.
pub fn projection(table: &Table, columns: Option<&[String]>, old: bool) -> Result<Projection, Problem> {
    let find = |name: &String| table.column(name).ok_or_else(|| unknown_column(name, table));
    let columns = match columns {
        Some(names) => names.iter().map(find).collect::<Result<_, _>>()?,
        None => (0..table.columns.len()).collect(),
    };
    Ok(Projection { columns, old })
}

fn head(bound: &Bound) -> (Vec<ColumnType>, Vec<String>) {
    let column = |&i: &usize| {
        let column = &bound.table.columns[i];
        ColumnType { name: column.name.to_string(), declared: column.declared.to_string() }
    };
    let key = bound.table.key.iter().map(|&i| bound.table.columns[i].name.to_string());
    (bound.projection.columns.iter().map(column).collect(), key.collect())
}

fn broken(error: ReadError, asked: Position, node: &Node) -> Broken {
    let oldest = node.log.oldest();
    match error {
        ReadError::Io(error) => {
            Broken::Failed(Problem::new(Code::Internal, format!("the log cannot be read: {error}")))
        }
        ReadError::Gap { .. } if asked.epoch != oldest.epoch => {
            let message = format!("the log began anew; position {asked} is of an earlier one");
            Broken::Gap(GapReason::Epoch, message, oldest)
        }
        ReadError::Gap { asked, oldest, head } => {
            let message = format!("position {asked} is not in the log, which goes from {oldest} to {head}");
            Broken::Gap(GapReason::Retention, message, oldest)
        }
    }
}

/// A store's error as a client sees it.
pub fn store_problem(error: StoreError) -> Problem {
    let code = match &error {
        StoreError::UnknownTable(_) => Code::UnknownTable,
        StoreError::Altered(_) | StoreError::Unavailable(_) | StoreError::TooSlow(_) => Code::Unavailable,
        StoreError::Refused(_) => Code::Internal,
    };
    let problem = Problem::new(code, error.to_string());
    match code {
        Code::UnknownTable => problem.hint("GET /v1/tables lists the tables"),
        Code::Unavailable => problem.hint("try again in a moment"),
        _ => problem,
    }
}
