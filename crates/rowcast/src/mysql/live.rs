//! What the source and the store of one database tell each other while both run.

use tokio::sync::{Notify, watch};

/// How changes are captured in fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// From the server's binlog.
    Binlog,
    /// By triggers that write an outbox.
    Outbox,
}

/// Shared by the source and the store of one database.
///
/// The store needs to know how changes are captured, because that decides what a snapshot's place is; the source needs to
/// know when somebody waits for its place to move on.
#[derive(Debug)]
pub struct Live {
    mode: watch::Sender<Option<Mode>>,
    asked: Notify,
}

impl Default for Live {
    fn default() -> Self {
        Self { mode: watch::Sender::new(None), asked: Notify::new() }
    }
}

impl Live {
    /// The source has begun to read in this way.
    pub fn began(&self, mode: Mode) {
        self.mode.send_replace(Some(mode));
    }

    /// How changes are captured; `None` before the source has begun.
    pub fn mode(&self) -> Option<Mode> {
        *self.mode.borrow()
    }

    /// Somebody waits for the source's place to reach what is committed now.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Returns when somebody has asked since the last call. Dropping the future loses nothing.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }
}
