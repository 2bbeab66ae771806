//! MySQL and MariaDB: from the binlog to the log beside `mariadb-binlog`, and from commit to a client.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::serve::ListenerExt;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::log::Log;
use rowcast::log::local::LocalLog;
use rowcast::mysql::{Address, Live, MysqlSettings};
use rowcast::source::Source;
use rowcast::source::mysql::MysqlSource;
use servers::{Mysql, MysqlDatabase};
use tempfile::TempDir;

use crate::Scale;
use crate::load::{Crowd, now_us, on_one_thread, percentile};
use crate::table::{Table, number, ratio};

const SCHEMA: &str = "create table ticks (id bigint primary key auto_increment, at bigint not null, pad text)";
const PAD: &str = "0123456789012345678901234567890123456789";

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let server = Mysql::start()?;
    println!("{}", runtime.block_on(decoding(scale, &server))?);
    println!("{}", delays(scale, &server, &runtime)?);
    Ok(())
}

fn source(database: &MysqlDatabase) -> Result<MysqlSource> {
    let address = Address::parse(&database.url())?;
    Ok(MysqlSource::new("app", address, MysqlSettings::default(), Arc::new(Live::default())))
}

/// The same binlog, read by both over a connection, each alone.
async fn decoding(scale: &Scale, server: &Mysql) -> Result<Table> {
    let head = [
        "100-byte rows",
        "mariadb-binlog rows/s",
        "and as text rows/s",
        "Rowcast to its log on disk rows/s",
        "ratio",
        "ratio",
    ];
    let mut out = Table::new("mysql: from the binlog to the log", &head);
    for (rows, each) in [(scale.pick(200_000, 2_000), 1_000), (scale.pick(50_000, 500), 1)] {
        let database = server.database().await?;
        database.run(SCHEMA).await;
        let folder = TempDir::new()?;
        let log = LocalLog::open(folder.path().join("log"), Default::default())?;
        let mut first = source(&database)?;
        first.setup().await?;
        first.start(None).await?;
        log.append(first.next().await?).await?;
        drop(first);
        let mut connection = database.connect().await?;
        connection.query_drop("flush binary logs").await?;
        let (file, begin) = place(&mut connection).await?;
        write(&mut connection, rows, each).await?;
        let (_, end) = place(&mut connection).await?;
        let raw = binlog(server, &file, begin, end, &[]).await?;
        let text = binlog(server, &file, begin, end, &["--verbose", "--base64-output=decode-rows"]).await?;
        let start = Instant::now();
        let mut own = source(&database)?;
        own.start(log.place("app")).await?;
        let mut count = 0;
        while count < rows {
            let batch = own.next().await?;
            count += batch.changes.len();
            log.append(batch).await?;
        }
        let took = start.elapsed().as_secs_f64();
        let [raw, text, own] = [raw, text, took].map(|seconds| rows as f64 / seconds);
        out.row([
            format!("{each} a transaction"),
            number(raw),
            number(text),
            number(own),
            ratio(own, raw),
            ratio(own, text),
        ]);
    }
    out.note("`mariadb-binlog --read-from-remote-server` prints to /dev/null: the row events as base64, then also each row decoded (`--verbose`). Rowcast decodes, gives every value its name and type, and appends to a log on disk; all times begin before the connection is made.");
    Ok(out)
}

/// The binlog's file and position now.
async fn place(connection: &mut Conn) -> Result<(String, u64)> {
    let row: mysql_async::Row = connection.query_first("show master status").await?.context("the binlog is on")?;
    let file = row.get(0).context("a file")?;
    Ok((file, row.get(1).context("a position")?))
}

async fn write(connection: &mut Conn, rows: usize, each: usize) -> Result<()> {
    for _ in 0..rows / each {
        let sql = format!("insert into ticks (at, pad) select {}, '{PAD}' from seq_1_to_{each}", now_us());
        connection.query_drop(sql).await?;
    }
    Ok(())
}

/// Seconds that MariaDB's own client takes for this part of the binlog.
async fn binlog(server: &Mysql, file: &str, begin: u64, end: u64, more: &[&str]) -> Result<f64> {
    let start = Instant::now();
    let status = tokio::process::Command::new("mariadb-binlog")
        .args(["--no-defaults", "--read-from-remote-server", "--host=127.0.0.1", "--user=root"])
        .args([format!("--port={}", server.port()), format!("--start-position={begin}")])
        .arg(format!("--stop-position={end}"))
        .args(more)
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await
        .context("mariadb-binlog")?;
    ensure!(status.success(), "mariadb-binlog: {status}");
    Ok(start.elapsed().as_secs_f64())
}

/// From just before a commit until a client has the row.
fn delays(scale: &Scale, server: &Mysql, runtime: &tokio::runtime::Runtime) -> Result<Table> {
    let head = ["rows each second", "p50 ms", "p99 ms", "max ms", "floor: commit alone p50 ms"];
    let mut out = Table::new("mysql: delay from before the commit to one client", &head);
    let (database, gateway, address, _folder) = runtime.block_on(serve(server))?;
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

async fn serve(server: &Mysql) -> Result<(MysqlDatabase, Gateway, SocketAddr, TempDir)> {
    let database = server.database().await?;
    database.run(SCHEMA).await;
    let folder = TempDir::new()?;
    let gateway = Gateway::builder()
        .database(Database::mysql("app", Address::parse(&database.url())?, MysqlSettings::default()))
        .log(LogPlace::Directory(folder.path().join("log"), Default::default()))
        .start()
        .await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let listener = listener.tap_io(|socket| _ = socket.set_nodelay(true));
    let app = gateway.router().into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, app).into_future());
    Ok((database, gateway, address, folder))
}

/// Commits `each` rows at a time, `rate` rows a second; returns the median of a commit's own time in ms.
async fn pace(url: &str, rate: usize, count: usize, each: usize) -> Result<f64> {
    let mut connection = Conn::new(mysql_async::Opts::from_url(url)?).await?;
    let pause = Duration::from_secs_f64(each as f64 / rate as f64);
    let (start, mut times) = (Instant::now(), Vec::new());
    for i in 0..count / each {
        tokio::time::sleep_until((start + pause * i as u32).into()).await;
        let sql = format!("insert into ticks (at, pad) select {}, '{PAD}' from seq_1_to_{each}", now_us());
        let began = Instant::now();
        connection.query_drop(sql).await?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2].as_secs_f64() * 1_000.0)
}
