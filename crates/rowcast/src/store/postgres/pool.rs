//! A few connections, each lent to one question at a time, and one more that all share for short ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::StoreError;
use super::refused::refused;
use crate::postgres::Address;

/// How long a question waits for a connection to be free.
const WAIT: Duration = Duration::from_secs(10);
/// How long a connection, or the answer to a question of a moment, may take.
pub(super) const ANSWER: Duration = Duration::from_secs(15);
/// A connection that nobody needed for so long is closed.
const IDLE: Duration = Duration::from_secs(120);
/// After so long without use a connection is asked whether it is still there, and has to answer in such a time.
const DOUBT: Duration = Duration::from_millis(10);
const STILL_THERE: Duration = Duration::from_secs(3);

/// The connections.
#[derive(Debug)]
pub(super) struct Pool {
    address: Address,
    application: String,
    idle: Mutex<Vec<(Client, Instant)>>,
    /// Who gets none waits for one.
    all: Arc<Semaphore>,
    /// Reading may take long, so that it leaves something for writing.
    reading: Arc<Semaphore>,
    shared: tokio::sync::Mutex<Option<(Arc<Client>, Instant)>>,
}

/// A connection for one question. Unless it is given [`back`](Lent::back) it is not used again, and what it does is stopped.
#[derive(Debug)]
pub(super) struct Lent {
    client: Option<Client>,
    pool: Arc<Pool>,
    /// The server's number of the connection, once known.
    pub(super) pid: Option<i32>,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Pool {
    pub(super) fn new(address: Address, instance: &str, connections: usize) -> Self {
        let connections = connections.max(1);
        let reading = (connections - connections.div_ceil(4)).max(1);
        Self {
            address,
            application: format!("rowcast-{instance}-store"),
            idle: Mutex::default(),
            all: Arc::new(Semaphore::new(connections)),
            reading: Arc::new(Semaphore::new(reading)),
            shared: tokio::sync::Mutex::default(),
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

    /// The connection for questions of a moment, outside of any transaction.
    pub(super) async fn shared(&self) -> Result<Arc<Client>, StoreError> {
        let mut shared = self.shared.lock().await;
        if let Some((client, used)) = &mut *shared
            && is_there(client, *used).await
        {
            *used = Instant::now();
            return Ok(client.clone());
        }
        let client = Arc::new(self.connect().await?);
        *shared = Some((client.clone(), Instant::now()));
        Ok(client)
    }

    /// Waits for what `shared` was asked; a connection that does not answer is not used again.
    pub(super) async fn answer<T>(
        &self,
        client: &Arc<Client>,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        if let Ok(answer) = tokio::time::timeout(ANSWER, asked).await {
            return answer.map_err(refused);
        }
        let mut shared = self.shared.lock().await;
        if shared.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, client)) {
            *shared = None;
        }
        Err(silent())
    }

    async fn lend(self: &Arc<Self>, gates: &[&Arc<Semaphore>]) -> Result<Lent, StoreError> {
        let mut permits = Vec::new();
        for gate in gates {
            let permit = tokio::time::timeout(WAIT, (*gate).clone().acquire_owned()).await;
            let busy =
                || StoreError::Unavailable("all connections to PostgreSQL are busy; see postgres.connections".into());
            permits.push(permit.map_err(|_| busy())?.map_err(|_| busy())?);
        }
        let client = match self.idle().await {
            Some(client) => client,
            None => self.connect().await?,
        };
        Ok(Lent { client: Some(client), pool: self.clone(), pid: None, _permits: permits })
    }

    /// One that was used before, and still answers.
    async fn idle(&self) -> Option<Client> {
        loop {
            let (client, since) = self.take_idle()?;
            if is_there(&client, since).await {
                return Some(client);
            }
        }
    }

    fn take_idle(&self) -> Option<(Client, Instant)> {
        let mut idle = self.idle.lock();
        idle.retain(|(client, since)| !client.is_closed() && since.elapsed() < IDLE);
        idle.pop()
    }

    async fn connect(&self) -> Result<Client, StoreError> {
        let connected = tokio::time::timeout(ANSWER, self.address.connect(&self.application)).await;
        let client = connected.map_err(|_| silent())?.map_err(|error| {
            if error.retry {
                StoreError::Unavailable(error.to_string())
            } else {
                StoreError::Refused(error.to_string())
            }
        })?;
        Ok(client)
    }

    /// Stops what a connection does for nobody any more.
    async fn cancel(self: Arc<Self>, client: Client, pid: i32) {
        if !client.is_closed()
            && let Ok(shared) = self.shared().await
        {
            // It has ended by itself, or ends now; there is nobody to tell.
            // A pooler may have given the number to another program.
            let sql = "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity \
                       WHERE pid = $1 AND application_name = $2";
            let stop =
                async { shared.execute_typed(sql, &[(&pid, Type::INT4), (&self.application, Type::TEXT)]).await };
            let _ = self.answer(&shared, stop).await;
        }
    }
}

impl Lent {
    pub(super) fn client(&self) -> &Client {
        self.client.as_ref().expect("there until it is given back")
    }

    /// For the next question. Only when no transaction is open on it.
    pub(super) fn back(mut self) {
        if let Some(client) = self.client.take()
            && !client.is_closed()
        {
            self.pool.idle.lock().push((client, Instant::now()));
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(client), Some(pid), Ok(runtime)) =
            (self.client.take(), self.pid, tokio::runtime::Handle::try_current())
        {
            runtime.spawn(self.pool.clone().cancel(client, pid));
        }
    }
}

/// Whether a connection that was used then can still be used.
async fn is_there(client: &Client, used: Instant) -> bool {
    !client.is_closed()
        && (used.elapsed() < DOUBT
            || matches!(tokio::time::timeout(STILL_THERE, client.check_connection()).await, Ok(Ok(()))))
}

/// Waits for the answer to a question of a moment.
pub(super) async fn within<T>(asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, StoreError> {
    tokio::time::timeout(ANSWER, asked).await.map_err(|_| silent())?.map_err(refused)
}

fn silent() -> StoreError {
    StoreError::Unavailable(format!("PostgreSQL has said nothing for {} s", ANSWER.as_secs()))
}
