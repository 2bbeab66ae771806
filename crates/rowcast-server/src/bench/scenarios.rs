//! The scenarios: each takes a server from the outside and says what it cost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::crowd::{Crowd, Target};
use super::figures::Figures;
use super::limits;
use super::memory;
use super::options::{Bench, Scenario};
use super::pace::Search;
use super::stretch::{QUIET, Stretch, settle};
use super::usage::Cpu;
use super::writer::{Load, Voice};

/// A rate is sustained while this share of the delays stays below the limit.
const P99_MAX_US: u64 = 100_000;
/// More single transactions each second than one writer of SQLite makes.
const CHANGES_MAX: f64 = 50_000.0;
/// Clients of the scenario `stuck` that read nothing.
const STUCK: usize = 5;
/// Changes each second of the scenario `latency`.
const LATENCY_RATE: f64 = 100.0;

/// A server that is measured over one protocol.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) target: Target,
    /// Its process, where that is on this machine.
    pub(crate) pid: Option<u32>,
    /// `None`: somebody else makes changes.
    pub(crate) voice: Option<Voice>,
    /// As a share of the others'.
    pub(crate) coalesced_rate: f64,
}

impl Subject {
    /// A line of a scenario, without figures.
    pub(crate) fn line(&self, scenario: Scenario, clients: usize) -> Figures {
        let protocol = self.target.protocol.name();
        Figures { scenario: scenario.name(), server: self.name.clone(), protocol, clients, ..Figures::default() }
    }

    pub(crate) fn gather(&self, clients: usize) -> Result<Crowd> {
        limits::connections(clients)?;
        Crowd::gather(&self.target, clients)
    }

    pub(crate) fn cpu(&self) -> Result<Option<Cpu>> {
        self.pid.map(Cpu::of).transpose()
    }

    fn resident(&self) -> Result<u64> {
        memory::resident(self.pid.context("memory needs the server's process: --pid")?)
    }

    /// Single changes, changes together, and the highest rate, to the same clients.
    pub(crate) fn crowded(&mut self, options: &Bench) -> Vec<Figures> {
        let wanted = [Scenario::Alone, Scenario::Coalesced, Scenario::Sustained];
        let wanted: Vec<Scenario> = wanted.into_iter().filter(|scenario| options.wants(*scenario)).collect();
        let clients = options.clients();
        let mut crowd = match (&wanted[..], self.gather(clients)) {
            ([], _) => return Vec::new(),
            (_, Ok(crowd)) => crowd,
            (_, Err(error)) => return wanted.iter().map(|s| self.failed(*s, clients, &error)).collect(),
        };
        let mut lines = Vec::new();
        for scenario in wanted {
            let outcome = match scenario {
                Scenario::Alone => self.loaded(&mut crowd, options, scenario, options.rate, 1),
                Scenario::Coalesced => {
                    let rate = options.rate * self.coalesced_rate;
                    self.loaded(&mut crowd, options, scenario, rate, options.batch())
                }
                _ => self.sustained(&mut crowd, options),
            };
            lines.push(outcome.unwrap_or_else(|error| self.failed(scenario, clients, &error)));
        }
        lines
    }

    /// Delays, to few clients.
    pub(crate) fn latency(&mut self, options: &Bench) -> Vec<Figures> {
        let measured = |(subject, clients): (&mut Self, usize)| {
            let outcome = subject
                .gather(clients)
                .and_then(|mut crowd| subject.loaded(&mut crowd, options, Scenario::Latency, LATENCY_RATE, 1));
            outcome.unwrap_or_else(|error| subject.failed(Scenario::Latency, clients, &error))
        };
        let mut lines = Vec::new();
        if options.wants(Scenario::Latency) {
            for clients in [1, 100] {
                lines.push(measured((&mut *self, clients)));
            }
        }
        lines
    }

    /// Why there are no figures.
    pub(crate) fn failed(&self, scenario: Scenario, clients: usize, error: &anyhow::Error) -> Figures {
        Figures { note: Some(format!("{error:#}")), ..self.line(scenario, clients) }
    }

    fn loaded(
        &mut self,
        crowd: &mut Crowd,
        options: &Bench,
        scenario: Scenario,
        rate: f64,
        batch: usize,
    ) -> Result<Figures> {
        self.warm(crowd, options)?;
        let load = Load::new(rate, options.seconds(), batch, options.bytes());
        let Stretch { figures, .. } = self.stretch(crowd, load)?;
        Ok(Figures { changes_per_second: Some(rate * batch as f64), ..figures }.of(self.line(scenario, crowd.len())))
    }

    fn sustained(&mut self, crowd: &mut Crowd, options: &Bench) -> Result<Figures> {
        self.warm(crowd, options)?;
        let mut search = Search::new(options.rate * 2.0, CHANGES_MAX);
        let seconds = options.seconds() / 3.0;
        let (mut best, mut limit) = (None, None);
        while let Some(rate) = search.next() {
            let Stretch { figures, p99_us } = self.stretch(crowd, Load::new(rate, seconds, 1, options.bytes()))?;
            let sustained = p99_us <= P99_MAX_US && figures.missing == Some(0);
            search.tell(rate, sustained);
            let figures = Some(Figures { changes_per_second: Some(rate), ..figures });
            *(if sustained { &mut best } else { &mut limit }) = figures;
            if options.quick {
                break;
            }
        }
        let line = self.line(Scenario::Sustained, crowd.len());
        let percent = |share: Option<f64>| share.map_or("?".to_owned(), |share| format!("{share:.0} %"));
        let note = limit.map(|f| {
            let rate = f.changes_per_second.unwrap_or_default();
            let (server, clients) = (percent(f.server_cpu_percent), percent(f.clients_cpu_percent));
            format!(
                "not at {rate:.0} changes/s (p99 {:.0} ms; server {server}, clients and writer {clients} of a processor)",
                f.p99_ms.unwrap_or(f64::NAN)
            )
        });
        let best = best.with_context(|| note.clone().unwrap_or_else(|| "nothing was delivered".to_owned()))?;
        Ok(Figures { note: if search.unlimited() { None } else { note }, ..best.of(line) })
    }

    /// The same load without and with clients that read nothing.
    pub(crate) fn beside_stuck(&mut self, options: &Bench) -> Vec<Figures> {
        let clients = options.clients();
        if !options.wants(Scenario::Stuck) {
            return Vec::new();
        }
        let outcome = self.stuck(clients, options);
        vec![outcome.unwrap_or_else(|error| self.failed(Scenario::Stuck, clients, &error))]
    }

    fn stuck(&mut self, clients: usize, options: &Bench) -> Result<Figures> {
        limits::connections(clients + STUCK)?;
        let mut crowd = self.gather(clients)?;
        self.warm(&mut crowd, options)?;
        // Long enough to fill what the kernel takes for a connection, about 2.6 MB on the loopback.
        let load = Load::new(20.0, options.seconds() * 2.0, 16, 2_000);
        let without = self.stretch(&mut crowd, load)?.figures;
        let mut stuck = self.gather(STUCK)?;
        let before = self.pid.map(memory::resident).transpose()?;
        let with = self.stretch(&mut crowd, load)?.figures;
        let now = self.pid.map(memory::resident).transpose()?;
        // Only now they read: what was kept for them, or that they were sent away.
        settle(&mut stuck)?;
        let figures = Figures {
            p50_ms_without: without.p50_ms,
            p99_ms_without: without.p99_ms,
            resident_mb_growth: now.zip(before).map(|(now, before)| now.saturating_sub(before) as f64 / 1e6),
            sent_away: Some(stuck.lost()),
            ..with
        };
        Ok(figures.of(self.line(Scenario::Stuck, clients)))
    }

    /// Memory, and how fast connections come; both of the same crowd.
    pub(crate) fn many(&mut self, options: &Bench) -> Vec<Figures> {
        let clients = options.idle_clients();
        let (idle, again) = (options.wants(Scenario::Idle), options.wants(Scenario::Reconnect));
        let mut lines = Vec::new();
        let mut gathered = None;
        if idle {
            lines.push(match self.idle(clients, options) {
                Ok((figures, crowd)) => {
                    gathered = figures.connections_per_second.map(|rate| (crowd, rate));
                    figures
                }
                Err(error) => self.failed(Scenario::Idle, clients, &error),
            });
        }
        if again {
            let outcome = self.reconnect(clients, gathered);
            lines.push(outcome.unwrap_or_else(|error| self.failed(Scenario::Reconnect, clients, &error)));
        }
        lines
    }

    fn idle(&mut self, clients: usize, options: &Bench) -> Result<(Figures, Crowd)> {
        // What the first connections and changes cost once, they cost here.
        let mut crowd = self.gather((clients / 10).clamp(1, 100))?;
        self.warm(&mut crowd, options)?;
        limits::connections(clients)?;
        let few = crowd.len();
        let (before, kernel_before) = (self.resident()?, memory::kernel());
        let start = Instant::now();
        crowd.more(clients - few)?;
        let rate = (clients - few) as f64 / start.elapsed().as_secs_f64();
        settle(&mut crowd)?;
        let (idle, kernel) = (self.resident()?, memory::kernel());
        let load = Load::new(20.0, 0.25, 1, options.bytes());
        self.stretch(&mut crowd, load)?;
        settle(&mut crowd)?;
        let used = self.resident()?;
        let each = |before: u64, now: u64| now.saturating_sub(before) as f64 / (clients - few).max(1) as f64 / 1000.0;
        let figures = Figures {
            connections_per_second: Some(rate),
            resident_kb_per_connection: Some(each(before, idle)),
            resident_kb_per_connection_after_changes: Some(each(before, used)),
            kernel_kb_per_connection: kernel_before.zip(kernel).map(|(before, now)| each(before, now)),
            ..self.line(Scenario::Idle, clients)
        };
        Ok((figures, crowd))
    }

    /// `earlier` are clients that are connected already, and how many of them came each second.
    fn reconnect(&self, clients: usize, earlier: Option<(Crowd, f64)>) -> Result<Figures> {
        let each_second = |took: Duration| clients as f64 / took.as_secs_f64();
        let (crowd, first) = match earlier {
            Some(earlier) => earlier,
            None => {
                let start = Instant::now();
                (self.gather(clients)?, each_second(start.elapsed()))
            }
        };
        let (cpu, start) = (self.cpu()?, Instant::now());
        drop(crowd);
        let crowd = self.gather(clients)?;
        let again = start.elapsed();
        let cpu = self.cpu()?.zip(cpu).map(|(now, before)| now.since(&before));
        let put_off = crowd.put_off();
        let note = (put_off > 0).then(|| format!("{put_off} times a client was told to come back later, and did"));
        Ok(Figures {
            note,
            connections_per_second: Some(first),
            reconnections_per_second: Some(each_second(again)),
            cpu_us_per_reconnection: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / clients as f64),
            ..self.line(Scenario::Reconnect, clients)
        })
    }

    /// Waits until a client can subscribe: the table may have been made a moment ago. What stands in the way is said later.
    pub(crate) fn until_heard(&self) {
        let start = Instant::now();
        while start.elapsed() < QUIET && Crowd::gather(&self.target, 1).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Counts what comes, whoever makes it.
    pub(crate) fn watch(&mut self, options: &Bench) -> Vec<Figures> {
        let clients = options.clients();
        let mut lines = Vec::new();
        if options.wants(Scenario::Alone) {
            let outcome = self.watched(clients, options);
            lines.push(outcome.unwrap_or_else(|error| self.failed(Scenario::Alone, clients, &error)));
        }
        if options.wants(Scenario::Reconnect) {
            let outcome = self.reconnect(options.idle_clients(), None);
            lines.push(outcome.unwrap_or_else(|error| self.failed(Scenario::Reconnect, clients, &error)));
        }
        lines
    }
}
