//! What operators do with clients: put them out, and take their tokens back.

use std::time::SystemTime;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Doors;
use super::reply::Refusal;
use crate::auth::Revocation;
use crate::protocol::{Code, Problem};
use crate::session::Whose;

/// The longest reason: it goes into a close frame's neighbour, not into a book.
const REASON_MAX: usize = 200;

type Answer = Result<Response, Refusal>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disconnect {
    user: Option<String>,
    tenant: Option<String>,
    session: Option<String>,
    reason: Option<String>,
}

/// `POST /v1/admin/disconnect`
pub(super) async fn disconnect(State(doors): State<Doors>, body: Result<Bytes, BytesRejection>) -> Answer {
    let Disconnect { user, tenant, session, reason } = read(body, "{\"user\": \"…\"}")?;
    if user.is_none() && tenant.is_none() && session.is_none() {
        let problem = Problem::new(Code::BadMessage, "it is not said who is to be disconnected");
        return Err(problem.hint("send `user`, `tenant` or `session`, or more than one of them").into());
    }
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_MAX) {
        return Err(Problem::new(Code::TooLarge, format!("`reason` has at most {REASON_MAX} characters")).into());
    }
    let closed = doors.node.disconnect(&Whose { user, tenant, session }, reason.as_deref());
    Ok(Json(json!({ "closed": closed })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    user: Option<String>,
    tenant: Option<String>,
    key: Option<String>,
    before: Option<u64>,
}

/// `POST /v1/admin/revoke`
pub(super) async fn revoke(State(doors): State<Doors>, body: Result<Bytes, BytesRejection>) -> Answer {
    let Revoke { user, tenant, key, before } = read(body, "{\"user\": \"…\"}")?;
    if doors.node.auth.is_none() {
        return Err(no_tokens().into());
    }
    let now = Revocation::until(SystemTime::now());
    let before = before.unwrap_or(now.before);
    if before > now.before {
        let problem =
            Problem::new(Code::BadMessage, "`before` lies in the future: nobody could log in again until then");
        return Err(problem.hint("leave it out for now").into());
    }
    let closed = take_back(&doors, Revocation { user, tenant, key, before }).await?;
    Ok(Json(json!({ "closed": closed, "before": before })).into_response())
}

/// Takes tokens back, and puts those out who are connected with them. Returns how many.
pub(super) async fn take_back(doors: &Doors, revocation: Revocation) -> Result<usize, Problem> {
    let auth = doors.node.auth.as_ref().ok_or_else(no_tokens)?;
    // Those who go at once count as well.
    let connected = doors.node.sessions();
    auth.tokens.revoke(revocation).await.map_err(|error| {
        Problem::new(Code::Unavailable, format!("the revocation cannot be written down: {error}"))
            .hint("look at the disk and at the rights of `auth.revocations`, and revoke again")
    })?;
    Ok(doors.node.disconnect_untrusted(connected))
}

fn no_tokens() -> Problem {
    Problem::new(Code::NotFound, "nobody shows a token here, so that there is none to take back")
        .hint("configure [auth]")
}

fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, example: &str) -> Result<T, Problem> {
    let body = body.map_err(|rejection| Problem::new(Code::TooLarge, rejection.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| {
        let code = if error.is_data() { Code::BadMessage } else { Code::BadJson };
        Problem::new(code, error.to_string()).hint(format!("send for example {example}"))
    })
}
