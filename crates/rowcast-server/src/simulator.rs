//! The demo's stream: a speed once a second, each client its own.
//!
//! `GET /stream` has the body of the simulator that the demo reproduces: NDJSON that calls itself an event stream. `GET /stream/sse`
//! is the same as real Server-Sent Events.

use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::Stream;
use rand::RngExt;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// The fastest that it goes.
const SPEED_MAX: f64 = 50.0;

/// How often a reading comes, and when the last one has come.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    rate: Duration,
    stop: CancellationToken,
}

/// `/stream` and `/stream/sse`, a reading every `rate` until `stop`.
pub(crate) fn router(rate: Duration, stop: CancellationToken) -> Router {
    let pace = Pace { rate, stop };
    Router::new().route("/stream", get(ndjson)).route("/stream/sse", get(sse)).with_state(pace)
}

async fn ndjson(State(pace): State<Pace>) -> Response {
    respond(readings(pace, |time, speed| format!("{{\"time\":\"{time}\",\"speed\":\"{speed}\"}}\n")))
}

async fn sse(State(pace): State<Pace>) -> Response {
    respond(readings(pace, |time, speed| {
        format!("id: {time}\ndata: {{\"time\":\"{time}\",\"speed\":\"{speed}\"}}\n\n")
    }))
}

fn respond(body: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(body)).into_response()
}

/// One reading at once, and then one every `rate`.
fn readings(pace: Pace, write: fn(u64, u32) -> String) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let Pace { rate, stop } = pace;
    let mut tick = tokio::time::interval_at(Instant::now(), rate);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    futures_util::stream::unfold((tick, Drive::new(rate), stop), move |(mut tick, mut drive, stop)| async move {
        stop.run_until_cancelled(tick.tick()).await?;
        let line = write(now_ms(), drive.next());
        Some((Ok(Bytes::from(line)), (tick, drive, stop)))
    })
}

/// Somebody drives: wants a speed, gets there smoothly, and wants another one.
#[derive(Debug)]
struct Drive {
    speed: f64,
    wanted: f64,
    /// How much of the way to the wanted speed one step makes.
    step: f64,
    /// How likely one step changes the wish.
    change: f64,
}

impl Drive {
    /// Drives alike at every rate: a wish lasts about eight seconds, and half the way to it two.
    fn new(rate: Duration) -> Self {
        let seconds = rate.as_secs_f64().min(2.0);
        let mut random = rand::rng();
        Self {
            speed: random.random_range(10.0..40.0),
            wanted: random.random_range(0.0..SPEED_MAX),
            step: 1.0 - 0.5_f64.powf(seconds / 2.0),
            change: 1.0 - 0.5_f64.powf(seconds / 8.0),
        }
    }

    fn next(&mut self) -> u32 {
        let mut random = rand::rng();
        if random.random_bool(self.change) {
            self.wanted = random.random_range(-5.0..SPEED_MAX + 5.0);
        }
        let sway = random.random_range(-1.5..1.5) * self.step.sqrt();
        self.speed = (self.speed + (self.wanted - self.speed) * self.step + sway).clamp(0.0, SPEED_MAX);
        self.speed.round() as u32
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[test]
    fn the_speed_stays_in_range_moves_and_never_jumps() {
        let mut drive = Drive::new(Duration::from_secs(1));
        let speeds: Vec<u32> = (0..2_000).map(|_| drive.next()).collect();
        assert!(speeds.iter().all(|speed| *speed <= 50));
        assert!(speeds.windows(2).all(|pair| pair[0].abs_diff(pair[1]) <= 25));
        let (least, most) = (speeds.iter().min(), speeds.iter().max());
        assert!(least < Some(&10) && most > Some(&40), "{least:?} {most:?}");
    }

    #[tokio::test]
    async fn a_line_is_exactly_that_of_the_simulator() {
        let response = ndjson(State(Pace { rate: Duration::from_millis(1), stop: CancellationToken::new() })).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        let mut body = response.into_body().into_data_stream();
        let line = body.next().await.expect("a line").expect("no error");
        let text = std::str::from_utf8(&line).expect("text");
        let inside = text.strip_prefix("{\"time\":\"").and_then(|rest| rest.strip_suffix("\"}\n")).expect(text);
        let (time, speed) = inside.split_once("\",\"speed\":\"").expect(text);
        assert!(time.len() == 13 && time.parse::<u64>().is_ok() && speed.parse::<u32>().is_ok_and(|s| s <= 50));
    }
}
