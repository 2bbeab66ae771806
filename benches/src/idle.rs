//! Memory for each idle connection, with one subscription.

use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::Scale;
use crate::gateway::{self, DATABASE};
use crate::load::{Crowd, Wire, on_one_thread};
use crate::process::{Server, connections_max};
use crate::table::{Table, number};
use crate::ticks::{self, Writer};

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let clients = scale.pick(10_000, 500).min(connections_max());
    let title = format!("idle: {clients} connections with one subscription each");
    let head = ["server", "kB for each, idle", "kB for each, after 5 changes"];
    let mut table = Table::new(title, &head);
    for (peer, wire) in [
        ("raw", Wire::WebSocket),
        ("axum", Wire::WebSocket),
        ("axum-small", Wire::WebSocket),
        ("raw-sse", Wire::Sse),
        ("axum-sse", Wire::Sse),
    ] {
        let server = Server::start(&[peer])?;
        let writer = Writer::control(server.control.context("a peer has a control port")?)?;
        table.row(of_server(peer, &server, writer, wire, clients)?);
    }
    for (name, wire) in [("rowcast WebSocket", Wire::WebSocket), ("rowcast SSE", Wire::Sse)] {
        let folder = TempDir::new()?;
        let database = ticks::create(&folder.path().join(DATABASE))?;
        let server = gateway::start(scale, folder.path())?;
        table.row(of_server(name, &server, Writer::Database(database), wire, clients)?);
    }
    table.note("Resident memory of the server's process, the growth divided by the connections; the kernel's socket buffers are not in it.");
    println!("{table}");
    Ok(())
}

fn of_server(name: &str, server: &Server, mut writer: Writer, wire: Wire, clients: usize) -> Result<Vec<String>> {
    on_one_thread(async {
        // What the first connections and changes cost once, they cost here.
        let first = Crowd::gather(server.address, wire, 100).await?;
        deliver(&first, &mut writer, 100).await?;
        let before = server.memory()?;
        let crowd = Crowd::gather(server.address, wire, clients - 100).await?;
        let idle = server.memory()?;
        deliver(&crowd, &mut writer, clients - 100).await?;
        let used = server.memory()?;
        let each = |now: u64| number(now.saturating_sub(before) as f64 / (clients - 100) as f64 / 1000.0);
        Ok(vec![name.to_owned(), each(idle), each(used)])
    })
}

async fn deliver(crowd: &Crowd, writer: &mut Writer, clients: usize) -> Result<()> {
    crowd.want(clients * 5);
    for _ in 0..5 {
        writer.write()?;
    }
    let heard = crowd.heard(Duration::from_secs(60)).await.len();
    anyhow::ensure!(heard == clients * 5, "{heard} of {} deliveries arrived", clients * 5);
    Ok(())
}
