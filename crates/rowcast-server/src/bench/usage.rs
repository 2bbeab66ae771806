//! Processor time of a process, as the kernel counts it.

use std::collections::HashMap;
use std::fs;
use std::ops::Sub;
use std::time::Duration;

use anyhow::{Context, Result};

/// `/proc/PID/stat` counts processor time in hundredths of a second, on every Linux that there is.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of a process at one moment, of user and kernel.
#[derive(Debug, Clone)]
pub(crate) struct Cpu {
    /// Of the process, threads that have ended included, in steps of 10 ms.
    coarse: Duration,
    /// Of each thread that runs, in nanoseconds; empty where the kernel does not say.
    threads: HashMap<u32, u64>,
}

impl Cpu {
    /// Of a process, now.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is not there")?;
        // The name in parentheses may hold anything.
        let rest = stat.rsplit_once(')').context("a name in parentheses")?.1;
        let mut fields = rest.split_whitespace().skip(11);
        let mut ticks = || anyhow::Ok(fields.next().context("utime and stime")?.parse::<u32>()?);
        let coarse = TICK * (ticks()? + ticks()?);
        Ok(Self { coarse, threads: threads(pid).unwrap_or_default() })
    }

    /// How much was used since `before`: to the nanosecond where no thread has ended in between.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let all_there = !before.threads.is_empty() && before.threads.keys().all(|id| self.threads.contains_key(id));
        if !all_there {
            return self.coarse.saturating_sub(before.coarse);
        }
        let used = |(id, now): (&u32, &u64)| now.saturating_sub(before.threads.get(id).copied().unwrap_or(0));
        Duration::from_nanos(self.threads.iter().map(used).sum())
    }
}

impl Sub for Cpu {
    type Output = Duration;

    fn sub(self, before: Self) -> Duration {
        self.since(&before)
    }
}

fn threads(pid: u32) -> Option<HashMap<u32, u64>> {
    let mut threads = HashMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let entry = entry.ok()?;
        let id = entry.file_name().to_str()?.parse().ok()?;
        // A thread may have ended since the folder was read.
        let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
        threads.insert(id, text.split_whitespace().next()?.parse().ok()?);
    }
    Some(threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(coarse_ms: u64, threads: &[(u32, u64)]) -> Cpu {
        Cpu { coarse: Duration::from_millis(coarse_ms), threads: threads.iter().copied().collect() }
    }

    #[test]
    fn a_new_thread_counts_from_its_start() {
        let used = cpu(20, &[(1, 700), (2, 50)]).since(&cpu(10, &[(1, 200)]));
        assert_eq!(used, Duration::from_nanos(550));
    }

    #[test]
    fn where_a_thread_has_ended_the_process_is_asked() {
        let used = cpu(30, &[(1, 700)]).since(&cpu(10, &[(1, 200), (2, 50)]));
        assert_eq!(used, Duration::from_millis(20));
        assert_eq!(cpu(30, &[]).since(&cpu(10, &[])), Duration::from_millis(20));
    }

    #[test]
    fn this_process_has_used_some() {
        let now = Cpu::of(std::process::id());
        assert!(now.is_ok_and(|now| now - cpu(0, &[]) < Duration::from_secs(3600)));
    }
}
