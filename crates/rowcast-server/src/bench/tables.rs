//! Figures as tables: one for each scenario, and one of all main figures.

use super::figures::{Figures, SCENARIOS};
use super::options::Scenario;
use super::table::{Table, number, ratio};

type Column = (&'static str, fn(&Figures) -> String);

const SERVER: Column = ("server", |f| f.server.clone());
const PROTOCOL: Column = ("protocol", |f| f.protocol.to_owned());
const CLIENTS: Column = ("clients", |f| f.clients.to_string());
const CHANGES: Column = ("changes/s", |f| shown(f.changes_per_second));
const RATE: Column = ("deliveries/s", |f| shown(f.deliveries_per_second));
const CPU: Column = ("CPU µs/delivery", |f| shown(f.cpu_us_per_delivery));
const FLOOR: Column = ("× floor", |f| times(f.times_floor));
const SOCKETIO: Column = ("× npm socket.io", |f| times(f.times_socketio));
const P50: Column = ("p50 ms", |f| shown(f.p50_ms));
const P99: Column = ("p99 ms", |f| shown(f.p99_ms));
const P999: Column = ("p99.9 ms", |f| shown(f.p999_ms));
const SERVER_CPU: Column = ("server CPU %", |f| shown(f.server_cpu_percent));
const CLIENTS_CPU: Column = ("clients CPU %", |f| shown(f.clients_cpu_percent));
const BYTES: Column = ("bytes", |f| shown(f.bytes_per_delivery));
const MISSING: Column = ("missing", |f| match (f.missing, f.repeated) {
    (Some(missing), None | Some(0)) => missing.to_string(),
    (Some(missing), Some(repeated)) => format!("{missing}, repeated {repeated}"),
    _ => shown(None),
});

impl Scenario {
    fn columns(self) -> Vec<Column> {
        match self {
            Self::Alone | Self::Coalesced => vec![
                SERVER,
                PROTOCOL,
                CHANGES,
                CPU,
                FLOOR,
                SOCKETIO,
                RATE,
                P50,
                P99,
                P999,
                SERVER_CPU,
                CLIENTS_CPU,
                BYTES,
                MISSING,
            ],
            Self::Sustained => {
                vec![SERVER, PROTOCOL, CHANGES, RATE, FLOOR, SOCKETIO, P50, P99, CPU, SERVER_CPU, CLIENTS_CPU, MISSING]
            }
            Self::Latency => vec![
                SERVER,
                PROTOCOL,
                CLIENTS,
                P50,
                P99,
                P999,
                ("from commit: p50 ms", |f| shown(f.from_commit_p50_ms)),
                ("p99 ms", |f| shown(f.from_commit_p99_ms)),
                FLOOR,
                SOCKETIO,
                MISSING,
            ],
            Self::Idle => vec![
                SERVER,
                PROTOCOL,
                CLIENTS,
                ("RSS kB each", |f| shown(f.resident_kb_per_connection)),
                FLOOR,
                SOCKETIO,
                ("after 5 changes", |f| shown(f.resident_kb_per_connection_after_changes)),
                ("kernel kB each, both ends", |f| shown(f.kernel_kb_per_connection)),
            ],
            Self::Reconnect => vec![
                SERVER,
                PROTOCOL,
                CLIENTS,
                ("connections/s", |f| shown(f.connections_per_second)),
                ("again, all at once", |f| shown(f.reconnections_per_second)),
                FLOOR,
                SOCKETIO,
                ("CPU µs each", |f| shown(f.cpu_us_per_reconnection)),
            ],
            Self::Stuck => vec![
                SERVER,
                PROTOCOL,
                CLIENTS,
                ("p50 ms without", |f| shown(f.p50_ms_without)),
                ("with", |f| shown(f.p50_ms)),
                ("p99 ms without", |f| shown(f.p99_ms_without)),
                ("with", |f| shown(f.p99_ms)),
                ("RSS grew, MB", |f| shown(f.resident_mb_growth)),
                ("stuck sent away", |f| f.sent_away.map_or_else(|| shown(None), |count| count.to_string())),
                MISSING,
            ],
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Alone => "alone: each change by itself",
            Self::Coalesced => "coalesced: changes that come together",
            Self::Sustained => "sustained: the highest rate of single changes before p99 passes 100 ms",
            Self::Latency => "latency: 100 changes each second",
            Self::Idle => "idle: memory of a subscribed connection",
            Self::Reconnect => "reconnect: connections that come at once",
            Self::Stuck => {
                "stuck: five clients that read nothing beside the others; 16 changes of 2,000 bytes, 20 times each second"
            }
        }
    }
}

/// One table for each scenario, and one of all main figures.
pub(crate) fn tables(all: &[Figures]) -> Vec<Table> {
    let mut tables = Vec::new();
    for scenario in SCENARIOS {
        let of: Vec<&Figures> = all.iter().filter(|f| f.scenario == scenario.name()).collect();
        if of.is_empty() {
            continue;
        }
        let columns = scenario.columns();
        let head: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let mut table = Table::new(scenario.title(), &head);
        let mut notes: Vec<String> = Vec::new();
        for figures in of {
            match &figures.note {
                Some(note) if scenario.main(figures).is_none() => {
                    table.row([figures.server.clone(), figures.protocol.to_owned(), "not measured".to_owned()]);
                    notes.push(format!("Not measured: {}, {}: {note}.", figures.server, figures.protocol));
                }
                note => {
                    table.row(columns.iter().map(|(_, cell)| cell(figures)));
                    if let Some(note) = note {
                        notes.push(format!("{}, {}: {note}.", figures.server, figures.protocol));
                    }
                }
            }
        }
        notes.dedup();
        notes.into_iter().for_each(|note| table.note(note));
        tables.push(table);
    }
    tables.push(summary(all));
    tables
}

fn summary(all: &[Figures]) -> Table {
    let head = [
        "server",
        "protocol",
        "alone µs",
        "× floor",
        "coalesced µs",
        "× floor",
        "sustained/s",
        "× npm socket.io",
        "1 client p50/p99 ms",
        "100 clients p50/p99 ms",
        "idle kB",
        "reconnects/s",
    ];
    let mut table = Table::new("all in one", &head);
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for figures in all {
        let row = (figures.server.as_str(), figures.protocol);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    for (server, protocol) in rows {
        let of = |scenario: Scenario, clients: Option<usize>| {
            let is = |f: &&Figures| f.scenario == scenario.name() && f.server == server && f.protocol == protocol;
            all.iter().filter(is).find(|f| clients.is_none_or(|clients| f.clients == clients))
        };
        let main = |scenario| shown(of(scenario, None).and_then(|f| Scenario::main(scenario, f)));
        let floor = |scenario| times(of(scenario, None).and_then(|f| f.times_floor));
        let delays = |clients| {
            let f = of(Scenario::Latency, Some(clients));
            format!("{} / {}", shown(f.and_then(|f| f.p50_ms)), shown(f.and_then(|f| f.p99_ms)))
        };
        table.row([
            server.to_owned(),
            protocol.to_owned(),
            main(Scenario::Alone),
            floor(Scenario::Alone),
            main(Scenario::Coalesced),
            floor(Scenario::Coalesced),
            main(Scenario::Sustained),
            times(of(Scenario::Sustained, None).and_then(|f| f.times_socketio)),
            delays(1),
            delays(100),
            main(Scenario::Idle),
            main(Scenario::Reconnect),
        ]);
    }
    table.note("Processor time of the server for each delivery; – is what was not measured.");
    table
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), number)
}

fn times(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| ratio(value, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::tests::alone;

    #[test]
    fn what_was_not_measured_says_why() {
        let tables = tables(&[alone("npm ws", "ws", None)]);
        let text = tables[0].to_string();
        assert!(text.contains("not measured") && text.contains("npm ws, ws: it was not there."), "{text}");
    }
}
