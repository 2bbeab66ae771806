//! `rowcast bench`: delivery measured beside a floor and the peers, in one run.
//!
//! Servers are processes of their own; clients are in one thread here, the writer in another. What the kernel says
//! about the servers' processes and what the clients hear is all that is known: every server is looked at from the outside.

mod crowd;
mod figures;
mod floor;
mod histogram;
mod limits;
mod memory;
mod options;
mod pace;
mod scenarios;
mod servers;
mod stretch;
mod table;
mod tables;
mod usage;
mod writer;

use std::net::ToSocketAddrs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::say;
use crowd::{Protocol, Target};
use figures::Figures;
pub(crate) use floor::run as floor;
use limits::Cores;
pub(crate) use options::Bench;
use options::Scenario;
use scenarios::Subject;
use servers::{Kind, Places, Server};
use writer::Voice;

/// Runs what was asked for, and prints its tables.
pub(crate) fn run(options: &Bench, database: Option<&str>) -> Result<ExitCode> {
    limits::raise_open_files();
    let places = places(options)?;
    if let Some((_, clients)) = options.cpu {
        Cores::one(clients).keep()?;
    }
    let mut all = match &options.url {
        Some(url) => of_url(options, url, database)?,
        None => of_servers(options, &places),
    };
    figures::compare(&mut all);
    for table in tables::tables(&all) {
        say(&format!("{table}"));
    }
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "machine": machine(options), "results": all }))?;
        std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    let nothing = all.iter().all(|figures| figures.deliveries.is_none() && figures.connections_per_second.is_none());
    Ok(if nothing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn places(options: &Bench) -> Result<Places> {
    let rowcast = match &options.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => std::env::current_exe()?,
    };
    let cores = options.cpu.map(|(server, _)| Cores::one(server));
    Ok(Places { rowcast, node_modules: options.node_modules.clone(), cores })
}

fn of_servers(options: &Bench, places: &Places) -> Vec<Figures> {
    let mut all = Vec::new();
    for kind in Kind::value_variants() {
        if !options.servers.is_empty() && !options.servers.contains(kind) {
            continue;
        }
        for protocol in kind.protocols() {
            if options.speaks(*protocol) {
                all.extend(of_server(options, places, *kind, *protocol));
            }
        }
    }
    all
}

fn of_server(options: &Bench, places: &Places, kind: Kind, protocol: Protocol) -> Vec<Figures> {
    eprintln!("{}, {} …", kind.name(), protocol.name());
    let mut lines = Vec::new();
    // Memory is that of a server that has had no other clients.
    let few: &[Scenario] = &[Scenario::Alone, Scenario::Coalesced, Scenario::Sustained, Scenario::Latency];
    let many: &[Scenario] = &[Scenario::Idle, Scenario::Reconnect];
    for scenarios in [few, many, &[Scenario::Stuck]] {
        if !scenarios.iter().any(|scenario| options.wants(*scenario)) {
            continue;
        }
        let measured = Server::start(kind, places).and_then(|server| {
            let mut subject = Subject {
                name: kind.name().to_owned(),
                target: Target::new(server.address, protocol),
                pid: Some(server.pid()),
                voice: Some(server.voice()?),
                coalesced_rate: if kind.is_node() { 0.1 } else { 1.0 },
            };
            Ok(subject.measure(options, scenarios))
        });
        match measured {
            Ok(figures) => lines.extend(figures),
            Err(error) => {
                let wanted = scenarios.iter().filter(|scenario| options.wants(**scenario));
                lines.extend(wanted.map(|scenario| Figures {
                    scenario: scenario.name(),
                    server: kind.name().to_owned(),
                    protocol: protocol.name(),
                    note: Some(format!("{error:#}")),
                    ..Figures::default()
                }));
            }
        }
    }
    lines
}

impl Subject {
    fn measure(&mut self, options: &Bench, scenarios: &[Scenario]) -> Vec<Figures> {
        match scenarios {
            [Scenario::Stuck] => self.beside_stuck(options),
            [Scenario::Idle, ..] => self.many(options),
            _ => {
                let mut lines = self.crowded(options);
                lines.extend(self.latency(options));
                lines
            }
        }
    }
}

fn of_url(options: &Bench, url: &reqwest::Url, database: Option<&str>) -> Result<Vec<Figures>> {
    let host = url.host_str().context("--url has no host")?;
    if !matches!(url.scheme(), "http" | "ws") {
        bail!("--url begins with http:// or ws://: the measurement speaks no TLS");
    }
    let port = url.port_or_known_default().context("--url has no port")?;
    let address = (host, port).to_socket_addrs().with_context(|| format!("{host} has no address"))?.next();
    let address = address.with_context(|| format!("{host} has no address"))?;
    let path = (url.path() != "/" || url.query().is_some()).then(|| match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    });
    let protocols = if options.protocol.is_empty() { &[Protocol::Native][..] } else { &options.protocol };
    let mut all = Vec::new();
    for protocol in protocols {
        let target = Target::new(address, *protocol).at(format!("{host}:{port}"), path.clone());
        let target = target.subscribing(options.subscribe.clone());
        let voice = database.map(sqlite).transpose()?;
        let name = host.to_owned();
        let mut subject = Subject { name, target, pid: options.pid, voice, coalesced_rate: 1.0 };
        match subject.voice {
            Some(_) => {
                subject.until_heard();
                all.extend(subject.measure(options, &[]));
                all.extend(subject.measure(options, &[Scenario::Idle]));
                all.extend(subject.measure(options, &[Scenario::Stuck]));
            }
            None => all.extend(subject.watch(options)),
        }
    }
    Ok(all)
}

fn sqlite(database: &str) -> Result<Voice> {
    let path = database.strip_prefix("sqlite:").unwrap_or(database);
    if path.contains("://") {
        bail!("rowcast bench writes to SQLite: --database sqlite:path");
    }
    Voice::sqlite(Path::new(path))
}

/// What the run was.
fn machine(options: &Bench) -> serde_json::Value {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    let load = read("/proc/loadavg");
    serde_json::json!({
        "rowcast": env!("CARGO_PKG_VERSION"),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "load_average_at_the_end": load.split_whitespace().next(),
        "cpu": options.cpu.map(|(server, clients)| [server, clients]),
        "clients": options.clients(),
        "rate": options.rate,
        "batch": options.batch(),
        "bytes": options.bytes(),
        "seconds": options.seconds(),
        "idle_clients": options.idle_clients(),
    })
}
