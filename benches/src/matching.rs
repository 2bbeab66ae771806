//! Finding the subscriptions that a change concerns, among many on one table.
//!
//! The hub alone: changes wait in a log in memory, and what is counted is the processor time of the thread that
//! dispatches them to queues, so that others on the machine disturb little. The peer evaluates every filter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rowcast::event::{Batch, Body, Change, Channel, Op, ResetCause, RowChange, Value};
use rowcast::filter::{Dialect, Filter, Predicate};
use rowcast::hub::{Hub, Interest, Queue, SessionKey, SubscriptionKey, seen};
use rowcast::log::Log;
use rowcast::log::memory::MemoryLog;
use rowcast::protocol::encode::{Projection, Wire};
use tokio_util::sync::CancellationToken;

use crate::Scale;
use crate::filter::{order, orders};
use crate::table::{Table, number, ratio};

/// Sessions, which share the subscriptions, where each has more than one.
const SESSIONS: u64 = 1000;

/// So many changes wait when the clock begins to run.
const ROUND: u64 = 10_000;

/// Who subscribes to what.
struct Kind {
    name: &'static str,
    /// The filter of subscription `i` of so many.
    filter: fn(u64, u64) -> String,
    /// The customer of a row that only subscription `i` of so many wants.
    customer: fn(u64, u64) -> u64,
    /// Each subscription has a session of its own.
    alone: bool,
}

const KINDS: [Kind; 5] = [
    Kind { name: "customer = n", filter: |i, _| format!("customer = {i}"), customer: |i, _| i, alone: false },
    Kind {
        name: "customer = n, each of its own session",
        filter: |i, _| format!("customer = {i}"),
        customer: |i, _| i,
        alone: true,
    },
    Kind {
        name: "customer in (3 values)",
        filter: |i, count| format!("customer in ({i}, {}, {})", i + count, i + 2 * count),
        customer: |i, count| i + count * (i % 3),
        alone: false,
    },
    Kind {
        name: "customer between n and n + 9",
        filter: |i, _| format!("customer between {} and {}", 10 * i, 10 * i + 9),
        customer: |i, _| 10 * i + i % 10,
        alone: false,
    },
    Kind {
        name: "mixed: =, in, between, or, and",
        filter: |i, _| {
            let n = 10 * i;
            match i % 5 {
                0 => format!("customer = {n}"),
                1 => format!("customer in ({n}, {}, {})", n + 1, n + 2),
                2 => format!("customer between {n} and {}", n + 9),
                3 => format!("customer = {n} or customer = {}", n + 1),
                _ => format!("id >= 0 and city is not null and customer = {n}"),
            }
        },
        customer: |i, _| 10 * i,
        alone: false,
    },
];

/// What was measured of one kind and number.
struct Measured {
    change_us: f64,
    joins: f64,
    leaves: f64,
    bytes: f64,
}

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counts = scale.pick(vec![1_000, 10_000, 100_000, 1_000_000], vec![100, 1_000]);
    let head = [
        "subscriptions",
        "µs/change",
        "× the fewest",
        "each tried: µs/change",
        "joins/s",
        "leaves/s",
        "bytes/subscription",
    ];
    let mut out = Table::new("matching: one change among subscriptions with different filters on one table", &head);
    for kind in &KINDS {
        let mut fewest = 0.0;
        for (at, count) in counts.iter().copied().enumerate() {
            let found = runtime.block_on(measure(kind, count, scale.pick(200_000, 20_000)))?;
            fewest = if at == 0 { found.change_us } else { fewest };
            let tried = if count <= 10_000 && !kind.alone { number(tried(kind, count)?) } else { "–".into() };
            let bytes = if count < 100_000 { "–".into() } else { format!("{:.0}", found.bytes) };
            let (name, per_second) = (kind.name, |rate: f64| format!("{rate:.0}"));
            let (joins, leaves) = (per_second(found.joins), per_second(found.leaves));
            // Of few, the thread's clock is too coarse.
            let (joins, leaves) = if count < 100_000 { ("–".into(), "–".into()) } else { (joins, leaves) };
            let row = [number(found.change_us), ratio(found.change_us, fewest), tried, joins, leaves, bytes];
            out.row([format!("{count} × `{name}`")].into_iter().chain(row));
        }
    }
    let most = *counts.last().context("a number")?;
    let (took, longest) = runtime.block_on(evicted(most))?;
    out.note("Processor time of one thread. Each change matches exactly one subscription; its frame and the queue are included.");
    out.note("Memory: what became resident, with the bound filter; queues only where each has its own. What earlier rows gave back hides up to a tenth.");
    out.note(format!(
        "{most} subscriptions sent away by a reset: {:.2} s in all; longest wait of another thread for the hub: {:.1} ms.",
        took.as_secs_f64(),
        longest.as_secs_f64() * 1e3
    ));
    println!("{out}");
    Ok(())
}

/// A hub, its log and its sessions.
struct World {
    hub: Arc<Hub>,
    log: Arc<MemoryLog>,
    queues: Vec<Arc<Queue>>,
}

impl World {
    fn new(sessions: u64) -> Self {
        let log = Arc::new(MemoryLog::default());
        let queues = (0..sessions).map(|_| Arc::new(Queue::new(usize::MAX))).collect();
        Self { hub: Hub::new(log.clone()), log, queues }
    }

    /// Processor time of joining with all filters of a kind, without that of binding them.
    fn join(&self, kind: &Kind, count: u64) -> Result<Duration> {
        let table = orders();
        let projection = Arc::new(Projection {
            columns: (0..table.columns.len()).collect(),
            old: false,
            named: None,
            deliver: None,
            ruled: false,
        });
        let mut took = Duration::ZERO;
        for first in (0..count).step_by(100_000) {
            let interest = |i| -> Result<(u64, Interest)> {
                let interest = Interest {
                    selections: [].into(),
                    channel: Channel::Table(table.name.clone()),
                    table: Some(table.clone()),
                    predicate: Some(Arc::new(bind(&(kind.filter)(i, count))?)),
                    projection: projection.clone(),
                    wire: Wire::WebSocket,
                    id: "\"s\"".into(),
                };
                Ok((i, interest))
            };
            let interests: Vec<_> = (first..count.min(first + 100_000)).map(interest).collect::<Result<_>>()?;
            let began = processor_time()?;
            for (i, interest) in interests {
                let (session, queue) = self.session(i);
                self.hub.join(queue, session, SubscriptionKey(i as u32), interest, false);
            }
            took += processor_time()? - began;
        }
        Ok(took)
    }

    fn session(&self, i: u64) -> (SessionKey, &Arc<Queue>) {
        let session = i % self.queues.len() as u64;
        (SessionKey(session), &self.queues[session as usize])
    }

    /// Processor time of dispatching what the log has got.
    async fn dispatch(&self) -> Result<Duration> {
        let (stop, began) = (CancellationToken::new(), processor_time()?);
        let running = tokio::spawn(self.hub.clone().run(stop.clone()));
        self.hub.reached(self.log.head()).await;
        let took = processor_time()? - began;
        stop.cancel();
        running.await?;
        Ok(took)
    }
}

async fn measure(kind: &Kind, count: u64, changes: u64) -> Result<Measured> {
    let world = World::new(if kind.alone { count } else { SESSIONS });
    let before = resident()?;
    let joining = world.join(kind, count)?;
    let bytes = resident()?.saturating_sub(before) as f64 / count as f64;
    let table = orders();
    let mut took = Duration::ZERO;
    for first in (0..changes).step_by(ROUND as usize) {
        let change = |i| {
            let mut row = order(i);
            row.values[5] = Value::Int((kind.customer)(any_of(i, count), count) as i64);
            let row = RowChange { table: table.clone(), op: Op::Insert, old: None, new: Some(row) };
            Change { tx: i + 1, last: true, time_ms: 0, body: Body::Row(row) }
        };
        world.log.append(Batch { origin: None, changes: (first..first + ROUND).map(change).collect() }).await?;
        took += world.dispatch().await?;
        if !kind.alone {
            world.queues.iter().for_each(|queue| drop(queue.take(usize::MAX)));
        }
    }
    anyhow::ensure!(world.hub.status().delivered.frames == changes, "every change matches one filter");
    let began = processor_time()?;
    // A prime: each comes once, and not in the order of joining.
    for i in (0..count).map(|i| i * 7919 % count) {
        world.hub.leave(world.session(i).0, [SubscriptionKey(i as u32)]);
    }
    let leaving = processor_time()? - began;
    anyhow::ensure!(world.hub.status().subscriptions == 0, "all have left");
    let rate = |took: Duration| count as f64 / took.as_secs_f64();
    Ok(Measured {
        change_us: took.as_secs_f64() * 1e6 / changes as f64,
        joins: rate(joining),
        leaves: rate(leaving),
        bytes,
    })
}

/// Microseconds for a change, where every filter is evaluated.
fn tried(kind: &Kind, count: u64) -> Result<f64> {
    let table = orders();
    let predicates = (0..count).map(|i| bind(&(kind.filter)(i, count))).collect::<Result<Vec<_>>>()?;
    let (changes, mut matches) = (20_000_000 / count / 4, 0);
    let began = processor_time()?;
    for i in 0..changes {
        let mut row = order(i);
        row.values[5] = Value::Int((kind.customer)(any_of(i, count), count) as i64);
        let change = RowChange { table: table.clone(), op: Op::Insert, old: None, new: Some(row) };
        matches += predicates.iter().filter(|predicate| seen(Some(predicate), &change).is_some()).count() as u64;
    }
    let took = processor_time()? - began;
    anyhow::ensure!(matches == changes, "every change matches one filter");
    Ok(took.as_secs_f64() * 1e6 / changes as f64)
}

/// How long it takes to send all away, and the longest that somebody else waits for the hub meanwhile.
async fn evicted(count: u64) -> Result<(Duration, Duration)> {
    let world = World::new(SESSIONS);
    world.join(&KINDS[0], count)?;
    let body = Body::Reset {
        channel: Channel::Table(orders().name.clone()),
        cause: ResetCause::Altered,
        reason: "measured".into(),
    };
    world.log.append(Batch { origin: None, changes: vec![Change { tx: 1, last: true, time_ms: 0, body }] }).await?;
    let (hub, head) = (world.hub.clone(), world.log.head());
    let other = std::thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while hub.dispatched() < head {
            let began = Instant::now();
            hub.status();
            longest = longest.max(began.elapsed());
            std::thread::sleep(Duration::from_micros(200));
        }
        longest
    });
    let took = world.dispatch().await?;
    let longest = other.join().map_err(|_| anyhow::anyhow!("the other thread failed"))?;
    anyhow::ensure!(world.hub.status().subscriptions == 0, "all are sent away");
    Ok((took, longest))
}

fn bind(filter: &str) -> Result<Predicate> {
    Ok(Filter::parse(filter)?.bind(&orders(), Dialect::Sqlite, &serde_json::Map::new())?)
}

/// One of so many, without any order.
fn any_of(i: u64, count: u64) -> u64 {
    (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % count
}

/// Of this thread, since it began.
pub(crate) fn processor_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").context("schedstat")?;
    let nanos = stat.split_whitespace().next().context("a number")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// Resident memory of this process, in bytes.
pub(crate) fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
