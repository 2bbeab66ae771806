//! One subscription's own way to the present: snapshot, then the log, until it is near enough for the hub to carry on.
//!
//! Also the way back for a subscription that the hub had to let go: the queue overflowed, or the table was altered. It runs
//! as a task of its own and hands frames to the session as fast as the session takes them.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::bound::{Bound, head};
use super::node::Node;
use super::order::parse_order;
use super::read::{Broken, Follow, Frame, broken};
use super::settle::{Unsettled, settle};
use crate::event::{Channel, Position, Row};
use crate::filter::Filter;
use crate::hub::SubscriptionKey;
use crate::protocol::encode::{self, Wire};
use crate::protocol::{Code, GapReason, Problem, ServerMessage, SnapshotWish};
use crate::source::notify::NotHeard;
use crate::store::{Select, Snapshot, StoreError};

/// Events read from the log in one go.
pub(super) const EVENTS_MAX: usize = 1024;
pub(super) const BYTES_MAX: usize = 256 << 10;
/// Rows of a snapshot go out in frames of about this size.
const FRAME_BYTES: usize = 64 << 10;

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
#[allow(clippy::large_enum_variant, reason = "replies are rare, and steps are few at a time")]
pub(super) enum Step {
    /// Frames, with the position of the event that each is about.
    Frames(Vec<Frame>),
    /// The hub can carry on from here.
    Ready(Box<Follow>),
    /// The subscription has ended.
    Failed(Problem),
    /// The answer to a request; no subscription's.
    Reply(ServerMessage),
}

/// The session is gone, or has unsubscribed.
struct Gone;

/// A step, and the subscription that it is about.
///
/// In a box because the channel keeps room for 32 of them from the start: 7 kB for each connection otherwise.
pub(super) type Sent = Box<(SubscriptionKey, Step)>;

type Sender = mpsc::Sender<Sent>;

/// Runs until the hub can carry on, the subscription fails, or nobody listens.
pub(super) async fn follow(node: Arc<Node>, wish: Arc<Wish>, start: Start, key: SubscriptionKey, steps: Sender) {
    let cursor = node.log.head();
    let follow = Follow { wish, bound: None, cursor, open: false };
    let mut way = Way { node, key, steps, follow, shown: false };
    match way.walk(start).await {
        Ok(Ok(())) => {
            let ready = Step::Ready(Box::new(way.follow));
            let _ = way.steps.send(Box::new((key, ready))).await;
        }
        Ok(Err(problem)) => {
            let _ = way.steps.send(Box::new((key, Step::Failed(problem)))).await;
        }
        Err(Gone) => {}
    }
}

struct Way {
    node: Arc<Node>,
    key: SubscriptionKey,
    steps: Sender,
    follow: Follow,
    /// Rows were sent that no `subscribed` has followed yet.
    shown: bool,
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
        if let (Channel::Notify(name), Start::Fresh | Start::Since(_)) = (&self.follow.wish.channel, start)
            && let Err(problem) = want(&self.node, name).await
        {
            return Ok(Err(problem));
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
        self.shown = false;
        if !self.follow.wish.snapshot.wanted() || self.follow.bound.is_none() {
            self.follow.cursor = self.node.hub.between().await;
            return Ok(Ok(self.say_subscribed(false).await?));
        }
        for _ in 0..5 {
            let (reason, message) = match self.snapshot().await? {
                Ok(()) => return Ok(Ok(self.say_subscribed(false).await?)),
                Err(Unsettled::Store(StoreError::Altered(_))) => (GapReason::Schema, "the table was altered"),
                Err(Unsettled::Outrun) => (GapReason::Retention, "the log has moved on while rows were read"),
                Err(Unsettled::Store(error)) => return Ok(Err(store_problem(error))),
            };
            // The rows that the client has are not those of any position.
            if std::mem::take(&mut self.shown) {
                self.say_gap(reason, message.to_owned()).await?;
            }
            if let Err(problem) = self.bind_to_catalog().await {
                return Ok(Err(problem));
            }
        }
        let message = "the table is altered, or the log moves on, faster than the table can be read";
        Ok(Err(Problem::new(Code::Unavailable, message).hint("let the log keep more: log.keep_events, log.keep_bytes")))
    }

    async fn snapshot(&mut self) -> Result<Result<(), Unsettled>, Gone> {
        let Some(bound) = self.follow.bound.clone() else { return Ok(Ok(())) };
        let node = self.node.clone();
        let _permit = node.snapshots.acquire().await.map_err(|_| Gone)?;
        let select = match self.select(&bound) {
            Ok(select) => select,
            Err(problem) => return Ok(Err(StoreError::Refused(problem.message).into())),
        };
        // Read before the snapshot is: everything up to here is committed, and so in the snapshot.
        let known = self.node.log.head();
        let mut snapshot = match self.node.database.store.snapshot(select).await {
            Ok(snapshot) => snapshot,
            Err(error) => return Ok(Err(error.into())),
        };
        if let Err(error) = self.send_rows(&bound, &mut snapshot).await? {
            return Ok(Err(error.into()));
        }
        match settle(&self.node, known, &snapshot.mark, &snapshot.place).await {
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

    async fn send_rows(&mut self, bound: &Bound, snapshot: &mut Snapshot) -> Result<Result<(), StoreError>, Gone> {
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
                self.shown = true;
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
        self.steps.send(Box::new((self.key, step))).await.map_err(|_| Gone)
    }
}

/// Returns when a NOTIFY channel is heard.
async fn want(node: &Node, name: &str) -> Result<(), Problem> {
    let Some(ears) = &node.database.ears else {
        let problem = Problem::new(Code::BadChannel, "the database has no NOTIFY channels: they are PostgreSQL's");
        return Err(problem.hint("use a channel such as `room:lobby`, or `table:orders`"));
    };
    ears.want(name).await.map_err(|error| {
        let message = error.to_string();
        match error {
            NotHeard::NotAllowed => Problem::new(Code::ChannelNotAllowed, message)
                .hint("name the channel in `postgres.notify`, or a pattern for it in `postgres.notify_allow`"),
            NotHeard::Name(_) => Problem::new(Code::BadChannel, message),
            NotHeard::Unavailable(_) => Problem::new(Code::Unavailable, message).hint("try again in a moment"),
        }
    })
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
