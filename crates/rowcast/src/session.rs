//! One connected client, whatever carries it.
//!
//! Knows its subscriptions and how far each has been sent. Leaves frames to `transport` and matching to `hub`.

pub mod access;
mod ask;
mod bound;
mod bucket;
pub mod channel;
mod chosen;
pub mod events;
mod expiry;
mod fold;
mod follow;
mod gate;
pub mod here;
mod identify;
mod list;
mod node;
mod order;
mod pace;
mod pay;
mod permit;
pub mod quota;
mod read;
pub mod requests;
mod revoke;
pub(crate) mod rights;
mod seen;
mod settle;
mod share;
mod snapshot;
mod watch;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

pub use ask::CONFLATED;
pub use bound::projection;
pub use expiry::UNAUTHENTICATED;
pub use follow::store_problem;
pub use gate::SnapshotPermit;
pub use identify::refused;
pub use node::{Admitted, Connected, Database, Drain, Limits, Node};
pub use order::{find_column, parse_names, parse_order};
pub use revoke::{REVOKED, Whose};
pub use rights::{Question, described, question, sender, to_insert};
pub use settle::{Known, Settled, Unsettled, settle};
pub use snapshot::{Begun, history};

use crate::auth::Identity;
use crate::event::{Channel, Position};
use crate::filter::Filter;
use crate::hub::{Closing, Item, ItemKind, Lane, SessionKey, SubscriptionKey};
use crate::protocol::deliver::Deliver;
use crate::protocol::encode::{Wire, reply};
use crate::protocol::{ClientMessage, Code, Problem, ServerMessage, SnapshotWish, Subscribe};
use expiry::Term;
use follow::{Sent, Start, Step, Wish, follow};
use here::Here;
use identify::Held;
use list::List;
use pace::Pace;
use quota::{Place, Shares};
use read::{Broken, Follow, Frame};
use watch::Watching;

/// A session hands its transport about so many bytes at once.
const TAKE_BYTES: usize = 64 << 10;
/// Answers that may wait before the transport stops reading requests.
const REPLIES_MAX: usize = 64;

/// One client.
pub struct Session {
    node: Arc<Node>,
    key: SessionKey,
    connected: Arc<Connected>,
    /// Whose client it is.
    identity: Arc<Identity>,
    /// What it has of what its tenant, its user and its address may have; `None` where nothing is counted.
    shares: Option<Box<Shares>>,
    /// When its token expires, or it has to show one; `None` while neither is to come.
    term: Option<Box<Term>>,
    /// What waits while a token is looked at; `None` while none is.
    held: Option<Box<Held>>,
    wire: Wire,
    subscriptions: List<Subscription>,
    next_key: u32,
    replies: VecDeque<Bytes>,
    /// From the tasks at work for this session; `None` while there are none, which costs nothing then.
    steps: Option<Steps>,
    /// Some subscription reads what lies between the log's part and the queue's.
    joining: bool,
    requests: usize,
    bad_messages: u32,
    heartbeat: Interval,
    /// `None` while no subscription conflates.
    pace: Option<Box<Pace>>,
    failure: Option<Problem>,
    /// How often a subscription has begun to read the log for itself.
    followed: u32,
    /// The hub has just begun to carry a subscription, and the transport wants to know.
    joined: bool,
    /// An idle client is to be told how far everything is.
    idle: bool,
    /// What the hub has needs no further care: it may write by itself.
    lends: bool,
    /// Some subscription has still to be told who is present.
    listing: bool,
    /// `None` while the client is seen nowhere.
    here: Option<Box<Here>>,
}

struct Steps {
    sender: mpsc::Sender<Sent>,
    receiver: mpsc::Receiver<Sent>,
    /// One that was taken out and waits for its turn.
    first: Option<Sent>,
}

struct Subscription {
    wish: Arc<Wish>,
    phase: Phase,
    /// Everything up to here was handed to the transport.
    reached: Option<Position>,
    /// Among what may be had of them.
    _place: Place,
}

enum Phase {
    /// A task is on the way to the present.
    Following(AbortHandle),
    /// The hub queues frames after this position; what lies before is still to be read from the log.
    Joining(Box<Follow>, Position),
    /// The hub carries it.
    Live,
    /// It is being found out whether the client may see who is present.
    Asking(AbortHandle),
    /// It follows who is present.
    Watching(Box<Watching>),
}

impl Session {
    /// Takes a client in, if there is room.
    pub fn open(
        node: Arc<Node>,
        wire: Wire,
        transport: &'static str,
        remote: String,
        identity: Arc<Identity>,
    ) -> Result<Self, Problem> {
        let Admitted { key, connected, shares } = node.admit(transport, remote, &identity)?;
        let mut heartbeat = interval_at(Instant::now() + node.limits.heartbeat, node.limits.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let term = Term::of(&node, &identity);
        Ok(Self {
            node,
            key,
            connected,
            identity,
            shares,
            term,
            held: None,
            wire,
            subscriptions: List::default(),
            next_key: 0,
            replies: VecDeque::new(),
            steps: None,
            joining: false,
            requests: 0,
            bad_messages: 0,
            heartbeat,
            pace: None,
            failure: None,
            followed: 0,
            joined: false,
            idle: false,
            lends: false,
            listing: false,
            here: None,
        })
    }

    /// Queues the greeting.
    pub fn greet(&mut self) {
        let limits = &self.node.limits;
        self.reply(&ServerMessage::Hello {
            protocol: crate::protocol::VERSION,
            server: concat!("rowcast/", env!("CARGO_PKG_VERSION")).into(),
            session: self.node.session_name(self.key),
            // How much happens here is nothing for one who may not see any of it.
            position: match self.is_known() {
                Ok(()) => self.node.hub.dispatched().to_string(),
                Err(_) => Position::new(0, 0).to_string(),
            },
            heartbeat_ms: limits.heartbeat.as_millis() as u64,
            limits: crate::protocol::Limits { frame_bytes: limits.frame_bytes, subscriptions: limits.subscriptions },
        });
    }

    /// Whether the client may say more: not while its answers pile up, or a token is looked at.
    pub fn can_receive(&self) -> bool {
        let waiting = self.here.as_ref().map_or(0, |here| here.waiting());
        self.held.is_none() && self.replies.len() + self.requests + waiting < REPLIES_MAX
    }

    /// Does what one message asks for; answers come out of [`next`](Self::next). `Err` ends the connection.
    pub fn receive(&mut self, text: &str) -> Result<(), Closing> {
        if let Err(refused) = self.afford(text.len()) {
            return self.put_off(refused, text);
        }
        match ClientMessage::parse(text) {
            Ok(message) => self.accept(message),
            Err(problem) => {
                let (id, reference) = ClientMessage::addressee(text);
                return self.refuse(id, reference, problem);
            }
        }
        Ok(())
    }

    /// Answers something that is no message; too many of them end the connection.
    pub fn refuse(&mut self, id: Option<String>, reference: Option<String>, problem: Problem) -> Result<(), Closing> {
        self.bad_messages += 1;
        if self.bad_messages > self.node.limits.bad_messages {
            let message =
                format!("more than {} messages were wrong; the last: {problem}", self.node.limits.bad_messages);
            return Err(Closing { reason: "bad_messages", message, retry_ms: 60_000 });
        }
        self.reply(&ServerMessage::error(id, reference, problem));
        Ok(())
    }

    /// Follows a channel from now on.
    pub fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Problem> {
        let start = match &subscribe.since {
            Some(text) => Start::Since(text.parse()?),
            None => Start::Fresh,
        };
        self.begin(subscribe, start)
    }

    fn begin(&mut self, subscribe: Subscribe, start: Start) -> Result<(), Problem> {
        self.is_known()?;
        let limit = self.node.limits.subscriptions;
        if self.subscriptions.len() >= limit {
            let message = format!("this connection has its {limit} subscriptions");
            return Err(Problem::new(Code::TooManySubscriptions, message)
                .hint("unsubscribe from one, or use another connection"));
        }
        if self.subscriptions.values().any(|s| s.wish.id == subscribe.id) {
            return Err(Problem::new(Code::DuplicateId, format!("there is a subscription `{}` already", subscribe.id)));
        }
        if subscribe.channel.starts_with(watch::PRESENCE) {
            return self.begin_watch(subscribe, start);
        }
        let wish = Arc::new(self.wish(subscribe)?);
        let place = self.place()?;
        if let (Some(accounts), Start::Fresh, true) = (self.accounts(), start, wish.reads_rows()) {
            accounts.may_read_rows()?;
        }
        if wish.deliver != Deliver::Strict {
            self.pace.get_or_insert_default();
        }
        let key = self.new_key();
        let phase = self.spawn_follow(key, wish.clone(), start);
        self.subscriptions.insert(key, Subscription { wish, phase, reached: None, _place: place });
        self.count_subscriptions();
        Ok(())
    }

    fn new_key(&mut self) -> SubscriptionKey {
        self.next_key += 1;
        SubscriptionKey(self.next_key - 1)
    }

    fn wish(&self, subscribe: Subscribe) -> Result<Wish, Problem> {
        let channel = channel::named(&self.node, &self.identity, &subscribe.channel)?;
        let filter = subscribe.filter.as_deref().filter(|text| !text.trim().is_empty());
        if let Channel::Event(name) = &channel {
            let event = events::find(&self.node.events, name)?;
            if subscribe.columns.is_some() || subscribe.old {
                let message = "the fields of an event are configured: `columns` and `old` are for tables";
                return Err(Problem::new(Code::BadMessage, message));
            }
            return Ok(Wish {
                id_json: serde_json::to_string(&subscribe.id).expect("a string is always JSON").into(),
                id: subscribe.id,
                identity: Mutex::new(self.identity.clone()),
                shown: Mutex::default(),
                rights: Mutex::default(),
                channel: Channel::Table(event.table.clone()),
                filter: event.filter_with(filter)?,
                columns: None,
                // History only where some is asked for.
                snapshot: match subscribe.snapshot {
                    SnapshotWish::Some(part) => SnapshotWish::Some(part),
                    SnapshotWish::Simple(_) => SnapshotWish::Simple(false),
                },
                old: false,
                wire: if subscribe.placed { self.wire } else { self.wire.unplaced() },
                live: self.wire,
                deliver: subscribe.deliver,
                event: Some((event, subscribe.wrapped)),
                known: Mutex::default(),
            });
        }
        if let (Channel::Room(_) | Channel::Notify(_), true) =
            (&channel, filter.is_some() || subscribe.columns.is_some() || subscribe.deliver != Deliver::Strict)
        {
            let message = "this channel has messages, not rows: `where`, `columns` and `deliver` are for tables";
            return Err(Problem::new(Code::BadMessage, message));
        }
        Ok(Wish {
            id_json: serde_json::to_string(&subscribe.id).expect("a string is always JSON").into(),
            id: subscribe.id,
            identity: Mutex::new(self.identity.clone()),
            shown: Mutex::default(),
            rights: Mutex::default(),
            channel,
            filter: filter.map(Filter::parse).transpose()?,
            columns: subscribe.columns,
            snapshot: subscribe.snapshot,
            old: subscribe.old,
            wire: if subscribe.placed { self.wire } else { self.wire.unplaced() },
            live: self.wire,
            deliver: subscribe.deliver,
            event: None,
            known: Mutex::default(),
        })
    }

    fn end(&mut self, key: SubscriptionKey) {
        if let Some(Subscription { phase: Phase::Following(task) | Phase::Asking(task), .. }) =
            self.subscriptions.remove(&key)
        {
            task.abort();
        }
        self.node.hub.leave(self.key, [key]);
        self.connected.queue.forget(key);
        if let Some(pace) = &mut self.pace {
            pace.forget(key);
        }
        self.count_subscriptions();
    }

    fn count_subscriptions(&self) {
        self.connected.subscriptions.store(self.subscriptions.len(), Ordering::Relaxed);
    }

    /// Where tasks for this session send their steps.
    fn sender(&mut self) -> mpsc::Sender<Sent> {
        let steps = self.steps.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(1);
            Steps { sender, receiver, first: None }
        });
        steps.sender.clone()
    }

    fn spawn_follow(&mut self, key: SubscriptionKey, wish: Arc<Wish>, start: Start) -> Phase {
        self.followed = self.followed.wrapping_add(1);
        let task = follow(self.node.clone(), self.accounts().cloned(), wish, start, key, self.sender());
        Phase::Following(tokio::spawn(task).abort_handle())
    }

    fn request(&mut self, answer: impl Future<Output = ServerMessage> + Send + 'static) {
        let steps = self.sender();
        self.requests += 1;
        tokio::spawn(async move {
            let answer = answer.await;
            // The client may have gone; its request was done all the same.
            let _ = steps.send(Box::new((SubscriptionKey(u32::MAX), Step::Reply(answer)))).await;
        });
    }

    /// How long one write to the client may make no progress.
    pub fn write_stall(&self) -> Duration {
        self.node.limits.write_stall
    }

    /// Queues a message that is about no event.
    pub fn reply(&mut self, message: &ServerMessage) {
        self.replies.push_back(reply(self.wire, message, None));
    }

    /// What ended the last subscription that failed, when none is left: an SSE stream has nothing more to say then.
    pub fn failure(&self) -> Option<&Problem> {
        self.failure.as_ref().filter(|_| self.subscriptions.is_empty())
    }

    /// Waits until there is something to send and appends it to `out`, about 64 KiB at most: nothing, where only what the hub has begun is to
    /// be written, which comes with whatever is written next.
    ///
    /// Dropping the future loses nothing as long as `out` is kept for the next call. `Err` when the gateway wants the connection closed.
    pub async fn next(&mut self, out: &mut Vec<Bytes>) -> Result<(), Closing> {
        loop {
            self.take_back();
            self.pass_term(out);
            if self.joining {
                // In a box: the room that it takes is needed for a moment only.
                Box::pin(self.finish_joins(out)).await;
            }
            out.extend(self.replies.drain(..));
            self.tell_lists(out);
            let closing = self.take_queue(out);
            self.take_steps(out);
            if std::mem::take(&mut self.idle) {
                self.say_position();
                out.extend(self.replies.drain(..));
            }
            if !out.is_empty() || std::mem::take(&mut self.joined) || self.connected.queue.has_rest() {
                return Ok(());
            }
            if let Some(closing) = closing {
                return Err(closing);
            }
            if !self.joining && !self.listing && self.replies.is_empty() {
                self.lend();
                poll_fn(|cx| self.poll_wake(cx)).await;
            }
        }
    }

    /// Lets the hub write to the client's connection by itself while there is nothing else to say.
    pub(crate) fn carried_by(&mut self, lane: Option<&Arc<Lane>>) {
        self.lends = lane.is_some();
        if !self.lends {
            self.take_back();
        }
        if let (Some(lane), None) = (lane, self.connected.queue.lane()) {
            self.connected.queue.carry(lane.clone());
        }
    }

    fn lend(&self) {
        // What comes from the tasks at work, or is to be folded, passes through here.
        let idle = self.lends && self.steps.is_none() && self.pace.is_none();
        if let (true, Some(lane)) = (idle, self.connected.queue.lane()) {
            lane.lend();
        }
    }

    fn take_back(&self) {
        if let Some(lane) = self.connected.queue.lane() {
            lane.take_back();
        }
    }

    /// Ready when there may be something to send.
    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.heartbeat.poll_tick(cx).is_ready() {
            self.idle = true;
            return Poll::Ready(());
        }
        if let Some(steps) = &mut self.steps
            && let Poll::Ready(Some(sent)) = steps.receiver.poll_recv(cx)
        {
            steps.first = Some(sent);
            return Poll::Ready(());
        }
        if let Some(term) = &mut self.term
            && term.poll_due(cx).is_ready()
        {
            return Poll::Ready(());
        }
        if let Some(pace) = &mut self.pace
            && pace.poll_due(cx).is_ready()
        {
            return Poll::Ready(());
        }
        self.connected.queue.poll_ready(cx)
    }

    /// Reads what lies between the log's part and the queue's. Nothing is taken from the queue before that.
    async fn finish_joins(&mut self, out: &mut Vec<Bytes>) {
        let keys: Vec<_> = self.subscriptions.keys().copied().collect();
        for key in keys {
            while let Some(Subscription { phase: Phase::Joining(way, until), reached, .. }) =
                self.subscriptions.get_mut(&key)
            {
                let (frames, broken) = way.read(&self.node, *until).await;
                note_told(&mut self.pace, key, &frames);
                for (position, frame) in frames {
                    *reached = position.or(*reached);
                    out.push(frame);
                }
                match broken {
                    Some(Broken::Failed(problem)) => self.fail(key, problem, out),
                    Some(Broken::Gap(..)) => self.follow_again(key),
                    None if way.cursor >= *until => {
                        *reached = Some(way.cursor);
                        self.set_phase(key, Phase::Live);
                        self.joined = matches!(self.wire, Wire::SocketIo { .. });
                    }
                    None => {}
                }
            }
        }
        self.joining = self.subscriptions.values().any(|s| matches!(s.phase, Phase::Joining(..)));
    }

    fn set_phase(&mut self, key: SubscriptionKey, phase: Phase) {
        if let Some(subscription) = self.subscriptions.get_mut(&key) {
            subscription.phase = phase;
        }
    }

    /// The hub cannot carry a subscription at the moment: it reads the log itself from where it is.
    fn follow_again(&mut self, key: SubscriptionKey) {
        self.node.hub.leave(self.key, [key]);
        self.connected.queue.forget(key);
        let Some(Subscription { phase: Phase::Joining(way, _), wish, .. }) = self.subscriptions.get(&key) else {
            return;
        };
        let phase = self.spawn_follow(key, wish.clone(), Start::Quietly(way.cursor));
        self.set_phase(key, phase);
    }

    /// What a subscription may show has to be found out anew.
    fn look_again(&mut self, key: SubscriptionKey) {
        let Some(subscription) = self.subscriptions.get(&key) else { return };
        match &subscription.phase {
            // What is queued was allowed; the way back begins behind it.
            Phase::Live | Phase::Joining(..) => self.node.hub.send_away(self.key, key),
            Phase::Following(task) => {
                task.abort();
                let wish = subscription.wish.clone();
                let phase = self.spawn_follow(key, wish, Start::Anew);
                self.set_phase(key, phase);
            }
            Phase::Asking(_) | Phase::Watching(_) => self.watch_anew(key),
        }
    }

    fn fail(&mut self, key: SubscriptionKey, problem: Problem, out: &mut Vec<Bytes>) {
        let Some(id) = self.subscriptions.get(&key).map(|s| s.wish.id.clone()) else { return };
        self.end(key);
        self.failure = Some(problem.clone());
        out.push(reply(self.wire, &ServerMessage::error(Some(id), None, problem), None));
    }

    fn take_queue(&mut self, out: &mut Vec<Bytes>) -> Option<Closing> {
        if self.joining || self.listing {
            return None;
        }
        let mut taken = self.connected.queue.take(TAKE_BYTES);
        for (key, position) in taken.told {
            if let Some(subscription) = self.subscriptions.get_mut(&key) {
                subscription.reached = subscription.reached.max(Some(position));
            }
        }
        // Who is present is told anew, instead of what comes after something that was missed.
        let mut missed = Vec::new();
        taken.skipped.retain(|(key, _)| {
            let again = self.watch_again(*key);
            missed.extend(again.then_some(*key));
            !again
        });
        if !missed.is_empty() {
            taken.items.retain(|item| !missed.contains(&item.subscription));
        }
        out.reserve(taken.items.len());
        for item in taken.items {
            self.take_item(item, out);
        }
        self.take_conflated(out);
        for (key, count) in taken.skipped {
            if let Some(subscription) = self.subscriptions.get(&key) {
                let id = subscription.wish.id.clone();
                out.push(reply(self.wire, &ServerMessage::Skipped { id, count }, None));
            }
        }
        if let Some(position) = taken.behind {
            self.fall_behind(position);
        }
        if taken.closing.as_ref().is_some_and(|closing| closing.reason == revoke::REVOKED) {
            self.depart();
        }
        taken.closing
    }

    /// What is due of the subscriptions that conflate.
    fn take_conflated(&mut self, out: &mut Vec<Bytes>) {
        let Some(pace) = &mut self.pace else { return };
        let live = |s: &&Subscription| matches!(s.phase, Phase::Live);
        let class = |key| self.subscriptions.get(&key).filter(live).map(|s| &s.wish.deliver);
        for (key, flush) in pace.take(&self.connected.queue, class) {
            let Some(subscription) = self.subscriptions.get_mut(&key) else { continue };
            subscription.reached = Some(flush.newest());
            let mut frames = Vec::new();
            flush.write(self.wire, &subscription.wish.id_json, &mut frames);
            out.extend(frames.into_iter().map(|(_, frame)| frame));
        }
    }

    fn take_item(&mut self, item: Item, out: &mut Vec<Bytes>) {
        let Some(subscription) = self.subscriptions.get_mut(&item.subscription) else {
            return self.look_at_guard(item.subscription);
        };
        if !matches!(subscription.phase, Phase::Live | Phase::Watching(_)) {
            return;
        }
        match item.kind {
            ItemKind::Frame(position, frame) => {
                subscription.reached = Some(position);
                out.push(frame);
            }
            ItemKind::Frames { last, bytes, .. } => {
                subscription.reached = Some(last);
                out.push(bytes);
            }
            ItemKind::Ephemeral(frame) => out.push(frame),
            ItemKind::Evicted(_) if matches!(subscription.phase, Phase::Watching(_)) => {
                self.watch_anew(item.subscription)
            }
            ItemKind::Evicted(position) => {
                let start = Start::Quietly(position.max(subscription.reached.unwrap_or(position)));
                let wish = subscription.wish.clone();
                let phase = self.spawn_follow(item.subscription, wish, start);
                self.set_phase(item.subscription, phase);
            }
        }
    }

    /// The queue was full and has been dropped: every subscription reads the log from there.
    fn fall_behind(&mut self, position: Position) {
        let live: Vec<_> = self.subscriptions.iter().filter(|(_, s)| matches!(s.phase, Phase::Live)).collect();
        let live: Vec<_> = live.into_iter().map(|(key, s)| (*key, s.wish.clone(), s.reached)).collect();
        self.node.hub.abandon(&self.connected.queue, self.key, live.iter().map(|(key, ..)| *key));
        self.watch_all_again();
        for (key, wish, reached) in live {
            let from = position.max(reached.unwrap_or(position));
            let phase = self.spawn_follow(key, wish, Start::Quietly(from));
            self.set_phase(key, phase);
        }
    }

    fn take_steps(&mut self, out: &mut Vec<Bytes>) {
        if self.steps.is_none() {
            return;
        }
        let mut bytes: usize = out.iter().map(Bytes::len).sum();
        while bytes < TAKE_BYTES
            && let Some(sent) = self.next_step()
        {
            let before = out.len();
            self.step(*sent, out);
            bytes += out[before..].iter().map(Bytes::len).sum::<usize>();
        }
        let following = self.subscriptions.values().any(|s| matches!(s.phase, Phase::Following(_) | Phase::Asking(_)));
        if bytes < TAKE_BYTES && !following && self.requests == 0 {
            self.steps = None;
        }
        out.extend(self.replies.drain(..));
    }

    fn next_step(&mut self) -> Option<Sent> {
        let steps = self.steps.as_mut()?;
        steps.first.take().or_else(|| steps.receiver.try_recv().ok())
    }

    fn step(&mut self, (key, step): (SubscriptionKey, Step), out: &mut Vec<Bytes>) {
        let step = match step {
            Step::Reply(message) => {
                self.requests -= 1;
                return self.reply(&message);
            }
            Step::MayTrack(allowed) => return self.may_track(allowed),
            Step::StillSeen(key, allowed) => return self.still_seen(&key, allowed),
            Step::Judged(judged) => return self.judged(*judged),
            step => step,
        };
        let Some(subscription) = self.subscriptions.get_mut(&key) else { return };
        match step {
            Step::Frames(frames) => {
                for (position, frame) in frames {
                    subscription.reached = position.or(subscription.reached);
                    out.push(frame);
                }
            }
            Step::Ready(way) => {
                let (interest, open) = way.interest();
                let until = self.node.hub.join(&self.connected.queue, self.key, key, interest, open);
                subscription.phase = Phase::Joining(way, until);
                self.joining = true;
            }
            Step::Failed(problem) => self.fail(key, problem, out),
            Step::MayWatch { is_new, permit } => self.may_watch(key, is_new, permit),
            Step::Reply(_) | Step::Judged(_) | Step::MayTrack(_) | Step::StillSeen(..) => {}
        }
    }

    /// Tells an idle client how far everything is.
    fn say_position(&mut self) {
        if self.is_known().is_err() {
            return;
        }
        if let Some(position) = self.settled() {
            self.reply(&ServerMessage::Position { position: position.to_string() });
        } else if self.wire == Wire::Sse {
            // A comment, so that proxies keep the connection open.
            self.replies.push_back(Bytes::from_static(b":\n\n"));
        }
    }
}

/// What comes of the log counts as told, too.
fn note_told(pace: &mut Option<Box<Pace>>, key: SubscriptionKey, frames: &[Frame]) {
    if let Some(pace) = pace.as_mut().filter(|_| !frames.is_empty()) {
        pace.told(key);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for subscription in self.subscriptions.values() {
            if let Phase::Following(task) | Phase::Asking(task) = &subscription.phase {
                task.abort();
            }
        }
        self.node.hub.leave(self.key, self.subscriptions.keys().copied().chain(self.guards()));
        self.node.dismiss(self.key);
    }
}
