//! One change to many clients.
//!
//! The clients and the writer are in this process, the server in another. Delay is from just before the commit (of a
//! peer: before the message is sent to it) until a client has read the frame.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::Scale;
use crate::gateway::{self, DATABASE};
use crate::load::{Crowd, Wire, on_one_thread};
use crate::npm::Npm;
use crate::process::{Server, connections_max};
use crate::table::{Table, number, ratio};
use crate::ticks::{self, Writer};

/// How long deliveries may take once the last change was made.
const PATIENCE: Duration = Duration::from_secs(120);

/// One size of crowd.
struct Crowded {
    clients: usize,
    /// Changes with a pause in which everything comes to rest: what one delivery costs and how long it takes.
    calm: usize,
    rest: Duration,
    /// About as many as two processors can bear, those of the clients included.
    paced: usize,
    pause: Duration,
    burst: usize,
}

impl Crowded {
    /// What a peer is asked to do: those that write each message on its own would need minutes for the whole burst.
    fn peer(&self, kind: &str) -> Self {
        let burst = if kind.starts_with("raw") { self.burst } else { self.burst / 10 };
        Self { burst, ..*self }
    }
}

pub(crate) fn run(scale: &Scale, clients: Option<usize>) -> Result<()> {
    let ms = Duration::from_millis;
    let thousand = Crowded { clients: 1000, calm: 100, rest: ms(100), paced: 1000, pause: ms(10), burst: 10_000 };
    let five = Crowded { clients: 5000, calm: 20, rest: ms(500), paced: 200, pause: ms(50), burst: 2_000 };
    let few = Crowded { clients: 100, calm: 10, rest: ms(20), paced: 50, pause: ms(10), burst: 500 };
    for crowded in scale.pick(vec![thousand, five], vec![few]) {
        if clients.is_some_and(|clients| clients != crowded.clients) {
            continue;
        }
        if crowded.clients > connections_max() {
            println!("\n{} clients need more open files (ulimit -n); left out", crowded.clients);
            continue;
        }
        for wire in [Wire::WebSocket, Wire::Sse] {
            measure(scale, wire, &crowded)?;
        }
    }
    Ok(())
}

fn measure(scale: &Scale, wire: Wire, crowded: &Crowded) -> Result<()> {
    let peers: &[&str] = match wire {
        Wire::WebSocket | Wire::SocketIo => &["raw", "axum", "axum-small"],
        Wire::Sse => &["raw-sse", "axum-sse"],
    };
    let door = if wire == Wire::WebSocket { "WebSocket" } else { "SSE" };
    let (calm, rate) = (1.0 / crowded.rest.as_secs_f64(), 1.0 / crowded.pause.as_secs_f64());
    let title = format!("fanout: {} clients, {door}", crowded.clients);
    let mut table = Table::new(
        title,
        &[
            "server",
            "calm: CPU µs/delivery",
            "× floor",
            "p50 ms",
            "p99 ms",
            "paced: CPU µs/delivery",
            "× floor",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "burst: CPU µs/delivery",
            "× floor",
            "deliveries/s",
            "missing",
        ],
    );
    let mut floor = None;
    let npm = if scale.npm && wire == Wire::WebSocket { Some(Npm::install()?) } else { None };
    for &peer in peers {
        let server = Server::start(&[peer])?;
        let writer = Writer::control(server.control.context("a peer has a control port")?)?;
        let result = of_server(&server, writer, wire, &crowded.peer(peer))?;
        let floor = floor.get_or_insert(result.costs());
        table.row(result.cells(peer, floor));
    }
    let floor = floor.context("there are peers")?;
    for (kind, wire) in [("ws", Wire::WebSocket), ("socket.io", Wire::SocketIo)] {
        let Some(npm) = &npm else { continue };
        let server = npm.start(kind)?;
        let writer = Writer::control(server.control.context("a peer has a control port")?)?;
        table.row(of_server(&server, writer, wire, &crowded.peer(kind))?.cells(&format!("npm {kind}"), &floor));
    }
    let folder = TempDir::new()?;
    let database = ticks::create(&folder.path().join(DATABASE))?;
    let server = gateway::start(scale, folder.path())?;
    let result = of_server(&server, Writer::Database(database), wire, crowded)?;
    table.row(result.cells("rowcast", &floor));
    table.note(format!(
        "Calm: {} changes, {calm:.0} each second. Paced: {}, {rate:.0} each second. Burst: {} changes, one transaction each, as fast as the writer can; a tenth of them \
         for the peers other than the floor.",
        crowded.calm, crowded.paced, crowded.burst
    ));
    println!("{table}");
    Ok(())
}

/// CPU µs for each delivery.
struct Costs {
    calm: f64,
    paced: f64,
    burst: f64,
}

struct Outcome {
    calm: Stretch,
    paced: Stretch,
    burst: Stretch,
    lost: usize,
}

/// What one row of deliveries took.
struct Stretch {
    cpu_us: f64,
    delays_us: Vec<u32>,
    missing: usize,
    took: Duration,
}

fn of_server(server: &Server, writer: Writer, wire: Wire, crowded: &Crowded) -> Result<Outcome> {
    on_one_thread(async {
        let crowd = Crowd::gather(server.address, wire, crowded.clients).await?;
        // Buffers grow and caches fill.
        let (_, writer) = stretch(server, &crowd, writer, crowded.clients, 20, Duration::from_millis(5)).await?;
        let (calm, writer) = stretch(server, &crowd, writer, crowded.clients, crowded.calm, crowded.rest).await?;
        let (paced, writer) = stretch(server, &crowd, writer, crowded.clients, crowded.paced, crowded.pause).await?;
        let (burst, _) = stretch(server, &crowd, writer, crowded.clients, crowded.burst, Duration::ZERO).await?;
        Ok(Outcome { calm, paced, burst, lost: crowd.lost() })
    })
}

async fn stretch(
    server: &Server,
    crowd: &Crowd,
    mut writer: Writer,
    clients: usize,
    changes: usize,
    pause: Duration,
) -> Result<(Stretch, Writer)> {
    let wanted = clients * changes;
    crowd.want(wanted);
    let (cpu, start) = (server.cpu()?, Instant::now());
    let writing = std::thread::spawn(move || writer.write_all(changes, pause).map(|()| writer));
    let delays_us = crowd.heard(PATIENCE).await;
    let (cpu, took) = (server.cpu()? - cpu, start.elapsed());
    let writer = writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    let cpu_us = cpu.as_secs_f64() * 1e6 / delays_us.len().max(1) as f64;
    let missing = wanted - delays_us.len().min(wanted);
    Ok((Stretch { cpu_us, delays_us, missing, took }, writer))
}

impl Stretch {
    fn ms(&self, share: f64) -> String {
        number(percentile(&self.delays_us, share) / 1000.0)
    }
}

impl Outcome {
    fn costs(&self) -> Costs {
        Costs { calm: self.calm.cpu_us, paced: self.paced.cpu_us, burst: self.burst.cpu_us }
    }

    fn cells(&self, name: &str, floor: &Costs) -> Vec<String> {
        let Self { calm, paced, burst, lost } = self;
        let missing = match (calm.missing + paced.missing + burst.missing, lost) {
            (0, 0) => "0".to_owned(),
            (missing, lost) => format!("{missing} ({lost} clients lost)"),
        };
        vec![
            name.to_owned(),
            number(calm.cpu_us),
            ratio(calm.cpu_us, floor.calm),
            calm.ms(0.5),
            calm.ms(0.99),
            number(paced.cpu_us),
            ratio(paced.cpu_us, floor.paced),
            paced.ms(0.5),
            paced.ms(0.99),
            paced.ms(0.999),
            number(burst.cpu_us),
            ratio(burst.cpu_us, floor.burst),
            number(burst.delays_us.len() as f64 / burst.took.as_secs_f64()),
            missing,
        ]
    }
}

/// The value below which `share` of the ascending `values` lie.
pub(crate) fn percentile(values: &[u32], share: f64) -> f64 {
    let at = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(at).map_or(f64::NAN, |value| f64::from(*value))
}
