//! Counts of what has been checked, for the line about a world.

use std::fmt;

/// What has been checked.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) subscriptions: usize,
    pub(crate) changes: usize,
    pub(crate) snapshots: usize,
    pub(crate) resumed: usize,
    pub(crate) gaps: usize,
    pub(crate) commits: usize,
    /// Of them those of transactions that are not large.
    pub(crate) small_commits: usize,
    /// Transactions that were told as one with their neighbour.
    pub(crate) merged: usize,
    /// It ended before it was told that the table had been altered.
    pub(crate) stale: bool,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.subscriptions += other.subscriptions;
        self.changes += other.changes;
        self.snapshots += other.snapshots;
        self.resumed += other.resumed;
        self.gaps += other.gaps;
        self.commits += other.commits;
        self.small_commits += other.small_commits;
        self.merged += other.merged;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscriptions, changes, snapshots, resumed, gaps, commits, small_commits, merged, .. } = self;
        write!(
            f,
            "{subscriptions} subscriptions, {changes} changes, {snapshots} snapshots, {resumed} resumed, {gaps} gaps, \
             {commits} commits ({small_commits} of small transactions), {merged} merged"
        )
    }
}
