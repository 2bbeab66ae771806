//! What `rowcast bench` can be asked.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::crowd::Protocol;
use super::servers::Kind;

const AFTER_HELP: &str = "\
Examples:
  rowcast bench                                    everything, in less than six minutes
  rowcast bench --cpu 0,1 --json bench.json        servers on one processor, clients on the other
  rowcast bench --only alone,coalesced --servers floor,rowcast --protocol native
  rowcast bench --quick                            shows in seconds that everything runs, and measures nothing
  rowcast bench --url http://localhost:3000 --database sqlite:app.db --protocol sse --pid 4711
  rowcast bench --url http://localhost:8080/feed --protocol ws --clients 100 --seconds 10

Without --url it starts its own servers, each in a process of its own, on 127.0.0.1: a floor (one epoll that writes
a preformatted frame to every socket), npm's ws and socket.io where Node and the packages are there, and this
binary's `rowcast serve` on a SQLite database.
With --url and --database it makes a table `bench` there, and inserts into it. With --url alone it connects, counts
what comes for --seconds, and reads delays from messages that hold \"at\": and microseconds since 1970.
Delays count from the moment at which the schedule wanted a change to be made, whether or not the writer was ready.";

/// A part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// --rate changes each second, each by itself, to --clients
    Alone,
    /// --rate transactions each second of --batch changes (Node's servers: a tenth of the rate)
    Coalesced,
    /// The highest rate of single changes at which p99 stays below 100 ms
    Sustained,
    /// 100 changes each second to 1 client and to 100
    Latency,
    /// Memory of --idle-clients connections
    Idle,
    /// --idle-clients that come at once, and again after all were cut off
    Reconnect,
    /// Only when named: --clients without and with five beside them that are subscribed and read nothing
    Stuck,
}

impl Scenario {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Coalesced => "coalesced",
            Self::Sustained => "sustained",
            Self::Latency => "latency",
            Self::Idle => "idle",
            Self::Reconnect => "reconnect",
            Self::Stuck => "stuck",
        }
    }
}

/// Arguments of `rowcast bench`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Bench {
    /// Only these scenarios [default: all but stuck]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) only: Vec<Scenario>,
    /// Only these servers [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',', conflicts_with = "url")]
    pub(crate) servers: Vec<Kind>,
    /// Only these protocols (the floor and npm's ws always speak ws) [default: native,sse,socketio]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) protocol: Vec<Protocol>,
    /// Clients that hear every change
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Changes, or transactions, each second
    #[arg(long, value_name = "N", default_value_t = 50.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// Changes in a transaction where they come together
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// About how long a change is as the native protocol says it
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    bytes: u32,
    /// How long each scenario writes; each step of `sustained` takes a third
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = rate)]
    seconds: f64,
    /// Connections of idle and reconnect
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    idle_clients: u32,
    /// Keep servers to one processor, and clients with the writer to another
    #[arg(long, value_name = "SERVER,CLIENTS", value_parser = cpu)]
    pub(crate) cpu: Option<(usize, usize)>,
    /// Write the results as JSON, too
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Small numbers: shows in seconds that everything runs
    #[arg(long)]
    pub(crate) quick: bool,

    /// Measure this server instead
    #[arg(long, value_name = "URL", help_heading = "Another server")]
    pub(crate) url: Option<reqwest::Url>,
    /// Its process on this machine, for processor time and memory
    #[arg(long, value_name = "N", requires = "url", help_heading = "Another server")]
    pub(crate) pid: Option<u32>,
    /// What clients say to subscribe; for Socket.IO the argument of the event `subscribe`; empty: nothing
    /// [default: the table bench]
    #[arg(long, value_name = "TEXT", requires = "url", help_heading = "Another server")]
    pub(crate) subscribe: Option<String>,

    /// The binary to measure as rowcast [default: this one]
    #[arg(long, value_name = "FILE", help_heading = "Programs")]
    pub(crate) binary: Option<PathBuf>,
    /// The folder in which npm has put ws and socket.io
    #[arg(long, value_name = "DIR", default_value = "node_modules", help_heading = "Programs")]
    pub(crate) node_modules: PathBuf,
}

impl Bench {
    /// Whether a scenario is wanted.
    pub(crate) fn wants(&self, scenario: Scenario) -> bool {
        self.only.contains(&scenario) || (self.only.is_empty() && scenario != Scenario::Stuck)
    }

    /// Whether a protocol is.
    pub(crate) fn speaks(&self, protocol: Protocol) -> bool {
        match &self.protocol[..] {
            // It takes its time, and is what clients leave as soon as they can.
            [] => protocol != Protocol::Polling,
            // The floor and npm's ws are what the others are compared with.
            named => protocol == Protocol::Ws || named.contains(&protocol),
        }
    }

    pub(crate) fn clients(&self) -> usize {
        self.small(self.clients, 20) as usize
    }

    pub(crate) fn idle_clients(&self) -> usize {
        self.small(self.idle_clients, 100) as usize
    }

    pub(crate) fn batch(&self) -> usize {
        self.batch as usize
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes as usize
    }

    pub(crate) fn seconds(&self) -> f64 {
        if self.quick { self.seconds.min(0.3) } else { self.seconds }
    }

    fn small(&self, full: u32, quick: u32) -> u32 {
        if self.quick { full.min(quick) } else { full }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= 1_000_000.0 => Ok(rate),
        _ => Err("a number above 0, at most 1000000".to_owned()),
    }
}

fn cpu(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once(',').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
    parsed.filter(|(a, b)| *a < 1024 && *b < 1024).ok_or_else(|| "two numbers of processors, such as 0,1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_two_numbers() {
        assert_eq!(cpu("0,1"), Ok((0, 1)));
        assert_eq!(cpu("3, 2"), Ok((3, 2)));
        for wrong in ["", "0", "a,b", "0,5000", "-1,0"] {
            assert!(cpu(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_above_nothing() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "x"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
