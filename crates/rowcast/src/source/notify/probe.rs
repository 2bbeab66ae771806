//! Whether notifications arrive: a second connection sends some, and if they do not, the cause is found.
//!
//! LISTEN fails in silence behind a transaction pooler, after a fail-over, and on a connection that a firewall forgot.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::line::{Broken, Line};
use crate::postgres::Address;

/// Which probes have arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Arrived {
    /// The newest.
    pub(super) number: u64,
    /// Nothing is read at the moment, because the log is slow: so nothing arrives, and nothing is wrong.
    pub(super) paused: bool,
}

/// What a probe has shown.
pub(super) enum Outcome {
    /// It arrived.
    Heard,
    /// It could not be sent, for this reason.
    Unsent(String),
    /// It was sent on this connection, and did not arrive.
    Lost(Box<Line>),
}

/// Sends probes for as long as somebody takes the outcomes.
pub(super) struct Prober {
    pub(super) address: Address,
    /// The channel of the probes.
    pub(super) channel: String,
    pub(super) every: Duration,
    /// How long a probe may take.
    pub(super) patience: Duration,
    pub(super) arrived: watch::Receiver<Arrived>,
    pub(super) outcomes: mpsc::Sender<Outcome>,
}

impl Prober {
    pub(super) async fn run(mut self) {
        let mut line = None;
        for number in 1.. {
            let outcome = match self.send(&mut line, number).await {
                Err(broken) => Outcome::Unsent(broken.to_string()),
                Ok(()) if self.arrives(number).await => Outcome::Heard,
                Ok(()) => line.take().map_or(Outcome::Heard, |line| Outcome::Lost(Box::new(line))),
            };
            if self.outcomes.send(outcome).await.is_err() {
                return;
            }
            tokio::time::sleep(self.every).await;
        }
    }

    /// Sends a probe; on another connection if the one that there was has been closed meanwhile.
    async fn send(&self, line: &mut Option<Line>, number: u64) -> Result<(), Broken> {
        let sql = format!("notify \"{}\", '{number}'", self.channel);
        if let Some(mut old) = line.take() {
            match old.ask(&sql).await {
                Ok(_) => {
                    *line = Some(old);
                    return Ok(());
                }
                Err(Broken::Closed(_)) => {}
                Err(broken) => return Err(broken),
            }
        }
        let mut new = Line::open(&self.address, "rowcast-probe", self.patience).await?;
        new.ask(&sql).await?;
        *line = Some(new);
        Ok(())
    }

    async fn arrives(&mut self, number: u64) -> bool {
        loop {
            let done = self.arrived.wait_for(|arrived| arrived.number >= number || arrived.paused);
            let paused = match tokio::time::timeout(self.patience, done).await {
                Ok(Ok(arrived)) if arrived.number >= number => return true,
                Ok(Ok(_)) => true,
                Ok(Err(_)) | Err(_) => false,
            };
            if !paused || self.arrived.wait_for(|arrived| !arrived.paused).await.is_err() {
                return false;
            }
        }
    }
}

/// Why what was sent on `second` does not arrive on `first`, in a sentence that says what to do.
pub(super) async fn cause(first: &mut Line, second: &mut Line, pid: &str, channel: &str) -> String {
    match find(first, second, pid, channel).await {
        Ok(cause) => cause,
        Err(broken) => broken.to_string(),
    }
}

async fn find(first: &mut Line, second: &mut Line, pid: &str, channel: &str) -> Result<String, Broken> {
    let server = "select pg_postmaster_start_time()::text || ' ' || current_database(), pg_is_in_recovery()::text";
    let [here, there] = [first.ask(server).await?, second.ask(server).await?];
    if here[0] != there[0] {
        return Ok(OTHER_SERVER.to_owned());
    }
    if here[1].as_deref() == Some("true") {
        return Ok(REPLICA.to_owned());
    }
    let listens = format!("select exists (select from pg_listening_channels() c where c = '{channel}')::text");
    if first.ask(&listens).await?[0].as_deref() != Some("true") || is_pooled(first, second, pid).await? {
        return Ok(POOLER.to_owned());
    }
    Ok("notifications do not arrive, although the connection answers; it is made again".to_owned())
}

/// Whether the two connections share a server process, or change theirs.
async fn is_pooled(first: &mut Line, second: &mut Line, pid: &str) -> Result<bool, Broken> {
    const PID: &str = "select pg_backend_pid()::text";
    for _ in 0..3 {
        let before = first.ask(PID).await?.swap_remove(0);
        // A pooler hands out first what was given back last. In a transaction the second connection keeps it.
        second.ask("begin").await?;
        let other = second.ask(PID).await?.swap_remove(0);
        let after = first.ask(PID).await;
        second.ask("rollback").await?;
        let after = after?.swap_remove(0);
        if before.as_deref() != Some(pid) || after != before || other == before {
            return Ok(true);
        }
    }
    Ok(false)
}

const POOLER: &str = "LISTEN does not hold: between Rowcast and PostgreSQL is a pooler that gives each transaction another \
    connection (pgbouncer with pool_mode=transaction); connect to PostgreSQL itself, or through pool_mode=session";
const OTHER_SERVER: &str = "two connections to the same address reach different servers (a load balancer, or a fail-over just now), so that NOTIFY \
    on one is not heard on the other; connect to the primary";
/// What a replica is told apart by.
pub(super) const REPLICA: &str = "this is a read-only replica, and NOTIFY is only heard on the primary; connect to the primary, or name \
    all servers in the address with target_session_attrs=read-write";
