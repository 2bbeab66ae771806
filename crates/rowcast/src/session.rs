//! One connected client, whatever carries it.
//!
//! Knows its subscriptions and how far each has been sent. Leaves frames to `transport` and matching to `hub`. Here is its loop; what it is told
//! is in `verbs`, and what it tells comes of `take` (the hub) and `step` (the tasks at work for it).

pub mod access;
mod ask;
mod begin;
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
mod phase;
mod policy;
pub mod quota;
mod read;
pub mod requests;
mod revoke;
pub(crate) mod rights;
mod seen;
mod settle;
mod share;
mod snapshot;
mod step;
mod take;
mod verbs;
mod watch;
mod write;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

pub use ask::CONFLATED;
pub use bound::projection;
pub use expiry::UNAUTHENTICATED;
pub use follow::store_problem;
pub use gate::SnapshotPermit;
pub use identify::refused;
pub use node::{Admitted, Connected, Database, Drain, Limits, Node};
pub use order::{find_column, parse_names, parse_order};
pub use policy::look_at_policies;
pub use revoke::{REVOKED, Whose};
pub use rights::{Question, described, question, sender, to_insert};
pub use settle::{Known, Settled, Unsettled, settle};
pub use snapshot::{Begun, history};
pub use write::{CHANGED_MAX, Wrote, write_all};

use crate::auth::Identity;
use crate::event::Position;
use crate::hub::{Closing, Lane, SessionKey};
use crate::protocol::encode::{Wire, reply};
use crate::protocol::{Problem, ServerMessage};
use expiry::Term;
use here::Here;
use identify::Held;
use list::List;
use pace::Pace;
use phase::{Phase, Subscription};
use quota::Shares;
use step::Steps;

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
    failure: Option<Box<Problem>>,
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
            claims: self.sealed(),
        });
    }

    /// Whether the client may say more: not while its answers pile up, or a token is looked at.
    pub fn can_receive(&self) -> bool {
        let waiting = self.here.as_ref().map_or(0, |here| here.waiting());
        self.held.is_none() && self.replies.len() + self.requests + waiting < REPLIES_MAX
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
        self.failure.as_deref().filter(|_| self.subscriptions.is_empty())
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
                // Nobody who is idle keeps room for what is said now and then.
                self.replies = VecDeque::new();
                if self.lend() {
                    *out = Vec::new();
                }
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

    /// Returns whether the hub may write by itself.
    fn lend(&self) -> bool {
        // What comes from the tasks at work, or is to be folded, passes through here.
        let idle = self.lends && self.steps.is_none() && self.pace.is_none();
        let lane = self.connected.queue.lane().filter(|_| idle);
        lane.inspect(|lane| lane.lend()).is_some()
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
