//! Removes from the outbox what the log has: in small steps, on a connection of its own, which blocks no writer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

use super::spot::Spot;
use crate::postgres::Address;

/// How many rows are removed at once.
const STEP: i32 = 5_000;
/// How often it begins.
const EVERY: Duration = Duration::from_secs(2);
/// Between two steps, so that vacuum and others come in between.
const REST: Duration = Duration::from_millis(20);

/// What may be removed: everything below a transaction but one row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Upto {
    xmin: u64,
    kept: i64,
}

/// Removes what is confirmed until it is dropped.
pub(super) struct Prune {
    confirmed: watch::Sender<Upto>,
    _task: AbortOnDropHandle<()>,
}

impl Prune {
    pub(super) fn begin(address: Address, application: String) -> Self {
        let (confirmed, upto) = watch::channel(Upto::default());
        let task = tokio::spawn(run(Arc::new(address), application, upto));
        Self { confirmed, _task: AbortOnDropHandle::new(task) }
    }

    /// The log has everything up to here.
    pub(super) fn confirm(&self, spot: &Spot) {
        let upto = Upto { xmin: spot.visible.xmin, kept: spot.last.map_or(-1, |row| row.id) };
        self.confirmed.send_if_modified(|known| std::mem::replace(known, upto) != upto);
    }
}

async fn run(address: Arc<Address>, application: String, mut confirmed: watch::Receiver<Upto>) {
    let mut client: Option<Client> = None;
    while confirmed.changed().await.is_ok() {
        let upto = *confirmed.borrow_and_update();
        if let Err(error) = prune(&address, &application, &mut client, upto).await {
            client = None;
            tracing::warn!(%error, "what was read could not be removed from the outbox; it is tried again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn prune(
    address: &Address,
    application: &str,
    client: &mut Option<Client>,
    upto: Upto,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if client.as_ref().is_none_or(Client::is_closed) {
        let made = address.connect(application).await?;
        // What is not removed after a crash is removed later.
        made.batch_execute("SET synchronous_commit = off; SET enable_seqscan = off").await?;
        *client = Some(made);
    }
    let Some(client) = client else { return Ok(()) };
    loop {
        let sql = "SELECT rowcast.prune($1::text::xid8, $2, $3)";
        let gone: i64 = client.query_one(sql, &[&upto.xmin.to_string(), &upto.kept, &STEP]).await?.get(0);
        if gone < i64::from(STEP) {
            return Ok(());
        }
        tokio::time::sleep(REST).await;
    }
}
