//! Where whatever reads a source leaves its records, and is told when they are safe.

use super::decode::Record;
pub(in crate::ingest) use super::spool::Closed;
use super::spool::Spool;

/// Where a feed leaves what it has read.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct Intake {
    spool: Spool,
}

impl Intake {
    pub(in crate::ingest) fn new(spool: Spool) -> Self {
        Self { spool }
    }

    /// Takes records that came together, with the place behind them from which the source can be asked to go on (the id of
    /// a server-sent event, an ETag). Returns when they are safe, so that the source may be told to forget them; waits
    /// while there is no room, which holds the source back.
    pub(in crate::ingest) async fn take(&self, records: Vec<Record>, resume: Option<&str>) -> Result<(), Closed> {
        if records.is_empty() && resume.is_none() {
            return Ok(());
        }
        self.spool.take(records, resume).await
    }

    /// The place behind the last records that were taken, also before a restart.
    pub(in crate::ingest) fn resume(&self) -> Option<String> {
        self.spool.resume()
    }
}
