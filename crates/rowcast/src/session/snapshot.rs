//! Rows and histories as of one position of the log, wherever that is possible.
//!
//! What cannot be seen yet although the log has it will be seen in a moment: then the same is read once more.
//! docs/adr/0007 has the whole story.

use std::time::Duration;

use super::node::Node;
use super::settle::{Known, Settled, Unsettled, settle};
use crate::event::{Mark, Position};
use crate::store::{History, Select, SeriesQuery, Snapshot};

/// Snapshots taken until one is what the log says up to one position. They are begun and given up, not read.
const TRIES: u32 = 8;
/// Histories read for the same reason: each costs the database as much as the first.
const HISTORY_TRIES: u32 = 3;

/// A snapshot that has begun.
pub struct Begun {
    /// The rows, still to be taken.
    pub snapshot: Snapshot,
    known: Known,
    settled: Option<Settled>,
}

impl Begun {
    /// Takes a snapshot. Where it may have no single position, that is found out before a row is read, and another one is
    /// taken, a few times; it also contains the transaction `tx` then, unless that is 0.
    ///
    /// `begun` hears the log's head from before each.
    pub async fn begin(
        node: &Node,
        select: &Select,
        tx: u64,
        mut begun: impl FnMut(Position),
    ) -> Result<Self, Unsettled> {
        let mut tries = 0;
        loop {
            let known = Known::now(node);
            begun(known.head);
            metrics::counter!("rowcast_snapshots_total").increment(1);
            let snapshot = node.database.store.snapshot(select.clone()).await?;
            if let Mark::UpTo(_) = snapshot.mark {
                return Ok(Self { snapshot, known, settled: None });
            }
            let settled = settle(node, &known, &snapshot.mark, &snapshot.place).await?;
            tries += 1;
            if tries == TRIES || settled.is_clean() && (tx == 0 || snapshot.mark.contains(tx)) {
                return Ok(Self { snapshot, known, settled: Some(settled) });
            }
            drop(snapshot);
            tokio::time::sleep(pause(tries)).await;
        }
    }

    /// Where it stands, to be asked for when the rows have been taken.
    pub async fn settle(&self, node: &Node) -> Result<Settled, Unsettled> {
        match self.settled {
            Some(settled) => Ok(settled),
            None => settle(node, &self.known, &self.snapshot.mark, &self.snapshot.place).await,
        }
    }
}

/// A chart's history, and where it stands.
pub async fn history(node: &Node, query: SeriesQuery) -> Result<(History, Settled), Unsettled> {
    let mut tries = 0;
    loop {
        let known = Known::now(node);
        let history = node.database.store.series(query.clone()).await?;
        let settled = settle(node, &known, &history.mark, &history.place).await?;
        tries += 1;
        if tries == HISTORY_TRIES || settled.is_clean() {
            return Ok((history, settled));
        }
        tokio::time::sleep(pause(tries)).await;
    }
}

/// 2 ms, then twice as much each time.
fn pause(tries: u32) -> Duration {
    Duration::from_millis(1 << tries.min(8))
}
