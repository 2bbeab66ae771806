//! What a client asks for beside subscriptions: publishing and inserting. Each runs on its own and answers once.

use std::sync::Arc;

use super::access::{known, may_publish};
use super::channel;
use super::node::Node;
use super::rights::to_insert;
use serde_json::value::RawValue;

use crate::auth::Identity;
use crate::event::{Batch, Body, Change, Channel, Message, Position};
use crate::ingest::{self, Asked, Cause, Failure, Report};
use crate::protocol::{Code, Insert, Problem, Publish, Rejected, ServerMessage};
use crate::source::notify::NotSaid;

/// Publishes a message to a room; a stored one has a position.
pub async fn publish_message(
    node: &Node,
    identity: &Identity,
    channel: &str,
    event: &str,
    json: &str,
    ephemeral: bool,
) -> Result<Option<Position>, Problem> {
    known(identity)?;
    let channel = channel::named(node, identity, channel)?;
    let Channel::Room(_) = channel else {
        let problem =
            Problem::new(Code::BadChannel, "messages go to rooms; what a table or NOTIFY says comes from the database");
        return Err(problem.hint("use a channel such as `room:lobby`, or insert a row"));
    };
    if event.is_empty() || event.len() > 128 {
        return Err(Problem::new(Code::BadMessage, "`event` has 1 to 128 bytes"));
    }
    may_publish(node, identity, &channel).await?;
    let message = Message { channel, event: event.into(), json: json.into() };
    if ephemeral {
        node.log.send_ephemeral(message);
        return Ok(None);
    }
    let change = Change { tx: 0, last: true, time_ms: crate::hub::now_ms(), body: Body::Message(message) };
    let appended = node.log.append(Batch { origin: None, changes: vec![change] }).await;
    appended.map(Some).map_err(|error| Problem::new(Code::Unavailable, error.to_string()))
}

/// Sends a NOTIFY as the gateway's own user of the database.
pub async fn notify(node: &Node, identity: &Identity, channel: &str, payload: &str) -> Result<(), Problem> {
    may_publish(node, identity, &Channel::Notify(channel.into())).await?;
    let Some(ears) = &node.database.ears else {
        return Err(Problem::new(Code::BadChannel, "the database has no NOTIFY channels: they are PostgreSQL's"));
    };
    ears.say(channel, payload).await.map_err(|NotSaid { message, retry }| {
        let code = if retry { Code::Unavailable } else { Code::BadMessage };
        Problem::new(code, message)
    })
}

pub(super) async fn publish(node: Arc<Node>, identity: Arc<Identity>, request: Publish) -> ServerMessage {
    let Publish { channel, event, data, ephemeral, reference, .. } = request;
    match publish_message(&node, &identity, &channel, &event, data.get(), ephemeral).await {
        Ok(position) => ServerMessage::Published { reference, position: position.map(|p| p.to_string()) },
        Err(problem) => ServerMessage::error(None, reference, problem),
    }
}

pub(super) async fn insert(node: Arc<Node>, identity: Arc<Identity>, request: Insert) -> ServerMessage {
    let Insert { table, rows, reference, .. } = request;
    match insert_rows(&node, &identity, &table, &rows).await {
        Ok(report) => ServerMessage::Inserted {
            reference,
            count: report.count,
            position: report.position.map(|position| position.to_string()),
            rejected: report.rejected.into_iter().map(rejected).collect(),
        },
        Err(problem) => ServerMessage::error(None, reference, problem),
    }
}

async fn insert_rows(
    node: &Node,
    identity: &Arc<Identity>,
    table: &str,
    rows: &[Box<RawValue>],
) -> Result<Report, Problem> {
    let table = table.parse()?;
    let guard = to_insert(node, identity, &table).await?;
    let asked = Asked { guard, ..Asked::default() };
    let rows: Vec<&str> = rows.iter().map(|row| row.get()).collect();
    let report = node.ingest.json_asked(&table, &format!("[{}]", rows.join(",")), asked).await;
    report.map_err(|failure| failure_problem(&failure))
}

fn rejected(row: ingest::Rejected) -> Rejected {
    Rejected { line: row.line, reason: row.reason, column: row.column.map(Into::into) }
}

/// Why a body was not stored to its end, as a client sees it.
pub fn failure_problem(failure: &Failure) -> Problem {
    let count = failure.report.count;
    let code = match &failure.cause {
        Cause::UnknownTable(_) => Code::UnknownTable,
        Cause::Unavailable(_) => Code::Unavailable,
        Cause::Refused(_) => Code::Internal,
        Cause::Body(_) => Code::BadMessage,
    };
    let problem = Problem::new(code, failure.cause.to_string());
    match code {
        Code::UnknownTable => problem.hint("GET /v1/tables lists the tables"),
        _ if count > 0 => problem.hint(format!("{count} rows before it are stored; send only what follows them again")),
        _ => problem,
    }
}
