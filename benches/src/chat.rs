//! A chat: people in pairs and in rooms of a hundred, from what one says until all of the room have read it.
//!
//! Beside Rowcast's chat stands one as it is written with npm's `socket.io` and `pg` (`peers/chat`), on the same PostgreSQL server.

mod ledger;
mod people;
mod sites;

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use servers::{Postgres, PostgresOptions};

pub(crate) use sites::serve;

use crate::Scale;
use crate::load::{on_one_thread, percentile};
use crate::process::family;
use crate::table::{Table, number, ratio};
use crate::usage::Cpu;
use ledger::Ledger;
use people::People;
use sites::{Side, Site};

/// Messages on their way at a time, where each waits for an earlier one.
const WINDOW: usize = 64;
/// Longer than all that is on its way may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is special about a chat.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// PostgreSQL waits for its disk at each commit, as it does unless it is told otherwise; benches tell it otherwise.
    #[arg(long)]
    fsync: bool,
}

/// Who talks with whom: neighbours are in a room.
#[derive(Debug, Clone, Copy)]
struct Shape {
    people: usize,
    /// Of each room.
    size: usize,
    /// Messages a second that all servers can bear.
    rate: f64,
}

pub(crate) fn run(scale: &Scale, args: &Args) -> Result<()> {
    let people = scale.pick(1_000, 40);
    let pairs = Shape { people, size: 2, rate: 50.0 };
    let rooms = Shape { people, size: scale.pick(100, 10), rate: 20.0 };
    let fsync = if args.fsync { "on" } else { "off" };
    let postgres = Postgres::start_with(&PostgresOptions::default().set("fsync", fsync))?;
    let peers: &[Side] = if sites::install_peer() {
        &[Side::Socketio, Side::SocketioWithReceipt]
    } else {
        eprintln!("the chat on Node cannot be installed, and is left out");
        &[]
    };
    for shape in [pairs, rooms] {
        println!("{}", measured(scale, shape, fsync, &postgres, peers)?);
    }
    Ok(())
}

fn measured(scale: &Scale, shape: Shape, fsync: &str, postgres: &Postgres, peers: &[Side]) -> Result<Table> {
    let Shape { people, size, .. } = shape;
    let head = [
        "",
        "messages/s",
        "× npm",
        "deliveries/s",
        "p50 ms",
        "p99 ms",
        "p99 × npm",
        "server CPU ms/message",
        "PostgreSQL CPU ms/message",
        "server CPU %",
        "PostgreSQL CPU %",
        "clients CPU %",
    ];
    let title = match size {
        2 => format!("chat: {people} people in pairs, fsync {fsync}"),
        _ => format!("chat: {people} people in rooms of {size}, fsync {fsync}"),
    };
    let mut out = Table::new(title, &head);
    let sides = peers.iter().copied().chain([Side::Rowcast]);
    let all = sides.map(|side| Ok((side, on_one_thread(side_by_side(scale, side, shape, postgres))?)));
    let all: Vec<(Side, [Stretch; 2])> = all.collect::<Result<_>>()?;
    for (at, what) in ["offered", "as many as it bears"].into_iter().enumerate() {
        let npm = all.iter().find(|(side, _)| *side == Side::Socketio).map(|(_, stretches)| &stretches[at]);
        for (side, stretches) in &all {
            out.row(stretches[at].cells(format!("{what}: {}", side.name()), size, npm));
        }
    }
    out.note(format!(
        "Offered: {} messages a second, timed from when each was due until each of the room has read it. As many as it bears: {WINDOW} messages \
         on their way at a time. Every message reached everybody in its room once and nobody else, and all are stored.",
        shape.rate
    ));
    Ok(out)
}

async fn side_by_side(scale: &Scale, side: Side, shape: Shape, postgres: &Postgres) -> Result<[Stretch; 2]> {
    let site = Site::start(scale, side, shape, postgres).await?;
    let ledger = Rc::new(Ledger::new(shape));
    let people = People::gather(&site, &ledger).await?;
    let run = Run { site: &site, ledger: &ledger, people: &people, postgres };
    let (warm, time) = (Duration::from_millis(scale.pick(3_000, 200)), Duration::from_millis(scale.pick(15_000, 500)));
    run.offered(warm).await?;
    let offered = run.offered(time).await?;
    run.bearing(warm).await?;
    let bearing = run.bearing(time).await?;
    let (stored, sent) = (site.stored().await?, ledger.sent());
    ensure!(stored == sent, "{stored} of {sent} messages are stored");
    Ok([offered, bearing])
}

/// One site, while people talk.
struct Run<'a> {
    site: &'a Site,
    ledger: &'a Ledger,
    people: &'a People,
    postgres: &'a Postgres,
}

impl Run<'_> {
    /// Messages on a schedule that waits for nobody.
    async fn offered(&self, time: Duration) -> Result<Stretch> {
        let begun = self.begin()?;
        let rate = self.site.shape.rate;
        for i in 0..(time.as_secs_f64() * rate) as u32 {
            let due = begun.at + Duration::from_secs_f64(f64::from(i) / rate);
            tokio::time::sleep_until(due.into()).await;
            self.send(due);
        }
        self.end(begun).await
    }

    /// A new message whenever one has reached everybody.
    async fn bearing(&self, time: Duration) -> Result<Stretch> {
        let begun = self.begin()?;
        self.ledger.free.forget_permits(usize::MAX);
        self.ledger.free.add_permits(WINDOW);
        while begun.at.elapsed() < time {
            let free = tokio::time::timeout(PATIENCE, self.ledger.free.acquire()).await;
            free.context("no message arrives any more")??.forget();
            self.ledger.check()?;
            self.send(Instant::now());
        }
        self.end(begun).await
    }

    fn send(&self, due: Instant) {
        let (message, sender) = self.ledger.message(due);
        self.people.say(sender, message);
    }

    fn begin(&self) -> Result<Begun> {
        self.ledger.begin();
        Ok(Begun { sent: self.ledger.sent(), usage: self.usage()?, at: Instant::now() })
    }

    async fn end(&self, begun: Begun) -> Result<Stretch> {
        let (last, delays_us) = self.ledger.all_heard(PATIENCE).await?;
        let (now, before) = (self.usage()?, begun.usage);
        Ok(Stretch {
            messages: (self.ledger.sent() - begun.sent) as f64,
            seconds: (last - begun.at).as_secs_f64(),
            delays_us,
            server: now.server - before.server,
            postgres: now.postgres.saturating_sub(before.postgres),
            clients: now.clients - before.clients,
        })
    }

    fn usage(&self) -> Result<Usage> {
        let pid = std::fs::read_to_string(self.postgres.folder().join("data/postmaster.pid"))?;
        let pid = pid.lines().next().context("the server's number")?.parse()?;
        Ok(Usage { server: self.site.server.cpu()?, postgres: family(pid)?, clients: Cpu::of(std::process::id())? })
    }
}

/// Processor time so far.
struct Usage {
    server: Cpu,
    postgres: Duration,
    clients: Cpu,
}

/// What was so before some messages.
struct Begun {
    sent: u64,
    usage: Usage,
    at: Instant,
}

/// What became of some messages.
struct Stretch {
    messages: f64,
    /// From the first that was sent until the last was heard.
    seconds: f64,
    delays_us: Vec<u32>,
    server: Duration,
    postgres: Duration,
    clients: Duration,
}

impl Stretch {
    fn rate(&self) -> f64 {
        self.messages / self.seconds
    }

    fn ms(&self, share: f64) -> f64 {
        percentile(&self.delays_us, share) / 1_000.0
    }

    fn cells(&self, name: String, size: usize, npm: Option<&Self>) -> Vec<String> {
        let beside = |own: f64, of: fn(&Self) -> f64| npm.map_or("–".into(), |npm| ratio(own, of(npm)));
        let each = |used: Duration| number(used.as_secs_f64() * 1e3 / self.messages);
        let share = |used: Duration| number(used.as_secs_f64() * 100.0 / self.seconds);
        vec![
            name,
            number(self.rate()),
            beside(self.rate(), Self::rate),
            number(self.rate() * size as f64),
            number(self.ms(0.5)),
            number(self.ms(0.99)),
            beside(self.ms(0.99), |npm| npm.ms(0.99)),
            each(self.server),
            each(self.postgres),
            share(self.server),
            share(self.postgres),
            share(self.clients),
        ]
    }
}
