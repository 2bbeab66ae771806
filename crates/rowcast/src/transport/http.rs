//! Rows, series, ingest and publishing by plain HTTP.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as JsonValue, json};

use super::caller::Caller;
use super::reply::Refusal;
use super::toll::{Lines, Payer};
use super::{Doors, POSITION};
use crate::event::Table;
use crate::ingest::{Asked, Format};
use crate::protocol::{Code, Problem};
use crate::session::access::known;
use crate::session::requests::{failure_problem, publish_message};
use crate::session::{
    Begun, Question, described, find_column, history, parse_names, parse_order, projection, question, sender,
    store_problem, to_insert,
};
use crate::store::{Select, SeriesQuery};

/// The most buckets of a series.
const BUCKETS_MAX: u32 = 10_000;
/// The most groups of a series.
const GROUPS_MAX: usize = 50;
/// Rows, unless the client asks for another number.
const ROWS: u64 = 1_000;

type Answer = Result<Response, Refusal>;

/// `GET /v1/tables`
pub(super) async fn tables(State(doors): State<Doors>, Caller(identity): Caller) -> Answer {
    known(&identity)?;
    let node = &doors.node;
    let tables = doors.node.database.store.tables().await.map_err(store_problem)?;
    let readable = |table: &Arc<Table>| Some(describe(table, &described(node, &identity, table)?));
    Ok(Json(tables.iter().filter_map(readable).collect::<Vec<_>>()).into_response())
}

fn describe(table: &Table, columns: &[usize]) -> JsonValue {
    let columns = columns.iter().map(|&i| &table.columns[i]).map(|c| json!({ "name": *c.name, "type": *c.declared }));
    let key = table.key.iter().map(|&i| json!(*table.columns[i].name));
    json!({
        "name": table.name.to_string(),
        "columns": columns.collect::<Vec<_>>(),
        "key": key.collect::<Vec<_>>(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rows {
    #[serde(rename = "where")]
    filter: Option<String>,
    columns: Option<String>,
    order_by: Option<String>,
    limit: Option<u64>,
    #[serde(default)]
    offset: u64,
}

/// `GET /v1/tables/{table}`
pub(super) async fn rows(
    State(doors): State<Doors>,
    payer: Payer,
    Caller(identity): Caller,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<Rows>, QueryRejection>,
) -> Answer {
    let (node, Query(query)) = (&doors.node, query?);
    let asked = question(node, &identity, &table_name(name)?, query.filter.as_deref()).await?;
    let Question { table, predicate, readable, role } = asked;
    let readable = readable.as_deref();
    let rows_max = node.limits.rows_max;
    if query.limit.is_some_and(|limit| limit > rows_max) {
        let problem = Problem::new(Code::TooLarge, format!("`limit` is at most {rows_max}"));
        return Err(problem.hint("page through the table with `offset`, or by key in `where`").into());
    }
    let columns = query.columns.as_deref().map(parse_names).transpose()?;
    let projection = projection(&table, columns.as_deref(), false, readable)?;
    let select = Select {
        filter: predicate,
        order_by: query.order_by.map_or(Ok(Vec::new()), |text| parse_order(&text, &table, readable))?,
        limit: Some(query.limit.unwrap_or(ROWS)),
        offset: query.offset,
        role,
        table: table.clone(),
    };
    payer.may_read_rows()?;
    let _permit = node.snapshot_permit().await?;
    let mut begun = Begun::begin(node, &select, 0, |_| ()).await.map_err(Problem::from)?;
    let mut body = vec![b'['];
    while let Some(chunk) = begun.snapshot.rows.recv().await {
        let chunk = chunk.map_err(store_problem)?;
        payer.rows_read(chunk.len());
        for row in chunk {
            if body.len() > 1 {
                body.push(b',');
            }
            row.write_json(&table, projection.columns.iter().copied(), &mut body);
        }
    }
    body.push(b']');
    let position = begun.settle(node).await.map_err(Problem::from)?.position;
    Ok(([(header::CONTENT_TYPE, "application/json"), (POSITION, &position.to_string())], body).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeriesWish {
    time: String,
    value: String,
    group_by: Option<String>,
    #[serde(rename = "where")]
    filter: Option<String>,
    from: Option<f64>,
    to: Option<f64>,
    #[serde(default = "default_buckets")]
    buckets: u32,
    #[serde(default)]
    exact: bool,
}

fn default_buckets() -> u32 {
    600
}

/// `GET /v1/tables/{table}/series`
pub(super) async fn series(
    State(doors): State<Doors>,
    payer: Payer,
    Caller(identity): Caller,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<SeriesWish>, QueryRejection>,
) -> Answer {
    let (node, Query(query)) = (&doors.node, query?);
    let asked = question(node, &identity, &table_name(name)?, query.filter.as_deref()).await?;
    let query = series_query(asked, query)?;
    payer.may_read_rows()?;
    let _permit = node.snapshot_permit().await?;
    let (history, settled) = history(node, query).await.map_err(Problem::from)?;
    payer.rows_read(history.series.groups.iter().map(|group| group.time.len()).sum());
    let mut answer = serde_json::to_value(&history.series).map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
    answer["position"] = json!(settled.position.to_string());
    Ok(Json(answer).into_response())
}

fn series_query(asked: Question, wish: SeriesWish) -> Result<SeriesQuery, Problem> {
    let Question { table, predicate, readable, role } = asked;
    let find = |name: &str| find_column(name.trim(), &table, readable.as_deref());
    if !(1..=BUCKETS_MAX).contains(&wish.buckets) {
        return Err(Problem::new(Code::BadMessage, format!("`buckets` is 1 to {BUCKETS_MAX}")));
    }
    if let (Some(from), Some(to)) = (wish.from, wish.to)
        && !(from < to && from.is_finite() && to.is_finite())
    {
        return Err(Problem::new(Code::BadMessage, "`from` must be smaller than `to`, and both finite"));
    }
    Ok(SeriesQuery {
        time: find(&wish.time)?,
        values: parse_names(&wish.value)?.iter().map(|name| find(name)).collect::<Result<_, _>>()?,
        group_by: wish.group_by.as_deref().filter(|name| !name.is_empty()).map(find).transpose()?,
        groups_max: GROUPS_MAX,
        filter: predicate,
        role,
        from: wish.from,
        to: wish.to,
        buckets: wish.buckets,
        exact: wish.exact,
        table,
    })
}

/// Names a body, so that it is stored once however often it comes.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

#[derive(Deserialize)]
pub(super) struct Pushed {
    #[serde(default)]
    dead_letters: bool,
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get(&IDEMPOTENCY_KEY) else { return Ok(None) };
    match key.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::new(Code::BadMessage, "an Idempotency-Key has 1 to 255 letters, digits and signs")
            .hint("send for example a UUID, the same one when the request is sent again")),
    }
}

/// `POST /v1/tables/{table}`
pub(super) async fn ingest(
    State(doors): State<Doors>,
    payer: Payer,
    Caller(identity): Caller,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<Pushed>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (name, Query(query)) = (table_name(name)?, query?);
    let format = format_of(&headers)?;
    let key = idempotency_key(&headers)?;
    let guard = to_insert(&doors.node, &identity, &name).await?;
    let asked = Asked { key, dead_letters: query.dead_letters, guard, sender: sender(&identity) };
    let lines = Lines::of(&payer, format);
    let body = body.into_data_stream().inspect_ok(|chunk| lines.passed(chunk));
    let report = doors.node.ingest.stream_asked(&name, format, asked, body).await;
    let taken = report.as_ref().unwrap_or_else(|failure| &failure.report);
    lines.settle(taken.count + taken.repeated + taken.rejected_count);
    let report = match report {
        Ok(report) => report,
        Err(failure) => {
            let mut response = Refusal(failure_problem(&failure)).into_response();
            if failure.report.count > 0 {
                let status = response.status();
                let answer = json!({ "error": failure_problem(&failure), "stored": failure.report });
                response = (status, Json(answer)).into_response();
            }
            return Ok(response);
        }
    };
    let status = match (report.count, report.rejected_count) {
        (_, 0) => StatusCode::OK,
        (0, _) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::MULTI_STATUS,
    };
    Ok((status, Json(report)).into_response())
}

fn format_of(headers: &HeaderMap) -> Result<Format, Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    Format::from_media_type(media_type).ok_or_else(|| {
        let media_type: String = media_type.chars().take(100).collect();
        Problem::new(Code::UnsupportedMediaType, format!("Content-Type `{media_type}` is not understood"))
            .hint("send application/json, application/x-ndjson or text/csv")
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publication {
    channel: String,
    event: String,
    data: Box<RawValue>,
    #[serde(default)]
    ephemeral: bool,
}

/// `POST /v1/publish`
pub(super) async fn publish(
    State(doors): State<Doors>,
    Caller(identity): Caller,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Code::TooLarge, format!("the body is larger than {} bytes", doors.node.limits.body_bytes))
        }
        _ => Problem::new(Code::BadMessage, rejection.body_text()),
    })?;
    let Publication { channel, event, data, ephemeral } = serde_json::from_slice(&body).map_err(|error| {
        let code = if error.is_data() { Code::BadMessage } else { Code::BadJson };
        Problem::new(code, error.to_string()).hint("send {\"channel\": \"room:…\", \"event\": \"…\", \"data\": …}")
    })?;
    let position = publish_message(&doors.node, &identity, &channel, &event, data.get(), ephemeral).await?;
    Ok(match position {
        Some(position) => Json(json!({ "position": position.to_string() })).into_response(),
        None => Json(json!({})).into_response(),
    })
}

/// `GET /v1/status`
pub(super) async fn status(State(doors): State<Doors>) -> Response {
    Json((doors.status)()).into_response()
}

fn table_name(name: Result<Path<String>, PathRejection>) -> Result<crate::event::TableName, Problem> {
    let Path(name) = name.map_err(|rejection| Problem::new(Code::BadMessage, rejection.body_text()))?;
    Ok(name.parse()?)
}
