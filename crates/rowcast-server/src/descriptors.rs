//! File descriptors: a connection needs one, and a shell gives a process few of them.

use rlimit::Resource;

/// What everything but connections needs: the log, the database, streams.
const OTHERS: u64 = 512;

/// Raises the soft limit to the hard one, and says so when not even that is enough for so many connections.
pub(crate) fn raise(connections: usize) {
    let raised = Resource::NOFILE.get().and_then(|(soft, hard)| {
        if soft < hard {
            Resource::NOFILE.set(hard, hard)?;
        }
        Ok(hard)
    });
    match raised {
        Ok(may) if may >= connections as u64 + OTHERS => {}
        Ok(may) => tracing::warn!(
            open_files = may,
            connections,
            "this process may open fewer files than limits.connections needs; raise `ulimit -Hn` (systemd: LimitNOFILE=)"
        ),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}
