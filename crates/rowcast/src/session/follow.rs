//! One subscription's own way to the present: snapshot, then the log, until it is near enough for the hub to carry on.
//!
//! Also the way back for a subscription that the hub had to let go: the queue overflowed, or the table was altered. It runs
//! as a task of its own and hands frames to the session as fast as the session takes them.

mod policies;
mod rights;
mod rows;
mod wish;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{self, Id};

use super::bound::head;
use super::fold::pending;
use super::identify::Judged;
use super::node::Node;
use super::permit::Permit;
use super::quota::Accounts;
use super::read::{Broken, Follow, Frame, Gap, broken};
use super::rights::{NoRights, Rights};
use super::share::Need;
use crate::event::{Channel, Offset, Position};
use crate::hub::SubscriptionKey;
use crate::presence::Key;
use crate::protocol::encode;
use crate::protocol::{Code, GapReason, Problem, ServerMessage};
use crate::source::notify::NotHeard;
use crate::store::StoreError;

pub(super) use wish::{Start, Wish};

/// Events read from the log in one go.
pub(super) const EVENTS_MAX: usize = 1024;
pub(super) const BYTES_MAX: usize = 256 << 10;
/// As much of it is told at once: a client that reads nothing holds this a few times.
pub(super) const PIECE_BYTES: usize = 64 << 10;
/// The pause before a database that is away is asked for a table again.
const AWAY: Duration = Duration::from_millis(250);

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
    /// The client may see who is present.
    MayWatch {
        /// It is told that it has subscribed.
        is_new: bool,
        permit: Permit,
    },
    /// Whether the client may be seen where it wants to be next; no subscription's.
    MayTrack(Result<Permit, Problem>),
    /// Whether the client may still be seen; no subscription's.
    StillSeen(Key, Result<Permit, Problem>),
    /// What came of a token.
    Judged(Box<Judged>),
}

/// The session is gone, or has unsubscribed.
struct Gone;

/// A step, the subscription that it is about, and the task that sends it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) key: SubscriptionKey,
    /// One that was called off may have sent it all the same.
    pub(super) task: Option<Id>,
    pub(super) step: Step,
}

impl Sent {
    /// Of a task that is at work for a subscription.
    ///
    /// In a box because the channel keeps room for 32 of them from the start: 7 kB for each connection otherwise.
    pub(super) fn by(key: SubscriptionKey, step: Step) -> Box<Self> {
        Box::new(Self { key, task: task::try_id(), step })
    }

    /// No subscription's.
    pub(super) fn to_session(step: Step) -> Box<Self> {
        Box::new(Self { key: SubscriptionKey(u32::MAX), task: None, step })
    }
}

type Sender = mpsc::Sender<Box<Sent>>;

/// Runs until the hub can carry on, the subscription fails, or nobody listens.
pub(super) async fn follow(
    node: Arc<Node>,
    accounts: Option<Arc<Accounts>>,
    wish: Arc<Wish>,
    start: Start,
    key: SubscriptionKey,
    steps: Sender,
) {
    let cursor = node.log.head();
    let pending = pending(&wish.deliver);
    let rights = Rights::everything();
    *wish.told.lock() = None;
    let follow = Follow {
        wish,
        rights,
        bound: None,
        cursor,
        open: false,
        skip: None,
        bytes: 0,
        pending,
        unsure_until: None,
        verdicts: None,
    };
    let mut way = Way { node, accounts, key, steps, follow, shown: false, again: false, other: false };
    match way.walk(start).await {
        Ok(Ok(())) => {
            way.follow.wish.rights.lock().clone_from(&way.follow.rights);
            let ready = Step::Ready(Box::new(way.follow));
            let _ = way.steps.send(Sent::by(key, ready)).await;
        }
        Ok(Err(problem)) => {
            let _ = way.steps.send(Sent::by(key, Step::Failed(problem))).await;
        }
        Err(Gone) => {}
    }
}

struct Way {
    node: Arc<Node>,
    /// Who pays for the rows that are read.
    accounts: Option<Arc<Accounts>>,
    key: SubscriptionKey,
    steps: Sender,
    follow: Follow,
    /// Rows were sent that no `subscribed` has followed yet.
    shown: bool,
    /// It begins anew, which its client has not asked for.
    again: bool,
    /// What the client holds was shown to somebody who might see something else.
    other: bool,
}

impl Way {
    async fn walk(&mut self, start: Start) -> Result<Result<(), Problem>, Gone> {
        let mut gap = match self.begin(start).await? {
            Ok(gap) => gap,
            Err(problem) => return Ok(Err(problem)),
        };
        loop {
            let mut found = gap.take();
            if let Some(gap) = &found
                && self.goes_on(gap).await
            {
                found = None;
            }
            if let Some(Gap { reason, message, from, tx, upto: _ }) = found {
                let reason = match reason {
                    Some(reason) => Some(reason),
                    None => self.granted().await,
                };
                self.say_broken(reason, message).await?;
                if let Err(problem) = self.again(from, tx).await? {
                    return Ok(Err(problem));
                }
            }
            match self.read_on().await? {
                Ok(()) if self.follow.rights.judge.is_none() => return Ok(Ok(())),
                // What the database has to be asked about, the hub cannot decide.
                Ok(()) => match self.stay().await? {
                    Broken::Gap(found) => gap = Some(found),
                    Broken::Failed(problem) => return Ok(Err(problem)),
                },
                Err(Broken::Gap(found)) => gap = Some(found),
                Err(Broken::Failed(problem)) => return Ok(Err(problem)),
            }
        }
    }

    /// The first leg. A gap is what the rest of the way begins with.
    async fn begin(&mut self, start: Start) -> Result<Result<Option<Gap>, Problem>, Gone> {
        let bound = match start {
            Start::Quietly(position) => self.bind_again(position).await?,
            Start::Since(position) => self.bind_to_catalog(Some(position)).await,
            Start::Fresh | Start::Anew => self.bind_to_catalog(None).await,
        };
        match (bound, start) {
            (Ok(()), Start::Quietly(position) | Start::Since(position)) if !self.knows_policies(position) => {
                return Ok(Ok(Some(Gap::of_rights(position, 0))));
            }
            (Ok(()), Start::Anew) | (Err(NoRights::Changed), Start::Fresh | Start::Anew) => {
                self.other = true;
                return Ok(Ok(Some(Gap::of_rights(self.beginning(), 0))));
            }
            (Ok(()), _) => {}
            (Err(NoRights::Refused(problem)), _) => return Ok(Err(problem)),
            (Err(NoRights::Changed), Start::Quietly(position) | Start::Since(position)) => {
                self.other = true;
                return Ok(Ok(Some(Gap::of_rights(position, 0))));
            }
        }
        if let (Channel::Notify(name), Start::Fresh | Start::Since(_)) = (&self.follow.wish.channel, start)
            && let Err(problem) = want(&self.node, name).await
        {
            return Ok(Err(problem));
        }
        match start {
            Start::Fresh | Start::Anew => Ok(self.fresh(self.anything()).await?.map(|()| None)),
            Start::Quietly(position) => {
                self.follow.set_cursor(&self.node, position).await;
                self.follow.begin_unsure(self.node.log.head());
                Ok(Ok(None))
            }
            Start::Since(position) => match self.node.log.read(position, 1, 1).await {
                Ok(_) => {
                    self.follow.set_cursor(&self.node, position).await;
                    self.follow.begin_unsure(self.node.log.head());
                    self.say_subscribed(true).await?;
                    Ok(Ok(None))
                }
                Err(error) => match broken(error, position, &self.node) {
                    Broken::Gap(gap) => Ok(Ok(Some(gap))),
                    Broken::Failed(problem) => Ok(Err(problem)),
                },
            },
        }
    }

    /// Begins again after a gap: with what is newer than `from`, and contains the transaction `tx`.
    async fn again(&mut self, from: Position, tx: u64) -> Result<Result<(), Problem>, Gone> {
        self.again = true;
        let needs_rights = self.node.auth.is_some();
        match self.bind_to_catalog(None).await.map_err(Problem::from) {
            Ok(()) => {}
            Err(problem) if problem.code == Code::UnknownTable && !needs_rights => {
                return Ok(Ok(self.without_table(from).await?));
            }
            Err(problem) => return Ok(Err(problem)),
        }
        if self.follow.wish.snapshot.wanted() && self.follow.bound.is_some() {
            return self.fresh(Need { after: from, tx, shared: true }).await;
        }
        // Rights may be known of a later moment only.
        self.begin_at(from);
        if !self.covers(from).await {
            self.begin_at(self.node.hub.between().await);
        }
        Ok(Ok(self.say_subscribed(false).await?))
    }

    /// The table is gone: an empty result, until it is made again.
    async fn without_table(&mut self, from: Position) -> Result<(), Gone> {
        self.follow.bound = None;
        *self.follow.wish.known.lock() = None;
        self.begin_at(from);
        if self.follow.wish.snapshot.wanted() {
            let id = self.follow.wish.id.clone();
            let empty = ServerMessage::Snapshot { id, columns: None, key: None, rows: Vec::new(), done: true };
            self.say(&empty, None).await?;
        }
        self.say_subscribed(false).await
    }

    fn begin_at(&mut self, position: Position) {
        self.follow.cursor = position;
        self.follow.open = false;
        self.follow.skip = None;
    }

    /// Any snapshot will do.
    fn anything(&self) -> Need {
        Need { after: self.beginning(), tx: 0, shared: true }
    }

    fn beginning(&self) -> Position {
        Position { offset: Offset(0), ..self.follow.cursor }
    }

    /// Reads the log until the hub is near.
    async fn read_on(&mut self) -> Result<Result<(), Broken>, Gone> {
        // A snapshot may be newer than what the hub has dispatched; to join now would repeat what lies between.
        let beyond = self
            .follow
            .skip
            .as_ref()
            .map_or(self.follow.cursor, |skip| skip.until)
            .max(self.follow.unsure_until.unwrap_or(self.follow.cursor));
        self.node.hub.reached(beyond.max(self.follow.cursor)).await;
        loop {
            let until = self.node.hub.dispatched();
            let (frames, broken) = self.piece(until).await;
            if !frames.is_empty() {
                self.send(Step::Frames(frames)).await?;
            }
            if let Some(broken) = broken {
                return Ok(Err(broken));
            }
            let now = self.node.hub.dispatched();
            let near = now.offset.0.saturating_sub(self.follow.cursor.offset.0) < EVENTS_MAX as u64 / 4;
            // The hub skips nothing.
            if near && self.follow.cursor >= beyond {
                return Ok(Ok(()));
            }
        }
    }

    /// Reads some of the log, when it is this one's turn.
    async fn piece(&mut self, until: Position) -> (Vec<Frame>, Option<Broken>) {
        if self.follow.cursor >= until && self.follow.cursor.epoch == until.epoch {
            return (Vec::new(), None);
        }
        let node = self.node.clone();
        if self.follow.rights.judge.is_some() {
            // It may wait for the database, and nobody else for that.
            return self.follow.read(&node, until).await;
        }
        let turn = node.gates.replays.turn().await;
        let read = self.follow.read(&node, until).await;
        turn.read(self.follow.bytes);
        read
    }

    /// What the client holds cannot be continued; without a reason: what it may see has changed.
    async fn say_broken(&self, reason: Option<GapReason>, message: String) -> Result<(), Gone> {
        let id = self.follow.wish.id.clone();
        let message = match reason {
            Some(reason) => ServerMessage::Gap { id, reason, message },
            None => ServerMessage::Revoked { id, message },
        };
        self.say(&message, None).await
    }

    async fn say_subscribed(&self, resumed: bool) -> Result<(), Gone> {
        *self.follow.wish.shown.lock() = self.follow.bound.clone().filter(|_| self.follow.rights.filter.is_some());
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
        self.steps.send(Sent::by(self.key, step)).await.map_err(|_| Gone)
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
        StoreError::Altered(_) | StoreError::Unavailable(_) | StoreError::TooSlow(_) | StoreError::Moved { .. } => {
            Code::Unavailable
        }
        StoreError::Refused(_) | StoreError::Unmet { .. } | StoreError::Forbidden { .. } | StoreError::Violated(_) => {
            Code::Internal
        }
    };
    let problem = Problem::new(code, error.to_string());
    match code {
        Code::UnknownTable => problem.hint("GET /v1/tables lists the tables"),
        Code::Unavailable => problem.hint("try again in a moment"),
        _ => problem,
    }
}
