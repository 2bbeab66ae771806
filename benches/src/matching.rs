//! Finding the filters that a change concerns, among many.
//!
//! The hub alone: events wait in a log in memory, and the clock runs while it dispatches them to queues that nobody reads.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use rowcast::event::{Batch, Body, Change, Channel, Op, RowChange, Value};
use rowcast::filter::{Dialect, Filter};
use rowcast::hub::{Hub, Interest, Queue, SessionKey, SubscriptionKey};
use rowcast::log::Log;
use rowcast::log::memory::MemoryLog;
use rowcast::protocol::encode::{Projection, Wire};
use tokio_util::sync::CancellationToken;

use crate::Scale;
use crate::filter::{order, orders};
use crate::table::{Table, number, ratio};

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let changes = scale.pick(50_000, 2_000);
    let runtime = tokio::runtime::Runtime::new()?;
    let head = ["filters", "members found for each change", "µs/change", "× one filter"];
    let mut out = Table::new("filter: matching one change against distinct filters on one table", &head);
    let mut one = 0.0;
    for count in [1, 100, 10_000, 100_000] {
        let us = runtime.block_on(dispatch(changes, count, |i| format!("customer = {i}")))?;
        one = if count == 1 { us } else { one };
        out.row([format!("{count} × customer = n"), "1".into(), number(us), ratio(us, one)]);
    }
    for count in [100, 1_000] {
        let us =
            runtime.block_on(dispatch(changes / 10, count, |i| format!("customer >= {i} and customer < {}", i + 1)))?;
        out.row([format!("{count} × customer between (no equality)"), "1".into(), number(us), ratio(us, one)]);
    }
    out.note("Each change matches exactly one filter. Includes making the frame and queueing it.");
    println!("{out}");
    Ok(())
}

/// Microseconds for each change, with one member for each filter.
async fn dispatch(changes: u64, filters: u64, filter: impl Fn(u64) -> String) -> Result<f64> {
    let log = Arc::new(MemoryLog::default());
    let hub = Hub::new(log.clone());
    let table = orders();
    let projection = Arc::new(Projection { columns: (0..table.columns.len()).collect(), old: false });
    for i in 0..filters {
        let predicate = Filter::parse(&filter(i))?.bind(&table, Dialect::Sqlite, &serde_json::Map::new())?;
        let interest = Interest {
            channel: Channel::Table(table.name.clone()),
            table: Some(table.clone()),
            predicate: Some(Arc::new(predicate)),
            projection: projection.clone(),
            wire: Wire::WebSocket,
            id: "\"s\"".into(),
        };
        hub.join(&Arc::new(Queue::new(usize::MAX)), SessionKey(i), SubscriptionKey(0), interest, false);
    }
    for first in (0..changes).step_by(1000) {
        let change = |i| {
            let mut row = order(i);
            row.values[5] = Value::Int((i % filters) as i64);
            let row = RowChange { table: table.clone(), op: Op::Insert, old: None, new: Some(row) };
            Change { tx: i, last: true, time_ms: 0, body: Body::Row(row) }
        };
        log.append(Batch { origin: None, changes: (first..(first + 1000).min(changes)).map(change).collect() }).await?;
    }
    let (stop, start) = (CancellationToken::new(), Instant::now());
    tokio::spawn(hub.clone().run(stop.clone()));
    hub.reached(log.head()).await;
    let took = start.elapsed();
    stop.cancel();
    anyhow::ensure!(hub.status().delivered.frames == changes, "every change matches one filter");
    Ok(took.as_secs_f64() * 1e6 / changes as f64)
}
