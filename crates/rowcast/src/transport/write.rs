//! Rows changed and removed by plain HTTP, and several changes that stand together.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as JsonValue, json};

use super::caller::Caller;
use super::http::IDEMPOTENCY_KEY;
use super::reply::Refusal;
use super::toll::Payer;
use super::{Doors, POSITION};
use crate::protocol::{Code, Problem, Write};
use crate::session::{Wrote, write_all};

type Answer = Result<Response, Refusal>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(rename = "where")]
    filter: String,
    rows: Option<u64>,
}

/// `PATCH /v1/tables/{table}`
pub(super) async fn update(
    State(doors): State<Doors>,
    Caller(identity): Caller,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    without_key(&headers)?;
    let (table, Query(Which { filter, rows })) = (table_name(name)?, query?);
    let set: Box<RawValue> = read(&doors, body, "{\"column\": value, …}")?;
    let wrote = write_all(&doors.node, &identity, &[Write::Update { table, set, filter, rows }]).await?;
    Ok(answer(&wrote, json!({ "updated": wrote.counts.first() })))
}

/// `DELETE /v1/tables/{table}`
pub(super) async fn delete(
    State(doors): State<Doors>,
    Caller(identity): Caller,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
) -> Answer {
    without_key(&headers)?;
    let (table, Query(Which { filter, rows })) = (table_name(name)?, query?);
    let wrote = write_all(&doors.node, &identity, &[Write::Delete { table, filter, rows }]).await?;
    Ok(answer(&wrote, json!({ "deleted": wrote.counts.first() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `writes`")]
struct Together {
    writes: Vec<Write>,
}

/// `POST /v1/write`
pub(super) async fn write(
    State(doors): State<Doors>,
    payer: Payer,
    Caller(identity): Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    without_key(&headers)?;
    let Together { writes } = read(&doors, body, "{\"writes\": [{\"insert\": \"table\", \"row\": {…}}, …]}")?;
    payer.messages(writes.len() as u64);
    let wrote = write_all(&doors.node, &identity, &writes).await?;
    Ok(answer(&wrote, json!({ "written": wrote.counts })))
}

fn answer(wrote: &Wrote, mut told: JsonValue) -> Response {
    match &wrote.position {
        Some(position) => {
            let position = position.to_string();
            told["position"] = json!(position);
            ([(POSITION, position)], Json(told)).into_response()
        }
        None => Json(told).into_response(),
    }
}

/// A key is remembered with rows that are inserted; here nothing would remember it.
fn without_key(headers: &HeaderMap) -> Result<(), Problem> {
    if !headers.contains_key(&IDEMPOTENCY_KEY) {
        return Ok(());
    }
    let problem = Problem::new(Code::BadMessage, "an Idempotency-Key is for POST /v1/tables/{table}");
    Err(problem.hint("insert a row with a unique id of your own in the same write: it is refused the second time"))
}

fn read<T: serde::de::DeserializeOwned>(
    doors: &Doors,
    body: Result<Bytes, BytesRejection>,
    shape: &str,
) -> Result<T, Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Code::TooLarge, format!("the body is larger than {} bytes", doors.node.limits.body_bytes))
        }
        _ => Problem::new(Code::BadMessage, rejection.body_text()),
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        let code = if error.is_data() { Code::BadMessage } else { Code::BadJson };
        let message: String = error.to_string().chars().take(300).collect();
        Problem::new(code, message).hint(format!("send {shape}"))
    })
}

fn table_name(name: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let Path(name) = name.map_err(|rejection| Problem::new(Code::BadMessage, rejection.body_text()))?;
    Ok(name)
}
