//! Whether a server that says nothing is at work, or cannot hear us.
//!
//! While a walsender skips a large transaction that nobody asked for, it neither sends nor listens (PostgreSQL 14 and 15: for
//! half of `wal_sender_timeout`). To call that dead would be to begin again, and again.

use std::time::Duration;

use super::super::Address;

/// Looks that must all find the process at work: one that only wakes up now and then is not.
const LOOKS: usize = 5;
const BETWEEN: Duration = Duration::from_millis(20);

/// `at work` is to wait for neither the network nor new work; a process on the processor waits for nothing.
const SQL: &str = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walsender' AND state = 'active' \
                   AND coalesce(wait_event_type, '') NOT IN ('Activity', 'Client') AND pid = ";

/// Asks through another connection whether the walsender `process` is at work. `false` where that cannot be known.
pub(super) async fn is_at_work(address: Address, process: i32) -> bool {
    let Ok(client) = address.connect("rowcast-probe").await else { return false };
    for _ in 0..LOOKS {
        let found = client.simple_query(&format!("{SQL}{process}")).await.unwrap_or_default();
        let busy = found.iter().any(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0) == Some("1"),
            _ => false,
        });
        if !busy {
            return false;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    true
}
