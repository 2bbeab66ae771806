//! The stream over HTTP, as NDJSON and as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::Stream;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::chunks::{Chunks, Cutter};
use super::pace::Pace;
use super::record::Records;
use super::tally::Tally;

/// Records in one chunk, at most.
const MOST: u64 = 500;
/// Keeps two pieces of a line apart on their way.
const APART: Duration = Duration::from_millis(1);

/// What every client of a stream is served.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) records: Arc<Records>,
    /// Whether each client has a seed of its own.
    pub(super) own_seed: bool,
    /// Nanoseconds since 1970 when record 0 is due for all clients; `None`: for each, when it comes.
    pub(super) shared: Option<u64>,
    pub(super) jitter: Duration,
    pub(super) count: Option<u64>,
    /// Whether a stream stays open after the last record.
    pub(super) hold: bool,
    pub(super) chunks: Chunks,
    pub(super) close_after: Option<Duration>,
    pub(super) tally: Arc<Tally>,
    pub(super) stop: CancellationToken,
}

/// `/stream` and `/stream/sse`.
pub(super) fn router(streams: Streams) -> Router {
    Router::new().route("/stream", get(ndjson)).route("/stream/sse", get(sse)).with_state(streams)
}

#[derive(Debug, Deserialize)]
struct Where {
    /// The first record to send.
    from: Option<u64>,
}

async fn ndjson(State(streams): State<Streams>, Query(at): Query<Where>) -> Response {
    // It calls itself an event stream and is none: that is how the original is.
    respond(streams.flow(Form::Ndjson, at.from))
}

async fn sse(State(streams): State<Streams>, Query(at): Query<Where>, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    respond(streams.flow(Form::Sse, last.map(|id| id.saturating_add(1)).or(at.from)))
}

fn respond(body: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(body)).into_response()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Ndjson,
    Sse,
}

impl Streams {
    fn flow(self, form: Form, from: Option<u64>) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
        let records = if self.own_seed {
            Arc::new(Records { seed: rand::random(), ..Records::clone(&self.records) })
        } else {
            self.records
        };
        let pace = match self.shared {
            Some(start) => Pace::since(start, Arc::clone(&records), self.jitter, from, self.count),
            None => Pace::from_now(Arc::clone(&records), self.jitter, from.unwrap_or(0), self.count),
        };
        self.tally.client();
        let flow = Flow {
            records,
            pace,
            form,
            cutter: Cutter::new(self.chunks),
            pieces: VecDeque::new(),
            until: self.close_after.map(|after| Instant::now() + after),
            hold: self.hold,
            is_ended: false,
            is_torn: false,
            tally: self.tally,
            stop: self.stop,
        };
        futures_util::stream::unfold(flow, |mut flow| async move { Some((Ok(flow.next().await?), flow)) })
    }
}

/// What one client is sent.
struct Flow {
    records: Arc<Records>,
    pace: Pace,
    form: Form,
    cutter: Cutter,
    pieces: VecDeque<Bytes>,
    until: Option<Instant>,
    hold: bool,
    is_ended: bool,
    /// Whether the next piece goes on where the last one was cut.
    is_torn: bool,
    tally: Arc<Tally>,
    stop: CancellationToken,
}

impl Flow {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                if self.is_torn {
                    tokio::time::sleep(APART).await;
                }
                self.is_torn = self.cutter.pauses() && !self.pieces.is_empty();
                return Some(piece);
            }
            if self.is_ended {
                return None;
            }
            let until = self.until;
            let closing = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let due = tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                () = closing => None,
                due = self.pace.next(MOST), if !self.pace.is_over() || !self.hold => due,
            };
            match due {
                Some(due) => self.write(due),
                None => self.is_ended = true,
            }
            if self.pace.is_over() || self.is_ended {
                self.pieces.extend(self.cutter.rest());
            }
        }
    }

    fn write(&mut self, due: std::ops::Range<u64>) {
        let mut bytes = Vec::new();
        let count = due.end - due.start;
        let emitted: Vec<_> = due.map(|n| (n, self.one(n, &mut bytes))).collect();
        self.tally.emitted(&emitted);
        self.pieces = self.cutter.cut(bytes, count);
    }

    fn one(&self, n: u64, out: &mut Vec<u8>) -> Option<super::spoil::Kind> {
        if self.form == Form::Sse {
            out.extend_from_slice(format!("id: {n}\ndata: ").as_bytes());
        }
        let kind = self.records.line(n, self.pace.time_ms(n), out);
        out.extend_from_slice(if self.form == Form::Sse { b"\n\n" } else { b"\n" });
        kind
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use http_body_util::BodyExt;

    use super::super::pace::now;
    use super::super::record::{FieldName, What};
    use super::super::schedule::{SECOND, Schedule};
    use super::super::wave::{Shape, Wave};
    use super::*;

    fn streams(rate: f64) -> Streams {
        let records = Records {
            seed: 7,
            wave: Wave::new(Shape::Seed),
            schedule: Schedule::steady(rate),
            sensors: 1,
            fields: [What::Time, What::Speed].map(FieldName::plain).into(),
            numbers: false,
            malformed: 0.0,
            kinds: Vec::new(),
        };
        Streams {
            records: Arc::new(records),
            own_seed: true,
            shared: None,
            jitter: Duration::ZERO,
            count: None,
            hold: false,
            chunks: Chunks::Whole,
            close_after: None,
            tally: Arc::new(Tally::new(None).expect("no ledger")),
            stop: CancellationToken::new(),
        }
    }

    async fn text(streams: &Streams, form: Form, from: Option<u64>) -> String {
        let body = respond(streams.clone().flow(form, from)).into_body();
        String::from_utf8(body.collect().await.expect("a body").to_bytes().into()).expect("text")
    }

    #[tokio::test]
    async fn a_line_is_exactly_that_of_the_original_simulator() {
        let response = ndjson(State(streams(1.0)), Query(Where { from: None })).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        let mut body = response.into_body().into_data_stream();
        let line = body.next().await.expect("a line").expect("no error");
        let text = std::str::from_utf8(&line).expect("text");
        let inside = text.strip_prefix("{\"time\":\"").and_then(|rest| rest.strip_suffix("\"}\n")).expect(text);
        let (time, speed) = inside.split_once("\",\"speed\":\"").expect(text);
        assert!(time.len() == 13 && time.parse::<u64>().is_ok() && speed.parse::<u32>().is_ok_and(|s| s <= 50));
    }

    #[tokio::test]
    async fn each_client_has_its_own_values_unless_a_seed_is_given() {
        let values = |text: String| -> Vec<String> {
            text.lines().filter_map(|line| Some(line.split_once("\"speed\"")?.1.to_owned())).collect()
        };
        let own = Streams { count: Some(60), ..streams(10_000.0) };
        assert_ne!(values(text(&own, Form::Ndjson, None).await), values(text(&own, Form::Ndjson, None).await));
        let seeded = Streams { own_seed: false, ..own };
        let all = values(text(&seeded, Form::Ndjson, None).await);
        assert_eq!((all.len(), &all), (60, &values(text(&seeded, Form::Ndjson, None).await)));
        assert_eq!(values(text(&seeded, Form::Ndjson, Some(20)).await), all[20..]);
    }

    #[tokio::test]
    async fn on_a_shared_clock_who_comes_late_gets_everything_after_what_it_has() {
        let start = now() - 10 * SECOND;
        let shared = Streams { own_seed: false, shared: Some(start), count: Some(100), ..streams(10.0) };
        let all = text(&shared, Form::Sse, Some(0)).await;
        let ids: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        assert_eq!(ids, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
        let first = start / 1_000_000;
        assert!(all.contains(&format!("id: 99\ndata: {{\"time\":\"{}\",\"speed\":\"", first + 9_900)));
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", "41".parse().expect("a header"));
        let again = sse(State(shared.clone()), Query(Where { from: Some(0) }), headers).await;
        let again = again.into_body().collect().await.expect("a body").to_bytes();
        assert!(all.ends_with(std::str::from_utf8(&again).expect("text")) && again.starts_with(b"id: 42\n"));
        // Who asks for nothing gets what is due next, and here nothing is.
        assert_eq!(text(&shared, Form::Sse, None).await, "");
    }

    #[tokio::test]
    async fn a_stream_that_is_closed_ends_after_whole_lines() {
        for chunks in [Chunks::Whole, Chunks::Split, Chunks::Merge] {
            let close_after = Some(Duration::from_millis(30));
            let closed = Streams { close_after, chunks, ..streams(500.0) };
            let text = text(&closed, Form::Ndjson, None).await;
            assert!(text.ends_with("\"}\n") && text.lines().count() as u64 == closed.tally.count(), "{text}");
        }
    }
}
