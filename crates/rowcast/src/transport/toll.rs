//! What requests cost those who pay for them: their tenant, their user, their address.
//!
//! Connections that stay pay for themselves, in `session`; here is what a single request sends and reads.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};

use super::caller::{Arrival, Caller};
use super::{Doors, influx, reply::Refusal};
use crate::auth::Identity;
use crate::ingest::Format;
use crate::protocol::Problem;
use crate::session::quota::Accounts;

/// Who pays for a request; nobody, where nothing is counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Payer(Option<Arc<Accounts>>);

impl Payer {
    /// Whether rows may be read now.
    pub(super) fn may_read_rows(&self) -> Result<(), Problem> {
        self.0.as_ref().map_or(Ok(()), |accounts| accounts.may_read_rows())
    }

    pub(super) fn rows_read(&self, count: usize) {
        if let Some(accounts) = &self.0 {
            accounts.rows_read(count);
        }
    }

    /// So many messages were in the request, which has paid for the first.
    pub(super) fn messages(&self, count: u64) {
        if let (Some(accounts), Some(further @ 1..)) = (&self.0, count.checked_sub(1)) {
            accounts.further_messages(usize::try_from(further).unwrap_or(usize::MAX));
        }
    }
}

/// The rows of a body, each as much as a message: counted while they pass where each is a line, for a body may have no end.
pub(super) struct Lines {
    payer: Payer,
    are_rows: bool,
    counted: AtomicU64,
}

impl Lines {
    pub(super) fn of(payer: &Payer, format: Format) -> Self {
        Self { payer: payer.clone(), are_rows: !matches!(format, Format::Json), counted: AtomicU64::new(0) }
    }

    pub(super) fn passed(&self, chunk: &[u8]) {
        if let (true, Payer(Some(accounts))) = (self.are_rows, &self.payer) {
            let lines = chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
            let before = self.counted.fetch_add(lines, Ordering::Relaxed);
            // The request has paid for the first.
            let further = (before + lines).saturating_sub(before.max(1));
            accounts.further_messages(usize::try_from(further).unwrap_or(usize::MAX));
        }
    }

    /// So many rows there were in the end.
    pub(super) fn settle(&self, rows: u64) {
        let paid = self.counted.load(Ordering::Relaxed).max(1);
        self.payer.messages(rows.saturating_sub(paid) + 1);
    }
}

impl<S: Sync> FromRequestParts<S> for Payer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// Lets a request in that can be paid for, and counts what it sends.
pub(super) async fn collect(State(doors): State<Doors>, mut request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let Caller(identity) = Caller::of(request.extensions());
    let Some(accounts) = doors.node.quotas.accounts(&identity, address) else { return next.run(request).await };
    request.extensions_mut().insert(Payer(Some(accounts.clone())));
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    if let Err(problem) = accounts.message(0) {
        let path = request.uri().path();
        return match influx::is_its(path) {
            true => influx::refuse(path, &problem),
            false => Refusal(problem).into_response(),
        };
    }
    next.run(request.map(|body| paced(body, accounts))).await
}

/// Lets a Socket.IO client in for whom there is room; whoever has a session has been let in.
pub(super) async fn admit(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let is_new = !request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("sid=")));
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let identity = match request.extensions().get() {
        Some(Arrival(Ok(identity))) => identity.clone(),
        Some(Arrival(Err(_))) | None => Identity::unknown(),
    };
    let accounts = doors.node.quotas.accounts(&identity, address).filter(|_| is_new);
    match accounts.map_or(Ok(()), |accounts| accounts.has_room()) {
        Ok(()) => next.run(request).await,
        Err(problem) => Refusal(problem).into_response(),
    }
}

/// A body that is read no faster than its sender may send. One that fits into what it may send at once does not wait.
fn paced(body: Body, accounts: Arc<Accounts>) -> Body {
    let chunks = body.into_data_stream();
    Body::from_stream(stream::unfold((chunks, accounts), async |(mut chunks, accounts)| {
        let chunk = chunks.next().await?;
        let wait = chunk.as_ref().map_or_else(|_| Default::default(), |chunk| accounts.further_bytes(chunk.len()));
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Some((chunk, (chunks, accounts)))
    }))
}
