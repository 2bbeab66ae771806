//! What a client may do. Asked before anything is done for it.

use super::Session;
use super::node::Node;
use crate::auth::Identity;
use crate::event::Channel;
use crate::protocol::{Code, Problem};

/// Refuses a client that has not said who it is.
fn is_known(identity: &Identity) -> Result<(), Problem> {
    match identity.standing {
        crate::auth::Standing::Unknown => {
            Err(Problem::new(Code::Unauthenticated, "who are you?")
                .hint("send {\"type\":\"auth\",\"token\":\"…\"} first"))
        }
        _ => Ok(()),
    }
}

/// Whether it may send messages to a room, or say something on a NOTIFY channel.
pub async fn may_publish(_node: &Node, identity: &Identity, _channel: &Channel) -> Result<(), Problem> {
    is_known(identity)
}

/// Whether it may be seen on a channel.
pub async fn may_track(_node: &Node, identity: &Identity, _channel: &Channel) -> Result<(), Problem> {
    is_known(identity)
}

/// Whether it may see who is on a channel.
pub async fn may_watch(_node: &Node, identity: &Identity, _channel: &Channel) -> Result<(), Problem> {
    is_known(identity)
}

/// Whether it may see and change how the gateway itself is.
pub fn may_administer(_node: &Node, identity: &Identity) -> Result<(), Problem> {
    is_known(identity)
}

impl Session {
    /// Another token, with other claims perhaps: every subscription is looked at again.
    pub(super) fn identity_changed(&mut self) {}
}
