//! PostgreSQL: from the write-ahead log to the log and the hub beside `pg_recvlogical`, from commit to a client, one very large
//! transaction, and NOTIFY beside a bare listener.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::serve::ListenerExt;
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::log::Log;
use rowcast::log::local::LocalLog;
use rowcast::postgres::{Address, Live, NotifySettings, PostgresSettings};
use rowcast::source::Source;
use rowcast::source::notify::NotifySource;
use rowcast::source::postgres::PostgresSource;
use servers::Postgres;
use tempfile::TempDir;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::Scale;
use crate::load::{Crowd, now_us, on_one_thread, percentile};
use crate::table::{Table, number, ratio};

const SCHEMA: &str = "create table ticks (id bigserial primary key, at bigint not null, pad text)";
const PAD: &str = "0123456789012345678901234567890123456789";
const PUBLICATION: &str = "rowcast";

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let server = Postgres::start()?;
    println!("{}", runtime.block_on(decoding(scale, &server))?);
    println!("{}", runtime.block_on(large(scale, &server))?);
    println!("{}", delays(scale, &server, &runtime)?);
    println!("{}", runtime.block_on(notifying(scale, &server))?);
    Ok(())
}

fn settings(slot: &str) -> PostgresSettings {
    PostgresSettings { slot: slot.into(), publication: PUBLICATION.into(), ..PostgresSettings::default() }
}

/// A database with the table, captured, and a source that has begun.
struct Site {
    database: servers::Database,
    source: PostgresSource,
    log: LocalLog,
    _folder: TempDir,
}

impl Site {
    async fn new(server: &Postgres) -> Result<Self> {
        let database = server.database().await?;
        database.run(SCHEMA).await;
        let mut source = Self::source(&database);
        source.setup().await?;
        let folder = TempDir::new()?;
        let log = LocalLog::open(folder.path().join("log"), Default::default())?;
        source.start(None).await?;
        log.append(source.next().await?).await?;
        Ok(Self { database, source, log, _folder: folder })
    }

    /// Ends the connection, so that nothing is read meanwhile.
    fn close(&mut self) {
        self.source = Self::source(&self.database);
    }

    /// Begins again where the log stands.
    async fn open(&mut self) -> Result<()> {
        Ok(self.source.start(self.log.place("app")).await?)
    }

    fn source(database: &servers::Database) -> PostgresSource {
        let address: Address = database.url().parse().expect("the server's own address");
        PostgresSource::new("app", address, settings(&database.name), Arc::new(Live::default()))
    }

    /// Reads until so many rows are in the log; returns the seconds.
    async fn drain(&mut self, rows: usize) -> Result<f64> {
        let (start, mut count) = (Instant::now(), 0);
        while count < rows {
            let batch = self.source.next().await?;
            count += batch.changes.len();
            self.log.append(batch).await?;
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

/// The same content of a slot, read by both, each alone.
async fn decoding(scale: &Scale, server: &Postgres) -> Result<Table> {
    let head = ["200-byte rows", "pg_recvlogical rows/s", "Rowcast to its log on disk rows/s", "ratio"];
    let mut out = Table::new("postgres: from the write-ahead log to the log", &head);
    for (rows, each) in [(scale.pick(200_000, 2_000), 1_000), (scale.pick(50_000, 500), 1)] {
        let mut site = Site::new(server).await?;
        let client = site.database.connect().await?;
        let peer = format!("{}_peer", site.database.name);
        let copied = format!("select pg_create_logical_replication_slot('{peer}', 'pgoutput')");
        client.batch_execute(&copied).await?;
        site.close();
        write(&client, rows, each).await?;
        let floor = recvlogical(&site.database, &peer, &client).await?;
        let start = Instant::now();
        site.open().await?;
        site.drain(rows).await?;
        let took = start.elapsed().as_secs_f64();
        let (floor, own) = (rows as f64 / floor, rows as f64 / took);
        out.row([format!("{each} a transaction"), number(floor), number(own), ratio(own, floor)]);
    }
    out.note("`pg_recvlogical` writes the undecoded stream to /dev/null. Rowcast decodes, makes values of PostgreSQL's texts, and appends to a log on disk; both times begin before the connection is made.");
    Ok(out)
}

async fn write(client: &Client, rows: usize, each: usize) -> Result<()> {
    for _ in 0..rows / each {
        let sql = format!("insert into ticks (at, pad) select {}, '{PAD}' from generate_series(1, {each})", now_us());
        client.batch_execute(&sql).await?;
    }
    Ok(())
}

/// Seconds that PostgreSQL's own client takes for all that the slot holds.
async fn recvlogical(database: &servers::Database, slot: &str, client: &Client) -> Result<f64> {
    let end: String = client.query_one("select pg_current_wal_flush_lsn()::text", &[]).await?.get(0);
    let start = Instant::now();
    let status = tokio::process::Command::new(program("pg_recvlogical")?)
        .args(["--start", "--no-loop", "-f", "/dev/null", "-S", slot, "-E", &end, "-d", &database.url()])
        .args(["-o", "proto_version=1", "-o", &format!("publication_names={PUBLICATION}")])
        .stderr(Stdio::inherit())
        .status()
        .await?;
    ensure!(status.success(), "pg_recvlogical: {status}");
    Ok(start.elapsed().as_secs_f64())
}

fn program(name: &str) -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin").join(name)).find(|path| path.exists());
    found.with_context(|| format!("{name} is not installed"))
}

/// One transaction of very many rows.
async fn large(scale: &Scale, server: &Postgres) -> Result<Table> {
    let head =
        ["one transaction", "commit s", "pg_recvlogical s", "Rowcast s", "ratio", "memory before MB", "at most MB"];
    let mut out = Table::new("postgres: a very large transaction", &head);
    let rows = scale.pick(1_000_000, 10_000);
    let mut site = Site::new(server).await?;
    let client = site.database.connect().await?;
    let peer = format!("{}_peer", site.database.name);
    client.batch_execute(&format!("select pg_create_logical_replication_slot('{peer}', 'pgoutput')")).await?;
    let before = memory("VmRSS:")?;
    let writing = Instant::now();
    write(&client, rows, rows).await?;
    let wrote = writing.elapsed().as_secs_f64();
    let took = site.drain(rows).await?;
    let most = memory("VmHWM:")?;
    let floor = recvlogical(&site.database, &peer, &client).await?;
    let shown = format!("{rows} rows");
    out.row([shown, number(wrote), number(floor), number(took), ratio(took, floor), number(before), number(most)]);
    out.note("Memory is this process's, with its log's window of 64 MiB; Rowcast's time is from the commit to the last row in the log. The server streams the transaction while it runs (protocol 2).");
    Ok(out)
}

/// Megabytes of this process.
fn memory(what: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).context("a process has a size")?;
    let kb: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kb / 1000.0)
}

/// From just before a commit until a client has the row.
fn delays(scale: &Scale, server: &Postgres, runtime: &tokio::runtime::Runtime) -> Result<Table> {
    let head = ["rows each second", "p50 ms", "p99 ms", "max ms", "floor: commit alone p50 ms"];
    let mut out = Table::new("postgres: delay from before the commit to one client", &head);
    let (database, gateway, address) = runtime.block_on(serve(server))?;
    for (rate, count, each) in [(100, scale.pick(1_000, 20), 1), (5_000, scale.pick(50_000, 500), 50)] {
        let url = database.url();
        let writing = move || -> Result<f64> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(pace(&url, rate, count, each))
        };
        let cells = on_one_thread(async {
            let crowd = Crowd::gather(address, 1).await?;
            crowd.want(count);
            let writing = std::thread::spawn(writing);
            let heard = crowd.heard(Duration::from_secs(120)).await;
            ensure!(heard.len() == count, "{} of {count} rows arrived", heard.len());
            let commit = writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
            let ms = |share| number(percentile(&heard, share) / 1000.0);
            Ok([format!("{rate}, {each} a transaction"), ms(0.5), ms(0.99), ms(1.0), number(commit)])
        })?;
        out.row(cells);
    }
    runtime.block_on(gateway.stop());
    Ok(out)
}

async fn serve(server: &Postgres) -> Result<(servers::Database, Gateway, SocketAddr)> {
    let database = server.database().await?;
    database.run(SCHEMA).await;
    let folder = TempDir::new()?.keep();
    let gateway = Gateway::builder()
        .database(Database::postgres("app", database.url().parse()?, settings(&database.name)))
        .log(LogPlace::Directory(folder.join("log"), Default::default()))
        .start()
        .await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let listener = listener.tap_io(|socket| _ = socket.set_nodelay(true));
    let app = gateway.router().into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, app).into_future());
    Ok((database, gateway, address))
}

/// Commits `each` rows at a time, `rate` rows a second; returns the median of a commit's own time in ms.
async fn pace(url: &str, rate: usize, count: usize, each: usize) -> Result<f64> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let insert = client.prepare("insert into ticks (at, pad) select $1, $2 from generate_series(1, $3)").await?;
    let pause = Duration::from_secs_f64(each as f64 / rate as f64);
    let (start, mut times) = (Instant::now(), Vec::new());
    for i in 0..count / each {
        tokio::time::sleep_until((start + pause * i as u32).into()).await;
        let began = Instant::now();
        client.execute(&insert, &[&(now_us() as i64), &PAD, &(each as i32)]).await?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2].as_secs_f64() * 1_000.0)
}

/// The same notifications, heard by both, each alone.
async fn notifying(scale: &Scale, server: &Postgres) -> Result<Table> {
    let head = ["NOTIFY", "bare listener, each second", "Rowcast to its log on disk, each second", "ratio"];
    let mut out = Table::new("postgres: NOTIFY", &head);
    let (count, each) = (scale.pick(200_000, 2_000), 1_000);
    let database = server.database().await?;
    let client = database.connect().await?;
    let floor = {
        let (own, mut connection) = tokio_postgres::connect(&database.url(), NoTls).await?;
        let hearing = tokio::spawn(async move {
            let (mut heard, mut start) = (0, None);
            while heard < count {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(_))) => {
                        start.get_or_insert_with(Instant::now);
                        heard += 1;
                    }
                    Some(Ok(_)) => {}
                    _ => break,
                }
            }
            start.map_or(0.0, |start| count as f64 / start.elapsed().as_secs_f64())
        });
        own.batch_execute("listen jobs").await?;
        notify(&client, count, each).await?;
        hearing.await?
    };
    let notify_settings = NotifySettings { channels: vec!["jobs".into()], ..PostgresSettings::default().notify };
    let (mut source, _ears) =
        NotifySource::new("app:notify", database.url().parse()?, notify_settings, Duration::from_secs(10));
    let folder = TempDir::new()?;
    let log = LocalLog::open(folder.path().join("log"), Default::default())?;
    source.start(None).await?;
    // The first batch carries the place, the next one says that the channel is heard.
    let mut known = 0;
    while known == 0 {
        let batch = source.next().await?;
        known = batch.changes.len();
        log.append(batch).await?;
    }
    let hearing = tokio::spawn(async move {
        let (mut heard, mut start) = (0, None);
        while heard < count {
            let batch = source.next().await?;
            start.get_or_insert_with(Instant::now);
            heard += batch.changes.len();
            log.append(batch).await?;
        }
        anyhow::Ok(start.map_or(0.0, |start| count as f64 / start.elapsed().as_secs_f64()))
    });
    notify(&client, count, each).await?;
    let own = hearing.await??;
    out.row([format!("{each} a transaction"), number(floor), number(own), ratio(own, floor)]);
    Ok(out)
}

async fn notify(client: &Client, count: usize, each: usize) -> Result<()> {
    for n in 0..count / each {
        let sql = format!("select count(pg_notify('jobs', '{n}:' || i || ' {PAD}')) from generate_series(1, {each}) i");
        client.batch_execute(&sql).await?;
    }
    Ok(())
}
