//! Chaos on the way in: simulator, MariaDB and Rowcast are killed at random while records flow. In the end the rows in the table
//! are exactly the good records that were emitted, the dead letters exactly the malformed ones, and a live client was told each row
//! once.
//!
//! `ROWCAST_SEED` repeats a run's troubles and records, `ROWCAST_SOAK` makes it ten minutes long. The seed is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use servers::Stop;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::message::{Message, Op, Position};
use crate::client::sse::{Block, Sse};
use crate::server::DEADLINE;
use crate::speedometer::{Data, Kind, Simulator, Site, now_ms};

/// Records each second.
const RATE: u64 = 200;

/// The columns that the test compares, beside the example's.
fn with_numbers(text: String) -> String {
    let text = text
        .replace("speed = \"text(255) required\"\n", "speed = \"text(255) required\"\nseq = \"integer required\"\n");
    // What a simulator that was killed sends again is known by its number.
    text.replace("table = \"Data\"\n\n[ingest", "table = \"Data\"\nkey = [\"seq\"]\n\n[ingest")
}

struct World {
    site: Site,
    simulator: Mutex<Simulator>,
    tally: Mutex<BTreeMap<&'static str, u32>>,
}

impl World {
    async fn trouble(&self, mut random: StdRng, until: Instant) -> Result<()> {
        while Instant::now() < until {
            // The length of a calm is part of the history; nothing waits for it.
            tokio::time::sleep(Duration::from_millis(random.random_range(100..1_500))).await;
            let what = self.one_trouble(&mut random).await?;
            *self.tally.lock().await.entry(what).or_default() += 1;
        }
        Ok(())
    }

    async fn one_trouble(&self, random: &mut StdRng) -> Result<&'static str> {
        let pause = Duration::from_millis(random.random_range(1..900));
        let rowcast = &self.site.rowcast;
        Ok(match random.random_range(0..10) {
            0..=2 => {
                let mut simulator = self.simulator.lock().await;
                simulator.kill9().await?;
                tokio::time::sleep(pause).await;
                simulator.start().await?;
                "kill -9 of the simulator"
            }
            3..=4 => {
                self.site.data.stop(Stop::Immediate)?;
                tokio::time::sleep(pause).await;
                self.site.data.run_again()?;
                "kill -9 of the database"
            }
            5 => {
                self.site.data.stop(Stop::Fast)?;
                tokio::time::sleep(pause).await;
                self.site.data.run_again()?;
                "restart of the database"
            }
            6..=7 => {
                rowcast.kill9().await?;
                tokio::time::sleep(pause / 4).await;
                rowcast.restart().await?;
                "kill -9 of Rowcast"
            }
            8 => {
                rowcast.terminate().await?;
                rowcast.restart().await?;
                "restart of Rowcast"
            }
            _ => {
                // Rowcast comes back while the database is away, with records in its spool.
                self.site.data.stop(Stop::Immediate)?;
                rowcast.kill9().await?;
                rowcast.launch().await?;
                tokio::time::sleep(pause).await;
                self.site.data.run_again()?;
                rowcast.until_ready().await?;
                "kill -9 of both"
            }
        })
    }
}

/// What a live client was told.
#[derive(Debug, Default)]
struct Told {
    /// By number.
    rows: BTreeMap<u64, Value>,
    gaps: Vec<String>,
}

/// Follows the table through every trouble, until it has been told of so many rows or is stopped.
async fn follow(
    server: Arc<World>,
    stop: CancellationToken,
    told: Arc<Mutex<Told>>,
    heard: Arc<tokio::sync::Notify>,
) -> Result<()> {
    let mut last: Option<Position> = None;
    while !stop.is_cancelled() {
        let Ok(opened) = Sse::open(&server.site.rowcast, &[("channel", "table:Data".into())], last).await else {
            continue;
        };
        let Ok(mut stream) = opened else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while let Some(block) = stop.run_until_cancelled(stream.hear()).await {
            match block? {
                Block::Message(Message::Subscribed(subscribed)) => {
                    // From here on nothing may be missing.
                    ensure!(last.is_none() || subscribed.resumed || !told.lock().await.gaps.is_empty(), "a silent gap");
                    heard.notify_one();
                }
                Block::Message(Message::Change(change)) => {
                    ensure!(change.op == Op::Insert, "{change:?}");
                    let n = change.row["seq"].as_u64().context("a number")?;
                    let row = Value::Object(change.row);
                    if let Some(before) = told.lock().await.rows.insert(n, row.clone()) {
                        bail!("record {n} was told twice: {before}, {row}");
                    }
                }
                Block::Message(Message::Gap(gap)) => told.lock().await.gaps.push(gap.message),
                Block::Message(_) | Block::Position(_) => {}
                Block::Ended => break,
            }
            last = stream.last_event_id.or(last);
        }
        last = stream.last_event_id.or(last);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_the_good_records_and_dead_letters_the_malformed_ones_whatever_is_killed() -> Result<()> {
    let seed =
        std::env::var("ROWCAST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random::<u32>);
    let seconds = if std::env::var_os("ROWCAST_SOAK").is_some() { 600 } else { 20 };
    println!("ROWCAST_SEED={seed}");
    chaos(seed, seconds, Kind::Mariadb).await.with_context(|| format!("ROWCAST_SEED={seed}"))
}

async fn chaos(seed: u32, seconds: u64, kind: Kind) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (seed_text, count) = (seed.to_string(), seconds * RATE);
    // A little in the future: the client is there before the first record.
    let (start, count_text, rate) = ((now_ms() + 1_000).to_string(), count.to_string(), RATE.to_string());
    let when = ["--rate", &rate, "--seed", &seed_text, "--start-at", &start, "--count", &count_text, "--hold"];
    let what = ["--malformed", "0.05", "--kinds", "truncated,nan,type,missing,range,list,utf8,extra"];
    let how = ["--ledger", "ledger", "--chunks", "split", "--close-after", "3s"];
    let simulator = Simulator::new(folder.path(), &[&when[..], &what, &how].concat());
    let url = format!("http://127.0.0.1:{}/stream/sse?from=0", simulator.port);
    let site = Site::new(Data::own(kind).await?, &url, with_numbers)?;
    let lines = simulator.lines().await?;
    site.rowcast.restart().await?;
    let world = Arc::new(World { site, simulator: Mutex::new(simulator), tally: Mutex::default() });
    let (told, heard, stop) = (Arc::new(Mutex::new(Told::default())), Arc::default(), CancellationToken::new());
    let following = tokio::spawn(follow(Arc::clone(&world), stop.clone(), Arc::clone(&told), Arc::clone(&heard)));
    tokio::time::timeout(DEADLINE, heard.notified()).await.context("the client was not let in")?;
    world.simulator.lock().await.start().await?;

    let until = Instant::now() + Duration::from_secs(seconds);
    world.trouble(StdRng::seed_from_u64(seed.into()), until).await?;

    // Nothing breaks any more. What was emitted arrives.
    let emitted = world.site.wait_for("every record", async || {
        let ledger = world.simulator.lock().await.ledger()?;
        Ok((ledger.len() as u64 == count).then_some(ledger))
    });
    let emitted = emitted.await?;
    let good: BTreeSet<u64> = emitted.iter().filter(|(_, what)| what.starts_with("good")).map(|(n, _)| *n).collect();
    let malformed: Vec<u64> = emitted.keys().copied().filter(|n| !good.contains(n)).collect();
    let stored = world.site.wait_for("every row", async || {
        let rows = world.site.data.pairs("seq", "speed").await?;
        Ok((rows.len() >= good.len()).then_some(rows))
    });
    let stored = stored.await?;
    let letters = world.site.wait_for("every dead letter", async || {
        let letters = world.site.dead_letters().await?;
        Ok((letters.len() >= malformed.len()).then_some(letters))
    });
    let letters = letters.await?;
    let all_told = world.site.wait_for("every change", async || {
        let told = told.lock().await;
        Ok((told.rows.len() >= good.len() || !told.gaps.is_empty()).then_some(()))
    });
    all_told.await?;
    stop.cancel();
    following.await??;

    let mut rows = BTreeMap::new();
    for (seq, speed) in stored {
        let n: u64 = seq.parse()?;
        ensure!(rows.insert(n, speed).is_none(), "record {n} is stored twice");
    }
    ensure!(rows.keys().eq(&good), "missing: {:?}, too many: {:?}", missing(&good, &rows), extra(&good, &rows));
    for (n, speed) in &rows {
        let line: Value = serde_json::from_slice(&lines[*n as usize])?;
        ensure!(line["speed"] == speed.as_str() && line["seq"] == *n, "record {n} is {line}, stored is {speed}");
    }
    let shown = |line: &[u8]| String::from_utf8_lossy(line).trim_end().chars().take(60).collect::<String>();
    let mut refused: Vec<String> = letters.iter().map(|letter| shown(letter.raw.as_bytes())).collect();
    let mut expected: Vec<String> = malformed.iter().map(|n| shown(&lines[*n as usize])).collect();
    refused.sort();
    expected.sort();
    ensure!(refused == expected, "{} dead letters for {} malformed records", refused.len(), expected.len());
    let told = told.lock().await;
    if told.gaps.is_empty() {
        ensure!(told.rows.keys().eq(rows.keys()), "the client was told of {} of {} rows", told.rows.len(), rows.len());
    }
    ensure!(told.rows.iter().all(|(n, row)| row["speed"] == rows[n].as_str()), "what was told is not what is stored");
    println!(
        "{count} records, {} malformed, {} gaps told: {:?}",
        malformed.len(),
        told.gaps.len(),
        world.tally.lock().await
    );
    Ok(())
}

fn missing(good: &BTreeSet<u64>, rows: &BTreeMap<u64, String>) -> Vec<u64> {
    good.iter().copied().filter(|n| !rows.contains_key(n)).take(20).collect()
}

fn extra(good: &BTreeSet<u64>, rows: &BTreeMap<u64, String>) -> Vec<u64> {
    rows.keys().copied().filter(|n| !good.contains(n)).take(20).collect()
}
