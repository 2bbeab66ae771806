//! A chart's history: `/v1/tables/{table}/series` over large tables, against the plain query.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::Result;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::Scale;
use crate::gateway::{self, DATABASE};
use crate::table::{Table, number, ratio};
use crate::ticks;

const BUCKETS: u32 = 600;

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let head =
        ["rows", "server opens, ms", "first answer, ms", "again, ms", "exact, ms", "plain query, ms", "exact ÷ plain"];
    let mut out = Table::new("series: 600 buckets of min, max, average and last of one column", &head);
    for rows in scale.pick([1_000_000, 10_000_000], [10_000, 50_000]) {
        let folder = TempDir::new()?;
        let database = fill(&folder, rows)?;
        let start = Instant::now();
        let server = gateway::start(scale, folder.path())?;
        let opened = ms(start);
        let (first, was_exact) = ask(server.address, "")?;
        let (again, _) = ask(server.address, "")?;
        let (exact, _) = ask(server.address, "&exact=true")?;
        let plain = plain(&database, rows)?;
        out.row([
            number(rows as f64),
            number(opened),
            format!("{} ({})", number(first), if was_exact { "exact" } else { "sampled" }),
            number(again),
            number(exact),
            number(plain),
            ratio(exact, plain),
        ]);
    }
    out.note("The table's key is its only index; the time column has none. `first` is without `exact`, so that a large table may be sampled.");
    println!("{out}");
    Ok(())
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// Points a second apart, made before anything captures.
fn fill(folder: &TempDir, rows: u64) -> Result<Connection> {
    let database = ticks::open(&folder.path().join(DATABASE))?;
    database.execute_batch("create table points(id integer primary key, time integer not null, speed real)")?;
    let sql = "with recursive n(i) as (select 0 union all select i + 1 from n where i < ?1 - 1)
               insert into points(time, speed) select 1700000000000 + i * 1000, (i * 7919 % 1000) / 10.0 from n";
    database.execute(sql, [rows as i64])?;
    // The pragma answers with three numbers.
    database.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
    Ok(database)
}

/// Milliseconds, and whether every row was counted.
fn ask(address: SocketAddr, more: &str) -> Result<(f64, bool)> {
    let start = Instant::now();
    let path = format!("/v1/tables/points/series?time=time&value=speed&buckets={BUCKETS}{more}");
    let answer = get(address, &path)?;
    let took = ms(start);
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{}", answer.lines().next().unwrap_or_default());
    Ok((took, answer.contains("\"exact\":true")))
}

fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut socket = TcpStream::connect(address)?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What a program without Rowcast would ask.
fn plain(database: &Connection, rows: u64) -> Result<f64> {
    let start = Instant::now();
    let width = (rows * 1000).div_ceil(u64::from(BUCKETS)) as i64;
    let sql = "select (time - 1700000000000) / ?1 as bucket, count(*), min(speed), max(speed), avg(speed) from points group by bucket";
    let mut statement = database.prepare(sql)?;
    let mut found = statement.query([width])?;
    while let Some(row) = found.next()? {
        std::hint::black_box(row.get::<_, f64>(2)?);
    }
    Ok(ms(start))
}
