//! Memory of a process, and of the machine's kernel.

use std::fs;

use anyhow::{Context, Result};

/// Resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is not there")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// What the whole machine's kernel holds: its slabs and the buffers of TCP, in bytes. `None` where it does not say.
pub(crate) fn kernel() -> Option<u64> {
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    // What is reclaimable is caches of files, and no connection's.
    let slab = memory.lines().find_map(|line| line.strip_prefix("SUnreclaim:"))?;
    let slab: u64 = slab.trim().trim_end_matches(" kB").parse().ok()?;
    let sockets = fs::read_to_string("/proc/net/sockstat").ok()?;
    let tcp = sockets.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let pages: u64 = tcp.split_whitespace().skip_while(|word| *word != "mem").nth(1)?.parse().ok()?;
    Some(slab * 1024 + pages * 4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_some_and_none_has_no_process() {
        assert!(resident(std::process::id()).is_ok_and(|bytes| bytes > 0));
        assert!(resident(u32::MAX).is_err());
    }
}
