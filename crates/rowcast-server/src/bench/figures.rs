//! What one scenario found out about one server, and how it compares.

use serde::Serialize;

use super::options::Scenario;

/// One line of a table. What does not belong to a scenario, or could not be found out, is `None`.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) scenario: &'static str,
    pub(crate) server: String,
    pub(crate) protocol: &'static str,
    pub(crate) clients: usize,
    /// Changes each second that the schedule wanted.
    pub(crate) changes_per_second: Option<f64>,
    pub(crate) deliveries: Option<u64>,
    /// Those that should have come and did not.
    pub(crate) missing: Option<u64>,
    pub(crate) repeated: Option<u64>,
    pub(crate) deliveries_per_second: Option<f64>,
    pub(crate) bytes_per_delivery: Option<f64>,
    /// Of the server's process.
    pub(crate) cpu_us_per_delivery: Option<f64>,
    /// From when the schedule wanted the change made.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) p999_ms: Option<f64>,
    /// From just before its transaction was written.
    pub(crate) from_commit_p50_ms: Option<f64>,
    pub(crate) from_commit_p99_ms: Option<f64>,
    /// Of one processor.
    pub(crate) server_cpu_percent: Option<f64>,
    /// Of one processor: the clients and the writer. Close to 100 it is they who were measured.
    pub(crate) clients_cpu_percent: Option<f64>,
    pub(crate) resident_kb_per_connection: Option<f64>,
    pub(crate) resident_kb_per_connection_after_changes: Option<f64>,
    /// The machine's: both ends of each connection, and whatever else went on.
    pub(crate) kernel_kb_per_connection: Option<f64>,
    pub(crate) connections_per_second: Option<f64>,
    pub(crate) reconnections_per_second: Option<f64>,
    pub(crate) cpu_us_per_reconnection: Option<f64>,
    /// Of the same clients before there were stuck ones beside them.
    pub(crate) p50_ms_without: Option<f64>,
    pub(crate) p99_ms_without: Option<f64>,
    /// How much the server's process grew while it had stuck clients, and how many of them it sent away.
    pub(crate) resident_mb_growth: Option<f64>,
    pub(crate) sent_away: Option<usize>,
    /// The scenario's main figure as a multiple of the floor's, and of npm's socket.io over WebSocket, in the same run.
    pub(crate) times_floor: Option<f64>,
    pub(crate) times_socketio: Option<f64>,
    /// Why there are no figures, or what is to be known about them.
    pub(crate) note: Option<String>,
}

impl Scenario {
    /// What is compared.
    pub(crate) fn main(self, figures: &Figures) -> Option<f64> {
        match self {
            Self::Alone | Self::Coalesced => figures.cpu_us_per_delivery,
            Self::Sustained => figures.deliveries_per_second,
            Self::Latency => figures.p50_ms,
            Self::Stuck => figures.p99_ms,
            Self::Idle => figures.resident_kb_per_connection,
            Self::Reconnect => figures.reconnections_per_second,
        }
    }
}

/// All scenarios, in their order.
pub(crate) const SCENARIOS: [Scenario; 7] = [
    Scenario::Alone,
    Scenario::Coalesced,
    Scenario::Sustained,
    Scenario::Latency,
    Scenario::Idle,
    Scenario::Reconnect,
    Scenario::Stuck,
];

/// Compares each line with those of the floor and of npm's socket.io, with as many clients, in the same run.
pub(crate) fn compare(all: &mut [Figures]) {
    for scenario in SCENARIOS {
        let of = |server: &str, clients: usize, all: &[Figures]| {
            all.iter()
                .filter(|f| f.scenario == scenario.name() && f.server == server && f.clients == clients)
                .find(|f| f.protocol != "polling")
                .and_then(|f| scenario.main(f))
        };
        for place in 0..all.len() {
            if all[place].scenario != scenario.name() {
                continue;
            }
            let (clients, own) = (all[place].clients, scenario.main(&all[place]));
            let against = |peer: Option<f64>| Some(own? / peer.filter(|peer| *peer > 0.0)?);
            let (floor, socketio) = (against(of("floor", clients, all)), against(of("npm socket.io", clients, all)));
            (all[place].times_floor, all[place].times_socketio) = (floor, socketio);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn alone(server: &str, protocol: &'static str, cpu: Option<f64>) -> Figures {
        Figures {
            scenario: "alone",
            server: server.to_owned(),
            protocol,
            clients: 10,
            cpu_us_per_delivery: cpu,
            note: cpu.is_none().then(|| "it was not there".to_owned()),
            ..Figures::default()
        }
    }

    #[test]
    fn lines_are_compared_with_the_floor_and_socketio_of_the_same_run() {
        let mut all = [
            alone("floor", "ws", Some(2.0)),
            alone("npm socket.io", "polling", Some(40.0)),
            alone("npm socket.io", "socketio", Some(10.0)),
            alone("rowcast", "native", Some(3.0)),
            Figures { clients: 11, ..alone("rowcast", "sse", Some(3.0)) },
        ];
        compare(&mut all);
        assert_eq!((all[3].times_floor, all[3].times_socketio), (Some(1.5), Some(0.3)));
        assert_eq!((all[4].times_floor, all[4].times_socketio), (None, None));
    }
}
