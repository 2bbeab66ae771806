//! What the stream, the look-out and whoever asks for the status tell each other.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::tables::Captured;
use crate::postgres::Lsn;
use crate::source::SourceStatus;

/// Shared by the parts of one source.
#[derive(Debug)]
pub(in crate::source::postgres) struct Shared {
    status: Mutex<Told>,
    waits: watch::Sender<bool>,
    look: Mutex<Option<Look>>,
    looked: Notify,
    /// A transaction number not far from those of today.
    near: AtomicU64,
}

#[derive(Debug, Default)]
struct Told {
    status: SourceStatus,
    waits_for: Option<String>,
    wrong: Option<String>,
}

/// What was found in the database that the stream does not tell.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Everything that the look saw is in the stream before this.
    pub(super) at: Lsn,
    /// A transaction that every later snapshot contains, and no earlier one.
    pub(super) tx: u64,
    /// What is captured now.
    pub(super) captured: Captured,
    /// Tables of which something may have been missed when they came to be captured.
    pub(super) again: Vec<crate::event::TableName>,
    /// Why the slot is to be given up.
    pub(super) give_up: Option<String>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            status: Mutex::default(),
            waits: watch::Sender::new(false),
            look: Mutex::default(),
            looked: Notify::new(),
            near: AtomicU64::new(0),
        }
    }
}

impl Shared {
    /// How the source stands.
    pub(in crate::source::postgres) fn status(&self) -> SourceStatus {
        let told = self.status.lock();
        let problem = told.waits_for.clone().or_else(|| told.wrong.clone());
        SourceStatus { problem, ..told.status.clone() }
    }

    /// Changes what is said of it; `problem` is not taken from there.
    pub(in crate::source::postgres) fn tell(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.status.lock().status);
    }

    /// Something has to happen elsewhere before it goes on.
    pub(super) fn wait_for(&self, what: Option<String>) {
        let changed = {
            let mut told = self.status.lock();
            let changed = told.waits_for != what;
            told.waits_for.clone_from(&what);
            changed
        };
        if let (true, Some(what)) = (changed, &what) {
            tracing::warn!("{what}");
        }
        self.waits.send_replace(what.is_some());
    }

    /// Returns when something is waited for.
    pub(in crate::source::postgres) async fn waiting(&self) {
        // The sender lives in this very value.
        let _ = self.waits.subscribe().wait_for(|waits| *waits).await;
    }

    /// It goes on, but something is not as it should be.
    pub(super) fn is_wrong(&self, what: Option<String>) {
        let mut told = self.status.lock();
        if let (None, Some(what)) = (&told.wrong, &what) {
            tracing::warn!("{what}");
        }
        told.wrong = what;
    }

    /// Leaves what was found for the stream, together with what still lies there.
    pub(super) fn put(&self, look: Look) {
        let mut place = self.look.lock();
        let before = place.take().unwrap_or_default();
        let mut again = before.again;
        again.extend(look.again);
        *place = Some(Look { again, give_up: before.give_up.or(look.give_up), ..look });
        self.looked.notify_one();
    }

    /// What was found since the last call.
    pub(super) fn take(&self) -> Option<Look> {
        self.look.lock().take()
    }

    /// Returns when there is something to take. Dropping the future loses nothing.
    pub(super) async fn looked(&self) {
        self.looked.notified().await;
    }

    /// A transaction number not far from those of today.
    pub(super) fn near(&self) -> u64 {
        self.near.load(Ordering::Relaxed)
    }

    /// Learns a transaction number.
    pub(super) fn set_near(&self, tx: u64) {
        self.near.fetch_max(tx, Ordering::Relaxed);
    }
}
