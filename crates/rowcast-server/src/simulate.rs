//! `rowcast simulate`: sensors that are not there, for those who want to see what happens.
//!
//! Knows what a record is and when it is due; each way out (`http`, `mqtt`, `table`, `post`, `print`) takes records from a [`Supply`]
//! at its own pace.

mod chance;
mod chunks;
mod http;
mod mqtt;
mod pace;
mod post;
mod print;
mod record;
mod schedule;
mod spoil;
mod table;
mod tally;
mod wave;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::routing::get;
use rowcast::event::TableName;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub(crate) use chunks::Chunks;
pub(crate) use record::FieldName;
pub(crate) use spoil::Kind;
pub(crate) use wave::Shape;

use crate::cli::{Common, Simulate};
use crate::config::{Config, Listening};
use crate::listen::{Allowance, Bound, Doorway};
use crate::{database, layers, say};
use http::Streams;
use pace::Pace;
use record::{Records, What};
use schedule::{Cycle, Schedule};
use tally::Tally;
use wave::Wave;

/// Where the stream is served unless told otherwise: where the original is, Rowcast itself is.
const LISTEN: &str = "127.0.0.1:4000";

/// Clients at the same time.
const CLIENTS: usize = 10_000;

/// Records as they become due, until it is stopped.
struct Supply {
    records: Arc<Records>,
    pace: Pace,
    tally: Arc<Tally>,
    stop: CancellationToken,
}

impl Supply {
    async fn next(&mut self, most: u64) -> Option<Range<u64>> {
        self.stop.run_until_cancelled(self.pace.next(most)).await.flatten()
    }

    /// Appends record `n` as a line, and says what is wrong with it.
    fn line(&self, n: u64, out: &mut Vec<u8>) -> Option<Kind> {
        let kind = self.records.line(n, self.pace.time_ms(n), out);
        out.push(b'\n');
        kind
    }
}

/// The demo's stream: somebody drives, for each client somebody else.
pub(crate) fn demo(every: Duration, stop: CancellationToken) -> Router {
    let records = Records {
        seed: 0,
        wave: Wave::new(Shape::Walk),
        schedule: Schedule::steady(1.0 / every.as_secs_f64()),
        sensors: 1,
        fields: [What::Time, What::Speed].map(FieldName::plain).into(),
        numbers: false,
        malformed: 0.0,
        kinds: Vec::new(),
    };
    http::router(Streams {
        records: Arc::new(records),
        own_seed: true,
        shared: None,
        jitter: Duration::ZERO,
        count: None,
        hold: false,
        chunks: Chunks::Whole,
        close_after: None,
        tally: Arc::new(Tally::new(None).expect("there is no file to open")),
        stop,
    })
}

/// `rowcast simulate`.
pub(crate) async fn run(common: &Common, simulate: &Simulate) -> anyhow::Result<()> {
    let goes_to_one = [simulate.mqtt.is_some(), simulate.table.is_some(), simulate.post.is_some(), simulate.print];
    if goes_to_one.into_iter().filter(|is| *is).count() > 1 {
        bail!("choose one of --mqtt, --table, --post and --print");
    }
    let is_served = !goes_to_one.contains(&true);
    // On a clock of its own without a seed each client gets something else, which nobody has asked to compare.
    let own_seed = is_served && simulate.seed.is_none() && !simulate.is_shared();
    let seed = simulate.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let records = Arc::new(records(simulate, seed, !own_seed)?);
    let tally = Arc::new(Tally::new(simulate.ledger.as_deref())?);
    let stop = stop_on_signal()?;
    let start = simulate.start_at.map_or_else(pace::now, |ms| ms.saturating_mul(1_000_000));
    if is_served {
        let streams = Streams {
            records,
            own_seed,
            shared: simulate.is_shared().then_some(start),
            jitter: simulate.jitter,
            count: simulate.count,
            hold: simulate.hold,
            chunks: simulate.chunks,
            close_after: simulate.close_after,
            tally: Arc::clone(&tally),
            stop: stop.clone(),
        };
        serve(common, simulate, streams, seed).await?;
    } else {
        let pace = Pace::since(start, Arc::clone(&records), simulate.jitter, Some(simulate.from), simulate.count);
        let supply = Supply { records, pace, tally: Arc::clone(&tally), stop };
        emit(common, simulate, supply, seed).await?;
    }
    if !simulate.print {
        say(&format!("{}\n", tally.sentence()));
    }
    Ok(())
}

/// Everything but serving.
async fn emit(common: &Common, simulate: &Simulate, supply: Supply, seed: u64) -> anyhow::Result<()> {
    let what = format!("{} (seed {seed})", described(simulate));
    if simulate.print {
        return print::run(supply).await;
    }
    if let Some(url) = &simulate.mqtt {
        let broker = mqtt::Broker::parse(url)?;
        say(&format!("publishing to {}: {what}\n", broker.shown));
        return mqtt::run(supply, broker).await;
    }
    if let Some(url) = &simulate.post {
        say(&format!("posting to {url}: {what}\n"));
        return post::run(supply, url.clone()).await;
    }
    let Some(table) = &simulate.table else { return Ok(()) };
    if simulate.malformed > 0.0 {
        bail!("a table takes no malformed records; leave --malformed out, or send them to a Rowcast with --post");
    }
    let config = Config::read(&layers(common))?;
    let name: TableName = table.parse().with_context(|| format!("{table:?} is not a table's name"))?;
    say(&format!("inserting into `{name}` of {}: {what}\n", database::named(&config)?));
    table::run(supply, &config, &name, simulate.create).await
}

async fn serve(common: &Common, simulate: &Simulate, streams: Streams, seed: u64) -> anyhow::Result<()> {
    let named = common.listen();
    let listen: Result<Vec<Listening>, _> =
        if named.is_empty() { vec![LISTEN.parse()] } else { named.iter().map(|text| text.parse()).collect() }
            .into_iter()
            .collect();
    let listen = listen.map_err(|unclear| anyhow::anyhow!("--listen: {}; {}", unclear.what, unclear.fix))?;
    let bound = Bound::bind(&listen).await?;
    let addresses: Vec<_> = bound.addresses().collect();
    let (stop, shared) = (streams.stop.clone(), streams.shared);
    let router = Router::new().route("/", get(|| async { USAGE })).merge(http::router(streams));
    let allowance = Allowance { connections: CLIENTS, handshake: Duration::from_secs(10) };
    let doorway = Doorway::open(bound, |_| router.clone(), allowance);
    for address in &addresses {
        say(&format!("listening on http://{address}\n"));
    }
    if let Some(address) = addresses.first() {
        let own =
            if simulate.seed.is_some() || simulate.is_shared() { format!(" (seed {seed})") } else { String::new() };
        say(&format!("  {}{own}\n", described(simulate)));
        if let Some(start) = shared {
            let from = simulate.start_at.map_or(start / 1_000_000, |ms| ms);
            say(&format!("  to go on after a restart: --shared --seed {seed} --start-at {from}\n"));
        }
        say(&format!("  NDJSON  curl -N http://{address}/stream\n  SSE     curl -N http://{address}/stream/sse\n"));
    }
    stop.cancelled().await;
    doorway.shut();
    doorway.close(tokio::time::Instant::now() + Duration::from_secs(2)).await;
    Ok(())
}

const USAGE: &str = "rowcast simulate\n\n/stream       NDJSON; /stream?from=12 begins with record 12\n/stream/sse   server-sent events; Last-Event-ID is honoured\n";

fn records(simulate: &Simulate, seed: u64, is_numbered: bool) -> anyhow::Result<Records> {
    let wave = Wave {
        min: simulate.min,
        max: simulate.max,
        period: simulate.period.as_secs_f64(),
        decimals: simulate.decimals,
        ..Wave::new(simulate.wave)
    };
    if wave.min.is_nan() || wave.max.is_nan() || wave.min > wave.max || wave.period <= 0.0 {
        bail!("--min must not be above --max, and --period not nothing");
    }
    let mut fields = simulate.fields.clone();
    if fields.is_empty() {
        fields.extend([What::Time, What::Speed].map(FieldName::plain));
        fields.extend((simulate.sensors > 1).then(|| FieldName::plain(What::Sensor)));
        fields.extend(is_numbered.then(|| FieldName::plain(What::Seq)));
    }
    let kinds = if simulate.kinds.is_empty() { Kind::USUAL.into() } else { simulate.kinds.clone() };
    Ok(Records {
        seed,
        wave,
        schedule: schedule(simulate)?,
        sensors: u64::from(simulate.sensors),
        fields,
        numbers: simulate.numbers,
        malformed: simulate.malformed,
        kinds,
    })
}

fn schedule(simulate: &Simulate) -> anyhow::Result<Schedule> {
    if simulate.burst.is_zero() && simulate.gap.is_zero() {
        return Ok(Schedule::steady(simulate.rate));
    }
    let nanos = |duration: Duration| duration.as_nanos() as u64;
    let cycle = Cycle {
        lasts: nanos(simulate.cycle),
        burst: nanos(simulate.burst),
        times: simulate.burst_times,
        gap: nanos(simulate.gap),
    };
    Schedule::cycles(simulate.rate, cycle)
        .context("a --cycle must be longer than its --burst and --gap together, and have room for a record")
}

/// What is emitted, for people.
fn described(simulate: &Simulate) -> String {
    let mut text = match simulate.sensors {
        1 => format!("{} records/s", simulate.rate),
        sensors => format!("{} records/s of {sensors} sensors", simulate.rate),
    };
    if simulate.malformed > 0.0 {
        text.push_str(&format!(", {} % malformed", simulate.malformed * 100.0));
    }
    if let Some(count) = simulate.count {
        text.push_str(&format!(", up to record {count}"));
    }
    text
}

fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be heard")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be heard")?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopped.cancel();
    });
    Ok(stop)
}
