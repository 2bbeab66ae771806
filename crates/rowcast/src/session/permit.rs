//! Whether a client may see who is on a channel, or be seen there; and hearing of it when that may be over.

use std::sync::Arc;
use std::time::Duration;

use super::access::{Act, on_channel};
use super::chosen::Set;
use super::node::Node;
use super::{Session, access};
use crate::auth::Identity;
use crate::event::Channel;
use crate::hub::{Interest, SubscriptionKey};
use crate::protocol::encode::Projection;
use crate::protocol::{Code, Problem};

/// The pause before a database that is away is asked again.
const AWAY: Duration = Duration::from_millis(250);
/// No event is about this channel: those who are on it in the hub only want to hear that what a rule has read has changed.
const NOTHING: &str = "\0presence";

/// What a permission depends on, for as long as it holds.
#[derive(Debug, Default)]
pub(super) struct Permit(Vec<Arc<Set>>);

/// Whether a client may.
pub(super) async fn ask(node: &Node, identity: &Identity, channel: &Channel) -> Result<Permit, Problem> {
    access::known(identity)?;
    on_channel(node, identity, channel, Act::Presence, None).await.map(Permit).map_err(Problem::from)
}

/// Whether it still may; waits for a database that is away.
pub(super) async fn ask_again(node: &Node, identity: &Identity, channel: &Channel) -> Result<Permit, Problem> {
    loop {
        match ask(node, identity, channel).await {
            Err(problem) if problem.code == Code::Unavailable => tokio::time::sleep(AWAY).await,
            other => return other,
        }
    }
}

impl Permit {
    /// Whether it holds whatever happens.
    pub(super) fn is_lasting(&self) -> bool {
        self.0.is_empty()
    }
}

impl Session {
    /// Hears from now on when a permission may be over: the queue then has an eviction of this key. Returns false if it is over already.
    #[must_use]
    pub(super) fn guard(&self, key: SubscriptionKey, permit: &Permit) -> bool {
        if permit.is_lasting() {
            return true;
        }
        let interest = Interest {
            channel: Channel::Event(NOTHING.into()),
            table: None,
            predicate: None,
            projection: Arc::new(Projection {
                columns: [].into(),
                old: false,
                named: None,
                deliver: None,
                ruled: false,
            }),
            wire: self.wire,
            id: "\"\"".into(),
            selections: permit.0.iter().map(|set| set.selection().clone()).collect(),
        };
        self.node.hub.join(&self.connected.queue, self.key, key, interest, false);
        permit.0.iter().all(|set| set.until().is_none())
    }
}
