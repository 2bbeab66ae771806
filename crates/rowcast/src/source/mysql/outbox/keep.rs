//! Looks after an outbox, on a connection of its own: keeps the triggers as the tables are, and removes what the log has.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::mysql::{Address, MysqlSettings, install, sequence};
use crate::source::SourceStatus;

/// How many rows are removed at once.
const STEP: usize = 1_000;
/// How often it begins.
const PRUNE_EVERY: Duration = Duration::from_secs(2);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Looks after an outbox until it is dropped.
pub(super) struct Keeper {
    confirmed: watch::Sender<u64>,
    _task: AbortOnDropHandle<()>,
}

impl Keeper {
    pub(super) fn begin(address: Address, settings: MysqlSettings, status: Arc<Mutex<SourceStatus>>) -> Self {
        let (confirmed, upto) = watch::channel(0);
        let task = tokio::spawn(run(address, settings, status, upto));
        Self { confirmed, _task: AbortOnDropHandle::new(task) }
    }

    /// The log has every transaction up to this number.
    pub(super) fn confirm(&self, done: u64) {
        self.confirmed.send_if_modified(|known| std::mem::replace(known, done) != done);
    }
}

async fn run(
    address: Address,
    settings: MysqlSettings,
    status: Arc<Mutex<SourceStatus>>,
    mut confirmed: watch::Receiver<u64>,
) {
    let mut conn: Option<Conn> = None;
    let mut pruned = Instant::now();
    loop {
        tokio::time::sleep(settings.look_every).await;
        let prune = pruned.elapsed() >= PRUNE_EVERY && confirmed.has_changed().unwrap_or(false);
        let upto = prune.then(|| *confirmed.borrow_and_update());
        match keep(&address, &settings, &mut conn, upto).await {
            Ok(problem) => status.lock().problem = problem,
            Err(error) => {
                conn = None;
                tracing::warn!(%error, "the outbox could not be looked after; it is tried again");
                status.lock().problem = Some(error.to_string());
                if upto.is_some() {
                    confirmed.mark_changed();
                }
            }
        }
        if prune {
            pruned = Instant::now();
        }
    }
}

/// Returns what is wrong with the triggers.
async fn keep(
    address: &Address,
    settings: &MysqlSettings,
    conn: &mut Option<Conn>,
    upto: Option<u64>,
) -> Result<Option<String>, Failure> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(address.connect().await?),
    };
    let refreshed = install::refresh(conn, settings).await;
    if let Some(upto) = upto {
        remove(conn, upto).await?;
    }
    match refreshed {
        Ok(sql) => {
            if !sql.is_empty() {
                tracing::info!(statements = sql.len(), "the triggers were made as the tables are now");
            }
            Ok(None)
        }
        // The connection is good; somebody has to do something, or a table is in use.
        Err(error) if error.cause.as_ref().is_none_or(is_servers) => Ok(Some(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn is_servers(cause: &Failure) -> bool {
    matches!(cause.downcast_ref::<mysql_async::Error>(), Some(mysql_async::Error::Server(_)))
}

/// In small steps, and by their keys alone, which blocks no writer.
async fn remove(conn: &mut Conn, upto: u64) -> Result<(), mysql_async::Error> {
    loop {
        let sql = format!("SELECT id FROM _rowcast_outbox FORCE INDEX (seq) WHERE seq <= {upto} LIMIT {STEP}");
        let ids: Vec<u64> = conn.query(sql).await?;
        if !ids.is_empty() {
            let ids = sequence::list(ids.iter());
            conn.query_drop(format!("DELETE o FROM _rowcast_outbox o FORCE INDEX (PRIMARY) WHERE o.id IN ({ids})"))
                .await?;
        }
        if ids.len() < STEP {
            return Ok(());
        }
    }
}
