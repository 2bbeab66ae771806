//! Listens: connects, LISTENs to what is wanted, and hands on what is heard, until it is dropped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_postgres::Notification;

use super::Ears;
use super::line::{Broken, Line};
use super::probe::{Arrived, Outcome, Prober, cause};
use crate::event::{Body, Change, Channel, Message, ResetCause};
use crate::postgres::Address;
use crate::source::SourceStatus;

/// Notifications that may wait for the log, and their bytes: beyond that, they wait in the server.
const WAITING_MAX: usize = 4096;
const WAITING_BYTES: usize = 4 << 20;
/// Notifications taken in one go.
const READ_MAX: usize = 1024;

/// The pauses between attempts.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What becomes one batch.
#[derive(Debug)]
pub(super) struct Heard {
    /// Which connection brought it.
    pub(super) connection: u64,
    /// The channels whose hearing began in it.
    pub(super) begun: Vec<Arc<str>>,
    pub(super) changes: Vec<Change>,
}

/// Hears notifications, on one connection after the other.
pub(super) struct Listener {
    pub(super) address: Address,
    pub(super) ears: Arc<Ears>,
    pub(super) status: Arc<Mutex<SourceStatus>>,
    pub(super) probe_every: Duration,
    pub(super) dead_after: Duration,
    pub(super) heard: mpsc::Sender<Heard>,
}

impl Listener {
    pub(super) async fn run(self) {
        // Two connections and a NOTIFY now and then are not spent before there is something to hear.
        if self.ears.subscribe().wait_for(|hearing| !hearing.wanted.is_empty()).await.is_err() {
            return;
        }
        let mut pause = PAUSE_MIN;
        let mut trouble: Option<String> = None;
        loop {
            let began = Instant::now();
            let Err(broken) = self.listen(trouble.as_deref()).await else { return };
            let message = broken.to_string();
            self.stands(Some(message.clone()));
            if trouble.as_ref() != Some(&message) {
                tracing::warn!(database = %self.address, "NOTIFY is not heard, and tried again: {message}");
            }
            trouble = Some(message);
            if began.elapsed() > self.dead_after {
                pause = PAUSE_MIN;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn stands(&self, problem: Option<String>) {
        self.status.lock().problem.clone_from(&problem);
        self.ears.stands(problem);
    }

    /// How long an answer may take, so that a dead connection is known as such in time.
    fn patience(&self) -> Duration {
        self.dead_after.checked_sub(self.probe_every).unwrap_or(self.dead_after / 2).max(Duration::from_secs(1))
    }

    /// One connection, until it is of no use; `Ok` when nobody takes what is heard.
    async fn listen(&self, trouble: Option<&str>) -> Result<(), Broken> {
        let connection = self.ears.connecting();
        let line = Line::open(&self.address, "rowcast-notify", self.patience()).await?;
        let reason = match trouble {
            None => "NOTIFY is heard from here on".to_owned(),
            Some(trouble) => format!("NOTIFY was not heard for a while: {trouble}"),
        };
        let probes = format!("rowcast_probe_{:016x}", rand::random::<u64>());
        let mut session = Session {
            listener: self,
            line,
            connection,
            pid: String::new(),
            probes,
            arrived: watch::Sender::default(),
            listening: BTreeSet::new(),
            reason: reason.into(),
            confirmed: false,
            begun: Vec::new(),
            changes: Vec::new(),
            bytes: 0,
        };
        let ended = session.run().await;
        // What was heard before the connection ended is not lost with it.
        if session.confirmed && !session.changes.is_empty() && self.heard.send(session.take()).await.is_err() {
            return Ok(());
        }
        ended
    }
}

/// One connection's state.
struct Session<'a> {
    listener: &'a Listener,
    line: Line,
    connection: u64,
    /// The server process, when LISTEN was said.
    pid: String,
    /// The channel of the probes.
    probes: String,
    arrived: watch::Sender<Arrived>,
    listening: BTreeSet<Arc<str>>,
    /// What is said where hearing begins.
    reason: Box<str>,
    /// A probe has arrived: LISTEN holds.
    confirmed: bool,
    /// Channels that are heard, and of which nobody has been told yet.
    begun: Vec<Arc<str>>,
    changes: Vec<Change>,
    bytes: usize,
}

/// Ends a task with its owner.
struct Aborting(AbortHandle);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session<'_> {
    async fn run(&mut self) -> Result<(), Broken> {
        let listener = self.listener;
        let mut hearing = listener.ears.subscribe();
        let row = self.line.ask(&format!("listen \"{}\"; select pg_backend_pid()::text", self.probes)).await?;
        self.pid = row.into_iter().next().flatten().unwrap_or_default();
        let wanted = hearing.borrow_and_update().wanted.clone();
        self.listen_to(wanted).await?;
        let (outcomes, mut shown) = mpsc::channel(1);
        let _prober = Aborting(tokio::spawn(self.prober(outcomes).run()).abort_handle());
        let mut check = interval(listener.probe_every);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.sort();
            let room = self.changes.len() < WAITING_MAX && self.bytes < WAITING_BYTES;
            self.arrived.send_if_modified(|arrived| std::mem::replace(&mut arrived.paused, !room) == room);
            tokio::select! {
                permit = listener.heard.reserve(), if self.confirmed && !self.changes.is_empty() => match permit {
                    Ok(permit) => permit.send(self.take()),
                    Err(_) => return Ok(()),
                },
                heard = self.line.hear(READ_MAX), if room => heard?,
                _ = hearing.changed(), if room => {
                    let wanted = hearing.borrow_and_update().wanted.clone();
                    self.listen_to(wanted).await?;
                }
                Some(outcome) = shown.recv() => self.judge(outcome).await?,
                _ = check.tick(), if room => {
                    self.line.ask("").await?;
                }
            }
        }
    }

    fn prober(&self, outcomes: mpsc::Sender<Outcome>) -> Prober {
        let Listener { address, probe_every, .. } = self.listener;
        Prober {
            address: address.clone(),
            channel: self.probes.clone(),
            every: *probe_every,
            patience: self.listener.patience(),
            arrived: self.arrived.subscribe(),
            outcomes,
        }
    }

    /// LISTENs to what is new.
    async fn listen_to(&mut self, wanted: BTreeSet<Arc<str>>) -> Result<(), Broken> {
        let new: Vec<Arc<str>> = wanted.difference(&self.listening).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        // What is notified while this is under way comes after the word that hearing began.
        let before = self.changes.len();
        let sql: String = new.iter().map(|name| format!("listen \"{}\";", name.replace('"', "\"\""))).collect();
        self.line.ask(&sql).await?;
        self.listening = wanted;
        if self.confirmed {
            self.begin(new, before);
        } else {
            self.begun.extend(new);
        }
        Ok(())
    }

    /// Says where hearing begins, ahead of the changes from `at` on.
    fn begin(&mut self, channels: Vec<Arc<str>>, at: usize) {
        let time_ms = crate::source::now_ms();
        let resets = channels.iter().map(|name| {
            let body = Body::Reset {
                channel: Channel::Notify((**name).into()),
                cause: ResetCause::Missed,
                reason: self.reason.clone(),
            };
            Change { tx: 0, last: true, time_ms, body }
        });
        self.changes.splice(at..at, resets.collect::<Vec<_>>());
        self.begun.extend(channels);
    }

    /// Takes what the line has gathered: probes aside, it becomes messages.
    fn sort(&mut self) {
        let time_ms = crate::source::now_ms();
        for notification in self.line.gathered.drain(..) {
            if notification.channel() == self.probes {
                let number = notification.payload().parse().unwrap_or(0);
                self.arrived.send_modify(|arrived| arrived.number = arrived.number.max(number));
                continue;
            }
            self.bytes += notification.payload().len();
            let body = Body::Message(message(&notification));
            self.changes.push(Change { tx: 0, last: true, time_ms, body });
        }
    }

    fn take(&mut self) -> Heard {
        self.bytes = 0;
        let (begun, changes) = (std::mem::take(&mut self.begun), std::mem::take(&mut self.changes));
        Heard { connection: self.connection, begun, changes }
    }

    async fn judge(&mut self, outcome: Outcome) -> Result<(), Broken> {
        match outcome {
            Outcome::Heard => self.confirm(None),
            Outcome::Unsent(reason) => {
                self.line.ask("").await?;
                let problem = format!("NOTIFY is heard as far as is known, but that cannot be checked: {reason}");
                self.confirm(Some(problem));
            }
            Outcome::Lost(mut second) => {
                let found = cause(&mut self.line, &mut second, &self.pid, &self.probes).await;
                return Err(Broken::Deaf(found));
            }
        }
        Ok(())
    }

    fn confirm(&mut self, problem: Option<String>) {
        if !self.confirmed {
            self.confirmed = true;
            let channels = std::mem::take(&mut self.begun);
            tracing::info!(database = %self.listener.address, channels = channels.len(), "NOTIFY is heard");
            self.begin(channels, 0);
        }
        self.listener.stands(problem);
    }
}

fn message(notification: &Notification) -> Message {
    let json = json!({ "payload": notification.payload(), "process_id": notification.process_id() });
    let channel = Channel::Notify(notification.channel().into());
    Message { channel, event: "notify".into(), json: json.to_string().into() }
}
