//! What a client asks for beside subscriptions: publishing and inserting. Each runs on its own and answers once.

use std::sync::Arc;

use super::node::Node;
use crate::event::{Batch, Body, Change, Channel, Message, Position};
use crate::protocol::{Code, Insert, Problem, Publish, ServerMessage};

/// Publishes a message to a room; a stored one has a position.
pub async fn publish_message(
    node: &Node,
    channel: &str,
    event: &str,
    json: &str,
    ephemeral: bool,
) -> Result<Option<Position>, Problem> {
    let channel: Channel = channel.parse()?;
    if let Channel::Table(_) = channel {
        let problem = Problem::new(Code::BadChannel, "messages go to rooms; a table's changes come from the database");
        return Err(problem.hint("use a channel such as `room:lobby`, or insert a row"));
    }
    if event.is_empty() || event.len() > 128 {
        return Err(Problem::new(Code::BadMessage, "`event` has 1 to 128 bytes"));
    }
    let message = Message { channel, event: event.into(), json: json.into() };
    if ephemeral {
        node.log.send_ephemeral(message);
        return Ok(None);
    }
    let change = Change { tx: 0, last: true, time_ms: crate::hub::now_ms(), body: Body::Message(message) };
    let appended = node.log.append(Batch { origin: None, changes: vec![change] }).await;
    appended.map(Some).map_err(|error| Problem::new(Code::Unavailable, error.to_string()))
}

pub(super) async fn publish(node: Arc<Node>, request: Publish) -> ServerMessage {
    let Publish { channel, event, data, ephemeral, reference, .. } = request;
    match publish_message(&node, &channel, &event, data.get(), ephemeral).await {
        Ok(position) => ServerMessage::Published { reference, position: position.map(|p| p.to_string()) },
        Err(problem) => ServerMessage::error(None, reference, problem),
    }
}

pub(super) async fn insert(_node: Arc<Node>, request: Insert) -> ServerMessage {
    ServerMessage::error(None, request.reference, Problem::new(Code::Internal, "not yet"))
}
