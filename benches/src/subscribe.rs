//! Subscribing with a snapshot of 100 rows, and resuming from a position.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::Scale;
use crate::gateway::{self, DATABASE};
use crate::load::{Client, on_one_thread};
use crate::process::Server;
use crate::table::{Table, number, ratio};
use crate::ticks;

const SUBSCRIBE: &str =
    r#"{"type":"subscribe","id":"s","channel":"table:ticks","snapshot":{"order_by":"id desc","limit":100}}"#;
const UNSUBSCRIBE: &str = r#"{"type":"unsubscribe","id":"s"}"#;
/// Rows of the table.
const ROWS: u32 = 10_000;
/// Changes that a resuming client has missed.
const MISSED: usize = 100;

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let time = Duration::from_millis(scale.pick(5_000, 200));
    let folder = TempDir::new()?;
    let path = folder.path().join(DATABASE);
    let database = ticks::create(&path)?;
    fill(&database)?;
    let server = gateway::start(scale, folder.path())?;
    let head = ["what", "connections", "each second", "server CPU µs", "× SELECT"];
    let mut out = Table::new("subscribe: 100-row snapshots of a table of 10,000 rows, and resuming", &head);
    let select_us = select(&path, time)?;
    out.row([
        "floor: SELECT and JSON in process".into(),
        "–".into(),
        number(1e6 / select_us),
        number(select_us),
        "1.00×".into(),
    ]);
    for connections in [1, 64] {
        let (rate, us) = on_one_thread(many(&server, connections, time, &Round::Snapshot))?;
        out.row([
            "subscribe with snapshot".into(),
            connections.to_string(),
            number(rate),
            number(us),
            ratio(us, select_us),
        ]);
    }
    let since = missed(&server, &database)?;
    for connections in [1, 64] {
        let (rate, us) = on_one_thread(many(&server, connections, time, &Round::Resume(since.clone())))?;
        let what = format!("resume, {MISSED} changes missed");
        out.row([what, connections.to_string(), number(rate), number(us), ratio(us, select_us)]);
    }
    let (rate, us) = on_one_thread(connecting(&server, time))?;
    out.row([
        "connect, subscribe with snapshot".into(),
        "1 after another".into(),
        number(rate),
        number(us),
        ratio(us, select_us),
    ]);
    out.note("Subscribe, wait for `subscribed` (a resume: for the last missed change), unsubscribe, again. The clients run on the same two cores.");
    println!("{out}");
    Ok(())
}

fn fill(database: &Connection) -> Result<()> {
    let sql = "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?1)
               insert into ticks(at, pad) select i, 'a row among many, of usual length' from n";
    database.execute(sql, [ROWS])?;
    Ok(())
}

/// The same rows, read and written as JSON without a server: microseconds.
fn select(path: &Path, time: Duration) -> Result<f64> {
    let database = ticks::open(path)?;
    let mut statement = database.prepare("select id, at, pad from ticks order by id desc limit 100")?;
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time {
        let rows = statement.query_map([], |row| {
            Ok(serde_json::json!({ "id": row.get::<_, i64>(0)?, "at": row.get::<_, i64>(1)?, "pad": row.get::<_, String>(2)? }))
        })?;
        std::hint::black_box(serde_json::to_string(&rows.collect::<Result<Vec<_>, _>>()?)?);
        count += 1;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}

/// What is done again and again on one connection.
enum Round {
    Snapshot,
    /// The position to resume after.
    Resume(String),
}

impl Round {
    async fn once(&self, client: &mut Client) -> Result<()> {
        match self {
            Self::Snapshot => {
                client.say(SUBSCRIBE).await?;
                client.wait_for(b"\"subscribed\"").await?;
            }
            Self::Resume(since) => {
                let text = format!(r#"{{"type":"subscribe","id":"s","channel":"table:ticks","since":"{since}"}}"#);
                client.say(&text).await?;
                client.wait_for(b"\"pad\":\"the last\"").await?;
            }
        }
        client.say(UNSUBSCRIBE).await?;
        client.wait_for(b"\"unsubscribed\"").await?;
        Ok(())
    }
}

/// Rounds each second, and the server's processor time for each in µs.
async fn many(server: &Server, connections: usize, time: Duration, round: &Round) -> Result<(f64, f64)> {
    let clients = try_join_all((0..connections).map(|_| Client::connect(server.address))).await?;
    let (cpu, start) = (server.cpu()?, Instant::now());
    let rounds = clients.into_iter().map(|mut client| async move {
        let mut count = 0;
        while start.elapsed() < time {
            round.once(&mut client).await?;
            count += 1;
        }
        anyhow::Ok(count)
    });
    let count: u32 = try_join_all(rounds).await?.into_iter().sum();
    Ok(rate(server.cpu()? - cpu, start.elapsed(), count))
}

async fn connecting(server: &Server, time: Duration) -> Result<(f64, f64)> {
    let (cpu, start, mut count) = (server.cpu()?, Instant::now(), 0);
    while start.elapsed() < time {
        let mut client = Client::connect(server.address).await?;
        client.say(SUBSCRIBE).await?;
        client.wait_for(b"\"subscribed\"").await?;
        count += 1;
    }
    Ok(rate(server.cpu()? - cpu, start.elapsed(), count))
}

fn rate(cpu: Duration, took: Duration, count: u32) -> (f64, f64) {
    (f64::from(count) / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / f64::from(count.max(1)))
}

/// Makes changes and returns the position before them.
fn missed(server: &Server, database: &Connection) -> Result<String> {
    on_one_thread(async {
        let mut client = Client::connect(server.address).await?;
        client.say(r#"{"type":"subscribe","id":"s","channel":"table:ticks","snapshot":false}"#).await?;
        let text = client.wait_for(b"\"subscribed\"").await?;
        let answer: serde_json::Value = serde_json::from_slice(&text)?;
        let since = answer["position"].as_str().context("a position")?.to_owned();
        for i in 1..=MISSED {
            let pad = if i == MISSED { "the last" } else { "a row among many, of usual length" };
            database.execute("insert into ticks(at, pad) values(?1, ?2)", (i as i64, pad))?;
        }
        client.wait_for(b"\"pad\":\"the last\"").await?;
        Ok(since)
    })
}
