//! Which channel a client means. Every name that a client says goes through here, whatever door it came in by.

use super::access;
use super::node::Node;
use crate::auth::{Identity, Standing};
use crate::event::Channel;
use crate::protocol::Problem;

/// The channel that a client means: a room is its own tenant's. Who administers the gateway, and is of no tenant, may name any tenant's.
pub fn named(node: &Node, identity: &Identity, text: &str) -> Result<Channel, Problem> {
    let operates = match identity.standing {
        Standing::Trusted => true,
        Standing::Known => identity.tenant.is_empty() && access::may_administer(node, identity).is_ok(),
        Standing::Anonymous | Standing::Unknown => false,
    };
    let channel = match operates && identity.tenant.is_empty() {
        true => Channel::of_operator(text),
        false => Channel::of_client(text, &identity.tenant),
    };
    Ok(channel?)
}
