//! Which channel a client means. Every name that a client says goes through here, whatever door it came in by.

use super::access;
use super::node::Node;
use crate::auth::{Identity, Standing};
use crate::event::Channel;
use crate::protocol::Problem;

/// The channel that a client means: a room is its own tenant's. Whoever administers the gateway may name another tenant's.
pub fn named(node: &Node, identity: &Identity, text: &str) -> Result<Channel, Problem> {
    let operates = match identity.standing {
        Standing::Trusted => true,
        // Without rules nobody is known to administer it.
        Standing::Known => {
            text.starts_with("room@") && node.auth.is_some() && access::may_administer(node, identity).is_ok()
        }
        Standing::Anonymous | Standing::Unknown => false,
    };
    let channel = match operates {
        true => Channel::of_operator(text),
        false => Channel::of_client(text, &identity.tenant),
    };
    Ok(channel?)
}
