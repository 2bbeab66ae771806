//! What the process needs of the machine: open files, and a processor of its own.

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Files that are open besides connections.
const OTHER_FILES: u64 = 64;

/// Raises the number of open files to the hard limit, for this process and those that it starts.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, `connections` says how many there may be.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Fails when the process may not have so many connections.
pub(crate) fn connections(count: usize) -> Result<()> {
    let needed = count as u64 + OTHER_FILES;
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => bail!(
            "{count} connections need {needed} open files, and the limit is {limit}: raise the hard limit (ulimit -Hn), or ask for fewer"
        ),
        _ => Ok(()),
    }
}

/// The processors that this thread, and what it starts, may use.
#[derive(Clone)]
pub(crate) struct Cores(CpuSet);

impl Cores {
    /// Those of now.
    pub(crate) fn current() -> Result<Self> {
        Ok(Self(sched_getaffinity(None)?))
    }

    /// One of them, by its number.
    pub(crate) fn one(number: usize) -> Self {
        let mut set = CpuSet::new();
        set.set(number);
        Self(set)
    }

    /// Keeps this thread to them.
    pub(crate) fn keep(&self) -> Result<()> {
        sched_setaffinity(None, &self.0).context("the processors of --cpu cannot be had")
    }
}
