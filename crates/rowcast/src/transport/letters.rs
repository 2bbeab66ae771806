//! Dead letters by plain HTTP: read, mended and tried again, dropped.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::Doors;
use super::reply::Refusal;
use crate::ingest::letters::RetryError;
use crate::protocol::{Code, Problem};
use crate::session::store_problem;
use crate::store::DeadLetters;

/// The most that are listed at once.
const LIMIT_MAX: u32 = 1_000;

type Answer = Result<Response, Refusal>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    source: Option<String>,
    before: Option<u64>,
    limit: Option<u32>,
}

/// `GET /v1/dead-letters`
pub(super) async fn list(State(doors): State<Doors>, query: Result<Query<Which>, QueryRejection>) -> Answer {
    let Query(Which { source, before, limit }) = query?;
    let limit = limit.unwrap_or(100);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::new(Code::BadMessage, format!("`limit` is 1 to {LIMIT_MAX}")).into());
    }
    let letters = doors.node.ingest.letters();
    let which = DeadLetters { source, before, limit, ..DeadLetters::default() };
    let listed = letters.list(which).await.map_err(store_problem)?;
    let counts = letters.counts().await.map_err(store_problem)?;
    let counts: serde_json::Map<_, _> = counts.into_iter().map(|(source, count)| (source, json!(count))).collect();
    Ok(Json(json!({ "dead_letters": listed, "counts": counts })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfSource {
    source: Option<String>,
}

/// `POST /v1/dead-letters/retry`
pub(super) async fn retry_all(State(doors): State<Doors>, query: Result<Query<OfSource>, QueryRejection>) -> Answer {
    let Query(OfSource { source }) = query?;
    let retried = doors.node.ingest.letters().retry_all(source.as_deref()).await.map_err(store_problem)?;
    Ok(Json(retried).into_response())
}

/// `POST /v1/dead-letters/{id}/retry`, with the mended record as its body, or none.
pub(super) async fn retry(
    State(doors): State<Doors>,
    id: Result<Path<u64>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let id = number(id)?;
    let body = body.map_err(|rejection| Problem::new(Code::TooLarge, rejection.body_text()))?;
    let text = std::str::from_utf8(&body)
        .map_err(|_| Problem::new(Code::BadJson, "the mended record is not UTF-8").hint("send a JSON object"))?;
    let mended = Some(text).filter(|text| !text.trim().is_empty());
    match doors.node.ingest.letters().retry(id, mended).await {
        Ok(()) => Ok(Json(json!({ "stored": 1, "refused": [] })).into_response()),
        Err(RetryError::Unknown(_)) => Err(unknown(id)),
        Err(RetryError::Refused { column, reason }) => {
            let refused = json!([{ "id": id, "reason": reason, "column": column }]);
            let answer = json!({ "stored": 0, "refused": refused });
            Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(answer)).into_response())
        }
        Err(RetryError::Store(error)) => Err(store_problem(error).into()),
    }
}

/// `DELETE /v1/dead-letters/{id}`
pub(super) async fn drop_one(State(doors): State<Doors>, id: Result<Path<u64>, PathRejection>) -> Answer {
    let id = number(id)?;
    match doors.node.ingest.letters().drop_some(&[id]).await.map_err(store_problem)? {
        0 => Err(unknown(id)),
        dropped => Ok(Json(json!({ "dropped": dropped })).into_response()),
    }
}

/// `DELETE /v1/dead-letters?source=…`
pub(super) async fn drop_all(State(doors): State<Doors>, query: Result<Query<OfSource>, QueryRejection>) -> Answer {
    let Query(OfSource { source }) = query?;
    let Some(source) = source else {
        let problem = Problem::new(Code::BadMessage, "whose dead letters are to be dropped is not said");
        return Err(problem.hint("write ?source=NAME").into());
    };
    let dropped = doors.node.ingest.letters().drop_all(Some(&source)).await.map_err(store_problem)?;
    Ok(Json(json!({ "dropped": dropped })).into_response())
}

fn number(id: Result<Path<u64>, PathRejection>) -> Result<u64, Problem> {
    id.map(|Path(id)| id).map_err(|rejection| Problem::new(Code::BadMessage, rejection.body_text()))
}

fn unknown(id: u64) -> Refusal {
    let problem = Problem::new(Code::NotFound, format!("there is no dead letter {id}"));
    problem.hint("it was resolved or dropped; GET /v1/dead-letters lists them").into()
}
