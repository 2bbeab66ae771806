//! A replication connection, which tokio-postgres does not have: PostgreSQL's protocol in both directions at once.
//!
//! Leaves what the frames mean to `source`.

mod error;
mod flow;
mod frame;
mod login;
mod pipe;
mod probe;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::backend::{DataRowBody, Message};
use postgres_protocol::message::frontend;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};
use tokio_postgres::fallible_iterator::FallibleIterator;

pub use error::WireError;
pub use frame::Frame;

use super::address::Wanted;
use super::connect::{Dial, Refusal, SESSION_STATE, suits};
use super::{Address, ConnectError, Lsn};
use flow::{Bundle, Streaming, Told};
use pipe::{Heard, Pipe};

/// A connection to a walsender. First it answers queries; after [`start`](Replication::start) it streams.
///
/// Dropping it ends the session after a last status update; [`close`](Replication::close) waits for that.
pub struct Replication {
    address: Address,
    server: login::Server,
    told: Arc<Told>,
    state: State,
}

/// How a stream is watched and how much of it may wait.
#[derive(Debug, Clone)]
pub struct Flow {
    /// How often the server is told how far we are, whether or not frames are taken.
    pub status_every: Duration,
    /// A server that says nothing for so long, although it was asked, is dead, unless a second connection finds it at work.
    pub dead_after: Duration,
    /// Bytes of frames that may wait to be taken. When they are full nothing more is read, and the server waits.
    pub memory: usize,
}

impl Default for Flow {
    fn default() -> Self {
        Self { status_every: Duration::from_secs(1), dead_after: Duration::from_secs(10), memory: 8 << 20 }
    }
}

enum State {
    Idle(Pipe),
    Streaming {
        receiver: mpsc::Receiver<Result<Bundle, WireError>>,
        task: JoinHandle<()>,
        bundle: Option<Bundle>,
    },
    /// A query failed half-way, or the stream has ended.
    Over,
}

impl Replication {
    /// Another replication connection, which calls itself `application`.
    pub async fn connect(address: &Address, application: &str) -> Result<Self, ConnectError> {
        let parameters = &address.parameters;
        let mut dial = Dial::new(parameters);
        loop {
            let line = dial.next().await?;
            let (deadline, wanted, place) = (line.deadline, line.wanted, line.place);
            let mut pipe = Pipe::new(line.stream);
            let entered = async {
                let server = login::login(&mut pipe, &place, parameters, application).await?;
                let told = Arc::new(Told::default());
                let mut own = Self { address: address.clone(), server, told, state: State::Idle(pipe) };
                if wanted != Wanted::Any {
                    let rows = own.query(SESSION_STATE).await;
                    let rows = rows.map_err(|error| login::refusal(&place, parameters, error))?;
                    let said = rows.first().map(|row| {
                        let is = |at: usize, text: &str| row.get(at).and_then(Option::as_deref) == Some(text);
                        (is(0, "t"), is(1, "on"))
                    });
                    suits(wanted, said, &place)?;
                }
                Ok::<_, Refusal>(own)
            };
            match timeout_at(deadline, entered).await {
                Ok(Ok(own)) => return Ok(own),
                Ok(Err(refusal)) => dial.refused(refusal),
                Err(_) => dial.refused(Refusal::late(&place, parameters)),
            }
        }
    }

    /// What the server reports about itself: `server_version`, `server_encoding`, `TimeZone`, …
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.server.parameters.get(name).map(String::as_str)
    }

    /// The server's process for this connection, as in `pg_stat_replication.pid`.
    pub fn process(&self) -> i32 {
        self.server.process
    }

    /// The rows of a command (`IDENTIFY_SYSTEM`, `CREATE_REPLICATION_SLOT …`) or of SQL, as text. Only before `start`.
    ///
    /// After an error of the server the connection can be used on; after a broken line, or when the future was dropped, not.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, WireError> {
        let mut pipe = self.take()?;
        let mut bytes = BytesMut::new();
        frontend::query(sql, &mut bytes).map_err(WireError::io)?;
        pipe.send(&bytes).await?;
        let (mut rows, mut failed) = (Vec::new(), None);
        loop {
            match pipe.hear().await {
                Ok(Heard::Message(Message::DataRow(row))) => rows.push(cells(&row)?),
                Ok(Heard::Message(Message::ReadyForQuery(_))) => break,
                Ok(Heard::CopyBoth) => {
                    return Err(WireError::broken("a stream is started with `start`, not with `query`"));
                }
                Ok(Heard::Message(_)) => {}
                Err(error) if error.code.is_some() && failed.is_none() => failed = Some(error),
                Err(error) => return Err(failed.unwrap_or(error)),
            }
        }
        self.state = State::Idle(pipe);
        failed.map_or(Ok(rows), Err)
    }

    /// Begins to stream: `START_REPLICATION SLOT "…" LOGICAL 0/0 (…)`. After an error of the server it can be tried again.
    pub async fn start(&mut self, sql: &str, flow: Flow) -> Result<(), WireError> {
        let mut pipe = self.take()?;
        let mut bytes = BytesMut::new();
        frontend::query(sql, &mut bytes).map_err(WireError::io)?;
        pipe.send(&bytes).await?;
        loop {
            match pipe.hear().await {
                Ok(Heard::CopyBoth) => break,
                Ok(Heard::Message(Message::ReadyForQuery(_))) => {
                    self.state = State::Idle(pipe);
                    return Err(WireError::broken("the database took the command, but did not begin to stream"));
                }
                Ok(Heard::Message(_)) => {}
                Err(error) if error.code.is_some() => {
                    while !matches!(pipe.hear().await?, Heard::Message(Message::ReadyForQuery(_))) {}
                    self.state = State::Idle(pipe);
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        let (receiver, task) =
            Streaming::start(pipe, (self.address.clone(), self.server.process), self.told.clone(), flow);
        self.state = State::Streaming { receiver, task, bundle: None };
        Ok(())
    }

    /// Waits for the next frame. Dropping the future loses nothing. After an error the connection is over.
    pub async fn next(&mut self) -> Result<Frame, WireError> {
        let State::Streaming { receiver, bundle, .. } = &mut self.state else {
            return Err(WireError::broken("the replication stream is not running"));
        };
        loop {
            if let Some(frame) = bundle.as_mut().and_then(|bundle| bundle.frames.pop_front()) {
                return Ok(frame);
            }
            // Gives its memory back: the next one may need it.
            *bundle = None;
            match receiver.recv().await {
                Some(Ok(next)) => *bundle = Some(next),
                Some(Err(error)) => return Err(error),
                None => return Err(WireError::broken("the replication stream has ended")),
            }
        }
    }

    /// Everything up to `lsn` is safe here: the server may forget it. Goes out with the next status update. Never goes back.
    pub fn confirm(&self, lsn: Lsn) {
        self.told.confirmed.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// Asks the server at once how far it is; a [`Frame::KeepAlive`] is the answer.
    pub fn ask(&self) {
        self.told.asked.notify_one();
    }

    /// Ends the session, and waits until the server has let go of it (and of its slot), for [`Flow::dead_after`] at most.
    pub async fn close(self) {
        match self.state {
            State::Streaming { receiver, task, .. } => {
                drop(receiver);
                // It ends by itself: a panic in it would be ours, and there is nothing left to do for it.
                let _ = task.await;
            }
            State::Idle(mut pipe) => {
                let mut bytes = BytesMut::new();
                frontend::terminate(&mut bytes);
                if pipe.send(&bytes).await.is_ok() {
                    let _ = timeout(Flow::default().dead_after, pipe.hear()).await;
                }
            }
            State::Over => {}
        }
    }

    fn take(&mut self) -> Result<Pipe, WireError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Idle(pipe) => Ok(pipe),
            other => {
                self.state = other;
                Err(WireError::broken("the replication connection is not free for a command: it streams, or it broke"))
            }
        }
    }
}

fn cells(row: &DataRowBody) -> Result<Vec<Option<String>>, WireError> {
    let mut cells = Vec::new();
    let mut ranges = row.ranges();
    while let Some(range) = ranges.next().map_err(WireError::io)? {
        cells.push(range.map(|range| String::from_utf8_lossy(&row.buffer()[range]).into_owned()));
    }
    Ok(cells)
}
