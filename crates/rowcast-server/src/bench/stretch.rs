//! One load: written, listened to, and what it cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::crowd::{Crowd, now_us};
use super::figures::Figures;
use super::options::{Bench, Scenario};
use super::scenarios::Subject;
use super::usage::Cpu;
use super::writer::Load;

/// Nothing has come for so long: nothing more will.
pub(crate) const QUIET: Duration = Duration::from_secs(5);

/// What came of one load.
pub(crate) struct Stretch {
    pub(crate) figures: Figures,
    pub(crate) p99_us: u64,
}

impl Subject {
    /// Counts what comes, whoever makes it.
    pub(crate) fn watched(&self, clients: usize, options: &Bench) -> Result<Figures> {
        let mut crowd = self.gather(clients)?;
        let (start, start_us) = (Instant::now(), now_us());
        let (cpu, own) = (self.cpu()?, Cpu::of(std::process::id())?);
        while start.elapsed().as_secs_f64() < options.seconds() {
            crowd.turn(Duration::from_millis(50))?;
        }
        let used = Used::since(self.cpu()?, cpu, &own, start.elapsed())?;
        let figures = figures(&crowd, start_us, crowd.heard.deliveries, &used);
        let note = figures.note.or_else(|| Some("somebody else made the changes; what is missing is not known".into()));
        Ok(Figures { missing: None, repeated: None, note, ..figures }.of(self.line(Scenario::Alone, clients)))
    }

    /// Buffers grow and caches fill.
    pub(crate) fn warm(&mut self, crowd: &mut Crowd, options: &Bench) -> Result<()> {
        if self.voice.is_some() {
            self.stretch(crowd, Load::new(100.0, 0.2, 1, options.bytes()))?;
        }
        Ok(())
    }

    /// Writes a load, and listens until everything has come, or nothing more does.
    pub(crate) fn stretch(&mut self, crowd: &mut Crowd, load: Load) -> Result<Stretch> {
        crowd.heard.clear();
        let clients = crowd.len() as u64;
        let voice = self.voice.take().context("there is nobody to make changes: name its --database")?;
        let (cpu, own) = (self.cpu()?, Cpu::of(std::process::id())?);
        let start = Instant::now();
        let stop = Arc::new(AtomicBool::new(false));
        let writing = voice.write_all(load, Arc::clone(&stop));
        let listened = listen(crowd, load.changes() * clients, || writing.is_finished());
        stop.store(true, Ordering::Relaxed);
        let used = Used::since(self.cpu()?, cpu, &own, start.elapsed())?;
        let written = writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        self.voice = Some(written.voice);
        listened?;
        let figures = figures(crowd, written.start_us, written.changes * clients, &used);
        Ok(Stretch { figures, p99_us: crowd.heard.from_schedule.percentile(0.99).unwrap_or(u64::MAX) })
    }
}

/// Processor time of a stretch.
struct Used {
    server: Option<Duration>,
    clients: Duration,
    took: Duration,
}

impl Used {
    fn since(server: Option<Cpu>, before: Option<Cpu>, own: &Cpu, took: Duration) -> Result<Self> {
        let server = server.zip(before).map(|(now, before)| now.since(&before));
        Ok(Self { server, clients: Cpu::of(std::process::id())?.since(own), took })
    }

    fn percent(&self, used: Duration) -> f64 {
        used.as_secs_f64() / self.took.as_secs_f64() * 100.0
    }
}

/// What a crowd has heard since `start_us`.
fn figures(crowd: &Crowd, start_us: u64, expected: u64, used: &Used) -> Figures {
    let heard = &crowd.heard;
    let count = heard.deliveries;
    let each = |sum: f64| (count > 0).then(|| sum / count as f64);
    let seconds = Duration::from_micros(heard.last_us.saturating_sub(start_us)).as_secs_f64().max(1e-6);
    let note = (crowd.lost() > 0).then(|| {
        format!("{} clients were sent away; the first: {}", crowd.lost(), crowd.complaint().unwrap_or_default())
    });
    Figures {
        deliveries: Some(count),
        missing: Some(expected.saturating_sub(count)),
        repeated: Some(count.saturating_sub(expected)),
        deliveries_per_second: (count > 0).then(|| count as f64 / seconds),
        bytes_per_delivery: each(heard.bytes as f64),
        cpu_us_per_delivery: used.server.and_then(|cpu| each(cpu.as_secs_f64() * 1e6)),
        p50_ms: heard.from_schedule.percentile_ms(0.5),
        p99_ms: heard.from_schedule.percentile_ms(0.99),
        p999_ms: heard.from_schedule.percentile_ms(0.999),
        from_commit_p50_ms: heard.from_commit.percentile_ms(0.5),
        from_commit_p99_ms: heard.from_commit.percentile_ms(0.99),
        server_cpu_percent: used.server.map(|cpu| used.percent(cpu)),
        clients_cpu_percent: Some(used.percent(used.clients)),
        note,
        ..Figures::default()
    }
}

impl Figures {
    /// These figures on that line.
    pub(crate) fn of(self, line: Self) -> Self {
        let Self { scenario, server, protocol, clients, .. } = line;
        Self { scenario, server, protocol, clients, ..self }
    }
}

/// Listens until so many deliveries have come, or nothing more will.
fn listen(crowd: &mut Crowd, expected: u64, written: impl Fn() -> bool) -> Result<()> {
    let mut news = (crowd.heard.deliveries, Instant::now());
    while crowd.heard.deliveries < expected {
        crowd.turn(Duration::from_millis(50))?;
        if crowd.heard.deliveries > news.0 || !written() {
            news = (crowd.heard.deliveries, Instant::now());
        } else if news.1.elapsed() > QUIET {
            break;
        }
    }
    // What comes twice comes now.
    crowd.turn(Duration::ZERO)
}

/// Reads what is under way, until nothing has come for a while.
pub(crate) fn settle(crowd: &mut Crowd) -> Result<()> {
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        crowd.turn(Duration::from_millis(100))?;
    }
    Ok(())
}
