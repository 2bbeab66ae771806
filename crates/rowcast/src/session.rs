//! One connected client, whatever carries it.
//!
//! Knows its subscriptions and how far each has been sent. Leaves frames to `transport` and matching to `hub`.

mod bound;
mod follow;
mod node;
mod order;
mod read;
pub mod requests;
mod settle;
mod share;
mod snapshot;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

pub use bound::projection;
pub use follow::store_problem;
pub use node::{Connected, Database, Limits, Node};
pub use order::{parse_names, parse_order, unknown_column};
pub use settle::{Known, Settled, Unsettled, settle};
pub use snapshot::{Begun, history};

use crate::event::{Channel, Position};
use crate::filter::Filter;
use crate::hub::{Closing, Item, ItemKind, SessionKey, SubscriptionKey};
use crate::protocol::encode::{Wire, reply};
use crate::protocol::{ClientMessage, Code, Problem, ServerMessage, Subscribe};
use follow::{Sent, Start, Step, Wish, follow};
use read::{Broken, Follow};

/// A session hands its transport about so many bytes at once.
const TAKE_BYTES: usize = 256 << 10;
/// Answers that may wait before the transport stops reading requests.
const REPLIES_MAX: usize = 64;

/// One client.
pub struct Session {
    node: Arc<Node>,
    key: SessionKey,
    connected: Arc<Connected>,
    wire: Wire,
    subscriptions: BTreeMap<SubscriptionKey, Subscription>,
    next_key: u32,
    replies: VecDeque<Bytes>,
    steps: mpsc::Receiver<Sent>,
    step_sender: mpsc::Sender<Sent>,
    requests: usize,
    bad_messages: u32,
    heartbeat: Interval,
    failure: Option<Problem>,
}

struct Subscription {
    wish: Arc<Wish>,
    phase: Phase,
    /// Everything up to here was handed to the transport.
    reached: Option<Position>,
}

enum Phase {
    /// A task is on the way to the present.
    Following(AbortHandle),
    /// The hub queues frames after this position; what lies before is still to be read from the log.
    Joining(Box<Follow>, Position),
    /// The hub carries it.
    Live,
}

impl Session {
    /// Takes a client in, if there is room.
    pub fn open(node: Arc<Node>, wire: Wire, transport: &'static str, remote: String) -> Result<Self, Problem> {
        let (key, connected) = node.admit(transport, remote)?;
        let (step_sender, steps) = mpsc::channel(4);
        let mut heartbeat = interval_at(Instant::now() + node.limits.heartbeat, node.limits.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            node,
            key,
            connected,
            wire,
            subscriptions: BTreeMap::new(),
            next_key: 0,
            replies: VecDeque::new(),
            steps,
            step_sender,
            requests: 0,
            bad_messages: 0,
            heartbeat,
            failure: None,
        })
    }

    /// Queues the greeting.
    pub fn greet(&mut self) {
        let limits = &self.node.limits;
        self.reply(&ServerMessage::Hello {
            protocol: crate::protocol::VERSION,
            server: concat!("rowcast/", env!("CARGO_PKG_VERSION")).into(),
            session: self.key.0.to_string(),
            position: self.node.hub.dispatched().to_string(),
            heartbeat_ms: limits.heartbeat.as_millis() as u64,
            limits: crate::protocol::Limits { frame_bytes: limits.frame_bytes, subscriptions: limits.subscriptions },
        });
    }

    /// Whether the client may say more: not while its answers pile up.
    pub fn can_receive(&self) -> bool {
        self.replies.len() + self.requests < REPLIES_MAX
    }

    /// Does what one message asks for; answers come out of [`next`](Self::next). `Err` ends the connection.
    pub fn receive(&mut self, text: &str) -> Result<(), Closing> {
        match ClientMessage::parse(text) {
            Ok(ClientMessage::Subscribe(subscribe)) => {
                let id = subscribe.id.clone();
                if let Err(problem) = self.subscribe(subscribe) {
                    self.reply(&ServerMessage::error(Some(id), None, problem));
                }
            }
            Ok(ClientMessage::Unsubscribe { id }) => self.unsubscribe(id),
            Ok(ClientMessage::Ping { reference }) => {
                let position = self.node.log.head().to_string();
                self.reply(&ServerMessage::Pong { reference, position });
            }
            Ok(ClientMessage::Publish(publish)) => self.request(requests::publish(self.node.clone(), publish)),
            Ok(ClientMessage::Insert(insert)) => self.request(requests::insert(self.node.clone(), insert)),
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
        let limit = self.node.limits.subscriptions;
        if self.subscriptions.len() >= limit {
            let message = format!("this connection has its {limit} subscriptions");
            return Err(Problem::new(Code::TooManySubscriptions, message)
                .hint("unsubscribe from one, or use another connection"));
        }
        if self.subscriptions.values().any(|s| s.wish.id == subscribe.id) {
            return Err(Problem::new(Code::DuplicateId, format!("there is a subscription `{}` already", subscribe.id)));
        }
        let start = match &subscribe.since {
            Some(text) => Start::Since(text.parse()?),
            None => Start::Fresh,
        };
        let wish = Arc::new(self.wish(subscribe)?);
        let key = SubscriptionKey(self.next_key);
        self.next_key += 1;
        let phase = self.spawn_follow(key, wish.clone(), start);
        self.subscriptions.insert(key, Subscription { wish, phase, reached: None });
        self.count_subscriptions();
        Ok(())
    }

    fn wish(&self, subscribe: Subscribe) -> Result<Wish, Problem> {
        let channel: Channel = subscribe.channel.parse()?;
        let filter = subscribe.filter.as_deref().filter(|text| !text.trim().is_empty());
        if let (Channel::Room(_) | Channel::Notify(_), true) =
            (&channel, filter.is_some() || subscribe.columns.is_some())
        {
            let message = "this channel has messages, not rows: `where` and `columns` are for tables";
            return Err(Problem::new(Code::BadMessage, message));
        }
        Ok(Wish {
            id_json: serde_json::to_string(&subscribe.id).expect("a string is always JSON").into(),
            id: subscribe.id,
            channel,
            filter: filter.map(Filter::parse).transpose()?,
            columns: subscribe.columns,
            snapshot: subscribe.snapshot,
            old: subscribe.old,
            wire: self.wire,
        })
    }

    fn unsubscribe(&mut self, id: String) {
        let found = self.subscriptions.iter().find(|(_, s)| s.wish.id == id).map(|(key, _)| *key);
        let Some(key) = found else {
            let problem = Problem::new(Code::UnknownId, format!("there is no subscription `{id}`"));
            return self.reply(&ServerMessage::error(Some(id), None, problem));
        };
        self.end(key);
        self.reply(&ServerMessage::Unsubscribed { id });
    }

    fn end(&mut self, key: SubscriptionKey) {
        if let Some(Subscription { phase: Phase::Following(task), .. }) = self.subscriptions.remove(&key) {
            task.abort();
        }
        self.node.hub.leave(self.key, [key]);
        self.connected.queue.forget(key);
        self.count_subscriptions();
    }

    fn count_subscriptions(&self) {
        self.connected.subscriptions.store(self.subscriptions.len(), Ordering::Relaxed);
    }

    fn spawn_follow(&self, key: SubscriptionKey, wish: Arc<Wish>, start: Start) -> Phase {
        let task = follow(self.node.clone(), wish, start, key, self.step_sender.clone());
        Phase::Following(tokio::spawn(task).abort_handle())
    }

    fn request(&mut self, answer: impl Future<Output = ServerMessage> + Send + 'static) {
        let steps = self.step_sender.clone();
        self.requests += 1;
        tokio::spawn(async move {
            let answer = answer.await;
            // The client may have gone; its request was done all the same.
            let _ = steps.send(Box::new((SubscriptionKey(u32::MAX), Step::Reply(answer)))).await;
        });
    }

    /// Queues a message that is about no event.
    pub fn reply(&mut self, message: &ServerMessage) {
        self.replies.push_back(reply(self.wire, message, None));
    }

    /// What ended the last subscription that failed, when none is left: an SSE stream has nothing more to say then.
    pub fn failure(&self) -> Option<&Problem> {
        self.failure.as_ref().filter(|_| self.subscriptions.is_empty())
    }

    /// Waits until there is something to send and appends it to `out`, about 256 KiB at most.
    ///
    /// Dropping the future loses nothing as long as `out` is kept for the next call. `Err` when the gateway wants the connection closed.
    pub async fn next(&mut self, out: &mut Vec<Bytes>) -> Result<(), Closing> {
        loop {
            if self.is_joining() {
                self.finish_joins(out).await;
            }
            out.extend(self.replies.drain(..));
            let closing = self.take_queue(out);
            self.take_steps(out);
            if !out.is_empty() {
                return Ok(());
            }
            if let Some(closing) = closing {
                return Err(closing);
            }
            if self.is_joining() {
                continue;
            }
            tokio::select! {
                () = self.connected.queue.ready() => {}
                Some(sent) = self.steps.recv() => self.step(*sent, out),
                _ = self.heartbeat.tick() => self.say_position(),
            }
        }
    }

    fn is_joining(&self) -> bool {
        self.subscriptions.values().any(|s| matches!(s.phase, Phase::Joining(..)))
    }

    /// Reads what lies between the log's part and the queue's. Nothing is taken from the queue before that.
    async fn finish_joins(&mut self, out: &mut Vec<Bytes>) {
        let keys: Vec<_> = self.subscriptions.keys().copied().collect();
        for key in keys {
            while let Some(Subscription { phase: Phase::Joining(way, until), reached, .. }) =
                self.subscriptions.get_mut(&key)
            {
                let (frames, broken) = way.read(&self.node, *until).await;
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
                    }
                    None => {}
                }
            }
        }
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

    fn fail(&mut self, key: SubscriptionKey, problem: Problem, out: &mut Vec<Bytes>) {
        let Some(id) = self.subscriptions.get(&key).map(|s| s.wish.id.clone()) else { return };
        self.end(key);
        self.failure = Some(problem.clone());
        out.push(reply(self.wire, &ServerMessage::error(Some(id), None, problem), None));
    }

    fn take_queue(&mut self, out: &mut Vec<Bytes>) -> Option<Closing> {
        if self.is_joining() {
            return None;
        }
        let taken = self.connected.queue.take(TAKE_BYTES);
        out.reserve(taken.items.len());
        for item in taken.items {
            self.take_item(item, out);
        }
        for (key, count) in taken.skipped {
            if let Some(subscription) = self.subscriptions.get(&key) {
                let id = subscription.wish.id.clone();
                out.push(reply(self.wire, &ServerMessage::Skipped { id, count }, None));
            }
        }
        if let Some(position) = taken.behind {
            self.fall_behind(position);
        }
        taken.closing
    }

    fn take_item(&mut self, item: Item, out: &mut Vec<Bytes>) {
        let Some(subscription) = self.subscriptions.get_mut(&item.subscription) else { return };
        if !matches!(subscription.phase, Phase::Live) {
            return;
        }
        match item.kind {
            ItemKind::Frame(position, frame) => {
                subscription.reached = Some(position);
                out.push(frame);
            }
            ItemKind::Ephemeral(frame) => out.push(frame),
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
        for (key, wish, reached) in live {
            let from = position.max(reached.unwrap_or(position));
            let phase = self.spawn_follow(key, wish, Start::Quietly(from));
            self.set_phase(key, phase);
        }
    }

    fn take_steps(&mut self, out: &mut Vec<Bytes>) {
        let mut bytes: usize = out.iter().map(Bytes::len).sum();
        while bytes < TAKE_BYTES
            && let Ok(sent) = self.steps.try_recv()
        {
            let before = out.len();
            self.step(*sent, out);
            bytes += out[before..].iter().map(Bytes::len).sum::<usize>();
        }
    }

    fn step(&mut self, (key, step): (SubscriptionKey, Step), out: &mut Vec<Bytes>) {
        if let Step::Reply(message) = step {
            self.requests -= 1;
            return self.reply(&message);
        }
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
            }
            Step::Failed(problem) => self.fail(key, problem, out),
            Step::Reply(_) => {}
        }
    }

    /// Tells an idle client how far everything is.
    fn say_position(&mut self) {
        let position = self.node.hub.dispatched();
        let (bytes, behind) = self.connected.queue.status();
        // A position that is older than what was sent already would take the client back.
        let settled = |s: &Subscription| matches!(s.phase, Phase::Live) && s.reached.is_none_or(|r| r <= position);
        if self.subscriptions.values().all(settled) && bytes == 0 && !behind {
            self.reply(&ServerMessage::Position { position: position.to_string() });
        } else if self.wire == Wire::Sse {
            // A comment, so that proxies keep the connection open.
            self.replies.push_back(Bytes::from_static(b":\n\n"));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for subscription in self.subscriptions.values() {
            if let Phase::Following(task) = &subscription.phase {
                task.abort();
            }
        }
        self.node.hub.leave(self.key, self.subscriptions.keys().copied());
        self.node.dismiss(self.key);
    }
}
