//! The stream on standard output, for a pipe.

use std::io::{ErrorKind, Write};

use super::Supply;

/// Writes a line for each record until there are no more, or nobody reads.
pub(super) async fn run(mut supply: Supply) -> anyhow::Result<()> {
    while let Some(due) = supply.next(1_000).await {
        let mut bytes = Vec::new();
        let emitted: Vec<_> = due.map(|n| (n, supply.line(n, &mut bytes))).collect();
        supply.tally.emitted(&emitted);
        let mut out = std::io::stdout().lock();
        match out.write_all(&bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            written => written?,
        }
    }
    Ok(())
}
