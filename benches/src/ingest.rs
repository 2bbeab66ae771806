//! Rows in: through Rowcast beside each database's own bulk path and a Node back end that saves row by row, and from a posted
//! record to a client.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use futures_util::{SinkExt, stream};
use mysql_async::prelude::Queryable;
use rowcast::event::TableName;
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::ingest::pull::{Feed, HttpFeed, Pull};
use rowcast::mysql;
use rowcast::postgres::PostgresSettings;
use rowcast::source::sqlite::SqliteSettings;
use servers::{Mysql, MysqlDatabase, Postgres};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Scale;
use crate::load::{Crowd, now_us, on_one_thread, percentile};
use crate::process::Server;
use crate::table::{Table, number, ratio};

const PAD: &str = "0123456789012345678901234567890123456789";
/// Rows in one chunk of a body.
const CHUNK: usize = 500;

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (postgres, mysql) = (Postgres::start()?, Mysql::start()?);
    println!("{}", runtime.block_on(rates(scale, &postgres, &mysql))?);
    println!("{}", delays(scale, &runtime, &postgres, &mysql)?);
    Ok(())
}

/// A database with an empty table `ticks`.
enum Site {
    Sqlite(TempDir),
    Postgres(servers::Database),
    Mysql(MysqlDatabase),
}

/// Which database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
    Mysql,
}

impl Site {
    async fn new(kind: Kind, postgres: &Postgres, mysql: &Mysql) -> Result<Self> {
        Ok(match kind {
            Kind::Sqlite => {
                let folder = TempDir::new()?;
                let schema = "pragma journal_mode = wal; create table ticks (id integer primary key, at integer not null, pad text)";
                rusqlite::Connection::open(folder.path().join("app.db"))?.execute_batch(schema)?;
                Self::Sqlite(folder)
            }
            Kind::Postgres => {
                let database = postgres.database().await?;
                database.run("create table ticks (id bigserial primary key, at bigint not null, pad text)").await;
                Self::Postgres(database)
            }
            Kind::Mysql => {
                let database = mysql.database().await?;
                let schema = "create table ticks (id bigint primary key auto_increment, at bigint not null, pad text)";
                database.run(schema).await;
                Self::Mysql(database)
            }
        })
    }

    fn database(&self) -> Result<Database> {
        Ok(match self {
            Self::Sqlite(folder) => Database::sqlite("app", folder.path().join("app.db"), SqliteSettings::default()),
            Self::Postgres(database) => {
                let (slot, publication) = (database.name.clone(), database.name.clone());
                let settings = PostgresSettings { slot, publication, ..PostgresSettings::default() };
                Database::postgres("app", database.url().parse()?, settings)
            }
            Self::Mysql(database) => {
                Database::mysql("app", mysql::Address::parse(&database.url())?, mysql::MysqlSettings::default())
            }
        })
    }

    async fn count(&self) -> Result<usize> {
        let sql = "select count(*) from ticks";
        let count: i64 = match self {
            Self::Sqlite(folder) => {
                let connection = rusqlite::Connection::open(folder.path().join("app.db"))?;
                connection.busy_timeout(Duration::from_secs(60))?;
                connection.query_row(sql, [], |row| row.get(0))?
            }
            Self::Postgres(database) => database.connect().await?.query_one(sql, &[]).await?.get(0),
            Self::Mysql(database) => database.connect().await?.query_first(sql).await?.context("a count")?,
        };
        Ok(usize::try_from(count)?)
    }

    /// Seconds that the database's own way takes for so many rows, and what it is called.
    async fn bulk(&self, rows: usize) -> Result<(f64, &'static str)> {
        let name = match self {
            Self::Sqlite(_) => "prepared, one transaction",
            Self::Postgres(_) => "COPY",
            Self::Mysql(_) => "LOAD DATA LOCAL",
        };
        let lines: String = (0..rows).map(|n| format!("{n}\t{PAD}\n")).collect();
        let start = Instant::now();
        match self {
            Self::Sqlite(folder) => {
                let mut connection = rusqlite::Connection::open(folder.path().join("app.db"))?;
                let transaction = connection.transaction()?;
                {
                    let mut insert = transaction.prepare("insert into ticks (at, pad) values (?1, ?2)")?;
                    for n in 0..rows {
                        insert.execute((n as i64, PAD))?;
                    }
                }
                transaction.commit()?;
            }
            Self::Postgres(database) => {
                let client = database.connect().await?;
                let copy = client.copy_in("copy ticks (at, pad) from stdin").await?;
                let mut copy = std::pin::pin!(copy);
                copy.send(Bytes::from(lines)).await?;
                copy.finish().await?;
            }
            Self::Mysql(database) => {
                let lines = Bytes::from(lines);
                let handler = mysql_async::OptsBuilder::from_opts(mysql_async::Opts::from_url(&database.url())?);
                let mut connection = mysql_async::Conn::new(handler).await?;
                connection.set_infile_handler(async move {
                    let body: mysql_async::InfileData = Box::pin(stream::iter([Ok(lines)]));
                    Ok(body)
                });
                connection.query_drop("load data local infile 'rows' into table ticks (at, pad)").await?;
                connection.disconnect().await?;
            }
        }
        Ok((start.elapsed().as_secs_f64(), name))
    }
}

/// A gateway on a database, served on a port.
struct Running {
    gateway: Gateway,
    address: SocketAddr,
    _folder: TempDir,
}

impl Running {
    async fn start(site: &Site, pull: Option<Pull>) -> Result<Self> {
        let folder = TempDir::new()?;
        let mut builder = Gateway::builder()
            .database(site.database()?)
            .log(LogPlace::Directory(folder.path().join("log"), Default::default()));
        if let Some(pull) = pull {
            builder = builder.ingest(pull);
        }
        let gateway = builder.start().await?;
        let app = gateway.router().into_make_service_with_connect_info::<SocketAddr>();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(|socket| _ = socket.set_nodelay(true));
        tokio::spawn(axum::serve(listener, app).into_future());
        Ok(Self { gateway, address, _folder: folder })
    }
}

/// A body of so many lines, in chunks.
fn body(rows: usize) -> Vec<Bytes> {
    let line = |n: usize| format!("{{\"at\":\"{n}\",\"pad\":\"{PAD}\"}}\n");
    (0..rows)
        .step_by(CHUNK)
        .map(|first| Bytes::from((first..(first + CHUNK).min(rows)).map(line).collect::<String>()))
        .collect()
}

async fn rates(scale: &Scale, postgres: &Postgres, mysql: &Mysql) -> Result<Table> {
    let head = [
        "",
        "its own bulk path rows/s",
        "HTTP push rows/s",
        "ratio",
        "pulled stream rows/s",
        "ratio",
        "Node and an ORM, row by row rows/s",
        "push is",
    ];
    let mut out = Table::new("ingest: rows into a table, until the last one is committed", &head);
    let rows = scale.pick(200_000, 2_000);
    let node = Node::prepare()?;
    for (name, kind) in [("SQLite", Kind::Sqlite), ("PostgreSQL", Kind::Postgres), ("MariaDB", Kind::Mysql)] {
        let site = Site::new(kind, postgres, mysql).await?;
        let (floor, way) = site.bulk(rows).await?;
        let pushed = pushed(&Site::new(kind, postgres, mysql).await?, rows).await?;
        let pulled = pulled(&Site::new(kind, postgres, mysql).await?, rows).await?;
        let orm = match (&node, kind) {
            (Some(node), Kind::Mysql) => Some(node.saved(mysql, scale.pick(5_000, 200)).await?),
            _ => None,
        };
        let floor = rows as f64 / floor;
        out.row([
            format!("{name}: {way}"),
            number(floor),
            number(pushed),
            ratio(pushed, floor),
            number(pulled),
            ratio(pulled, floor),
            orm.map_or("–".into(), number),
            orm.map_or("–".into(), |orm| ratio(pushed, orm)),
        ]);
    }
    out.note("60-byte rows as NDJSON. Rowcast validates, makes values fit their columns, writes in batches, and reads every row back from the database for its subscribers meanwhile; the bulk paths do none of that. The Node back end is `peers/orm`: it reads the same NDJSON stream and awaits `Data.create` for each line.");
    Ok(out)
}

/// Rows a second through `POST /v1/tables/ticks`, one body.
async fn pushed(site: &Site, rows: usize) -> Result<f64> {
    let running = Running::start(site, None).await?;
    let chunks = stream::iter(body(rows).into_iter().map(Ok::<_, std::io::Error>));
    let client = reqwest::Client::builder().no_proxy().build()?;
    let start = Instant::now();
    let request = client.post(format!("http://{}/v1/tables/ticks", running.address));
    let request = request.header("content-type", "application/x-ndjson").body(reqwest::Body::wrap_stream(chunks));
    let answer: serde_json::Value = serde_json::from_str(&request.send().await?.text().await?)?;
    let took = start.elapsed().as_secs_f64();
    ensure!(answer["count"] == rows, "{answer}");
    running.gateway.stop().await;
    Ok(rows as f64 / took)
}

/// Rows a second from a stream that is fetched.
async fn pulled(site: &Site, rows: usize) -> Result<f64> {
    let chunks = body(rows);
    let source = Router::new().route(
        "/stream",
        get(move || async move {
            // It says nothing more, and stays open: an end would be followed by another fetch.
            let chunks = stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>));
            let body = futures_util::StreamExt::chain(chunks, stream::pending());
            ([("content-type", "application/x-ndjson")], Body::from_stream(body))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/stream", listener.local_addr()?).parse()?;
    let serving = tokio::spawn(axum::serve(listener, source).into_future());
    let pull = Pull::new("bench", Feed::Http(HttpFeed::new(url)), TableName::bare("ticks"));
    let start = Instant::now();
    let running = Running::start(site, Some(pull)).await?;
    let deadline = start + Duration::from_secs(300);
    let mut count = 0;
    while count < rows {
        ensure!(Instant::now() < deadline, "{count} of {rows} rows arrived");
        tokio::time::sleep(Duration::from_millis(10)).await;
        count = site.count().await?;
    }
    let took = start.elapsed().as_secs_f64();
    ensure!(count == rows, "{count} rows instead of {rows}");
    running.gateway.stop().await;
    serving.abort();
    Ok(rows as f64 / took)
}

/// From just before a record is posted until a client has the row.
fn delays(scale: &Scale, runtime: &tokio::runtime::Runtime, postgres: &Postgres, mysql: &Mysql) -> Result<Table> {
    let head = ["posted records each second", "p50 ms", "p99 ms", "max ms"];
    let mut out = Table::new("ingest: delay from a posted record to one client over WebSocket", &head);
    for (name, kind) in [("SQLite", Kind::Sqlite), ("PostgreSQL", Kind::Postgres), ("MariaDB", Kind::Mysql)] {
        let site = runtime.block_on(Site::new(kind, postgres, mysql))?;
        let running = runtime.block_on(Running::start(&site, None))?;
        for (rate, count, each) in [(100, scale.pick(1_000, 20), 1), (5_000, scale.pick(50_000, 500), 50)] {
            let address = running.address;
            let cells = on_one_thread(async {
                let crowd = Crowd::gather(address, 1).await?;
                crowd.want(count);
                let posting = std::thread::spawn(move || post(address, rate, count, each));
                let heard = crowd.heard(Duration::from_secs(120)).await;
                ensure!(heard.len() == count, "{} of {count} rows arrived", heard.len());
                posting.join().map_err(|_| anyhow::anyhow!("the poster panicked"))??;
                let ms = |share| number(percentile(&heard, share) / 1000.0);
                Ok([format!("{name}, {rate}, {each} a chunk"), ms(0.5), ms(0.99), ms(1.0)])
            })?;
            out.row(cells);
        }
        runtime.block_on(running.gateway.stop());
    }
    out.note("One body that stays open, as a device or an agent sends it.");
    Ok(out)
}

/// Sends records in one body, `each` of them in a chunk.
fn post(address: SocketAddr, rate: usize, count: usize, each: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut socket = tokio::net::TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let head = format!(
            "POST /v1/tables/ticks HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await?;
        let pause = Duration::from_secs_f64(each as f64 / rate as f64);
        let start = Instant::now();
        for i in 0..count / each {
            tokio::time::sleep_until((start + pause * i as u32).into()).await;
            let line = format!("{{\"at\":{},\"pad\":\"{PAD}\"}}\n", now_us());
            let chunk = line.repeat(each);
            socket.write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes()).await?;
        }
        socket.write_all(b"0\r\n\r\n").await?;
        // Who goes away before the answer is not waited for.
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            ensure!(socket.read_buf(&mut answer).await? > 0, "{}", String::from_utf8_lossy(&answer));
        }
        Ok(())
    })
}

/// The back end that one writes by the book: `peers/orm`.
struct Node {
    folder: PathBuf,
}

impl Node {
    /// Installs it; `None` where there is no Node or no registry.
    fn prepare() -> Result<Option<Self>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/orm");
        let is_there = folder.join("node_modules/sequelize").is_dir();
        let mut install = Command::new("npm");
        install.args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&folder);
        if !is_there && !install.status().is_ok_and(|status| status.success()) {
            eprintln!("the Node back end cannot be installed, and is left out");
            return Ok(None);
        }
        Ok(Some(Self { folder }))
    }

    /// Rows a second.
    async fn saved(&self, mysql: &Mysql, rows: usize) -> Result<f64> {
        let database = mysql.database().await?;
        let chunks = body(rows);
        let source = Router::new().route(
            "/stream",
            get(
                move || async move { Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>))) },
            ),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/stream", listener.local_addr()?);
        let serving = tokio::spawn(axum::serve(listener, source).into_future());
        let mut command = Command::new("node");
        command.arg("server.js").arg(database.url()).arg(url).current_dir(&self.folder);
        // It says `listening` when its table is made, and begins to read when it is told to.
        let back_end = tokio::task::spawn_blocking(move || Server::announced(command)).await??;
        let start = Instant::now();
        let begin = reqwest::get(format!("http://{}/begin", back_end.address)).await?;
        let took: f64 = begin.text().await?.parse().context("the seconds that it took")?;
        ensure!(took <= start.elapsed().as_secs_f64() + 1.0, "its clock is not ours");
        let count: Option<i64> = database.connect().await?.query_first("select count(*) from Data").await?;
        ensure!(count == Some(rows as i64), "it stored {count:?} of {rows}");
        serving.abort();
        Ok(rows as f64 / took)
    }
}
