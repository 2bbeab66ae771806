//! Doors as InfluxDB has them, so that Telegraf and its like write here: `POST /api/v2/write` and `POST /write`.
//!
//! A measurement is a table, its tags and fields are columns, its time is a column as the table has it. What is answered is
//! InfluxDB's: 204 when all is stored, else a JSON error that names the lines.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::Doors;
use super::caller::Caller;
use super::toll::Payer;
use crate::auth::Identity;
use crate::event::{Table, TableName};
use crate::filter::Dialect;
use crate::ingest::decode::{Field, Fields, Point, Record, RecordError};
use crate::ingest::{Cause, Guard, Report};
use crate::protocol::{Code, Problem};
use crate::session::to_insert;

mod moment;

/// How many lines an error names.
const NAMED: usize = 10;

/// How line protocol becomes rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Influx {
    /// The tables of measurements that have others than their own names.
    pub tables: BTreeMap<String, String>,
    /// What stands before the names of the others' tables.
    pub prefix: String,
    /// The column that the time goes to, where the table has it.
    pub time: String,
    /// What the time is counted in where that column is a number.
    pub unit: TimeUnit,
}

impl Default for Influx {
    fn default() -> Self {
        Self { tables: BTreeMap::new(), prefix: String::new(), time: "time".into(), unit: TimeUnit::Milliseconds }
    }
}

/// What a time since 1970 is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// 10⁻⁹ s
    Nanoseconds,
    /// 10⁻⁶ s
    Microseconds,
    /// 10⁻³ s
    Milliseconds,
    /// 1 s
    Seconds,
    /// 60 s
    Minutes,
    /// 3,600 s
    Hours,
}

impl TimeUnit {
    fn nanoseconds(self) -> i128 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
        }
    }
}

impl std::str::FromStr for TimeUnit {
    type Err = String;

    /// As both of InfluxDB's interfaces write it.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "ns" | "n" => Self::Nanoseconds,
            "us" | "u" | "µ" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            other => {
                let other: String = other.chars().take(16).collect();
                return Err(format!("{other:?} is no precision; write ns, us, ms or s"));
            }
        })
    }
}

/// The doors, where they are open.
pub(super) fn routes(doors: &Doors) -> Router<Doors> {
    let routes = Router::new();
    if doors.influx.is_none() {
        return routes;
    }
    routes.route("/api/v2/write", post(second)).route("/write", post(first)).route("/ping", get(pong).head(pong))
}

/// Clients ask whether somebody is there.
async fn pong() -> Response {
    (StatusCode::NO_CONTENT, [("x-influxdb-version", concat!("rowcast-", env!("CARGO_PKG_VERSION")))]).into_response()
}

#[derive(Deserialize)]
struct Wish {
    precision: Option<String>,
}

type Body = Result<Bytes, BytesRejection>;

async fn second(
    State(doors): State<Doors>,
    payer: Payer,
    Caller(identity): Caller,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(write(&doors, (&payer, &identity), wish, &headers, body).await, second_shape)
}

async fn first(
    State(doors): State<Doors>,
    payer: Payer,
    Caller(identity): Caller,
    Query(wish): Query<Wish>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(write(&doors, (&payer, &identity), wish, &headers, body).await, first_shape)
}

fn answer(written: Result<(), Refused>, shape: impl FnOnce(&Refused) -> serde_json::Value) -> Response {
    let Err(refused) = written else { return StatusCode::NO_CONTENT.into_response() };
    let mut response = (refused.status, Json(shape(&refused))).into_response();
    if refused.status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
    }
    response
}

/// Whether a path is one of these doors'.
pub(super) fn is_its(path: &str) -> bool {
    matches!(path, "/api/v2/write" | "/write")
}

/// Why somebody may not write, in the words of the interface that was asked.
pub(super) fn refuse(path: &str, problem: &Problem) -> Response {
    let (status, code) = match problem.code {
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthorized"),
        Code::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "too many requests"),
        _ => (StatusCode::FORBIDDEN, "forbidden"),
    };
    let refused = Refused { status, code, message: problem.message.clone() };
    let mut response = match path {
        "/write" => answer(Err(refused), first_shape),
        _ => answer(Err(refused), second_shape),
    };
    if let Some(retry_ms) = problem.retry_ms {
        response.headers_mut().insert(header::RETRY_AFTER, retry_ms.div_ceil(1_000).into());
    }
    response
}

fn second_shape(refused: &Refused) -> serde_json::Value {
    json!({ "code": refused.code, "message": refused.message })
}

fn first_shape(refused: &Refused) -> serde_json::Value {
    json!({ "error": refused.message })
}

/// Why not everything is stored.
struct Refused {
    status: StatusCode,
    /// InfluxDB's word for it.
    code: &'static str,
    message: String,
}

fn invalid(message: impl Into<String>) -> Refused {
    Refused { status: StatusCode::BAD_REQUEST, code: "invalid", message: message.into() }
}

/// What was wrong with lines.
#[derive(Default)]
struct Wrong {
    lines: Vec<(u64, String)>,
    /// Those that are not named, too.
    count: u64,
}

impl Wrong {
    fn add(&mut self, line: u64, reason: String) {
        self.count += 1;
        self.lines.push((line, reason));
    }

    fn add_report(&mut self, report: Report) {
        self.count += report.rejected_count;
        self.lines.extend(report.rejected.into_iter().map(|rejected| (rejected.line, rejected.reason)));
    }

    fn refused(mut self, lines: u64) -> Refused {
        self.lines.sort();
        let named: Vec<String> =
            self.lines.iter().take(NAMED).map(|(line, reason)| format!("line {line}: {reason}")).collect();
        let more = if self.count > named.len() as u64 { "; …" } else { "" };
        invalid(format!("partial write: {} of {lines} lines were not stored: {}{more}", self.count, named.join("; ")))
    }
}

/// Points of one table, as records.
struct Batch {
    name: TableName,
    time: Option<TimeColumn>,
    records: Vec<Record>,
    guard: Option<Guard>,
}

/// How a table keeps times.
struct TimeColumn {
    name: Box<str>,
    kind: moment::Kind,
}

async fn write(
    doors: &Doors,
    (payer, identity): (&Payer, &Arc<Identity>),
    wish: Wish,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Refused> {
    let influx = doors.influx.clone().unwrap_or_default();
    let precision =
        wish.precision.as_deref().filter(|text| !text.is_empty()).unwrap_or("ns").parse().map_err(invalid)?;
    let body = unpacked(headers, body, doors.node.limits.body_bytes)?;
    let text = std::str::from_utf8(&body).map_err(|_| invalid("the body is not UTF-8"))?;
    let (mut wrong, mut count) = (Wrong::default(), 0);
    // In the order in which they first came; a batch has a handful of measurements.
    let mut batches: Vec<(Box<str>, Result<Batch, String>)> = Vec::new();
    let now = crate::hub::now_ms() as i128 * 1_000_000;
    for (number, line) in (1..).zip(text.split('\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        count += 1;
        let point = match Point::parse(line) {
            Ok(point) => point,
            Err(reason) => {
                wrong.add(number, RecordError::NotLineProtocol(reason).to_string());
                continue;
            }
        };
        let place = match batches.iter().position(|(measurement, _)| *measurement == point.measurement) {
            Some(place) => place,
            None => {
                batches.push((point.measurement.clone(), batch(doors, identity, &influx, &point.measurement).await?));
                batches.len() - 1
            }
        };
        match &mut batches[place].1 {
            Ok(batch) => {
                batch.records.push(record(point, number, line, batch.time.as_ref(), precision, influx.unit, now))
            }
            Err(reason) => wrong.add(number, reason.clone()),
        }
    }
    payer.messages(count);
    for batch in batches.into_iter().filter_map(|(_, batch)| batch.ok()) {
        match doors.node.ingest.given(&batch.name, batch.records, "influx", batch.guard).await {
            Ok(report) => wrong.add_report(report),
            Err(failure) => return Err(failed(&failure.cause)),
        }
    }
    if wrong.count == 0 { Ok(()) } else { Err(wrong.refused(count)) }
}

fn failed(cause: &Cause) -> Refused {
    let (status, code) = match cause {
        Cause::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Cause::UnknownTable(_) => (StatusCode::BAD_REQUEST, "invalid"),
        Cause::Refused(_) | Cause::Body(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
    };
    Refused { status, code, message: cause.to_string() }
}

/// The measurement's table; what is wrong with it for each of its lines.
async fn batch(
    doors: &Doors,
    identity: &Arc<Identity>,
    influx: &Influx,
    measurement: &str,
) -> Result<Result<Batch, String>, Refused> {
    let name = influx.tables.get(measurement).cloned().unwrap_or_else(|| format!("{}{measurement}", influx.prefix));
    let name: TableName = match name.parse() {
        Ok(name) => name,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let guard = match to_insert(&doors.node, identity, &name).await {
        Ok(guard) => guard,
        Err(problem) if problem.code == Code::Unavailable => {
            return Err(failed(&Cause::Unavailable(problem.message)));
        }
        Err(problem) => return Ok(Err(problem.message)),
    };
    let store = &doors.node.database.store;
    let table = match store.table(&name).await {
        Ok(table) => table,
        Err(error) => {
            return match Cause::from(error) {
                Cause::UnknownTable(name) => Ok(Err(format!("there is no table `{name}` for this measurement"))),
                cause => Err(failed(&cause)),
            };
        }
    };
    Ok(Ok(Batch { time: time_column(&table, influx, store.dialect()), name, records: Vec::new(), guard }))
}

fn time_column(table: &Arc<Table>, influx: &Influx, dialect: Dialect) -> Option<TimeColumn> {
    let column = &table.columns[table.column(&influx.time)?];
    Some(TimeColumn { name: column.name.clone(), kind: moment::Kind::of(&column.declared, dialect) })
}

fn record(
    point: Point,
    line: u64,
    raw: &str,
    column: Option<&TimeColumn>,
    precision: TimeUnit,
    unit: TimeUnit,
    now: i128,
) -> Record {
    let Point { tags, fields, time, .. } = point;
    let tags = tags.into_iter().map(|(name, value)| (name, Field::Text(value)));
    let mut all: Vec<(Box<str>, Field)> = tags.chain(fields.0).collect();
    if let Some(column) = column {
        let nanoseconds = time.map_or(now, |time| i128::from(time) * precision.nanoseconds());
        // The point's own time is what is meant, whatever else has that name.
        all.retain(|(name, _)| !name.eq_ignore_ascii_case(&column.name));
        all.push((column.name.clone(), column.kind.field(nanoseconds, unit.nanoseconds())));
    }
    Record { line, raw: raw.into(), fields: Ok(Fields(all)), place: None }
}

/// The body as it was before it was compressed.
fn unpacked(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, Refused> {
    let too_large = || Refused {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: "request too large",
        message: format!("the body is larger than {bytes_max} bytes; send smaller batches"),
    };
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => invalid(rejection.body_text()),
    })?;
    let encoding = headers.get(header::CONTENT_ENCODING).map_or("identity", |value| value.to_str().unwrap_or("?"));
    match encoding.trim() {
        "identity" | "" => Ok(body),
        "gzip" => {
            let mut plain = Vec::new();
            let limit = bytes_max as u64 + 1;
            let read = flate2::read::MultiGzDecoder::new(&*body).take(limit).read_to_end(&mut plain);
            read.map_err(|error| invalid(format!("the body is not gzip: {error}")))?;
            if plain.len() > bytes_max { Err(too_large()) } else { Ok(plain.into()) }
        }
        other => {
            let message = format!("Content-Encoding {other:?} is not understood; send gzip, or none");
            Err(Refused { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, code: "invalid", message })
        }
    }
}
