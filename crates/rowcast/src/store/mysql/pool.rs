//! A few connections, each lent to one question at a time, and some more for short ones.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;
use super::refused::refused;
use crate::mysql::Address;

/// How long a question waits for a connection to be free.
const WAIT: Duration = Duration::from_secs(10);
/// How long a connection, or the answer to a question of a moment, may take.
pub(super) const ANSWER: Duration = Duration::from_secs(15);
/// A connection that nobody needed for so long is closed.
const IDLE: Duration = Duration::from_secs(120);
/// After so long without use a connection is asked whether it is still there, and has to answer in such a time.
const DOUBT: Duration = Duration::from_millis(10);
const STILL_THERE: Duration = Duration::from_secs(3);
/// Connections for questions of a moment, besides those of the settings.
const MOMENTS: usize = 2;
/// What the store wants of a session beyond what [`Address::connect`] sets: a zero that is given is a zero, and locks of
/// others are not waited for without end.
const SETUP: &str = "SET SESSION sql_mode = CONCAT_WS(',', @@SESSION.sql_mode, 'NO_AUTO_VALUE_ON_ZERO'), \
                     SESSION lock_wait_timeout = 4, SESSION innodb_lock_wait_timeout = 10";

/// The connections.
#[derive(Debug)]
pub(super) struct Pool {
    address: Address,
    idle: Mutex<Vec<(Conn, Instant)>>,
    /// Who gets none waits for one.
    all: Arc<Semaphore>,
    /// Reading may take long, so that it leaves something for writing.
    reading: Arc<Semaphore>,
    moments: Arc<Semaphore>,
}

/// A connection for one question. Unless it is given [`back`](Lent::back) it is not used again, and what it does is stopped.
#[derive(Debug)]
pub(super) struct Lent {
    conn: Option<Conn>,
    pool: Arc<Pool>,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Pool {
    pub(super) fn new(address: Address, connections: usize) -> Self {
        let connections = connections.max(1);
        let reading = (connections - connections.div_ceil(4)).max(1);
        Self {
            address,
            idle: Mutex::default(),
            all: Arc::new(Semaphore::new(connections)),
            reading: Arc::new(Semaphore::new(reading)),
            moments: Arc::new(Semaphore::new(MOMENTS)),
        }
    }

    /// A connection to read with, perhaps for long.
    pub(super) async fn for_reading(self: &Arc<Self>) -> Result<Lent, StoreError> {
        self.lend(&[&self.reading, &self.all]).await
    }

    /// A connection to write with.
    pub(super) async fn for_writing(self: &Arc<Self>) -> Result<Lent, StoreError> {
        self.lend(&[&self.all]).await
    }

    /// A connection for a question of a moment.
    pub(super) async fn for_a_moment(self: &Arc<Self>) -> Result<Lent, StoreError> {
        self.lend(&[&self.moments]).await
    }

    async fn lend(self: &Arc<Self>, gates: &[&Arc<Semaphore>]) -> Result<Lent, StoreError> {
        let mut permits = Vec::new();
        for gate in gates {
            let permit = tokio::time::timeout(WAIT, (*gate).clone().acquire_owned()).await;
            let busy =
                || StoreError::Unavailable("all connections to the database are busy; see mysql.connections".into());
            permits.push(permit.map_err(|_| busy())?.map_err(|_| busy())?);
        }
        let conn = match self.idle().await {
            Some(conn) => conn,
            None => self.connect().await?,
        };
        Ok(Lent { conn: Some(conn), pool: self.clone(), _permits: permits })
    }

    /// One that was used before, and still answers.
    async fn idle(&self) -> Option<Conn> {
        loop {
            let (mut conn, since) = self.take_idle()?;
            let sure = since.elapsed() < DOUBT;
            if sure || matches!(tokio::time::timeout(STILL_THERE, conn.ping()).await, Ok(Ok(()))) {
                return Some(conn);
            }
        }
    }

    fn take_idle(&self) -> Option<(Conn, Instant)> {
        let mut idle = self.idle.lock();
        idle.retain(|(conn, since)| !conn.is_disconnected() && since.elapsed() < IDLE);
        idle.pop()
    }

    async fn connect(&self) -> Result<Conn, StoreError> {
        let connected = tokio::time::timeout(ANSWER, self.address.connect()).await;
        let mut conn = connected.map_err(|_| silent())?.map_err(|error| {
            if error.retry {
                StoreError::Unavailable(error.to_string())
            } else {
                StoreError::Refused(error.to_string())
            }
        })?;
        within(conn.query_drop(SETUP)).await?;
        Ok(conn)
    }

    /// Stops what a connection does for nobody any more. Closing it alone would have its result read to the end.
    async fn stop(self: Arc<Self>, conn: Conn) {
        if let Ok(mut lent) = self.for_a_moment().await {
            // It has ended by itself, or ends now; there is nobody to tell.
            if within(lent.query_drop(format!("KILL {}", conn.id()))).await.is_ok() {
                lent.back();
            }
        }
        drop(conn);
    }
}

impl Lent {
    /// For the next question. Only when no transaction is open on it.
    pub(super) fn back(mut self) {
        if let Some(conn) = self.conn.take()
            && !conn.is_disconnected()
        {
            self.pool.idle.lock().push((conn, Instant::now()));
        }
    }

    /// Ends the transaction, and lends the connection to the next one.
    pub(super) async fn end(mut self) {
        // A connection that cannot end its transaction is not used again.
        if within(self.query_drop("ROLLBACK")).await.is_ok() {
            self.back();
        }
    }
}

impl Deref for Lent {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.conn.as_ref().expect("there until it is given back")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("there until it is given back")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take()
            && !conn.is_disconnected()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(self.pool.clone().stop(conn));
        }
    }
}

/// Waits for the answer to a question of a moment.
pub(super) async fn within<T>(asked: impl Future<Output = Result<T, mysql_async::Error>>) -> Result<T, StoreError> {
    tokio::time::timeout(ANSWER, asked).await.map_err(|_| silent())?.map_err(refused)
}

pub(super) fn silent() -> StoreError {
    StoreError::Unavailable(format!("the database has said nothing for {} s", ANSWER.as_secs()))
}
