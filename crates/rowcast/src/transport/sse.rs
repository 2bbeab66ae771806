//! `/v1/stream`: a session with one subscription as Server-Sent Events.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;

use super::caller::Caller;
use super::io::Io;
use super::reply::{Refusal, refused_stream};
use super::stream::Bare;
use super::{Doors, remote};
use crate::hub::Closing;
use crate::protocol::deliver::Deliver;
use crate::protocol::encode::{Wire, reply};
use crate::protocol::{Code, Problem, ServerMessage, SnapshotWish, Subscribe};
use crate::session::{Session, parse_names};

/// How long a browser waits before it reconnects by itself, in milliseconds.
const RETRY_MS: u64 = 1000;
/// How long a client that reads nothing may hold the end up.
const GOODBYE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    channel: String,
    #[serde(rename = "where")]
    filter: Option<String>,
    columns: Option<String>,
    #[serde(default)]
    snapshot: bool,
    order_by: Option<String>,
    limit: Option<u64>,
    since: Option<String>,
    #[serde(default)]
    old: bool,
    deliver: Option<String>,
    #[serde(default)]
    wrapped: bool,
}

pub(super) async fn stream(
    State(doors): State<Doors>,
    Caller(identity): Caller,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    bare: Option<Extension<Bare>>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(wish) = wish?;
    let remote = remote(peer);
    let mut session = match Session::open(doors.node.clone(), Wire::Sse, "sse", remote, identity) {
        Ok(session) => session,
        Err(problem) => return Ok(refused_stream(problem, &headers)),
    };
    session.subscribe(subscription(wish, last_event_id(&headers)?)?)?;
    // The first words decide whether there is a stream at all.
    let mut first = Vec::new();
    let opened = session.next(&mut first).await;
    if let Some(problem) = session.failure() {
        return Err(Refusal(problem.clone()));
    }
    first.insert(0, Bytes::from(format!("retry: {RETRY_MS}\n\n")));
    let state = Streaming { session: Some(session), pending: opened.err(), first: Some(first) };
    let body = match bare {
        Some(Extension(bare)) => {
            bare.leave(state);
            Body::empty()
        }
        None => Body::from_stream(stream::unfold(state, next_chunk)),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        // nginx would hold events back otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}

fn subscription(wish: Wish, last_event_id: Option<String>) -> Result<Subscribe, Problem> {
    let mut subscribe = Subscribe::new("stream", &wish.channel);
    let part = wish.order_by.is_some() || wish.limit.is_some();
    subscribe.snapshot = match wish.snapshot {
        true => SnapshotWish::part(wish.order_by, wish.limit),
        false if part => {
            let message = "`order_by` and `limit` are of the snapshot, which was not asked for";
            return Err(Problem::new(Code::BadMessage, message).hint("add snapshot=true"));
        }
        false => SnapshotWish::Simple(false),
    };
    subscribe.filter = wish.filter;
    subscribe.columns = wish.columns.as_deref().map(parse_names).transpose()?;
    subscribe.old = wish.old;
    if let Some(class) = &wish.deliver {
        subscribe.deliver = Deliver::parse(class)?;
    }
    subscribe.wrapped = wish.wrapped;
    // A browser that reconnects sends the same URL with a newer position in the header.
    subscribe.since = last_event_id.or(wish.since);
    Ok(subscribe)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().map_err(|_| Problem::new(Code::BadPosition, "Last-Event-ID is not plain text"))?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

pub(super) struct Streaming {
    /// `None` once the stream has ended.
    session: Option<Session>,
    pending: Option<Closing>,
    first: Option<Vec<Bytes>>,
}

impl Streaming {
    /// Appends what comes next; `None` when the stream has ended.
    async fn next(&mut self, out: &mut Vec<Bytes>) -> Option<()> {
        if let Some(first) = self.first.take() {
            out.extend(first);
            return Some(());
        }
        let session = self.session.as_mut()?;
        let closing = match self.pending.take() {
            Some(closing) => Some(closing),
            None => session.next(out).await.err(),
        };
        let failed = session.failure().is_some();
        if let Some(Closing { reason, message, retry_ms }) = closing {
            let close = ServerMessage::Close { reason: reason.into(), message, retry_ms };
            out.push(format!("retry: {retry_ms}\n").into());
            out.push(reply(Wire::Sse, &close, None));
            self.session = None;
        } else if failed {
            self.session = None;
        }
        Some(())
    }

    /// Carries the stream on a connection that is nobody else's, to its end.
    pub(super) async fn run(mut self: Box<Self>, mut io: Io) {
        let stall = self.session.as_ref().map_or(GOODBYE, Session::write_stall);
        if let Some(session) = &mut self.session {
            session.carried_by(io.lane());
        }
        let mut out = Vec::new();
        loop {
            tokio::select! {
                biased;
                next = self.next(&mut out) => {
                    if next.is_none() {
                        return io.shut(GOODBYE).await;
                    }
                    if io.write_all(&mut out, stall).await.is_err() {
                        return;
                    }
                }
                // A client of an event stream has nothing more to say.
                () = poll_fn(|cx| io.poll_drain(cx)) => return,
            }
        }
    }
}

async fn next_chunk(mut state: Streaming) -> Option<(Result<Bytes, std::io::Error>, Streaming)> {
    let mut out = Vec::new();
    state.next(&mut out).await?;
    Some((Ok(join(&out)), state))
}

fn join(frames: &[Bytes]) -> Bytes {
    match frames {
        [one] => one.clone(),
        many => many.concat().into(),
    }
}
