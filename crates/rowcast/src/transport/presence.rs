//! `GET /v1/presence/{channel}`: who is there at the moment, for programs.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Doors;
use super::caller::Caller;
use super::reply::Refusal;
use crate::protocol::{Code, Problem};
use crate::session::{access, here};

pub(super) async fn list(
    State(doors): State<Doors>,
    Caller(identity): Caller,
    channel: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(channel) = channel.map_err(|rejection| Problem::new(Code::BadMessage, rejection.body_text()))?;
    let key = here::key(&doors.node, &channel, &identity)?;
    access::may_watch(&doors.node, &identity, &key.channel).await?;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, doors.node.presence.document(&key)).into_response())
}
