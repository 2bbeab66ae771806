//! From a commit in SQLite to the log and to a client, and what that costs the writer.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rowcast::log::Log;
use rowcast::log::local::LocalLog;
use rowcast::source::Source;
use rowcast::source::sqlite::SqliteSource;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::Scale;
use crate::gateway::{self, DATABASE};
use crate::load::{Crowd, now_us, on_one_thread, percentile};
use crate::process::Server;
use crate::table::{Table, number, ratio};
use crate::ticks;

/// How rows are committed.
#[derive(Clone, Copy)]
struct Shape {
    rows: usize,
    each: usize,
}

impl Shape {
    fn name(self) -> String {
        format!("{} row{}/transaction", self.each, if self.each == 1 { "" } else { "s" })
    }

    /// Seconds that the writer took.
    fn write(self, database: &mut Connection) -> Result<f64> {
        let start = Instant::now();
        for _ in 0..self.rows / self.each {
            let transaction = database.transaction()?;
            {
                let mut insert = transaction.prepare_cached("insert into ticks(at, pad) values(?1, ?2)")?;
                for _ in 0..self.each {
                    insert.execute((now_us() as i64, "0123456789012345678901234567890123456789"))?;
                }
            }
            transaction.commit()?;
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let single = Shape { rows: scale.pick(50_000, 1_000), each: 1 };
    let many = Shape { rows: scale.pick(300_000, 5_000), each: 1_000 };
    println!("{}", writing([single, many])?);
    println!("{}", draining([single, many])?);
    println!("{}", following(scale, [single, many])?);
    println!("{}", delays(scale)?);
    Ok(())
}

fn source(path: &Path) -> SqliteSource {
    SqliteSource::new("app", path, Default::default())
}

/// The writer's own cost, with nobody reading.
fn writing(shapes: [Shape; 2]) -> Result<Table> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut out = Table::new("capture: what triggers cost the writer", &["", "µs/row without", "µs/row with", "ratio"]);
    for shape in shapes {
        let folder = TempDir::new()?;
        let path = folder.path().join(DATABASE);
        let mut database = ticks::create(&path)?;
        let us = |seconds: f64| seconds * 1e6 / shape.rows as f64;
        let without = us(shape.write(&mut database)?);
        runtime.block_on(source(&path).setup())?;
        let with = us(shape.write(&mut database)?);
        out.row([shape.name(), number(without), number(with), ratio(with, without)]);
    }
    out.note("WAL, synchronous=NORMAL. The outbox is in the same file, so that a row is written about twice.");
    Ok(out)
}

/// The source and the log alone: an outbox that is full is read into a log on disk.
fn draining(shapes: [Shape; 2]) -> Result<Table> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut out = Table::new("capture: from the outbox to the log on disk, nothing else running", &["", "rows/s"]);
    for shape in shapes {
        let folder = TempDir::new()?;
        let path = folder.path().join(DATABASE);
        let mut database = ticks::create(&path)?;
        let rate = runtime.block_on(async {
            let log = LocalLog::open(folder.path().join("log"), Default::default())?;
            let mut source = source(&path);
            source.setup().await?;
            source.start(None).await?;
            log.append(source.next().await?).await?;
            shape.write(&mut database)?;
            let (start, mut count) = (Instant::now(), 0);
            while count < shape.rows {
                let batch = source.next().await?;
                count += batch.changes.len();
                log.append(batch).await?;
            }
            anyhow::Ok(shape.rows as f64 / start.elapsed().as_secs_f64())
        })?;
        out.row([shape.name(), number(rate)]);
    }
    Ok(out)
}

/// A writer as fast as it can, the server, and one client.
fn following(scale: &Scale, shapes: [Shape; 2]) -> Result<Table> {
    let head = ["", "writer rows/s", "client rows/s", "server CPU µs/row", "client behind at the end, ms"];
    let mut out = Table::new("capture: from commit to one client, while another process writes", &head);
    for shape in shapes {
        let folder = TempDir::new()?;
        let mut database = ticks::create(&folder.path().join(DATABASE))?;
        let server = gateway::start(scale, folder.path())?;
        let cells = on_one_thread(async {
            let crowd = Crowd::gather(server.address, 1).await?;
            crowd.want(shape.rows);
            let (cpu, start) = (server.cpu()?, Instant::now());
            let writing = std::thread::spawn(move || shape.write(&mut database));
            let heard = crowd.heard(Duration::from_secs(120)).await.len();
            let (took, cpu) = (start.elapsed().as_secs_f64(), server.cpu()? - cpu);
            anyhow::ensure!(heard == shape.rows, "{heard} of {} rows arrived", shape.rows);
            let wrote = writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
            let rows = shape.rows as f64;
            let us = cpu.as_secs_f64() * 1e6 / rows;
            Ok([shape.name(), number(rows / wrote), number(rows / took), number(us), number((took - wrote) * 1000.0)])
        })?;
        out.row(cells);
    }
    Ok(out)
}

/// From just before a commit by another process until a client has the row; and what waiting costs.
fn delays(scale: &Scale) -> Result<Table> {
    let head = ["commits by another process", "p50 ms", "p99 ms", "max ms", "server CPU %"];
    let mut out = Table::new("capture: delay from commit to one client", &head);
    let folder = TempDir::new()?;
    let mut writer = ticks::Writer(ticks::create(&folder.path().join(DATABASE))?);
    let server = gateway::start(scale, folder.path())?;
    for (name, count, pause_ms) in
        [("500 each second", 2_000, 2), ("50 each second", 300, 20), ("3 each second", 40, 331)]
    {
        let count = scale.pick(count, 10);
        let (cells, back) = on_one_thread(one_client(&server, writer, name, count, Duration::from_millis(pause_ms)))?;
        writer = back;
        out.row(cells);
    }
    std::thread::sleep(Duration::from_secs(scale.pick(3, 1)));
    out.row([
        "none".into(),
        "–".into(),
        "–".into(),
        "–".into(),
        idle(&server, Duration::from_secs(scale.pick(20, 1)))?,
    ]);
    Ok(out)
}

async fn one_client(
    server: &Server,
    mut writer: ticks::Writer,
    name: &str,
    count: usize,
    pause: Duration,
) -> Result<([String; 5], ticks::Writer)> {
    let crowd = Crowd::gather(server.address, 1).await?;
    crowd.want(count);
    let (cpu, start) = (server.cpu()?, Instant::now());
    let writing = std::thread::spawn(move || writer.write_all(count, pause).map(|()| writer));
    let heard = crowd.heard(Duration::from_secs(60)).await;
    let used = (server.cpu()? - cpu).as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;
    anyhow::ensure!(heard.len() == count, "{} of {count} rows arrived", heard.len());
    let writer = writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    let ms = |share| number(percentile(&heard, share) / 1000.0);
    Ok(([name.to_owned(), ms(0.5), ms(0.99), ms(1.0), number(used)], writer))
}

fn idle(server: &Server, time: Duration) -> Result<String> {
    let cpu = server.cpu()?;
    std::thread::sleep(time);
    Ok(number((server.cpu()? - cpu).as_secs_f64() / time.as_secs_f64() * 100.0))
}
